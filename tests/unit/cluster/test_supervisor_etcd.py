"""The supervisor with real etcd as its program: it runs anything that takes etcd's flags."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from support.clusters import ClusterHandle, wait_until


async def ready_from_a_coroutine(cluster: ClusterHandle) -> None:
    """The handle's questions bring their own event loop; coroutines may put them all the same."""
    assert cluster.wait_ready() == cluster.leader()


def test_three_nodes_live_through_kill_pause_and_restart(
    kvorum_cluster: Callable[..., ClusterHandle],
) -> None:
    cluster = kvorum_cluster(3, program="etcd")
    leader = cluster.leader()
    cluster.kill9(leader)
    assert cluster.view(leader).state == "dead"
    assert cluster.view(leader).ending == "was ended by SIGKILL"
    other = cluster.leader(other_than=leader)
    cluster.restart(leader)

    cluster.pause(other)
    assert cluster.view(other).state == "paused"
    assert cluster.leader(other_than=other) != other
    cluster.resume(other)
    wait_until(lambda: cluster.view(other).state == "running", "resumed")
    asyncio.run(ready_from_a_coroutine(cluster))
