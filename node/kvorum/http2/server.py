"""The gRPC server and channel of a node: grpclib's, on our connections."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine
from typing import Any, cast

from grpclib.client import Channel
from grpclib.client import Handler as ChannelHandler
from grpclib.config import Configuration
from grpclib.const import Cardinality, Status
from grpclib.const import Handler as Method
from grpclib.encoding.base import CodecBase
from grpclib.metadata import encode_grpc_message
from grpclib.protocol import H2Protocol
from grpclib.protocol import Stream as ProtocolStream
from grpclib.server import Handler, Server
from h2.config import H2Configuration
from h2.errors import ErrorCodes
from h2.exceptions import H2Error
from kvorum_proto.codec import ServerCodec

from kvorum.http2 import choice
from kvorum.http2.call import (
    Call,
    MalformedError,
    call_fields,
    deadline_of,
    metadata_of,
    serve,
)
from kvorum.http2.lane import LaneCall, LaneEvents
from kvorum.http2.protocol import (
    CheckedStream,
    Events,
    Headers,
    KvorumProtocol,
    not_installed,
)
from kvorum.limits import (
    CLIENT_MESSAGE_BYTES,
    GRPC_OVERHEAD_BYTES,
    MAX_CONCURRENT_STREAMS,
    MAX_REQUEST_BYTES,
)

log = logging.getLogger(__name__)

# Every byte is a character: what a header holds is its reader's business. h2's own checks would end
# the connection where a stream is enough.
_H2_OPTIONS: dict[str, Any] = {
    "header_encoding": "latin-1",
    "validate_inbound_headers": False,
    "validate_outbound_headers": False,
    "normalize_inbound_headers": False,
    "normalize_outbound_headers": False,
}


class CallHandler(Handler):
    """Starts calls, and answers what no handler will: unknown methods, encodings nobody can undo,
    headers that are no call, and more streams than a connection may have.
    """

    def __init__(self, *args: Any, max_streams: int) -> None:
        super().__init__(*args)
        self._max_streams = max_streams
        self._open = 0
        # Calls that end by themselves: a stopping server waits for these, not for streams.
        self.unary: set[asyncio.Task[None]] = set()
        self._lane: dict[LaneCall, asyncio.Task[None]] = {}

    @property
    def is_full(self) -> bool:
        """A connection may have no more calls than these."""
        return self._open >= self._max_streams

    def accept(
        self, stream: ProtocolStream, headers: Headers, release_stream: Callable[[], Any]
    ) -> None:
        """A request's headers are here."""
        assert isinstance(stream, CheckedStream)
        self.__gc_step__()
        if self.is_full or stream.connection.is_clogged:
            _reset(stream, ErrorCodes.REFUSED_STREAM, release_stream)
            return
        try:
            fields = call_fields(headers)
            deadline = deadline_of(fields)
        except MalformedError as error:
            log.debug("a stream is reset for its header %s", error)
            _reset(stream, ErrorCodes.PROTOCOL_ERROR, release_stream)
            return
        # Go's servers let the slash in front be missing.
        path = fields.get(":path", "")
        method = self.mapping.get(path) or self.mapping.get(f"/{path}")
        refusal = self._refusal(method, path, fields.get("grpc-encoding", ""))
        if method is None or refusal is not None:
            assert refusal is not None
            self._begin(stream, _refuse(stream, refusal), release_stream)
            return
        stream.encoding = fields.get("grpc-encoding", "")
        call = Call(
            stream,
            path,
            method.cardinality,
            method.request_type,
            method.reply_type,
            codec=self.codec,
            status_details_codec=self.status_details_codec,
            dispatch=self.dispatch,
            deadline=deadline,
            user_agent=fields.get("user-agent"),
        )
        call.metadata = cast(Any, metadata_of(headers))
        task = self._begin(stream, serve(method, call, stream), release_stream)
        if method.cardinality is Cardinality.UNARY_UNARY:
            self.unary.add(task)
            task.add_done_callback(self.unary.discard)

    def _begin(
        self,
        stream: CheckedStream,
        work: Coroutine[Any, Any, None],
        release_stream: Callable[[], Any],
    ) -> asyncio.Task[None]:
        task = self._tasks[stream] = self.loop.create_task(work)
        self._open += 1

        def ended(task: asyncio.Task[None]) -> None:
            # Not by the task itself: one that is cancelled before its first step does nothing.
            self._open -= 1
            release_stream()
            _tell_failure(task)

        task.add_done_callback(ended)
        return task

    def began(self, call: LaneCall, task: asyncio.Task[None]) -> None:
        """A call has taken the lane."""
        self._open += 1
        self._lane[call] = task
        self.unary.add(task)

    def ended(self, call: LaneCall, task: asyncio.Task[None]) -> None:
        """A call of the lane has ended."""
        self._open -= 1
        del self._lane[call]
        self.unary.discard(task)
        _tell_failure(task)

    def close(self) -> None:
        """The connection is over: so are its calls."""
        for task in self._lane.values():
            task.cancel()
        self._cancelled.update(self._lane.values())
        super().close()

    def cancel(self, stream: ProtocolStream) -> None:
        """The client has given a stream up. It may have been answered already."""
        if stream in self._tasks:
            super().cancel(stream)

    def _refusal(
        self, method: Method | None, path: str, encoding: str
    ) -> tuple[Status, str] | None:
        if method is None:
            text = path.encode("latin-1").decode(errors="replace")
            return unknown_method(text, self.mapping)
        if encoding not in ("", "identity"):
            return Status.UNIMPLEMENTED, not_installed(encoding)
        return None


