"""SQL over the revision history, for people: read-only, without files or network, bounded in
memory, rows, bytes and time, and stoppable at any moment.

A query runs in a process of its own (``sandbox.py``) on a private copy of the history, so that the
worst one costs its process and nothing else. The copy is made between two of the writer's
transactions and used again until the history has moved on. Measured: 0.25 s a query, of which the
copy is 5 ms for 10 MB.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from kvorum.history import sandbox
from kvorum.history.copying import remove_history
from kvorum.history.database import HistoryError
from kvorum.limits import (
    QUERIES_RUNNING,
    QUERY_ADDRESS_SPACE_MB,
    QUERY_BYTES,
    QUERY_BYTES_TOLD,
    QUERY_MEMORY_MB,
    QUERY_MESSAGE_BYTES,
    QUERY_ROWS,
    QUERY_ROWS_TOLD,
    QUERY_SQL_BYTES,
    QUERY_TIMEOUT_S,
)

_COMPLAINT_BYTES = 64 * 1024


class QueryRefused(HistoryError):
    """The SQL is wrong, may not run here, or went beyond a bound; the message says which."""


class QueryStopped(HistoryError):
    """The query was cancelled by who asked for it."""


class Source(Protocol):
    """Whose history is asked. Both futures wait for what was queued before."""

    def settle(self) -> Future[Hashable]:
        """Commit; what comes back is another value whenever the history has changed."""

    def copy_to(self, path: Path) -> Future[Path]:
        """A private copy of what is committed. OSError when there is no room for it."""


class Given(NamedTuple):
    """What the history does not hold, told by whoever runs a query. ``leases``: id, granted
    seconds, remaining seconds (None: not asked); ``members``: id, name, client URLs, peer URLs,
    whether it is a learner.
    """

    leases: Sequence[tuple[int, int | None, int | None]] = ()
    members: Sequence[tuple[int, str, Sequence[str], Sequence[str], bool]] = ()


NOTHING_GIVEN = Given()


def asks_for(sql: str, view: str) -> bool:
    """Whether a statement may look at a view; a word in a text or a comment counts, too."""
    return re.search(rf"\b{view}\b", sql, re.IGNORECASE) is not None


class Column(NamedTuple):
    """A column of an answer, with DuckDB's name of its type."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class QueryResult:
    """An answer. ``rows_json``: one JSON array a row, bytes as ``{"bytes": base64}``.

    ``truncated``: there are more rows than the bounds let through.
    """

    columns: tuple[Column, ...]
    rows_json: list[str]
    truncated: bool

    @property
    def rows(self) -> list[tuple[object, ...]]:
        """The rows decoded: bytes are bytes again, times stay ISO 8601 text."""
        return [tuple(json.loads(line, object_hook=_bytes_back)) for line in self.rows_json]


@dataclass(slots=True)
class _Copy:
    """A private copy and how many queries read it."""

    path: Path
    state: Hashable
    users: int = 0


def _nobody(columns: tuple[Column, ...], rows_json: list[str]) -> None:
    raise AssertionError("rows go to the result")


@dataclass(slots=True, eq=False)
class Query:
    """A query to be run once; ``cancel`` may come from any thread at any time.

    ``revision``: what the view ``keys`` shows, 0 for now. With ``told``, rows are handed over in
    batches as they come, at least one, on the thread that runs the query, which waits for it; they
    are not in the result then, and may be more (``QUERY_ROWS_TOLD``, ``QUERY_BYTES_TOLD``).
    """

    sql: str
    max_rows: int = QUERY_ROWS
    timeout_s: float = QUERY_TIMEOUT_S
    max_bytes: int = QUERY_BYTES
    revision: int = 0
    given: Given = NOTHING_GIVEN
    told: Callable[[tuple[Column, ...], list[str]], None] = _nobody
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _child: subprocess.Popen[bytes] | None = None
    _ending: str = ""

    def cancel(self) -> None:
        """Stop it; harmless when it is over."""
        self._kill("cancelled")

    @property
    def ending(self) -> str:
        """Why it was stopped: "cancelled", "time", or "" as long as it was not."""
        return self._ending

    @property
    def streams(self) -> bool:
        """Whether rows are handed over as they come."""
        return self.told is not _nobody

    def _kill(self, why: str) -> None:
        with self._lock:
            self._ending = self._ending or why
            if self._child is not None:
                self._child.kill()

    def _started(self, child: subprocess.Popen[bytes] | None) -> None:
        with self._lock:
            self._child = child
            if child is not None and self._ending:
                child.kill()


