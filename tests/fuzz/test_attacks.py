"""Known attacks on HTTP/2, each by its name: the attacker loses its connection or is refused, what
was kept for it is let go, and a decent client beside it is served.

Long because every attack needs frames of its own, and they share the helpers.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from fuzz.streams import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    RESET,
    SETTINGS,
    WINDOW,
    Frame,
)
from fuzz.world import Fuzzed, Pipe, fuzzed
from hpack import Encoder
from kvorum.http2 import choice
from kvorum.http2 import protocol as protocol_module
from kvorum.http2.protocol import KvorumProtocol
from kvorum.limits import (
    HTTP2_BACKLOG_BYTES,
    HTTP2_HEADER_LIST_BYTES,
    HTTP2_HEADER_TABLE_BYTES,
    HTTP2_IDLE_FRAMES,
    HTTP2_RESETS,
)
from kvorum.server import listener as listener_module
from kvorum_proto.codec import encode
from kvorum_proto.etcdserverpb import (
    PutRequest,
    RangeRequest,
    WatchCreateRequest,
    WatchRequest,
)

CALM, REFUSED = 11, 7
KEEP = 1 << 24
HELLO = PREFACE + Frame(SETTINGS, 0, 0, b"").pack()
UNKNOWN_KIND = 0xF3


def on_a_node(test: Callable[[Fuzzed], Awaitable[None]]) -> None:
    """Run a test, and see that nothing is left of it and nobody was hurt."""

    async def run() -> None:
        async with fuzzed() as world:
            before = world.counts()
            await test(world)
            await world.settle()
            await world.check_health()
            await world.settle()
            after = world.counts()
            before.pop("objects")
            after.pop("objects")
            assert after == before
            assert world.complaints() == []

    asyncio.run(run())


def headers(stream: int, path: str, *more: tuple[str, str], end: bool = False) -> bytes:
    """The beginning of a call; its headers use no table, so that calls may come in any order."""
    fields = [(":method", "POST"), (":scheme", "http"), (":path", path), ("te", "trailers")]
    fields += [("content-type", "application/grpc"), *more]
    block = b"".join(b"\x00" + _text(name) + _text(value) for name, value in fields)
    return Frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block).pack()


def _text(text: str) -> bytes:
    assert len(text) < 127
    return bytes([len(text)]) + text.encode()


def data(stream: int, message: bytes, flags: int = END_STREAM) -> bytes:
    """A call's message."""
    body = struct.pack(">BI", 0, len(message)) + message
    return Frame(DATA, flags, stream, body).pack()


def told(pipe: Pipe) -> Iterator[tuple[int, int, int, bytes]]:
    """What the server has sent: kind, flags, stream, payload."""
    out, at = bytes(pipe.out), 0
    while at + 9 <= len(out):
        size = int.from_bytes(out[at : at + 3], "big")
        kind, flags, stream = struct.unpack(">BBI", out[at + 3 : at + 9])
        yield kind, flags, stream, out[at + 9 : at + 9 + size]
        at += 9 + size


def why_closed(pipe: Pipe) -> list[int]:
    """The reasons of GOAWAY frames."""
    return [struct.unpack(">I", body[4:8])[0] for kind, _, _, body in told(pipe) if kind == GOAWAY]


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def the_other(world: Fuzzed) -> KvorumProtocol:
    """The attacker's connection: the newest."""
    return next(c for c in world.server._connections if isinstance(c.transport._inner, Pipe))


async def flood(pipe: Pipe, unit: bytes, most: int, chunk: int = 500) -> int:
    """Send a unit until the server has had enough; how many it took."""
    sent = 0
    while not pipe.closed and sent < most:
        pipe.feed(unit * chunk)
        sent += chunk
        await turns(3)
    return sent


IDLE = {
    "ping flood": Frame(PING, 0, 0, bytes(8)),
    "settings flood": Frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535)),
    "empty settings": Frame(SETTINGS, 0, 0, b""),
    "window flood": Frame(WINDOW, 0, 0, struct.pack(">I", 1)),
    "priority flood": Frame(PRIORITY, 0, 1, struct.pack(">IB", 0, 1)),
    "unknown frames": Frame(UNKNOWN_KIND, 0, 0, b"abc"),
}


