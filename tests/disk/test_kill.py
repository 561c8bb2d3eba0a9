"""kill -9 of processes that write: all they called durable is there, and nothing is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from disk import history_child, wal_child
from kvorum.history.copying import set_aside
from kvorum.history.database import HistoryDatabase, log_path
from kvorum.history.probe import open_history, probe
from kvorum.history.rows import Row
from kvorum.history.selects import key_history
from kvorum.storage.filesystem import DataDirLock, DataDirLocked, RealDisk
from kvorum.storage.interface import Verdict, WalMetadata
from kvorum.storage.wal import Wal

HERE = Path(__file__).parent


def start(script: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(HERE / script), *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(HERE.parent)},
    )


def read_lines(child: subprocess.Popen[str], count: int) -> list[str]:
    assert child.stdout is not None
    return [child.stdout.readline().strip() for _ in range(count)]


def kill(child: subprocess.Popen[str]) -> list[str]:
    """Kill it; what it still said before it died."""
    child.kill()
    rest, _ = child.communicate()
    return rest.split("\n")[:-1]  # The last line may be half a number.


def test_a_killed_log_writer_loses_nothing_it_acknowledged(tmp_path: Path) -> None:
    acknowledged = 0
    for round_number in range(6):
        child = start("wal_child.py", str(tmp_path))
        said = read_lines(child, 20 + 30 * round_number) + kill(child)
        acknowledged = int(said[-1])
        wal, found = Wal.open(RealDisk(tmp_path), WalMetadata(1, 2))
        wal.close()
        assert found.last_index >= acknowledged
        assert found.verdict in (Verdict.CLEAN, Verdict.TORN)
        assert [entry.index for entry in found.entries] == list(range(1, found.last_index + 1))
        assert all(entry.data == wal_child.payload(entry.index) for entry in found.entries)
    assert found.segments > 3


def check_history(path: Path, at_least: int) -> int:
    """Open a history and compare every row with what its revision must hold; its revision."""
    database = HistoryDatabase(path, history_child.OWNER)
    progress = database.progress()
    connection = database.connect()
    rows = key_history(connection, b"\0", b"\0")
    connection.close()
    database.close()
    assert progress.applied_index >= at_least
    assert progress.applied_index == progress.revision * 10
    expected = [history_child.row(revision) for revision in range(2, progress.revision + 1)]
    assert rows == after_compaction(expected, progress.swept_revision)
    return progress.revision


def after_compaction(rows: list[Row], swept: int) -> list[Row]:
    newest = {row.key: row for row in rows if row.revision <= swept}
    return [row for row in rows if row.revision > swept or newest[row.key] == row]


def test_a_killed_history_writer_loses_nothing_it_called_durable(tmp_path: Path) -> None:
    path = tmp_path / "h.duckdb"
    for round_number in range(4):
        child = start("history_child.py", str(path), "100000", "")
        said = read_lines(child, 15 + 20 * round_number) + kill(child)
        durable = int(said[-1].split()[0])
        assert probe(path, history_child.OWNER).progress is not None
        check_history(path, durable)


@pytest.mark.parametrize(
    "point",
    [
        "history_commit_before",
        "history_commit_after",
        "history_checkpoint_before",
        "history_checkpoint_after",
        "history_sweep_before",
        "history_sweep_after",
    ],
)
def test_killed_at_every_point_twice_in_a_row(tmp_path: Path, point: str) -> None:
    path = tmp_path / "h.duckdb"
    durable = 0
    for _ in range(2):
        child = start("history_child.py", str(path), "200", point)
        out, _ = child.communicate(timeout=60)
        assert child.returncode == -9, "the failpoint did not bite"
        said = [line.split() for line in out.splitlines()]
        durable = max(durable, *(int(line[0]) for line in said))
        check_history(path, durable)


@pytest.mark.parametrize(
    ("point", "whole"),
    [
        ("defragment_copied", False),
        ("defragment_finished", True),
        ("history_replace_before", True),
        ("history_replace_unlogged", True),
        ("history_replace_after", True),
        ("defragment_installed", True),
    ],
)
def test_killed_while_defragmenting(tmp_path: Path, point: str, whole: bool) -> None:
    """Twice in a row, then once to the end: one good file each time, with everything durable."""
    path = tmp_path / "h.duckdb"
    for dies in (point, point, ""):
        child = start("defragment_child.py", str(path), dies)
        out, _ = child.communicate(timeout=60)
        said = out.split()
        if dies:
            assert child.returncode == -9, "the failpoint did not bite"
            assert len(said) == (2 if whole else 1)
        else:
            assert (child.returncode, said[-1]) == (0, "done")
            said.pop()
        opened = open_history(path, history_child.OWNER)
        opened.database.close()
        assert (opened.aside, opened.reason) == (None, "")
        assert [x.name for x in tmp_path.iterdir() if "defragmented" in x.name] == []
        check_history(path, int(said[-1]) * 10)


def write_history(path: Path, count: int) -> tuple[int, int]:
    """A history whose last rows are in DuckDB's log only: its writer was killed."""
    child = start("history_child.py", str(path), str(count), "")
    said: list[list[str]] = []
    while (line := read_lines(child, 1)[0]) != "done":
        said.append(line.split())
    kill(child)
    assert log_path(path).stat().st_size > 0
    return int(said[-1][0]), int(said[-1][1])


