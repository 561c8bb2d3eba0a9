"""The node's HTTP/2 against gRPC's own C core, which forgives less than grpclib."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from betterproto2 import Message
from kvorum.replica.effects import Persist
from kvorum_proto.etcdserverpb import (
    PutRequest,
    PutResponse,
    RangeRequest,
    RangeResponse,
    WatchCreateRequest,
    WatchRequest,
    WatchResponse,
)
from unit.server.members import Cluster, with_cluster

# As etcd's clients: its own limit on what is received does not stand in the way.
OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
PUT, RANGE = "/etcdserverpb.KV/Put", "/etcdserverpb.KV/Range"


def on_a_node(tmp_path: Path, test: Callable[[Cluster, grpc.aio.Channel], Awaitable[None]]) -> None:
    async def run(c: Cluster) -> None:
        target = f"127.0.0.1:{c.client_ports[0]}"
        async with grpc.aio.insecure_channel(target, options=OPTIONS) as channel:
            await test(c, channel)

    with_cluster(tmp_path, 1, run)


async def call(
    channel: grpc.aio.Channel, path: str, request: Message, answer: type[Any], **how: Any
) -> Any:
    method = channel.unary_unary(path, bytes, answer.parse)
    return await method(request, **how)


async def refused(awaitable: Awaitable[Any]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await awaitable
    return caught.value.code(), caught.value.details() or ""


def test_large_values_both_ways(tmp_path: Path) -> None:
    async def test(c: Cluster, channel: grpc.aio.Channel) -> None:
        value = bytes(range(256)) * 6_000
        for number in range(3):
            key = b"k%d" % number
            await call(channel, PUT, PutRequest(key=key, value=value), PutResponse)
        got = await call(channel, RANGE, RangeRequest(key=b"k", range_end=b"l"), RangeResponse)
        # 4.5 MB: more than a stream's window, so flow control has its say.
        assert [kv.value for kv in got.kvs] == [value] * 3

    on_a_node(tmp_path, test)


def test_limits_and_encodings(tmp_path: Path) -> None:
    async def test(c: Cluster, channel: grpc.aio.Channel) -> None:
        big = PutRequest(key=b"k", value=bytes(3_000_000))
        assert await refused(call(channel, PUT, big, PutResponse)) == (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            f"grpc: received message larger than max ({len(bytes(big))} vs. 2097152)",
        )
        over = PutRequest(key=b"k", value=bytes(1_572_864))
        assert await refused(call(channel, PUT, over, PutResponse)) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            "etcdserver: request is too large",
        )
        small = PutRequest(key=b"k", value=b"v")
        squeezed = call(channel, PUT, small, PutResponse, compression=grpc.Compression.Gzip)
        assert await refused(squeezed) == (
            grpc.StatusCode.UNIMPLEMENTED,
            'grpc: Decompressor is not installed for grpc-encoding "gzip"',
        )
        assert await call(channel, PUT, small, PutResponse)

    on_a_node(tmp_path, test)


def test_unknown_methods(tmp_path: Path) -> None:
    async def test(c: Cluster, channel: grpc.aio.Channel) -> None:
        request = PutRequest(key=b"k")
        unimplemented = grpc.StatusCode.UNIMPLEMENTED
        assert await refused(call(channel, "/etcdserverpb.KV/Foo", request, PutResponse)) == (
            unimplemented,
            "unknown method Foo for service etcdserverpb.KV",
        )
        assert await refused(call(channel, "/nope.X/Foo", request, PutResponse)) == (
            unimplemented,
            "unknown service nope.X",
        )

    on_a_node(tmp_path, test)


def test_a_deadline_ends_the_call_and_its_waiting(tmp_path: Path) -> None:
    async def test(c: Cluster, channel: grpc.aio.Channel) -> None:
        node = c.node(0)
        held: list[Persist] = []
        disk: Any = node.disk
        persist, disk.persist = disk.persist, held.extend
        while not held:
            # On a slow machine a deadline may end a call before the node has heard of it.
            late = call(channel, PUT, PutRequest(key=b"k"), PutResponse, timeout=0.3)
            assert (await refused(late))[0] is grpc.StatusCode.DEADLINE_EXCEEDED
        while len(node.callers):
            await asyncio.sleep(0.01)
        disk.persist = persist
        persist(tuple(held))
        # It was never promised, and happened all the same.
        while node.machine.revision < 2:
            await asyncio.sleep(0.01)
        assert await call(channel, PUT, PutRequest(key=b"k"), PutResponse)

    on_a_node(tmp_path, test)


def test_three_hundred_watch_streams_on_one_connection(tmp_path: Path) -> None:
    async def test(c: Cluster, channel: grpc.aio.Channel) -> None:
        method = channel.stream_stream("/etcdserverpb.Watch/Watch", bytes, WatchResponse.parse)

        async def watch(number: int) -> Any:
            stream = method()
            create = WatchCreateRequest(key=b"k%d" % number)
            await stream.write(WatchRequest(create_request=create))
            created = await stream.read()
            assert created.created
            return stream

        streams = await asyncio.gather(*(watch(number) for number in range(300)))
        for number in range(300):
            await call(channel, PUT, PutRequest(key=b"k%d" % number, value=b"v"), PutResponse)
        answers = await asyncio.gather(*(stream.read() for stream in streams))
        keys = [answer.events[0].kv.key for answer in answers]
        assert keys == [b"k%d" % number for number in range(300)]
        assert c.node(0).status().watchers == 300
        for stream in streams:
            stream.cancel()
        while c.node(0).status().watch_streams:
            await asyncio.sleep(0.02)

    on_a_node(tmp_path, test)
