"""Servers that answer a gRPC call with frames that a test wrote: what no honest server says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from hpack import Encoder

Headers = Sequence[tuple[bytes, bytes]]
PREFACE_BYTES = 24
SETTINGS = b"\0\0\0\x04\0\0\0\0\0"
OK: Headers = ((b":status", b"200"), (b"content-type", b"application/grpc"))
END: Headers = ((b"grpc-status", b"0"),)
_DATA, _HEADERS = 0, 1
_END_STREAM, _END_HEADERS = 1, 4


def frame(kind: int, flags: int, payload: bytes, stream: int = 1) -> bytes:
    """One frame of HTTP/2."""
    head = len(payload).to_bytes(3, "big") + bytes((kind, flags))
    return head + stream.to_bytes(4, "big") + payload


def headers(pairs: Headers, *, end: bool = False) -> bytes:
    """A HEADERS frame that leaves nothing in the table of either side."""
    block = Encoder().encode([(*pair, True) for pair in pairs])
    return frame(_HEADERS, _END_HEADERS | (_END_STREAM if end else 0), block)


def message(payload: bytes, *, flag: int = 0, claimed: int | None = None) -> bytes:
    """A DATA frame with one message of gRPC; ``claimed`` is a length that need not be true."""
    size = len(payload) if claimed is None else claimed
    return frame(_DATA, 0, bytes((flag,)) + size.to_bytes(4, "big") + payload)


def answers(good: bytes) -> dict[str, bytes]:
    """Bad answers by name; ``good`` is a message that would be right."""
    return {
        "no HTTP status": headers(OK[1:]) + message(good) + headers(END, end=True),
        "HTTP status of a proxy": headers(((b":status", b"502"),), end=True),
        "no content-type": headers(OK[:1]) + message(good) + headers(END, end=True),
        "bytes beyond ASCII": headers((*OK, (b"x-bin", b"\xff\xfe"))) + message(b"\xff\xff"),
        "no base64": headers((*OK, (b"x-bin", b"!!!!!"), (b"y-bin", b"A"))) + message(b"\xff\xff"),
        "status that is no number": headers((*OK, (b"grpc-status", b"\xb2")), end=True),
        "status nobody knows": headers((*OK, (b"grpc-status", b"77")), end=True),
        "text that is no UTF-8": headers(
            (*OK, (b"grpc-status", b"5"), (b"grpc-message", b"%ff\xff%")), end=True
        ),
        "no message": headers(OK) + headers(END, end=True),
        "nothing but OK": headers((*OK, *END), end=True),
        "no protobuf": headers(OK) + message(b"\xff\xff") + headers(END, end=True),
        "compressed": headers(OK) + message(good, flag=1),
        "too large": headers(OK) + message(b"", claimed=0xFFFFFFFF),
        "cut short": headers(OK) + message(b"", claimed=50) + headers(END, end=True),
        "trailers without a status": headers(OK) + message(b"\xff\xff") + headers(OK[1:], end=True),
        "reset": headers(OK) + frame(3, 0, (2).to_bytes(4, "big")),
        "no HTTP/2": b"\xff" * 100,
        "headers without end": headers(OK) + frame(9, 0, b"\0" * 1000) * 20,
    }


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[int]:
    """The port of a server that says this once to each connection that has sent a call's head."""
    opened: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened.append(writer)
        try:
            writer.write(SETTINGS)
            await reader.readexactly(PREFACE_BYTES)
            kind = -1
            while kind != _HEADERS:
                head = await reader.readexactly(9)
                kind = head[3]
                await reader.readexactly(int.from_bytes(head[:3], "big"))
            writer.write(answer)
            await reader.read()
        except (OSError, asyncio.IncompleteReadError):
            # The other side has had enough.
            return

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        for writer in opened:
            writer.close()
        server.close()


def run_against(answer: bytes, ask: Callable[[int], Awaitable[None]]) -> None:
    """Ask a hostile server, with a bound of time."""

    async def main() -> None:
        async with answering(answer) as port, asyncio.timeout(20):
            await ask(port)

    asyncio.run(main())
