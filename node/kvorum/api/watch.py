"""etcdserverpb.Watch: many watchers on one stream (semantics page, section 6).

Two tasks a stream. The reader turns requests into inputs of the replica; half-closing ends it, not
the watch. The writer takes what the replica delivers, encodes each response around event bytes that
were encoded once for all watchers, and hands everything that is ready to the connection in one
write; what left is reported back, which is the stream's flow control. A third begins with the first
watcher that wants to be told of progress now and then.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

from kvorum_proto import etcdserverpb as pb
from kvorum_proto.wire import field_bytes, field_varint

from kvorum.api.guards import ServerStream, Who
from kvorum.api.headers import Headers
from kvorum.errors import Code, KvorumError
from kvorum.http2.messages import send_encoded
from kvorum.limits import WATCH_CATCHUP_BYTES, WATCH_FRAGMENT_BYTES, WATCH_STREAM_BUFFER_BYTES
from kvorum.replica.effects import Canceled, Created, Deliver, Delivery, Events, Progress
from kvorum.replica.requests import WatchSpec

if TYPE_CHECKING:
    from grpclib.server import Stream

    from kvorum.server.runtime import Node
    from kvorum.server.watching import WatchStream

_NO_PUT, _NO_DELETE = 0, 1
# A full buffer of events, the message that filled it, and as much of answers to requests.
_HELD_BYTES_MAX = 2 * (WATCH_STREAM_BUFFER_BYTES + WATCH_CATCHUP_BYTES)
# What a caller can be refused with, as Go prints it.
_GO_NAMES = {
    Code.INVALID_ARGUMENT: "InvalidArgument",
    Code.PERMISSION_DENIED: "PermissionDenied",
    Code.UNAUTHENTICATED: "Unauthenticated",
}
_CREATED, _CANCELED, _FRAGMENT = b"\x18\x01", b"\x20\x01", b"\x38\x01"


class Watch:
    """The Watch service."""

    service = "etcdserverpb.Watch"

    def __init__(self, node: Node, headers: Headers) -> None:
        self._node = node
        self._headers = headers
        self.streams = {"Watch": self.watch}

    async def watch(self, stream: ServerStream, who: Who) -> None:
        """One client stream until the client or the server ends it.

        As in etcd, a watcher is judged when it is created and never again.
        """
        out = _Outbox()
        watching = self._node.open_watch_stream(out.put)
        reading = asyncio.ensure_future(self._read(stream, who, watching, out))
        writing = asyncio.ensure_future(self._write(stream, watching, out))
        tasks = (reading, writing)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if reading.done() and not writing.done():
                reading.result()
                # The client has said its last, which does not end a watch (wire page, section 1).
            await writing
        finally:
            watching.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(
        self, stream: ServerStream, who: Who, watching: WatchStream, out: _Outbox
    ) -> None:
        reminding: asyncio.Task[None] | None = None
        try:
            while (request := await stream.recv_message()) is not None:
                if request.create_request is not None:
                    spec = spec_of(request.create_request)
                    watching.create(spec._replace(refused=self._refusal(spec, who)))
                    if request.create_request.progress_notify and reminding is None:
                        reminding = asyncio.ensure_future(self._remind(watching))
                elif request.cancel_request is not None:
                    watching.cancel(request.cancel_request.watch_id)
                elif request.progress_request is not None:
                    watching.progress()
                # Answers to requests are not bounded by the replica: who does not read them is
                # not heard either.
                await out.has_room()
            if reminding is not None:
                await reminding
        finally:
            if reminding is not None:
                reminding.cancel()

    def _refusal(self, spec: WatchSpec, who: Who) -> str:
        """Why the caller may not watch this range, in the words of etcd's ``cancel_reason``."""
        auth = self._node.machine.auth
        try:
            refused = auth.check_read(who(), spec.key, spec.range_end)
        except KvorumError as error:
            refused = error.condition
        if refused is None:
            return ""
        return f"rpc error: code = {_GO_NAMES[refused.code]} desc = {refused.message}"

    async def _remind(self, watching: WatchStream) -> None:
        """Progress marks now and then; up to a tenth later, so that streams do not all want them
        at once, as in etcd.
        """
        interval_s = self._node.config.watch_progress_notify_interval_s
        while True:
            await asyncio.sleep(interval_s * random.uniform(1.0, 1.1))
            watching.progress_due()

    async def _write(self, stream: ServerStream, watching: WatchStream, out: _Outbox) -> None:
        while True:
            deliveries = await out.take()
            payloads = [
                payload
                for delivery in deliveries
                for item in delivery.items
                for payload in self.encode(item, delivery.term)
            ]
            await send_encoded(cast("Stream[Any, Any]", stream), payloads)
            size = sum(delivery.size_bytes for delivery in deliveries)
            out.sent(size)
            watching.taken(size)

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
    """Deliveries between the replica and the writer. The replica bounds those of events
    (limits.WATCH_STREAM_BUFFER_BYTES); :meth:`has_room` bounds the rest.
    """

    def __init__(self) -> None:
        self._waiting: deque[Deliver] = deque()
        self._held_bytes = 0
        self._ready = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    def put(self, delivery: Deliver) -> None:
        """Something for the stream."""
        self._waiting.append(delivery)
        self._count(delivery.size_bytes)
        self._ready.set()

    async def take(self) -> list[Deliver]:
        """Everything there is, at least one; :meth:`sent` is due for it."""
        await self._ready.wait()
        self._ready.clear()
        taken = list(self._waiting)
        self._waiting.clear()
        return taken

    def sent(self, size_bytes: int) -> None:
        """What was taken has left."""
        self._count(-size_bytes)

    def _count(self, size_bytes: int) -> None:
        self._held_bytes += size_bytes
        if self._held_bytes < _HELD_BYTES_MAX:
            self._room.set()
        else:
            self._room.clear()

    async def has_room(self) -> None:
        """Returns when no more is held than events alone may be."""
        await self._room.wait()


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
