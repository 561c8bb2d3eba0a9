"""Snapshot files between us and real etcd: what we write it restores and serves, what it writes we
read, to the last revision.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import bcrypt
import pytest
from compat.real_etcd import RELEASES, RealEtcd, Release, ReleaseCtl, find_release
from kvorum.machine.accounts import Role
from kvorum.machine.alarms import Alarm
from kvorum.machine.permissions import Permission
from kvorum.machine.record import Record
from kvorum.storage.etcd_db import (
    Change,
    EtcdDb,
    EtcdState,
    LeaseRecord,
    plan_etcd_db,
    read_etcd_db,
    write_etcd_db,
)
from support.etcd_source import LEASES, Source, full_source, lively_changes

Launch = Callable[[], RealEtcd]
ROOT = "root:secret"
# etcd 3.5.1 forgets leases with negative ids when it starts, its own too; 3.4.23 does not.
KNOWN_LEASES = tuple(lease for lease in LEASES if lease.id > 0)


@pytest.fixture(params=RELEASES)
def release(request: pytest.FixtureRequest) -> Release:
    """Every release of etcd that is here."""
    return find_release(request.param)


@pytest.fixture
def launch(release: Release, tmp_path: Path) -> Iterator[Launch]:
    """A function that gives members, not started yet; they are stopped in the end."""
    members: list[RealEtcd] = []

    def make() -> RealEtcd:
        directory = tmp_path / f"etcd{len(members)}"
        directory.mkdir()
        members.append(RealEtcd(release, directory))
        return members[-1]

    yield make
    for member in members:
        member.stop()


def file_of(path: Path, source: Source | EtcdDb) -> Path:
    with open(path, "wb") as file:
        file.writelines(write_etcd_db(source))
    return path


def live_at(changes: Iterable[Change], revision: int) -> dict[bytes, Record]:
    return Source(EtcdState(revision), list(changes)).live_at(revision)


@pytest.mark.parametrize("revisions", [0, 1, 5, 200, 20_000])
def test_etcdctl_agrees_on_the_status_of_our_files(
    release: Release, tmp_path: Path, revisions: int
) -> None:
    """It walks every page with bbolt's own check first; we say the same of the file as it."""
    path = file_of(tmp_path / "db", full_source(revisions))
    with read_etcd_db(path) as db:
        assert ReleaseCtl(release, []).status(path) == tuple(db.status)


def test_etcdctl_reads_other_page_sizes(release: Release, tmp_path: Path) -> None:
    """Systems with pages of 16 or 64 KiB write such files, and ours read them anywhere."""
    for page_bytes in (16_384, 65_536):
        source = full_source(2_000)
        path = tmp_path / "db"
        path.write_bytes(b"".join(write_etcd_db(source, plan_etcd_db(source, page_bytes))))
        with read_etcd_db(path) as db:
            assert ReleaseCtl(release, []).status(path) == tuple(db.status)


def test_etcd_serves_what_we_wrote(launch: Launch, tmp_path: Path) -> None:
    """Keys at all revisions, versions and leases; and it goes on working on our pages."""
    changes = lively_changes(1_500)
    source = Source(EtcdState(1_501, cluster_version="3.4.0", leases=KNOWN_LEASES), changes)
    etcd = launch()
    etcd.restore(file_of(tmp_path / "db", source))
    ctl = etcd.start().ctl()
    assert ctl.revision() == 1_501
    for revision in (1_501, 1_500, 1_499, 900, 2, 1):
        assert ctl.records(revision) == source.live_at(revision), revision
    assert ctl.run("get", "k", "--rev=1502").code != 0
    check_leases(ctl, source)

    # A lease ends with its keys; pages are split, merged and freed; the file is written anew.
    ctl.ok("lease", "revoke", f"{77:x}")
    live = {key: record for key, record in source.live_at(1_501).items() if record.lease != 77}
    assert ctl.records() == live
    assert ctl.json("del", "--prefix", "k000")["deleted"] > 20
    ctl.ok("put", "k00000a", "new")
    head = ctl.revision()
    ctl.ok("compact", str(head), "--physical")
    for later in (tmp_path / "worn", tmp_path / "defragmented"):
        ctl.ok("snapshot", "save", str(later))
        with read_etcd_db(later) as db:
            assert ctl.status(later) == tuple(db.status)
            assert live_at(db.changes(), head) == ctl.records()
            assert db.state.leases == tuple(each for each in KNOWN_LEASES if each.id != 77)
        ctl.ok("defrag")


