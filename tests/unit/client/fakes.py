"""Members that misbehave on purpose: an in-process gRPC server whose answers a test writes, and
a relay that can cut or stop the bytes between a client and a server.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError
from grpclib.server import Server, Stream
from kvorum_proto import etcdserverpb as pb
from kvorum_proto import mvccpb
from kvorum_proto.codec import Codec
from kvorum_proto.services import METHODS

Answer = Callable[[Any], Any]
Serve = Callable[[Any], Awaitable[None]]


def bound_socket() -> socket.socket:
    """A loopback socket on a port of its own."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock


def unused_endpoint() -> str:
    """An endpoint on which nobody listens."""
    with bound_socket() as sock:
        return f"http://127.0.0.1:{sock.getsockname()[1]}"


def header(revision: int = 1, *, member: int = 1) -> pb.ResponseHeader:
    """A reply's header."""
    return pb.ResponseHeader(cluster_id=9, member_id=member, revision=revision, raft_term=2)


def put_event(key: bytes, revision: int, value: bytes = b"v") -> mvccpb.Event:
    """An event that creates a key."""
    kv = mvccpb.KeyValue(
        key=key, value=value, create_revision=revision, mod_revision=revision, version=1
    )
    return mvccpb.Event(kv=kv)


def refuse(status: Status, message: str) -> GRPCError:
    """The status a handler ends a call with."""
    return GRPCError(status, message)


class FakeMember:
    """A member whose every answer is written by the test.

    ``unary[path]`` is given the request and returns the reply (or raises a status);
    ``streams[path]`` is given the whole call. ``seen`` keeps the paths and requests of unary
    calls, ``metadata`` what came along with each call.
    """

    def __init__(self) -> None:
        self.unary: dict[str, Answer] = {}
        self.streams: dict[str, Serve] = {}
        self.seen: list[tuple[str, Any]] = []
        self.metadata: list[dict[str, str]] = []
        self.deadlines: list[float | None] = []
        self.endpoint = ""
        self._server: Server | None = None

    def __mapping__(self) -> dict[str, Handler]:
        return {
            path: Handler(
                self._serve(path),
                _cardinality(method.client_streaming, method.server_streaming),
                method.request,
                method.response,
            )
            for path, method in METHODS.items()
        }

    def _serve(self, path: str) -> Serve:
        async def serve(stream: Stream[Any, Any]) -> None:
            assert stream.metadata is not None
            self.metadata.append({name: str(value) for name, value in stream.metadata.items()})
            self.deadlines.append(
                None if stream.deadline is None else stream.deadline.time_remaining()
            )
            if path in self.streams:
                await self.streams[path](stream)
                return
            request = await stream.recv_message()
            self.seen.append((path, request))
            if path not in self.unary:
                raise refuse(Status.UNIMPLEMENTED, "unknown method")
            answer = self.unary[path](request)
            if asyncio.iscoroutine(answer):
                answer = await answer
            await stream.send_message(answer)

        return serve

    def asked(self, path: str) -> list[Any]:
        """The requests of one unary method, in order."""
        return [request for seen, request in self.seen if seen == path]

    async def start(self) -> None:
        """Listen on a port of its own."""
        sock = bound_socket()
        self.endpoint = f"http://127.0.0.1:{sock.getsockname()[1]}"
        self._server = Server([self], codec=Codec())
        await self._server.start(sock=sock)

    async def stop(self) -> None:
        """Stop listening and end every call."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None


def _cardinality(client_streaming: bool, server_streaming: bool) -> Cardinality:
    return {
        (False, False): Cardinality.UNARY_UNARY,
        (False, True): Cardinality.UNARY_STREAM,
        (True, False): Cardinality.STREAM_UNARY,
        (True, True): Cardinality.STREAM_STREAM,
    }[client_streaming, server_streaming]


@asynccontextmanager
async def members(count: int = 1) -> AsyncIterator[list[FakeMember]]:
    """Some fake members."""
    found = [FakeMember() for _ in range(count)]
    for member in found:
        await member.start()
    try:
        yield found
    finally:
        for member in found:
            await member.stop()


class Relay:
    """Bytes pass through until the test says otherwise."""

    def __init__(self, target: str) -> None:
        host, _, port = target.removeprefix("http://").rpartition(":")
        self._target = host, int(port)
        self._open = asyncio.Event()
        self._open.set()
        self._refusing = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.endpoint = ""
        self.connections = 0

    async def __aenter__(self) -> Relay:
        sock = bound_socket()
        self.endpoint = f"http://127.0.0.1:{sock.getsockname()[1]}"
        self._server = await asyncio.start_server(self._accept, sock=sock)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._server.wait_closed()

    def cut(self, *, refuse: bool = False) -> None:
        """Break every connection; with ``refuse`` new ones break at once too."""
        self._refusing = refuse
        for writer in list(self._writers):
            writer.transport.abort()

    def stop(self) -> None:
        """Let no byte pass, as a paused process or a cut cable does."""
        self._open.clear()

    def go(self) -> None:
        """Let everything pass again."""
        self._refusing = False
        self._open.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self._refusing:
            writer.transport.abort()
            return
        up_reader, up_writer = await asyncio.open_connection(*self._target)
        for one in (writer, up_writer):
            self._writers.add(one)
        for pair in ((reader, up_writer), (up_reader, writer)):
            task = asyncio.create_task(self._pass(*pair))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                await self._open.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.transport.abort()
            self._writers.discard(writer)


async def until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Wait until something holds; a bound that only a hang reaches."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.005)


def client_tasks() -> list[str]:
    """The names of the client's own tasks that are alive."""
    return sorted(
        task.get_name() for task in asyncio.all_tasks() if "kvorum client" in task.get_name()
    )
