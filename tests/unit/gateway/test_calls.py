"""Calls with one answer through the HTTP server, against handlers of the test: what reaches a
handler, and what comes of its errors.
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
from kvorum.api.gateway import calls
from kvorum_proto.codec import encode
from kvorum_proto.etcdserverpb import (
    PutResponse,
    ResponseHeader,
)
from unit.gateway.serving import PUT, failing, run, serving


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


def test_a_body_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "GATEWAY_BODY_S", 0.2)

    async def work(stream: Any) -> None:
        raise AssertionError("never called")

    async def trickle() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0.01)

    async def test() -> None:
        async with serving(PUT, work) as server, aiohttp.ClientSession() as session:
            async with session.post(server.url + "/v3/kv/put", data=trickle()) as answer:
                assert answer.status == 504
                told = json.loads(await answer.text())
            message = "http: request body not complete within 0.2 s"
            assert told == {"error": message, "message": message, "code": 4}

    run(test)
