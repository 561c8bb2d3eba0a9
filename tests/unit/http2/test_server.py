"""The server below grpclib: limits, refusals, streams without number, writes gathered.

Long because every refusal needs a raw connection of its own, and they share its few helpers.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from grpclib.client import StreamStreamMethod, UnaryUnaryMethod
from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError
from grpclib.server import Stream
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from kvorum.http2.messages import frame, send_encoded
from kvorum.http2.server import KvorumChannel, KvorumServer, unknown_method
from kvorum_proto.codec import Codec
from kvorum_proto.etcdserverpb import PutRequest, PutResponse
from kvorum_proto.mvccpb import KeyValue

UNARY = "/test.Echo/Unary"
FAN = "/test.Echo/Fan"
BIDI = "/test.Echo/Bidi"


class Echo:
    """A put's key and value back as a previous key; a fan of encoded messages; an open stream."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()

    def __mapping__(self) -> dict[str, Handler]:
        return {
            UNARY: Handler(self.unary, Cardinality.UNARY_UNARY, PutRequest, PutResponse),
            FAN: Handler(self.fan, Cardinality.UNARY_STREAM, PutRequest, PutResponse),
            BIDI: Handler(self.bidi, Cardinality.STREAM_STREAM, PutRequest, PutResponse),
        }

    async def unary(self, stream: Stream[PutRequest, PutResponse]) -> None:
        request = await stream.recv_message()
        assert request is not None
        self.begun.set()
        await self.go_on.wait()
        await stream.send_message(answer(request))

    async def fan(self, stream: Stream[PutRequest, PutResponse]) -> None:
        request = await stream.recv_message()
        assert request is not None
        sent = await send_encoded(stream, [bytes(answer(request))] * 3)
        assert sent == 3 * len(frame(bytes(answer(request))))

    async def bidi(self, stream: Stream[PutRequest, PutResponse]) -> None:
        async for request in stream:
            await stream.send_message(answer(request))


def answer(request: PutRequest) -> PutResponse:
    return PutResponse(prev_kv=KeyValue(key=request.key, value=request.value))


class Running:
    def __init__(self, echo: Echo, server: KvorumServer, port: int) -> None:
        self.echo = echo
        self.server = server
        self.port = port

    def channel(self) -> KvorumChannel:
        return KvorumChannel("127.0.0.1", self.port, codec=Codec())


@asynccontextmanager
async def running(**options: Any) -> AsyncIterator[Running]:
    echo = Echo()
    server = KvorumServer([echo], **options)
    listener = await asyncio.get_running_loop().create_server(server.protocol, "127.0.0.1", 0)
    try:
        yield Running(echo, server, listener.sockets[0].getsockname()[1])
    finally:
        listener.close()
        await server.shut(0.0)


def with_server(test: Callable[[Running], Awaitable[None]], **options: Any) -> None:
    async def run() -> None:
        async with running(**options) as server, asyncio.timeout(30):
            await test(server)

    asyncio.run(run())


async def put(channel: KvorumChannel, value: bytes, path: str = UNARY) -> PutResponse:
    method = UnaryUnaryMethod(channel, path, PutRequest, PutResponse)
    return await method(PutRequest(key=b"k", value=value))


