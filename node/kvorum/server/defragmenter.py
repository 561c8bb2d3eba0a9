"""Defragment: this member gives back the disk space that compactions have freed.

A copy without holes is made beside the history in use (``history.defragment``), while reads and
writes go on. Rounds follow one another, each copying what was written during the one before; when
little is left the files change places, and what is asked for in that moment waits some
milliseconds. Writers are slowed by that moment only; what waits is bounded as the history's lag is
(``limits.WINDOW_HARD_EVENTS``).

One at a time on a member. Whoever asks meanwhile gets a run that begins after they asked, shared by
all who wait: what they compacted before asking is gone then.
"""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import Future

from kvorum.history.reader import HistoryInterrupted
from kvorum.history.writer import Durable
from kvorum.limits import DEFRAGMENT_NEAR_REVISIONS, DEFRAGMENT_PATIENCE_S, DEFRAGMENT_ROUNDS
from kvorum.server.ports import Copy, HistoryPort

log = logging.getLogger(__name__)


class Defragmenter:
    """Runs defragmentations of one member, on its loop.

    Args:
        history: what is defragmented.
        patience_s: how long a run waits for snapshots under way before it ends them.
    """

    def __init__(self, history: HistoryPort, patience_s: float = DEFRAGMENT_PATIENCE_S) -> None:
        self._history = history
        self._patience_s = patience_s
        self._running: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None

    @property
    def inflight(self) -> bool:
        """Whether one is under way."""
        return self._running is not None

    async def run(self) -> None:
        """Returns when a defragmentation that began after this call is done.

        It goes on when the caller leaves. Raises HistoryError, OSError and duckdb.Error: the
        history in use is as it was then.
        """
        if self._next is None:
            self._next = asyncio.create_task(self._after(self._running))
            self._next.add_done_callback(_heard)
        await asyncio.shield(self._next)

    async def _after(self, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait((before,))
        self._running, self._next = self._next, None
        try:
            await self._defragment()
        finally:
            self._running = None

    async def _defragment(self) -> None:
        history, started_s = self._history, time.monotonic()
        size, used = history.size_bytes, history.in_use_bytes
        log.info(
            "starting to defragment",
            extra={"current-db-size-bytes": size, "current-db-size-in-use-bytes": used},
        )
        copy = await asyncio.to_thread(history.begin_copy)
        try:
            await self._copy(copy)
            # Snapshots under way may end; what is written meanwhile is copied too.
            await asyncio.to_thread(history.wait_for_exports, self._patience_s)
            await self._copy(copy)
            await asyncio.shield(asyncio.wrap_future(history.replace(copy)))
        except BaseException as error:
            log.warning("failed to defragment", extra={"error": str(error) or repr(error)})
            copy.work.stopping.set()
            await asyncio.to_thread(copy.work.abort)
            raise
        log.info(
            "finished defragmenting",
            extra={
                "rows": copy.work.rows,
                "current-db-size-bytes": history.size_bytes,
                "current-db-size-in-use-bytes": history.in_use_bytes,
                "current-db-size-bytes-diff": history.size_bytes - size,
                "took": f"{time.monotonic() - started_s:.3f}s",
            },
        )

    async def _copy(self, copy: Copy) -> None:
        """Copy until little is left."""
        for number in range(1, DEFRAGMENT_ROUNDS + 1):
            goal = await self._committed()
            left = goal - copy.work.through
            if left <= DEFRAGMENT_NEAR_REVISIONS and number > 1:
                return
            await self._round(copy, goal)
            log.info(
                "defragmenting",
                extra={"round": number, "rows": copy.work.rows, "through-revision": goal},
            )

    async def _round(self, copy: Copy, goal: int) -> None:
        work = copy.work
        await asyncio.wrap_future(
            self._history.export(lambda connection: work.copy(connection, goal), work.stopping)
        )

    async def _committed(self) -> int:
        """The newest revision of the history, once everything queued so far is in it."""
        loop = asyncio.get_running_loop()
        reached: asyncio.Future[int] = loop.create_future()

        def done(result: Future[Durable]) -> None:
            if result.cancelled() or result.exception() is not None:
                loop.call_soon_threadsafe(_settle, reached, -1)
            else:
                loop.call_soon_threadsafe(_settle, reached, result.result().revision)

        self._history.flush(done)
        revision = await reached
        if revision < 0:
            raise HistoryInterrupted("the history was replaced meanwhile")
        return revision


def _settle(future: asyncio.Future[int], value: int) -> None:
    if not future.done():
        future.set_result(value)


def _heard(task: asyncio.Task[None]) -> None:
    """Whoever asked may have left: an error is in the log already."""
    if not task.cancelled():
        task.exception()
