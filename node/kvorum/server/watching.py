"""Watch streams, as the runtime numbers them: each with a sink for its deliveries."""

from __future__ import annotations

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
    """One client stream with its watchers. Nothing it does blocks; answers come to its sink."""

    def __init__(self, streams: WatchStreams, number: int) -> None:
        self._streams = streams
        self.number = number
        self._closed = False

    def create(self, spec: WatchSpec) -> None:
        """Open a watcher; the sink gets ``Created``."""
        self._post(WatchCreate(self.number, spec))

    def cancel(self, watch_id: int) -> None:
        """Close a watcher; the sink gets ``Canceled``. Unknown ids are ignored."""
        self._post(WatchCancel(self.number, watch_id))

    def progress(self) -> None:
        """Ask how far the stream is; the sink gets ``Progress`` when everything before is out."""
        self._post(WatchProgress(self.number))

    def progress_due(self) -> None:
        """The stream's progress interval passed; silent watchers that asked for marks get one."""
        self._post(WatchProgressDue(self.number))

    def taken(self, size_bytes: int) -> None:
        """Deliveries of this size (``Deliver.size_bytes``) have left the stream's queue."""
        self._post(WatchTaken(self.number, size_bytes))

    def close(self) -> None:
        """The client is gone. A second call changes nothing."""
        self._post(WatchClose(self.number))
        self._closed = True
        self._streams.closed(self.number)

    def _post(self, happened: Input) -> None:
        if not self._closed:
            self._streams.post(happened)


class WatchStreams:
    """All streams of a node. ``post`` hands an input to the replica."""

    def __init__(self, post: Callable[[Input], None]) -> None:
        self.post = post
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
