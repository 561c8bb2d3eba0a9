"""One DuckDB file: opened, given its schema, locked down, and shared by writer and readers.

The whole instance gives up files, network and extensions the moment it is open, and its settings
are frozen; SQL written by people does not run here at all (``query.py``).

DuckDB is never the root of durability. A file whose DuckDB log lost its tail opens without a word
as an older state, so that raft's entries may be cut only behind a checkpoint; a file with a damaged
block or log is refused or may even abort the process, which is why ``probe.py`` looks first.
"""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path
from typing import Final

import duckdb

from kvorum.history.rows import Identity, Progress
from kvorum.limits import HISTORY_MEMORY_MB

FORMAT: Final = 1
NEVER_COMPACTED: Final = -1
_SCHEMA_FILES: Final = ("schema.sql", "views.sql")


class HistoryError(Exception):
    """Base of everything the history raises on purpose."""


class ForeignHistory(HistoryError):
    """The file is another member's or another cluster's, or of another format."""


class HistoryFailed(HistoryError):
    """The writer met an error and stopped: what it had not made durable is not in the file."""


class HistoryDatabase:
    """An open history file. Thread-safe: every thread takes a connection of its own by ``connect``.

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
        self._root = _open(path, memory_mb, threads)
        try:
            _prepare(self._root, identity)
            _lock_down(self._root)
        except BaseException:
            self._root.close()
            raise
        if path.exists():
            path.chmod(0o600)
        self.free_bytes = 0
        self.measure(self._root)

    def measure(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Note how much of the file is free blocks, in ``free_bytes``: it changes at checkpoints
        only.
        """
        # All rows, although there is one: a result that is not read to its end keeps its
        # transaction open, and no checkpoint gives room back beside that.
        rows = connection.execute(
            "SELECT block_size * free_blocks FROM pragma_database_size()"
        ).fetchall()
        self.free_bytes = int(rows[0][0])

    def connect(self) -> duckdb.DuckDBPyConnection:
        """A connection for the calling thread; close it when done."""
        return self._root.cursor()

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
        """Close this instance; connections taken from it must be closed before."""
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


def _open(path: Path, memory_mb: int, threads: int) -> duckdb.DuckDBPyConnection:
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
