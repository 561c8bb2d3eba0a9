"""A light gRPC client: frames packed once, answers not looked at beyond their length.

``kvorum bench`` uses it and so does what h2load cannot do: many streams on one connection, messages
that push themselves, transactions of which each is another. Header blocks are literals without a
table, which every server takes; those of the server are skipped, because whether a call went well
can be seen from whether a message came.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import Callable

KV_PUT = "/etcdserverpb.KV/Put"
KV_RANGE = "/etcdserverpb.KV/Range"
KV_TXN = "/etcdserverpb.KV/Txn"
KV_COMPACT = "/etcdserverpb.KV/Compact"
WATCH = "/etcdserverpb.Watch/Watch"
GRANT = "/etcdserverpb.Lease/LeaseGrant"
KEEP_ALIVE = "/etcdserverpb.Lease/LeaseKeepAlive"
STATUS = "/etcdserverpb.Maintenance/Status"
DEFRAGMENT = "/etcdserverpb.Maintenance/Defragment"

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_INITIAL_WINDOW = 4
_DEFAULT_WINDOW = 65_535
_LARGEST_WINDOW = 2**31 - 1
# Told to the server after so many bytes; far below the window it starts with.
_REFILL_BYTES = 64 * 1024 * 1024


class CallError(Exception):
    """A call ended without a message, or its connection did."""


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """One frame."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def block(path: str) -> bytes:
    """The headers of a call, each a literal that enters no table."""
    packed = bytearray()
    for name, value in (
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "bench"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
    ):
        packed += bytes((0, len(name))) + name.encode() + bytes((len(value),)) + value.encode()
    return bytes(packed)


def framed(message: bytes) -> bytes:
    """A message with gRPC's prefix."""
    return struct.pack(">BI", 0, len(message)) + message


Told = Callable[[bytes], None]


class Stream:
    """One call of a connection. ``told`` gets each message, ``ended`` is called at the end."""

    __slots__ = ("_partial", "ended", "id", "told", "window", "wire")

    def __init__(self, wire: Wire, number: int, told: Told, ended: Callable[[], None]) -> None:
        self.wire = wire
        self.id = number
        self.told = told
        self.ended = ended
        self.window = wire.initial_window
        self._partial = b""

    def send(self, message: bytes, last: bool = False) -> None:
        """One message, as soon as the windows allow it."""
        self.wire.send(self, framed(message), last)

    def received(self, data: bytes) -> None:
        """Bytes of messages; whole ones are told."""
        if self._partial:
            data = self._partial + data
        at, size = 0, len(data)
        while size - at >= 5:
            end = at + 5 + int.from_bytes(data[at + 1 : at + 5], "big")
            if end > size:
                break
            self.told(data[at + 5 : end])
            at = end
        self._partial = data[at:] if at < size else b""