@pytest.mark.parametrize("name", IDLE)
def test_floods_of_frames_that_do_nothing(name: str) -> None:
    async def test(world: Fuzzed) -> None:
        pipe = world.connect(KEEP)
        pipe.feed(HELLO)
        taken = await flood(pipe, IDLE[name].pack(), 20 * HTTP2_IDLE_FRAMES)
        assert pipe.closed
        assert taken >= HTTP2_IDLE_FRAMES
        assert why_closed(pipe) == [CALM]

    on_a_node(test)


@pytest.mark.parametrize("padded", [False, True])
def test_a_flood_of_empty_data(padded: bool) -> None:
    async def test(world: Fuzzed) -> None:
        pipe = world.connect(KEEP)
        pipe.feed(HELLO + headers(1, "/etcdserverpb.KV/Put"))
        body = bytes([255]) + bytes(255) if padded else b""
        unit = Frame(DATA, PADDED if padded else 0, 1, body).pack()
        await flood(pipe, unit, 20 * HTTP2_IDLE_FRAMES)
        assert why_closed(pipe) == [CALM]

    on_a_node(test)


def test_rapid_reset() -> None:
    async def test(world: Fuzzed) -> None:
        pipe = world.connect(KEEP)
        pipe.feed(HELLO)
        started = 0
        give_up = struct.pack(">I", 8)
        while not pipe.closed and started < 20 * HTTP2_RESETS:
            streams = range(2 * started + 1, 2 * started + 201, 2)
            pipe.feed(
                b"".join(
                    headers(n, "/etcdserverpb.KV/Put") + Frame(RESET, 0, n, give_up).pack()
                    for n in streams
                )
            )
            started += 100
            await turns(3)
        assert pipe.closed
        assert started >= HTTP2_RESETS
        assert why_closed(pipe) == [CALM]

    on_a_node(test)


def test_cancelled_watches_are_no_rapid_reset() -> None:
    async def test(world: Fuzzed) -> None:
        pipe = world.connect(KEEP)
        pipe.feed(HELLO)
        create = encode(WatchRequest(create_request=WatchCreateRequest(key=b"k")))
        count = HTTP2_RESETS + 1_000
        for first in range(0, count, 500):
            streams = range(2 * first + 1, 2 * first + 1_001, 2)
            for n in streams:
                pipe.feed(headers(n, "/etcdserverpb.Watch/Watch") + data(n, create, 0))
            await world.local.until(lambda: world.node.status().watch_streams == 500)
            await turns()
            for n in streams:
                pipe.feed(Frame(RESET, 0, n, struct.pack(">I", 8)).pack())
            await world.local.until(lambda: world.node.status().watch_streams == 0)
        assert not pipe.closed
        pipe.lose()

    on_a_node(test)


def test_more_than_five_thousand_streams_at_once() -> None:
    async def test(world: Fuzzed) -> None:
        pipe = world.connect(KEEP)
        pipe.feed(HELLO + Frame(WINDOW, 0, 0, struct.pack(">I", 2**30)).pack())
        create = encode(WatchRequest(create_request=WatchCreateRequest(key=b"k")))
        for n in range(1, 12_001, 2):
            pipe.feed(headers(n, "/etcdserverpb.Watch/Watch") + data(n, create, 0))
        await world.local.until(lambda: world.node.status().watch_streams == 6_000)
        # A call beside them.
        put = encode(PutRequest(key=b"other", value=b"v"))
        pipe.feed(headers(12_001, "/etcdserverpb.KV/Put") + data(12_001, put))
        revision = world.node.machine.revision
        await world.local.until(lambda: world.node.machine.revision > revision)
        await turns(100)
        ended = [n for kind, flags, n, _ in told(pipe) if kind == HEADERS and flags & END_STREAM]
        assert ended == [12_001]
        pipe.lose()

    on_a_node(test)


