"""The gRPC server and channel of a node: grpclib's, on our connections."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Any

from grpclib.client import Channel
from grpclib.client import Handler as ChannelHandler
from grpclib.config import Configuration
from grpclib.const import Cardinality, Status
from grpclib.encoding.base import CodecBase
from grpclib.metadata import encode_grpc_message
from grpclib.protocol import H2Protocol
from grpclib.protocol import Stream as ProtocolStream
from grpclib.server import Handler, Server
from h2.exceptions import ProtocolError
from kvorum_proto.codec import ServerCodec

from kvorum.http2.protocol import CheckedStream, KvorumProtocol, not_installed
from kvorum.limits import GRPC_OVERHEAD_BYTES, MAX_CONCURRENT_STREAMS, MAX_REQUEST_BYTES

Headers = list[tuple[str, str]]


class CallHandler(Handler):
    """Starts handlers, and answers what no handler will: unknown methods, encodings nobody can
    undo.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        # Calls that end by themselves: a stopping server waits for these, not for streams.
        self.unary: set[asyncio.Task[None]] = set()

    def accept(
        self, stream: ProtocolStream, headers: Headers, release_stream: Callable[[], Any]
    ) -> None:
        """A request's headers are here."""
        fields = dict(headers)
        refusal = self._refusal(fields)
        if refusal is None:
            if isinstance(stream, CheckedStream):
                stream.encoding = fields.get("grpc-encoding", "")
            super().accept(stream, headers, release_stream)
            method = self.mapping.get(fields.get(":path", ""))
            if method is not None and method.cardinality is Cardinality.UNARY_UNARY:
                task = self._tasks[stream]
                self.unary.add(task)
                task.add_done_callback(self.unary.discard)
            return
        self._tasks[stream] = self.loop.create_task(_refuse(stream, refusal, release_stream))

    def _refusal(self, fields: dict[str, str]) -> tuple[Status, str] | None:
        path = fields.get(":path", "")
        if not fields.get("content-type", "").startswith("application/grpc"):
            return None
        if path not in self.mapping:
            return unknown_method(path, self.mapping)
        encoding = fields.get("grpc-encoding", "")
        if encoding not in ("", "identity"):
            return Status.UNIMPLEMENTED, not_installed(encoding)
        return None


def unknown_method(path: str, known: Collection[str]) -> tuple[Status, str]:
    """What etcd says of a path that no service has (contract page "errors", section 2.7)."""
    service, slash, method = path.removeprefix("/").rpartition("/")
    if not slash:
        return Status.RESOURCE_EXHAUSTED, f'malformed method name: "{path}"'
    if any(name.startswith(f"/{service}/") for name in known):
        return Status.UNIMPLEMENTED, f"unknown method {method} for service {service}"
    return Status.UNIMPLEMENTED, f"unknown service {service}"


async def _refuse(
    stream: ProtocolStream, refusal: tuple[Status, str], release_stream: Callable[[], Any]
) -> None:
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
    except ProtocolError:
        # The client has reset the stream meanwhile; nobody listens for the answer.
        pass
    finally:
        release_stream()


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
            self._mapping, self._codec, self._status_details_codec, self.__dispatch__
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
    """grpclib's channel on our connections."""

    def _protocol_factory(self) -> H2Protocol:
        return KvorumProtocol(
            ChannelHandler(),
            self._config,
            self._h2_config,
            max_streams=MAX_CONCURRENT_STREAMS,
            max_message_bytes=0,
        )