class Wire(asyncio.Protocol):
    """One connection. Make it with :func:`connect`."""

    def __init__(self) -> None:
        self.initial_window = _DEFAULT_WINDOW
        self._window = _DEFAULT_WINDOW
        self._largest_frame = 16_384
        self._streams: dict[int, Stream] = {}
        self._next = 1
        self._unread = b""
        self._taken = 0
        self._blocks: dict[str, bytes] = {}
        self._waiting: deque[tuple[Stream, bytes, bool]] = deque()
        self.lost = ""

    # --- asyncio's side ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say hello, with windows that need no care."""
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]  # uvloop's own
        settings = struct.pack(">HI", _INITIAL_WINDOW, _LARGEST_WINDOW)
        grown = struct.pack(">I", _LARGEST_WINDOW - _DEFAULT_WINDOW)
        hello = frame(_SETTINGS, 0, 0, settings) + frame(_WINDOW, 0, 0, grown)
        self.transport.write(_PREFACE + hello)

    def connection_lost(self, exc: Exception | None) -> None:
        """Every call ends."""
        self.lost = self.lost or str(exc or "closed")
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            stream.ended()

    def data_received(self, data: bytes) -> None:
        """Frames, and perhaps the beginning of one."""
        if self._unread:
            data = self._unread + data
        at, size = 0, len(data)
        while size - at >= 9:
            end = at + 9 + (data[at] << 16 | data[at + 1] << 8 | data[at + 2])
            if end > size:
                break
            stream = int.from_bytes(data[at + 5 : at + 9], "big")
            self._frame(data[at + 3], data[at + 4], stream, data[at + 9 : end])
            at = end
        self._unread = data[at:] if at < size else b""

    def _frame(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        stream = self._streams.get(number)
        if kind == _DATA:
            self._taken += len(payload)
            if self._taken > _REFILL_BYTES:
                self.transport.write(frame(_WINDOW, 0, 0, struct.pack(">I", self._taken)))
                self._taken = 0
            if stream is not None:
                stream.received(payload)
        elif kind == _WINDOW:
            grown = int.from_bytes(payload, "big")
            if number == 0:
                self._window += grown
            elif stream is not None:
                stream.window += grown
            if self._waiting:
                self._go_on()
        elif kind == _SETTINGS and not flags & _ACK:
            self._settings(payload)
        elif kind == _PING and not flags & _ACK:
            self.transport.write(frame(_PING, _ACK, 0, payload))
        elif kind == _GOAWAY:
            self.lost = f"sent away: {payload[8:]!r}"
        if stream is not None and (kind == _RESET or (kind <= _HEADERS and flags & _END_STREAM)):
            del self._streams[number]
            stream.ended()

    def _settings(self, payload: bytes) -> None:
        for at in range(0, len(payload), 6):
            name, value = struct.unpack_from(">HI", payload, at)
            if name == _INITIAL_WINDOW:
                for stream in self._streams.values():
                    stream.window += value - self.initial_window
                self.initial_window = value
        self.transport.write(frame(_SETTINGS, _ACK, 0, b""))
        self._go_on()

    # --- the caller's side ------------------------------------------------------------------------

    def open(self, path: str, told: Told, ended: Callable[[], None] = lambda: None) -> Stream:
        """Begin a call."""
        if self.lost:
            raise CallError(self.lost)
        stream = Stream(self, self._next, told, ended)
        self._next += 2
        self._streams[stream.id] = stream
        headers = self._blocks.get(path)
        if headers is None:
            headers = self._blocks[path] = block(path)
        self.transport.write(frame(_HEADERS, _END_HEADERS, stream.id, headers))
        return stream

    def send(self, stream: Stream, data: bytes, last: bool) -> None:
        """Bytes of a call, now or behind what waits."""
        small = len(data) <= min(self._window, stream.window, self._largest_frame)
        if small and not self._waiting:
            self._window -= len(data)
            stream.window -= len(data)
            self.transport.write(frame(_DATA, _END_STREAM if last else 0, stream.id, data))
            return
        self._waiting.append((stream, data, last))
        self._go_on()

    def _go_on(self) -> None:
        waiting = self._waiting
        while waiting:
            stream, data, last = waiting[0]
            room = min(self._window, stream.window, self._largest_frame)
            if room <= 0:
                return
            part, rest = data[:room], data[room:]
            self._window -= len(part)
            stream.window -= len(part)
            flags = _END_STREAM if last and not rest else 0
            self.transport.write(frame(_DATA, flags, stream.id, part))
            if rest:
                waiting[0] = (stream, rest, last)
            else:
                waiting.popleft()

    def unary(self, path: str, message: bytes) -> asyncio.Future[bytes]:
        """Ask; the future has the answer's bytes, or CallError."""
        answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        answer: list[bytes] = []

        def ended() -> None:
            if answered.done():
                return
            if answer:
                answered.set_result(answer[0])
            else:
                answered.set_exception(CallError(self.lost or f"{path} was refused"))

        self.open(path, answer.append, ended).send(message, last=True)
        return answered

    def close(self) -> None:
        """End the connection."""
        self.transport.close()


async def connect(port: int) -> Wire:
    """A connection to this machine."""
    loop = asyncio.get_running_loop()
    _, wire = await loop.create_connection(Wire, "127.0.0.1", port)
    return wire