class QueryRunner:
    """Runs people's SQL against a history; its copies live in ``directory``.

    Bounds of a single query may be asked lower than the limits, never higher.
    """

    def __init__(self, source: Source, directory: Path) -> None:
        self._source = source
        self._directory = directory
        self._slots = threading.BoundedSemaphore(QUERIES_RUNNING)
        self._lock = threading.Lock()
        self._copies: list[_Copy] = []
        self._number = 0
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(mode=0o700, parents=True)

    def run(self, query: Query) -> QueryResult:
        """Run it, blocking for at most its time and some start-up; any thread.

        Raises :class:`QueryRefused`, :class:`QueryStopped`, HistoryFailed when the writer is dead.
        """
        if len(query.sql.encode("utf-8", "replace")) > QUERY_SQL_BYTES:
            raise QueryRefused(f"the statement is longer than {QUERY_SQL_BYTES} bytes")
        if not self._slots.acquire(timeout=QUERY_TIMEOUT_S):
            raise QueryRefused(f"{QUERIES_RUNNING} queries are running already")
        try:
            copy = self._take_copy()
            try:
                return self._ask(query, copy.path)
            finally:
                self._give_back(copy)
        finally:
            self._slots.release()

    def close(self) -> None:
        """Remove the copies; queries must be over."""
        shutil.rmtree(self._directory, ignore_errors=True)

    def _take_copy(self) -> _Copy:
        with self._lock:
            try:
                state = self._source.settle().result()
                if not self._copies or self._copies[-1].state != state:
                    self._number += 1
                    path = self._directory / f"copy-{self._number}.duckdb"
                    try:
                        self._copies.append(_Copy(self._source.copy_to(path).result(), state))
                    except BaseException:
                        remove_history(path)
                        raise
            except OSError as error:
                raise QueryRefused(f"the history cannot be copied: {error}") from error
            except CancelledError as error:
                raise QueryRefused("the history was replaced meanwhile; ask again") from error
            copy = self._copies[-1]
            copy.users += 1
            self._drop_unused()
        return copy

    def _give_back(self, copy: _Copy) -> None:
        with self._lock:
            copy.users -= 1
            self._drop_unused()

    def _drop_unused(self) -> None:
        for copy in self._copies[:-1]:
            if not copy.users:
                remove_history(copy.path)
                self._copies.remove(copy)

    def _ask(self, query: Query, path: Path) -> QueryResult:
        command = [sys.executable, "-m", sandbox.__name__, str(path)]
        rows_bound, bytes_bound = (
            (QUERY_ROWS_TOLD, QUERY_BYTES_TOLD) if query.streams else (QUERY_ROWS, QUERY_BYTES)
        )
        request = sandbox.Request(
            sql=query.sql,
            max_rows=max(0, min(query.max_rows, rows_bound)),
            max_bytes=max(0, min(query.max_bytes, bytes_bound)),
            memory_mb=QUERY_MEMORY_MB,
            address_space_mb=QUERY_ADDRESS_SPACE_MB,
            cpu_s=int(QUERY_TIMEOUT_S) + 2,
            revision=query.revision,
            leases=query.given.leases,
            members=query.given.members,
        )
        timeout_s = min(query.timeout_s, QUERY_TIMEOUT_S)
        timer = threading.Timer(timeout_s, query._kill, ("time",))
        timer.daemon = True
        answer = _Answer(query)
        with (
            tempfile.TemporaryFile() as words,
            subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=words
            ) as child,
        ):
            timer.start()
            query._started(child)
            try:
                _send(child, json.dumps(request._asdict()).encode())
                assert child.stdout is not None, "it is a pipe"
                for line in child.stdout:
                    answer.take(line)
                child.wait()
            except BaseException:
                child.kill()
                raise
            finally:
                timer.cancel()
                query._started(None)
            words.seek(0)
            complaint = words.read(_COMPLAINT_BYTES)
        return answer.result(complaint, child.returncode, timeout_s)


def _send(child: subprocess.Popen[bytes], request: bytes) -> None:
    assert child.stdin is not None, "it is a pipe"
    try:
        child.stdin.write(request)
        child.stdin.close()
    except BrokenPipeError:
        pass  # It was ended before it read: what it said, or did not say, tells.


class _Answer:
    """What the query's process says, line by line."""

    def __init__(self, query: Query) -> None:
        self._query = query
        self._columns: tuple[Column, ...] = ()
        self._rows: list[str] = []
        self._size = 0
        self._batches = 0
        self._end: bool | None = None
        self._error = ""

    def take(self, line: bytes) -> None:
        """One line; an unfinished one is the last word of a process that was ended."""
        if not line.endswith(b"\n"):
            return
        text = line[:-1].decode()
        if text.startswith("["):
            self._rows.append(text)
            self._size += len(text)
            if self._query.streams and self._size > QUERY_MESSAGE_BYTES:
                self._hand_over()
            return
        said = json.loads(text)
        if "columns" in said:
            self._columns = tuple(Column(*column) for column in said["columns"])
        self._error = said.get("error", "")
        self._end = said.get("end")

    def _hand_over(self) -> None:
        self._batches += 1
        rows, self._rows, self._size = self._rows, [], 0
        self._query.told(self._columns, rows)

    def result(self, complaint: bytes, code: int, timeout_s: float) -> QueryResult:
        """The result, or why there is none."""
        if self._error:
            raise QueryRefused(self._error)
        if self._end is None:
            if self._query.ending == "cancelled":
                raise QueryStopped("the query was cancelled")
            if self._query.ending == "time":
                raise QueryRefused(f"the query took longer than {timeout_s:g} s")
            words = complaint.decode(errors="replace").strip().splitlines()[-1:] or ["no word"]
            raise QueryRefused(
                f"the query needed too much memory or time (process ended with {code}: {words[0]})"
            )
        if self._query.streams and (self._rows or not self._batches):
            self._hand_over()
        return QueryResult(self._columns, self._rows, self._end)


def _bytes_back(value: dict[str, object]) -> object:
    encoded = value.get("bytes")
    if len(value) == 1 and isinstance(encoded, str):
        return base64.b64decode(encoded)
    return value
