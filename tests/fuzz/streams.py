"""Streams of bytes for a server, made of a seed: calls as a client makes them, and what becomes of
them when bits fall over, frames are lost, repeated and exchanged, and lengths lie.
"""

from __future__ import annotations

import struct
from random import Random

from hpack import Encoder
from kvorum_proto.services import METHODS
from kvorum_proto.wire import uvarint

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RESET, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, END_HEADERS, PADDED, PRIORITIZED = 0x1, 0x4, 0x8, 0x20

# Left out where a request that happens to be well-formed would change who serves the decent client,
# or start a process.
_LEFT_OUT = (
    "Cluster/Member",
    "Maintenance/Alarm",
    "MoveLeader",
    "Auth/",
    "Inspect/",
    "Peer/",
    "Defragment",
    "Snapshot",
    "Hash",
)
PATHS = sorted(
    path
    for path in METHODS
    if not any(part in path for part in _LEFT_OUT) and not path.startswith("/kvorum.v1.Faults")
)
_COMMON = {
    ":method": ["POST"] * 9 + ["GET"],
    ":scheme": ["http"],
    ":authority": ["x"],
    "te": ["trailers"],
    "content-type": ["application/grpc"] * 9 + ["application/grpc+proto", "text/html"],
}
_ODD = [
    ("grpc-timeout", "1m"),
    ("grpc-timeout", "0n"),
    ("grpc-timeout", "99999999H"),
    ("grpc-encoding", "gzip"),
    ("grpc-encoding", "identity"),
    ("hasleader", "true"),
    ("token", "x.1"),
    ("x-bin", "AAA"),
    ("content-length", "7"),
    ("x", "y" * 300),
]


class Frame:
    """One frame; its length may lie."""

    def __init__(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        self.kind = kind
        self.flags = flags
        self.stream = stream
        self.payload = payload
        self.length: int | None = None

    def pack(self) -> bytes:
        """Its bytes."""
        length = len(self.payload) if self.length is None else self.length
        head = struct.pack(">I", length & 0xFFFFFF)[1:]
        return (
            head
            + struct.pack(">BBI", self.kind & 255, self.flags & 255, self.stream & 0xFFFFFFFF)
            + self.payload
        )


def message(rng: Random, levels: int = 3) -> bytes:
    """Fields with small numbers, as most messages have; some are messages again."""
    out = []
    for _ in range(rng.randrange(5)):
        number = rng.choice((1, 1, 2, 2, 3, 4, 5, 6, 7, 8, 11, 64))
        kind = rng.random()
        if kind < 0.5:
            body = rng.choice((b"", b"k", b"key", b"\0", rng.randbytes(rng.randrange(40))))
            if levels and rng.random() < 0.5:
                body = message(rng, levels - 1)
            out.append(uvarint(number << 3 | 2) + uvarint(len(body)) + body)
        elif kind < 0.9:
            value = rng.choice((0, 1, 2, 3, 127, 300, 2**31, 2**63 - 1, 2**64 - 1))
            out.append(uvarint(number << 3) + uvarint(value))
        else:
            out.append(uvarint(number << 3 | rng.randrange(8)) + rng.randbytes(rng.randrange(9)))
    return b"".join(out)


def damaged(rng: Random, data: bytes) -> bytes:
    """Bits turned, a piece cut out, a piece twice, bytes put in."""
    out = bytearray(data)
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(out) + 1)
        deed = rng.randrange(4)
        if deed == 0 and at < len(out):
            out[at] ^= 1 << rng.randrange(8)
        elif deed == 1:
            del out[at : at + rng.randrange(1, 20)]
        elif deed == 2:
            out[at:at] = out[at : at + rng.randrange(1, 20)]
        else:
            out[at:at] = rng.randbytes(rng.randrange(1, 12))
    return bytes(out)


def _body(rng: Random) -> bytes:
    parts = []
    for _ in range(rng.choice((0, 1, 1, 1, 1, 2, 3))):
        body = message(rng)
        if rng.random() < 0.3:
            body = damaged(rng, body)
        flag = 0 if rng.random() < 0.95 else rng.randrange(256)
        size = len(body) if rng.random() < 0.95 else rng.getrandbits(rng.choice((4, 12, 22, 32)))
        parts.append(struct.pack(">BI", flag, size) + body)
    return b"".join(parts)


def _call(rng: Random, encoder: Encoder, stream: int) -> list[Frame]:
    path = rng.choice(PATHS) if rng.random() < 0.95 else rng.choice(("", "/", "/a/b", "*"))
    fields = [(":path", path), *((name, rng.choice(some)) for name, some in _COMMON.items())]
    fields += rng.sample(_ODD, rng.choice((0, 0, 0, 1, 2)))
    block = encoder.encode(fields, huffman=rng.random() < 0.5)
    if rng.random() < 0.03:
        block = damaged(rng, block)
    frames = [Frame(HEADERS, END_HEADERS, stream, block)]
    if rng.random() < 0.15:
        cut = rng.randrange(len(block) + 1)
        frames = [
            Frame(HEADERS, 0, stream, block[:cut]),
            Frame(CONTINUATION, END_HEADERS, stream, block[cut:]),
        ]
    body = _body(rng)
    while body and rng.random() < 0.3:
        cut = rng.randrange(len(body) + 1)
        frames.append(Frame(DATA, 0, stream, body[:cut]))
        body = body[cut:]
    if rng.random() < 0.1:
        pad = rng.randrange(256)
        frames.append(Frame(DATA, PADDED | END_STREAM, stream, bytes([pad]) + body + bytes(pad)))
    else:
        frames.append(Frame(DATA, END_STREAM if rng.random() < 0.9 else 0, stream, body))
    if rng.random() < 0.15:
        frames.append(Frame(RESET, 0, stream, struct.pack(">I", rng.randrange(16))))
    return frames


