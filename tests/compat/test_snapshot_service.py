"""Snapshots between running clusters: etcdctl saves kvorum's and real etcd serves it; kvorum saves
etcd's and three nodes serve it.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import queue
import subprocess
import threading
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from compat.our_command import TIMEOUT_S, kvorum, written
from compat.real_etcd import RELEASES, RealEtcd, Release, ReleaseCtl, find_release
from kvorum import Client
from kvorum.client import CompactedError, Put, Txn
from kvorum.machine.record import Record
from kvorum.storage.etcd_db import Change, EtcdState, read_etcd_db
from support.clusters import ClusterHandle
from support.etcd_source import Source, lively_changes

Clusters = Callable[..., ClusterHandle]


@pytest.fixture(params=RELEASES)
def release(request: pytest.FixtureRequest) -> Release:
    """Every release of etcd that is here."""
    return find_release(request.param)


@pytest.fixture
def etcd(release: Release, tmp_path: Path) -> Iterator[RealEtcd]:
    """A real member, not started yet; stopped in the end."""
    member = RealEtcd(release, tmp_path)
    yield member
    member.stop()


def live_at(changes: Iterable[Change], revision: int) -> dict[bytes, Record]:
    return Source(EtcdState(revision), list(changes)).live_at(revision)


def life(ctl: ReleaseCtl, turns: int) -> str:
    """Puts, deletions and transactions; returns a lease with keys on it."""
    lease = ctl.ok("lease", "grant", "3600").split()[1]
    for turn in range(turns):
        ops = [f"put k{(turn * 37 + i) % 90:02d} {'v' * (i * 7 % 300)}{turn}" for i in range(40)]
        ctl.ok("txn", stdin="\n".join(["", *ops, "", "", ""]))
        ctl.ok("put", f"leased/{turn}", "yes", f"--lease={lease}")
        ctl.ok("del", f"k{turn * 9:02d}", f"k{turn * 9 + 5:02d}")
    ctl.ok("put", "large", stdin="x" * 300_000)
    return lease


def leased_keys(ctl: ReleaseCtl, lease: str) -> set[str]:
    said = ctl.ok("lease", "timetolive", lease, "--keys")
    assert "granted with TTL(3600s)" in said
    return set(said.partition("attached keys([")[2].partition("])")[0].split())


# --- from kvorum ----------------------------------------------------------------------------------


def test_real_etcd_serves_what_etcdctl_saved(
    etcd: RealEtcd, kvorum_cluster: Clusters, tmp_path: Path
) -> None:
    """All revisions, leases, and the same again after a compaction."""
    cluster = kvorum_cluster(3)
    ours = ReleaseCtl(etcd.release, cluster.endpoints)
    lease = life(ours, 6)
    for compacted in (0, ours.revision() - 6):
        if compacted:
            ours.ok("compact", str(compacted))
            ours.ok("put", "after", "compaction")
        head = ours.revision()
        saved = save_with_etcdctl(etcd.release, cluster, tmp_path / "db")
        etcd.restore(saved)
        theirs = etcd.start().ctl()
        assert theirs.revision() == head
        for revision in range(max(2, compacted), head + 1):
            assert theirs.records(revision) == ours.records(revision), revision
        assert leased_keys(theirs, lease) == leased_keys(ours, lease) != set()
        if compacted:
            refused = theirs.run("get", "x", f"--rev={compacted - 1}")
            assert "required revision has been compacted" in refused.err
        theirs.ok("put", "next", "1")
        assert theirs.revision() == head + 1
        theirs.ok("lease", "revoke", lease)
        assert not [key for key in theirs.records() if key.startswith(b"leased/")]
        etcd.stop()
        etcd.data.rename(tmp_path / f"data{compacted}")


def save_with_etcdctl(release: Release, cluster: ClusterHandle, path: Path) -> Path:
    """From one member after the other; all of them give the same keys."""
    found = []
    for endpoint in cluster.endpoints:
        ctl = ReleaseCtl(release, [endpoint])
        ctl.ok("get", "x")  # A linearizable read: this member is as far as the others now.
        ctl.ok("snapshot", "save", str(path))
        with read_etcd_db(path) as db:
            assert ctl.status(path) == tuple(db.status)
            found.append((list(db.changes()), db.state.leases, db.state.revision))
    assert found[0] == found[1] == found[2]
    return path


def test_the_gateway_streams_snapshots(kvorum_cluster: Clusters) -> None:
    cluster = kvorum_cluster(1)
    request = urllib.request.Request(
        cluster.endpoints[0] + "/v3/maintenance/snapshot", b"{}", method="POST"
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        messages = [json.loads(line)["result"] for line in answer]
    blobs = [base64.b64decode(message["blob"]) for message in messages]
    assert hashlib.sha256(b"".join(blobs[:-1])).digest() == blobs[-1]
    assert int(messages[0].get("remaining_bytes", 0)) == sum(map(len, blobs[1:-1]))
    assert {message["version"] for message in messages} == {"3.5.0"}


def test_a_file_saved_among_writers_is_one_revision(
    kvorum_cluster: Clusters, tmp_path: Path
) -> None:
    """Transactions write two keys each; no file has one of them without the other."""
    cluster = kvorum_cluster(3)
    stopping = threading.Event()

    async def write(number: int) -> int:
        count = 0
        async with Client(cluster.endpoints) as client:
            while not stopping.is_set():
                count += 1
                value = b"%d " % count * 300
                pair = [Put(b"%s%d" % (side, number), value) for side in (b"left", b"right")]
                await client.commit(Txn(then=tuple(pair)))
        return count

    async def writers() -> list[int]:
        return await asyncio.gather(*map(write, range(4)))

    written: list[int] = []
    thread = threading.Thread(target=lambda: written.extend(asyncio.run(writers())))
    thread.start()
    revisions = []
    try:
        for number, endpoint in enumerate(cluster.endpoints):
            path = tmp_path / f"{number}.db"
            kvorum("snapshot", "save", path, f"--endpoints={endpoint}")
            revisions.append(check_pairs(path, cluster))
    finally:
        stopping.set()
        thread.join(TIMEOUT_S)
    assert revisions == sorted(set(revisions))
    assert len(written) == 4


def check_pairs(path: Path, cluster: ClusterHandle) -> int:
    with read_etcd_db(path) as db:
        changes, revision = list(db.changes()), db.state.revision
    for at in (revision, revision // 2):
        live = live_at(changes, at)
        for key in [key for key in live if key.startswith(b"left")]:
            assert live[b"right" + key[4:]][1:] == live[key][1:]
    assert changes[-1].revision == revision
    ours = asyncio.run(hold(cluster, revision))
    assert {key: record.value for key, record in live_at(changes, revision).items()} == ours
    return revision


async def hold(cluster: ClusterHandle, revision: int) -> dict[bytes, bytes]:
    async with Client(cluster.endpoints) as client:
        found = await client.range("", prefix=True, revision=revision)
    return {kv.key: kv.value for kv in found.kvs}


# --- from etcd ------------------------------------------------------------------------------------


def restore_all(cluster: ClusterHandle, snapshot: Path, *flags: str) -> None:
    """Make every member's data directory with our command."""
    cluster.supervisor.open()
    state = cluster.supervisor.state
    assert state is not None
    views = cluster.supervisor.nodes()
    members = ",".join(f"{view.name}={view.peer_url}" for view in views)
    for view in views:
        kvorum(
            "restore",
            snapshot,
            f"--name={view.name}",
            f"--data-dir={view.data_dir}",
            f"--initial-cluster={members}",
            f"--initial-cluster-token={state.token}",
            f"--initial-advertise-peer-urls={view.peer_url}",
            *flags,
        )


