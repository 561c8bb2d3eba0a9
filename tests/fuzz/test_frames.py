"""Frames that nobody should send, at the engine alone: no error but its own, no hang, and nothing
kept beyond its bounds. A million frames under ``KVORUM_LONG=1``.

A seed that fails is named: ``KVORUM_FUZZ_SEED=n KVORUM_FUZZ_FRAMES=1 pytest`` is it alone.
"""

from __future__ import annotations

import os
import struct
from random import Random

import pytest
from fuzz.streams import PREFACE, Frame, http2
from h2.exceptions import H2Error
from kvorum.http2.engine import frames
from kvorum.http2.engine.connection import OwnConnection
from kvorum.http2.engine.frames import Broken
from kvorum.limits import (
    HTTP2_CLOSED_STREAMS,
    HTTP2_HEADER_LIST_BYTES,
    HTTP2_HEADER_TABLE_BYTES,
)

LONG = 1_000_000 if os.environ.get("KVORUM_LONG") else 20_000
FRAMES = int(os.environ.get("KVORUM_FUZZ_FRAMES", LONG))
FIRST_SEED = int(os.environ.get("KVORUM_FUZZ_SEED", "1"))
HELLO = Frame(frames.SETTINGS, 0, 0, b"").pack()
_SIZES = {frames.PRIORITY: 5, frames.RST_STREAM: 4, frames.PING: 8, frames.WINDOW_UPDATE: 4}


def made(client: bool) -> OwnConnection:
    return OwnConnection(
        client,
        max_streams=100,
        stream_window=100_000,
        connection_window=200_000,
        clock=lambda: 0.0,
    )


def likely(rng: Random, streams: int) -> bytes:
    """A frame whose length is right, mostly, on a stream that may exist."""
    kind = rng.choice((0, 0, 1, 1, 1, 2, 3, 4, 6, 8, 8, 9, 10, 200))
    stream = rng.choice((0, 1, 1 + 2 * rng.randrange(streams), rng.getrandbits(31)))
    if kind in (frames.SETTINGS, frames.PING, frames.GOAWAY) and rng.random() < 0.95:
        stream = 0
    flags = rng.choice((0, 1, 4, 4, 5, 5, rng.getrandbits(8)))
    size = _SIZES.get(kind, rng.choice((0, 1, 6, 12, 30, 300)))
    payload = rng.randbytes(size if rng.random() < 0.97 else size + 1)
    if kind in (frames.HEADERS, frames.CONTINUATION) and rng.random() < 0.8:
        # Indexed headers, literals, sizes: blocks that can be read, as far as that is up to chance.
        some = (b"\x82", b"\x88", b"\x40\x01a\x01b", b"\x00\x81\x1f\x01b", b"\x3f\x01", b"\xbe")
        payload = b"".join(rng.choice(some) for _ in range(rng.randrange(6)))
    if kind == frames.SETTINGS:
        payload = struct.pack(">HI", rng.randrange(8), rng.getrandbits(rng.choice((1, 15, 31))))
    if kind == frames.WINDOW_UPDATE:
        payload = struct.pack(">I", rng.getrandbits(rng.choice((4, 16, 31))))
    return Frame(kind, flags, stream, payload).pack()


def act(connection: OwnConnection, rng: Random) -> None:
    """This side goes on as if nothing were wrong. It may be told that it cannot."""
    for stream in [*connection.streams][:3]:
        try:
            deed = rng.randrange(4)
            if deed == 0:
                connection.send_headers(stream, [(":status", "200")], rng.random() < 0.3)
            elif deed == 1:
                room = connection.local_flow_control_window(stream)
                connection.send_data(stream, bytes(max(0, min(room, 100))), rng.random() < 0.3)
            elif deed == 2:
                connection.reset_stream(stream)
            else:
                connection.acknowledge_received_data(rng.randrange(100), stream)
        except H2Error:
            continue


def check(connection: OwnConnection) -> None:
    """Nothing is kept beyond its bounds, and what is said is HTTP/2."""
    assert connection.decoder.table.size_bytes <= HTTP2_HEADER_TABLE_BYTES
    assert connection.encoder.table.size_bytes <= HTTP2_HEADER_TABLE_BYTES
    assert len(connection._block) <= HTTP2_HEADER_LIST_BYTES + frames.FRAME_BYTES
    assert len(connection._reader._held) <= frames.HEAD_BYTES + frames.FRAME_BYTES
    assert len(connection._reset) <= HTTP2_CLOSED_STREAMS
    assert connection.outbound_flow_control_window <= frames.WINDOW_MAX
    said = connection.data_to_send().removeprefix(PREFACE)
    reader = frames.FrameReader()
    assert all(frame.kind != frames.PUSH_PROMISE for frame in reader.feed(said))
    assert not reader._held


def one(seed: int) -> int:
    """A connection until it ends, or has had its frames; their number."""
    rng = Random(seed)
    client = rng.random() < 0.3
    connection = made(client)
    count = 0
    try:
        connection.receive_data(HELLO if client else PREFACE + HELLO)
        if client:
            for _ in range(3):
                number = connection.get_next_available_stream_id()
                connection.send_headers(number, [(":method", "POST")], rng.random() < 0.5)
        elif rng.random() < 0.2:
            data = http2(rng).removeprefix(PREFACE)
            at = 0
            while at < len(data):
                size = rng.randrange(1, 200)
                connection.receive_data(data[at : at + size])
                at += size
            return 10
        while count < 200:
            count += 1
            data = likely(rng, 5)
            cut = rng.randrange(len(data) + 1) if rng.random() < 0.2 else 0
            connection.receive_data(data[:cut])
            connection.receive_data(data[cut:])
            if rng.random() < 0.3:
                act(connection, rng)
                check(connection)
    except Broken as error:
        assert connection.state_machine.state.name == "CLOSED"
        assert connection.receive_data(b"anything") == []
        goaway = struct.pack(">I", int(error.error_code))
        assert connection.data_to_send()[-4:] == goaway
    check(connection)
    return max(1, count)


def test_frames_that_nobody_should_send() -> None:
    sent, seed = 0, FIRST_SEED
    while sent < FRAMES:
        try:
            sent += one(seed)
        except Exception as error:
            pytest.fail(
                f"{error!r}: KVORUM_FUZZ_SEED={seed} KVORUM_FUZZ_FRAMES=1 pytest {__file__}"
            )
        seed += 1
    # The dice are not loaded: connections live for more than one frame.
    assert sent > 2 * (seed - FIRST_SEED)
