"""A client port with one method, whose handler is the test's."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import aiohttp
from aiohttp import web
from grpclib.const import Cardinality, Handler
from kvorum.api.gateway.routes import Gateway
from kvorum.config import NodeConfig
from kvorum.failpoints import nothing
from kvorum.server.callcounts import CallCounts, CountedServices
from kvorum.server.httpapp import client_app
from kvorum.server.metrics import Metrics
from kvorum_proto.etcdserverpb import (
    LeaseKeepAliveResponse,
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
    node: Any = SimpleNamespace(config=config, failpoint=nothing)
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