def check_leases(ctl: ReleaseCtl, source: Source) -> None:
    attached: dict[int, set[str]] = {lease.id: set() for lease in source.state.leases}
    for key, record in source.live_at(source.state.revision).items():
        if record.lease:
            attached[record.lease].add(key.decode())
    assert attached[77]
    for lease in source.state.leases:
        said = ctl.ok("lease", "timetolive", f"{lease.id:x}", "--keys")
        assert f"granted with TTL({lease.ttl_s}s)" in said
        keys = said.partition("attached keys([")[2].partition("])")[0]
        assert set(keys.split()) == attached[lease.id]
    assert len(ctl.json("lease", "list")["leases"]) == len(source.state.leases)


@pytest.mark.parametrize("swept", [-1, 100, 700])
def test_etcd_refuses_compacted_revisions(launch: Launch, tmp_path: Path, swept: int) -> None:
    """Also where a compaction was agreed and not carried out: etcd makes good for it."""
    source = Source(EtcdState(901, compact_revision=700, swept_revision=swept), lively_changes(900))
    if swept > 0:
        source.kept = swept_changes(source.kept, swept)
    etcd = launch()
    etcd.restore(file_of(tmp_path / "db", source))
    ctl = etcd.start().ctl()
    for revision in (901, 800, 701, 700):
        assert ctl.records(revision) == source.live_at(revision)
    for revision in (1, 99, 699):
        refused = ctl.run("get", "k", f"--rev={revision}")
        assert "required revision has been compacted" in refused.err


def swept_changes(changes: list[Change], revision: int) -> list[Change]:
    """What a compaction leaves: later changes, and what lived at its revision."""
    kept = {(record.key, record.mod_revision) for record in live_at(changes, revision).values()}
    return [
        change
        for change in changes
        if change.revision > revision or (change.record.key, change.revision) in kept
    ]


def test_a_revision_beyond_the_changes(launch: Launch, tmp_path: Path) -> None:
    """As after a restore with a bumped revision: later revisions, the same keys."""
    source = Source(EtcdState(5_000), lively_changes(300))
    etcd = launch()
    etcd.restore(file_of(tmp_path / "db", source))
    ctl = etcd.start().ctl()
    assert ctl.revision() == 5_000
    assert ctl.records() == ctl.records(400) == source.live_at(301)
    ctl.ok("put", "k", "v")
    assert ctl.revision() == 5_001
    ctl.ok("compact", "5001", "--physical")
    ctl.ok("snapshot", "save", str(tmp_path / "later"))
    with read_etcd_db(tmp_path / "later") as db:
        assert db.state.revision == 5_001
        assert live_at(db.changes(), 5_001) == ctl.records()


def test_etcd_takes_our_users_roles_and_alarms(launch: Launch, tmp_path: Path) -> None:
    """Also from a cluster of a later version than its own."""
    source = full_source(100, bcrypt.hashpw(b"secret", bcrypt.gensalt(4)))
    auth = source.state.auth._replace(enabled=True)
    source.state = source.state._replace(auth=auth, cluster_version="3.6.0")
    etcd = launch()
    etcd.restore(file_of(tmp_path / "db", source))
    etcd.start()
    root, ann = etcd.ctl(ROOT), etcd.ctl("ann:secret")
    assert root.ok("user", "list").split() == ["ann", "cn", "root"]
    assert root.json("user", "get", "ann")["roles"] == ["reader", "räuber"]
    assert root.ok("role", "list").split() == ["reader", "root", "räuber"]
    reader = " ".join(root.ok("role", "get", "reader").split())
    assert reader == "Role reader KV Read: [k, l) (prefix k) own KV Write: own"
    assert sorted(root.ok("alarm", "list").split("\n")) == [
        "",
        "memberID:5 alarm:NOSPACE ",
        "memberID:7 alarm:CORRUPT ",
    ]
    assert "corrupt cluster" in root.run("put", "own", "1").err
    root.ok("alarm", "disarm")
    ann.ok("put", "own", "1")
    assert ann.records(prefix="k") == source.live_at(101)
    assert "permission denied" in ann.run("get", "z").err
    assert "authentication failed" in etcd.ctl("ann:wrong").run("get", "k").err
    assert "user name is empty" in etcd.ctl().run("get", "k").err
    # The member that restored is the only one; those of the file are gone.
    assert [each["name"] for each in root.json("member", "list")["members"]] == ["r1"]


