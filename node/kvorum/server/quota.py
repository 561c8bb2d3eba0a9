"""The quota: a node whose data outgrows it raises an alarm, which stops writes on all members.

What is measured is the history's size on disk, free blocks of its file and DuckDB's log included,
as etcd measures its backend's: that is what fills a disk, and what Defragment makes smaller. A disk
that is nearly full for whatever reason counts alike, while the alarm still has room. What a
command may add is etcd's estimate (contract page "semantics", section 9), made before it is agreed
on. The alarm goes through raft, so that refusing is the same on every member; this node refuses at
once besides (contract page "errors", section 2.1).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

from kvorum.limits import DISK_RESERVE_BYTES
from kvorum.machine import commands as c

_LOOK_EVERY_S = 0.5
_PUT_BYTES = 256  # What a put costs beside its key and value ...
_LEASE_BYTES = 64  # ... and a lease, as etcd counts.


class Quota:
    """Says whether a command needs room that is not there.

    Args:
        quota_bytes: 0 is no quota.
        size_bytes: measures the size; twice a second at most, and before every refusal.
        free_bytes: measures the room on the disk, as often.
        now: seconds of a monotonic clock.
    """

    def __init__(
        self,
        quota_bytes: int,
        size_bytes: Callable[[], int],
        now: Callable[[], float] = time.monotonic,
        free_bytes: Callable[[], int] | None = None,
    ) -> None:
        self._measure_free = free_bytes
        self._is_full = False
        self._quota_bytes = quota_bytes
        self._measure = size_bytes
        self._now = now
        self._next_look_s = -1.0
        self._size_bytes = 0
        self._revision = 0

    def refuses(self, command: c.Command) -> bool:
        """Whether the command asks for room and there is none."""
        if not self._quota_bytes and self._measure_free is None:
            return False
        cost = cost_bytes(command)
        if not cost:
            return False
        now = self._now()
        if now >= self._next_look_s:
            self._look(now)
        if self._is_full:
            # Room that was made since is there at once.
            self._look(now)
        if self._is_full or not self._quota_bytes:
            return self._is_full
        if self._size_bytes + cost < self._quota_bytes:
            # Until the next look this is what the size may have become.
            self._size_bytes += cost
            return False
        self._look(now)
        return self._size_bytes + cost >= self._quota_bytes

    def exceeded(self, revision: int) -> bool:
        """Whether writes up to ``revision``, other members' too, have outgrown the quota since this
        was asked last. Without new writes the answer is no: an alarm that was lowered stays so.
        """
        if revision == self._revision:
            return False
        self._revision = revision
        self._look(self._now())
        return self._is_full or 0 < self._quota_bytes <= self._size_bytes

    def _look(self, now_s: float) -> None:
        self._next_look_s = now_s + _LOOK_EVERY_S
        if self._quota_bytes:
            self._size_bytes = self._measure()
        if self._measure_free is not None:
            self._is_full = self._measure_free() < DISK_RESERVE_BYTES


async def watch(look: Callable[[], None]) -> None:
    """Look twice a second, for ever: what other members proposed fills this member's disk too."""
    while True:
        await asyncio.sleep(_LOOK_EVERY_S)
        look()


def cost_bytes(command: object) -> int:
    """About how many bytes a command may add; 0 for one that only reads or removes."""
    if isinstance(command, c.Put):
        return _PUT_BYTES + len(command.key) + len(command.value)
    if isinstance(command, c.Txn):
        return max(_sum(command.success), _sum(command.failure))
    return _LEASE_BYTES if isinstance(command, c.LeaseGrant) else 0


def _sum(operations: Iterable[object]) -> int:
    return sum(cost_bytes(operation) for operation in operations)
