"""The Election service over a real connection (contract page "semantics", section 11)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from api.node.hands import MEMBER_IDS, LocalCluster, cluster
from api.node.test_lock import KV, LEASE, grant, keys, queued, refused
from grpclib.exceptions import GRPCError
from kvorum_proto import etcdserverpb as pb
from kvorum_proto import v3electionpb as epb

ELECTION = "/v3electionpb.Election/"


async def campaign(
    local: LocalCluster, name: bytes, lease: int, value: bytes = b"", **options: Any
) -> Any:
    """Wait to be elected."""
    request = epb.CampaignRequest(name=name, lease=lease, value=value)
    return await local.call(ELECTION + "Campaign", request, **options)


async def proclaim(local: LocalCluster, leader: Any, value: bytes = b"", **options: Any) -> Any:
    """Say another thing as a leader."""
    request = epb.ProclaimRequest(leader=leader, value=value)
    return await local.call(ELECTION + "Proclaim", request, **options)


async def resign(local: LocalCluster, leader: Any, **options: Any) -> Any:
    """Lead no longer."""
    return await local.call(ELECTION + "Resign", epb.ResignRequest(leader=leader), **options)


async def leader(local: LocalCluster, name: bytes, **options: Any) -> Any:
    """Who leads."""
    return await local.call(ELECTION + "Leader", epb.LeaderRequest(name=name), **options)


Said = tuple[int, bytes, bytes, int]
"""Header revision, key, value, mod revision."""


class Observer:
    """A stream of Observe and what it has said so far."""

    def __init__(self, local: LocalCluster, name: bytes, on: int = 0) -> None:
        self.local = local
        self.said: list[Said] = []
        self.ended: GRPCError | None = None
        self.task = asyncio.ensure_future(self._listen(name, on))

    async def _listen(self, name: bytes, on: int) -> None:
        try:
            async with self.local.stream(ELECTION + "Observe", on=on) as stream:
                await stream.send_message(epb.LeaderRequest(name=name), end=True)
                async for answer in stream:
                    kv = answer.kv
                    assert answer.header.raft_term and answer.header.member_id
                    self.said.append((answer.header.revision, kv.key, kv.value, kv.mod_revision))
        except GRPCError as error:
            self.ended = error

    async def hears(self, count: int) -> list[Said]:
        """Wait until it has said so much."""
        await self.local.until(lambda: len(self.said) >= count, ticks=1)
        return self.said

    async def leave(self) -> None:
        """Hang up."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


def test_a_campaign_from_its_first_key_to_its_end() -> None:
    async def main() -> None:
        async with cluster() as local:
            await grant(local, 0x17, 0x18)
            won = await campaign(local, b"e", 0x17, b"one")
            assert won.header.revision == 2
            assert won.leader == epb.LeaderKey(name=b"e", key=b"e/17", rev=2, lease=0x17)
            again = await campaign(local, b"e", 0x17, b"one")
            assert (again.header.revision, again.leader) == (2, won.leader)
            # Another value is proclaimed; the header stays that of the first step, as in etcd.
            other = await campaign(local, b"e", 0x17, b"two")
            assert (other.header.revision, other.leader) == (2, won.leader)
            found = await leader(local, b"e")
            assert (found.header.revision, found.kv.value, found.kv.version) == (3, b"two", 2)
            assert (await proclaim(local, won.leader, b"three")).header.revision == 4
            assert (await leader(local, b"e")).kv.value == b"three"
            assert (await resign(local, won.leader)).header.revision == 5
            # Whoever does not lead any more has resigned already.
            assert (await resign(local, won.leader)).header.revision == 5
            with pytest.raises(GRPCError) as error:
                await leader(local, b"e")
            assert refused(error.value) == (2, "election: no leader")

    asyncio.run(main())


def test_refusals_are_code_2_and_plain_text() -> None:
    async def main() -> None:
        async with cluster() as local:
            await grant(local, 0x17)
            won = (await campaign(local, b"e", 0x17, b"one")).leader
            stranger = epb.LeaderKey(name=b"e", key=b"e/17", rev=1, lease=0x17)
            elsewhere = epb.LeaderKey(name=b"e", key=b"e/17", rev=won.rev, lease=999)
            not_found = "etcdserver: requested lease not found"
            for call, text in (
                (campaign(local, b"e", 999), not_found),
                (proclaim(local, None), '"leader" field must be provided'),
                (resign(local, None), '"leader" field must be provided'),
                (proclaim(local, stranger), "election: not leader"),
                (proclaim(local, elsewhere), not_found),
                (proclaim(local, epb.LeaderKey(lease=0x17)), "etcdserver: key is not provided"),
                (resign(local, epb.LeaderKey(lease=0x17)), "etcdserver: key is not provided"),
                (leader(local, b"nobody"), "election: no leader"),
            ):
                with pytest.raises(GRPCError) as error:
                    await call
                assert refused(error.value) == (2, text)
            assert (await resign(local, stranger)).header.revision == 2
            assert (await leader(local, b"e")).kv.value == b"one"

    asyncio.run(main())


