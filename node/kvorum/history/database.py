"""One DuckDB file: opened, given its schema, locked down, and shared by writer and readers.

The whole instance gives up files, network and extensions the moment it is open, and its settings
are frozen; SQL written by people does not run here at all (``query.py``).

DuckDB is never the root of durability. A file whose DuckDB log lost its tail opens without a word
as an older state, so that raft's entries may be cut only behind a checkpoint; a file with a damaged
block or log is refused or may even abort the process, which is why ``probe.py`` looks first.

An instance that DuckDB has given up (``room.py``) is replaced by another of the same file while the
process goes on. Two at a time must never be: whoever reads says so, and the writer waits for them.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Final

import duckdb

from kvorum.history.rows import Identity, Progress
from kvorum.limits import HISTORY_MEMORY_MB

FORMAT: Final = 1
NEVER_COMPACTED: Final = -1
_LEAST_BYTES: Final = 1 << 20  # What a history without a row takes.
_SCHEMA_FILES: Final = ("schema.sql", "views.sql")


class HistoryError(Exception):
    """Base of everything the history raises on purpose."""


class ForeignHistory(HistoryError):
    """The file is another member's or another cluster's, or of another format."""


class HistoryFailed(HistoryError):
    """The writer met an error and stopped: what it had not made durable is not in the file."""


class HistoryReopening(HistoryError):
    """The file is being opened anew; another moment."""


class HistoryDatabase:
    """An open history file. Thread-safe: every thread takes a connection of its own, for one read
    by ``using``, or by ``connect`` where the file is not reopened meanwhile.

    ``memory_mb`` bounds DuckDB's buffers, ``threads`` its workers. Raises :class:`ForeignHistory`,
    and duckdb.Error when the file cannot be read.
    """

    def __init__(
        self,
        path: Path,
        identity: Identity,
        memory_mb: int = HISTORY_MEMORY_MB,
        threads: int = 2,
    ) -> None:
        self.path = path
        self.identity = identity
        self._memory_mb = memory_mb
        self._threads = threads
        self._turn = threading.Condition()
        self._reopening = False
        self._uses: dict[int, Callable[[], None]] = {}
        self._numbers = 0
        self.generation = 0
        """How often the file has been opened anew."""
        self.free_bytes = 0
        self._root = self._open()

    def _open(self) -> duckdb.DuckDBPyConnection:
        root = _connect(self.path, self._memory_mb, self._threads)
        try:
            _prepare(root, self.identity)
            _lock_down(root)
            self.measure(root)
        except BaseException:
            root.close()
            raise
        if self.path.exists():
            self.path.chmod(0o600)
        return root

    def measure(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Note how much of the file holds nothing, in ``free_bytes``: it changes at checkpoints
        only.

        That is its free blocks, and the part of the others that forgotten rows take: a checkpoint
        leaves these where they are as long as a row group is not full of them. Their part is told
        by the number of rows, as if all were of one size.
        """
        # All rows, although there is one: a result that is not read to its end keeps its
        # transaction open, and no checkpoint gives room back beside that.
        rows = connection.execute(
            "SELECT block_size * free_blocks, block_size * used_blocks, "
            "(SELECT count(*) FROM history), (SELECT estimated_size FROM duckdb_tables() "
            "WHERE table_name = 'history') FROM pragma_database_size()"
        ).fetchall()
        free, used, living, stored = rows[0]
        forgotten = used * max(0, stored - living) // max(1, stored)
        self.free_bytes = int(free + min(forgotten, max(0, used - _LEAST_BYTES)))

    def connect(self) -> duckdb.DuckDBPyConnection:
        """A connection for the calling thread; close it when done, and before ``reopen``."""
        return self._root.cursor()

    @contextmanager
    def using(self, stop: Callable[[], None] = lambda: None) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection for the calling thread, which holds up ``reopen`` as long as it is used;
        ``stop`` is called then, by another thread. Raises :class:`HistoryReopening`.
        """
        with self._turn:
            if self._reopening:
                raise HistoryReopening("the history is closed, or being opened anew")
            self._numbers += 1
            number = self._numbers
            self._uses[number] = stop
        try:
            connection = self._root.cursor()
            try:
                yield connection
            finally:
                connection.close()
        finally:
            with self._turn:
                del self._uses[number]
                self._turn.notify_all()

    def reopen(self) -> None:
        """Open the file anew, because DuckDB has given this instance up; on the writer's thread,
        with its connection closed. Waits for whoever uses the old instance. When it raises, it may
        be called again.
        """
        self._end_uses()
        self._root.close()
        self._root = self._open()
        with self._turn:
            self._reopening = False
            self.generation += 1

    def _end_uses(self) -> None:
        """From now on nobody begins to use this instance, and nobody does any more."""
        with self._turn:
            self._reopening = True
            stops = list(self._uses.values())
        for stop in stops:
            stop()
        with self._turn:
            self._turn.wait_for(lambda: not self._uses)

    def progress(self) -> Progress:
        """How far the committed history goes."""
        connection = self.connect()
        try:
            return read_progress(connection)
        finally:
            connection.close()

    def size_bytes(self) -> int:
        """Length of the file, free blocks included, and of DuckDB's log beside it."""
        return sum(map(_length, parts(self.path)))

    def log_bytes(self) -> int:
        """Length of DuckDB's log alone: what a checkpoint would fold into the file."""
        return _length(log_path(self.path))

    def close(self) -> None:
        """Close this instance. Connections taken from it by :meth:`connect` must be closed before;
        whoever is :meth:`using` one is told to stop and waited for: DuckDB refuses to close what is
        busy.
        """
        self._end_uses()
        self._root.close()


