"""Renewals while it is in doubt who leads: they wait for whoever leads next, or end with "no
leader", and never with a code 2 (contract page "semantics", section 7; etcd#21671).
"""

from __future__ import annotations

import asyncio

import pytest
from api.node.hands import MEMBER_IDS, LocalCluster, cluster
from api.node.test_lease import KEEP_ALIVE, grant, renewals
from grpclib.exceptions import GRPCError
from kvorum_proto import etcdserverpb as pb

NO_LEADER = (14, "etcdserver: no leader")


async def refusal(local: LocalCluster, lease: int, on: int) -> tuple[int, str | None]:
    """How a renewal's stream ends."""
    with pytest.raises(GRPCError) as error:
        await renewals(local, lease, on=on)
    return error.value.status.value, error.value.message


def test_a_deposed_leader_that_does_not_know_it_answers_nothing() -> None:
    async def main() -> None:
        async with cluster(3) as local:
            await grant(local, 7, 30)
            old = local.nodes[MEMBER_IDS[0]]
            local.cut_off = {MEMBER_IDS[0]}
            asking = asyncio.ensure_future(renewals(local, 7, on=0))
            await local.until(lambda: old.status().pending_requests == 1)
            assert old.is_leader
            others = [local.nodes[id_] for id_ in MEMBER_IDS[1:]]
            await local.until(lambda: any(node.is_leader for node in others), ticks=1)
            assert not asking.done()
            # The others renew it under their leader, wherever they are asked.
            for on in (1, 2):
                there = asyncio.ensure_future(renewals(local, 7, on=on))
                await local.until(there.done, ticks=1)
                assert there.result() == [(7, 30)]
            # Back among them it asks the one who leads now.
            local.cut_off = set()
            await local.until(asking.done, ticks=1)
            assert asking.result() == [(7, 30)]

    asyncio.run(main())


def test_without_a_quorum_everybody_says_no_leader() -> None:
    async def main() -> None:
        async with cluster(3) as local:
            await grant(local, 7, 600)
            local.cut_off = set(MEMBER_IDS)
            await local.until(lambda: not any(n.leader for n in local.nodes.values()), ticks=1)
            asking = [asyncio.ensure_future(refusal(local, 7, on)) for on in range(3)]
            pending = [node.status for node in local.nodes.values()]
            await local.until(lambda: all(status().pending_requests for status in pending))
            await local.run(69)
            assert not any(task.done() for task in asking)
            await local.run(3)
            assert await asyncio.gather(*asking) == [NO_LEADER] * 3
            # The lease lives: nobody could agree on its end.
            for node in local.nodes.values():
                assert 7 in node.machine.leases

    asyncio.run(main())


def test_a_stream_goes_on_under_the_next_leader() -> None:
    async def main() -> None:
        async with cluster(3) as local:
            await grant(local, 7, 30)
            async with local.stream(KEEP_ALIVE, on=1) as stream:
                await stream.send_request()
                for successor in (2, 1, 0, 2):
                    leader = next(n for n in local.nodes.values() if n.is_leader)
                    moving = asyncio.ensure_future(leader.transfer_leader(MEMBER_IDS[successor]))
                    await stream.send_message(pb.LeaseKeepAliveRequest(id=7))
                    answering = asyncio.ensure_future(stream.recv_message())
                    await local.until(lambda a=answering: a.done(), ticks=1)
                    answer = answering.result()
                    assert (answer.id, answer.ttl) == (7, 30)
                    await local.until(moving.done, ticks=1)
                await stream.end()
                assert await stream.recv_message() is None

    asyncio.run(main())
