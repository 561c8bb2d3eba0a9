"""What stands in a file, asked beside the event loop, as it was at a moment: no answer knows more
than the revision that had arrived by then.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import threading
import time
from collections.abc import AsyncGenerator, Callable, Hashable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import duckdb
from kvorum.history.database import HistoryError, parts
from kvorum.history.query import Query, QueryResult, QueryRunner
from kvorum.history.selects import EventsResult, events

from kvorum_tui.recording.opening import Opened, connect
from kvorum_tui.recording.playback import Moment, Playback
from kvorum_tui.session import SessionError

T = TypeVar("T")
TURN_S = 0.1  # A playback that runs is looked at so often.
EVENTS_AT_ONCE = 1_000
CLOSE_S = 10.0  # As long as closing waits for an answer that was stopped.
REST_S = 0.5  # One that stands repeats what it shows, so that nothing looks stale.


class Tape:
    """An open file. Raises :class:`SessionError` where it cannot answer."""

    def __init__(self, opened: Opened, clock: Callable[[], float] = time.monotonic) -> None:
        self.opened = opened
        self.head = opened.head
        self.clock = clock
        self._connection = connect(opened.path)
        self._turn = threading.Condition()
        self._uses: list[duckdb.DuckDBPyConnection] = []
        self._closed = False
        name = self._connection.execute("SELECT current_database()").fetchall()[0][0]
        self._catalog = '"' + name.replace('"', '""') + '"'
        self._temporary = Path(tempfile.mkdtemp(prefix="kvorum-sql-"))
        self._runner = QueryRunner(_Linked(opened.path), self._temporary / "sql")
        self._changed = asyncio.Event()
        self._pulse: asyncio.Task[None] | None = None
        first = self.head.compacted or 1
        self.playback = Playback(self.head.began_ms, self.head.ended_ms, self._arrivals(), first)

    def _arrivals(self) -> list[tuple[int, int]]:
        if self.head.kind == "history":
            sql = (
                'SELECT epoch_ms("at") // 100 * 100 AS tenth, max(revision) FROM history '
                "WHERE \"at\" > 'epoch'::TIMESTAMP GROUP BY tenth ORDER BY tenth"
            )
            rows = self._connection.execute(sql).fetchall()
        else:
            sql = 'SELECT epoch_ms("at"), revision FROM arrivals ORDER BY revision, "at"'
            rows = self._connection.execute(sql).fetchall()
        return [(int(at), int(revision)) for at, revision in rows]

    # --- time -------------------------------------------------------------------------------------

    @property
    def moment(self) -> Moment:
        """Where one looks."""
        return self.playback.moment(self.clock())

    @property
    def revision(self) -> int:
        """The newest revision at that moment."""
        return self.moment.revision

    def play(self, on: bool) -> None:
        """Run or stand."""
        self.playback.play(on, self.clock())
        self._turned()
        if on and self._pulse is None:
            self._pulse = asyncio.create_task(self._run(), name="playback")

    def seek(self, at_ms: int) -> None:
        """Look at another moment."""
        self.playback.seek(at_ms, self.clock())
        self._turned()

    def faster(self, by: int) -> float:
        """Another speed."""
        return self.playback.faster(by, self.clock())

    async def _run(self) -> None:
        while self.moment.playing:
            await asyncio.sleep(TURN_S)
            self._turned()
        self._pulse = None

    def _turned(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def turned(self, at_most_s: float = REST_S) -> None:
        """Wait until the moment has moved, or a while."""
        try:
            async with asyncio.timeout(at_most_s):
                await self._changed.wait()
        except TimeoutError:
            return

    # --- asking -----------------------------------------------------------------------------------

    def cursor(self, revision: int) -> duckdb.DuckDBPyConnection:
        """A connection on which ``history`` ends with a revision; give it back to :meth:`done`."""
        with self._turn:
            if self._closed:
                raise SessionError("the file is closed", self.opened.shown.name)
            cursor = self._connection.cursor()
            self._uses.append(cursor)
        cursor.execute(
            f"CREATE TEMP VIEW history AS SELECT * FROM {self._catalog}.main.history "
            f"WHERE revision <= {revision:d}"
        )
        return cursor

    def done(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """A connection is not used any more."""
        cursor.close()
        with self._turn:
            self._uses.remove(cursor)
            self._turn.notify_all()

    async def with_cursor(self, work: Callable[[duckdb.DuckDBPyConnection], T], revision: int) -> T:
        """Do some reading in a thread; stopped when cancelled."""
        running: list[duckdb.DuckDBPyConnection] = []

        def run() -> T:
            cursor = self.cursor(revision)
            running.append(cursor)
            try:
                return work(cursor)
            finally:
                self.done(cursor)

        try:
            return await asyncio.to_thread(run)
        except asyncio.CancelledError:
            for cursor in running:
                _interrupt(cursor)
            raise
        except (duckdb.Error, HistoryError) as error:
            raise SessionError(str(error), self.opened.shown.name, "file") from error

    async def ask(
        self, sql: str, values: dict[str, Any] | None = None, revision: int = -1
    ) -> list[tuple[Any, ...]]:
        """Rows of our own SQL; ``revision`` -1: at the moment."""
        at = self.revision if revision < 0 else revision
        return await self.with_cursor(lambda c: c.execute(sql, values or {}).fetchall(), at)

    async def stream(
        self, sql: str, values: dict[str, Any], revision: int, rows: int
    ) -> AsyncGenerator[list[tuple[Any, ...]], None]:
        """The same, some rows at a time: one answer, however long."""
        cursor = await asyncio.to_thread(self.cursor, revision)
        try:
            await asyncio.to_thread(cursor.execute, sql, values)
            while found := await asyncio.to_thread(cursor.fetchmany, rows):
                yield found
        except (duckdb.Error, HistoryError) as error:
            raise SessionError(str(error), self.opened.shown.name, "file") from error
        finally:
            await asyncio.to_thread(self.done, cursor)

    async def events(self, first: int, last: int, key: bytes, end: bytes) -> EventsResult:
        """Changes of a range, with what they replaced."""
        return await self.with_cursor(
            lambda cursor: events(cursor, first, last, key, end, EVENTS_AT_ONCE), last
        )

    def query(self, query: Query) -> QueryResult:
        """People's SQL, over the whole file; blocks."""
        return self._runner.run(query)

    def stop(self) -> None:
        """Stand still for good."""
        if self._pulse is not None:
            self._pulse.cancel()

    def close(self) -> None:
        """Let go of the file, once nobody reads it any more; blocks."""
        with self._turn:
            self._closed = True
            for cursor in self._uses:
                _interrupt(cursor)
            self._turn.wait_for(lambda: not self._uses, CLOSE_S)
        self._runner.close()
        shutil.rmtree(self._temporary, ignore_errors=True)
        self._connection.close()
        self.opened.close()


def _interrupt(cursor: duckdb.DuckDBPyConnection) -> None:
    """Stop what runs on a connection, unless it has ended this moment."""
    try:
        cursor.interrupt()
    except duckdb.ConnectionException:
        return


class _Linked:
    """A file that nobody writes needs no copies: queries get links to it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def settle(self) -> Future[Hashable]:
        """It never changes."""
        done: Future[Hashable] = Future()
        done.set_result(0)
        return done

    def copy_to(self, path: Path) -> Future[Path]:
        """A link, of DuckDB's log too."""
        done: Future[Path] = Future()
        with self._lock:
            for part, link in zip(parts(self._path.resolve()), parts(path), strict=True):
                if part.exists():
                    link.symlink_to(part)
        done.set_result(path)
        return done