class Raw:
    """An HTTP/2 client that sends what it is told, well-formed or not."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))

    async def open(self) -> None:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        self.h2.initiate_connection()
        self.flush()

    def flush(self) -> None:
        self._writer.write(self.h2.data_to_send())

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    def request(
        self,
        stream: int,
        body: bytes,
        path: str = UNARY,
        encoding: str = "",
        content_type: str = "application/grpc",
        end: bool = True,
        more: Sequence[tuple[str, str]] = (),
    ) -> None:
        headers = [
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", "x"),
            (":path", path),
            ("te", "trailers"),
            ("content-type", content_type),
        ]
        if encoding:
            headers.append(("grpc-encoding", encoding))
        headers += more
        self.h2.send_headers(stream, headers)
        self.h2.send_data(stream, body, end_stream=end)
        self.flush()

    async def answer(self, stream: int) -> dict[str, str]:
        """Response headers and trailers of a stream, once it has ended."""
        found: dict[str, str] = {}
        while True:
            data = await self._reader.read(65_536)
            assert data, "the server closed the connection"
            for event in self.h2.receive_data(data):
                assert not isinstance(event, ConnectionTerminated), event
                if getattr(event, "stream_id", None) != stream:
                    continue
                if isinstance(event, (ResponseReceived, TrailersReceived)):
                    found.update(dict(event.headers))
                if isinstance(event, StreamReset):
                    assert event.error_code is not None
                    return {"reset": event.error_code.name}
                if isinstance(event, StreamEnded):
                    self.flush()
                    return found

    def close(self) -> None:
        self._writer.close()


async def raw(server: Running, *args: Any, **kwargs: Any) -> dict[str, str]:
    client = Raw(server.port)
    await client.open()
    client.request(1, *args, **kwargs)
    found = await client.answer(1)
    client.close()
    return found


def status(found: dict[str, str]) -> tuple[int, str]:
    return int(found["grpc-status"]), found.get("grpc-message", "")


MESSAGE = bytes(PutRequest(key=b"k", value=b"v"))


def test_messages_pass_both_ways() -> None:
    async def test(server: Running) -> None:
        channel = server.channel()
        got = await put(channel, b"x" * 1_500_000)
        assert got.prev_kv is not None
        assert got.prev_kv.value == b"x" * 1_500_000
        channel.close()

    with_server(test)


def test_a_message_over_the_limit_is_refused_and_the_connection_lives() -> None:
    async def test(server: Running) -> None:
        channel = server.channel()
        size = len(bytes(PutRequest(key=b"k", value=b"x" * 3_000_000)))
        with pytest.raises(GRPCError) as caught:
            await put(channel, b"x" * 3_000_000)
        assert caught.value.status is Status.RESOURCE_EXHAUSTED
        text = f"grpc: received message larger than max ({size} vs. 2097152)"
        assert caught.value.message == text
        assert await put(channel, b"small")
        assert server.server.connections == 1
        channel.close()

    with_server(test)


def test_the_limit_is_exact() -> None:
    async def test(server: Running) -> None:
        channel = server.channel()
        overhead = len(bytes(PutRequest(key=b"k", value=b"x" * 900))) - 900
        assert await put(channel, b"x" * (1000 - overhead))
        with pytest.raises(GRPCError, match=r"1001 vs\. 1000"):
            await put(channel, b"x" * (1001 - overhead))
        channel.close()

    with_server(test, max_message_bytes=1000)


def test_a_claimed_length_is_refused_before_it_arrives() -> None:
    async def test(server: Running) -> None:
        found = await raw(server, b"\x00\xff\xff\xff\xff", end=False)
        assert status(found)[0] == Status.RESOURCE_EXHAUSTED.value

    with_server(test)


def test_compression_is_refused() -> None:
    async def test(server: Running) -> None:
        unimplemented = (12, 'grpc: Decompressor is not installed for grpc-encoding "gzip"')
        flagged = b"\x01" + struct.pack(">I", len(MESSAGE)) + MESSAGE
        assert status(await raw(server, flagged, encoding="gzip")) == unimplemented
        # The header alone decides, as in grpc-go, whether or not a message is compressed.
        assert status(await raw(server, frame(MESSAGE), encoding="gzip")) == unimplemented
        contradiction = (13, "grpc: compressed flag set with identity or empty encoding")
        assert status(await raw(server, flagged)) == contradiction
        assert status(await raw(server, flagged, encoding="identity")) == contradiction
        assert status(await raw(server, frame(MESSAGE), encoding="identity"))[0] == 0

    with_server(test)


def test_bytes_that_are_no_message_are_internal() -> None:
    async def test(server: Running) -> None:
        code, text = status(await raw(server, frame(b"\x0a\xff")))
        assert code == 13
        assert text.startswith("grpc: error unmarshalling request: ")

    with_server(test)


@pytest.mark.parametrize("body", [b"\x00\x00", b"\x00\x00\x00\x00\x09abc"])
def test_a_message_cut_off_is_unexpected_eof(body: bytes) -> None:
    async def test(server: Running) -> None:
        assert status(await raw(server, body)) == (2, "unexpected EOF")

    with_server(test)


@pytest.mark.parametrize(
    ("path", "code", "text"),
    [
        ("/test.Echo/Nope", 12, "unknown method Nope for service test.Echo"),
        ("/nope.X/Foo", 12, "unknown service nope.X"),
        ("/test.Echo/a/b", 12, "unknown service test.Echo/a"),
        ("nope/x", 12, "unknown service nope"),
        ("/nope", 8, 'malformed method name: "/nope"'),
    ],
)
def test_unknown_methods_are_named(path: str, code: int, text: str) -> None:
    async def test(server: Running) -> None:
        assert status(await raw(server, frame(MESSAGE), path=path)) == (code, text)

    with_server(test)


def test_texts_outside_ascii_are_encoded() -> None:
    known = [UNARY]
    assert unknown_method("/test.Echo/Straße", known)[1].endswith("Straße for service test.Echo")

    async def test(server: Running) -> None:
        found = await raw(server, frame(MESSAGE), path="/test.Echo/a%b")
        assert found["grpc-message"] == "unknown method a%25b for service test.Echo"

    with_server(test)


def test_a_call_that_is_not_grpc_hurts_nobody() -> None:
    async def test(server: Running) -> None:
        found = await raw(server, b"{}", content_type="application/json", path="/elsewhere")
        assert found == {"reset": "PROTOCOL_ERROR"}
        assert status(await raw(server, frame(MESSAGE)))[0] == 0

    with_server(test)


def test_unknown_frames_are_passed_over() -> None:
    async def test(server: Running) -> None:
        client = Raw(server.port)
        await client.open()
        # Four bytes of a frame type that no standard knows.
        client.send(b"\x00\x00\x04\xf3\x00\x00\x00\x00\x00abcd")
        client.request(1, frame(MESSAGE))
        assert status(await client.answer(1))[0] == 0
        client.close()

    with_server(test)


def test_garbage_costs_its_own_connection_only() -> None:
    async def test(server: Running) -> None:
        channel = server.channel()
        await put(channel, b"before")
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 64)
        rest = await reader.read()
        assert isinstance(rest, bytes)
        writer.close()
        await put(channel, b"after")
        assert server.server.connections == 1
        channel.close()

    with_server(test)


def test_three_hundred_streams_on_one_connection() -> None:
    async def test(server: Running) -> None:
        channel = server.channel()
        method = StreamStreamMethod(channel, BIDI, PutRequest, PutResponse)

        async def one(number: int, all_open: asyncio.Barrier) -> bytes:
            async with method.open() as stream:
                await stream.send_message(PutRequest(key=str(number).encode()))
                got = await stream.recv_message()
                assert got is not None
                assert got.prev_kv is not None
                # Nobody leaves before everybody has an answer: all are open at once.
                await all_open.wait()
                await stream.end()
                return got.prev_kv.key

        barrier = asyncio.Barrier(300)
        keys = await asyncio.gather(*(one(number, barrier) for number in range(300)))
        assert keys == [str(number).encode() for number in range(300)]
        assert server.server.connections == 1
        channel.close()

    with_server(test)


def test_many_messages_leave_in_one_write() -> None:
    async def test(server: Running) -> None:
        client = Raw(server.port)
        await client.open()
        client.request(1, frame(MESSAGE), path=FAN)
        found = await client.answer(1)
        assert status(found)[0] == 0
        client.close()
        channel = server.channel()
        method = StreamStreamMethod(channel, FAN, PutRequest, PutResponse)
        async with method.open() as stream:
            await stream.send_message(PutRequest(key=b"a", value=b"b"), end=True)
            got = [message async for message in stream]
        assert [m.prev_kv.value for m in got if m.prev_kv] == [b"b", b"b", b"b"]
        channel.close()

    with_server(test)


def test_a_held_server_says_nothing_until_it_is_released() -> None:
    async def test(server: Running) -> None:
        channel = server.channel()
        await put(channel, b"before")
        server.server.hold()
        call = asyncio.ensure_future(put(channel, b"held"))
        other = server.channel()
        second = asyncio.ensure_future(put(other, b"new connection"))
        done, _ = await asyncio.wait((call, second), timeout=0.2)
        assert not done
        server.server.release()
        assert (await call).prev_kv == KeyValue(key=b"k", value=b"held")
        assert (await second).prev_kv == KeyValue(key=b"k", value=b"new connection")
        channel.close()
        other.close()

    with_server(test)


def test_a_stopping_server_lets_unary_calls_finish_and_ends_streams() -> None:
    async def test(server: Running) -> None:
        channel = server.channel()
        server.echo.go_on.clear()
        call = asyncio.ensure_future(put(channel, b"late"))
        await server.echo.begun.wait()
        method = StreamStreamMethod(channel, BIDI, PutRequest, PutResponse)
        stream = method.open()
        await stream.__aenter__()
        await stream.send_message(PutRequest(key=b"open"))
        assert await stream.recv_message()
        stopping = asyncio.ensure_future(server.server.shut(10.0))
        await asyncio.sleep(0)
        server.echo.go_on.set()
        assert (await call).prev_kv is not None
        await stopping
        assert server.server.connections == 0
        channel.close()

    with_server(test)
