"""Lock and Election of the server, one script on kvorum and on two releases of etcd: equal answers.

Only identities (cluster, member, term) are taken out; lease ids come from the script. What differs
on purpose is in the last test, with its reason.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from compat.real_etcd import RELEASES, find_release
from grpclib.client import UnaryStreamMethod, UnaryUnaryMethod
from grpclib.exceptions import GRPCError
from kvorum.http2.server import KvorumChannel
from kvorum_proto import etcdserverpb as pb
from kvorum_proto import v3electionpb as epb
from kvorum_proto import v3lockpb as lockpb
from kvorum_proto.codec import Codec
from kvorum_proto.services import METHODS
from support.clusters import ClusterHandle, make_spec

KV, LEASE = "/etcdserverpb.KV/", "/etcdserverpb.Lease/"
LOCK, ELECTION = "/v3lockpb.Lock/", "/v3electionpb.Election/"
PATIENCE_S = 30.0


@dataclass
class Side:
    """One server and everything it has answered, in order."""

    channel: KvorumChannel
    said: list[Any] = field(default_factory=list)

    async def call(self, path: str, request: Any, **options: Any) -> Any:
        """A unary call whose answer is not compared. GRPCError for a refusal."""
        method = METHODS[path]
        make: Any = UnaryUnaryMethod
        call = make(self.channel, path, method.request, method.response)
        async with asyncio.timeout(PATIENCE_S):
            return await call(request, **options)

    async def ask(self, path: str, request: Any, **options: Any) -> Any:
        """A unary call whose answer, or refusal, is compared."""
        try:
            answer = await self.call(path, request, **options)
        except GRPCError as error:
            self.said.append((path, error.status.value, error.message))
            return None
        self.said.append((path, plain(answer)))
        return answer

    async def keys(self, prefix: bytes) -> list[tuple[bytes, bytes, int]]:
        """What stands under a prefix that ends with a slash: key, value, lease."""
        request = pb.RangeRequest(key=prefix, range_end=prefix[:-1] + b"0")
        return [(kv.key, kv.value, kv.lease) for kv in (await self.call(KV + "Range", request)).kvs]

    async def until(self, prefix: bytes, count: int) -> None:
        """Wait until so many keys stand there."""
        async with asyncio.timeout(PATIENCE_S):
            while len(await self.keys(prefix)) != count:
                await asyncio.sleep(0.01)

    def begin(self, path: str, request: Any) -> asyncio.Task[Any]:
        """A call that waits."""
        return asyncio.ensure_future(self.call(path, request))

    async def grant(self, *ids: int) -> None:
        """Leases."""
        for id_ in ids:
            await self.call(LEASE + "LeaseGrant", pb.LeaseGrantRequest(id=id_, ttl=600))


def plain(message: Any) -> Any:
    """An answer without identities."""
    told = message.to_dict()
    for name in ("clusterId", "memberId", "raftTerm"):
        assert told["header"].pop(name), "every header names its member"
    return told


async def locks(side: Side) -> None:
    """Locks from the first to the last."""
    await side.grant(0x1234ABCD, -17, 2, 3, 4)
    for name, lease in ((b"lk", 0x1234ABCD), (b"lk", 0x1234ABCD), (b"neg", -17), (b"", 2)):
        await side.ask(LOCK + "Lock", lockpb.LockRequest(name=name, lease=lease))
    await side.ask(LOCK + "Lock", lockpb.LockRequest(name=b"lk", lease=999))
    second = side.begin(LOCK + "Lock", lockpb.LockRequest(name=b"lk", lease=2))
    await side.until(b"lk/", 2)
    third = side.begin(LOCK + "Lock", lockpb.LockRequest(name=b"lk", lease=3))
    await side.until(b"lk/", 3)
    leaving = side.begin(LOCK + "Lock", lockpb.LockRequest(name=b"lk", lease=4))
    await side.until(b"lk/", 4)
    leaving.cancel()
    await side.until(b"lk/", 3)
    side.said.append(await side.keys(b"lk/"))
    await side.ask(LOCK + "Unlock", lockpb.UnlockRequest(key=b"lk/1234abcd"))
    side.said.append(plain(await second))
    assert not third.done()
    await side.call(LEASE + "LeaseRevoke", pb.LeaseRevokeRequest(id=2))
    side.said.append(plain(await third))
    await side.ask(LOCK + "Unlock", lockpb.UnlockRequest(key=b"nothing"))
    await side.ask(LOCK + "Unlock", lockpb.UnlockRequest())


async def a_lease_of_the_server(side: Side) -> None:
    """Without a lease there comes one of sixty seconds."""
    answer = await side.call(LOCK + "Lock", lockpb.LockRequest(name=b"own"))
    [(key, value, lease)] = await side.keys(b"own/")
    assert key == answer.key == b"own/%x" % lease
    left = await side.call(LEASE + "LeaseTimeToLive", pb.LeaseTimeToLiveRequest(id=lease))
    side.said.append((value, lease > 0, left.granted_ttl))


async def elections(side: Side) -> None:
    """Elections from the first candidate to the last."""
    await side.grant(0x17, 0x18, 0x19)
    leader = epb.LeaderRequest(name=b"e")
    await side.ask(ELECTION + "Leader", leader)
    await side.ask(ELECTION + "Campaign", epb.CampaignRequest(name=b"e", lease=999))
    one = epb.CampaignRequest(name=b"e", lease=0x17, value=b"one")
    won = (await side.ask(ELECTION + "Campaign", one)).leader
    await side.ask(ELECTION + "Campaign", one)
    uno = epb.CampaignRequest(name=b"e", lease=0x17, value=b"uno")
    await side.ask(ELECTION + "Campaign", uno)
    second = side.begin(ELECTION + "Campaign", epb.CampaignRequest(name=b"e", lease=0x18))
    await side.until(b"e/", 2)
    leaving = side.begin(ELECTION + "Campaign", epb.CampaignRequest(name=b"e", lease=0x19))
    await side.until(b"e/", 3)
    leaving.cancel()
    await side.until(b"e/", 2)
    await side.ask(ELECTION + "Proclaim", epb.ProclaimRequest(leader=won, value=b"un"))
    await side.ask(ELECTION + "Leader", leader)
    for key, rev, lease in ((won.key, 1, 0x17), (won.key, won.rev, 999), (b"", 0, 0x17)):
        other = epb.LeaderKey(name=b"e", key=key, rev=rev, lease=lease)
        await side.ask(ELECTION + "Proclaim", epb.ProclaimRequest(leader=other))
        if rev != won.rev:
            await side.ask(ELECTION + "Resign", epb.ResignRequest(leader=other))
    await side.ask(ELECTION + "Proclaim", epb.ProclaimRequest())
    await side.ask(ELECTION + "Resign", epb.ResignRequest())
    await side.ask(ELECTION + "Resign", epb.ResignRequest(leader=won))
    side.said.append(plain(await second))
    await side.ask(ELECTION + "Resign", epb.ResignRequest(leader=won))
    await side.ask(ELECTION + "Leader", leader)


async def observers(side: Side) -> None:
    """Everything an observer hears, from before the first leader on."""
    await side.grant(0x27, 0x28, 0x29)
    path = ELECTION + "Observe"
    make: Any = UnaryStreamMethod
    method = make(side.channel, path, METHODS[path].request, METHODS[path].response)
    async with asyncio.timeout(PATIENCE_S), method.open() as stream:
        await stream.send_message(epb.LeaderRequest(name=b"o"), end=True)

        async def hear() -> None:
            side.said.append(plain(await stream.recv_message()))

        one = epb.CampaignRequest(name=b"o", lease=0x27, value=b"one")
        won = (await side.call(ELECTION + "Campaign", one)).leader
        await hear()
        second = side.begin(
            ELECTION + "Campaign", epb.CampaignRequest(name=b"o", lease=0x28, value=b"two")
        )
        await side.until(b"o/", 2)
        for value in (b"uno", b"un"):
            await side.call(ELECTION + "Proclaim", epb.ProclaimRequest(leader=won, value=value))
            await hear()
        await side.call(ELECTION + "Resign", epb.ResignRequest(leader=won))
        await hear()
        await second
        await side.call(LEASE + "LeaseRevoke", pb.LeaseRevokeRequest(id=0x28))
        three = epb.CampaignRequest(name=b"o", lease=0x29, value=b"three")
        await side.call(ELECTION + "Campaign", three)
        await hear()
        await stream.cancel()


Script = Callable[[Side], Awaitable[None]]
SCRIPTS: tuple[Script, ...] = (locks, a_lease_of_the_server, elections, observers)


def play(endpoint: str, script: Script) -> list[Any]:
    """What a server says to a script."""

    async def main() -> list[Any]:
        channel = KvorumChannel("127.0.0.1", int(endpoint.rpartition(":")[2]), codec=Codec())
        try:
            side = Side(channel)
            await script(side)
            return side.said
        finally:
            channel.close()

    return asyncio.run(main())


@pytest.fixture(scope="module")
def kvorum(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, list[Any]]]:
    """What kvorum says to each script, which run in order on one store."""
    directory = tmp_path_factory.mktemp("kvorum")
    cluster = ClusterHandle(make_spec(directory, 1), directory).start()
    yield {script.__name__: play(cluster.endpoints[0], script) for script in SCRIPTS}
    cluster.end()


@pytest.mark.parametrize("release", RELEASES)
def test_the_same_answers(
    release: str, kvorum: dict[str, list[Any]], kvorum_cluster: Callable[..., ClusterHandle]
) -> None:
    etcd = kvorum_cluster(1, program=find_release(release).etcd)
    for script in SCRIPTS:
        said = play(etcd.endpoints[0], script)
        assert len(said) >= 1
        assert kvorum[script.__name__] == said, script.__name__


async def a_candidate_that_is_gone(side: Side) -> None:
    """A candidate whose lease ended while it waited, and then its turn came."""
    await side.grant(0x37, 0x38)
    first = epb.CampaignRequest(name=b"gone", lease=0x37)
    won = (await side.call(ELECTION + "Campaign", first)).leader
    second = side.begin(ELECTION + "Campaign", epb.CampaignRequest(name=b"gone", lease=0x38))
    await side.until(b"gone/", 2)
    await side.call(LEASE + "LeaseRevoke", pb.LeaseRevokeRequest(id=0x38))
    await side.call(ELECTION + "Resign", epb.ResignRequest(leader=won))
    try:
        side.said.append((await second).leader.lease)
    except GRPCError as error:
        side.said.append((error.status.value, error.message))
    side.said.append(await side.keys(b"gone/"))


def test_on_purpose_a_candidate_that_is_gone_is_not_told_that_it_leads(
    kvorum_cluster: Callable[..., ClusterHandle],
) -> None:
    etcd = kvorum_cluster(1, program=find_release("path").etcd)
    assert play(etcd.endpoints[0], a_candidate_that_is_gone) == [0x38, []]
    ours = kvorum_cluster(1)
    not_leader = (2, "election: not leader")
    assert play(ours.endpoints[0], a_candidate_that_is_gone) == [not_leader, []]
