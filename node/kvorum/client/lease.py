"""Leases: keys that die with their owner.

::

    async with client.lease(ttl_s=10) as lease:
        await client.put("/services/me", "alive", lease=lease.id)
        await lease.lost.wait()
"""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from dataclasses import dataclass
from typing import Self

from kvorum_proto import etcdserverpb as pb

from kvorum.client.caller import Caller
from kvorum.client.errors import ClientError, LeaseNotFoundError
from kvorum.client.lease_stream import LeaseStream, Renewal
from kvorum.client.methods import method
from kvorum.client.types import Header, header_of
from kvorum.errors import Condition

_GRANT = method("/etcdserverpb.Lease/LeaseGrant")
_REVOKE = method("/etcdserverpb.Lease/LeaseRevoke")
_KEEP_ALIVE = method("/etcdserverpb.Lease/LeaseKeepAlive")
_TIME_TO_LIVE = method("/etcdserverpb.Lease/LeaseTimeToLive")
_LEASES = method("/etcdserverpb.Lease/LeaseLeases")


@dataclass(frozen=True, slots=True)
class LeaseGrant:
    """A granted lease. The server raises a TTL that is too short, so ``ttl_s`` may be more than
    was asked for.
    """

    header: Header
    id: int
    ttl_s: int


@dataclass(frozen=True, slots=True)
class LeaseTime:
    """What is left of a lease; ``ttl_s`` is -1 when there is no such lease."""

    header: Header
    id: int
    ttl_s: int
    granted_ttl_s: int
    keys: tuple[bytes, ...]


class Leases:
    """The lease calls themselves. Each raises a :class:`kvorum.client.errors.ClientError`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def grant(self, ttl_s: int, *, id: int = 0) -> LeaseGrant:
        """A new lease of ``ttl_s`` seconds; ``id`` 0 lets the server choose."""
        reply = await self._caller.call(
            _GRANT, pb.LeaseGrantRequest(ttl=ttl_s, id=id), pb.LeaseGrantResponse
        )
        return LeaseGrant(header_of(reply.header), reply.id, reply.ttl)

    async def revoke(self, id: int) -> Header:
        """End a lease and delete its keys. Raises ``LeaseNotFoundError`` when it is gone
        already.
        """
        reply = await self._caller.call(
            _REVOKE, pb.LeaseRevokeRequest(id=id), pb.LeaseRevokeResponse
        )
        return header_of(reply.header)

    async def time_to_live(self, id: int, *, keys: bool = False) -> LeaseTime:
        """What is left of a lease, with ``keys`` also the keys that hang on it, sorted."""
        request = pb.LeaseTimeToLiveRequest(id=id, keys=keys)
        reply = await self._caller.call(_TIME_TO_LIVE, request, pb.LeaseTimeToLiveResponse)
        return LeaseTime(
            header_of(reply.header),
            reply.id,
            reply.ttl,
            reply.granted_ttl,
            tuple(sorted(reply.keys)),
        )

    async def list(self) -> tuple[int, ...]:
        """The ids of all leases, as the answering member knows them."""
        reply = await self._caller.call(_LEASES, pb.LeaseLeasesRequest(), pb.LeaseLeasesResponse)
        return tuple(lease.id for lease in reply.leases)

    async def keep_alive_once(self, id: int) -> int:
        """Renew a lease once. Returns its full TTL in seconds; raises ``LeaseNotFoundError``
        when it is gone.
        """
        request = pb.LeaseKeepAliveRequest(id=id)
        replies = self._caller.replies(
            _KEEP_ALIVE,
            request,
            pb.LeaseKeepAliveResponse,
            timeout_s=self._caller.pool.timeout_s,
        )
        async with aclosing(replies):
            async for reply in replies:
                if reply.ttl > 0:
                    return reply.ttl
        gone = Condition.LEASE_NOT_FOUND
        raise LeaseNotFoundError(gone.message, code=gone.code, rpc=_KEEP_ALIVE.path)


class Lease:
    """A lease that is granted on entry, renewed meanwhile, and revoked on leaving.

    ``lost`` is set when the lease is gone or can no longer be relied on; what was done under it
    must then stop.
    """

    def __init__(
        self, leases: Leases, stream: LeaseStream, ttl_s: int, *, id: int = 0, revoke: bool = True
    ) -> None:
        self._leases = leases
        self._stream = stream
        self._asked_ttl_s = ttl_s
        self._asked_id = id
        self._revoke = revoke
        self._renewal: Renewal | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Grant the lease and begin to renew it."""
        before_s = time.monotonic()
        grant = await self._leases.grant(self._asked_ttl_s, id=self._asked_id)
        self._renewal = Renewal(grant.id, grant.ttl_s, before_s + grant.ttl_s)
        self._stream.add(self._renewal)

    async def stop(self) -> None:
        """Stop renewing, and revoke the lease unless it is gone or was to be left to expire.

        A member that cannot be reached is no error here: the lease then expires by itself.
        """
        if self._renewal is None:
            return
        self._stream.remove(self._renewal)
        if self._revoke and not self._renewal.lost.is_set():
            try:
                await self._leases.revoke(self.id)
            except LeaseNotFoundError:
                pass
            except ClientError as error:
                self._renewal.lose(f"not revoked, it will expire: {error}")

    @property
    def _held(self) -> Renewal:
        if self._renewal is None:
            raise RuntimeError("the lease has not been granted yet: enter it with `async with`")
        return self._renewal

    @property
    def id(self) -> int:
        """The lease's id, for ``put(..., lease=lease.id)``."""
        return self._held.lease_id

    @property
    def ttl_s(self) -> int:
        """The full TTL in seconds, as the server granted it."""
        return self._held.ttl_s

    @property
    def remaining_s(self) -> float:
        """For how long the lease is certainly alive, in seconds, if nobody revokes it."""
        return max(0.0, self._held.expires_s - time.monotonic())

    @property
    def renewals(self) -> int:
        """How often it has been renewed."""
        return self._held.renewed

    @property
    def lost(self) -> asyncio.Event:
        """Set once the lease is gone, or may be."""
        return self._held.lost

    @property
    def reason(self) -> str:
        """Why it is lost; empty while it is not."""
        return self._held.reason
