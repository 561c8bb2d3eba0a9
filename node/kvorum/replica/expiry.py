"""The clocks of leases: on the leader only, in ticks, never on disk.

What a lease is (its TTL, its keys) is replicated state of the machine; *when* it ends is known to
the leader alone. Every
promotion therefore starts all clocks anew with the full (or checkpointed) time plus one election
timeout, so that no change
of leaders can make a lease end early (semantics page, section 7). An end is a proposal like any
other; it carries the term
it was judged in and dies in the machine if another leader's entry carries it.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from kvorum.limits import LEASE_REVOKES_PER_SCAN


class LeaseClocks:
    """Deadlines by lease id, with a lazy heap: a renewal only moves the deadline, the heap entry is
    mended when it surfaces.

    Args:
        tick_ms: length of one tick in milliseconds.
        grace_ticks: added to every clock at promotion (one election timeout).
        retry_ticks: how long to wait for a proposed end to be applied before it is proposed again.
    """

    def __init__(self, *, tick_ms: int, grace_ticks: int, retry_ticks: int) -> None:
        self._tick_ms = tick_ms
        self._grace_ticks = grace_ticks
        self._retry_ticks = retry_ticks
        self._deadline: dict[int, int] = {}
        self._heap: list[tuple[int, int]] = []
        self._proposed: dict[int, int] = {}  # lease -> tick after which its end is proposed again
        self.active = False

    def __len__(self) -> int:
        return len(self._deadline)

    def ticks(self, ttl_s: int) -> int:
        """Ticks that cover ``ttl_s`` seconds, rounded up: a lease never ends early."""
        return -(-ttl_s * 1000 // self._tick_ms)

    def promote(self, now: int, leases: Iterable[tuple[int, int]]) -> None:
        """Start the clocks of all leases, given as (id, remaining or granted TTL in seconds)."""
        self.active = True
        self._proposed.clear()
        self._deadline = {
            lease_id: now + self.ticks(ttl_s) + self._grace_ticks for lease_id, ttl_s in leases
        }
        self._heap = [(deadline, lease_id) for lease_id, deadline in self._deadline.items()]
        heapq.heapify(self._heap)

    def demote(self) -> None:
        """Another member leads: these clocks mean nothing any more."""
        self.active = False
        self._deadline.clear()
        self._heap.clear()
        self._proposed.clear()

    def granted(self, now: int, lease_id: int, ttl_s: int) -> None:
        """A lease was granted; also used for a renewal by whoever checked that it may be
        renewed."""
        if not self.active:
            return
        known = lease_id in self._deadline
        deadline = now + self.ticks(ttl_s)
        self._deadline[lease_id] = deadline
        if not known:
            heapq.heappush(self._heap, (deadline, lease_id))

    def renew(self, now: int, lease_id: int, ttl_s: int) -> bool:
        """Start a lease's clock anew. False: it has ended already (its revocation is under way) or
        is unknown."""
        deadline = self._deadline.get(lease_id)
        if deadline is None or deadline <= now or lease_id in self._proposed:
            return False
        # A renewal never shortens: after a promotion the grace makes the old deadline the later
        # one.
        self._deadline[lease_id] = max(deadline, now + self.ticks(ttl_s))
        return True

    def gone(self, lease_id: int) -> None:
        """The lease was revoked."""
        self._deadline.pop(lease_id, None)
        self._proposed.pop(lease_id, None)

    def remaining_ms(self, now: int, lease_id: int) -> int:
        """Milliseconds left, 0 when it has ended, -1 when unknown."""
        deadline = self._deadline.get(lease_id)
        if deadline is None:
            return -1
        return max(0, deadline - now) * self._tick_ms

    def due(self, now: int) -> list[int]:
        """Leases that have ended and whose end must be proposed now, oldest first, at most one
        scan's worth."""
        ended: list[int] = []
        again: list[tuple[int, int]] = []
        while self._heap and self._heap[0][0] <= now and len(ended) < LEASE_REVOKES_PER_SCAN:
            _, lease_id = heapq.heappop(self._heap)
            deadline = self._deadline.get(lease_id)
            if deadline is None:
                continue
            if deadline > now:
                heapq.heappush(self._heap, (deadline, lease_id))
                continue
            retry_at = self._proposed.get(lease_id, now)
            if retry_at <= now:
                ended.append(lease_id)
                self._proposed[lease_id] = now + self._retry_ticks
            again.append((now + self._retry_ticks, lease_id))
        for item in again:
            heapq.heappush(self._heap, item)
        return ended
