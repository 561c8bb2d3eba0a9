"""Renewing leases: one stream renews all leases of a client.

Each lease is renewed every third of its TTL. How long a lease still lives is counted from the
moment a renewal was *sent*, which can only be earlier than the moment the server carried it out:
a client that believes it holds a lease never believes so longer than the server does. A renewal
that stays unanswered for a third of the TTL moves the stream to another member.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field

from kvorum_proto import etcdserverpb as pb

from kvorum.client.caller import Caller
from kvorum.client.errors import ClientError
from kvorum.client.methods import method
from kvorum.client.streams import SharedStream
from kvorum.errors import Condition

_KEEP_ALIVE = method("/etcdserverpb.Lease/LeaseKeepAlive")


@dataclass(eq=False)
class Renewal:
    """One lease that is kept alive.

    ``expires_s`` is the monotonic time until which the lease is certainly alive if nothing
    revokes it. ``lost`` is set when it is gone or no longer certain; it is never cleared.
    """

    lease_id: int
    ttl_s: int
    expires_s: float
    lost: asyncio.Event = field(default_factory=asyncio.Event)
    reason: str = ""
    next_s: float = 0.0
    sent_s: deque[float] = field(default_factory=deque)
    renewed: int = 0

    @property
    def interval_s(self) -> float:
        """Time between renewals, and the time to wait for one."""
        return self.ttl_s / 3

    def lose(self, reason: str) -> None:
        """It is gone."""
        if not self.lost.is_set():
            self.reason = reason
            self.lost.set()


class LeaseStream(SharedStream[pb.LeaseKeepAliveRequest, pb.LeaseKeepAliveResponse]):
    """The stream that renews, and the clock that says when."""

    def __init__(self, caller: Caller) -> None:
        super().__init__(caller, _KEEP_ALIVE, pb.LeaseKeepAliveResponse, require_leader=None)
        self._renewals: dict[int, Renewal] = {}
        self._clock: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    def add(self, renewal: Renewal) -> None:
        """Keep this lease alive from now on."""
        self._caller.pool.guard(_KEEP_ALIVE, None)
        self._renewals[renewal.lease_id] = renewal
        renewal.next_s = renewal.expires_s - renewal.ttl_s + renewal.interval_s
        self._run()
        if self._clock is None or self._clock.done():
            self._clock = asyncio.get_running_loop().create_task(
                self._tick(), name="kvorum client: lease clock"
            )
        self._changed.set()

    def remove(self, renewal: Renewal) -> None:
        """Stop keeping this lease alive."""
        if self._renewals.get(renewal.lease_id) is renewal:
            del self._renewals[renewal.lease_id]
            self._changed.set()
            self._stop_if_unneeded()

    async def aclose(self) -> None:
        """End the stream and the clock; what is left expires by itself."""
        self._renewals.clear()
        self._changed.set()
        clock, self._clock = self._clock, None
        if clock is not None:
            clock.cancel()
            await asyncio.wait([clock])
        await super().aclose()

    def _needed(self) -> bool:
        return bool(self._renewals)

    def _opened(self) -> None:
        for renewal in self._renewals.values():
            renewal.sent_s.clear()
            renewal.next_s = 0.0
        self._changed.set()

    def _received(self, reply: pb.LeaseKeepAliveResponse) -> None:
        renewal = self._renewals.get(reply.id)
        if renewal is None:
            return  # Removed while the answer was under way.
        if reply.ttl <= 0:
            self._lose(renewal, "the lease has expired or was revoked")
            return
        if renewal.sent_s:
            renewal.ttl_s = reply.ttl
            renewal.expires_s = renewal.sent_s.popleft() + reply.ttl
            renewal.renewed += 1

    def _gone(self, error: ClientError) -> None:
        for renewal in list(self._renewals.values()):
            self._lose(renewal, f"the lease cannot be renewed: {error}")

    def _lose(self, renewal: Renewal, reason: str) -> None:
        renewal.lose(reason)
        self.remove(renewal)

    async def _tick(self) -> None:
        while self._renewals:
            now_s = time.monotonic()
            wake_s = now_s + 60.0
            for renewal in list(self._renewals.values()):
                if now_s >= renewal.expires_s:
                    self._lose(renewal, "no renewal was confirmed in time")
                    continue
                if self._up and now_s >= renewal.next_s:
                    self._send(pb.LeaseKeepAliveRequest(id=renewal.lease_id))
                    renewal.sent_s.append(now_s)
                    renewal.next_s = now_s + renewal.interval_s
                if renewal.sent_s and now_s - renewal.sent_s[0] >= renewal.interval_s:
                    self._unanswered(renewal)
                due_s = renewal.next_s if self._up else renewal.expires_s
                wake_s = min(wake_s, due_s, renewal.expires_s)
            self._changed.clear()
            try:
                async with asyncio.timeout(max(0.0, wake_s - time.monotonic())):
                    await self._changed.wait()
            except TimeoutError:
                pass

    def _unanswered(self, renewal: Renewal) -> None:
        """This member does not answer: ask another one."""
        renewal.sent_s.clear()
        text = f"lease {renewal.lease_id:x} was not renewed within {renewal.interval_s:.3g} s"
        self._restart(ClientError(text, code=Condition.TIMEOUT.code, rpc=_KEEP_ALIVE.path))
