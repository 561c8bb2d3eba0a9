"""One gRPC call as bytes: whatever a test says is sent, whatever comes back is told in one line.

h2 packs the frames and knows the state of the connection; its checks of what we send are off.
"""

from __future__ import annotations

import socket
import struct
import urllib.parse
from collections.abc import Iterable, Sequence

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import ProtocolError

PATIENCE_S = 60.0
Header = tuple[str | bytes, str | bytes]


def frame(message: bytes, flag: int = 0, length: int | None = None) -> bytes:
    """A message with its prefix; ``flag`` and ``length`` may lie."""
    return struct.pack(">BI", flag, len(message) if length is None else length) + message


def request_headers(path: str, **changes: str | bytes | None) -> list[Header]:
    """What a decent client sends. A change of None leaves a header out; ``_`` stands for ``-``, and
    ``p_`` before a name for the colon.
    """
    fields: dict[str, str | bytes] = {
        ":method": "POST",
        ":scheme": "http",
        ":authority": "localhost",
        ":path": path,
        "te": "trailers",
        "content-type": "application/grpc",
    }
    for name, value in changes.items():
        key = name.replace("p_", ":", 1) if name.startswith("p_") else name.replace("_", "-")
        if value is None:
            fields.pop(key, None)
        else:
            fields[key] = value
    return list(fields.items())


class RawCalls:
    """A connection with calls on it."""

    def __init__(self, url: str) -> None:
        host, _, port = url.removeprefix("http://").rpartition(":")
        self._sock = socket.create_connection((host, int(port)), timeout=PATIENCE_S)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        config = H2Configuration(
            client_side=True,
            header_encoding=None,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
            validate_inbound_headers=False,
        )
        self.h2 = H2Connection(config)
        self.h2.initiate_connection()
        self.events: list[Event] = []
        self.flush()

    def flush(self) -> None:
        """Send what h2 has to say."""
        self._sock.sendall(self.h2.data_to_send())

    def send(self, data: bytes) -> None:
        """Send bytes past h2."""
        self._sock.sendall(data)

    def begin(self, headers: Sequence[Header], *, end: bool = False) -> int:
        """Open a stream; returns its number."""
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, headers, end_stream=end)
        self.flush()
        return stream

    def data(self, stream: int, body: bytes, *, end: bool = True) -> None:
        """Send bytes on a stream as far as it is open and the windows let them pass."""
        sent = 0
        try:
            while sent < len(body) or (end and not body):
                room = self.h2.local_flow_control_window(stream)
                if not room:
                    if not self._read():
                        return
                    continue
                size = min(room, self.h2.max_outbound_frame_size, len(body) - sent)
                part = body[sent : sent + size]
                sent += size
                self.h2.send_data(stream, part, end_stream=end and sent == len(body))
                self.flush()
                if not body:
                    return
        except (ProtocolError, KeyError, ConnectionError):
            # The other side has ended the stream; what it said tells why.
            return

    def reset(self, stream: int) -> None:
        """Cancel a stream."""
        self.h2.reset_stream(stream, ErrorCodes.CANCEL)
        self.flush()

    def _read(self) -> bool:
        try:
            data = self._sock.recv(65536)
        except ConnectionError:
            return False
        if not data:
            return False
        for event in self.h2.receive_data(data):
            self.events.append(event)
            if isinstance(event, DataReceived):
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        self.flush()
        return True

    def outcome(self, stream: int, *, until: int = 0) -> str:
        """How a stream ended; with ``until``, that many bytes of data are enough.

        ``"0"`` and ``"3 text"`` are gRPC's status and message, ``"HTTP 415"`` an answer without
        them, ``"reset CANCEL"``, ``"goaway PROTOCOL_ERROR"`` and ``"closed"`` what they say.
        """
        seen = 0
        while True:
            fields: dict[bytes, bytes] = {}
            size = 0
            for event in self.events[seen:] and self.events:
                if isinstance(event, ConnectionTerminated):
                    return f"goaway {_name(event.error_code)}"
                if getattr(event, "stream_id", None) != stream:
                    continue
                if isinstance(event, (ResponseReceived, TrailersReceived)):
                    fields.update((bytes(k), bytes(v)) for k, v in event.headers)
                if isinstance(event, DataReceived):
                    size += len(event.data)
                    if until and size >= until:
                        return "data"
                if isinstance(event, StreamEnded):
                    return _told(fields)
                if isinstance(event, StreamReset):
                    return f"reset {_name(event.error_code)}"
            seen = len(self.events)
            if not self._read():
                return "closed"

    def received(self, stream: int) -> bytes:
        """All data of a stream so far."""
        return b"".join(
            event.data
            for event in self.events
            if isinstance(event, DataReceived) and event.stream_id == stream
        )

    def close(self) -> None:
        """Leave without a word."""
        self._sock.close()


def _name(code: ErrorCodes | int | None) -> str:
    return code.name if isinstance(code, ErrorCodes) else str(code)


def _told(fields: dict[bytes, bytes]) -> str:
    if b"grpc-status" not in fields:
        return f"HTTP {fields.get(b':status', b'?').decode()}"
    message = urllib.parse.unquote(fields.get(b"grpc-message", b"").decode("latin-1"))
    return f"{fields[b'grpc-status'].decode()} {message}".strip()


def call(url: str, headers: Sequence[Header], body: bytes | Iterable[bytes] = b"") -> str:
    """One call on a connection of its own, half-closed after the body; how it ended."""
    connection = RawCalls(url)
    try:
        stream = connection.begin(headers)
        parts = [body] if isinstance(body, bytes) else list(body)
        for number, part in enumerate(parts, 1):
            connection.data(stream, part, end=number == len(parts))
        return connection.outcome(stream)
    finally:
        connection.close()
