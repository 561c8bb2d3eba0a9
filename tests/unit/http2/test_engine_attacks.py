"""Known attacks on HTTP/2 at the engine alone, where each costs milliseconds: it ends the
connection with the right code, or costs no more than its bound. (The same against a whole node:
``tests/fuzz/test_attacks.py``, which runs on this engine under ``KVORUM_TEST_HTTP2=own``.)
"""

from __future__ import annotations

import struct

import pytest
from h2.errors import ErrorCodes
from h2.exceptions import FlowControlError, ProtocolError, StreamClosedError, TooManyStreamsError
from hpack import Encoder
from kvorum.http2.engine import frames
from kvorum.http2.engine.connection import OwnConnection
from kvorum.http2.engine.frames import Broken, build
from kvorum.http2.engine.inbound import PREFACE
from kvorum.limits import (
    HTTP2_CLOSED_STREAMS,
    HTTP2_CONTINUATIONS,
    HTTP2_HEADER_LIST_BYTES,
    HTTP2_HEADER_TABLE_BYTES,
    HTTP2_IDLE_FRAMES,
)

CALM = ErrorCodes.ENHANCE_YOUR_CALM
BLOCK = b"\x83\x86\x84"  # POST, http, /
NUMBER = struct.Struct(">L")


def server(window: int = 100_000) -> OwnConnection:
    found = OwnConnection(
        False, max_streams=100, stream_window=window, connection_window=window, clock=lambda: 0.0
    )
    found.receive_data(PREFACE + build(frames.SETTINGS, 0, 0, b""))
    found.data_to_send()
    return found


def client() -> OwnConnection:
    found = OwnConnection(
        True, max_streams=100, stream_window=70_000, connection_window=70_000, clock=lambda: 0.0
    )
    found.receive_data(build(frames.SETTINGS, 0, 0, b""))
    return found


def call(stream: int, end: bool = False) -> bytes:
    return build(frames.HEADERS, frames.END_HEADERS | end, stream, BLOCK)


def code_of(connection: OwnConnection, data: bytes) -> ErrorCodes:
    """The error that bytes end in, which the other side is told, too."""
    with pytest.raises(Broken) as caught:
        connection.receive_data(data)
    said = connection.data_to_send()
    assert said[-4:] == NUMBER.pack(int(caught.value.error_code))
    with pytest.raises(ProtocolError):
        connection.send_headers(1, [(":status", "200")])
    return ErrorCodes(caught.value.error_code)


@pytest.mark.parametrize(
    "unit",
    [
        build(frames.PING, 0, 0, bytes(8)),
        build(frames.PING, frames.ACK, 0, bytes(8)),
        build(frames.SETTINGS, 0, 0, b""),
        build(frames.SETTINGS, 0, 0, struct.pack(">HL", 4, 65_535)),
        build(frames.SETTINGS, frames.ACK, 0, b""),
        build(frames.WINDOW_UPDATE, 0, 0, NUMBER.pack(1)),
        build(frames.WINDOW_UPDATE, 0, 1, NUMBER.pack(1)),
        build(frames.PRIORITY, 0, 1, struct.pack(">LB", 3, 1)),
        build(frames.DATA, 0, 1, b""),
        build(frames.DATA, frames.PADDED, 1, b"\x09" + bytes(9)),
        build(0xF3, 0, 0, b"abc"),
    ],
)
def test_floods_of_frames_that_do_nothing(unit: bytes) -> None:
    connection = server(100_000_000)
    connection.receive_data(call(1))
    connection.receive_data(unit * (HTTP2_IDLE_FRAMES - 1))
    assert code_of(connection, unit * 2) is CALM


