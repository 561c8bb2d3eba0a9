"""Unary calls of gRPC as bytes, and when each is answered; no client is there to give up itself."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Sequence
from typing import NamedTuple

from hpack import Encoder

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _WINDOW = 0, 1, 3, 4, 6, 8
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_WIDE = 1 << 24


class RawCall(NamedTuple):
    """A method's path, an encoded message, and the deadline it is sent with."""

    path: str
    message: bytes
    timeout_ms: int


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """One frame."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def frames_in(data: bytes) -> int:
    """How many frames a server reads from a connection's bytes, as far as lengths lead it."""
    if not data.startswith(_PREFACE):
        return 0
    at, count = len(_PREFACE), 0
    while at + 9 <= len(data):
        at += 9 + int.from_bytes(data[at : at + 3], "big")
        count += 1
    return count


async def answered(endpoint: str, calls: Sequence[RawCall], within_s: float) -> list[float]:
    """Make all calls at once on one connection; seconds until each was answered, whatever the
    answer. Those that are not answered ``within_s`` count as that.
    """
    host, _, port = endpoint.rpartition("//")[2].rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    took = [within_s] * len(calls)
    began_s = time.monotonic()
    try:
        writer.write(_PREFACE + frame(_SETTINGS, 0, 0, b""))
        writer.write(frame(_WINDOW, 0, 0, struct.pack(">I", _WIDE)))
        encoder = Encoder()
        writer.write(b"".join(_packed(encoder, n, call) for n, call in enumerate(calls)))
        waiting = len(calls)
        async with asyncio.timeout(within_s):
            while waiting:
                kind, flags, stream, payload = await _frame(reader)
                if kind == _SETTINGS and not flags & _ACK:
                    writer.write(frame(_SETTINGS, _ACK, 0, b""))
                elif kind == _PING and not flags & _ACK:
                    writer.write(frame(_PING, _ACK, 0, payload))
                if kind == _RESET or (kind in (_DATA, _HEADERS) and flags & _END_STREAM):
                    took[stream // 2] = time.monotonic() - began_s
                    waiting -= 1
    except TimeoutError:
        pass  # Whoever is left has the time it was waited for.
    finally:
        writer.close()
    return took


def _packed(encoder: Encoder, number: int, call: RawCall) -> bytes:
    block = encoder.encode(
        [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", call.path),
            (":authority", "x"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("grpc-timeout", f"{call.timeout_ms}m"),
        ]
    )
    body = struct.pack(">BI", 0, len(call.message)) + call.message
    stream = 2 * number + 1
    return frame(_HEADERS, _END_HEADERS, stream, block) + frame(_DATA, _END_STREAM, stream, body)


async def _frame(reader: asyncio.StreamReader) -> tuple[int, int, int, bytes]:
    head = await reader.readexactly(9)
    payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
    return head[3], head[4], int.from_bytes(head[5:], "big") & 0x7FFFFFFF, payload
