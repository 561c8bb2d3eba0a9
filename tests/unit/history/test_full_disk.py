"""A disk that fills up between the writer's look at the room and DuckDB's write: the writer waits,
readers are answered, and every row is there once. On a small file system the failures are real.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import pytest
from kvorum.history import database as database_module
from kvorum.history import writer as writer_module
from kvorum.history.database import HistoryDatabase, HistoryFailed, HistoryReopening
from kvorum.history.reader import HistoryInterrupted, HistoryReader
from kvorum.history.room import finds_no_room
from kvorum.history.rows import Batch
from kvorum.history.writer import HistoryWriter
from support.small_disk import fill, small_disk
from unit.history.conftest import OWNER
from unit.history.full_disk import (
    CHECKPOINT,
    COMMIT,
    FULL,
    PATIENCE_S,
    WRITE,
    Disk,
    Full,
    Told,
    World,
    give_up,
)
from unit.history.support import Model


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (COMMIT, True),
        (CHECKPOINT, True),
        (duckdb.IOException(f"IO Error: {WRITE}{FULL}"), True),
        (duckdb.IOException(f"IO Error: {WRITE}{os.strerror(errno.EDQUOT)}"), True),
        (duckdb.IOException(f'IO Error: Cannot open file "/d/h.duckdb.wal": {FULL}'), True),
        (OSError(errno.ENOSPC, FULL), True),
        (OSError(errno.EIO, os.strerror(errno.EIO)), False),
        (duckdb.IOException(f"IO Error: {WRITE}{os.strerror(errno.EIO)}"), False),
        (duckdb.IOException(f'IO Error: Could not fsync file "/d/h.duckdb": {FULL}'), False),
        (duckdb.FatalException(f"FATAL Error: fsync failed! {FULL}"), False),
        (
            duckdb.FatalException(
                "FATAL Error: Failed: database has been invalidated because of a previous fatal "
                "error. The database must be restarted prior to being used again.\nOriginal error: "
                f'"Failed to create checkpoint because of error: {WRITE}{FULL}"'
            ),
            False,
        ),
        (duckdb.IOException(f"IO Error: {WRITE}{FULL}\nand more"), False),
        (duckdb.BinderException(f'Binder Error: Referenced column "{FULL}" not found'), False),
        (ValueError(str(COMMIT)), False),
    ],
)
def test_only_a_write_that_found_no_room_is_taken_for_one(error: Exception, full: bool) -> None:
    assert finds_no_room(error) is full


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    # Settings stay open: DuckDB's switch is one.
    monkeypatch.setattr(database_module, "_lock_down", lambda connection: None)
    monkeypatch.setattr(writer_module, "DISK_FULL_RETRY_S", 0.01)
    made = World(tmp_path / "h.duckdb")
    yield made
    made.close()
    assert made.failures == []


def on_disk(path: Path) -> tuple[tuple[int, ...], list[tuple[int, int]]]:
    """What a file holds, opened by nobody else."""
    database = HistoryDatabase(path, OWNER)
    with database.using() as connection:
        rows = connection.execute("SELECT revision, sub FROM history ORDER BY ALL").fetchall()
    progress = database.progress()
    database.close()
    return progress, rows


STEPS = (
    ("begin", "commit"),
    ("INSERT INTO progress", "commit"),
    ("commit", "commit"),
    ("DELETE FROM progress", "checkpoint"),
    ("CHECKPOINT", "checkpoint"),
    ("INSERT INTO compaction VALUES", "compact"),
    ("DELETE FROM history", "compact"),
    ("commit", "compact"),
)


@pytest.mark.parametrize("kind", ["refused", "given up"])
@pytest.mark.parametrize(("step", "deed"), STEPS)
def test_no_room_at_any_step(world: World, step: str, deed: str, kind: str) -> None:
    """Twice in a row where the instance stays; what was asked for happens, all of it, once."""
    world.database.arm(step, kind, 2 if kind == "refused" else 1)
    if deed == "commit":
        world.append(20)
        assert world.writer.flush().result(PATIENCE_S).applied_index == 2
    elif deed == "checkpoint":
        assert world.writer.checkpoint().result(PATIENCE_S).checkpointed_index == 1
    else:
        assert world.writer.compact(10).result(PATIENCE_S) > 0
    assert world.database.times == 0
    assert world.database.generation == (kind == "given up")
    expected = world.model.compact(10) if deed == "compact" else set(world.model.rows)
    assert sorted(world.read()) == sorted(expected)
    world.append(5)
    world.writer.flush().result(PATIENCE_S)
    world.close()
    progress, rows = on_disk(world.path)
    assert progress[:3] == (world.applied, 1, world.model.revision)
    expected = world.model.compact(10) if deed == "compact" else set(world.model.rows)
    assert rows == sorted((row.revision, row.sub) for row in expected)
    world.database = Disk(world.path)
    world.open()


def test_a_commit_that_was_none_only_by_name_is_not_done_twice(world: World) -> None:
    world.database.arm("commit", "done")
    world.append(20)
    world.writer.flush().result(PATIENCE_S)
    assert world.database.generation == 1
    assert world.read() == world.model.rows


def test_readers_are_answered_while_the_writer_waits(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the instance that is opened at once, although there is no room yet."""
    full = Full(monkeypatch)
    full.at(world, "CHECKPOINT")
    world.database.arm("CHECKPOINT", "given up")
    done = world.writer.checkpoint()
    assert full.waits.wait(PATIENCE_S)
    assert world.read() == world.model.rows
    assert not done.done()
    full.over()
    assert done.result(PATIENCE_S).checkpointed_index == 1


