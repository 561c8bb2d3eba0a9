"""Transactions by hand; see :mod:`kvorum_tui.session.txns`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from kvorum.client import Client, RangeResult, Txn, TxnResult

from kvorum_tui.live.errors import translated
from kvorum_tui.live.records import record_of
from kvorum_tui.session.txns import Looked, Spot

AT_ONCE = 8
CALL_S = 5.0


class LiveTxns:
    """:class:`kvorum_tui.session.txns.Txns` over a client."""

    def __init__(self, client: Callable[[], Client]) -> None:
        self._client = client

    async def look(
        self, ranges: Sequence[tuple[bytes, bytes]], limit: int, revision: int = 0
    ) -> Looked:
        """The first range pins the revision for the others."""
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(key: bytes, end: bytes, at: int) -> RangeResult:
            async with gate:
                return await self._client().range(
                    key, end or None, limit=limit, revision=at, timeout_s=CALL_S
                )

        if not ranges:
            return Looked(revision, ())
        with translated():
            first = await one(*ranges[0], revision)
            at = revision or first.header.revision
            rest = await asyncio.gather(*(one(key, end, at) for key, end in ranges[1:]))
        spots = [Spot(tuple(map(record_of, r.kvs)), r.count) for r in (first, *rest)]
        return Looked(at, tuple(spots))

    async def commit(self, txn: Txn) -> TxnResult:
        """Send it; a client that may only read refuses what writes."""
        with translated():
            return await self._client().commit(txn)
