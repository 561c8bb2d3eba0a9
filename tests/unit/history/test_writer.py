"""The writer: order, merging, back-pressure, the index with its rows, and what ends it."""

from __future__ import annotations

import threading
from pathlib import Path
from random import Random

import duckdb
import pytest
from kvorum.history.database import ForeignHistory, HistoryDatabase, HistoryFailed
from kvorum.history.rows import Batch, Identity, Row
from kvorum.history.writer import HistoryWriter
from unit.history.conftest import OWNER, Opened
from unit.history.support import Model


def test_rows_and_index_are_there_after_a_restart(history: Opened) -> None:
    model = Model(Random(1))
    rows = model.grow(50)
    history.writer.append(Batch(rows, 77, 4, model.revision))
    history.writer.append(Batch([], 78, 4, model.revision))
    durable = history.writer.flush().result(10)
    assert (durable.applied_index, durable.revision) == (78, model.revision)
    assert durable.checkpointed_index == 0
    assert history.durable[-1] == durable
    history.close()
    history.open()
    assert history.database.progress()[:3] == (78, 4, model.revision)
    assert history.reader.key_history(b"\0", b"\0").future.result(10) == rows
    assert history.writer.statistics().checkpointed_index == 78, "closing checkpoints"


def test_many_batches_become_few_transactions(history: Opened) -> None:
    model = Model(Random(1))
    for _ in range(500):
        history.writer.append(Batch(model.change(), model.revision, 1, model.revision))
    history.writer.flush().result(10)
    figures = history.writer.statistics()
    assert figures.rows_written == len(model.rows)
    assert figures.transactions <= 20
    assert figures.queued_rows == 0


def test_a_checkpoint_covers_all_that_was_queued_before(history: Opened) -> None:
    model = Model(Random(1))
    for _ in range(20):
        history.writer.append(Batch(model.change(), model.revision, 1, model.revision))
    durable = history.writer.checkpoint().result(10)
    assert durable.checkpointed_index == durable.applied_index == model.revision
    assert history.database.log_bytes() == 0
    connection = history.database.connect()
    assert connection.execute("SELECT count(*) FROM progress").fetchone() == (1,)
    connection.close()


def test_a_checkpoint_does_not_wait_for_readers(history: Opened) -> None:
    model = Model(Random(1))
    history.writer.append(Batch(model.grow(10), 10, 1, model.revision))
    history.writer.flush().result(10)
    pages = history.reader.export(model.revision, page_rows=1)
    next(pages)
    history.writer.append(Batch(model.grow(10), 20, 1, model.revision))
    history.writer.compact(5).result(10)
    assert history.writer.checkpoint().result(10).checkpointed_index == 20
    pages.close()  # type: ignore[attr-defined]  # a generator


def test_a_full_queue_takes_nothing(tmp_path: Path) -> None:
    gate = threading.Event()
    database = HistoryDatabase(tmp_path / "h.duckdb", OWNER)
    writer = HistoryWriter(
        database,
        on_durable=lambda _: None,
        on_failure=lambda error: None,
        failpoint=lambda name: gate.wait(10) and None,
        gather_s=0,
        batch_rows=1,
        queue_rows=10,
    )
    model = Model(Random(1))
    taken = refused = 0
    for _ in range(50):
        batch = Batch(model.change(), model.revision, 1, model.revision)
        if writer.append(batch):
            taken += 1
            last = batch
        else:
            refused += 1
    assert refused and 10 <= taken <= 12
    gate.set()
    assert writer.flush().result(10).applied_index == last.applied_index
    huge = Batch(model.grow(20), 999, 1, model.revision)
    assert len(huge.rows) > 10 and writer.append(huge), "an empty queue takes any batch"
    writer.close()
    database.close()