def test_three_nodes_serve_what_etcd_had(
    etcd: RealEtcd, kvorum_cluster: Clusters, tmp_path: Path
) -> None:
    theirs = etcd.start().ctl()
    lease = life(theirs, 6)
    compacted = theirs.revision() - 9
    theirs.ok("compact", str(compacted))
    life(theirs, 1)
    head = theirs.revision()
    wanted = {revision: theirs.records(revision) for revision in range(compacted, head + 1)}
    keys = leased_keys(theirs, lease)
    kvorum("snapshot", "save", tmp_path / "db", f"--endpoints={etcd.endpoint}")
    said = json.loads(kvorum("snapshot", "status", tmp_path / "db", "-w", "json"))
    assert tuple(said.values()) == theirs.status(tmp_path / "db")
    etcd.stop()

    cluster = kvorum_cluster(3, start=False)
    restore_all(cluster, tmp_path / "db")
    cluster.restart()
    for endpoint in cluster.endpoints:
        one = ReleaseCtl(etcd.release, [endpoint])
        for revision, records in wanted.items():
            assert one.records(revision) == records, revision
        refused = one.run("get", "x", f"--rev={compacted - 1}")
        assert "required revision has been compacted" in refused.err
    ours = ReleaseCtl(etcd.release, cluster.endpoints)
    assert leased_keys(ours, lease) == keys
    for revision in (compacted, head - 2, head):
        hashes = ours.json("endpoint", "hashkv", "--cluster", f"--rev={revision}")
        assert len({each["HashKV"]["hash"] for each in hashes}) == 1, hashes
        assert len(hashes) == 3
    assert ours.json("put", "next", "1")["header"]["revision"] == head + 1
    check_watch(ours, wanted, compacted + 1, head + 1)
    ours.ok("lease", "revoke", lease)
    assert set(ours.records()).isdisjoint(key.encode() for key in keys)