def test_streams_beyond_the_offer_are_refused() -> None:
    async def test(world: Fuzzed) -> None:
        world.server._max_streams = 10
        pipe = world.connect(KEEP)
        pipe.feed(HELLO + b"".join(headers(n, "/etcdserverpb.KV/Put") for n in range(1, 25, 2)))
        await turns()
        refused = [(n, body) for kind, _, n, body in told(pipe) if kind == RESET]
        assert refused == [(21, struct.pack(">I", REFUSED)), (23, struct.pack(">I", REFUSED))]
        # A place is free again when a call has ended.
        pipe.feed(data(1, encode(PutRequest(key=b"k"))))
        await turns(60)
        pipe.feed(headers(25, "/etcdserverpb.KV/Put"))
        await turns()
        assert len([kind for kind, _, n, _ in told(pipe) if kind == RESET and n == 25]) == 0
        assert not pipe.closed
        pipe.lose()

    on_a_node(test)


def test_continuation_flood() -> None:
    async def test(world: Fuzzed) -> None:
        pipe = world.connect(KEEP)
        pipe.feed(HELLO + Frame(HEADERS, 0, 1, b"").pack())
        sent = await flood(pipe, Frame(CONTINUATION, 0, 1, b"").pack(), 10_000, 50)
        assert pipe.closed
        assert sent <= 100

    on_a_node(test)


def test_a_block_of_headers_without_end() -> None:
    async def test(world: Fuzzed) -> None:
        pipe = world.connect(KEEP)
        pipe.feed(HELLO + Frame(HEADERS, 0, 1, bytes(16_384)).pack())
        await flood(pipe, Frame(CONTINUATION, 0, 1, bytes(16_384)).pack(), 100, 1)
        assert why_closed(pipe) == [CALM]
        assert pipe.written < 1_000

    on_a_node(test)


