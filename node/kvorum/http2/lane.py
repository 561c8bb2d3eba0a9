"""The unary lane: a call whose request has come whole is served with few objects, and its answer
leaves in one write.

Most calls of a node are one small request and one small answer, and both fit into a frame. Such a
call needs no stream of grpclib's, no buffer, no waiting for windows: its handler gets a
:class:`LaneCall`, which has what handlers use of a stream. Whatever is out of the ordinary (a
request in pieces, a refusal, headers that are no call) takes the ordinary way
(:mod:`kvorum.http2.call`), and so does an answer that the client's windows do not let pass at once.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from grpclib.const import Cardinality, Status
from grpclib.const import Handler as Method
from grpclib.encoding.base import CodecBase
from grpclib.exceptions import GRPCError
from grpclib.exceptions import ProtocolError as GrpcProtocolError
from grpclib.metadata import Deadline, encode_grpc_message
from grpclib.protocol import Peer
from h2.events import DataReceived, Event, RequestReceived, StreamReset
from h2.exceptions import H2Error
from multidict import MultiDictProxy

from kvorum.http2.call import MalformedError, call_fields, deadline_of, metadata_of
from kvorum.http2.engine.connection import OwnConnection
from kvorum.http2.engine.decoder import Headers
from kvorum.http2.protocol import CheckedConnection, Events, spend_reset
from kvorum.limits import HTTP2_CACHED_BLOCKS, HTTP2_CACHED_HEAD_BYTES, HTTP2_FRAME_CREDIT

if TYPE_CHECKING:
    from kvorum.http2.server import CallHandler

log = logging.getLogger(__name__)

_PREFIX = struct.Struct(">BI")
_TIMEOUT = "grpc-timeout"
_OK = (("grpc-status", "0"),)
_LATE = (("grpc-status", "4"), ("grpc-message", "context deadline exceeded"))
# Headers, a message, trailers.
_CREDIT = 3 * HTTP2_FRAME_CREDIT


class Head(NamedTuple):
    """What the headers of a call say, without its time."""

    path: str
    method: Method
    metadata: MultiDictProxy[str | bytes]


class Heads:
    """Remembers what headers mean: a client's calls differ in little but their time.

    Args:
        methods: handlers by path.
    """

    def __init__(self, methods: dict[str, Method]) -> None:
        self._methods = methods
        self._known: dict[Headers, Head] = {}

    def find(self, headers: Headers) -> tuple[Head, Deadline | None] | None:
        """The call's head and deadline; None where the ordinary way knows better."""
        head = self._known.get(headers)
        if head is not None:
            return head, None
        rest = tuple([header for header in headers if header[0] != _TIMEOUT])
        deadline = None
        try:
            if len(rest) < len(headers):
                (text,) = (value for name, value in headers if name == _TIMEOUT)
                deadline = deadline_of({_TIMEOUT: text})
            head = self._known.get(rest) or self._read(rest)
        except (MalformedError, ValueError):
            return None
        return (head, deadline) if head is not None else None

    def _read(self, headers: Headers) -> Head | None:
        fields = call_fields(headers)
        path = fields.get(":path", "")
        method = self._methods.get(path)
        if method is None or method.cardinality is not Cardinality.UNARY_UNARY:
            return None
        if fields.get("grpc-encoding", "identity") not in ("", "identity"):
            return None
        head = Head(path, method, MultiDictProxy(metadata_of(headers)))
        if sum(len(name) + len(value) for name, value in headers) <= HTTP2_CACHED_HEAD_BYTES:
            if len(self._known) >= HTTP2_CACHED_BLOCKS:
                self._known.clear()
            self._known[headers] = head
        return head


class LaneCall:
    """A unary call as its handler sees it."""

    __slots__ = (
        "_codec",
        "_method",
        "_reply",
        "_request",
        "deadline",
        "given_up",
        "late",
        "metadata",
        "path",
        "peer",
        "stream_id",
        "timer",
    )

    def __init__(
        self,
        stream_id: int,
        head: Head,
        deadline: Deadline | None,
        request: bytes,
        codec: CodecBase,
        peer: Peer,
    ) -> None:
        self.stream_id = stream_id
        self.path, self._method, self.metadata = head
        self.deadline = deadline
        self.peer = peer
        self._codec = codec
        self._request: bytes | None = request
        self._reply: bytes | None = None
        # Its time is over; the client does not want it any more.
        self.late = False
        self.given_up = False
        self.timer: asyncio.TimerHandle | None = None

    async def recv_message(self) -> Any:
        """The request, then None. GRPCError for what is no message."""
        request, self._request = self._request, None
        if request is None:
            return None
        return self._codec.decode(request, self._method.request_type)

    async def send_message(self, message: Any) -> None:
        """The answer (a message, or its bytes); it leaves when the handler has ended."""
        if self._reply is not None:
            raise GrpcProtocolError("Message was already sent")
        self._reply = self._codec.encode(message, self._method.reply_type)

    async def outcome(self) -> tuple[Status, str | None, bytes]:
        """Run the handler: how it ended, and the answer's bytes."""
        try:
            if self.late:
                raise TimeoutError
            await self._method.func(self)
        except GRPCError as error:
            return error.status, error.message, b""
        except TimeoutError:
            return Status.DEADLINE_EXCEEDED, "context deadline exceeded", b""
        except asyncio.CancelledError:
            if self.given_up or not self.late:
                raise
            return Status.DEADLINE_EXCEEDED, "context deadline exceeded", b""
        except (H2Error, ConnectionError):
            raise
        except Exception:
            log.exception("%s failed", self.path)
            return Status.INTERNAL, "kvorum: internal error", b""
        if self._reply is None:
            log.error("%s ended without an answer", self.path)
            return Status.INTERNAL, "kvorum: internal error", b""
        return Status.OK, None, self._reply