def _tell_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("a call failed", exc_info=error)


def unknown_method(path: str, known: Collection[str]) -> tuple[Status, str]:
    """What etcd says of a path that no service has (contract page "errors", section 2.7)."""
    service, slash, method = path.removeprefix("/").rpartition("/")
    if not slash:
        return Status.RESOURCE_EXHAUSTED, f'malformed method name: "{path}"'
    if any(name.startswith(f"/{service}/") for name in known):
        return Status.UNIMPLEMENTED, f"unknown method {method} for service {service}"
    return Status.UNIMPLEMENTED, f"unknown service {service}"


def _reset(stream: CheckedStream, why: ErrorCodes, release_stream: Callable[[], Any]) -> None:
    """End a stream without a word of gRPC."""
    if stream.closable:
        stream.reset_nowait(why)
    release_stream()


async def _refuse(stream: CheckedStream, refusal: tuple[Status, str]) -> None:
    status, message = refusal
    try:
        await stream.send_headers(
            [
                (":status", "200"),
                ("content-type", "application/grpc"),
                ("grpc-status", str(status.value)),
                ("grpc-message", encode_grpc_message(message)),
            ],
            end_stream=True,
        )
        if stream.closable:
            stream.reset_nowait()
    except H2Error:
        # The client has reset the stream meanwhile; nobody listens for the answer.
        log.debug("nobody takes the refusal", exc_info=True)


class KvorumServer(Server):
    """grpclib's server on our connections; a listener feeds it (:mod:`kvorum.server.listener`).

    Args:
        handlers: services with ``__mapping__``.
        codec: the message codec; the generated one, which answers undecodable requests itself,
            unless given. max_message_bytes: largest message a client may send.
            keepalive_interval_s, keepalive_timeout_s: pings to idle clients (0: none).
    """

    def __init__(
        self,
        handlers: Collection[Any],
        *,
        codec: CodecBase | None = None,
        max_message_bytes: int = MAX_REQUEST_BYTES + GRPC_OVERHEAD_BYTES,
        max_streams: int = MAX_CONCURRENT_STREAMS,
        keepalive_interval_s: float = 7200.0,
        keepalive_timeout_s: float = 20.0,
    ) -> None:
        config = Configuration(
            _keepalive_time=keepalive_interval_s or None,
            _keepalive_timeout=keepalive_timeout_s or 20.0,
        )
        super().__init__(handlers, codec=codec or ServerCodec(), config=config)
        self._h2_config = H2Configuration(client_side=False, **_H2_OPTIONS)
        self._max_message_bytes = max_message_bytes
        self._max_streams = max_streams
        self._connections: set[KvorumProtocol] = set()
        self._held = False

    @property
    def connections(self) -> int:
        """Open HTTP/2 connections."""
        return len(self._connections)

    def protocol(self) -> H2Protocol:
        """A protocol for one accepted connection."""
        return self._protocol_factory()

    def _protocol_factory(self) -> H2Protocol:
        self.__gc_step__()
        handler = CallHandler(
            self._mapping,
            self._codec,
            self._status_details_codec,
            self.__dispatch__,
            max_streams=self._max_streams,
        )
        self._handlers.add(handler)
        return KvorumProtocol(
            handler,
            self._config,
            self._h2_config,
            max_streams=self._max_streams,
            max_message_bytes=self._max_message_bytes,
            on_made=self._made,
            on_lost=self._connections.discard,
            events=LaneEvents if choice.used() == choice.OWN else Events,
        )

    def _made(self, connection: KvorumProtocol) -> None:
        self._connections.add(connection)
        if self._held:
            connection.transport.hold()

    def hold(self) -> None:
        """Hear nothing and say nothing on any connection until ``release``."""
        self._held = True
        for connection in tuple(self._connections):
            connection.transport.hold()

    def release(self) -> None:
        """End a hold."""
        self._held = False
        for connection in tuple(self._connections):
            connection.transport.release()

    async def shut(self, grace_s: float) -> None:
        """Let unary calls under way finish for at most ``grace_s``, then end everything."""
        handlers = [h for h in self._handlers if isinstance(h, CallHandler)]
        waiting = [task for handler in handlers for task in handler.unary]
        if waiting:
            await asyncio.wait(waiting, timeout=grace_s)
        for handler in tuple(self._handlers):
            handler.close()
        cancelled = [task for handler in self._handlers for task in handler._cancelled]
        if cancelled:
            await asyncio.wait(cancelled, timeout=grace_s)
        for connection in tuple(self._connections):
            connection.processor.close("Server stopped")


class KvorumChannel(Channel):
    """grpclib's channel on our connections.

    Args:
        max_message_bytes: the largest message taken from the server.
    """

    def __init__(
        self, *args: Any, max_message_bytes: int = CLIENT_MESSAGE_BYTES, **options: Any
    ) -> None:
        super().__init__(*args, **options)
        self._h2_config = H2Configuration(client_side=True, **_H2_OPTIONS)
        self._max_message_bytes = max_message_bytes

    # What makes a connection's protocol.
    protocol_class: type[KvorumProtocol] = KvorumProtocol

    def _protocol_factory(self) -> H2Protocol:
        return self.protocol_class(
            ChannelHandler(),
            self._config,
            self._h2_config,
            max_streams=MAX_CONCURRENT_STREAMS,
            max_message_bytes=self._max_message_bytes,
        )
