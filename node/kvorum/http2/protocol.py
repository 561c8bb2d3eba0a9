"""The HTTP/2 connection under grpclib, with our settings and our checks.

What differs from grpclib's own: frames that this side does not know are passed over as HTTP/2
demands; a message that is too large or compressed ends its own call and nobody else's; streams that
wait for the connection's window take turns, so that a window opened by a byte wakes one of them and
not all; and a client that costs without asking for anything is told so and loses its connection
(:mod:`kvorum.http2.connection`).
"""

from __future__ import annotations

import asyncio
import binascii
import logging
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Any, cast

from grpclib.config import Configuration
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from grpclib.metadata import decode_bin_value
from grpclib.protocol import AbstractHandler, EventsProcessor, H2Protocol, Stream
from grpclib.protocol import Connection as GrpclibConnection
from grpclib.utils import Wrapper
from h2.config import H2Configuration
from h2.events import Event, StreamReset, WindowUpdated

from kvorum.http2 import choice
from kvorum.http2.bounds import Inbox, Patience
from kvorum.http2.connection import Connection, TooMuch
from kvorum.http2.transport import GatheringTransport
from kvorum.limits import (
    HTTP2_BACKLOG_BYTES,
    HTTP2_FRAME_CREDIT,
    HTTP2_HELD_BYTES,
    HTTP2_HELD_CALLS,
    HTTP2_RESETS,
    HTTP2_RESETS_PER_S,
)

log = logging.getLogger(__name__)

Headers = list[tuple[str, str]]


class CheckedStream(Stream):
    """A stream whose messages are checked before they are read.

    grpclib reads a message as five bytes and then a body; the two reads alternate here to tell a
    prefix from a body of five. (A server's calls read by themselves: :mod:`kvorum.http2.call`.)
    """

    connection: CheckedConnection
    _h2_connection: Connection
    encoding = ""
    answered = False
    _in_body = False
    max_message_bytes = 0

    def init_stream(self, stream_id: int, connection: GrpclibConnection) -> None:
        """The stream has its number."""
        super().init_stream(stream_id, connection)

        def acknowledge(size: int) -> None:
            if not connection.is_closing():
                connection.ack(stream_id, size)

        self.buffer = cast(Any, Inbox(acknowledge))

    async def recv_headers(self) -> Headers:
        """What a server says first. GRPCError where it is no answer."""
        headers = _readable(await super().recv_headers())
        if not any(name == ":status" for name, _ in headers):
            raise GRPCError(Status.INTERNAL, "malformed header: missing HTTP status")
        return headers

    async def recv_trailers(self) -> Headers:
        """What a server says last."""
        return _readable(await super().recv_trailers())

    async def recv_data(self, size: int) -> bytes:
        """Bytes of the stream. GRPCError for a message this side will not take."""
        data = await self.buffer.read(size)
        if len(data) < size and (data or self._in_body):
            raise GRPCError(Status.UNKNOWN, "unexpected EOF")
        if self._in_body:
            self._in_body = False
        elif data:
            self._in_body = self.check_prefix(data) > 0
        return data

    def check_prefix(self, prefix: bytes) -> int:
        """The length of the message that the five bytes announce. GRPCError if it will not be
        taken, in the words of grpc-go.
        """
        if prefix[0]:
            if prefix[0] != 1:
                reason = f"grpc: received unexpected payload format {prefix[0]}"
                raise GRPCError(Status.INTERNAL, reason)
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
        return size

    async def send_headers(self, headers: list[tuple[str, str]], end_stream: bool = False) -> None:
        """Send headers or trailers."""
        await super().send_headers(headers, end_stream=end_stream)
        self.answered = True
        self._h2_connection.patience.earn(HTTP2_FRAME_CREDIT)

    async def send_data(self, data: bytes, end_stream: bool = False) -> None:
        """Send bytes as the windows let them pass."""
        assert self.id is not None
        connection, h2, size = self.connection, self._h2_connection, len(data)
        connection.hold_bytes(size)
        at = 0
        try:
            while True:
                await connection.write_ready.wait()
                room = h2.local_flow_control_window(self.id)
                if room <= 0 and at < size:
                    await self._window(h2.outbound_flow_control_window)
                    continue
                part = data[at : at + min(room, h2.outbound_frame_bytes)] if size else b""
                at += len(part)
                h2.send_data(self.id, part, end_stream=end_stream and at == size)
                self._transport.write(h2.data_to_send())
                self.data_sent += len(part)
                connection.sent(len(part))
                if at == size:
                    return
        finally:
            connection.release_bytes(size)
            connection.next_turn()

    async def _window(self, of_connection: int) -> None:
        """Wait until the window that is shut may have opened."""
        if of_connection <= 0:
            await self.connection.turn()
            return
        self.connection.next_turn()
        self.window_updated.clear()
        await self.window_updated.wait()


def _readable(headers: Headers) -> Headers:
    """Without binary values that are none: grpclib would fail in ways that nobody foresees."""
    return [pair for pair in headers if not pair[0].endswith("-bin") or _is_binary(pair[1])]


def _is_binary(value: str) -> bool:
    try:
        decode_bin_value(value.encode("latin-1"))
    except binascii.Error:
        return False
    return value.isascii()


def not_installed(encoding: str) -> str:
    """gRPC's words for a message encoding this side cannot undo."""
    return f'grpc: Decompressor is not installed for grpc-encoding "{encoding}"'


