"""etcdserverpb.Watch: many watchers on one stream (semantics page, section 6).

Two tasks a stream. The reader turns requests into inputs of the replica; half-closing ends it, not
the watch. The writer takes
what the replica delivers, encodes each response around event bytes that were encoded once for all
watchers, and hands everything
that is ready to the connection in one write; what left is reported back, which is the stream's flow
control.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from kvorum_proto import etcdserverpb as pb
from kvorum_proto.wire import field_bytes, field_varint

from kvorum.api.guards import ServerStream
from kvorum.api.headers import Headers
from kvorum.http2.messages import send_encoded
from kvorum.limits import WATCH_FRAGMENT_BYTES
from kvorum.replica.effects import Canceled, Created, Deliver, Delivery, Events, Progress
from kvorum.replica.requests import WatchSpec

if TYPE_CHECKING:
    from kvorum.server.runtime import Node

_NO_PUT, _NO_DELETE = 0, 1
_CREATED, _CANCELED, _FRAGMENT = b"\x18\x01", b"\x20\x01", b"\x38\x01"


class Watch:
    """The Watch service."""

    service = "etcdserverpb.Watch"

    def __init__(self, node: Node, headers: Headers) -> None:
        self._node = node
        self._headers = headers
        self.streams = {"Watch": self.watch}

    async def watch(self, stream: ServerStream) -> None:
        """One client stream until the client or the server ends it."""
        out = _Outbox()
        watching = self._node.open_watch_stream(out.put)

        async def listen() -> None:
            while (request := await stream.recv_message()) is not None:
                if request.create_request is not None:
                    watching.create(spec_of(request.create_request))
                elif request.cancel_request is not None:
                    watching.cancel(request.cancel_request.watch_id)
                elif request.progress_request is not None:
                    watching.progress()

        async def write() -> None:
            while True:
                deliveries = await out.take()
                payloads = [
                    payload
                    for delivery in deliveries
                    for item in delivery.items
                    for payload in self.encode(item, delivery.term)
                ]
                # type: ignore[arg-type] # grpclib's own stream
                await send_encoded(stream, payloads)
                watching.taken(sum(delivery.size_bytes for delivery in deliveries))

        tasks = [asyncio.ensure_future(work()) for work in (listen, write)]
        listening = tasks[0]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if listening in done and listening.exception() is None:
                # A half-closed watch goes on (wire page, section 1).
                done, _ = await asyncio.wait(tasks[1:], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            watching.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def encode(self, item: Delivery, term: int) -> Iterator[bytes]:
        """The WatchResponses of one item; more than one only for a fragmented batch of events."""
        if isinstance(item, Events):
            yield from self._events(item, term)
            return
        header = self._headers.field(item.revision, term)
        watch_id = field_varint(2, item.watch_id)
        if isinstance(item, Created):
            refused = _CANCELED + field_bytes(6, item.refused.encode()) if item.refused else b""
            yield header + watch_id + _CREATED + refused
        elif isinstance(item, Canceled):
            yield header + watch_id + _CANCELED + field_varint(5, item.compact_revision)
        else:
            assert isinstance(item, Progress)
            yield header + watch_id

    def _events(self, item: Events, term: int) -> Iterator[bytes]:
        head = self._headers.field(item.revision, term) + field_varint(2, item.watch_id)
        framed = (
            [event.framed_with_prev for event in item.events]
            if item.prev_kv
            else [event.framed for event in item.events]
        )
        if not item.fragment or len(head) + sum(map(len, framed)) < WATCH_FRAGMENT_BYTES:
            yield head + b"".join(framed)
            return
        part: list[bytes] = []
        size = len(head)
        for event in framed:
            if part and size + len(event) >= WATCH_FRAGMENT_BYTES:
                yield head + _FRAGMENT + b"".join(part)
                part, size = [], len(head)
            part.append(event)
            size += len(event)
        yield head + b"".join(part)


class _Outbox:
    """Deliveries between the replica and the writer; the replica bounds them
    (limits.WATCH_STREAM_BUFFER_BYTES)."""

    def __init__(self) -> None:
        self._waiting: deque[Deliver] = deque()
        self._ready = asyncio.Event()

    def put(self, delivery: Deliver) -> None:
        self._waiting.append(delivery)
        self._ready.set()

    async def take(self) -> list[Deliver]:
        """Everything there is, at least one."""
        await self._ready.wait()
        self._ready.clear()
        taken = list(self._waiting)
        self._waiting.clear()
        return taken


def spec_of(request: pb.WatchCreateRequest) -> WatchSpec:
    """A create request; unknown filter numbers are ignored, as etcd does."""
    filters = {int(number) for number in request.filters}
    return WatchSpec(
        request.key,
        request.range_end,
        request.start_revision,
        request.watch_id,
        request.prev_kv,
        request.progress_notify,
        _NO_PUT in filters,
        _NO_DELETE in filters,
        request.fragment,
    )
