"""A copy without holes: equal to the history, smaller, and harmless when it is dropped."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from kvorum.history import defragment
from kvorum.history.database import HistoryDatabase
from kvorum.history.defragment import Defragmentation
from kvorum.history.probe import open_history
from kvorum.history.reader import HistoryInterrupted
from kvorum.history.rows import Batch, Row
from kvorum.history.transfer import copy_path
from unit.history.conftest import OWNER, Opened
from unit.history.support import Model


def put(revision: int, size: int) -> Row:
    """A put of one of ten keys."""
    value = Random(revision).randbytes(size)
    return Row(revision, 0, 0, b"k%d" % (revision % 10), value, 2, 1, 0, 0, revision, 2, "")


def write(history: Opened, first: int, last: int, size: int = 2_000) -> None:
    rows = [put(revision, size) for revision in range(first, last + 1)]
    history.writer.append(Batch(rows, last * 10, 1, last))
    history.writer.flush().result(30)


def swap(history: Opened, work: Defragmentation) -> None:
    """The last steps, as the desk takes them."""
    history.reader.close()
    history.writer.close()
    connection = history.database.connect()
    progress = history.database.progress()
    work.copy(connection, progress.revision)
    connection.close()
    work.finish(progress)
    history.database.close()
    work.install()
    history.open()


def test_the_file_shrinks_and_everything_kept_is_equal(history: Opened) -> None:
    for first in range(2, 12_002, 1_000):
        write(history, first, first + 999)
    assert history.database.free_bytes == 0
    history.writer.compact(11_900).result(30)
    before = history.database.size_bytes()
    # Compaction alone gives most of the room back for new rows, but the file stays as long.
    assert history.database.free_bytes > before // 2
    hashes = {r: history.reader.hash_at(r).future.result(30) for r in (11_900, 11_950, 12_001)}
    rows = history.reader.key_history(b"\0", b"\0").future.result(30)
    work = Defragmentation(history.path, OWNER)
    connection = history.database.connect()
    work.copy(connection, 12_001)
    connection.close()
    assert work.rows == 10 + 101
    write(history, 12_002, 12_050)
    swap(history, work)
    assert history.database.size_bytes() < before // 8
    assert history.database.free_bytes == 0
    assert history.database.progress() == (120_500, 1, 12_050, 11_900, 11_900)
    for revision, expected in hashes.items():
        assert history.reader.hash_at(revision).future.result(30) == expected
    after = history.reader.key_history(b"\0", b"\0", to_revision=12_001).future.result(30)
    assert after == rows
    assert [item.name for item in history.path.parent.iterdir()] == ["history.duckdb"]
    # It goes on as any other.
    write(history, 12_051, 12_060)
    assert history.database.progress().revision == 12_060


def test_a_random_history_with_a_compaction_in_the_middle(history: Opened) -> None:
    model = Model(Random(7), keys=40)
    history.writer.append(Batch(model.grow(300), 300, 3, model.revision))
    history.writer.compact(60).result(10)
    work = Defragmentation(history.path, OWNER)
    work._span = 7
    connection = history.database.connect()
    work.copy(connection, 200)
    history.writer.compact(150).result(10)
    history.writer.append(Batch(model.grow(100), 400, 3, model.revision))
    history.writer.flush().result(10)
    work.copy(connection, model.revision)
    connection.close()
    swap(history, work)
    left = history.reader.key_history(b"\0", b"\0").future.result(10)
    assert set(left) == model.compact(150)
    assert left == sorted(left)


def test_stretches_are_bounded_in_bytes(history: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(defragment, "HISTORY_COPY_BYTES", 10_000)
    write(history, 2, 200)
    work = Defragmentation(history.path, OWNER)
    taken: list[int] = []
    add = work._incoming.add_stored

    def counted(rows: object, through: int) -> None:
        taken.append(through)
        add(rows, through)  # type: ignore[arg-type]  # whatever copy() gave

    monkeypatch.setattr(work._incoming, "add_stored", counted)
    connection = history.database.connect()
    work.copy(connection, 200)
    connection.close()
    steps = [after - before for before, after in zip([1, *taken], taken, strict=False)]
    assert max(steps) <= 5, "2,000 bytes a revision"
    assert taken[-1] == 200
    assert work.rows == 199
    swap(history, work)
    assert len(history.reader.key_history(b"\0", b"\0").future.result(10)) == 199


def test_a_dropped_copy_leaves_nothing(history: Opened) -> None:
    write(history, 2, 100)
    work = Defragmentation(history.path, OWNER)
    connection = history.database.connect()
    work.copy(connection, 50)
    work.abort()
    assert not copy_path(history.path).exists()
    with pytest.raises(HistoryInterrupted, match="stopped"):
        work.copy(connection, 100)
    connection.close()
    write(history, 101, 110)


def test_a_start_removes_what_a_crash_left(tmp_path: Path) -> None:
    path = tmp_path / "history.duckdb"
    HistoryDatabase(path, OWNER).close()
    left = copy_path(path)
    left.write_bytes(b"half a copy")
    left.with_name(left.name + ".wal").write_bytes(b"and its log")
    opened = open_history(path, OWNER)
    opened.database.close()
    assert opened.aside is None
    assert [item.name for item in tmp_path.iterdir()] == ["history.duckdb"]


def test_rows_that_are_forgotten_count_as_room_where_no_block_is_free(history: Opened) -> None:
    write(history, 2, 2_001)
    history.writer.checkpoint().result(30)
    history.writer.compact(1_990).result(30)
    history.writer.checkpoint().result(30)
    before, free = history.database.size_bytes(), history.database.free_bytes
    blocks = history.database.connect()
    rows = blocks.execute("SELECT block_size * free_blocks FROM pragma_database_size()").fetchall()
    blocks.close()
    assert rows[0][0] < free < before
    work = Defragmentation(history.path, OWNER)
    connection = history.database.connect()
    work.copy(connection, 2_001)
    connection.close()
    swap(history, work)
    assert abs(before - free - history.database.size_bytes()) <= 1 << 20
    assert history.database.free_bytes == 0
