"""Looking at a history file from a process that may die of it.

Some damaged DuckDB logs abort the process that opens them, so that a node has a child try first:
``python -m kvorum.history.probe FILE CLUSTER MEMBER DEEP``. The child opens the file read-only,
checks whose it is and, when asked to look deep, reads every block (each carries a checksum). It
prints one line of JSON and exits with 0; anything else (another exit code, a signal, silence) is a
bad file.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import duckdb

from kvorum.history.copying import remove_history, set_aside
from kvorum.history.database import (
    FORMAT,
    ForeignHistory,
    HistoryDatabase,
    parts,
    read_identity,
    read_progress,
)
from kvorum.history.rows import Identity, Progress
from kvorum.history.transfer import copy_path, staging_path
from kvorum.limits import (
    HISTORY_MEMORY_MB,
    HISTORY_PROBE_DEEP_BYTES,
    HISTORY_PROBE_TIMEOUT_S,
)

_FOREIGN_EXIT = 3
_BAD_EXIT = 4


class Probe(NamedTuple):
    """What the child said. ``progress`` is None when the file is bad, for ``reason``."""

    progress: Progress | None
    reason: str = ""


class Opened(NamedTuple):
    """A history ready for use. ``aside`` is where a bad one went (None: it was fine or absent), and
    ``reason`` why; the history is empty then and must be rebuilt.
    """

    database: HistoryDatabase
    aside: Path | None
    reason: str


def open_history(path: Path, identity: Identity, memory_mb: int = HISTORY_MEMORY_MB) -> Opened:
    """Probe a history, set it aside if it is bad, and open it or an empty one in its place.

    A log without its file is as bad as a damaged one. Raises :class:`ForeignHistory` for another
    member's file: that is a mistake to be corrected, not damage to be repaired.
    """
    aside: Path | None = None
    reason = ""
    for left in (staging_path(path), copy_path(path)):
        remove_history(left)  # What broke off with the last process.
    if any(part.exists() for part in parts(path)):
        result = probe(path, identity) if path.exists() else Probe(None, "the file is missing")
        if result.progress is None:
            aside, reason = set_aside(path), result.reason
    return Opened(HistoryDatabase(path, identity, memory_mb), aside, reason)


def probe(path: Path, identity: Identity, timeout_s: float = HISTORY_PROBE_TIMEOUT_S) -> Probe:
    """Have a child process open the file. Raises :class:`ForeignHistory` for somebody else's."""
    size = sum(part.stat().st_size for part in parts(path) if part.exists())
    deep = size <= HISTORY_PROBE_DEEP_BYTES
    command = [sys.executable, "-m", __spec__.name if __spec__ else __name__]
    command += [str(path), str(identity.cluster_id), str(identity.member_id), str(int(deep))]
    try:
        child = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        return Probe(None, f"not read within {timeout_s:.0f} s")
    last_words = child.stderr.strip().splitlines()[-1:] or ["no word"]
    if child.returncode == _FOREIGN_EXIT:
        raise ForeignHistory(f"{path}: {last_words[0]}")
    if child.returncode != 0:
        return Probe(None, f"exit code {child.returncode}: {last_words[0]}")
    try:
        return Probe(Progress(*json.loads(child.stdout)))
    except (ValueError, TypeError) as error:
        return Probe(None, f"unreadable answer: {error}")


def _look(path: str, identity: Identity, deep: bool) -> Progress:
    connection = duckdb.connect(
        path, read_only=True, config={"threads": "1", "memory_limit": "256MB"}
    )
    version, owner = read_identity(connection)
    if version != FORMAT or owner != identity:
        raise ForeignHistory(f"format {version} of {owner}, expected {FORMAT} of {identity}")
    if deep:
        columns = connection.execute(
            "SELECT column_name FROM duckdb_columns() WHERE table_name = 'history'"
        ).fetchall()
        # A hash must look at every value, so that every block is read and its checksum verified.
        hashes = ", ".join(f'bit_xor(hash("{name}"))' for (name,) in columns)
        connection.execute(f"SELECT {hashes} FROM history").fetchall()
    connection.execute("SELECT count(*) FROM events, (SELECT 1 FROM keys_at(1) LIMIT 0)").fetchall()
    return read_progress(connection)


def main(arguments: list[str]) -> int:
    """The child's side."""
    path, cluster_id, member_id, deep = arguments
    try:
        found = _look(path, Identity(int(cluster_id), int(member_id)), deep == "1")
    except ForeignHistory as error:
        print(error, file=sys.stderr)
        return _FOREIGN_EXIT
    except Exception as error:
        # Whatever DuckDB makes of a damaged file: the parent wants one line, not a trace.
        print(f"{type(error).__name__}: {error}".replace("\n", " "), file=sys.stderr)
        return _BAD_EXIT
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
