"""Deadlines, cancellation, and what is kept of calls: the end of a call in etcd's words."""

from __future__ import annotations

import asyncio

import pytest
from grpclib.exceptions import GRPCError, StreamTerminatedError
from h2.errors import ErrorCodes
from kvorum.http2.bounds import Inbox, Patience
from kvorum.http2.call import MalformedError, call_fields, deadline_of
from kvorum.http2.messages import frame
from kvorum.http2.protocol import KvorumProtocol
from kvorum.http2.server import KvorumChannel
from kvorum_proto.codec import Codec
from unit.http2.test_server import BIDI, MESSAGE, Raw, Running, put, status, with_server

LATE = (4, "context deadline exceeded")
HEAD = [(":method", "POST"), (":path", "/a/b"), ("content-type", "application/grpc")]


def kept(connection: KvorumProtocol) -> int:
    """Calls that a connection remembers, on the lane of our own engine or not."""
    return len(connection.processor.streams) + len(getattr(connection.processor, "_calls", ()))


async def timed(server: Running, timeout: str, path: str) -> tuple[int, str]:
    client = Raw(server.port)
    await client.open()
    client.request(1, frame(MESSAGE), path=path, end=path != BIDI, more=[("grpc-timeout", timeout)])
    found = status(await client.answer(1))
    client.close()
    return found


@pytest.mark.parametrize("timeout", ["20m", "0n", "-1S", "1n"])
def test_a_deadline_ends_a_call_in_etcds_words(timeout: str) -> None:
    async def test(server: Running) -> None:
        server.echo.go_on.clear()
        assert await timed(server, timeout, "/test.Echo/Unary") == LATE

    with_server(test)


def test_a_deadline_ends_a_stream() -> None:
    async def test(server: Running) -> None:
        assert await timed(server, "20m", BIDI) == LATE

    with_server(test)


def test_a_call_given_up_is_cancelled_and_nothing_is_kept_of_it() -> None:
    async def test(server: Running) -> None:
        client = Raw(server.port)
        await client.open()
        server.echo.go_on.clear()
        client.request(1, frame(MESSAGE))
        await server.echo.begun.wait()
        (connection,) = server.server._connections
        assert kept(connection) == 1
        client.h2.reset_stream(1, ErrorCodes.CANCEL)
        client.flush()
        while kept(connection):
            await asyncio.sleep(0)
        # Started and given up in one breath: the call's task is cancelled before its first step.
        client.request(3, frame(MESSAGE))
        client.h2.reset_stream(3, ErrorCodes.CANCEL)
        client.flush()
        server.echo.go_on.set()
        client.request(5, frame(MESSAGE))
        assert status(await client.answer(5))[0] == 0
        await asyncio.sleep(0)
        assert kept(connection) == 0
        client.close()
        await put(server.channel(), b"others are served")

    with_server(test)


def test_an_empty_frame_in_a_message_is_not_its_end() -> None:
    async def test(server: Running) -> None:
        client = Raw(server.port)
        await client.open()
        body = frame(MESSAGE)
        client.request(1, body[:7], end=False)
        client.h2.send_data(1, b"")
        client.h2.send_data(1, b"", pad_length=9)
        client.h2.send_data(1, body[7:], end_stream=True)
        client.flush()
        assert status(await client.answer(1))[0] == 0
        client.close()

    with_server(test)


def test_an_inbox_owes_what_lies_in_it() -> None:
    async def run() -> None:
        acknowledged: list[int] = []
        inbox = Inbox(acknowledged.append)
        inbox.add(b"abcdef", 10)
        assert acknowledged == []
        assert await inbox.read(2) == b"ab"
        assert sum(acknowledged) == 6  # The padding and what was read.
        reading = asyncio.ensure_future(inbox.read(6))
        await asyncio.sleep(0)
        assert sum(acknowledged) == 10  # Room for what is waited for.
        inbox.add(b"gh", 2)
        inbox.add(b"ij", 2)
        assert await reading == b"cdefgh"
        assert inbox.unacked_size() == 2
        inbox.eof()
        assert await inbox.read(5) == b"ij"
        assert await inbox.read(5) == b""

    asyncio.run(run())


def test_patience_comes_back_with_time_and_work() -> None:
    now_s = 0.0
    patience = Patience(10, 2, lambda: now_s)
    assert all(patience.spend() for _ in range(10))
    assert not patience.spend()
    now_s = 1.5
    assert patience.spend(3)
    assert not patience.spend()
    patience.earn(4)
    assert patience.spend(4)
    patience.earn(1_000)
    assert not patience.spend(11)


@pytest.mark.parametrize(
    "headers",
    [
        [("x", "y"), *HEAD],
        [*HEAD, ("X", "y")],
        [*HEAD, ("x", "a\nb")],
        [*HEAD, ("", "x")],
        [(":method", "POST"), *HEAD],
        [(":foo", "x"), *HEAD],
        HEAD[1:],
        HEAD[:2],
    ],
)
def test_headers_that_are_no_call(headers: list[tuple[str, str]]) -> None:
    with pytest.raises(MalformedError):
        call_fields(headers)


@pytest.mark.parametrize("text", ["", "S", "1", "1x", "123456789S", "1.5S", " 1S", "1S ", "١S"])
def test_timeouts_that_are_none(text: str) -> None:
    with pytest.raises(MalformedError):
        deadline_of({"grpc-timeout": text})


def test_a_hostile_server_is_told_apart() -> None:
    async def run(data: bytes) -> str:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(data)
            await reader.read()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        channel = KvorumChannel("127.0.0.1", port, codec=Codec(), max_message_bytes=1_000)
        try:
            async with asyncio.timeout(10):
                await put(channel, b"v")
        except (GRPCError, StreamTerminatedError) as error:
            return type(error).__name__
        finally:
            channel.close()
            server.close()
        return "answered"

    settings = b"\0\0\0\x04\0\0\0\0\0"
    block = b"\x88\x00\x0ccontent-type\x10application/grpc"
    head = settings + len(block).to_bytes(3, "big") + b"\x01\x04\0\0\0\x01" + block
    lie = head + b"\0\0\x05\0\0\0\0\0\x01" + b"\0\xff\xff\xff\xff"
    squeezed = head + b"\0\0\x05\0\0\0\0\0\x01" + b"\x01\0\0\0\x05"
    assert asyncio.run(run(b"HTTP/1.1 400 Bad Request\r\n\r\n")) == "StreamTerminatedError"
    assert asyncio.run(run(settings + b"\xff" * 100)) == "StreamTerminatedError"
    assert asyncio.run(run(lie)) == "GRPCError"
    assert asyncio.run(run(squeezed)) == "GRPCError"