def test_a_header_bomb() -> None:
    async def test(world: Fuzzed) -> None:
        encoder = Encoder()
        block = encoder.encode([("x-bomb", "z" * 4_000)], huffman=False)
        # A byte each, four thousand in the list.
        block += b"\xbe" * (HTTP2_HEADER_LIST_BYTES // 4_000 + 10)
        pipe = world.connect(KEEP)
        pipe.feed(HELLO + Frame(HEADERS, END_HEADERS, 1, block).pack())
        await turns()
        assert why_closed(pipe) == [CALM]

    on_a_node(test)


def test_a_table_of_headers_as_large_as_the_client_likes() -> None:
    async def test(world: Fuzzed) -> None:
        pipe = world.connect()
        pipe.feed(HELLO + Frame(SETTINGS, 0, 0, struct.pack(">HI", 1, 2**32 - 1)).pack())
        for n in range(1, 1_001, 2):
            pipe.feed(headers(n, f"/etcdserverpb.KV/Nope{n}", end=True))
            await turns(2)
        encoder: Any = the_other(world).connection._connection.encoder
        if choice.used() == choice.OWN:
            assert encoder.table.max_bytes == HTTP2_HEADER_TABLE_BYTES
            assert encoder.table.size_bytes <= HTTP2_HEADER_TABLE_BYTES
        else:
            assert encoder.header_table.maxsize == HTTP2_HEADER_TABLE_BYTES
            assert encoder.header_table._current_size <= HTTP2_HEADER_TABLE_BYTES
        pipe.lose()

    on_a_node(test)


def test_settings_nobody_knows_are_not_kept() -> None:
    async def test(world: Fuzzed) -> None:
        pipe = world.connect()
        pipe.feed(HELLO)
        for first in range(100, 60_000, 2_000):
            some = b"".join(struct.pack(">HI", n, 1) for n in range(first, first + 2_000))
            pipe.feed(Frame(SETTINGS, 0, 0, some).pack())
        # Our own keeps none at all.
        known = getattr(the_other(world).connection._connection, "remote_settings", ())
        assert len(known) < 20
        pipe.lose()

    on_a_node(test)


def test_a_client_that_asks_and_never_listens() -> None:
    async def test(world: Fuzzed) -> None:
        pipe = world.connect(KEEP)
        pipe.feed(HELLO)
        await turns()
        pipe.clog(True)
        before = pipe.written
        await flood(pipe, Frame(PING, 0, 0, bytes(8)).pack(), 20 * HTTP2_IDLE_FRAMES, 100)
        assert pipe.closed
        assert pipe.written - before < 2 * HTTP2_BACKLOG_BYTES

    on_a_node(test)


def _range(stream: int) -> bytes:
    return headers(stream, "/etcdserverpb.KV/Range") + data(
        stream, encode(RangeRequest(key=b"large"))
    )


async def _store(world: Fuzzed, pipe: Pipe, size: int) -> None:
    """Put a value in pieces that fit into frames."""
    message = encode(PutRequest(key=b"large", value=bytes(size)))
    body = struct.pack(">BI", 0, len(message)) + message
    pipe.feed(headers(1, "/etcdserverpb.KV/Put"))
    for at in range(0, len(body), 16_384):
        part = body[at : at + 16_384]
        flags = END_STREAM if at + 16_384 >= len(body) else 0
        pipe.feed(Frame(DATA, flags, 1, part).pack())
    await world.local.until(
        lambda: any(n == 1 and flags & END_STREAM for _, flags, n, _ in told(pipe))
    )


def test_windows_opened_by_a_byte_wake_one_call_each() -> None:
    async def test(world: Fuzzed) -> None:
        pipe = world.connect(KEEP)
        # Every stream's window is wide; the connection's is 65,535 bytes, once.
        pipe.feed(HELLO + Frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 2**31 - 1)).pack())
        await _store(world, pipe, 100_000)
        connection = the_other(world).connection
        for n in range(3, 103, 2):
            pipe.feed(_range(n))
            await turns(10)
        await world.local.until(lambda: len(connection._turns) == 50)
        waiting = connection._turns
        before = pipe.written
        for count in range(1, 51):
            pipe.feed(Frame(WINDOW, 0, 0, struct.pack(">I", 1)).pack())
            await turns(5)
            assert pipe.written - before == count * (9 + 1)
            assert len(waiting) == 50
        # And a window as wide as all answers lets all of them end.
        pipe.feed(Frame(WINDOW, 0, 0, struct.pack(">I", 2**30)).pack())
        await world.local.until(lambda: connection._held_calls == 0)
        await turns()
        assert sum(1 for k, f, _, _ in told(pipe) if k == HEADERS and f & END_STREAM) == 51
        pipe.lose()

    on_a_node(test)


def test_answers_that_nobody_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol_module, "HTTP2_HELD_BYTES", 1_000_000)

    async def test(world: Fuzzed) -> None:
        pipe = world.connect(KEEP)
        pipe.feed(HELLO)
        await _store(world, pipe, 100_000)
        # From here on no stream has a window.
        pipe.feed(Frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0)).pack())
        for n in range(3, 103, 2):
            pipe.feed(_range(n))
            await turns(40)
        resets = [body for kind, _, _, body in told(pipe) if kind == RESET]
        held = the_other(world).connection._held_bytes
        assert 1_000_000 < held < 1_200_000
        assert set(resets) == {struct.pack(">I", REFUSED)}
        assert len(resets) == 50 - held // 100_000
        # Whoever opens the windows after all is answered.
        pipe.feed(Frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 2**30)).pack())
        pipe.feed(Frame(WINDOW, 0, 0, struct.pack(">I", 2**30)).pack())
        await world.local.until(lambda: the_other(world).connection._held_bytes == 0)
        pipe.lose()

    on_a_node(test)


def test_a_preface_that_never_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener_module, "SNIFF_TIMEOUT_S", 0.01)

    async def test(world: Fuzzed) -> None:
        pipes = [world.connect() for _ in range(100)]
        for pipe in pipes:
            pipe.feed(PREFACE[:10])
        async with asyncio.timeout(20):
            while not all(pipe.closed for pipe in pipes):
                await asyncio.sleep(0.01)

    on_a_node(test)