class CheckedConnection(GrpclibConnection):
    """grpclib's connection, making checked streams."""

    _connection: Connection

    def __init__(
        self,
        connection: Connection,
        transport: asyncio.Transport,
        *,
        config: Configuration,
        max_message_bytes: int,
    ) -> None:
        super().__init__(connection, transport, config=config)
        self.max_message_bytes = max_message_bytes
        self.resets = Patience(HTTP2_RESETS, HTTP2_RESETS_PER_S, time.monotonic)
        # Bytes, and calls, that wait to be sent.
        self._held_bytes = 0
        self._held_calls = 0
        self._turns: deque[asyncio.Future[None]] = deque()
        # What was written while the other side took nothing.
        self._backlog_bytes = 0

    def create_stream(
        self, *, stream_id: int | None = None, wrapper: Wrapper | None = None
    ) -> Stream:
        """A stream of this connection."""
        stream = CheckedStream(
            self, self._connection, self._transport, stream_id=stream_id, wrapper=wrapper
        )
        stream.max_message_bytes = self.max_message_bytes
        return stream

    def flush(self) -> None:
        """Write what h2 has to say."""
        data = self._connection.data_to_send()
        if data:
            if not self.write_ready.is_set():
                self._backlog_bytes += len(data)
            self._transport.write(data)

    def resume_writing(self) -> None:
        """The other side takes bytes again."""
        self._backlog_bytes = 0
        super().resume_writing()

    @property
    def is_deaf(self) -> bool:
        """The other side asks and asks, and takes no answers."""
        return self._backlog_bytes > HTTP2_BACKLOG_BYTES

    # --- the connection's window ------------------------------------------------------------------

    @property
    def is_clogged(self) -> bool:
        """Answers wait that nobody takes; there should not be more of them."""
        return self._held_bytes > HTTP2_HELD_BYTES and self._held_calls > HTTP2_HELD_CALLS

    def hold_bytes(self, size: int) -> None:
        """A call has so much to send."""
        self._held_bytes += size
        self._held_calls += 1

    def release_bytes(self, size: int) -> None:
        """It has been sent, or given up."""
        self._held_bytes -= size
        self._held_calls -= 1

    def sent(self, size: int) -> None:
        """A DATA frame was written."""
        self.data_sent += size
        self.data_send_process()
        self._connection.patience.earn(HTTP2_FRAME_CREDIT)

    async def turn(self) -> None:
        """Wait for the connection's window, behind those who wait already."""
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._turns.append(mine)
        await mine

    def next_turn(self) -> None:
        """Wake the first who waits if the window is open."""
        if self._turns and self._connection.outbound_flow_control_window > 0:
            while self._turns:
                first = self._turns.popleft()
                if not first.done():
                    first.set_result(None)
                    return


class Events(EventsProcessor):
    """grpclib's dispatch of h2 events; events it has no use for (unknown frames) are ignored."""

    connection: CheckedConnection

    def process(self, event: Event) -> None:
        """Handle one event."""
        processors = self.__dict__.get("processors")
        if processors is not None and event.__class__ in processors:
            super().process(event)

    def process_window_updated(self, event: WindowUpdated) -> None:
        """A window has opened."""
        if event.stream_id == 0:
            self.connection.next_turn()
        else:
            super().process_window_updated(event)

    def process_stream_reset(self, event: StreamReset) -> None:
        """A stream was given up. TooMuch when calls are started and given up without end."""
        stream = self.streams.get(event.stream_id)
        wasted = isinstance(stream, CheckedStream) and not stream.answered
        super().process_stream_reset(event)
        if wasted and event.remote_reset:
            spend_reset(self.connection)

    def settle(self) -> None:
        """All events of a turn were told."""


def spend_reset(connection: CheckedConnection) -> None:
    """A call was given up that nobody has answered. TooMuch when it was one too many."""
    if not connection.resets.spend():
        raise TooMuch("calls are started and given up without end")


class KvorumProtocol(H2Protocol):
    """One HTTP/2 connection of a server or a channel.

    Args:
        max_streams: concurrent streams offered to the other side.
        max_message_bytes: largest message taken; 0 is no limit.
        on_lost: called once with this protocol when the connection is gone.
        events: makes what handles the connection's events.
    """

    transport: GatheringTransport
    connection: CheckedConnection
    processor: Events

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
        events: Callable[[Any, CheckedConnection], Events] = Events,
    ) -> None:
        super().__init__(handler, config, h2_config)
        self._events = events
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
        h2_connection = choice.connection(self.config, self.h2_config, self._max_streams)
        self.connection = CheckedConnection(
            h2_connection,
            self.transport,
            config=self.config,
            max_message_bytes=self._max_message_bytes,
        )
        self.connection.flush()
        self.connection.initialize()
        self.processor = self._events(self.handler, self.connection)
        if self._on_made is not None:
            self._on_made(self)

    def data_received(self, data: bytes) -> None:
        """Bytes from the other side. Whatever they make h2 raise costs this connection only."""
        if self.connection.is_closing():
            return
        try:
            events = self.connection.feed(data)
        except Exception:
            # h2 has its word for it ready to be sent, where HTTP/2 has one.
            self._give_up(None)
            return
        try:
            self.connection.flush()
            for event in events:
                self.processor.process(event)
            self.processor.settle()
            if not self.connection.is_closing():
                self.connection.flush()
                if self.connection.is_deaf:
                    raise TooMuch("answers pile up that nobody takes")
        except TooMuch as error:
            self._give_up(error)
        except Exception:
            self._give_up(None)

    def _give_up(self, reason: TooMuch | None) -> None:
        """Close, saying why."""
        log.debug("connection closed: its peer does not speak HTTP/2", exc_info=True)
        if not self.connection.is_closing():
            if reason is not None:
                self.connection._connection.close_connection(reason.error_code)
            self.connection.flush()
        self.processor.close("Protocol error")

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection is gone."""
        super().connection_lost(cast(Any, exc))
        self.transport.lost()
        if self._on_lost is not None:
            self._on_lost(self)


def _no_delay(transport: asyncio.BaseTransport) -> None:
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