def test_the_first_error_is_the_last(tmp_path: Path) -> None:
    failures: list[BaseException] = []
    database = HistoryDatabase(tmp_path / "h.duckdb", OWNER)
    writer = HistoryWriter(database, lambda _: None, failures.append)
    good = Row(2, 0, 0, b"k", b"v", 2, 1, 0, 0, 0, 0, "")
    writer.append(Batch([good], 2, 1, 2))
    writer.flush().result(10)
    writer.append(Batch([good._replace(revision=3), good._replace(revision=2**70)], 3, 1, 3))
    after = writer.flush()
    assert isinstance(after.exception(10), HistoryFailed)
    with pytest.raises(HistoryFailed):
        writer.close()
    with pytest.raises(HistoryFailed):
        writer.append(Batch([], 9, 1, 9))
    assert len(failures) == 1
    assert database.progress()[:3] == (2, 1, 2), "nothing of the failed transaction is there"
    database.close()


@pytest.mark.parametrize(
    "point,applied",
    [
        ("history_commit_before", 0),
        ("history_commit_after", 30),
        ("history_checkpoint_before", 30),
        ("history_checkpoint_after", 30),
        ("history_sweep_before", 30),
        ("history_sweep_after", 30),
    ],
)
def test_stopping_at_any_point_leaves_index_and_rows_agreed(
    tmp_path: Path, point: str, applied: int
) -> None:
    class Stop(Exception):
        pass

    def failpoint(name: str) -> None:
        if name == point:
            raise Stop

    database = HistoryDatabase(tmp_path / "h.duckdb", OWNER)
    writer = HistoryWriter(database, lambda _: None, lambda error: None, failpoint)
    model = Model(Random(1))
    rows = model.grow(20)
    writer.append(Batch(rows, 30, 1, model.revision))
    try:
        writer.checkpoint().result(10)
        writer.compact(10).result(10)
        writer.flush().result(10)
    except (Stop, HistoryFailed):
        pass
    with pytest.raises(HistoryFailed):
        writer.close()
    database.close()

    database = HistoryDatabase(tmp_path / "h.duckdb", OWNER)
    writer = HistoryWriter(database, lambda _: None, lambda error: None)
    writer.flush().result(10)  # An agreed compaction is carried out at the start.
    found = database.progress()
    assert found.applied_index == applied
    assert found.swept_revision == found.compact_revision
    connection = database.connect()
    count = connection.execute("SELECT count(*) FROM history").fetchone()
    connection.close()
    expected = 0 if not applied else len(model.compact(10) if "sweep" in point else rows)
    assert count == (expected,)
    writer.close()
    database.close()


def test_abandoning_leaves_the_queue_unwritten(tmp_path: Path) -> None:
    database = HistoryDatabase(tmp_path / "h.duckdb", OWNER)
    writer = HistoryWriter(database, lambda _: None, lambda error: None, gather_s=60)
    writer.append(Batch(Model(Random(1)).grow(3), 5, 1, 4))
    writer.abandon()
    assert database.progress().applied_index == 0
    with pytest.raises(HistoryFailed):
        writer.flush()
    database.close()


def test_another_members_file_is_refused(history: Opened) -> None:
    history.close()
    with pytest.raises(ForeignHistory, match="belongs to"):
        HistoryDatabase(history.path, Identity(1, 2))
    other = history.path.with_name("other.duckdb")
    with duckdb.connect(str(other)) as connection:
        connection.execute("CREATE TABLE t (x INTEGER)")
    with pytest.raises(ForeignHistory, match="not a kvorum history"):
        HistoryDatabase(other, OWNER)
    history.open()


def test_the_instance_is_locked_down(history: Opened) -> None:
    connection = history.database.connect()
    for statement in (
        "SELECT * FROM read_csv('/etc/hostname')",
        "COPY history TO '/tmp/never-written.csv'",
        "SET threads = 1",
        "INSTALL httpfs",
    ):
        with pytest.raises(duckdb.Error):
            connection.execute(statement)
    connection.close()


def test_a_log_that_vanishes_while_it_is_measured_counts_for_nothing(
    history: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint takes DuckDB's log away at any moment, also between two questions about it."""
    history.writer.checkpoint().result(10)
    assert history.database.log_bytes() == 0
    monkeypatch.setattr(Path, "exists", lambda self: True)
    assert history.database.size_bytes() == history.path.stat().st_size
