"""The disk thread: order, group commit, and that the first failure is the last word."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Sequence

import pytest
from kvorum.raft.types import ConfState, Entry, EntryKind, HardState, SnapshotMeta
from kvorum.replica.effects import Persist
from kvorum.server.crash import Exit, FatalError
from kvorum.server.disk import DiskThread
from kvorum.storage.interface import WalMetadata, WalStatistics
from kvorum.storage.memory import MemoryDisk
from kvorum.storage.wal import Wal

META = WalMetadata(0xC1, 0x1)


def entry(index: int, data: bytes = b"x") -> Entry:
    return Entry(index, 1, EntryKind.NORMAL, data)


def persist(ticket: int, sync: bool = True) -> Persist:
    return Persist(ticket, None, (entry(ticket),), sync)


class SlowStore:
    """A log store that notes what is asked of it; syncs wait until they are let go."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.gate = threading.Event()
        self.entered = threading.Event()

    def append(
        self,
        hard_state: HardState | None = None,
        entries: Sequence[Entry] = (),
        snapshot: SnapshotMeta | None = None,
        reset: bool = False,
    ) -> None:
        self.calls.append(f"append {entries[0].index}")

    def flush(self) -> None:
        self.calls.append("flush")

    def sync(self) -> int:
        self.entered.set()
        assert self.gate.wait(30)
        self.calls.append("sync")
        return 0

    def cut(self, index: int) -> int:
        self.calls.append(f"cut {index}")
        return 0

    def close(self) -> None:
        self.calls.append("close")

    def statistics(self) -> WalStatistics:
        return WalStatistics(1, 0, 1, 0, 0, 0, 0)


class Reports:
    """What the thread says to the loop."""

    def __init__(self) -> None:
        self.tickets: list[int] = []
        self.failure: BaseException | None = None
        self._changed = asyncio.Event()

    def persisted(self, ticket: int) -> None:
        self.tickets.append(ticket)
        self._changed.set()

    def failed(self, error: BaseException) -> None:
        self.failure = error
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


def test_what_a_started_node_writes_first_is_reported_too() -> None:
    """A commit index that is heard of before anything else: it has no ticket of its own, and what
    the node says next waits for it.
    """
    store = Wal.create(MemoryDisk(random.Random(1)), META, salt=1)

    async def run() -> list[int]:
        reports = Reports()
        disk = DiskThread(asyncio.get_running_loop(), store, reports.persisted, reports.failed)
        disk.start()
        disk.persist((Persist(0, HardState(1, 0, 0), (), False),))
        await reports.until(lambda: bool(reports.tickets))
        disk.close()
        return reports.tickets

    assert asyncio.run(run()) == [0]


def test_what_queues_up_during_a_sync_shares_the_next() -> None:
    store = SlowStore()

    async def run() -> list[int]:
        reports = Reports()
        disk = DiskThread(asyncio.get_running_loop(), store, reports.persisted, reports.failed)
        disk.start()
        disk.persist((persist(1),))
        assert await asyncio.to_thread(store.entered.wait, 30)
        for ticket in range(2, 8):
            disk.persist((persist(ticket),))
        store.gate.set()
        await reports.until(lambda: reports.tickets[-1:] == [7])
        disk.close()
        assert disk.fsync.count == 2
        return reports.tickets

    assert asyncio.run(run()) == [1, 7]
    appends = [f"append {i}" for i in range(2, 8)]
    assert store.calls == ["append 1", "flush", "sync", *appends, "flush", "sync", "close"]


def test_operations_keep_their_place_among_writes() -> None:
    store = SlowStore()
    store.gate.set()

    async def run() -> None:
        reports = Reports()
        disk = DiskThread(asyncio.get_running_loop(), store, reports.persisted, reports.failed)
        disk.persist((persist(1), persist(2)))
        disk.cut(5)
        disk.perform(lambda log: store.calls.append("operation"))
        disk.persist((persist(3, sync=False),))
        disk.start()
        await reports.until(lambda: reports.tickets[-1:] == [3])
        disk.close()

    asyncio.run(run())
    before = ["append 1", "append 2", "flush", "sync", "cut 5", "operation"]
    assert store.calls == [*before, "append 3", "flush", "close"]


def test_entries_are_on_disk_when_the_ticket_comes_back() -> None:
    disk = MemoryDisk(random.Random(1))
    wal = Wal.create(disk, META, salt=7)
    wal.append(HardState(1, 0, 0), (), SnapshotMeta(0, 0, ConfState((1,))))

    async def run() -> None:
        reports = Reports()
        thread = DiskThread(asyncio.get_running_loop(), wal, reports.persisted, reports.failed)
        thread.start()
        thread.persist((persist(1), persist(2)))
        await reports.until(lambda: reports.tickets == [2])
        disk.crash()

    asyncio.run(run())
    _, found = Wal.open(disk, META)
    assert [e.index for e in found.entries] == [1, 2]


def test_the_first_failed_sync_is_reported_and_ends_the_thread() -> None:
    disk = MemoryDisk(random.Random(1))
    wal = Wal.create(disk, META, salt=7)

    async def run() -> BaseException | None:
        reports = Reports()
        thread = DiskThread(asyncio.get_running_loop(), wal, reports.persisted, reports.failed)
        disk.fail_syncs = 0
        thread.start()
        thread.persist((persist(1),))
        await reports.until(lambda: reports.failure is not None)
        thread.persist((persist(2),))
        thread.close()
        assert reports.tickets == []
        return reports.failure

    failure = asyncio.run(run())
    assert isinstance(failure, FatalError)
    assert failure.code == Exit.DISK


def test_an_exception_nobody_foresaw_is_reported_as_it_is() -> None:
    store = SlowStore()

    async def run() -> BaseException | None:
        reports = Reports()
        disk = DiskThread(asyncio.get_running_loop(), store, reports.persisted, reports.failed)
        disk.start()

        def surprise(log: object) -> None:
            raise KeyError("surprise")

        disk.perform(surprise)
        await reports.until(lambda: reports.failure is not None)
        return reports.failure

    assert isinstance(asyncio.run(run()), KeyError)


@pytest.mark.parametrize("delay_s", [0.05])
def test_a_slow_fsync_fault_delays_and_counts(delay_s: float) -> None:
    store = SlowStore()
    store.gate.set()

    async def run() -> int:
        reports = Reports()
        disk = DiskThread(
            asyncio.get_running_loop(),
            store,
            reports.persisted,
            reports.failed,
            lambda: delay_s,
        )
        disk.start()
        disk.persist((persist(1),))
        await reports.until(lambda: reports.tickets == [1])
        disk.close()
        return disk.fsync.read().max_us

    assert asyncio.run(run()) >= delay_s * 1e6