def test_a_cut_duckdb_log_is_never_older_than_the_checkpoint(tmp_path: Path) -> None:
    """DuckDB opens it without a word; what the writer called checkpointed is the floor."""
    path = tmp_path / "h.duckdb"
    durable, checkpointed = write_history(path, 50)
    assert 0 < checkpointed < durable
    file, log = path.read_bytes(), log_path(path).read_bytes()
    older = 0
    for size in range(0, len(log), max(1, len(log) // 12)):
        path.write_bytes(file)
        log_path(path).write_bytes(log[:size])
        revision = check_history(path, checkpointed)
        older += revision * 10 < durable
    assert older > 6


def test_damaged_histories_are_set_aside_and_started_anew(tmp_path: Path) -> None:
    path = tmp_path / "h.duckdb"
    durable, checkpointed = write_history(path, 50)
    file, log = path.read_bytes(), log_path(path).read_bytes()
    refused = 0
    spots = [*range(4096 + 100, len(file), len(file) // 5)]
    for offset in spots:
        damaged = bytearray(file)
        damaged[offset] ^= 0x40
        path.write_bytes(damaged)
        log_path(path).write_bytes(log)
        opened = open_history(path, history_child.OWNER)
        progress = opened.database.progress()
        opened.database.close()
        if opened.aside is not None:
            refused += 1
            assert progress.applied_index == 0
            assert opened.reason
            assert opened.aside.read_bytes() == bytes(damaged)
        else:
            # Bytes that no block uses: the content must be whole.
            check_history(path, durable)
        for part in tmp_path.glob("h.duckdb*"):
            part.unlink()
    assert refused > 0
    for offset in range(8, len(log), len(log) // 6):
        damaged = bytearray(log)
        damaged[offset] ^= 0x40
        path.write_bytes(file)
        log_path(path).write_bytes(damaged)
        opened = open_history(path, history_child.OWNER)
        opened.database.close()
        # Refused, or an older state, which the checkpoint bounds.
        if opened.aside is None:
            check_history(path, checkpointed)
        for part in tmp_path.glob("h.duckdb*"):
            part.unlink()


def test_a_missing_short_or_foreign_file_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "h.duckdb"
    write_history(path, 5)
    file = path.read_bytes()
    for content in (None, b"", file[: len(file) // 2], file[:1000], b"not a database" * 1000):
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        log_path(path).write_bytes(b"stray log")
        opened = open_history(path, history_child.OWNER)
        assert opened.aside is not None and opened.reason
        assert opened.database.progress().applied_index == 0
        opened.database.close()
    assert len(list(tmp_path.glob("*.broken-*.wal"))) == 5
    path.write_bytes(b"x")
    assert set_aside(path).name == "h.duckdb.broken-6"


def test_a_locked_data_directory_names_its_owner(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib; from kvorum.storage.filesystem import DataDirLock; "
        "lock = DataDirLock(pathlib.Path(sys.argv[1])); print('locked', flush=True); "
        "sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "data")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "locked\n"
    with pytest.raises(DataDirLocked, match=f"in use by process {holder.pid}") as locked:
        DataDirLock(tmp_path / "data")
    assert locked.value.pid == holder.pid
    holder.kill()
    holder.communicate()
    with DataDirLock(tmp_path / "data"), pytest.raises(DataDirLocked):
        DataDirLock(tmp_path / "data")
    DataDirLock(tmp_path / "data").release()
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
