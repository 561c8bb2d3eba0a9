"""Leases, locks and elections; see :mod:`kvorum_tui.session.locks`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

from kvorum.client import Client

from kvorum_tui.live.errors import translated
from kvorum_tui.live.records import record_of
from kvorum_tui.model.records import KeyRecord, LeaseInfo
from kvorum_tui.session.locks import LeasedPage

AT_ONCE = 8
PAGE_KEYS = 2_000


class LiveLocks:
    """:class:`kvorum_tui.session.locks.Locks` over a client."""

    def __init__(self, client: Callable[[], Client]) -> None:
        self._client = client

    async def lease_ids(self) -> tuple[int, ...]:
        """One call, however many there are."""
        with translated():
            return await self._client().leases.list()

    async def lease_times(self, ids: Sequence[int]) -> list[LeaseInfo]:
        """One call a lease, a few at once: etcd has none for several."""
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(lease_id: int) -> LeaseInfo:
            async with gate:
                told = await self._client().leases.time_to_live(lease_id, keys=True)
            return LeaseInfo(lease_id, told.granted_ttl_s, told.ttl_s, told.keys)

        with translated():
            return list(await asyncio.gather(*(one(lease_id) for lease_id in ids)))

    async def grant(self, ttl_s: int, lease_id: int) -> LeaseInfo:
        """A new lease."""
        with translated():
            made = await self._client().leases.grant(ttl_s, id=lease_id)
        return LeaseInfo(made.id, made.ttl_s, made.ttl_s)

    async def queue(self, prefix: bytes, limit: int) -> tuple[KeyRecord, ...]:
        """Sorted by the server."""
        with translated():
            found = await self._client().range(
                prefix, prefix=True, sort_by="create", sort_order="ascend", limit=limit
            )
        return tuple(record_of(kv) for kv in found.kvs)

    async def leased(self, revision: int) -> AsyncIterator[LeasedPage]:
        """The whole store without its values."""
        read = 0
        with translated():
            async for page in self._client().pages(
                b"", prefix=True, page_size=PAGE_KEYS, keys_only=True, revision=revision
            ):
                total = read + page.count
                read += len(page.kvs)
                held = tuple(record_of(kv) for kv in page.kvs if kv.lease)
                yield LeasedPage(held, revision or page.header.revision, read, total)
