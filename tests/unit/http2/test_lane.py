"""Unary calls through the lane and past it: the same answers on h2 and on our own engine, however
the request comes and whatever the windows let pass.
"""

from __future__ import annotations

import asyncio
import struct

import pytest
from grpclib.const import Status
from h2.events import DataReceived, StreamEnded, TrailersReceived
from kvorum.http2 import choice
from kvorum.http2.lane import Heads, LaneEvents
from kvorum.http2.messages import frame
from kvorum_proto.etcdserverpb import PutRequest
from unit.http2.test_server import (
    BIDI,
    MESSAGE,
    UNARY,
    Echo,
    Raw,
    Running,
    put,
    status,
    with_server,
)


def test_the_lane_is_taken_where_there_is_one(http2: str) -> None:
    async def test(server: Running) -> None:
        client = Raw(server.port)
        await client.open()
        server.echo.go_on.clear()
        client.request(1, frame(MESSAGE))
        await server.echo.begun.wait()
        (connection,) = server.server._connections
        events = connection.processor
        if http2 == choice.OWN:
            assert isinstance(events, LaneEvents)
            assert len(events._calls) == 1
            assert not events.streams
        else:
            assert len(events.streams) == 1
        server.echo.go_on.set()
        assert status(await client.answer(1))[0] == 0
        client.close()

    with_server(test)


@pytest.mark.parametrize("cuts", [(3,), (5,), (1, 6), (4, 5, 6, 7)])
def test_a_request_in_pieces(cuts: tuple[int, ...]) -> None:
    async def test(server: Running) -> None:
        client = Raw(server.port)
        await client.open()
        body = frame(MESSAGE)
        client.request(1, b"", end=False)
        for begin, end in zip((0, *cuts), (*cuts, len(body)), strict=True):
            client.h2.send_data(1, body[begin:end])
            client.flush()
            await asyncio.sleep(0.001)
        client.h2.end_stream(1)
        client.flush()
        assert status(await client.answer(1))[0] == 0
        client.close()

    with_server(test)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", (Status.UNKNOWN, "EOF")),
        (b"\x00", (Status.UNKNOWN, "unexpected EOF")),
        (struct.pack(">BI", 0, len(MESSAGE) + 1) + MESSAGE, (Status.UNKNOWN, "unexpected EOF")),
        # A second message behind the first is nobody's business.
        (frame(MESSAGE) * 2, (Status.OK, "")),
        (frame(b""), (Status.OK, "")),
        (struct.pack(">BI", 2, 0), (Status.INTERNAL, "grpc: received unexpected payload format 2")),
    ],
)
def test_odd_requests_are_answered_in_the_same_words(
    body: bytes, expected: tuple[Status, str]
) -> None:
    async def test(server: Running) -> None:
        client = Raw(server.port)
        await client.open()
        client.request(1, body)
        code, text = status(await client.answer(1))
        if body:
            assert (Status(code), text) == expected
        else:
            # The echo asserts that there is a request.
            assert code == Status.UNKNOWN.value
        client.close()

    with_server(test)


def test_an_answer_larger_than_the_window_waits_for_it() -> None:
    async def test(server: Running) -> None:
        client = Raw(server.port)
        await client.open()
        message = bytes(PutRequest(key=b"k", value=bytes(200_000)))
        # 65,535 bytes of window on both levels; the request itself comes in thirteen frames.
        client.request(1, b"", end=False)
        body, at = frame(message), 0
        got = 0
        ended = False
        while not ended:
            room = min(16_384, client.h2.local_flow_control_window(1), len(body) - at)
            if at < len(body) and room:
                client.h2.send_data(1, body[at : at + room], end_stream=at + room == len(body))
                at += room
                client.flush()
                continue
            for event in client.h2.receive_data(await client._reader.read(65_536)):
                if isinstance(event, DataReceived):
                    got += len(event.data)
                    client.h2.acknowledge_received_data(event.flow_controlled_length, 1)
                if isinstance(event, TrailersReceived):
                    assert "grpc-status" in str(event.headers)
                ended |= isinstance(event, StreamEnded)
            client.flush()
        assert got > 200_000
        client.close()

    with_server(test)


def test_small_answers_wait_for_a_window_of_nothing_and_deadlines_end_them() -> None:
    async def test(server: Running) -> None:
        client = Raw(server.port)
        await client.open()
        client.h2.update_settings({4: 0})
        client.request(1, frame(MESSAGE))
        client.request(3, frame(MESSAGE), more=[("grpc-timeout", "30m")])
        assert status(await client.answer(3)) == (4, "context deadline exceeded")
        client.h2.update_settings({4: 65_535})
        client.flush()
        assert status(await client.answer(1))[0] == 0
        client.close()

    with_server(test)


def test_calls_of_both_ways_side_by_side() -> None:
    async def test(server: Running) -> None:
        channel = server.channel()
        values = [bytes([n % 256]) * (n * 900) for n in range(60)]
        answers = await asyncio.gather(*(put(channel, value) for value in values))
        assert [a.prev_kv.value for a in answers if a.prev_kv] == values
        channel.close()

    with_server(test)


def test_heads_are_remembered_without_their_time() -> None:
    async def run() -> None:
        heads = Heads(dict(Echo().__mapping__()))
        base = (
            (":method", "POST"),
            (":path", UNARY),
            ("content-type", "application/grpc"),
            ("token", "t"),
        )
        plain = heads.find(base)
        assert plain is not None
        timed = heads.find((*base, ("grpc-timeout", "5S")))
        assert timed is not None
        assert timed[0] is plain[0]
        assert plain[1] is None
        assert timed[1] is not None
        assert plain[0].metadata["token"] == "t"
        # All of these are for the ordinary way, which has the words for them.
        for more in ([("grpc-timeout", "x")], [("grpc-timeout", "1S")] * 2, [("A", "b")]):
            assert heads.find((*base, *more)) is None
        assert heads.find((*base, ("grpc-encoding", "gzip"))) is None
        assert heads.find(tuple((n, BIDI if n == ":path" else v) for n, v in base)) is None
        for n in range(1_000):
            heads.find((*base, ("x", "y" * n)))
        assert len(heads._known) <= 32

    asyncio.run(run())
