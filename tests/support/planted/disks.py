"""Mistakes with disks: what a crash, a failed fsync or a flipped bit must not take."""

from __future__ import annotations

from typing import Any

import pytest
from kvorum.history.writer import HistoryWriter
from kvorum.raft.types import HardState
from kvorum.replica import effects as e
from kvorum.replica import inputs as i
from kvorum.replica.state import Boot
from kvorum.sim import boot as sim_boot
from kvorum.sim.history import SimHistory
from kvorum.sim.node import SimNode
from kvorum.storage import replay
from kvorum.storage.interface import TornTail
from kvorum.storage.memory import MemoryFile
from kvorum.storage.wal import Wal, has_log

Patch = pytest.MonkeyPatch


def reply_before_fsync(patch: Patch) -> None:
    """The disk says "done" before it is."""
    original = SimNode._persist

    def persist(node: SimNode, effect: e.Persist) -> None:
        original(node, effect)
        node._later(0, lambda: node.handle(i.Persisted(effect.ticket)))

    patch.setattr(SimNode, "_persist", persist)


def vote_not_persisted(patch: Patch) -> None:
    """A restart forgets whom the node voted for."""
    original = SimNode._persist

    def persist(node: SimNode, effect: e.Persist) -> None:
        hard = effect.hard_state
        if hard is not None:
            effect = effect._replace(hard_state=HardState(hard.term, 0, hard.commit))
        original(node, effect)

    patch.setattr(SimNode, "_persist", persist)


def fsync_error_swallowed(patch: Patch) -> None:
    """A failed fsync is taken for a good one."""
    original = MemoryFile.sync

    def sync(file: MemoryFile) -> None:
        try:
            original(file)
        except OSError:
            return

    patch.setattr(MemoryFile, "sync", sync)


def segment_name_not_synced(patch: Patch) -> None:
    """A new segment's name is not made durable before entries go into it."""
    original = Wal._start_segment

    def start(wal: Wal, sequence: int, previous_crc: int) -> None:
        if sequence == 1:
            original(wal, sequence, previous_crc)
            return
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(wal._disk, "sync_directory", lambda: None)
            original(wal, sequence, previous_crc)

    patch.setattr(Wal, "_start_segment", start)


def corrupt_tail_cut(patch: Patch) -> None:
    """Damage in the midst of the log is taken for a torn tail and cut off."""

    def judge(
        state: replay.Replay, name: str, buffer: bytes, offset: int, bad: Any, *, newest: bool
    ) -> None:
        state.torn = TornTail(name, offset, len(buffer) - offset, bad.reason)

    patch.setattr(replay, "_judge", judge)


def rows_and_applied_index_apart(patch: Patch) -> None:
    """The history commits its applied index in another transaction than its rows."""

    def flush(history: SimHistory) -> None:
        history.durable_rows, history.behind = getattr(history, "behind", 0), len(history.rows)
        history.durable_rows = min(history.durable_rows, len(history.rows))
        history.durable_applied = history.applied_index
        history.durable_revision = history.revision

    patch.setattr(SimHistory, "behind", 0, raising=False)
    patch.setattr(SimHistory, "flush", flush)


def rows_again_after_a_restart(patch: Patch) -> None:
    """Replayed entries go into the history a second time."""

    def forgetful(*fields: Any) -> Boot:
        return Boot(*fields)._replace(history_applied=0)

    patch.setattr(sim_boot, "Boot", forgetful)


def term_and_vote_not_persisted(patch: Patch) -> None:
    """A restart forgets the term and the vote in it."""
    original = SimNode._persist

    def persist(node: SimNode, effect: e.Persist) -> None:
        original(node, effect._replace(hard_state=None))

    patch.setattr(SimNode, "_persist", persist)


def index_in_a_transaction_of_its_own(patch: Patch) -> None:
    """DuckDB is told how far the history has come in another transaction than the rows'."""
    original = HistoryWriter._commit

    def commit(writer: HistoryWriter, batches: list[Any]) -> None:
        last = batches[-1]
        writer._connection.execute(
            "INSERT INTO progress VALUES (?, ?, ?)",
            [last.applied_index, last.applied_term, last.revision],
        )
        original(writer, batches)

    patch.setattr(HistoryWriter, "_commit", commit)


def snapshot_file_not_synced(patch: Patch) -> None:
    """A snapshot gets its name before its bytes are durable."""
    original = MemoryFile.sync

    def sync(file: MemoryFile) -> None:
        if ".snap" not in file._name:
            original(file)

    patch.setattr(MemoryFile, "sync", sync)


def failed_sync_tried_again(patch: Patch) -> None:
    """After a failed fsync the log goes on, as if the next one could make up for it."""

    def die(wal: Wal, doing: str, error: OSError) -> None:
        raise error

    patch.setattr(Wal, "_die", die)


def log_begun_anew_when_it_is_lost(patch: Patch) -> None:
    """A known member whose log is gone starts as if it were new."""
    original = Wal.open.__func__  # type: ignore[attr-defined]  # a class method

    def begin(cls: type[Wal], disk: Any, expected: Any = None, **settings: Any) -> Any:
        if expected is not None and not has_log(disk):
            Wal.create(disk, expected, salt=1).close()
        return original(cls, disk, expected, **settings)

    patch.setattr(Wal, "open", classmethod(begin))
