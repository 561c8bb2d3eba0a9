"""The HTTP/2 connection under grpclib, with our settings and our checks.

Three things differ from grpclib's own: streams are not limited to h2's default of 100, frames this
side does not know are passed over as HTTP/2 demands, and a message that is too large or compressed
ends its own call and nobody else's.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any, cast

from grpclib.config import Configuration
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from grpclib.protocol import AbstractHandler, Connection, EventsProcessor, H2Protocol, Stream
from grpclib.utils import Wrapper
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import Event
from h2.frame_buffer import FrameBuffer
from h2.settings import SettingCodes, Settings
from hyperframe.frame import Frame

from kvorum.http2.transport import GatheringTransport

log = logging.getLogger(__name__)

_MAX_HEADER_LIST_BYTES = 65_536
_FRAME_HEAD_BYTES = 9


class CheckedStream(Stream):
    """A stream whose messages are checked before they are read.

    grpclib reads a message as five bytes and then a body; the two reads alternate here to tell a
    prefix from a body of five.
    """

    encoding = ""
    _in_body = False
    max_message_bytes = 0

    async def recv_data(self, size: int) -> bytes:
        """Bytes of the stream. GRPCError for a message this side will not take."""
        try:
            data = await super().recv_data(size)
        except AssertionError as exc:
            # grpclib's buffer asserts that a message is whole; a client that stops in the middle
            # breaks that.
            raise GRPCError(Status.UNKNOWN, "unexpected EOF") from exc
        if self._in_body:
            self._in_body = False
        elif data:
            self._check(data)
            self._in_body = True
        return data

    def _check(self, prefix: bytes) -> None:
        if prefix[0]:
            if self.encoding in ("", "identity"):
                reason = "grpc: compressed flag set with identity or empty encoding"
                raise GRPCError(Status.INTERNAL, reason)
            raise GRPCError(Status.UNIMPLEMENTED, not_installed(self.encoding))
        size = int.from_bytes(prefix[1:], "big")
        if self.max_message_bytes and size > self.max_message_bytes:
            raise GRPCError(
                Status.RESOURCE_EXHAUSTED,
                f"grpc: received message larger than max ({size} vs. {self.max_message_bytes})",
            )


def not_installed(encoding: str) -> str:
    """gRPC's words for a message encoding this side cannot undo."""
    return f'grpc: Decompressor is not installed for grpc-encoding "{encoding}"'


class CheckedConnection(Connection):
    """grpclib's connection, making checked streams."""

    def __init__(
        self,
        connection: H2Connection,
        transport: asyncio.Transport,
        *,
        config: Configuration,
        max_message_bytes: int,
    ) -> None:
        super().__init__(connection, transport, config=config)
        self._max_message_bytes = max_message_bytes

    def create_stream(
        self, *, stream_id: int | None = None, wrapper: Wrapper | None = None
    ) -> Stream:
        """A stream of this connection."""
        stream = CheckedStream(
            self, self._connection, self._transport, stream_id=stream_id, wrapper=wrapper
        )
        stream.max_message_bytes = self._max_message_bytes
        return stream


class EagerFrameBuffer(FrameBuffer):
    """h2's buffer of frames, refusing a frame that is too long when its head says so, not after
    16 MiB of it have been kept.
    """

    def __next__(self) -> Frame:
        if len(self._data) >= _FRAME_HEAD_BYTES:
            self._validate_frame_length(int.from_bytes(self._data[:3], "big"))
        return super().__next__()


class Events(EventsProcessor):
    """grpclib's dispatch of h2 events; events it has no use for (unknown frames) are ignored."""

    def process(self, event: Event) -> None:
        """Handle one event."""
        processors = self.__dict__.get("processors")
        if processors is not None and event.__class__ in processors:
            super().process(event)


class KvorumProtocol(H2Protocol):
    """One HTTP/2 connection of a server or a channel.

    Args:
        max_streams: concurrent streams offered to the other side.
        max_message_bytes: largest message taken; 0 is no limit.
        on_lost: called once with this protocol when the connection is gone.
    """

    transport: GatheringTransport

    def __init__(
        self,
        handler: AbstractHandler,
        config: Configuration,
        h2_config: H2Configuration,
        *,
        max_streams: int,
        max_message_bytes: int,
        on_made: Callable[[KvorumProtocol], None] | None = None,
        on_lost: Callable[[KvorumProtocol], None] | None = None,
    ) -> None:
        super().__init__(handler, config, h2_config)
        self._max_streams = max_streams
        self._max_message_bytes = max_message_bytes
        self._on_made = on_made
        self._on_lost = on_lost

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin HTTP/2 on an accepted or dialled transport."""
        _no_delay(transport)
        self.transport = GatheringTransport(
            cast(asyncio.Transport, transport), asyncio.get_running_loop()
        )
        h2_connection = H2Connection(config=self.h2_config)
        h2_connection.local_settings = Settings(
            client=bool(self.h2_config.client_side),
            initial_values={
                SettingCodes.MAX_CONCURRENT_STREAMS: self._max_streams,
                SettingCodes.INITIAL_WINDOW_SIZE: self.config.http2_stream_window_size,
                SettingCodes.MAX_HEADER_LIST_SIZE: _MAX_HEADER_LIST_BYTES,
            },
        )
        frames = EagerFrameBuffer(server=not self.h2_config.client_side)
        frames.max_frame_size = h2_connection.incoming_buffer.max_frame_size
        h2_connection.incoming_buffer = frames
        h2_connection.initiate_connection()
        # The connection's own window starts at 64 KiB, whatever the settings say.
        h2_connection.increment_flow_control_window(
            self.config.http2_connection_window_size - 65_535
        )
        self.connection = CheckedConnection(
            h2_connection,
            self.transport,
            config=self.config,
            max_message_bytes=self._max_message_bytes,
        )
        self.connection.flush()
        self.connection.initialize()
        self.processor = Events(self.handler, self.connection)
        if self._on_made is not None:
            self._on_made(self)

    def data_received(self, data: bytes) -> None:
        """Bytes from the other side. Whatever they make h2 raise costs this connection only."""
        try:
            super().data_received(data)
        except Exception:
            log.debug("connection closed: its peer does not speak HTTP/2", exc_info=True)
            self.processor.close("Protocol error")

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection is gone."""
        super().connection_lost(cast(Any, exc))
        if self._on_lost is not None:
            self._on_lost(self)


def _no_delay(transport: asyncio.BaseTransport) -> None:
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
