"""The Lock service over a real connection (contract page "semantics", section 11).

The texts, codes and headers were seen on real etcd; tests/compat asks both side by side.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from api.node.hands import MEMBER_IDS, LocalCluster, cluster
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from kvorum.limits import SERVICE_LEASE_TTL_S
from kvorum_proto import etcdserverpb as pb
from kvorum_proto import v3lockpb as lockpb

KV, LEASE = "/etcdserverpb.KV/", "/etcdserverpb.Lease/"


async def grant(local: LocalCluster, *ids: int, ttl: int = 600) -> None:
    """Leases."""
    for id_ in ids:
        await local.call(LEASE + "LeaseGrant", pb.LeaseGrantRequest(id=id_, ttl=ttl))


async def lock(local: LocalCluster, name: bytes, lease: int, **options: Any) -> Any:
    """Wait for a lock."""
    request = lockpb.LockRequest(name=name, lease=lease)
    return await local.call("/v3lockpb.Lock/Lock", request, **options)


async def unlock(local: LocalCluster, key: bytes, **options: Any) -> Any:
    """Give a lock back."""
    return await local.call("/v3lockpb.Lock/Unlock", lockpb.UnlockRequest(key=key), **options)


async def keys(local: LocalCluster, prefix: bytes) -> list[bytes]:
    """The keys under a prefix that ends with a slash."""
    request = pb.RangeRequest(key=prefix, range_end=prefix[:-1] + b"0")
    return [kv.key for kv in (await local.call(KV + "Range", request)).kvs]


async def queued(local: LocalCluster, prefix: bytes, count: int) -> None:
    """Wait until so many stand in a queue, and all but the first watch somebody."""
    node = local.nodes[MEMBER_IDS[0]]
    keyspace = node.machine.keyspace
    await local.until(lambda: len([k for k in keyspace.order if k.startswith(prefix)]) == count)
    await local.until(lambda: node.status().watchers == count - 1)


def refused(error: GRPCError) -> tuple[int, str | None]:
    """What the wire said."""
    return error.status.value, error.message


def test_taking_and_taking_again() -> None:
    async def main() -> None:
        async with cluster() as local:
            await grant(local, 0x1234ABCD, -17, 0x77)
            first = await lock(local, b"lk", 0x1234ABCD)
            assert first.key == b"lk/1234abcd" and first.header.revision == 2
            assert first.header.member_id == MEMBER_IDS[0] and first.header.raft_term > 1
            again = await lock(local, b"lk", 0x1234ABCD)
            assert again.key == first.key and again.header.revision == 2
            # A negative id has its sign in front; a name may be empty.
            assert (await lock(local, b"neg", -17)).key == b"neg/-11"
            assert (await lock(local, b"", 0x77)).key == b"/77"
            found = await local.call(KV + "Range", pb.RangeRequest(key=b"lk/1234abcd"))
            assert (found.kvs[0].value, found.kvs[0].lease) == (b"", 0x1234ABCD)

    asyncio.run(main())


def test_without_a_lease_the_server_grants_one_that_it_does_not_renew() -> None:
    async def main() -> None:
        async with cluster() as local:
            answer = await lock(local, b"lk", 0)
            [lease] = list(local.nodes[MEMBER_IDS[0]].machine.leases)
            assert lease.ttl_s == SERVICE_LEASE_TTL_S and lease.id > 0
            assert answer.key == b"lk/%x" % lease.id
            await local.run(SERVICE_LEASE_TTL_S * 10 + 10)
            assert await keys(local, b"lk/") == []

    asyncio.run(main())


def test_a_lease_that_is_brought_along_is_renewed_once() -> None:
    async def main() -> None:
        async with cluster(3) as local:
            await grant(local, 7, ttl=30)
            ask = pb.LeaseTimeToLiveRequest(id=7)
            await local.run(100)
            await lock(local, b"lk", 7, on=1)
            await local.run(1)
            assert (await local.call(LEASE + "LeaseTimeToLive", ask)).ttl >= 29
            await local.run(100)
            assert (await local.call(LEASE + "LeaseTimeToLive", ask)).ttl <= 20

    asyncio.run(main())


def test_refusals_are_code_2_and_plain_text() -> None:
    async def main() -> None:
        async with cluster() as local:
            with pytest.raises(GRPCError) as error:
                await lock(local, b"lk", 999)
            assert refused(error.value) == (2, "etcdserver: requested lease not found")
            with pytest.raises(GRPCError) as error:
                await unlock(local, b"")
            assert refused(error.value) == (2, "etcdserver: key is not provided")
            # A key that is not there counts as unlocked.
            assert (await unlock(local, b"nothing")).header.revision == 1

    asyncio.run(main())


def test_waiters_get_it_in_their_order_whatever_member_they_ask() -> None:
    async def main() -> None:
        async with cluster(3) as local:
            await grant(local, 1, 2, 3, 4)
            await lock(local, b"lk", 1)
            waiting: list[asyncio.Task[Any]] = []
            machine = local.nodes[MEMBER_IDS[0]].machine
            for lease in (4, 2, 3):
                calling = asyncio.ensure_future(lock(local, b"lk", lease, on=lease % 3))
                count = len(waiting) + 2
                await local.until(lambda count=count: len(machine.keyspace) == count, ticks=1)
                waiting.append(calling)
            order = []
            holder = b"lk/1"
            for calling in waiting:
                assert not any(task.done() for task in waiting[len(order) :])
                freed = await unlock(local, holder)
                await local.until(calling.done, ticks=1)
                answer = calling.result()
                # Contended: the header of the read that confirmed it, not of the key's creation.
                assert answer.header.revision == freed.header.revision
                holder = answer.key
                order.append(holder)
            assert order == [b"lk/4", b"lk/2", b"lk/3"]

    asyncio.run(main())


def test_a_crowd_costs_a_watcher_each_and_wakes_one_at_a_time() -> None:
    crowd = 300

    async def main() -> None:
        async with cluster() as local:
            node = local.nodes[MEMBER_IDS[0]]
            leases = range(100, 100 + crowd)
            await grant(local, 1, *leases)
            await lock(local, b"lk", 1)
            waiting = [asyncio.ensure_future(lock(local, b"lk", lease)) for lease in leases]
            await queued(local, b"lk/", crowd + 1)
            assert node.status().watch_streams == crowd
            before = node.status().reads_total
            await unlock(local, b"lk/1")
            await local.until(lambda: any(task.done() for task in waiting))
            await local.turns()
            assert sum(task.done() for task in waiting) == 1
            # Nobody else has even looked: one sees that nobody is ahead, and asks whether its own
            # key is still there.
            assert node.status().reads_total == before + 2
            assert node.status().watchers == crowd - 1
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            await local.until(lambda: node.status().watchers == 0)

    asyncio.run(main())


def test_who_leaves_leaves_no_key() -> None:
    async def main() -> None:
        async with cluster(3) as local:
            machine = local.nodes[MEMBER_IDS[0]].machine
            await grant(local, 1, 2, 3)
            await lock(local, b"lk", 1)
            leaving = asyncio.ensure_future(lock(local, b"lk", 2))
            await queued(local, b"lk/", 2)
            behind = asyncio.ensure_future(lock(local, b"lk", 3))
            await queued(local, b"lk/", 3)
            leaving.cancel()
            await local.until(lambda: len(machine.keyspace) == 2)
            assert await keys(local, b"lk/") == [b"lk/1", b"lk/3"]
            # Who stood behind stands behind the first now.
            await local.turns()
            assert not behind.done()
            await unlock(local, b"lk/1")
            assert (await behind).key == b"lk/3"
            # A deadline is a departure too, whichever side sees it first: the client rounds what it
            # tells the server down to milliseconds.
            with pytest.raises((asyncio.TimeoutError, GRPCError)) as late:
                await lock(local, b"lk", 1, timeout=0.05)
            assert getattr(late.value, "status", Status.DEADLINE_EXCEEDED).value == 4
            await local.until(lambda: len(machine.keyspace) == 1)

    asyncio.run(main())


def test_who_leaves_before_its_key_is_agreed_leaves_none_either() -> None:
    async def main() -> None:
        async with cluster() as local:
            node, hands = local.nodes[MEMBER_IDS[0]], local.hands[MEMBER_IDS[0]]
            await grant(local, 1, 2)
            await lock(local, b"mine", 2)
            for name, kept in ((b"lk", []), (b"mine", [b"mine/2"])):
                hands.holds_disk = True
                pending = node.status().pending_requests
                leaving = asyncio.ensure_future(lock(local, name, 2))
                await local.until(lambda p=pending: node.status().pending_requests > p)
                leaving.cancel()
                await local.turns(60)
                hands.holds_disk = False
                hands.write()
                await local.until(lambda p=pending: node.status().pending_requests == p)
                await local.turns(60)
                # The lock held before is not lost by asking for it once more and leaving.
                assert await keys(local, name + b"/") == kept

    asyncio.run(main())


def test_a_session_that_expires_while_waiting() -> None:
    async def main() -> None:
        async with cluster() as local:
            await grant(local, 1, 2, 3)
            await lock(local, b"lk", 1)
            expiring = asyncio.ensure_future(lock(local, b"lk", 2))
            await queued(local, b"lk/", 2)
            behind = asyncio.ensure_future(lock(local, b"lk", 3))
            await queued(local, b"lk/", 3)
            await local.call(LEASE + "LeaseRevoke", pb.LeaseRevokeRequest(id=2))
            await local.turns()
            # As in etcd it hears of it when its turn comes.
            assert not expiring.done() and not behind.done()
            await unlock(local, b"lk/1")
            with pytest.raises(GRPCError) as error:
                await expiring
            assert refused(error.value) == (2, "mutex: session is expired")
            assert (await behind).key == b"lk/3"

    asyncio.run(main())


def test_a_place_taken_anew_does_not_speak_for_the_one_that_was_lost() -> None:
    async def main() -> None:
        async with cluster() as local:
            await grant(local, 1, 2, 3)
            await lock(local, b"lk", 1)
            lost = asyncio.ensure_future(lock(local, b"lk", 2))
            await queued(local, b"lk/", 2)
            await unlock(local, b"lk/2")
            between = asyncio.ensure_future(lock(local, b"lk", 3))
            await local.until(lambda: b"lk/3" in local.nodes[MEMBER_IDS[0]].machine.keyspace.order)
            anew = asyncio.ensure_future(lock(local, b"lk", 2))
            await local.until(lambda: b"lk/2" in local.nodes[MEMBER_IDS[0]].machine.keyspace.order)
            await unlock(local, b"lk/1")
            assert (await between).key == b"lk/3"
            # etcd would hand the lock to both here: the key exists, if not the same one.
            with pytest.raises(GRPCError) as error:
                await lost
            assert refused(error.value) == (2, "mutex: session is expired")
            assert not anew.done()
            await unlock(local, b"lk/3")
            assert (await anew).key == b"lk/2"

    asyncio.run(main())


def test_a_compaction_in_the_middle_of_the_wait() -> None:
    async def main() -> None:
        async with cluster() as local:
            node = local.nodes[MEMBER_IDS[0]]
            await grant(local, 1, 2)
            await lock(local, b"lk", 1)
            waiting = asyncio.ensure_future(lock(local, b"lk", 2))
            await queued(local, b"lk/", 2)
            for _ in range(3):
                await local.call(KV + "Put", pb.PutRequest(key=b"other"))
                compact = pb.CompactionRequest(revision=node.machine.revision, physical=True)
                await local.call(KV + "Compact", compact)
            await local.turns()
            assert not waiting.done()
            await unlock(local, b"lk/1")
            assert (await waiting).key == b"lk/2"

    asyncio.run(main())


def test_leaders_change_while_it_waits() -> None:
    async def main() -> None:
        async with cluster(3) as local:
            await grant(local, 1, 2)
            await lock(local, b"lk", 1)
            waiting = asyncio.ensure_future(lock(local, b"lk", 2))
            await queued(local, b"lk/", 2)
            for successor in (1, 2, 0, 1):
                node = next(n for n in local.nodes.values() if n.is_leader)
                moving = asyncio.ensure_future(node.transfer_leader(MEMBER_IDS[successor]))
                await local.until(moving.done, ticks=1)
            await local.turns()
            assert not waiting.done()
            await unlock(local, b"lk/1", on=2)
            await local.until(waiting.done, ticks=1)
            assert waiting.result().key == b"lk/2"

    asyncio.run(main())


def test_without_a_quorum_it_fails_after_the_request_timeout() -> None:
    async def main() -> None:
        async with cluster(3) as local:
            await grant(local, 1, 2)
            local.cut_off = set(MEMBER_IDS[1:])
            alone = local.nodes[MEMBER_IDS[0]]
            await local.until(lambda: not alone.leader, ticks=1)
            calling = asyncio.ensure_future(lock(local, b"lk", 1))
            await local.until(lambda: alone.status().pending_requests >= 1)
            await local.run(69)
            assert not calling.done()
            await local.run(2)
            with pytest.raises(GRPCError) as error:
                await calling
            assert error.value.status is Status.DEADLINE_EXCEEDED
            assert error.value.message == "context deadline exceeded"

    asyncio.run(main())


def test_who_leaves_while_there_is_no_leader_leaves_no_key_afterwards() -> None:
    async def main() -> None:
        async with cluster(3) as local:
            await grant(local, 1, 2)
            await lock(local, b"lk", 1)
            waiting = asyncio.ensure_future(lock(local, b"lk", 2))
            await queued(local, b"lk/", 2)
            local.cut_off = set(MEMBER_IDS[1:])
            alone = local.nodes[MEMBER_IDS[0]]
            await local.until(lambda: not alone.leader, ticks=1)
            waiting.cancel()
            await local.run(150)  # Longer than a request may wait.
            local.cut_off = set()
            await local.until(lambda: len(alone.machine.keyspace) == 1, ticks=1)
            assert await keys(local, b"lk/") == [b"lk/1"]

    asyncio.run(main())


def test_a_node_that_stops_does_not_wait_for_waiters() -> None:
    async def main() -> None:
        async with cluster() as local:
            node = local.nodes[MEMBER_IDS[0]]
            await grant(local, 1, 2, 3)
            await lock(local, b"lk", 1)
            waiting = [asyncio.ensure_future(lock(local, b"lk", lease)) for lease in (2, 3)]
            await queued(local, b"lk/", 3)
            node.leave()
            for call in waiting:
                with pytest.raises(GRPCError) as caught:
                    await call
                assert refused(caught.value) == (14, "etcdserver: server stopped")
            # Their places are gone when they are told; who holds the lock keeps it.
            assert [k for k in node.machine.keyspace.order if k.startswith(b"lk/")] == [b"lk/1"]
            # Nobody begins to wait any more; who need not wait is served.
            with pytest.raises(GRPCError) as caught:
                await lock(local, b"lk", 2)
            assert refused(caught.value) == (14, "etcdserver: server stopped")
            assert (await lock(local, b"other", 3)).key == b"other/3"

    asyncio.run(main())
