"""Staged snapshots that are not wanted any more go, but no file that the log refers to does."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from kvorum.machine.apply import Machine
from kvorum.raft.types import ConfState, HardState, SnapshotMeta
from kvorum.replica.effects import DiscardSnapshot, InstallSnapshot, SaveSnapshot
from kvorum.replica.inputs import Input, SnapshotSaved
from kvorum.server.snapshotdesk import SnapshotDesk, Staged
from kvorum.storage.memory import MemoryDisk
from kvorum.storage.snapshot_file import Snapshots
from support.clusters import wait_until

META = SnapshotMeta(7, 2, ConfState((1, 2)))


class Bench:
    """A desk between fakes that do everything at once."""

    def __init__(self, *found: SnapshotMeta) -> None:
        self.disk = MemoryDisk(Random(1))
        self.store = Snapshots(self.disk, lambda broken: None)
        for meta in found:
            self.save(meta)
        self.posted: list[Input] = []
        self.deaths: list[BaseException] = []
        log: Any = SimpleNamespace(append=lambda *_, **__: None, sync=lambda: None)
        thread: Any = SimpleNamespace(perform=lambda operation: operation(log))
        history: Any = SimpleNamespace(
            checkpoint=self._checkpointed, hold=lambda: None, swap=lambda staged: None
        )
        self.desk = SnapshotDesk(
            self.store,
            self.disk,
            thread,
            history,
            self.posted.append,
            lambda callback: callback(),
            self.deaths.append,
        )

    @staticmethod
    def _checkpointed(done: Callable[[Future[Any]], None]) -> None:
        reached: Future[Any] = Future()
        reached.set_result(None)
        done(reached)

    def save(self, meta: SnapshotMeta) -> Any:
        return self.store.save(meta, 3, [b"state"])

    def arrives(self, meta: SnapshotMeta) -> int:
        aborted: Any = SimpleNamespace(abort=lambda: None)
        return self.desk.stage(Staged(self.save(meta), aborted))

    def end(self) -> list[str]:
        """Everything is done; the files that are left."""
        wait_until(lambda: self.desk.pending == 0, "what was staged is settled")
        self.desk.close()
        assert self.deaths == []
        return self.store.names()


def test_one_that_is_not_wanted_goes() -> None:
    bench = Bench()
    bench.desk.discard(DiscardSnapshot(bench.arrives(META)))
    assert bench.end() == []


@pytest.mark.parametrize("whose", ["found at the start", "cut here", "installed"])
def test_one_that_the_log_refers_to_stays_though_it_arrives_again(whose: str) -> None:
    """An idle leader, whose receipt was lost, sends the very same state once more."""
    bench = Bench(*[META] * (whose == "found at the start"))
    if whose == "cut here":
        bench.desk.save(SaveSnapshot(META, Machine(1, ()).image(), 3))
        wait_until(lambda: bench.posted == [SnapshotSaved(7)], "it is cut")
    elif whose == "installed":
        bench.desk.install(InstallSnapshot(bench.arrives(META), META, HardState()))
    bench.desk.discard(DiscardSnapshot(bench.arrives(META)))
    (name,) = bench.end()
    assert bench.store.verify(name).meta == META