def _noise(rng: Random) -> Frame:
    """A frame of some kind, plausible in itself."""
    stream = rng.choice((0, 0, 1, 3, 5, 7, 2**31 - 1))
    number = rng.getrandbits(rng.choice((1, 8, 16, 31, 32)))
    some: list[Frame] = [
        Frame(PING, rng.choice((0, 1)), 0, rng.randbytes(8)),
        Frame(RESET, 0, stream, struct.pack(">I", number)),
        Frame(WINDOW, 0, stream, struct.pack(">I", number)),
        Frame(SETTINGS, rng.choice((0, 0, 0, 1)), 0, struct.pack(">HI", rng.randrange(9), number)),
        Frame(PRIORITY, 0, stream, struct.pack(">IB", number, number & 255)),
        Frame(CONTINUATION, rng.choice((0, 4)), stream, rng.randbytes(rng.randrange(30))),
        Frame(GOAWAY, 0, 0, struct.pack(">II", number, number)),
        Frame(PUSH, END_HEADERS, stream, struct.pack(">I", number) + b"\x82"),
        Frame(DATA, rng.choice((0, 1, PADDED)), stream, rng.randbytes(rng.randrange(30))),
        Frame(HEADERS, rng.getrandbits(8), stream, rng.randbytes(rng.randrange(60))),
        Frame(rng.randrange(256), rng.getrandbits(8), stream, rng.randbytes(rng.randrange(60))),
    ]
    return rng.choice(some)


def _spoil(rng: Random, frames: list[Frame]) -> None:
    at = rng.randrange(len(frames))
    frame = frames[at]
    deed = rng.randrange(9)
    if deed == 0:
        frame.payload = damaged(rng, frame.payload)
    elif deed == 1:
        frame.length = rng.choice((0, len(frame.payload) + 1, rng.getrandbits(24)))
    elif deed == 2:
        frame.flags ^= 1 << rng.randrange(8)
    elif deed == 3:
        frame.stream = rng.choice((0, 1, 2, 3, 2**31 - 1, 2**31 + 1, rng.getrandbits(32)))
    elif deed == 4:
        frames.insert(rng.randrange(len(frames) + 1), frame)
    elif deed == 5:
        other = rng.randrange(len(frames))
        frames[at], frames[other] = frames[other], frames[at]
    elif deed == 6 and len(frames) > 1:
        del frames[at]
    elif deed == 7:
        frame.kind = rng.randrange(12)
    else:
        frames[at:at] = [_noise(rng)] * rng.choice((1, 1, 2, 30))


def http2(rng: Random) -> bytes:
    """A connection of HTTP/2."""
    encoder = Encoder()
    calls = [_call(rng, encoder, 2 * n + 1) for n in range(rng.choice((1, 1, 2, 3)))]
    frames = [Frame(SETTINGS, 0, 0, b"" if rng.random() < 0.8 else struct.pack(">HI", 4, 0))]
    if rng.random() < 0.5:
        frames += [frame for call in calls for frame in call]
    else:
        # Interleaved; headers keep their order, which their compression needs.
        while any(calls):
            call = rng.choice([call for call in calls if call])
            frames.append(call.pop(0))
    for _ in range(rng.choice((0, 0, 0, 1, 1, 2, 3))):
        _spoil(rng, frames)
    data = PREFACE + b"".join(frame.pack() for frame in frames)
    return damaged(rng, data) if rng.random() < 0.05 else data


_JSON = [
    b'{"key":"aw=="}',
    b'{"key":"aw==","value":"dg=="}',
    b'{"create_request":{"key":"aw=="}}',
    b'{"compare":[{"key":"aw==","version":"1"}],"success":[{"requestRange":{"key":"aw=="}}]}',
    b'{"ID":"7"}',
    b"{}",
    b"[",
]
_PAGES = [
    b"POST /v3/kv/range",
    b"POST /v3/kv/put",
    b"POST /v3/kv/txn",
    b"POST /v3/watch",
    b"POST /v3/lease/keepalive",
    b"GET /health",
    b"GET /livez",
    b"GET /version",
    b"OPTIONS /x",
]


def http1(rng: Random) -> bytes:
    """A connection of HTTP/1.1, perhaps with several requests in a row."""
    out = []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        body = rng.choice(_JSON)
        if rng.random() < 0.3:
            body = damaged(rng, body)
        head = [rng.choice(_PAGES) + b" HTTP/1.1", b"Host: localhost"]
        chunked = rng.random() < 0.3
        if chunked:
            head.append(b"Transfer-Encoding: chunked")
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        if rng.random() < (0.1 if chunked else 0.95):
            head.append(
                b"Content-Length: %d" % (len(body) + rng.choice((0, 0, 0, 0, 0, 0, 0, 5, -1)))
            )
        out.append(b"\r\n".join([*head, b"", b""]) + body)
    data = b"".join(out)
    return damaged(rng, data) if rng.random() < 0.3 else data


def connection(seed: int) -> tuple[bytes, Random]:
    """All bytes of one connection, and the dice for how they arrive."""
    rng = Random(seed)
    return (http1(rng) if rng.random() < 0.1 else http2(rng)), rng