def test_a_leader_without_a_lease_gets_one() -> None:
    async def main() -> None:
        async with cluster() as local:
            table = local.nodes[MEMBER_IDS[0]].machine.leases
            won = (await campaign(local, b"e", 0, b"one")).leader
            [lease] = list(table)
            assert (lease.ttl_s, lease.id, b"e/%x" % lease.id) == (60, won.lease, won.key)
            # A leader that does not name its lease moves to a new one with what it says.
            await proclaim(local, epb.LeaderKey(name=b"e", key=won.key, rev=won.rev), b"two")
            [other] = [lease for lease in table if lease.id != won.lease]
            assert list(other.keys) == [won.key] and not lease.keys

    asyncio.run(main())


def test_candidates_are_elected_in_their_order() -> None:
    async def main() -> None:
        async with cluster(3) as local:
            await grant(local, 1, 2, 3)
            first = await campaign(local, b"e", 1, b"one")
            second = asyncio.ensure_future(campaign(local, b"e", 2, b"two", on=1))
            keyspace = local.nodes[MEMBER_IDS[0]].machine
            await local.until(lambda: len(keyspace.keyspace) == 2, ticks=1)
            third = asyncio.ensure_future(campaign(local, b"e", 3, b"three", on=2))
            await local.until(lambda: len(keyspace.keyspace) == 3, ticks=1)
            assert (await leader(local, b"e")).kv.value == b"one"
            await resign(local, first.leader)
            await local.until(second.done, ticks=1)
            won = second.result()
            # The header of the first step: its own key's revision.
            assert won.header.revision == won.leader.rev == 3
            assert not third.done()
            # A leader's lease is gone: so is the leader.
            await local.call(LEASE + "LeaseRevoke", pb.LeaseRevokeRequest(id=2))
            await local.until(third.done, ticks=1)
            assert third.result().leader.key == b"e/3"

    asyncio.run(main())


def test_candidates_that_leave() -> None:
    async def main() -> None:
        async with cluster() as local:
            machine = local.nodes[MEMBER_IDS[0]].machine
            await grant(local, 1, 2, 3)
            first = await campaign(local, b"e", 1, b"one")
            leaving = asyncio.ensure_future(campaign(local, b"e", 2))
            await queued(local, b"e/", 2)
            expiring = asyncio.ensure_future(campaign(local, b"e", 3))
            await queued(local, b"e/", 3)
            leaving.cancel()
            await local.until(lambda: len(machine.keyspace) == 2)
            assert await keys(local, b"e/") == [b"e/1", b"e/3"]
            await local.call(LEASE + "LeaseRevoke", pb.LeaseRevokeRequest(id=3))
            await local.turns()
            assert not expiring.done()
            await resign(local, first.leader)
            # etcd tells it that it leads, with a key that is gone.
            with pytest.raises(GRPCError) as error:
                await expiring
            assert refused(error.value) == (2, "election: not leader")
            assert await keys(local, b"e/") == []

    asyncio.run(main())


def test_an_observer_hears_of_every_leader_and_every_value() -> None:
    async def main() -> None:
        async with cluster() as local:
            await grant(local, 1, 2, 3)
            # Nobody leads yet, and what others do is not its business.
            observer = Observer(local, b"e")
            node = local.nodes[MEMBER_IDS[0]]
            await local.until(lambda: node.status().watchers == 1)
            await local.call(KV + "Put", pb.PutRequest(key=b"ee/1"))
            first = (await campaign(local, b"e", 1, b"one")).leader
            assert await observer.hears(1) == [(3, b"e/1", b"one", 3)]
            await proclaim(local, first, b"uno")
            # Candidates behind the leader are not heard, nor is what they say.
            second = asyncio.ensure_future(campaign(local, b"e", 2, b"two"))
            await local.until(lambda: len(node.machine.keyspace) == 3)
            third = asyncio.ensure_future(campaign(local, b"e", 3, b"three"))
            await local.until(lambda: len(node.machine.keyspace) == 4)
            await proclaim(local, first, b"un")
            await local.call(KV + "Put", pb.PutRequest(key=b"e/1", value=b"by hand", lease=1))
            heard = await observer.hears(4)
            assert heard[1:] == [
                (4, b"e/1", b"uno", 4),
                (7, b"e/1", b"un", 7),
                (8, b"e/1", b"by hand", 8),
            ]
            # The next leader is told with the revision of the reading, not of its key.
            await resign(local, first)
            assert (await second).leader.rev == 5
            assert (await observer.hears(5))[4:] == [(9, b"e/2", b"two", 5)]
            # Leaders that come and go while it looks away: it hears of the one that stays.
            await local.call(LEASE + "LeaseRevoke", pb.LeaseRevokeRequest(id=2))
            assert (await third).leader.rev == 6
            assert (await observer.hears(6))[5:] == [(10, b"e/3", b"three", 6)]
            await observer.leave()
            await local.until(lambda: node.status().watchers == 0)

    asyncio.run(main())


