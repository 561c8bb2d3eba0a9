"""Watching keys.

::

    async with client.watch("/app/", prefix=True) as watch:
        async for event in watch:
            print(event.type, event.key, event.value)

A watch survives the loss of its member: it goes on from the revision after the last one it
delivered, on another member. Events come in the order of revisions, each once; the events of one
revision are never split over batches. A reader that is too slow does not hold up other watches:
its watch leaves the stream when its buffer is full and catches up from the server's history when
the reader has made room.

What iteration raises: :class:`CompactedError` when the revisions that come next are compacted
away (its ``compact_revision`` can be watched from), :class:`PermissionDeniedError`,
:class:`ConnectError` when no member could be reached for the first time within the client's
timeout.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from kvorum_proto import etcdserverpb as pb

from kvorum.client.errors import ConnectError
from kvorum.client.types import Event, Key, key_range
from kvorum.client.watcher import WatchBatch, Watcher
from kvorum.errors import Code

if TYPE_CHECKING:
    from kvorum.client.watch_stream import WatchStream


@dataclass(frozen=True, slots=True)
class WatchStatistics:
    """How a watch is doing. ``endpoint`` is empty while there is no stream."""

    endpoint: str
    next_revision: int
    delivered_events: int
    dropped_duplicates: int
    buffered_events: int
    resumes: int
    catch_ups: int
    live: bool
    last_error: str


class Watch:
    """One watch. Iterate over it for events, or over :meth:`batches` for what came together.

    It starts when it is first awaited in any way. Leave it with ``async with`` or :meth:`close`;
    one that nobody holds any more ends by itself.
    """

    def __init__(
        self, stream: WatchStream, watcher: Watcher, *, first_answer_s: float, dial_s: float
    ) -> None:
        self._stream = stream
        self._watcher = watcher
        self._first_answer_s = first_answer_s
        self._dial_s = min(dial_s, first_answer_s)
        self._batch: list[Event] = []

    async def __aenter__(self) -> Self:
        await self.started()
        return self

    async def __aexit__(self, *error: object) -> None:
        self.close()

    def __del__(self) -> None:
        watcher = getattr(self, "_watcher", None)
        if watcher is not None and not watcher.closed:
            self._stream.drop(watcher)

    async def started(self) -> int:
        """Wait until the server has the watch; every later change will be seen.

        Returns the first revision that is watched. Raises as iteration does.
        """
        watcher = self._watcher
        self._stream.add(watcher)
        if not watcher.started.is_set():
            # When nobody can even be connected to, the answer is not waited for.
            if not await self._wait_started(self._dial_s) and self._stream.unreachable is not None:
                self.close()
                raise self._stream.unreachable
            if not await self._wait_started(max(0.0, self._first_answer_s - self._dial_s)):
                self.close()
                if self._stream.last_error is not None:
                    raise self._stream.last_error
                text = f"no member answered within {self._first_answer_s:.3g} s"
                raise ConnectError(text, code=Code.UNAVAILABLE)
        if watcher.error is not None and watcher.empty:
            raise watcher.error
        return watcher.first_revision

    async def _wait_started(self, timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                await self._watcher.started.wait()
        except TimeoutError:
            return False
        return True

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while not self._batch:
            batch = await self.next_batch()
            self._batch = list(reversed(batch.events))
        return self._batch.pop()

    async def batches(self) -> AsyncIterator[WatchBatch]:
        """Events as they came together, whole revisions, and progress notices if they were asked
        for.
        """
        while True:
            try:
                yield await self.next_batch()
            except StopAsyncIteration:
                return

    async def next_batch(self) -> WatchBatch:
        """The next batch. Raises as iteration does, ``StopAsyncIteration`` after :meth:`close`."""
        await self.started()
        watcher = self._watcher
        while watcher.empty:
            if watcher.error is not None:
                raise watcher.error
            if watcher.closed:
                raise StopAsyncIteration
            await watcher.wait()
        batch = watcher.take()
        self._stream.taken(watcher)
        return batch

    async def request_progress(self) -> None:
        """Ask the server to say how far it is; the answer is a batch without events.

        Only a watch made with ``progress=True`` delivers it. etcd before 3.4.25 answers too
        early, so its answer is not taken for the point to resume from.
        """
        await self.started()
        await self._stream.request_progress()

    def close(self) -> None:
        """End the watch; iteration stops after what is buffered. Harmless when it has ended."""
        self._stream.drop(self._watcher)

    def statistics(self) -> WatchStatistics:
        """How the watch is doing."""
        watcher, stream = self._watcher, self._stream
        return WatchStatistics(
            endpoint="" if stream.endpoint is None else str(stream.endpoint),
            next_revision=watcher.next_revision,
            delivered_events=watcher.delivered_events,
            dropped_duplicates=watcher.dropped_duplicates,
            buffered_events=watcher.buffered_events,
            resumes=watcher.resumes,
            catch_ups=watcher.catch_ups,
            live=watcher.live,
            last_error="" if stream.last_error is None else str(stream.last_error),
        )


def watch(
    stream: WatchStream,
    key: Key,
    range_end: Key | None,
    *,
    prefix: bool,
    from_key: bool,
    start_revision: int,
    prev_kv: bool,
    no_put: bool,
    no_delete: bool,
    progress: bool,
    first_answer_s: float,
    dial_s: float,
) -> Watch:
    """A watch on a stream; :meth:`kvorum.client.session.Session.watch` says what the arguments
    mean.
    """
    start, end = key_range(key, range_end, prefix=prefix, from_key=from_key)
    filters = [pb.FilterType.NOPUT] * no_put + [pb.FilterType.NODELETE] * no_delete
    request = pb.WatchCreateRequest(
        key=start,
        range_end=end,
        start_revision=start_revision,
        progress_notify=True,
        filters=filters,
        prev_kv=prev_kv,
        fragment=True,
    )
    watcher = Watcher(request, progress=progress)
    return Watch(stream, watcher, first_answer_s=first_answer_s, dial_s=dial_s)