def busy(etcd: RealEtcd) -> int:
    """Give a member a history of every kind; returns the compacted revision."""
    ctl = etcd.ctl()
    for turn in range(12):
        ops = [f"put k{turn * 37 % 400 + i:04d} {'v' * (i * 7 % 300)}{turn}" for i in range(100)]
        ctl.ok("txn", stdin="\n".join(["", *ops, "", "", ""]))
        ctl.ok("del", f"k{turn * 30:04d}", f"k{turn * 30 + 15:04d}")
    ctl.ok("put", "large", stdin="x" * 300_000)
    compacted = ctl.revision() - 8
    ctl.ok("compact", str(compacted), "--physical")
    lease = ctl.ok("lease", "grant", "3600").split()[1]
    ctl.ok("lease", "grant", "77")
    ctl.ok("put", "leased", "yes", f"--lease={lease}")
    ctl.ok("put", "gone", "1")
    ctl.ok("del", "gone")
    ctl.ok("user", "add", ROOT)
    ctl.ok("user", "add", "ann:pw")
    ctl.ok("user", "add", "cn", "--no-password")
    ctl.ok("role", "add", "reader")
    ctl.ok("role", "grant-permission", "reader", "read", "a", "c")
    ctl.ok("role", "grant-permission", "reader", "readwrite", "k1")
    ctl.ok("user", "grant-role", "ann", "reader")
    ctl.ok("member", "add", "m2", "--learner", "--peer-urls=http://127.0.0.1:9")
    etcd.post("/v3/maintenance/alarm", {"action": 1, "memberID": "7", "alarm": 1})
    return compacted


def test_we_read_what_etcd_wrote(launch: Launch, tmp_path: Path) -> None:
    """A snapshot of it, and the file in its data directory."""
    etcd = launch().start()
    ctl = etcd.ctl()
    compacted = busy(etcd)
    ctl.ok("snapshot", "save", str(tmp_path / "db"))
    head = ctl.revision()
    wanted = {revision: ctl.records(revision) for revision in range(compacted, head + 1)}
    leases = [each["id"] for each in ctl.json("lease", "list")["leases"]]
    members = {m["ID"]: m["peerURLs"] for m in ctl.json("member", "list")["members"]}
    with read_etcd_db(tmp_path / "db") as db:
        assert ctl.status(tmp_path / "db") == tuple(db.status)
        check_state(db.state, head, compacted)
        assert [lease.id for lease in db.state.leases] == sorted(leases)
        assert {m.id: list(m.peer_urls) for m in db.state.members} == members
        changes, state = list(db.changes()), db.state
    for revision, records in wanted.items():
        assert live_at(changes, revision) == records, revision
    etcd.stop()
    shutil.copy(etcd.data / "member" / "snap" / "db", tmp_path / "raw")
    with read_etcd_db(tmp_path / "raw", "optional") as db:
        assert list(db.changes()) == changes
        assert db.state == state._replace(applied_index=db.state.applied_index)
        assert db.state.applied_index >= state.applied_index


def check_state(state: EtcdState, head: int, compacted: int) -> None:
    assert (state.revision, state.compact_revision, state.swept_revision) == (
        head,
        compacted,
        compacted,
    )
    assert state.applied_index > 30
    assert sorted(lease.ttl_s for lease in state.leases) == [77, 3_600]
    assert state.alarms == (Alarm(7, 1),)
    assert state.auth.roles == (Role("reader", (Permission(0, b"a", b"c"), Permission(2, b"k1"))),)
    ann, cn, root = state.auth.users
    assert (ann.name, ann.roles, ann.no_password) == ("ann", ("reader",), False)
    assert bcrypt.checkpw(b"pw", ann.password)
    assert (cn.name, cn.password, cn.no_password) == ("cn", b"", True)
    assert bcrypt.checkpw(b"secret", root.password)
    assert not state.auth.enabled
    assert state.auth.revision == 8
    assert [member.is_learner for member in state.members].count(True) == 1
    assert isinstance(state.leases[0], LeaseRecord)


def test_etcd_to_us_to_etcd(launch: Launch, tmp_path: Path) -> None:
    """The file of a real etcd, read and written by us, restored: the same keys, the same leases."""
    etcd = launch().start()
    busy(etcd)
    ctl = etcd.ctl()
    ctl.ok("snapshot", "save", str(tmp_path / "db"))
    records, head = ctl.records(), ctl.revision()
    with read_etcd_db(tmp_path / "db") as db:
        file_of(tmp_path / "ours", db)
        theirs = ctl.status(tmp_path / "db")
        # From 3.5 on the file holds term and configuration as ours does; before, ours adds them.
        if db.state.applied_term:
            assert ctl.status(tmp_path / "ours")[:3] == theirs[:3]
        else:
            assert ctl.status(tmp_path / "ours")[1:3] == (theirs[1], theirs[2] + 1)
    again = launch()
    again.restore(tmp_path / "ours")
    ctl = again.start().ctl()
    assert ctl.records() == records
    assert ctl.revision() == head