def test_frames_that_work_earn_patience_for_those_that_do_not() -> None:
    connection = server()
    for _ in range(10):
        connection.receive_data(build(frames.PING, 0, 0, bytes(8)) * (HTTP2_IDLE_FRAMES // 2))
        connection.patience.earn(HTTP2_IDLE_FRAMES // 2)


def test_streams_reset_without_end_keep_nothing() -> None:
    connection = server()
    with pytest.raises(Broken) as caught:
        for n in range(1, 4 * HTTP2_IDLE_FRAMES, 2):
            connection.receive_data(call(n) + build(frames.RST_STREAM, 0, n, NUMBER.pack(8)))
    assert caught.value.error_code is CALM
    assert len(connection.streams) <= 1


def test_what_this_side_resets_is_remembered_within_bounds() -> None:
    connection = server()
    for n in range(1, 2 * HTTP2_CLOSED_STREAMS + 200, 2):
        connection.receive_data(call(n))
        connection.reset_stream(n)
    assert len(connection._reset) == HTTP2_CLOSED_STREAMS
    # What was under way to one of them is let pass, and its window given back.
    before = connection._window._left + connection._window._owed
    last = next(reversed(connection._reset))
    connection.receive_data(build(frames.DATA, 0, last, bytes(10_000)))
    assert connection._window._left + connection._window._owed == before


def test_a_block_in_pieces_without_end() -> None:
    connection = server()
    connection.receive_data(build(frames.HEADERS, 0, 1, b""))
    piece = build(frames.CONTINUATION, 0, 1, b"")
    connection.receive_data(piece * HTTP2_CONTINUATIONS)
    assert code_of(connection, piece) is CALM


def test_a_block_larger_than_any() -> None:
    connection = server()
    connection.receive_data(build(frames.HEADERS, 0, 1, bytes(16_384)))
    piece = build(frames.CONTINUATION, 0, 1, bytes(16_384))
    assert code_of(connection, piece * (HTTP2_HEADER_LIST_BYTES // 16_384)) is CALM


def test_a_header_bomb() -> None:
    block = Encoder().encode([("x-bomb", "z" * 4_000)], huffman=False)
    block += b"\xbe" * (HTTP2_HEADER_LIST_BYTES // 4_000 + 10)
    assert code_of(server(), build(frames.HEADERS, 4, 1, block)) is CALM


def test_a_table_as_large_as_the_other_side_likes() -> None:
    connection = server()
    offer = struct.pack(">HL", 1, 2**32 - 1)
    connection.receive_data(build(frames.SETTINGS, 0, 0, offer) + call(1))
    connection.send_headers(1, [(":status", "200"), ("content-type", "a/b")])
    assert connection.encoder.table.max_bytes == HTTP2_HEADER_TABLE_BYTES


@pytest.mark.parametrize(
    ("data", "code"),
    [
        # Lengths (section 4.2, 6).
        (b"\x00\x40\x01\x00\x00" + NUMBER.pack(1), ErrorCodes.FRAME_SIZE_ERROR),
        (b"\xff\xff\xff\xf3\x00" + NUMBER.pack(0), ErrorCodes.FRAME_SIZE_ERROR),
        (build(frames.PING, 0, 0, bytes(7)), ErrorCodes.FRAME_SIZE_ERROR),
        (build(frames.SETTINGS, 0, 0, bytes(5)), ErrorCodes.FRAME_SIZE_ERROR),
        (build(frames.SETTINGS, frames.ACK, 0, bytes(6)), ErrorCodes.FRAME_SIZE_ERROR),
        (build(frames.WINDOW_UPDATE, 0, 0, bytes(5)), ErrorCodes.FRAME_SIZE_ERROR),
        (build(frames.RST_STREAM, 0, 1, bytes(3)), ErrorCodes.FRAME_SIZE_ERROR),
        (build(frames.PRIORITY, 0, 1, bytes(4)), ErrorCodes.FRAME_SIZE_ERROR),
        (build(frames.GOAWAY, 0, 0, bytes(7)), ErrorCodes.FRAME_SIZE_ERROR),
        (build(frames.DATA, frames.PADDED, 1, b""), ErrorCodes.FRAME_SIZE_ERROR),
        (build(frames.HEADERS, 0x24, 3, bytes(4)), ErrorCodes.FRAME_SIZE_ERROR),
        # Padding longer than the frame (6.1).
        (build(frames.DATA, frames.PADDED, 1, b"\x05abcd"), ErrorCodes.PROTOCOL_ERROR),
        # Streams where there may be none, and none where there must be one.
        (build(frames.PING, 0, 1, bytes(8)), ErrorCodes.PROTOCOL_ERROR),
        (build(frames.SETTINGS, 0, 1, b""), ErrorCodes.PROTOCOL_ERROR),
        (build(frames.DATA, 0, 0, b"x"), ErrorCodes.PROTOCOL_ERROR),
        (build(frames.HEADERS, 4, 0, BLOCK), ErrorCodes.PROTOCOL_ERROR),
        (build(frames.CONTINUATION, 4, 0, BLOCK), ErrorCodes.PROTOCOL_ERROR),
        # Streams of the wrong side, lower than others, never opened, ended.
        (call(2), ErrorCodes.PROTOCOL_ERROR),
        (call(5) + call(3), ErrorCodes.STREAM_CLOSED),
        (build(frames.DATA, 0, 9, b"x"), ErrorCodes.PROTOCOL_ERROR),
        (build(frames.RST_STREAM, 0, 9, bytes(4)), ErrorCodes.PROTOCOL_ERROR),
        (build(frames.WINDOW_UPDATE, 0, 9, NUMBER.pack(1)), ErrorCodes.PROTOCOL_ERROR),
        (build(frames.DATA, 1, 1, b"") + call(1, True), ErrorCodes.STREAM_CLOSED),
        (build(frames.DATA, 1, 1, b"") * 2, ErrorCodes.STREAM_CLOSED),
        # Trailers that do not end, blocks interrupted, continued by others or from nothing.
        (call(1), ErrorCodes.PROTOCOL_ERROR),
        (build(frames.HEADERS, 0, 3, BLOCK) + call(5), ErrorCodes.PROTOCOL_ERROR),
        (build(frames.HEADERS, 0, 3, BLOCK) + build(0xF3, 0, 0, b""), ErrorCodes.PROTOCOL_ERROR),
        (build(frames.CONTINUATION, 4, 1, b""), ErrorCodes.PROTOCOL_ERROR),
        # Windows (6.9), settings (6.5.2), pushes (6.6), compression (4.3).
        (build(frames.WINDOW_UPDATE, 0, 0, NUMBER.pack(0)), ErrorCodes.PROTOCOL_ERROR),
        (
            build(frames.WINDOW_UPDATE, 0, 0, NUMBER.pack(2**31 - 1)),
            ErrorCodes.FLOW_CONTROL_ERROR,
        ),
        (
            build(frames.SETTINGS, 0, 0, struct.pack(">HL", 4, 2**31)),
            ErrorCodes.FLOW_CONTROL_ERROR,
        ),
        (build(frames.SETTINGS, 0, 0, struct.pack(">HL", 5, 16_383)), ErrorCodes.PROTOCOL_ERROR),
        (build(frames.SETTINGS, 0, 0, struct.pack(">HL", 5, 2**24)), ErrorCodes.PROTOCOL_ERROR),
        (build(frames.SETTINGS, 0, 0, struct.pack(">HL", 2, 2)), ErrorCodes.PROTOCOL_ERROR),
        (build(frames.PUSH_PROMISE, 4, 1, bytes(4)), ErrorCodes.PROTOCOL_ERROR),
        (build(frames.HEADERS, 4, 3, b"\xff\xff\xff"), ErrorCodes.COMPRESSION_ERROR),
        (build(frames.DATA, 0, 1, bytes(16_384)) * 7, ErrorCodes.FLOW_CONTROL_ERROR),
    ],
)
def test_each_rule_has_its_code(data: bytes, code: ErrorCodes) -> None:
    connection = server()
    connection.receive_data(call(1))
    assert code_of(connection, data) is code


@pytest.mark.parametrize(
    "data",
    [b"GET / HTTP/1.1\r\n", PREFACE[:-1] + b"x", PREFACE + build(frames.PING, 0, 0, bytes(8))],
)
def test_how_a_connection_must_begin(data: bytes) -> None:
    connection = OwnConnection(
        False, max_streams=1, stream_window=1, connection_window=1, clock=lambda: 0.0
    )
    assert code_of(connection, data) is ErrorCodes.PROTOCOL_ERROR


def test_a_streams_window_that_overflows_ends_the_stream_only() -> None:
    connection = server()
    connection.receive_data(call(1) + call(3))
    opened = build(frames.WINDOW_UPDATE, 0, 1, NUMBER.pack(2**31 - 1))
    (event,) = connection.receive_data(opened)
    assert type(event).__name__ == "StreamReset"
    assert [*connection.streams] == [3]


def test_a_window_shrunk_below_nothing_opens_again() -> None:
    connection = server()
    connection.receive_data(call(1))
    connection.send_headers(1, [(":status", "200")])
    connection.send_data(1, bytes(10_000))
    connection.receive_data(build(frames.SETTINGS, 0, 0, struct.pack(">HL", 4, 0)))
    assert connection.local_flow_control_window(1) == -10_000
    with pytest.raises(FlowControlError):
        connection.send_data(1, b"x")
    connection.receive_data(build(frames.WINDOW_UPDATE, 0, 1, NUMBER.pack(10_001)))
    connection.send_data(1, b"x", end_stream=True)
    with pytest.raises(StreamClosedError):
        connection.send_data(1, b"")


def test_windows_are_given_back_in_large_pieces_and_never_run_dry() -> None:
    connection = server(200_000)
    connection.receive_data(call(1))
    for _ in range(1_000):
        (event,) = connection.receive_data(build(frames.DATA, 0, 1, bytes(16_384)))
        connection.acknowledge_received_data(16_384, 1)
        assert event is not None
    said = [frame.kind for frame in frames.FrameReader().feed(connection.data_to_send())]
    assert set(said) == {frames.WINDOW_UPDATE}
    assert len(said) < 400


def test_a_client_asks_no_more_than_the_server_takes() -> None:
    connection = client()
    connection.receive_data(build(frames.SETTINGS, 0, 0, struct.pack(">HL", 3, 2)))
    for _ in range(2):
        number = connection.get_next_available_stream_id()
        connection.send_headers(number, [(":method", "POST")], end_stream=True)
    with pytest.raises(TooManyStreamsError):
        connection.send_headers(connection.get_next_available_stream_id(), [])
    connection.receive_data(build(frames.HEADERS, 5, 1, b"\x88"))
    connection.send_headers(connection.get_next_available_stream_id(), [(":method", "POST")])
    assert [*connection.streams] == [3, 5]


def test_long_headers_leave_in_pieces() -> None:
    connection = server()
    connection.receive_data(call(1))
    headers = [(f"x-{n}", "é" * 3_000) for n in range(10)]
    connection.send_headers(1, headers, end_stream=True)
    said = [*frames.FrameReader().feed(connection.data_to_send())]
    assert [frame.kind for frame in said][:2] == [frames.HEADERS, frames.CONTINUATION]
    assert [bool(frame.flags & frames.END_HEADERS) for frame in said][-1]
    assert said[0].flags & frames.END_STREAM
