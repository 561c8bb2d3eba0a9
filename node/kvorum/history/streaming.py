"""The rows of a query, batch by batch, for asyncio: nobody holds an answer whole, and a query whose
rows nobody takes waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, NamedTuple

from kvorum.history.query import Column, Query, QueryResult

_LOOK_S = 0.1  # How soon a query's thread notices that it was stopped while nobody took its rows.
Batch = tuple[tuple[Column, ...], list[str]]


class Part(NamedTuple):
    """Some rows of an answer, as JSON; ``truncated`` in the last: there would be more."""

    columns: tuple[Column, ...]
    rows_json: list[str]
    truncated: bool


async def parts(
    query: Query, run: Callable[[Query], Awaitable[QueryResult]]
) -> AsyncGenerator[Part, None]:
    """Run a query and give its rows out as they come, in at least one part. Who stops listening
    stops it. Raises as ``run``, which calls :meth:`kvorum.history.query.QueryRunner.run` in a
    thread.
    """
    queue: asyncio.Queue[Batch] = asyncio.Queue(1)
    query.told = _into(queue, query)
    running = asyncio.ensure_future(run(query))
    before: Batch | None = None
    try:
        async for batch in _taken(queue, running):
            # The last batch says whether there would be more, so each waits for the next.
            if before is not None:
                yield Part(*before, truncated=False)
            before = batch
        result = await running
        assert before is not None, "there is one batch at least"
        yield Part(*before, truncated=result.truncated)
    finally:
        query.cancel()
        running.cancel()


async def _taken(
    queue: asyncio.Queue[Batch], running: asyncio.Future[QueryResult]
) -> AsyncGenerator[Batch, None]:
    """Batches until the query is over."""
    while not (running.done() and queue.empty()):
        taking = asyncio.ensure_future(queue.get())
        try:
            both: tuple[asyncio.Future[Any], ...] = (taking, running)
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if taking.done():
                yield taking.result()
        finally:
            taking.cancel()


def _into(
    queue: asyncio.Queue[Batch], query: Query
) -> Callable[[tuple[Column, ...], list[str]], None]:
    """What the query's thread calls: it waits until there is room, or the query is stopped."""
    loop = asyncio.get_running_loop()

    def told(columns: tuple[Column, ...], rows: list[str]) -> None:
        putting = asyncio.run_coroutine_threadsafe(queue.put((columns, rows)), loop)
        while not query.ending:
            try:
                putting.result(_LOOK_S)
                return
            except TimeoutError:
                continue
        putting.cancel()

    return told