def log_path(path: Path) -> Path:
    """Where DuckDB keeps its write-ahead log."""
    return path.with_name(path.name + ".wal")


def parts(path: Path) -> tuple[Path, Path]:
    """The files that make up one history."""
    return path, log_path(path)


def read_progress(connection: duckdb.DuckDBPyConnection) -> Progress:
    """See :class:`Progress`; one statement, so one state."""
    row = connection.execute(
        """
        SELECT
            (SELECT coalesce(max(applied_index), 0) FROM progress),
            (SELECT coalesce(max(applied_term), 0) FROM progress),
            (SELECT coalesce(max(revision), 0) FROM progress),
            (SELECT coalesce(max(revision), $never) FROM compaction),
            (SELECT coalesce(max(revision), $never) FROM compaction WHERE swept)
        """,
        {"never": NEVER_COMPACTED},
    ).fetchone()
    assert row is not None, "a select of scalars has a row"
    return Progress(*row)


def read_identity(connection: duckdb.DuckDBPyConnection) -> tuple[int, Identity]:
    """(format, whose). Raises :class:`ForeignHistory` when the file says neither."""
    try:
        found = connection.execute("SELECT format, cluster_id, member_id FROM identity").fetchone()
    except duckdb.CatalogException as error:
        raise ForeignHistory("the file is not a kvorum history") from error
    if found is None:
        raise ForeignHistory("the file does not say whose history it is")
    return found[0], Identity(found[1], found[2])


def _connect(path: Path, memory_mb: int, threads: int) -> duckdb.DuckDBPyConnection:
    old_mask = os.umask(0o077)
    try:
        return duckdb.connect(
            str(path),
            config={
                "threads": str(threads),
                "memory_limit": f"{memory_mb}MB",
                "temp_directory": str(path.with_name(path.name + ".tmp")),
                "max_temp_directory_size": "4GB",
                # The writer decides when: nobody else may know what a checkpoint covers.
                "checkpoint_threshold": "1TB",
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
                "allow_community_extensions": "false",
                "python_enable_replacements": "false",
            },
        )
    finally:
        os.umask(old_mask)


def _prepare(connection: duckdb.DuckDBPyConnection, identity: Identity) -> None:
    """Check a file's owner, or make an empty file a history."""
    tables = connection.execute("SELECT count(*) FROM duckdb_tables()").fetchone()
    if tables == (0,):
        _create(connection, identity)
        return
    version, owner = read_identity(connection)
    if version != FORMAT:
        raise ForeignHistory(f"format {version}, this version reads {FORMAT}")
    if owner != identity:
        raise ForeignHistory(f"the file belongs to {owner}, not to {identity}")


def _create(connection: duckdb.DuckDBPyConnection, identity: Identity) -> None:
    connection.begin()
    for name in _SCHEMA_FILES:
        connection.execute(files(__package__).joinpath(name).read_text("utf-8"))
    connection.execute("INSERT INTO identity VALUES (?, ?, ?)", [FORMAT, *identity])
    connection.commit()
    connection.execute("CHECKPOINT")


def _lock_down(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def _length(path: Path) -> int:
    # Asking whether it is there first would not do: a checkpoint takes the log away at any moment.
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