def test_an_observer_that_comes_later_hears_the_leader_at_once() -> None:
    async def main() -> None:
        async with cluster(3) as local:
            await grant(local, 1)
            await campaign(local, b"e", 1, b"one")
            await local.call(KV + "Put", pb.PutRequest(key=b"other"))
            observers = [Observer(local, b"e", on=on) for on in range(3)]
            for observer in observers:
                assert await observer.hears(1) == [(3, b"e/1", b"one", 2)]
                await observer.leave()

    asyncio.run(main())


def test_an_observer_across_leaders_of_raft_and_compactions() -> None:
    async def main() -> None:
        async with cluster(3) as local:
            await grant(local, 1, 2)
            first = (await campaign(local, b"e", 1, b"one")).leader
            observer = Observer(local, b"e", on=1)
            await observer.hears(1)
            moving = asyncio.ensure_future(
                local.nodes[MEMBER_IDS[0]].transfer_leader(MEMBER_IDS[2])
            )
            await local.until(moving.done, ticks=1)
            proclaiming = asyncio.ensure_future(proclaim(local, first, b"uno"))
            await local.until(proclaiming.done, ticks=1)
            compact = pb.CompactionRequest(revision=3, physical=True)
            compacting = asyncio.ensure_future(local.call(KV + "Compact", compact))
            await local.until(compacting.done, ticks=1)
            resigning = asyncio.ensure_future(resign(local, first))
            await local.until(resigning.done, ticks=1)
            next_one = asyncio.ensure_future(campaign(local, b"e", 2, b"two"))
            await local.until(next_one.done, ticks=1)
            assert await observer.hears(3) == [
                (2, b"e/1", b"one", 2),
                (3, b"e/1", b"uno", 3),
                (5, b"e/2", b"two", 5),
            ]
            await observer.leave()

    asyncio.run(main())


def test_an_observer_that_wants_a_leader_of_the_cluster() -> None:
    async def main() -> None:
        async with cluster(3) as local:
            await grant(local, 1)
            await campaign(local, b"e", 1, b"one")
            alone = local.nodes[MEMBER_IDS[2]]
            local.cut_off = {MEMBER_IDS[2]}
            await local.until(lambda: not alone.leader, ticks=1)
            async with local.stream(
                ELECTION + "Observe", on=2, metadata={"hasleader": "true"}
            ) as stream:
                await stream.send_message(epb.LeaderRequest(name=b"e"), end=True)
                with pytest.raises(GRPCError) as error:
                    await stream.recv_message()
                    await stream.recv_trailing_metadata()
            assert refused(error.value) == (14, "etcdserver: no leader")

    asyncio.run(main())


def test_a_node_that_stops_ends_candidacies_and_observations() -> None:
    async def main() -> None:
        async with cluster() as local:
            node = local.nodes[MEMBER_IDS[0]]
            await grant(local, 0x1, 0x2)
            await campaign(local, b"e", 0x1, b"one")
            candidate = asyncio.ensure_future(campaign(local, b"e", 0x2, b"two"))
            await queued(local, b"e/", 2)
            observers = [Observer(local, b"e"), Observer(local, b"nobody")]
            await observers[0].hears(1)
            await local.until(lambda: node.status().watchers == 3)
            node.leave()
            with pytest.raises(GRPCError) as caught:
                await candidate
            assert refused(caught.value) == (14, "etcdserver: server stopped")
            await asyncio.gather(*[observer.task for observer in observers])
            for observer in observers:
                assert observer.ended is not None
                assert refused(observer.ended) == (14, "etcdserver: server stopped")
            assert await keys(local, b"e/") == [b"e/1"]

    asyncio.run(main())