def check_watch(
    ctl: ReleaseCtl, wanted: dict[int, dict[bytes, Record]], first: int, last: int
) -> None:
    """A watch from an old revision tells exactly what led from each state to the next."""
    heard = watched(ctl, first, last)
    for revision in range(first, last):
        before, after = dict(wanted[revision - 1]), wanted[revision]
        for event in heard[revision]:
            key = base64.b64decode(event["kv"]["key"])
            if event.get("type", 0) in (1, "DELETE"):
                del before[key]
            else:
                before[key] = after[key]
        assert before == after, revision
    assert [base64.b64decode(each["kv"]["key"]) for each in heard[last]] == [b"next"]


def watched(ctl: ReleaseCtl, first: int, last: int) -> dict[int, list[Any]]:
    """Events by revision, until ``last`` has come."""
    process = subprocess.Popen(
        ctl.argv("watch", "", "--prefix", f"--rev={first}", "-w", "json"),
        env=ctl.env,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    lines: queue.Queue[str] = queue.Queue()
    stdout = process.stdout

    def read() -> None:
        for line in stdout:
            lines.put(line)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    heard: dict[int, list[Any]] = {revision: [] for revision in range(first, last + 1)}
    try:
        while not heard[last]:
            for event in json.loads(lines.get(timeout=TIMEOUT_S)).get("Events") or []:
                heard[event["kv"]["mod_revision"]].append(event)
    finally:
        process.kill()
        process.wait()
        reader.join()
        stdout.close()
    return heard


def test_a_raised_revision_hides_the_old_ones(kvorum_cluster: Clusters, tmp_path: Path) -> None:
    """Whoever watches from a revision that the new cluster never had is told so."""
    path = written(tmp_path / "db", Source(EtcdState(101), lively_changes(100)))
    cluster = kvorum_cluster(3, start=False)
    restore_all(cluster, path, "--bump-revision=1000", "--mark-compacted")
    cluster.restart()

    async def scenario() -> None:
        async with Client(cluster.endpoints) as client:
            assert (await client.range("", prefix=True)).header.revision == 1_101
            with pytest.raises(CompactedError):
                async with client.watch("", prefix=True, start_revision=90) as watch:
                    await anext(watch)
            assert (await client.put("k", "v")).header.revision == 1_102

    asyncio.run(scenario())
