"""The quota: a node whose data outgrows it raises an alarm, which stops writes on all members.

What is measured is the history's size on disk, as etcd measures its backend's: that is what fills a
disk. The alarm goes through raft, so that refusing is the same on every member; this node refuses
at once besides (contract page "errors", section 2.1).
"""

from __future__ import annotations

import time
from collections.abc import Callable

from kvorum.machine import commands as c

_LOOK_EVERY_S = 0.5


class Quota:
    """Says whether a command needs room that is not there.

    Args:
        quota_bytes: 0 is no quota.
        size_bytes: asks for the size; looked at twice a second at most.
        now: seconds of a monotonic clock.
    """

    def __init__(
        self,
        quota_bytes: int,
        size_bytes: Callable[[], int],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._quota_bytes = quota_bytes
        self._size_bytes = size_bytes
        self._now = now
        self._next_look_s = 0.0
        self._over = False

    def refuses(self, command: c.Command) -> bool:
        """Whether the command asks for room and there is none."""
        if not self._quota_bytes or not needs_room(command):
            return False
        now = self._now()
        if now >= self._next_look_s:
            self._next_look_s = now + _LOOK_EVERY_S
            self._over = self._size_bytes() > self._quota_bytes
        return self._over


def needs_room(command: object) -> bool:
    """A put, a transaction with one, or a new lease."""
    if isinstance(command, c.Txn):
        return any(needs_room(op) for op in (*command.success, *command.failure))
    return isinstance(command, (c.Put, c.LeaseGrant))
