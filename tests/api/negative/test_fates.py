"""What becomes of calls that clients give up or end by half, of calls that want a leader where
there is none, and of requests for another host: here and on real etcd, by the same steps.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from api.negative.test_bad_http import ask, req, status
from grpclib.client import StreamStreamMethod, UnaryUnaryMethod
from grpclib.const import Cardinality
from grpclib.exceptions import GRPCError
from h2.exceptions import StreamClosedError
from kvorum.http2.server import KvorumChannel
from kvorum_proto import etcdserverpb as pb
from kvorum_proto.codec import Codec
from kvorum_proto.services import METHODS
from support.clusters import ClusterHandle, make_spec
from support.programs import need_program

KV = "/etcdserverpb.KV"
HAS_LEADER = {"hasleader": "true"}
NO_LEADER = (14, "etcdserver: no leader")
PATIENCE_S = 40.0
GIVEN_UP = 60
BOTH = ("kvorum_url", "etcd_url")
Test = Callable[[KvorumChannel], Any]


def with_channel(url: str, test: Test) -> None:
    async def run() -> None:
        host, _, port = url.removeprefix("http://").rpartition(":")
        channel = KvorumChannel(host, int(port), codec=Codec())
        try:
            async with asyncio.timeout(PATIENCE_S):
                await test(channel)
        finally:
            channel.close()

    asyncio.run(run())


async def call(channel: KvorumChannel, path: str, request: Any, **options: Any) -> Any:
    method = METHODS[path]
    unary: Any = UnaryUnaryMethod(channel, path, method.request, method.response)
    return await unary(request, **options)


def watch(channel: KvorumChannel, **options: Any) -> Any:
    path = "/etcdserverpb.Watch/Watch"
    method = METHODS[path]
    return StreamStreamMethod(channel, path, method.request, method.response).open(**options)


async def refusal(work: Any) -> tuple[int, str | None]:
    with pytest.raises(GRPCError) as caught:
        await work
    return caught.value.status.value, caught.value.message


@pytest.mark.parametrize("url", BOTH)
def test_a_put_that_is_given_up_happens_once_or_never(
    url: str, request: pytest.FixtureRequest
) -> None:
    async def test(channel: KvorumChannel) -> None:
        everything = pb.RangeRequest(key=b"gone/", range_end=b"gone0")
        before = await call(channel, f"{KV}/Range", everything)
        assert before.kvs == []
        for number in range(GIVEN_UP):
            path = f"{KV}/Put"
            put = pb.PutRequest(key=b"gone/%d" % number, value=b"v%d" % number)
            kind = Cardinality.UNARY_UNARY
            async with channel.request(path, kind, pb.PutRequest, pb.PutResponse) as stream:
                await stream.send_request()
                await stream.send_message(put, end=True)
                for _ in range(number % 7):
                    await asyncio.sleep(0)
                # Some are answered before they can be given up.
                with contextlib.suppress(StreamClosedError):
                    await stream.cancel()
        last = await call(channel, f"{KV}/Put", pb.PutRequest(key=b"gone/last", value=b"vlast"))
        after = await call(channel, f"{KV}/Range", everything)
        assert after.header.revision >= last.header.revision
        assert all(kv.value == b"v" + kv.key.removeprefix(b"gone/") for kv in after.kvs)
        assert all(kv.version == 1 for kv in after.kvs)
        # A revision each, and none for what did not happen.
        assert after.header.revision - before.header.revision == after.count

    with_channel(request.getfixturevalue(url), test)


@pytest.mark.parametrize("url", BOTH)
def test_a_watch_goes_on_when_its_client_has_said_its_last(
    url: str, request: pytest.FixtureRequest
) -> None:
    async def test(channel: KvorumChannel) -> None:
        async with watch(channel) as stream:
            create = pb.WatchCreateRequest(key=b"half")
            await stream.send_message(pb.WatchRequest(create_request=create), end=True)
            assert (await stream.recv_message()).created
            for value in (b"1", b"2"):
                await call(channel, f"{KV}/Put", pb.PutRequest(key=b"half", value=value))
                assert [x.kv.value for x in (await stream.recv_message()).events] == [value]
            await stream.cancel()

    with_channel(request.getfixturevalue(url), test)


@pytest.mark.parametrize("program", ["kvorum", "etcd"])
def test_who_wants_a_leader_is_refused_where_there_is_none(program: str, tmp_path: Path) -> None:
    if program == "etcd":
        need_program("etcd")
    spec = make_spec(tmp_path, 3, program=program, heartbeat_ms=50, election_ms=500)

    create = pb.WatchRequest(create_request=pb.WatchCreateRequest(key=b"k"))

    async def watched(channel: KvorumChannel, created: asyncio.Event) -> None:
        async with watch(channel, metadata=HAS_LEADER) as stream:
            await stream.send_message(create)
            assert (await stream.recv_message()).created
            created.set()
            await stream.recv_message()

    async def test(channel: KvorumChannel) -> None:
        get = pb.RangeRequest(key=b"k", serializable=True)
        await call(channel, f"{KV}/Range", get, metadata=HAS_LEADER)
        created = asyncio.Event()
        wanting = asyncio.ensure_future(watched(channel, created))
        async with watch(channel) as patient:
            await patient.send_message(create)
            assert (await patient.recv_message()).created
            await created.wait()
            for name in ("n2", "n3"):
                await asyncio.to_thread(cluster.kill9, name)
            # It ends by itself; the other stays.
            assert await refusal(wanting) == NO_LEADER
            asking = call(channel, f"{KV}/Range", get, metadata=HAS_LEADER)
            assert await refusal(asking) == NO_LEADER
            await call(channel, f"{KV}/Range", get)
            await patient.send_message(create)
            assert (await patient.recv_message()).created
            await patient.cancel()
        late = asyncio.Event()
        assert await refusal(watched(channel, late)) == NO_LEADER
        assert not late.is_set()

    cluster = ClusterHandle(spec, tmp_path / "run").start()
    try:
        with_channel(cluster.endpoint("n1"), test)
    finally:
        cluster.end()


@pytest.mark.parametrize("program", ["kvorum", "etcd"])
def test_hosts_that_are_not_on_the_list(program: str, tmp_path: Path) -> None:
    if program == "etcd":
        need_program("etcd")
    flags = ("--host-whitelist=good.example,127.0.0.1",)
    spec = make_spec(tmp_path, 1, program=program, flags=flags)
    rows = {
        b"Host: good.example": 200,
        b"Host: good.example:99": 200,
        b"Host: 127.0.0.1": 200,
        b"Host: evil.example": 421,
        b"Host: evil.example:2379": 421,
        b"Host: good.example.evil.example": 421,
        b"Host: [::1]:2379": 421,
        b"Host:": 421,
    }
    cluster = ClusterHandle(spec, tmp_path / "run").start()
    try:
        url = cluster.endpoints[0]
        for line in (b"GET /health HTTP/1.1", b"GET /version HTTP/1.1"):
            told = {host: status(ask(url, req(line, host=host))) for host in rows}
            assert told == rows
    finally:
        cluster.end()