def test_what_one_writer_leaves_on_a_full_disk_the_next_one_does(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows in hand, rows queued, and whatever was asked for: in order, once."""
    full = Full(monkeypatch)
    world.append(5)
    assert full.waits.wait(PATIENCE_S)
    world.append(5)
    waiting = [world.writer.checkpoint(), world.writer.flush(), world.writer.compact(10)]
    unwritten = world.writer.retire()
    assert unwritten is not None
    assert [isinstance(item, Batch) for item in unwritten] == [True, True, False, False, False]
    with pytest.raises(HistoryFailed, match="closed"):
        world.writer.flush()
    full.over()
    world.open(unwritten)
    assert [done.result(PATIENCE_S)[0] for done in waiting[:2]] == [3, 3]  # type: ignore[index]  # durables
    assert waiting[2].result(PATIENCE_S)
    assert sorted(world.read()) == sorted(world.model.compact(10))
    assert world.writer.retire() is None
    world.open()


def test_a_checkpoint_that_waits_is_left_to_the_next_writer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = Full(monkeypatch)
    waiting = world.writer.checkpoint()
    assert full.waits.wait(PATIENCE_S)
    unwritten = world.writer.retire()
    assert unwritten is not None and len(unwritten) == 1
    full.over()
    world.open(unwritten)
    assert waiting.result(PATIENCE_S).checkpointed_index == 1


def test_rows_that_are_committed_after_all_are_not_left_to_the_next_writer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = Full(monkeypatch)
    full.at(world, "commit")
    world.database.arm("commit", "done")
    world.append(5)
    assert full.waits.wait(PATIENCE_S)
    unwritten = world.writer.retire()
    assert unwritten is not None and len(unwritten) == 1
    full.over()
    world.open(unwritten)
    world.writer.flush().result(PATIENCE_S)
    assert world.read() == world.model.rows


@pytest.mark.parametrize("end", [HistoryWriter.close, HistoryWriter.abandon])
def test_the_end_does_not_wait_for_room(
    world: World, monkeypatch: pytest.MonkeyPatch, end: Callable[[HistoryWriter], None]
) -> None:
    """What is committed stays, the log has the rest; and nobody waits for ever."""
    full = Full(monkeypatch)
    in_hand = world.writer.checkpoint()
    assert full.waits.wait(PATIENCE_S)
    queued = world.writer.flush()
    end(world.writer)
    assert isinstance(in_hand.exception(PATIENCE_S), HistoryFailed)
    assert queued.cancelled()
    assert world.read() == world.model.rows
    full.over()
    world.open()


def test_a_file_that_cannot_be_opened_for_want_of_room_is_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = database_module._connect
    refusals = [1, 1, 1]

    def refusing(*arguments: Any) -> Any:
        if refusals:
            refusals.pop()
            raise duckdb.IOException(f"IO Error: {WRITE}{FULL}")
        return connect(*arguments)

    monkeypatch.setattr(database_module, "_connect", refusing)
    world.database.arm("CHECKPOINT", "given up")
    checkpoint = world.writer.checkpoint()
    assert world.read() == world.model.rows
    assert checkpoint.result(PATIENCE_S).checkpointed_index == 1
    assert not refusals


@pytest.mark.parametrize("lost", [True, False])
def test_a_file_that_is_not_as_it_was_ends_the_writer(
    world: World, monkeypatch: pytest.MonkeyPatch, lost: bool
) -> None:
    """Opened anew, it has lost what was committed, or is damaged."""
    reopen = HistoryDatabase.reopen

    def damaged(database: HistoryDatabase) -> None:
        if not lost:
            raise duckdb.IOException("IO Error: Corrupt database file")
        reopen(database)
        with database.using() as connection:
            connection.execute("DELETE FROM progress")

    monkeypatch.setattr(HistoryDatabase, "reopen", damaged)
    world.database.arm("CHECKPOINT", "given up")
    error = world.writer.checkpoint().exception(PATIENCE_S)
    assert isinstance(error, HistoryFailed if lost else duckdb.IOException)
    with pytest.raises(HistoryFailed):
        world.writer.close()
    assert world.failures == [error]
    world.failures.clear()
    monkeypatch.setattr(world.writer, "close", lambda: None)


# --- readers --------------------------------------------------------------------------------------


def test_closing_waits_for_whoever_is_asking(tmp_path: Path) -> None:
    """DuckDB refuses to close what is busy; nobody begins after that."""
    database = HistoryDatabase(tmp_path / "h.duckdb", OWNER)
    begun, told = threading.Event(), threading.Event()
    answers: list[object] = []

    def ask() -> None:
        with database.using(told.set) as connection:
            begun.set()
            assert told.wait(PATIENCE_S), "nobody tells it to stop"
            answers.append(connection.execute("SELECT 1").fetchone())

    asking = threading.Thread(target=ask)
    asking.start()
    assert begun.wait(PATIENCE_S)
    database.close()
    asking.join(PATIENCE_S)
    assert answers == [(1,)]
    with pytest.raises(HistoryReopening), database.using():
        pass


def test_a_short_read_is_asked_again_and_a_long_one_ends(world: World) -> None:
    """A long one that looks no more at DuckDB is told to stop; the file waits for it."""
    asked: list[int] = []
    begun, given_up = threading.Event(), threading.Event()
    stopping = threading.Event()

    def short(connection: duckdb.DuckDBPyConnection) -> object:
        asked.append(world.database.generation)
        begun.set()
        assert given_up.wait(PATIENCE_S)
        return connection.execute("SELECT count(*) FROM history").fetchone()

    def long(connection: duckdb.DuckDBPyConnection) -> object:
        assert stopping.wait(PATIENCE_S), "nobody tells it to stop"
        raise HistoryInterrupted("stopped")

    def late(connection: duckdb.DuckDBPyConnection) -> object:
        assert given_up.wait(PATIENCE_S)
        return connection.execute("SELECT 1").fetchone()

    reads = [
        world.reader.submit(short),
        world.reader.submit(long, stopping=stopping, long=True),
        world.reader.submit(late, long=True),
    ]
    assert begun.wait(PATIENCE_S)
    world.database.arm("CHECKPOINT", "given up")
    meets = world.database._meets

    def meets_and_tells(real: Any, step: str) -> None:
        try:
            meets(real, step)
        except duckdb.FatalException:
            given_up.set()
            raise

    world.database._meets = meets_and_tells  # type: ignore[method-assign]  # says when
    world.writer.checkpoint().result(PATIENCE_S)
    assert reads[0].future.result(PATIENCE_S) == (len(world.model.rows),)
    assert asked == [0, 1]
    for read in reads[1:]:
        assert isinstance(read.future.exception(PATIENCE_S), HistoryInterrupted)


def test_a_read_waits_no_longer_than_its_time_for_another_instance(world: World) -> None:
    """The writer does not open one: it has not met the failure."""
    assert world.writer.retire() is None
    connection = world.database.connect()
    connection.execute("INSERT INTO progress VALUES (0, 0, 0)")  # Something to checkpoint.
    give_up(connection)
    read = world.reader.submit(lambda connection: connection.execute("SELECT 1"), timeout_s=0.1)
    assert isinstance(read.future.exception(PATIENCE_S), duckdb.FatalException)
    world.database.reopen()
    world.open()
    assert world.read() == world.model.rows


# --- a real disk ----------------------------------------------------------------------------------


@pytest.mark.parametrize("point", ["history_commit_before", "history_checkpoint_before"])
def test_the_room_is_taken_between_the_look_and_the_write(
    tmp_path: Path, point: str, caplog: pytest.LogCaptureFixture
) -> None:
    with small_disk(tmp_path / "small", 48) as place:
        ballast: list[Path] = []

        def failpoint(name: str) -> None:
            if name == point and not ballast:
                ballast.append(fill(place))

        failures: list[BaseException] = []
        database = HistoryDatabase(place / "h.duckdb", OWNER)
        reader = HistoryReader(database)
        writer = HistoryWriter(database, lambda _: None, failures.append, failpoint)
        model = Model(Random(1))
        waits = Told("the history waits")
        with waits:
            writer.append(Batch(model.grow(200), 1, 1, model.revision))
            done = writer.checkpoint()
            assert waits.heard.wait(PATIENCE_S)
        committed = [] if point == "history_commit_before" else model.rows
        assert reader.key_history(b"\0", b"\0").future.result(PATIENCE_S) == committed
        writer.append(Batch(model.grow(200), 2, 1, model.revision))
        assert not done.done()
        ballast[0].unlink()
        assert done.result(PATIENCE_S).checkpointed_index == 1
        assert writer.checkpoint().result(PATIENCE_S).checkpointed_index == 2
        assert reader.key_history(b"\0", b"\0").future.result(PATIENCE_S) == model.rows
        assert database.generation == (point == "history_checkpoint_before")
        reader.close()
        writer.close()
        database.close()
        assert failures == []
        assert on_disk(place / "h.duckdb")[0][:3] == (2, 1, model.revision)
