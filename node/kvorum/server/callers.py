"""Who waits for an answer of the replica: request ids and the futures behind them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from kvorum.errors import Condition, KvorumError
from kvorum.failpoints import Failpoint, nothing
from kvorum.limits import MAX_PENDING_REQUESTS
from kvorum.replica.inputs import Cancel, Input
from kvorum.replica.requests import Done, Failed, Outcome
from kvorum.server.latency import LatencyRing

_ID_BITS = 48
_FREE_BITS = 8


def id_base(member_id: int, boot_ms: int) -> int:
    """The first request id of a boot: 16 bits of the member, then its boot time, then eight free
    bits.

    256 ids a millisecond of running are free before two boots of one member could meet.
    """
    return (member_id & 0xFFFF) << _ID_BITS | (boot_ms << _FREE_BITS) & ((1 << _ID_BITS) - 1)


class Callers:
    """Requests on their way.

    Args:
        post: hands an input to the replica.
        first_id: ids count from here.
        failpoint: the place where a write's outcome is known and not told.
    """

    def __init__(
        self, post: Callable[[Input], None], first_id: int, failpoint: Failpoint = nothing
    ) -> None:
        self._post = post
        self._failpoint = failpoint
        self._next_id = first_id
        self._waiting: dict[int, asyncio.Future[Outcome]] = {}
        self._stopped = False
        self.propose = LatencyRing()

    def __len__(self) -> int:
        return len(self._waiting)

    def next_id(self) -> int:
        """A request id nobody had before."""
        self._next_id = (self._next_id + 1) & 0xFFFF_FFFF_FFFF_FFFF or 1
        return self._next_id

    async def ask(self, make: Callable[[int], Input], timed: bool = False) -> Done:
        """Post a request and wait for its answer.

        Args:
            make: the input for a request id.
            timed: whether the waiting counts as a proposal's latency.

        Raises KvorumError for a refusal or failure. Cancelling the waiting task tells the replica
        that nobody waits.
        """
        if self._stopped:
            raise KvorumError(Condition.STOPPED)
        if len(self._waiting) >= MAX_PENDING_REQUESTS:
            raise KvorumError(Condition.TOO_MANY_REQUESTS)
        request_id = self.next_id()
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = future
        started = time.perf_counter_ns()
        self._post(make(request_id))
        try:
            outcome = await future
        except asyncio.CancelledError:
            if self._waiting.pop(request_id, None) is not None:
                self._post(Cancel(request_id))
            raise
        if timed:
            self._failpoint("reply_before")
            self.propose.add((time.perf_counter_ns() - started) // 1000)
        if isinstance(outcome, Failed):
            raise KvorumError(outcome.condition, outcome.detail)
        return outcome

    def answer(self, reply: Any) -> None:
        """A ``Reply`` effect: wake whoever waits. Nobody may: it was cancelled, or another boot
        asked.
        """
        future = self._waiting.pop(reply.request_id, None)
        if future is not None and not future.done():
            future.set_result(reply.outcome)

    def stop(self) -> None:
        """The node stops: everybody who waits is told, and nobody may ask any more."""
        self._stopped = True
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_result(Failed(Condition.STOPPED))
