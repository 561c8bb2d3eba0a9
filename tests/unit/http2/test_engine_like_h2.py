"""The engine beside h2, frame by frame: random frames, valid and not, and random answers give the
same events and windows, or a stricter error that is named here.

Long because a server and a client are compared, with the same frames and the same list of
differences.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from typing import Any

from h2.config import H2Configuration
from h2.errors import ErrorCodes
from h2.events import Event
from h2.exceptions import H2Error, ProtocolError
from h2.settings import SettingCodes, Settings
from hpack import Encoder
from hypothesis import given, settings
from hypothesis import strategies as st
from kvorum.http2.connection import Connection
from kvorum.http2.engine import frames
from kvorum.http2.engine.connection import OwnConnection
from kvorum.http2.engine.frames import Broken, build
from kvorum.http2.engine.inbound import PREFACE
from kvorum.limits import HTTP2_HEADER_LIST_BYTES

OPTIONS: dict[str, Any] = {
    "header_encoding": "latin-1",
    "validate_inbound_headers": False,
    "validate_outbound_headers": False,
    "normalize_inbound_headers": False,
    "normalize_outbound_headers": False,
}
WINDOW = 100_000
LONG = bool(os.environ.get("KVORUM_LONG"))

# What the engine refuses and h2 lets pass: the standard calls each a stream's or the connection's
# error (RFC 9113, sections 3.4, 5.1, 5.4.1, 6.9).
STRICTER = {
    "settings come first",
    "a stream is reset that was never opened",
    "a window of a stream that was never opened",
    "a frame for a stream that has ended",
    "a frame for a stream that was never opened",
    "nothing may be pushed",
    "a frame has the wrong length",
    "resized without end",
    "an integer without end",
    # Of a setting that comes twice in a frame h2 looks at the last only (section 6.5.3: in order).
    "a frame size that cannot be",
    "a first window too large",
    "push is no yes or no",
    "a yes or no that is neither",
}
ALTSVC = 10
# h2 takes the reserved bit of a stream's number for a part of it.
LEFT_OUT = ("stream_ended", "priority_updated", "last_stream_id")
TOLD = {
    "RequestReceived",
    "ResponseReceived",
    "TrailersReceived",
    "DataReceived",
    "StreamEnded",
    "StreamReset",
    "WindowUpdated",
    "RemoteSettingsChanged",
    "ConnectionTerminated",
    "PingAckReceived",
}


def pair(client: bool = False) -> tuple[OwnConnection, Connection]:
    own = OwnConnection(
        client,
        max_streams=50,
        stream_window=WINDOW,
        connection_window=2 * WINDOW,
        clock=lambda: 0.0,
    )
    h2 = Connection(H2Configuration(client_side=client, **OPTIONS))
    h2.local_settings = Settings(
        client=client,
        initial_values={
            SettingCodes.MAX_CONCURRENT_STREAMS: 50,
            SettingCodes.INITIAL_WINDOW_SIZE: WINDOW,
            SettingCodes.MAX_HEADER_LIST_SIZE: HTTP2_HEADER_LIST_BYTES,
            **({SettingCodes.ENABLE_PUSH: 0} if client else {}),
        },
    )
    h2.initiate_connection()
    h2.increment_flow_control_window(2 * WINDOW - 65_535)
    if not client:
        hello = PREFACE + build(frames.SETTINGS, 0, 0, b"")
    else:
        hello = build(frames.SETTINGS, 0, 0, b"")
    own.receive_data(hello)
    h2.receive_data(hello)
    own.data_to_send()
    h2.data_to_send()
    return own, h2


def may_pass(data: bytes) -> bool:
    """Whether a frame may pass that h2 refuses: an ALTSVC frame that is none (RFC 7838, section 4,
    has servers ignore it), a window with the reserved bit (to be ignored by RFC 9113, section 6.9).
    """
    return data[3] == ALTSVC or (data[3] == frames.WINDOW_UPDATE and data[9] & 0x80 != 0)


def told(events: Sequence[Event]) -> list[tuple[Any, ...]]:
    """What grpclib hears of events."""
    found: list[tuple[Any, ...]] = []
    for event in events:
        kind = type(event).__name__
        if kind not in TOLD:
            continue
        some = vars(event)
        if kind == "RemoteSettingsChanged":
            some = {"changed": {int(k): v.new_value for k, v in some["changed_settings"].items()}}
        if "headers" in some:
            some = {**some, "headers": [tuple(header) for header in some["headers"]]}
        some = {k: v for k, v in some.items() if k not in LEFT_OUT}
        found.append((kind, *sorted(some.items(), key=lambda item: item[0])))
    return found


def answers(data: bytes) -> list[tuple[int, int, bytes]]:
    """What a side says to frames of the connection: its acknowledgements, and why it goes."""
    found = []
    for frame in frames.FrameReader().feed(data):
        if frame.kind in (frames.SETTINGS, frames.PING):
            found.append((frame.kind, frame.flags, frame.payload))
        if frame.kind == frames.GOAWAY:
            found.append((frame.kind, 0, frame.payload[4:8]))
    return found


stream_ids = st.sampled_from([1, 1, 3, 3, 5, 7, 9, 2, 0, 2**31 - 1])
small = st.integers(0, 300)
numbers = st.sampled_from([0, 1, 2, 5, 100, 16_384, 65_535, 2**24 - 1, 2**31 - 1, 2**32 - 1])
setting = st.tuples(st.integers(0, 9), numbers)
some_settings = st.lists(setting, max_size=4, unique_by=lambda one: one[0])
operations = st.one_of(
    st.tuples(st.just("call"), stream_ids, st.booleans(), st.integers(0, 3), st.integers(0, 3)),
    st.tuples(st.just("call"), stream_ids, st.booleans(), st.integers(0, 3), st.integers(0, 3)),
    st.tuples(st.just("trailers"), stream_ids, st.booleans()),
    st.tuples(st.just("data"), stream_ids, st.booleans(), small, st.booleans()),
    st.tuples(st.just("data"), stream_ids, st.booleans(), small, st.booleans()),
    st.tuples(st.just("much"), stream_ids, st.integers(1, 16)),
    st.tuples(st.just("reset"), stream_ids, numbers),
    st.tuples(st.just("window"), stream_ids, numbers),
    st.tuples(st.just("priority"), stream_ids, numbers),
    st.tuples(st.just("ping"), st.booleans()),
    st.tuples(
        st.just("settings"),
        st.lists(setting, max_size=4, unique_by=lambda one: one[0]),
        st.booleans(),
    ),
    st.tuples(st.just("goaway"), numbers),
    st.tuples(st.just("unknown"), st.integers(10, 255), stream_ids, st.binary(max_size=20)),
    st.tuples(
        st.just("raw"),
        st.integers(0, 12),
        st.integers(0, 255),
        stream_ids,
        st.binary(max_size=30),
    ),
    # What this side does.
    st.tuples(st.just("answer"), stream_ids, st.booleans()),
    st.tuples(st.just("send"), stream_ids, small, st.booleans()),
    st.tuples(st.just("send"), stream_ids, st.just(16_000), st.booleans()),
    st.tuples(st.just("give up"), stream_ids),
    st.tuples(st.just("read"), stream_ids),
)

HEADERS = [(":method", "POST"), (":path", "/a/b"), ("te", "trailers"), ("x", "y" * 30)]


def frames_of(operation: tuple[Any, ...], encoder: Encoder) -> list[bytes]:
    """An operation of the other side, as frames."""
    what, *rest = operation
    if what == "call":
        stream, ended, cuts, dress = rest
        headers = [*HEADERS, ("n", str(stream))]
        block = encoder.encode(headers)
        if dress & 1:
            block = struct.pack(">LB", 0 if stream else 1, 3) + block
        if dress & 2 and not cuts:
            block = b"\x07" + block + bytes(7)
        flags = (1 if ended else 0) | (0 if cuts else 4)
        flags |= (0x20 if dress & 1 else 0) | (8 if dress & 2 and not cuts else 0)
        size = len(block) // (cuts + 1) + 6
        parts = [block[at : at + size] for at in range(0, len(block), size)]
        out = [build(frames.HEADERS, flags | (4 if len(parts) == 1 else 0), stream, parts[0])]
        for n, part in enumerate(parts[1:], 2):
            flag = 4 if n == len(parts) else 0
            out.append(build(frames.CONTINUATION, flag, stream, part))
        return out
    if what == "trailers":
        block = encoder.encode([("grpc-status", "0")])
        return [build(frames.HEADERS, 4 | rest[1], rest[0], block)]
    if what == "data":
        stream, ended, size, padded = rest
        body = bytes([size % 200]) + bytes(size) + bytes(size % 200) if padded else bytes(size)
        return [build(frames.DATA, ended | (8 if padded else 0), stream, body)]
    if what == "much":
        return [build(frames.DATA, 0, rest[0], bytes(16_384))] * int(rest[1])
    if what == "reset":
        return [build(frames.RST_STREAM, 0, rest[0], struct.pack(">L", rest[1]))]
    if what == "window":
        return [build(frames.WINDOW_UPDATE, 0, rest[0], struct.pack(">L", rest[1]))]
    if what == "priority":
        return [build(frames.PRIORITY, 0, rest[0], struct.pack(">LB", rest[1], 9))]
    if what == "ping":
        return [build(frames.PING, rest[0], 0, b"12345678")]
    if what == "settings":
        body = b"".join(struct.pack(">HL", *one) for one in rest[0])
        return [build(frames.SETTINGS, 0, 0, body)]
    if what == "goaway":
        return [build(frames.GOAWAY, 0, 0, struct.pack(">LL", rest[0], rest[0]) + b"why")]
    if what == "unknown":
        return [build(rest[0], 0, rest[1], rest[2])]
    return [build(*rest)]


def act(side: Any, operation: tuple[Any, ...], unread: int) -> tuple[str, Any]:
    """This side does something; what came of it."""
    what, stream, *rest = operation
    try:
        if what == "answer":
            if stream not in side.streams:
                return "no stream", None
            side.send_headers(stream, [(":status", "200")], end_stream=rest[0])
        elif what == "send":
            size = min(rest[0], side.local_flow_control_window(stream))
            side.send_data(stream, bytes(max(0, size)), end_stream=rest[1])
        elif what == "give up":
            side.reset_stream(stream)
        else:
            side.acknowledge_received_data(unread, stream)
        return "done", side.outbound_flow_control_window
    except H2Error:
        return "refused", None


def taken(side: Any, data: bytes) -> tuple[list[tuple[Any, ...]], Exception | None]:
    try:
        return told(side.receive_data(data)), None
    except ProtocolError as error:
        return [], error


def compare(own: OwnConnection, h2: Connection, operations: Sequence[tuple[Any, ...]]) -> None:
    encoder = Encoder()
    unread = dict.fromkeys((*range(12), 2**31 - 1), 0)
    begun: set[int] = set()
    for operation in operations:
        if operation[0] in ("answer", "send", "give up", "read"):
            stream = operation[1]
            if operation[0] == "answer" and stream in own.streams:
                if stream in begun and not operation[2]:
                    continue  # h2 lets nobody send headers twice.
                begun.add(stream)
            elif operation[0] == "send" and stream not in begun:
                continue  # h2 wants headers first; grpclib sends them.
            if stream not in own.streams and operation[0] != "read":
                assert act(own, operation, 0)[0] != "done"
            elif operation[0] != "read" or unread[stream]:
                assert act(own, operation, unread[stream]) == act(h2, operation, unread[stream])
            if operation[0] == "read":
                unread[stream] = 0
            continue
        for data in frames_of(operation, encoder):
            mine_told, mine_error = taken(own, data)
            their_told, their_error = taken(h2, data)
            said, their_said = answers(own.data_to_send()), answers(h2.data_to_send())
            if mine_error is not None:
                assert isinstance(mine_error, Broken)
                assert said[-1][0] == frames.GOAWAY
                text = str(mine_error)
                if their_error is None:
                    assert any(words in text for words in STRICTER), (text, their_told)
                return
            if their_error is not None and may_pass(data):
                return
            assert their_error is None, (operation, their_error)
            assert mine_told == their_told
            assert said == their_said
            for event in mine_told:
                if event[0] == "DataReceived":
                    some = dict(event[1:])
                    unread[some["stream_id"]] += some["flow_controlled_length"]
            if any(event[0] == "ConnectionTerminated" for event in mine_told):
                return
        for stream, state in own.streams.items():
            assert h2.local_flow_control_window(stream) == min(
                state.outbound, own.outbound_flow_control_window
            )
            assert not h2.streams[stream].closed


@settings(max_examples=2_000 if LONG else 300, deadline=None)
@given(st.lists(operations, max_size=30))
def test_a_server_hears_what_h2_hears(row: list[tuple[Any, ...]]) -> None:
    own, h2 = pair()
    compare(own, h2, row)


def _codes(error: Exception | None) -> ErrorCodes | None:
    return getattr(error, "error_code", None)


server_streams = st.sampled_from([1, 1, 3, 3, 5, 7, 2, 0])
answers_of = st.one_of(
    st.tuples(st.just("head"), server_streams, st.booleans(), st.sampled_from(["200", "103"])),
    st.tuples(st.just("head"), server_streams, st.booleans(), st.just("200")),
    st.tuples(st.just("push"), server_streams),
    st.tuples(st.just("ask"), st.just(0), st.booleans()),
    st.tuples(st.just("ask"), st.just(0), st.booleans()),
    operations.filter(lambda operation: operation[0] not in ("call", "answer", "raw")),
)


def compare_clients(own: OwnConnection, h2: Connection, row: Sequence[tuple[Any, ...]]) -> None:
    """As ``compare``, for the side that asks."""
    encoder = Encoder()
    for operation in row:
        what, stream, *rest = operation
        if what == "ask":
            number = own.get_next_available_stream_id()
            assert number == h2.get_next_available_stream_id()
            outcomes = []
            for side in (own, h2):
                try:
                    side.send_headers(number, HEADERS, end_stream=rest[0])
                    outcomes.append("sent")
                except H2Error as refused:
                    outcomes.append(type(refused).__name__)
            assert outcomes[0] == outcomes[1]
            continue
        if what in ("send", "give up", "read"):
            if stream in own.streams and what != "read":
                assert act(own, operation, 0) == act(h2, operation, 0)
            continue
        if what == "head":
            block = encoder.encode([(":status", rest[1])])
            pieces = [build(frames.HEADERS, 4 | rest[0], stream, block)]
        elif what == "push":
            block = encoder.encode(HEADERS)
            pieces = [build(frames.PUSH_PROMISE, 4, stream, struct.pack(">L", 2) + block)]
        else:
            pieces = frames_of(operation, encoder)
        for data in pieces:
            mine, error = taken(own, data)
            theirs, their_error = taken(h2, data)
            said, their_said = answers(own.data_to_send()), answers(h2.data_to_send())
            if error is not None:
                if their_error is None:
                    assert any(words in str(error) for words in STRICTER), (str(error), theirs)
                return
            if their_error is not None and may_pass(data):
                return
            assert their_error is None, (operation, their_error)
            assert mine == theirs
            assert said == their_said
            if any(event[0] == "ConnectionTerminated" for event in mine):
                return


@settings(max_examples=2_000 if LONG else 200, deadline=None)
@given(st.lists(answers_of, max_size=30))
def test_a_client_hears_what_h2_hears(row: list[tuple[Any, ...]]) -> None:
    own, h2 = pair(client=True)
    compare_clients(own, h2, row)


@settings(max_examples=1_000 if LONG else 150, deadline=None)
@given(st.lists(operations, max_size=12), st.lists(st.integers(1, 40), min_size=1, max_size=30))
def test_where_bytes_are_cut_does_not_matter(row: list[tuple[Any, ...]], cuts: list[int]) -> None:
    encoder = Encoder()
    data = b"".join(
        frame
        for operation in row
        if operation[0] not in ("answer", "send", "give up", "read", "much")
        for frame in frames_of(operation, encoder)
    )
    whole, _ = pair()
    pieces, _ = pair()
    expected, error = taken(whole, data)
    found: list[tuple[Any, ...]] = []
    at = n = 0
    failure = None
    while at < len(data) and failure is None:
        size = cuts[n % len(cuts)]
        some, failure = taken(pieces, data[at : at + size])
        found += some
        at += size
        n += 1
    assert _codes(failure) == _codes(error)
    if error is None:
        assert found == expected
    assert pieces.data_to_send() == whole.data_to_send()
