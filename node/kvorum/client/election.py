"""Choosing one leader among several candidates, and following who it is.

::

    election = client.election("/election/worker")
    async with election.campaign("host-1", ttl_s=10) as leadership:
        ...                                 # leads until leadership.lost is set
    async for leader in election.observe():
        print(leader.value)
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Self

from kvorum.client.lease import Lease
from kvorum.client.ops import Compare, Put
from kvorum.client.queueing import Place
from kvorum.client.types import Key, KeyValue, RangeResult, to_bytes

if TYPE_CHECKING:
    from kvorum.client.session import Session


class Election:
    """An election by name. Observing needs no candidacy."""

    def __init__(self, session: Session, name: Key) -> None:
        self._session = session
        self._name = to_bytes(name)

    def campaign(self, value: Key, *, ttl_s: int = 10) -> Leadership:
        """Stand for election; entering the result with ``async with`` waits until elected."""
        return Leadership(self._session, self._name, to_bytes(value), ttl_s)

    async def leader(self) -> KeyValue | None:
        """The present leader's key, or None when nobody leads."""
        found = await self._oldest()
        return found.kvs[0] if found.kvs else None

    async def observe(self) -> AsyncGenerator[KeyValue, None]:
        """The leader now, then every new leader and every new value of a leader.

        Changes that follow one another quickly may be seen as the last of them only.
        """
        while True:
            found = await self._oldest()
            after = found.header.revision + 1
            if not found.kvs:
                watch = self._session.watch(
                    self._name + b"/", prefix=True, start_revision=after, no_delete=True
                )
                async with watch:
                    await anext(watch)
                continue
            yield found.kvs[0]
            async with self._session.watch(found.kvs[0].key, start_revision=after) as watch:
                async for event in watch:
                    if event.type == "DELETE":
                        break
                    yield event.kv

    async def _oldest(self) -> RangeResult:
        return await self._session.range(
            self._name + b"/", prefix=True, sort_by="create", sort_order="ascend", limit=1
        )


class Leadership:
    """A candidacy that, once entered, is the leadership."""

    def __init__(self, session: Session, name: bytes, value: bytes, ttl_s: int) -> None:
        self._session = session
        self._name = name
        self._value = value
        self._lease = Lease(session.leases, session.lease_stream, ttl_s)
        self._place: Place | None = None

    async def __aenter__(self) -> Self:
        await self._lease.start()
        place = Place(self._session, self._name, self._lease)
        try:
            await place.take(self._value)
            await place.wait_first()
        except BaseException:
            await self._lease.stop()  # Withdraws the candidacy.
            raise
        self._place = place
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.resign()

    async def proclaim(self, value: Key) -> None:
        """Publish another value without a new election. Raises ``OwnershipLost`` when no longer
        leading.
        """
        place = self._leading
        done = await (
            self._session.txn()
            .if_(place.owned)
            .then(Put(place.key, value, lease=self._lease.id))
            .commit()
        )
        if not done.succeeded:
            raise place.lost_error("no longer the leader")

    async def resign(self) -> None:
        """Step down; the next candidate leads. Out of reach of the cluster, that happens when
        the lease expires.
        """
        await self._lease.stop()

    @property
    def _leading(self) -> Place:
        if self._place is None:
            raise RuntimeError("not elected: enter the campaign with `async with`")
        return self._place

    @property
    def key(self) -> bytes:
        """The key that stands for this leader."""
        return self._leading.key

    @property
    def token(self) -> int:
        """The fencing token: larger for each leader after this one."""
        return self._leading.revision

    @property
    def owned(self) -> Compare:
        """A condition for transactions: still the leader."""
        return self._leading.owned

    @property
    def lost(self) -> asyncio.Event:
        """Set when the leadership can no longer be relied on."""
        return self._lease.lost
