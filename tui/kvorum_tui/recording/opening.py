"""Opening a file: which kind it is, whether it is sound, what it says of itself.

A damaged DuckDB file may abort the process that opens it, so that a child looks first:
``python -m kvorum_tui.recording.opening FILE`` prints one line of JSON, or what is wrong on its
standard error. A snapshot is checked from end to end and copied into a recording of its own, in a
folder that goes with the session.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
from kvorum import __version__
from kvorum.history.database import read_identity, read_progress
from kvorum.history.rows import Identity
from kvorum.history.snapshots import SnapshotFault, looks_like_snapshot, open_snapshot

from kvorum_tui.model.records import LeaseInfo, MemberIdentity, MemberReport
from kvorum_tui.recording.values import to_json
from kvorum_tui.recording.writer import FORMAT, Head, RecordingWriter

LOOK_S = 60.0
_DUCKDB = b"DUCK"
_DUCKDB_AT = 8

Told = Callable[[str], None]


class FileFault(Exception):
    """A file that cannot be opened. ``fault`` names it: missing, unreadable, foreign, damaged, in
    use, newer.
    """

    def __init__(self, path: Path, fault: str, text: str) -> None:
        super().__init__(f"{path.name}: {fault}: {text}")
        self.path = path
        self.fault = fault


@dataclass(frozen=True, slots=True)
class FileHead:
    """What a file says of itself. ``kind``: recording, snapshot, history (a node's own file).
    Times are milliseconds since 1970; revisions below ``compacted`` are known as far as their
    outcome goes.
    """

    kind: str
    title: str
    cluster_id: int
    began_ms: int
    ended_ms: int
    revision: int
    compacted: int
    version: str = ""


@dataclass(frozen=True, slots=True)
class Opened:
    """A file that was found sound. ``path`` is DuckDB's; ``shown`` is the one that was asked for;
    ``folder`` goes with the session.
    """

    path: Path
    shown: Path
    head: FileHead
    folder: Path | None = None

    def close(self) -> None:
        """Remove what was made for it."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)


def open_file(path: Path, told: Told = lambda text: None) -> Opened:
    """Open a recording, a snapshot or a node's history file; blocks. Raises :class:`FileFault`."""
    try:
        with open(path, "rb") as file:
            start = file.read(64)
    except FileNotFoundError as error:
        raise FileFault(path, "missing", "there is no such file") from error
    except OSError as error:
        raise FileFault(path, "unreadable", error.strerror or str(error)) from error
    if start[_DUCKDB_AT : _DUCKDB_AT + len(_DUCKDB)] == _DUCKDB:
        return Opened(path, path, _look(path))
    if looks_like_snapshot(start):
        return _of_snapshot(path, told)
    text = "neither a recording nor a snapshot of etcd or kvorum"
    raise FileFault(path, "foreign", text if start else f"empty; {text}")


def _look(path: Path) -> FileHead:
    """Have a child look. Raises FileFault."""
    command = [sys.executable, "-m", "kvorum_tui.recording.opening", str(path)]
    try:
        child = subprocess.run(command, capture_output=True, text=True, timeout=LOOK_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise FileFault(path, "damaged", f"not read within {LOOK_S:.0f} s") from error
    if child.returncode == 0:
        return FileHead(**json.loads(child.stdout))
    words = child.stderr.strip().splitlines()[-1:] or [f"the reader ended with {child.returncode}"]
    fault, colon, text = words[0].partition(": ")
    if child.returncode != 1 or not colon:
        fault, text = "damaged", words[0]
    raise FileFault(path, fault, text)


def _of_snapshot(path: Path, told: Told) -> Opened:
    folder = Path(tempfile.mkdtemp(prefix="kvorum-open-"))
    target = folder / "snapshot.duckdb"
    try:
        told("checking the snapshot")
        with open_snapshot(path) as snapshot:
            at_ms = int(path.stat().st_mtime * 1000)
            head = snapshot.head
            made = Head(path.name, "snapshot", at_ms, __version__)
            writer = RecordingWriter(target, Identity(0, 0), made)
            try:
                done = 0
                for rows in snapshot.rows():
                    while not writer.changes(rows, 0, 0):
                        writer.flush().result()
                    done += len(rows)
                    told(f"reading: {done:,} of {head.changes:,} changes")
                _outline(writer, path, at_ms, head)
                writer.flush().result()
            finally:
                writer.close()
        return replace(Opened(target, path, _look(target)), shown=path, folder=folder)
    except SnapshotFault as fault:
        shutil.rmtree(folder, ignore_errors=True)
        raise FileFault(path, "damaged", str(fault)) from fault
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _outline(writer: RecordingWriter, path: Path, at_ms: int, head: Any) -> None:
    """What a snapshot knows besides its changes, as a recording of one moment."""
    if head.compacted:
        writer.compacted(head.compacted)
    while not writer.changes([], head.revision, at_ms):
        writer.flush().result()
    members = [
        MemberIdentity(m.id, m.name, m.client_urls, m.peer_urls, m.is_learner) for m in head.members
    ]
    leases = [LeaseInfo(id, ttl_s, remaining_s or ttl_s) for id, ttl_s, remaining_s in head.leases]
    writer.sample("seen", at_ms, "members", to_json(members))
    writer.sample("seen", at_ms, "leases", to_json(leases))
    endpoint = f"file://{path.name}"
    report = MemberReport(
        endpoint,
        "etcd",
        1,
        name=path.stem,
        version=head.version,
        role="leader",
        leader=1,
        term=head.term,
        commit=head.applied,
        applied=head.applied,
        revision=head.revision,
        compact_revision=head.compacted,
        db_bytes=path.stat().st_size,
    )
    figures = (report.name, "leader", report.term, 1, report.commit, report.applied)
    more = (report.revision, report.db_bytes, "", to_json(report))
    writer.sample("reports", at_ms, endpoint, *figures, *more)


# --- the child ------------------------------------------------------------------------------------


def connect(path: Path) -> duckdb.DuckDBPyConnection:
    """A file, read-only and locked down."""
    connection = duckdb.connect(
        str(path),
        read_only=True,
        config={
            "threads": "2",
            "memory_limit": "512MB",
            "temp_directory": "",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "allow_community_extensions": "false",
            "python_enable_replacements": "false",
        },
    )
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def read_head(connection: duckdb.DuckDBPyConnection, path: Path) -> FileHead:
    """What the file says, once every row was read. Raises duckdb.Error, HistoryError, FileFault."""
    _, owner = read_identity(connection)
    progress = read_progress(connection)
    connection.execute(
        "SELECT bit_xor(hash(h)) FROM history AS h"
    ).fetchall()  # Every block carries a checksum, which is verified by reading it.
    tables = {
        name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()
    }
    if "recording" not in tables:
        times = connection.execute(
            'SELECT epoch_ms(min("at")) , epoch_ms(max("at")) FROM history '
            "WHERE \"at\" > 'epoch'::TIMESTAMP"
        ).fetchall()[0]
        began, ended = (int(each or 0) for each in times)
        return FileHead(
            "history",
            path.name,
            owner.cluster_id,
            began,
            ended,
            progress.revision,
            max(0, progress.compact_revision),
        )
    form, title, kind, began, version = connection.execute(
        "SELECT format, title, kind, epoch_ms(began), version FROM recording"
    ).fetchall()[0]
    if form != FORMAT:
        text = f"format {form}, made by kvorum {version}; this one reads {FORMAT}"
        raise FileFault(path, "newer", text)
    first = connection.execute("SELECT min(revision) FROM compaction").fetchall()[0][0]
    ended = connection.execute(
        'SELECT epoch_ms(max("at")) FROM (SELECT "at" FROM arrivals UNION ALL SELECT "at" FROM '
        'reports UNION ALL SELECT "at" FROM marks)'
    ).fetchall()[0][0]
    return FileHead(
        kind,
        title,
        owner.cluster_id,
        began,
        max(began, ended or 0),
        progress.revision,
        max(0, first or 0),
        version,
    )


def main(arguments: list[str]) -> int:
    """The child's side: 0 and JSON, or 1 and "fault: text"."""
    path = Path(arguments[0])
    try:
        with connect(path) as connection:
            head = read_head(connection, path)
    except FileFault as known:
        print(str(known).partition(": ")[2], file=sys.stderr)
        return 1
    except Exception as error:
        # Whatever DuckDB makes of the file: the parent wants one line, not a trace.
        text = str(error).replace("\n", " ")
        fault = "damaged"
        if "lock" in text and "onflicting" in text:
            fault, text = "in use", "another process writes it; end that recording first"
        elif "is not a kvorum history" in text or "does not say whose" in text:
            fault, text = "foreign", "a DuckDB file, but no recording"
        print(f"{fault}: {text}", file=sys.stderr)
        return 1
    print(json.dumps(asdict(head)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
