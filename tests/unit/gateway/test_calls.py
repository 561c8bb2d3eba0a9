"""Calls through the HTTP server against handlers of the test: what reaches a handler, what comes of
its errors, and when it is cancelled.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError
from kvorum.api.gateway.routes import Gateway
from kvorum.config import NodeConfig
from kvorum.http2.messages import send_encoded
from kvorum.server.callcounts import CallCounts, CountedServices
from kvorum.server.httpapp import client_app
from kvorum.server.metrics import Metrics
from kvorum_proto.codec import encode
from kvorum_proto.etcdserverpb import (
    LeaseKeepAliveResponse,
    PutResponse,
    ResponseHeader,
    SnapshotResponse,
)
from kvorum_proto.services import METHODS

PATIENCE_S = 30.0
PUT, KEEP_ALIVE = "/etcdserverpb.KV/Put", "/etcdserverpb.Lease/LeaseKeepAlive"
SNAPSHOT, OBSERVE = "/etcdserverpb.Maintenance/Snapshot", "/v3electionpb.Election/Observe"

Work = Callable[[Any], Awaitable[None]]


class Service:
    """A service of one method."""

    def __init__(self, path: str, work: Work) -> None:
        method = METHODS[path]
        kinds = {
            (False, False): Cardinality.UNARY_UNARY,
            (False, True): Cardinality.UNARY_STREAM,
            (True, True): Cardinality.STREAM_STREAM,
        }
        cardinality = kinds[method.client_streaming, method.server_streaming]
        self._mapping = {path: Handler(work, cardinality, method.request, method.response)}

    def __mapping__(self) -> dict[str, Handler]:
        return self._mapping


class Server:
    """A client port with one method."""

    def __init__(self, url: str, counts: CallCounts, session: aiohttp.ClientSession) -> None:
        self.url, self.counts, self._session = url, counts, session

    async def post(
        self, path: str, body: bytes = b"{}", **headers: str
    ) -> tuple[int, dict[str, str], str]:
        """Status, headers and text of an answer."""
        async with self._session.post(self.url + path, data=body, headers=headers) as answer:
            found = {name.lower(): value for name, value in answer.headers.items()}
            return answer.status, found, await answer.text()


@asynccontextmanager
async def serving(path: str, work: Work, **changes: Any) -> AsyncIterator[Server]:
    """The client port of a node that has only this method."""
    config = dataclasses.replace(NodeConfig(), **changes)
    node: Any = SimpleNamespace(config=config)
    metrics = Metrics(node)
    services = CountedServices([Gateway(node), Service(path, work)], metrics.calls)
    app = client_app(node, metrics, services.http_routes())
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert runner.addresses
    port = runner.addresses[0][1]
    try:
        async with aiohttp.ClientSession() as session, asyncio.timeout(PATIENCE_S):
            yield Server(f"http://127.0.0.1:{port}", metrics.calls, session)
    finally:
        await runner.cleanup()


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def go() -> None:
        await test()

    asyncio.run(go())


def failing(error: Exception, after: int = 0) -> Work:
    async def work(stream: Any) -> None:
        for number in range(after):
            await stream.send_message(LeaseKeepAliveResponse(id=number + 1))
        raise error

    return work


# --- one answer -----------------------------------------------------------------------------------


@pytest.mark.parametrize("ready", [True, False])
def test_a_handler_gets_a_message_and_gives_one_or_its_bytes(ready: bool) -> None:
    async def work(stream: Any) -> None:
        request = await stream.recv_message()
        assert await stream.recv_message() is None
        answer = PutResponse(header=ResponseHeader(revision=request.lease))
        await stream.send_message(encode(answer) if ready else answer)

    async def test() -> None:
        async with serving(PUT, work) as server:
            status, headers, text = await server.post("/v3/kv/put", b'{"lease":"5"}')
            assert (status, text) == (200, '{"header":{"revision":"5"}}')
            assert headers["content-type"] == "application/json"
            assert headers["grpc-metadata-content-type"] == "application/grpc"
            assert (await server.post("/v3beta/kv/put", b'{"lease":"6"}'))[0] == 200
            counts = server.counts.methods[PUT]
            assert (counts.started, counts.received, counts.sent) == (2, 2, 2)
            assert counts.handled[Status.OK] == 2

    run(test)


def test_metadata_and_the_peer_reach_the_handler() -> None:
    seen: list[Any] = []

    async def work(stream: Any) -> None:
        seen.append((stream.metadata, stream.peer.addr()[0], stream.deadline))
        await stream.send_message(b"")

    async def test() -> None:
        async with serving(PUT, work) as server:
            for authorization in ("tok.1", "Bearer tok.1"):
                await server.post(
                    "/v3/kv/put",
                    **{
                        "Authorization": authorization,
                        "Grpc-Metadata-Token": "tok.2",
                        "Grpc-Metadata-HasLeader": "true",
                        "X-Other": "not forwarded",
                    },
                )
                metadata, address, deadline = seen.pop()
                assert metadata["authorization"] == "tok.1"
                assert metadata["token"] == "tok.2"
                assert metadata["hasleader"] == "true"
                assert "grpcgateway-accept" in metadata
                assert "x-other" not in metadata
                assert address == "127.0.0.1"
                assert deadline is None

    run(test)


def test_errors_of_a_call_with_one_answer() -> None:
    async def test() -> None:
        error = GRPCError(Status.UNAVAILABLE, "etcdserver: no leader")
        async with serving(PUT, failing(error)) as server:
            status, headers, text = await server.post("/v3/kv/put")
            assert status == 503
            assert headers["content-type"] == "application/json"
            assert json.loads(text) == {
                "error": "etcdserver: no leader",
                "message": "etcdserver: no leader",
                "code": 14,
            }
            assert server.counts.methods[PUT].handled[Status.UNAVAILABLE] == 1

    run(test)


def test_a_method_that_is_not_built_answers_501() -> None:
    async def test() -> None:
        error = GRPCError(Status.UNIMPLEMENTED, "method Put not implemented")
        async with serving(PUT, failing(error)) as server:
            status, _, text = await server.post("/v3/kv/put")
            assert (status, json.loads(text)["code"]) == (501, 12)
            assert (await server.post("/v3/kv/range"))[0] == 404

    run(test)


def test_a_deadline_ends_the_call() -> None:
    cancelled = asyncio.Event()

    async def work(stream: Any) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async def test() -> None:
        async with serving(PUT, work) as server:
            status, _, text = await server.post("/v3/kv/put", **{"Grpc-Timeout": "50m"})
            assert status == 504
            assert json.loads(text)["message"] == "context deadline exceeded"
            assert cancelled.is_set()
            status, _, text = await server.post("/v3/kv/put", **{"Grpc-Timeout": "soon"})
            assert status == 400
            assert json.loads(text)["message"] == "invalid grpc-timeout: soon"

    run(test)


def test_messages_and_bodies_are_bounded() -> None:
    async def work(stream: Any) -> None:
        await stream.recv_message()
        await stream.send_message(b"")

    async def test() -> None:
        # 512 KiB of overhead and this make the bound of a message.
        async with serving(PUT, work, max_request_bytes=1024) as server:
            bound = 1024 + 512 * 1024
            fits = b'{"value":"' + b"A" * (bound // 3 * 4 - 64) + b'"}'
            assert (await server.post("/v3/kv/put", fits))[0] == 200
            large = b'{"value":"' + b"A" * (bound // 3 * 4 + 64) + b'"}'
            status, _, text = await server.post("/v3/kv/put", large)
            assert status == 429
            assert json.loads(text)["message"] == (
                f"grpc: received message larger than max ({bound + 52} vs. {bound})"
            )
            spaces = b" " * (2 * bound + 1)
            status, _, text = await server.post("/v3/kv/put", spaces)
            assert status == 429
            assert "request body larger" in json.loads(text)["message"]

    run(test)


def test_only_post_and_only_where_the_gateway_is_on() -> None:
    async def work(stream: Any) -> None:
        await stream.send_message(b"")

    async def test() -> None:
        async with serving(PUT, work) as server, aiohttp.ClientSession() as session:
            for method in ("GET", "PUT", "DELETE", "PATCH"):
                async with session.request(method, server.url + "/v3/kv/put") as answer:
                    assert answer.status == 405
                    assert (await answer.json())["message"] == "Method Not Allowed"
        async with serving(PUT, work, gateway=False) as server:
            assert (await server.post("/v3/kv/put"))[0] == 404

    run(test)


# --- streams --------------------------------------------------------------------------------------


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
