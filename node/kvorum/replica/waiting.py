"""Who waits for an answer, and until which tick."""

from __future__ import annotations

import heapq

from kvorum.machine.commands import Envelope


class Waiter:
    """One caller. ``entered`` says whether its proposal has gone into raft: after that its fate is
    not ours to know."""

    __slots__ = ("data", "deadline", "entered", "envelope", "request", "request_id", "started")

    def __init__(
        self,
        request_id: int,
        request: object,
        started: int,
        deadline: int,
        envelope: Envelope | None = None,
        data: bytes = b"",
    ) -> None:
        self.request_id = request_id
        self.request = request
        self.started = started
        self.deadline = deadline
        self.envelope = envelope
        self.data = data
        self.entered = False


class Waiting:
    """Waiters by request id with their deadlines in ticks (0: none)."""

    def __init__(self) -> None:
        self._by_id: dict[int, Waiter] = {}
        self._deadlines: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, request_id: int) -> bool:
        return request_id in self._by_id

    def add(self, waiter: Waiter) -> Waiter:
        """Register a caller; an id is used once."""
        assert waiter.request_id not in self._by_id, "request ids are unique"
        self._by_id[waiter.request_id] = waiter
        if waiter.deadline:
            heapq.heappush(self._deadlines, (waiter.deadline, waiter.request_id))
        return waiter

    def get(self, request_id: int) -> Waiter | None:
        """The waiter, if it still waits."""
        return self._by_id.get(request_id)

    def pop(self, request_id: int) -> Waiter | None:
        """The waiter, which waits no longer."""
        return self._by_id.pop(request_id, None)

    def expired(self, now: int) -> list[Waiter]:
        """Waiters whose time is over; they wait no longer."""
        out = []
        while self._deadlines and self._deadlines[0][0] <= now:
            waiter = self._by_id.pop(heapq.heappop(self._deadlines)[1], None)
            if waiter is not None:
                out.append(waiter)
        return out
