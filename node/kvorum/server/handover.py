"""From a history's thread that makes something piece by piece to the loop that sends it on.

What waits is bounded, so that a slow receiver slows the thread and nothing else; one that takes
nothing for too long ends it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from kvorum.history.reader import HistoryInterrupted
from kvorum.limits import SNAPSHOT_BATCHES_WAITING

_T = TypeVar("_T")
_LOOK_S = 0.2  # How often a thread that waits for its receiver looks whether to stop.


class Handover(Generic[_T]):
    """Batches of pieces on their way. ``stopping`` is for whoever reads the history.

    Args:
        call: runs a callback on the loop, from any thread.
        stall_s: how long the receiver may take nothing.
    """

    def __init__(self, call: Callable[[Callable[[], None]], None], stall_s: float) -> None:
        self.stopping = threading.Event()
        self._call = call
        self._stall_s = stall_s
        self._room = threading.Semaphore(SNAPSHOT_BATCHES_WAITING)
        self._batches: asyncio.Queue[list[_T] | None] = asyncio.Queue()

    def put(self, batch: list[_T]) -> None:
        """On the thread: hand on, when there is room. Raises :class:`HistoryInterrupted`."""
        deadline_s = time.monotonic() + self._stall_s
        while not self._room.acquire(timeout=_LOOK_S):
            if self.stopping.is_set():
                raise HistoryInterrupted("the snapshot was stopped")
            if time.monotonic() > deadline_s:
                raise HistoryInterrupted(f"the client took nothing for {self._stall_s:g} s")
        self._call(lambda: self._batches.put_nowait(batch))

    def end(self, done: Future[Any]) -> None:
        """On any thread: nothing more comes."""
        self._call(lambda: self._batches.put_nowait(None))

    async def pieces(self) -> AsyncGenerator[_T, None]:
        """On the loop: all pieces, as they come."""
        while (batch := await self._batches.get()) is not None:
            for piece in batch:
                yield piece
            self._room.release()
