"""The clocks of leases: on the leader only, in ticks, never on disk.

What a lease is (its TTL, its keys) is replicated state of the machine; *when* it ends is known to
the leader alone. Every promotion therefore starts all clocks anew with the full (or checkpointed)
time plus one election timeout, so that no change of leaders can make a lease end early (semantics
page, section 7). An end is a proposal like any other; it carries the term it was judged in and dies
in the machine if another leader's entry carries it.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from kvorum.limits import LEASE_ENDS_PER_SCAN, LEASE_REVOKES_PER_SCAN, LEASE_SCAN_MS

_HEAP_SLACK = 64  # Dead heap entries tolerated above as many as there are valid ones.


class LeaseClocks:
    """Deadlines by lease id.

    A heap says which lease to look at next. Each lease has one valid entry in it, whose tick
    ``_look`` knows; a renewal only moves the deadline and leaves the entry, which is mended when it
    surfaces. Entries of leases that are gone, or were granted anew, are dropped then, or all at
    once when they outnumber the valid ones.

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
        self._look: dict[int, int] = {}
        self._heap: list[tuple[int, int]] = []
        self.active = False

    def __len__(self) -> int:
        return len(self._deadline)

    def ticks(self, ttl_s: int) -> int:
        """Ticks after which ``ttl_s`` seconds have surely passed: a lease never ends early.

        Rounded up, and one more: a clock is started somewhere within a tick, of which part is over.
        """
        return -(-ttl_s * 1000 // self._tick_ms) + 1

    def promote(self, now: int, leases: Iterable[tuple[int, int]]) -> None:
        """Start the clocks of all leases, given as (id, remaining or granted TTL in seconds).

        All start at once now, so those of equal TTLs would end at once: they are spread.
        """
        self.active = True
        self._deadline = self._spread(
            {lease_id: now + self.ticks(ttl_s) + self._grace_ticks for lease_id, ttl_s in leases}
        )
        self._look = self._deadline.copy()
        self._rebuild()

    def _spread(self, deadlines: dict[int, int]) -> dict[int, int]:
        """Deadlines none of which is earlier, with no more of them in the time between two scans
        than are to be revoked at one.
        """
        if len(deadlines) <= LEASE_ENDS_PER_SCAN:
            return deadlines
        scan = max(1, LEASE_SCAN_MS // self._tick_ms)
        start = ends = 0
        out = {}
        for lease_id, deadline in sorted(deadlines.items(), key=lambda item: (item[1], item[0])):
            if deadline >= start + scan:
                start, ends = deadline, 0
            elif ends == LEASE_ENDS_PER_SCAN:
                start, ends = start + scan, 0
            ends += 1
            out[lease_id] = max(deadline, start)
        return out

    def demote(self) -> None:
        """Another member leads: these clocks mean nothing any more."""
        self.active = False
        self._deadline.clear()
        self._look.clear()
        self._heap.clear()

    def granted(self, now: int, lease_id: int, ttl_s: int) -> None:
        """A lease was granted."""
        if self.active:
            self._deadline[lease_id] = now + self.ticks(ttl_s)
            self._look_at(lease_id, self._deadline[lease_id])

    def has_ended(self, now: int, lease_id: int) -> bool:
        """Its time is over: its revocation is under way, and nothing brings it back."""
        deadline = self._deadline.get(lease_id)
        return deadline is not None and deadline <= now

    def renew(self, now: int, lease_id: int, ttl_s: int) -> bool:
        """Start a lease's clock anew. False: it has ended already or is unknown."""
        deadline = self._deadline.get(lease_id)
        if deadline is None or deadline <= now:
            return False
        # A renewal never shortens: after a promotion the grace makes the old deadline the later
        # one.
        self._deadline[lease_id] = max(deadline, now + self.ticks(ttl_s))
        return True

    def gone(self, lease_id: int) -> None:
        """The lease was revoked."""
        self._deadline.pop(lease_id, None)
        self._look.pop(lease_id, None)

    def remaining_ms(self, now: int, lease_id: int) -> int:
        """Milliseconds left, 0 when it has ended, -1 when unknown."""
        deadline = self._deadline.get(lease_id)
        if deadline is None:
            return -1
        return max(0, deadline - 1 - now) * self._tick_ms

    def due(self, now: int) -> list[int]:
        """Leases that have ended and whose end must be proposed now, oldest first, at most one
        scan's worth. Each is owed a word on what became of the proposal: :meth:`proposed`.
        """
        ended: list[int] = []
        while self._heap and self._heap[0][0] <= now and len(ended) < LEASE_REVOKES_PER_SCAN:
            at, lease_id = heapq.heappop(self._heap)
            if self._look.get(lease_id) != at:
                continue
            deadline = self._deadline[lease_id]
            if deadline > now:
                self._look_at(lease_id, deadline)
            else:
                del self._look[lease_id]
                ended.append(lease_id)
        return ended

    def proposed(self, now: int, lease_id: int, accepted: bool) -> None:
        """The end of a due lease was proposed: if it has not come to pass in time, or raft did not
        take the proposal at all, it is due again.
        """
        self._look_at(lease_id, now + (self._retry_ticks if accepted else 1))

    def _look_at(self, lease_id: int, tick: int) -> None:
        self._look[lease_id] = tick
        heapq.heappush(self._heap, (tick, lease_id))
        if len(self._heap) > 2 * len(self._look) + _HEAP_SLACK:
            self._rebuild()

    def _rebuild(self) -> None:
        self._heap = [(tick, lease_id) for lease_id, tick in self._look.items()]
        heapq.heapify(self._heap)
