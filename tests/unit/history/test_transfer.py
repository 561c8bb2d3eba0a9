"""A history from a peer: built aside, swapped in whole, and harmless when it breaks off."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from kvorum.history.copying import replace_history
from kvorum.history.database import HistoryDatabase
from kvorum.history.probe import open_history
from kvorum.history.rows import Batch, Identity
from kvorum.history.transfer import HistoryImport, import_rows, staging_path
from unit.history.conftest import OWNER, Opened
from unit.history.support import Model

RECEIVER = Identity(OWNER.cluster_id, 42)


def test_export_and_import_make_equal_histories(history: Opened, tmp_path: Path) -> None:
    model = Model(Random(5))
    history.writer.append(Batch(model.grow(200), 300, 7, model.revision))
    history.writer.compact(80).result(10)
    history.writer.append(Batch(model.grow(50), 350, 7, model.revision))
    history.writer.flush().result(10)
    path = tmp_path / "receiver" / "history.duckdb"
    path.parent.mkdir()
    before = HistoryDatabase(path, RECEIVER)
    before.close()
    incoming = import_rows(
        path,
        RECEIVER,
        history.reader.export(model.revision, page_rows=64),
        applied_index=350,
        applied_term=7,
        revision=model.revision,
        compact_revision=80,
    )
    incoming.install()
    assert [item.name for item in path.parent.iterdir()] == ["history.duckdb"]
    received = Receiver(path)
    assert received.database.progress() == (350, 7, model.revision, 80, 80)
    for revision in (80, 120, model.revision):
        theirs = received.reader.hash_at(revision).future.result(10)
        assert theirs == history.reader.hash_at(revision).future.result(10)
    rows = received.reader.key_history(b"\0", b"\0").future.result(10)
    assert rows == history.reader.key_history(b"\0", b"\0").future.result(10)
    received.close()


class Receiver(Opened):
    """The receiving side's file under its own identity."""

    def open(self) -> None:
        from kvorum.history.reader import HistoryReader
        from kvorum.history.writer import HistoryWriter

        self.database = HistoryDatabase(self.path, RECEIVER)
        self.writer = HistoryWriter(self.database, self.durable.append, self.failures.append)
        self.reader = HistoryReader(self.database)


def test_the_receivers_compaction_is_applied_to_what_arrives(tmp_path: Path) -> None:
    """The sender's rows may be older than the compaction that the image agreed to."""
    model = Model(Random(5))
    rows = model.grow(60)
    incoming = HistoryImport(tmp_path / "h.duckdb", RECEIVER)
    incoming.add(rows)
    incoming.finish(60, 2, model.revision, 30)
    incoming.install()
    received = Receiver(tmp_path / "h.duckdb")
    left = received.reader.key_history(b"\0", b"\0").future.result(10)
    assert set(left) == model.compact(30)
    received.close()


def test_a_broken_transfer_leaves_the_old_history(tmp_path: Path) -> None:
    path = tmp_path / "h.duckdb"
    HistoryDatabase(path, RECEIVER).close()
    model = Model(Random(5))
    incoming = HistoryImport(path, RECEIVER)
    incoming.add(model.grow(5))
    with pytest.raises(ValueError, match="comes after"):
        incoming.add(model.rows[:1])
    with pytest.raises(ValueError, match="not finished"):
        incoming.install()
    with pytest.raises(ValueError, match="ends at 1"):
        incoming.finish(5, 1, 1, -1)
    incoming.abort()
    assert [item.name for item in tmp_path.iterdir()] == ["h.duckdb"]

    def breaking() -> object:
        yield model.rows
        raise ConnectionError("peer went away")

    with pytest.raises(ConnectionError):
        import_rows(
            path,
            RECEIVER,
            breaking(),  # type: ignore[arg-type]  # a generator of pages
            applied_index=1,
            applied_term=1,
            revision=99,
            compact_revision=-1,
        )
    assert [item.name for item in tmp_path.iterdir()] == ["h.duckdb"]


def test_leftovers_of_a_transfer_go_at_the_next_start(tmp_path: Path) -> None:
    path = tmp_path / "h.duckdb"
    incoming = HistoryImport(path, RECEIVER)
    incoming.add(Model(Random(5)).grow(5))
    incoming._close()
    assert staging_path(path).exists()
    opened = open_history(path, RECEIVER)
    assert (opened.aside, opened.database.progress().revision) == (None, 0)
    opened.database.close()
    assert not staging_path(path).exists()


def test_an_old_log_is_never_read_beside_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "h.duckdb"
    incoming = HistoryImport(path, RECEIVER)
    incoming.finish(9, 1, 1, -1)
    path.with_name("h.duckdb.wal").write_bytes(b"the old file's log")
    incoming.install()
    database = HistoryDatabase(path, RECEIVER)
    assert database.progress().applied_index == 9
    database.close()
    path.with_name("x.wal").write_bytes(b"not folded in")
    with pytest.raises(ValueError, match="has a log"):
        replace_history(path.with_name("x"), path)
