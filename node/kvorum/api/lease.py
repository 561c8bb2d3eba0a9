"""etcdserverpb.Lease (semantics page, section 7)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from kvorum_proto import etcdserverpb as pb
from kvorum_proto.wire import field_bytes, field_varint

from kvorum.api.guards import ServerStream, Who
from kvorum.api.headers import Headers
from kvorum.api.rules import require
from kvorum.machine import commands
from kvorum.machine.results import LeaseGrantResult
from kvorum.replica.requests import Done, LeaseClock

if TYPE_CHECKING:
    from kvorum.server.runtime import Node

# Renewals of one stream under way at once: they share a round, and a flood waits in the socket.
_PIPELINE = 256


class Lease:
    """Leases: the leader keeps their clocks, every member answers."""

    service = "etcdserverpb.Lease"

    def __init__(self, node: Node, headers: Headers) -> None:
        self._node = node
        self._headers = headers
        self.unary = {
            "LeaseGrant": self.grant,
            "LeaseRevoke": self.revoke,
            "LeaseTimeToLive": self.time_to_live,
            "LeaseLeases": self.leases,
        }
        self.streams = {"LeaseKeepAlive": self.keep_alive}

    async def grant(self, request: pb.LeaseGrantRequest, who: Who) -> bytes:
        """Create a lease; too small a TTL is raised, not refused."""
        done = await self._node.propose(commands.LeaseGrant(request.id, request.ttl), who())
        result = done.value
        assert isinstance(result, LeaseGrantResult)
        return (
            self._headers.field(done.stamp.revision, done.stamp.term)
            + field_varint(2, result.id)
            + field_varint(3, result.ttl_s)
        )

    async def revoke(self, request: pb.LeaseRevokeRequest, who: Who) -> bytes:
        """End a lease; its keys die in one revision."""
        done = await self._node.propose(commands.LeaseRevoke(request.id), who())
        return self._headers.field(done.stamp.revision, done.stamp.term)

    async def time_to_live(self, request: pb.LeaseTimeToLiveRequest, who: Who) -> bytes:
        """Remaining seconds, -1 for a lease that is not there."""
        auth = self._node.machine.auth
        require(auth.check_user(who()))
        done = await self._node.lease_ask((request.id,), renew=False, keys=request.keys)
        clock = _clock(done)
        if clock.keys:
            auth, caller = self._node.machine.auth, who()
            for key in clock.keys:
                require(auth.check_read(caller, key))
        header = self._headers.field(done.stamp.revision, done.stamp.term)
        if not clock.granted_s:
            return header + field_varint(2, request.id) + field_varint(3, -1)
        return b"".join(
            (
                header,
                field_varint(2, clock.id),
                field_varint(3, clock.remaining_s),
                field_varint(4, clock.granted_s),
                *(field_bytes(5, key) for key in clock.keys),
            )
        )

    async def leases(self, request: pb.LeaseLeasesRequest, who: Who) -> bytes:
        """Ids of all leases, from this member's own state."""
        node = self._node
        require(node.machine.auth.check_lease_read(who(), node.machine.leases))
        ids = [field_bytes(2, field_varint(1, lease)) for lease in node.replica.lease_ids()]
        return self._headers.field(node.machine.revision, node.term) + b"".join(ids)

    async def keep_alive(self, stream: ServerStream, who: Who) -> None:
        """One answer a request, in order; TTL 0 for a lease that is gone. Ends when the client has
        said its last.
        """
        asked: asyncio.Queue[asyncio.Task[Done] | None] = asyncio.Queue()
        room = asyncio.Semaphore(_PIPELINE)
        tasks: set[asyncio.Task[Done]] = set()

        async def listen() -> None:
            try:
                while (request := await stream.recv_message()) is not None:
                    await room.acquire()
                    machine = self._node.machine
                    lease = machine.leases.get(request.id)
                    require(machine.auth.check_lease_write(who(), lease))
                    asking = self._node.lease_ask((request.id,), renew=True, keys=False)
                    task = asyncio.ensure_future(asking)
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                    asked.put_nowait(task)
            finally:
                asked.put_nowait(None)

        listening = asyncio.ensure_future(listen())
        try:
            while (renewing := await asked.get()) is not None:
                await stream.send_message(self._renewal(await renewing))
                room.release()
            await listening
        finally:
            left: list[asyncio.Future[Any]] = [listening, *tasks]
            for future in left:
                future.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    def _renewal(self, done: Done) -> bytes:
        clock = _clock(done)
        return (
            self._headers.field(done.stamp.revision, done.stamp.term)
            + field_varint(2, clock.id)
            + field_varint(3, clock.granted_s)
        )


def _clock(done: Done) -> LeaseClock:
    clocks = done.value
    assert isinstance(clocks, tuple)
    clock = clocks[0]
    assert isinstance(clock, LeaseClock)
    return clock
