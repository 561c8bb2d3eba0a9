"""People's SQL about a cluster that cannot answer it itself: over a mirror of its history, and with
what no history holds, leases and members, asked from the cluster.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from kvorum.client.client import Client
from kvorum.history.query import Given, Query, asks_for
from kvorum.history.streaming import Part, parts
from kvorum.limits import (
    QUERY_BYTES,
    QUERY_BYTES_TOLD,
    QUERY_LEASES,
    QUERY_LEASES_ASKED,
    QUERY_ROWS,
    QUERY_TIMEOUT_S,
)

if TYPE_CHECKING:
    from kvorum.client.history_mirror import HistoryMirror

_AT_ONCE = 16


async def ask_mirror(
    mirror: HistoryMirror,
    client: Client,
    sql: str,
    *,
    max_rows: int = 0,
    timeout_s: float = 0,
    revision: int = 0,
) -> AsyncGenerator[Part, None]:
    """The answer in parts; the bounds 0 are our own. ``revision``: what the view ``keys`` shows, 0
    for now. Raises as :meth:`kvorum.history.query.QueryRunner.run`, and ClientError when leases or
    members are asked for and cannot be had.
    """
    query = Query(
        sql,
        max_rows=max_rows or QUERY_ROWS,
        timeout_s=timeout_s or QUERY_TIMEOUT_S,
        max_bytes=QUERY_BYTES_TOLD if max_rows > QUERY_ROWS else QUERY_BYTES,
        revision=revision,
        given=await given(client, sql),
    )
    async for part in parts(query, mirror.query):
        yield part


async def given(client: Client, sql: str) -> Given:
    """Leases and members, where the query may look at them. Raises ClientError.

    Of many leases only the first are asked how long they have left: each takes a call.
    """
    leases: list[tuple[int, int | None, int | None]] = []
    members: list[tuple[int, str, tuple[str, ...], tuple[str, ...], bool]] = []
    if asks_for(sql, "leases"):
        ids = await client.leases.list()
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one(lease: int) -> tuple[int, int, int]:
            async with gate:
                told = await client.leases.time_to_live(lease)
            return lease, told.granted_ttl_s, told.ttl_s

        asked = ids[:QUERY_LEASES_ASKED]
        known = await asyncio.gather(*(one(lease) for lease in asked))
        leases += [lease for lease in known if lease[2] >= 0]
        leases += [(lease, None, None) for lease in ids[len(asked) : QUERY_LEASES]]
    if asks_for(sql, "members"):
        found = (await client.cluster.members()).members
        members = [(m.id, m.name, m.client_urls, m.peer_urls, m.is_learner) for m in found]
    return Given(leases, members)