class LaneEvents(Events):
    """Events of a server's connection; calls that have come whole take the lane."""

    handler: CallHandler

    def __init__(self, handler: CallHandler, connection: CheckedConnection) -> None:
        super().__init__(handler, connection)
        self._engine = cast(OwnConnection, connection._connection)
        self._pending: dict[int, RequestReceived] = {}
        self._heads = Heads(handler.mapping)
        self._calls: dict[int, tuple[LaneCall, asyncio.Task[None]]] = {}
        self._peer = connection.get_peer()
        self._loop = asyncio.get_running_loop()
        subtype = handler.codec.__content_subtype__
        self._head = ((":status", "200"), ("content-type", f"application/grpc+{subtype}"))

    def process(self, event: Event) -> None:
        """Handle one event."""
        kind = event.__class__
        if kind is RequestReceived:
            request = cast(RequestReceived, event)
            self._pending[request.stream_id] = request
            return
        if self._pending:
            pending = self._pending.pop(getattr(event, "stream_id", 0), None)
            if pending is not None:
                if kind is DataReceived and self._take(pending, cast(DataReceived, event)):
                    return
                super().process(pending)
        super().process(event)

    def settle(self) -> None:
        """All events of a turn were told; who has not come whole takes the ordinary way."""
        if self._pending:
            pending, self._pending = self._pending, {}
            for request in pending.values():
                super().process(request)

    def process_stream_reset(self, event: StreamReset) -> None:
        """A stream was given up. TooMuch when calls are started and given up without end."""
        found = self._calls.get(event.stream_id)
        super().process_stream_reset(event)
        if found is not None:
            call, task = found
            call.given_up = True
            task.cancel()
            if event.remote_reset:
                spend_reset(self.connection)

    def _take(self, request: RequestReceived, data: DataReceived) -> bool:
        """Begin a call; False when it is none for the lane."""
        body, connection, handler = data.data, self.connection, self.handler
        if data.stream_ended is None or len(body) < _PREFIX.size or connection.is_closing():
            return False
        compressed, size = _PREFIX.unpack_from(body)
        most = connection.max_message_bytes
        if compressed or size != len(body) - _PREFIX.size or (most and size > most):
            return False
        found = self._heads.find(cast(Headers, request.headers))
        if found is None or handler.is_full or connection.is_clogged:
            return False
        stream_id = request.stream_id
        self._engine.acknowledge_received_data(data.flow_controlled_length, stream_id)
        connection.streams_started += 1
        call = LaneCall(stream_id, *found, body[_PREFIX.size :], handler.codec, self._peer)
        task = self._loop.create_task(self._serve(call))
        self._calls[stream_id] = (call, task)
        handler.began(call, task)

        def ended(task: asyncio.Task[None]) -> None:
            # Not by the task itself: one that is cancelled before its first step does nothing.
            del self._calls[stream_id]
            handler.ended(call, task)

        task.add_done_callback(ended)
        return True

    async def _serve(self, call: LaneCall) -> None:
        if call.deadline is not None:
            left_s = call.deadline.time_remaining()
            if left_s > 0:
                task = asyncio.current_task()
                call.timer = self._loop.call_later(left_s, _expire, call, task)
            else:
                call.late = True
        try:
            status, text, reply = await call.outcome()
            if call.timer is not None:
                call.timer.cancel()
            if status is Status.OK:
                await self._answer(call, _PREFIX.pack(0, len(reply)) + reply)
            else:
                await self._refuse(call, status, text)
        except (H2Error, ConnectionError):
            # The client has ended the stream or the connection meanwhile.
            log.debug("nobody takes the answer", exc_info=True)
        finally:
            if call.timer is not None:
                call.timer.cancel()

    async def _answer(self, call: LaneCall, body: bytes) -> None:
        connection, engine, stream_id = self.connection, self._engine, call.stream_id
        if connection.is_closing():
            return
        if connection.write_ready.is_set() and engine.fits(stream_id, len(body)):
            engine.send_headers(stream_id, self._head)
            engine.send_data(stream_id, body)
            engine.send_headers(stream_id, _OK, end_stream=True)
            connection.flush()
            connection.sent(len(body))
            engine.patience.earn(_CREDIT)
            return
        stream = connection.create_stream(stream_id=stream_id)
        release = self.register(stream)
        left_s = call.deadline.time_remaining() if call.deadline is not None else None
        trailers = [*_OK]
        try:
            try:
                async with asyncio.timeout(left_s):
                    await stream.send_headers([*self._head])
                    await stream.send_data(body)
            except TimeoutError:
                trailers = [*_LATE]
            await stream.send_headers(trailers, end_stream=True)
        finally:
            release()

    async def _refuse(self, call: LaneCall, status: Status, text: str | None) -> None:
        connection, engine = self.connection, self._engine
        await connection.write_ready.wait()
        if connection.is_closing():
            return
        headers = [*self._head, ("grpc-status", str(status.value))]
        if text is not None:
            headers.append(("grpc-message", encode_grpc_message(text)))
        engine.send_headers(call.stream_id, headers, end_stream=True)
        connection.flush()
        engine.patience.earn(HTTP2_FRAME_CREDIT)


def _expire(call: LaneCall, task: asyncio.Task[Any] | None) -> None:
    """The call's time is over."""
    assert task is not None, "made by the task itself"
    call.late = True
    task.cancel()
