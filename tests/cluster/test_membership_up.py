"""``kvorum up`` and clusters whose members are no longer those of its file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cluster.joiners import ELECTION_MS, HEARTBEAT_MS
from compat.real_etcd import ReleaseCtl, find_release
from support.clusters import ClusterHandle, wait_until

Launch = Callable[..., ClusterHandle]

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("program", ["kvorum", "etcd"])
def test_a_removed_member_is_left_out_from_then_on(
    program: str, kvorum_cluster: Launch, tmp_path: Path
) -> None:
    """It ends by itself, is not started again whatever the file says, and the others go on."""
    directory = tmp_path / "run"
    options = {
        "program": program,
        "restart": "always",
        "heartbeat_ms": HEARTBEAT_MS,
        "election_ms": ELECTION_MS,
    }
    cluster = kvorum_cluster(3, directory=directory, **options)
    gone = cluster.followers()[0]
    others = [name for name in cluster.names if name != gone]
    etcdctl = ReleaseCtl(find_release("path"), [cluster.endpoint(others[0])])
    lines = [line.split(", ") for line in etcdctl.ok("member", "list").splitlines()]
    (id_,) = [fields[0] for fields in lines if fields[2] == gone]

    def removed() -> bool:
        result = etcdctl.run("member", "remove", id_)
        assert result.code == 0 or "etcdserver: unhealthy cluster" in result.err
        return result.code == 0

    wait_until(removed, "the removal is taken: all have been connected for five seconds")
    wait_until(lambda: cluster.view(gone).state == "removed", "its end")
    cluster.supervisor.poll()
    said = f"{gone}: was removed from the cluster; it is not started, "
    assert cluster.said[-1].startswith(said)
    cluster.stop()
    again = kvorum_cluster(3, directory=directory, **options)
    assert again.said[0].startswith(said)
    assert {view.name for view in again.supervisor.nodes() if view.state == "running"} == {*others}
    assert again.endpoints == [again.endpoint(name) for name in others]
    assert len(etcdctl.ok("member", "list").splitlines()) == 2
    etcdctl.ok("put", "a", "1")
