"""Calls with a stream of answers through the HTTP server, against handlers of the test: chunks,
errors before and after the first one, clients that leave or do not read.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from kvorum.http2.messages import send_encoded
from kvorum_proto.codec import encode
from kvorum_proto.etcdserverpb import (
    LeaseKeepAliveResponse,
    SnapshotResponse,
)
from unit.gateway.serving import KEEP_ALIVE, OBSERVE, PUT, SNAPSHOT, failing, run, serving


def test_a_stream_answers_each_message_with_a_line() -> None:
    async def work(stream: Any) -> None:
        while (request := await stream.recv_message()) is not None:
            answer = encode(LeaseKeepAliveResponse(id=request.id))
            await send_encoded(stream, [answer, answer])

    async def test() -> None:
        async with serving(KEEP_ALIVE, work) as server:
            status, headers, text = await server.post("/v3/lease/keepalive", b'{"ID":1}\n{"ID":2}')
            assert status == 200
            assert headers["transfer-encoding"] == "chunked"
            ids = [json.loads(line)["result"]["ID"] for line in text.splitlines()]
            assert ids == ["1", "1", "2", "2"]
            counts = server.counts.methods[KEEP_ALIVE]
            assert (counts.started, counts.received, counts.sent) == (1, 2, 4)
            assert (await server.post("/v3/lease/keepalive", b""))[::2] == (200, "")

    run(test)


def test_a_stream_of_answers_to_one_request() -> None:
    async def work(stream: Any) -> None:
        request = await stream.recv_message()
        assert request.name == b"a"
        assert await stream.recv_message() is None
        await stream.send_message(b"")

    async def test() -> None:
        async with serving(OBSERVE, work) as server:
            for body in (b'{"name":"YQ=="}', b' {"name":"YQ=="} rest'):
                status, _, text = await server.post("/v3/election/observe", body)
                assert (status, text) == (200, '{"result":{}}\n')

    run(test)


def test_errors_of_a_stream_before_and_after_its_first_message() -> None:
    error = GRPCError(Status.UNKNOWN, "what went wrong")

    async def test() -> None:
        async with serving(SNAPSHOT, failing(error)) as server:
            status, headers, text = await server.post("/v3/maintenance/snapshot")
            assert status == 500
            assert "transfer-encoding" not in headers
            assert json.loads(text) == {
                "error": "what went wrong",
                "message": "what went wrong",
                "code": 2,
            }
        async with serving(KEEP_ALIVE, failing(error, after=1)) as server:
            status, _, text = await server.post("/v3/lease/keepalive")
            first, last = text.splitlines()
            assert status == 200
            assert json.loads(first) == {"result": {"ID": "1"}}
            assert json.loads(last) == {
                "error": {
                    "grpc_code": 2,
                    "http_code": 500,
                    "message": "what went wrong",
                    "http_status": "Internal Server Error",
                    "code": 2,
                }
            }

    run(test)


def test_requests_nobody_can_read_end_a_stream() -> None:
    async def work(stream: Any) -> None:
        while (request := await stream.recv_message()) is not None:
            await stream.send_message(LeaseKeepAliveResponse(id=request.id))

    async def test() -> None:
        async with serving(KEEP_ALIVE, work) as server:
            for body in (b"xyz", b'{"ID":"x"}', b'{"ID":1'):
                status, _, text = await server.post("/v3/lease/keepalive", body)
                assert (status, json.loads(text)["code"]) == (400, 3)
            status, _, text = await server.post("/v3/lease/keepalive", b'{"ID":1} xyz')
            first, last = text.splitlines()
            assert status == 200
            assert json.loads(first)["result"]["ID"] == "1"
            assert json.loads(last)["error"]["http_code"] == 400

    run(test)


def test_requests_are_heard_while_answers_are_sent() -> None:
    async def work(stream: Any) -> None:
        while (request := await stream.recv_message()) is not None:
            await stream.send_message(LeaseKeepAliveResponse(id=request.id))

    async def test() -> None:
        answered = [asyncio.Event() for _ in range(3)]

        async def requests() -> AsyncIterator[bytes]:
            for number in range(3):
                yield b'{"ID":"%d"}' % (number + 1)
                await answered[number].wait()

        async with serving(KEEP_ALIVE, work) as server, aiohttp.ClientSession() as session:
            url = server.url + "/v3/lease/keepalive"
            async with session.post(url, data=requests()) as answer:
                for number in range(3):
                    line = await answer.content.readline()
                    assert json.loads(line)["result"]["ID"] == str(number + 1)
                    answered[number].set()
                assert await answer.content.read() == b""

    run(test)


@pytest.mark.parametrize("path", [PUT, KEEP_ALIVE])
def test_a_client_that_leaves_cancels_its_call(path: str) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def work(stream: Any) -> None:
        await stream.recv_message()
        if path == KEEP_ALIVE:
            await stream.send_message(b"")
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def test() -> None:
        route = b"/v3/kv/put" if path == PUT else b"/v3/lease/keepalive"
        async with serving(path, work) as server:
            port = int(server.url.rpartition(":")[2])
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            head = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}" % route
            writer.write(head)
            await begun.wait()
            writer.close()
            await ended.wait()
            counts = server.counts.methods[path]
            assert counts.started == 1
            while not counts.handled[Status.CANCELLED]:
                await asyncio.sleep(0)

    run(test)


def test_a_slow_reader_holds_its_own_stream_back() -> None:
    full, after = asyncio.Event(), 0

    async def work(stream: Any) -> None:
        nonlocal after
        transport = stream.peer._transport
        answer = encode(SnapshotResponse(blob=b"x" * 49_000))
        while True:
            await stream.send_message(answer)
            if full.is_set():
                after += 1
            elif transport.get_write_buffer_size():
                # The sockets take no more.
                full.set()

    async def test() -> None:
        async with serving(SNAPSHOT, work) as server:
            port = int(server.url.rpartition(":")[2])
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
            writer.write(
                b"POST /v3/maintenance/snapshot HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
            )
            await reader.readuntil(b"\r\n\r\n")
            await full.wait()
            for _ in range(1000):
                await asyncio.sleep(0)
            assert after < 10
            writer.close()

    run(test)
