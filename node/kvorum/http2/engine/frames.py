"""Frames of HTTP/2 (RFC 9113, sections 4 and 6): cut out of bytes as they come, and built."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY = range(8)
WINDOW_UPDATE, CONTINUATION = 8, 9

END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PRIORITIZED = 0x20

HEAD_BYTES = 9
# What every side takes, and what this side says that it takes.
FRAME_BYTES = 16_384
FRAME_BYTES_MAX = 2**24 - 1
STREAM_ID_MAX = WINDOW_MAX = 2**31 - 1
_PRIORITY_BYTES = 5

_HEAD = struct.Struct(">HBBBL")
_PRIORITY = struct.Struct(">LB")
_SETTING = struct.Struct(">HL")
_LONG = struct.Struct(">L")

# Frames whose length is always the same.
_LENGTHS = {PRIORITY: _PRIORITY_BYTES, RST_STREAM: 4, PING: 8, WINDOW_UPDATE: 4}
_ON_A_STREAM = frozenset({DATA, HEADERS, PRIORITY, RST_STREAM, PUSH_PROMISE, CONTINUATION})
_ON_NO_STREAM = frozenset({SETTINGS, PING, GOAWAY})


class Broken(ProtocolError):
    """The other side broke a rule; the connection ends, with this error code."""

    def __init__(self, text: str, code: ErrorCodes = ErrorCodes.PROTOCOL_ERROR) -> None:
        super().__init__(text)
        self.error_code = code


class Frame(NamedTuple):
    """A frame as it came: its length, stream and kind agree with one another."""

    kind: int
    flags: int
    stream_id: int
    payload: bytes


class FrameReader:
    """Cuts bytes into frames, however they are cut up themselves.

    It holds no more than one frame that is not whole yet, and refuses one that is too large by its
    head.
    """

    __slots__ = ("_held", "_wanted")

    def __init__(self) -> None:
        self._held = bytearray()
        # As long as fewer bytes are held there is nothing to cut.
        self._wanted = HEAD_BYTES

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are whole now. Broken for one that cannot be."""
        if self._held:
            self._held += data
            if len(self._held) < self._wanted:
                return
            data = bytes(self._held)
            self._held.clear()
        at, end = 0, len(data)
        wanted = HEAD_BYTES
        while end - at >= HEAD_BYTES:
            high, low, kind, flags, stream_id = _HEAD.unpack_from(data, at)
            length = high << 8 | low
            if length > FRAME_BYTES:
                raise Broken("a frame is too large", ErrorCodes.FRAME_SIZE_ERROR)
            stop = at + HEAD_BYTES + length
            if stop > end:
                wanted = HEAD_BYTES + length
                break
            stream_id &= STREAM_ID_MAX
            if kind <= CONTINUATION and (kind or not stream_id):
                _check(kind, flags, length, stream_id)
            payload = data[at + HEAD_BYTES : stop]
            at = stop
            yield Frame(kind, flags, stream_id, payload)
        self._wanted = wanted
        if at < end:
            self._held += data[at:]


def _check(kind: int, flags: int, length: int, stream_id: int) -> None:
    """Broken where kind, length and stream do not fit."""
    if kind in _ON_A_STREAM:
        if not stream_id:
            raise Broken("a frame that needs a stream is on none")
    elif kind in _ON_NO_STREAM and stream_id:
        raise Broken("a frame of the connection is on a stream")
    fixed = _LENGTHS.get(kind)
    if fixed is not None:
        fits = length == fixed
    elif kind == SETTINGS:
        fits = length == 0 if flags & ACK else length % _SETTING.size == 0
    elif kind == GOAWAY:
        fits = length >= 8
    else:
        return
    if not fits:
        raise Broken("a frame has the wrong length", ErrorCodes.FRAME_SIZE_ERROR)


def unpadded(frame: Frame) -> bytes:
    """The content of DATA or HEADERS, without padding and priority. Broken when there is none."""
    _, flags, stream_id, payload = frame
    start, end = 0, len(payload)
    if flags & PADDED:
        if not payload:
            raise Broken("a padded frame is empty", ErrorCodes.FRAME_SIZE_ERROR)
        start = 1
        end -= payload[0]
    if frame.kind == HEADERS and flags & PRIORITIZED:
        if len(payload) < start + _PRIORITY_BYTES:
            raise Broken("a frame has no room for its priority", ErrorCodes.FRAME_SIZE_ERROR)
        check_priority(payload, start, stream_id)
        start += _PRIORITY_BYTES
    if end < start:
        raise Broken("the padding is longer than the frame")
    return payload[start:end]


def check_priority(payload: bytes, at: int, stream_id: int) -> None:
    """Priorities are forgotten, but no stream may depend on itself."""
    if _PRIORITY.unpack_from(payload, at)[0] & STREAM_ID_MAX == stream_id:
        raise Broken("a stream depends on itself")


def settings_of(payload: bytes) -> Iterator[tuple[int, int]]:
    """Identifiers and values of a SETTINGS frame."""
    return _SETTING.iter_unpack(payload)


def number_of(payload: bytes, at: int = 0) -> int:
    """Four bytes as a number."""
    return int(_LONG.unpack_from(payload, at)[0])


def build(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    """A frame's bytes."""
    length = len(payload)
    return _HEAD.pack(length >> 8, length & 0xFF, kind, flags, stream_id) + payload


def headers(stream_id: int, block: bytes, end_stream: bool, most: int) -> bytes:
    """HEADERS, and CONTINUATION frames where the block is larger than ``most`` bytes."""
    flags = END_STREAM if end_stream else 0
    if len(block) <= most:
        return build(HEADERS, flags | END_HEADERS, stream_id, block)
    parts = [block[at : at + most] for at in range(0, len(block), most)]
    out = [build(HEADERS, flags, stream_id, parts[0])]
    out += [build(CONTINUATION, 0, stream_id, part) for part in parts[1:-1]]
    out.append(build(CONTINUATION, END_HEADERS, stream_id, parts[-1]))
    return b"".join(out)


def settings(values: dict[int, int]) -> bytes:
    """SETTINGS."""
    return build(SETTINGS, 0, 0, b"".join(_SETTING.pack(*pair) for pair in values.items()))


def numbers(kind: int, stream_id: int, *values: int) -> bytes:
    """A frame of numbers of four bytes: RST_STREAM, WINDOW_UPDATE, GOAWAY."""
    return build(kind, 0, stream_id, b"".join(map(_LONG.pack, values)))
