"""A node to be fuzzed: the real services, HTTP/2 and HTTP/1.1, in one event loop. Connections are
made of memory, so that thousands of them take seconds and all that is left behind can be counted.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from api.node.hands import MEMBER_IDS, LocalCluster
from grpclib.client import Channel, StreamStreamMethod, UnaryUnaryMethod
from kvorum.api.registry import client_services
from kvorum.config import NodeConfig
from kvorum.http2.server import KvorumChannel, KvorumServer
from kvorum.raft.types import ConfState
from kvorum.server import slowness
from kvorum.server.callcounts import CountedServices
from kvorum.server.httpapp import client_app, connections_of, runner_of
from kvorum.server.listener import Listener, _Sniffer
from kvorum.server.metrics import Metrics
from kvorum_proto.codec import Codec
from kvorum_proto.etcdserverpb import (
    PutRequest,
    PutResponse,
    RangeRequest,
    RangeResponse,
    WatchCreateRequest,
    WatchRequest,
    WatchResponse,
)

TRANSIENT = (
    "Call",
    "CheckedConnection",
    "CheckedStream",
    "Connection",
    "Inbox",
    "KvorumProtocol",
    "LaneCall",
    "OwnConnection",
    "Pipe",
    "RequestHandler",
    "StreamState",
)
"""Classes whose objects live as long as a connection or a call."""

SETTLING_TURNS = 2_000


class Pipe(asyncio.Transport):
    """The server's end of a connection; what is written to it is counted, and its end kept."""

    def __init__(self, protocol: asyncio.Protocol, keep_bytes: int = 0) -> None:
        super().__init__()
        self._protocol: asyncio.BaseProtocol = protocol
        self._keep_bytes = keep_bytes
        self.out = bytearray()
        self.written = 0
        self.closed = False
        protocol.connection_made(self)

    def feed(self, data: bytes) -> None:
        """Bytes from the client."""
        if not self.closed:
            protocol: Any = self._protocol
            protocol.data_received(data)

    def lose(self) -> None:
        """The client goes."""
        if not self.closed:
            self.closed = True
            self._protocol.connection_lost(None)
        self._protocol = asyncio.Protocol()

    def clog(self, clogged: bool) -> None:
        """The client's kernel takes no more bytes, or takes them again."""
        protocol: Any = self._protocol
        (protocol.pause_writing if clogged else protocol.resume_writing)()

    def write(self, data: Any) -> None:
        """Bytes for the client."""
        self.written += len(data)
        if self._keep_bytes:
            self.out += data
            del self.out[: -self._keep_bytes]

    def close(self) -> None:
        """The server closes."""
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    abort = close

    def is_closing(self) -> bool:
        """Whether it is closed."""
        return self.closed

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Where the client is."""
        return ("127.0.0.1", 1) if name == "peername" else default

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Bytes go to another protocol from now on."""
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Where bytes go."""
        return self._protocol

    def pause_reading(self) -> None:
        """Bytes come all the same: there is no kernel to keep them."""

    def resume_reading(self) -> None:
        """As before."""

    def is_reading(self) -> bool:
        """Always."""
        return True

    def get_write_buffer_size(self) -> int:
        """Nothing waits."""
        return 0


class _Heard(logging.Handler):
    """Warnings and worse of the node."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        # What took too long may have waited for a processor that others used.
        if record.name != slowness.__name__:
            self.lines.append(self.format(record))


class Fuzzed:
    """The node, and what can be counted of it."""

    def __init__(
        self, local: LocalCluster, server: KvorumServer, listener: Listener, channel: Channel
    ) -> None:
        self.local = local
        self.node = local.nodes[MEMBER_IDS[0]]
        self.server = server
        self.listener = listener
        self._channel = channel
        self._puts = 0
        self.heard = _Heard()
        self.unhandled: list[dict[str, Any]] = []

    def connect(self, keep_bytes: int = 0) -> Pipe:
        """A new connection."""
        return Pipe(_Sniffer(self.listener), keep_bytes)

    async def check_health(self) -> None:
        """A decent client is served: a put, a get, and its watch."""
        self._puts += 1
        key, value = b"healthy", b"%d" % self._puts
        async with asyncio.timeout(20):
            put: Any = UnaryUnaryMethod(
                self._channel, "/etcdserverpb.KV/Put", PutRequest, PutResponse
            )
            watch: Any = StreamStreamMethod(
                self._channel, "/etcdserverpb.Watch/Watch", WatchRequest, WatchResponse
            )
            async with watch.open() as stream:
                create = WatchCreateRequest(key=key)
                await stream.send_message(WatchRequest(create_request=create))
                assert (await stream.recv_message()).created
                await put(PutRequest(key=key, value=value))
                event = (await stream.recv_message()).events[0]
                assert event.kv.value == value
                await stream.cancel()
            get: Any = UnaryUnaryMethod(
                self._channel, "/etcdserverpb.KV/Range", RangeRequest, RangeResponse
            )
            assert (await get(RangeRequest(key=key))).kvs[0].value == value

    async def settle(self) -> None:
        """Let everything that has been begun and can end come to its end."""
        for _ in range(SETTLING_TURNS):
            await asyncio.sleep(0)
            if not len(self.node.callers) and not self.node.status().watch_streams:
                break
        for _ in range(20):
            await asyncio.sleep(0)

    def counts(self) -> dict[str, int]:
        """What must not grow, by name."""
        # A listener forgets ended connections when a new one comes, grpclib once in ten.
        self.connect().lose()
        for handler in list(self.server._handlers):
            if handler.check_closed() and handler.closing:
                self.server._handlers.discard(handler)
        gc.collect()
        found = Counter(type(item).__name__ for item in gc.get_objects())
        status = self.node.status()
        return {
            **{name: found[name] for name in TRANSIENT},
            "tasks": len(asyncio.all_tasks()),
            "handlers": len(self.server._handlers),
            "connections": self.server.connections,
            "callers": len(self.node.callers),
            "watchers": status.watchers,
            "watch streams": status.watch_streams,
            "objects": found.total(),
            "open files": len(os.listdir("/proc/self/fd")),
        }

    def complaints(self) -> list[str]:
        """Exceptions nobody took and lines in the log."""
        return [*map(str, self.unhandled), *self.heard.lines]


@asynccontextmanager
async def fuzzed(**settings: Any) -> AsyncIterator[Fuzzed]:
    """A running node with a decent client."""
    local = LocalCluster()
    local.add(MEMBER_IDS[0], ConfState(MEMBER_IDS[:1]), NodeConfig(**settings))
    node = local.nodes[MEMBER_IDS[0]]
    told = Metrics(node)
    services = CountedServices(client_services(node), told.calls)
    server = KvorumServer([services], codec=told.calls.codec)
    await server.start("127.0.0.1", 0)
    assert server._server is not None
    port = server._server.sockets[0].getsockname()[1]
    runner = runner_of(client_app(node, told, services.http_routes()))
    await runner.setup()
    channel = KvorumChannel("127.0.0.1", port, codec=Codec())
    found = Fuzzed(local, server, Listener((), server, connections_of(runner)), channel)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: found.unhandled.append(context))
    names = ("kvorum", "grpclib", "h2", "hpack", "aiohttp", "asyncio")
    for name in names:
        logging.getLogger(name).addHandler(found.heard)
    try:
        await local.elect(MEMBER_IDS[0])
        await found.check_health()
        yield found
    finally:
        for name in names:
            logging.getLogger(name).removeHandler(found.heard)
        channel.close()
        server.close()
        await server.wait_closed()
        await runner.cleanup()
