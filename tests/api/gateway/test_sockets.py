"""The gateway over WebSocket: the same messages to kvorum and to a real etcd, and what etcd leaves
open.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, NamedTuple

import aiohttp
import pytest
from api.gateway.test_same_as_etcd import plain
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from kvorum_proto.etcdserverpb import LeaseKeepAliveResponse
from unit.gateway.serving import KEEP_ALIVE, PUT, failing, run, serving

PATIENCE_S = 60.0


class Case(NamedTuple):
    """Messages to a path, and how many answers there are."""

    path: str
    messages: tuple[str, ...]
    answers: int = 1


SCRIPT = [
    Case("/v3/kv/put", ('{"key":"YQ==","value":"MQ=="}',)),
    Case("/v3/kv/range", ('{"key":"YQ=="}',)),
    Case("/v3beta/kv/range", ('{"key":"YQ==","countOnly":true}',)),
    Case("/v3/kv/put", ('{"value":"MQ=="}',)),
    Case("/v3/watch", ('{"create_request":{"key":"YQ==","start_revision":"2"}}',), 2),
    Case(
        "/v3/watch",
        ('{"create_request":{"key":"eA=="}}', '{"cancel_request":{"watch_id":"0"}}'),
        2,
    ),
    Case("/v3/lease/keepalive", ('{"ID":"5"}', '{"ID":"6"}'), 2),
]


async def talk(url: str, case: Case) -> list[Any]:
    """The answers, as documents without identities."""
    async with (
        asyncio.timeout(PATIENCE_S),
        aiohttp.ClientSession() as session,
        session.ws_connect(url + case.path) as socket,
    ):
        for message in case.messages:
            await socket.send_str(message)
        texts = [await socket.receive_str() for _ in range(case.answers)]
    return [plain(json.loads(text)) for text in texts]


def test_the_same_messages_get_the_same_answers(kvorum_url: str, etcd_url: str) -> None:
    for case in SCRIPT:
        theirs = asyncio.run(talk(etcd_url, case))
        ours = asyncio.run(talk(kvorum_url, case))
        assert ours == theirs, case


def test_a_call_with_one_answer_ends_with_it(kvorum_url: str) -> None:
    async def go() -> None:
        async with aiohttp.ClientSession() as session, asyncio.timeout(PATIENCE_S):
            async with session.ws_connect(kvorum_url + "/v3/kv/range") as socket:
                await socket.send_bytes(b'{"key":"YQ=="}')
                assert "header" in json.loads(await socket.receive_str())
                assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
            for path in ("/v3/nope", "/version"):
                with pytest.raises(aiohttp.WSServerHandshakeError):
                    await session.ws_connect(kvorum_url + path)

    asyncio.run(go())


def test_a_token_comes_as_a_sub_protocol() -> None:
    async def work(stream: Any) -> None:
        request = await stream.recv_message()
        assert await stream.recv_message() is None
        assert request.key == b"a"
        raise GRPCError(Status.UNAUTHENTICATED, stream.metadata["authorization"])

    async def test() -> None:
        async with serving(PUT, work) as server, aiohttp.ClientSession() as session:
            url = server.url + "/v3/kv/put"
            async with session.ws_connect(url, protocols=("Bearer", "secret.1")) as socket:
                assert socket.protocol == "Bearer"
                await socket.send_str('{"key":"YQ=="}')
                said = {"error": "secret.1", "message": "secret.1", "code": 16}
                assert await socket.receive_json() == said

    run(test)


def test_errors_before_and_after_the_first_answer() -> None:
    error = GRPCError(Status.UNAVAILABLE, "gone")

    async def answers(after: int) -> list[Any]:
        async with (
            serving(KEEP_ALIVE, failing(error, after)) as server,
            aiohttp.ClientSession() as session,
            session.ws_connect(server.url + "/v3/lease/keepalive") as socket,
        ):
            return [json.loads(message.data) async for message in socket]

    async def test() -> None:
        assert await answers(0) == [{"error": "gone", "message": "gone", "code": 14}]
        first, last = await answers(1)
        assert first == {"result": {"ID": "1"}}
        assert (last["error"]["code"], last["error"]["http_code"]) == (14, 503)

    run(test)


def test_who_leaves_ends_the_call() -> None:
    left = asyncio.Event()

    async def work(stream: Any) -> None:
        try:
            await stream.recv_message()
            await stream.send_message(LeaseKeepAliveResponse(id=1))
            await stream.recv_message()
        finally:
            left.set()

    async def test() -> None:
        async with serving(KEEP_ALIVE, work) as server, aiohttp.ClientSession() as session:
            socket = await session.ws_connect(server.url + "/v3/lease/keepalive")
            await socket.send_str("{}")
            await socket.receive_str()
            assert not left.is_set()
            await socket.close()
            await left.wait()
            counts = server.counts.methods[KEEP_ALIVE]
            assert (counts.started, counts.received, counts.sent) == (1, 1, 1)

    run(test)
