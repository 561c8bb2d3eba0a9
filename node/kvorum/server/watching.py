"""Watch streams, as the runtime numbers them: a sink for deliveries, and the timer of progress
marks.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from kvorum.replica.effects import Deliver
from kvorum.replica.inputs import (
    Input,
    WatchCancel,
    WatchClose,
    WatchCreate,
    WatchProgress,
    WatchProgressDue,
    WatchTaken,
)
from kvorum.replica.requests import WatchSpec

# A delivery is handed over on the loop, within the turn that made it; a sink must not block.
Sink = Callable[[Deliver], None]


class WatchStream:
    """One client stream with its watchers."""

    def __init__(self, streams: WatchStreams, number: int) -> None:
        self._streams = streams
        self.number = number
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def create(self, spec: WatchSpec) -> None:
        """Open a watcher; the sink gets ``Created``."""
        self._post(WatchCreate(self.number, spec))
        if spec.progress_notify and self._timer is None and not self._closed:
            self._arm()

    def cancel(self, watch_id: int) -> None:
        """Close a watcher; the sink gets ``Canceled``. Unknown ids are ignored."""
        self._post(WatchCancel(self.number, watch_id))

    def progress(self) -> None:
        """Ask how far the stream is; the sink gets ``Progress`` once everything before it was
        delivered.
        """
        self._post(WatchProgress(self.number))

    def taken(self, size_bytes: int) -> None:
        """Deliveries of this size (``Deliver.size_bytes``) have left the stream's queue."""
        self._post(WatchTaken(self.number, size_bytes))

    def close(self) -> None:
        """The client is gone. A second call changes nothing."""
        if self._closed:
            return
        self._post(WatchClose(self.number))
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._streams.closed(self.number)

    def _post(self, happened: Input) -> None:
        if not self._closed:
            self._streams.post(happened)

    def _arm(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._streams.interval_s(), self._due)

    def _due(self) -> None:
        self._post(WatchProgressDue(self.number))
        self._arm()


class WatchStreams:
    """All streams of a node.

    Args:
        post: hands an input to the replica.
        progress_interval_s: between two progress marks of an idle stream; each wait is up to a
            tenth longer, so that many streams opened together do not all fall due together.
    """

    def __init__(
        self, post: Callable[[Input], None], progress_interval_s: float, rng: random.Random
    ) -> None:
        self.post = post
        self._progress_interval_s = progress_interval_s
        self._rng = rng
        self._sinks: dict[int, Sink] = {}
        self._next = 1

    def open(self, sink: Sink) -> WatchStream:
        """A new stream."""
        number, self._next = self._next, self._next + 1
        self._sinks[number] = sink
        return WatchStream(self, number)

    def deliver(self, effect: Deliver) -> None:
        """Hand deliveries to their stream, if it is still there."""
        sink = self._sinks.get(effect.stream)
        if sink is not None:
            sink(effect)

    def closed(self, number: int) -> None:
        """A stream is gone."""
        self._sinks.pop(number, None)

    def interval_s(self) -> float:
        """A wait until the next progress mark, in seconds."""
        return self._progress_interval_s * (1.0 + 0.1 * self._rng.random())
