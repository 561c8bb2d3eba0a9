"""Debian's etcdctl against ``kvorum up three``: everything an operator's first hour needs."""

from __future__ import annotations

import json
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Self

import pytest
from compat.etcdctl import Etcdctl
from support.clusters import wait_until


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcdctl]:
    """``kvorum up three`` in a folder of its own, stopped by SIGINT as a person would."""
    folder = tmp_path_factory.mktemp("three")
    log = (folder / "up.err").open("w")
    up = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "kvorum",
            "up",
            "three",
            "--dir",
            str(folder / "run"),
            "-w",
            "json",
        ],
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )
    try:
        assert up.stdout is not None
        ready = up.stdout.readline()
        assert ready, (folder / "up.err").read_text()
        yield Etcdctl(json.loads(ready)["endpoints"])
    finally:
        up.send_signal(signal.SIGINT)
        code = up.wait(timeout=60)
        log.close()
    assert code == 0, (folder / "up.err").read_text()


class Talking:
    """An etcdctl that goes on talking; its lines, each waited for within a bound."""

    def __init__(self, ctl: Etcdctl, *words: str) -> None:
        self._process = subprocess.Popen(
            ctl.argv(*words), env=ctl.env, stdout=subprocess.PIPE, text=True
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line.rstrip("\n"))

    def __enter__(self) -> Self:
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(timeout=20)
        finally:
            self._process.kill()
            self._process.wait()
            self._reader.join()

    def lines(self, count: int) -> list[str]:
        """The next lines; queue.Empty when one does not come."""
        return [self._lines.get(timeout=20) for _ in range(count)]


def test_sample_keys_are_there(three: Etcdctl) -> None:
    found = three.json("get", "", "--prefix", "--keys-only")
    assert found["count"] >= 500
    assert len(found["kvs"]) == found["count"]


def test_members_and_status_as_tables(three: Etcdctl) -> None:
    members = three.ok("member", "list", "-w", "table")
    assert members.count("started") == 3
    status = three.ok("endpoint", "status", "--cluster", "-w", "table")
    assert len(re.findall(r"\|\s+true \|", status)) == 1, status
    assert status.count("http://") == 3
    health = three.ok("endpoint", "health", "--cluster", "-w", "table")
    assert health.count(" true ") == 3, health


def test_hashes_agree(three: Etcdctl) -> None:
    revision = three.json("get", "a")["header"]["revision"]
    hashes = three.json("endpoint", "hashkv", "--cluster", "--rev", str(revision))
    assert len(hashes) == 3
    assert len({each["HashKV"]["hash"] for each in hashes}) == 1, hashes


def test_watch_from_an_old_revision(three: Etcdctl) -> None:
    start = three.json("put", "w/a", "1")["header"]["revision"]
    three.ok("put", "w/a", "2")
    three.ok("put", "w/b", "x")
    three.ok("del", "w/a")
    words = ("watch", "w/", "--prefix", "--rev", str(start), "--prev-kv")
    with Talking(three, *words) as watching:
        assert watching.lines(3) == ["PUT", "w/a", "1"]
        assert watching.lines(5) == ["PUT", "w/a", "1", "w/a", "2"]
        assert watching.lines(3) == ["PUT", "w/b", "x"]
        assert watching.lines(5) == ["DELETE", "w/a", "2", "w/a", ""]
        three.ok("put", "w/live", "now")
        assert watching.lines(3) == ["PUT", "w/live", "now"]


def test_leases(three: Etcdctl) -> None:
    granted = three.ok("lease", "grant", "300")
    lease = granted.split()[1]
    three.ok("put", "leased/1", "x", f"--lease={lease}")
    left = three.ok("lease", "timetolive", lease, "--keys")
    assert "granted with TTL(300s)" in left and "leased/1" in left
    assert lease in three.ok("lease", "list")
    assert "TTL(300)" in three.ok("lease", "keep-alive", "--once", lease)
    three.ok("lease", "revoke", lease)
    assert three.ok("get", "leased/1") == ""
    assert lease not in three.ok("lease", "list")


def test_a_lease_runs_out(three: Etcdctl) -> None:
    lease = three.ok("lease", "grant", "2").split()[1]
    three.ok("put", "short/1", "x", f"--lease={lease}")
    wait_until(lambda: three.ok("get", "short/1") == "", "the lease's key is gone")
    assert "already expired" in three.ok("lease", "timetolive", lease)


def leader_of(ctl: Etcdctl) -> tuple[str, str]:
    """The leader's endpoint and the id of some other member, in hexadecimal."""
    status = json.loads(ctl.ok("endpoint", "status", "-w", "json"))
    leader = status[0]["Status"]["leader"]
    endpoint = next(
        each["Endpoint"] for each in status if each["Status"]["header"]["member_id"] == leader
    )
    others = [each["Status"]["header"]["member_id"] for each in status]
    other = next(member for member in others if member != leader)
    return endpoint, f"{other:x}"


def test_move_leader(three: Etcdctl) -> None:
    _, other = leader_of(three)
    assert f"to {other}" in three.ok("move-leader", other)
    status = json.loads(three.ok("endpoint", "status", "-w", "json"))
    assert {f"{each['Status']['leader']:x}" for each in status} == {other}
    refused = three.run("move-leader", "1234")
    assert "bad leader transferee" in refused.err


def test_locks_and_elections_of_etcdctl(three: Etcdctl) -> None:
    assert "held" in three.ok("lock", "mylock", "echo", "held")
    with Talking(three, "elect", "campaign", "me") as electing:
        assert electing.lines(2)[0].startswith("campaign/")


def test_compaction(three: Etcdctl) -> None:
    revision = three.json("put", "c", "1")["header"]["revision"]
    three.ok("put", "c", "2")
    assert three.ok("compaction", str(revision + 1)) == f"compacted revision {revision + 1}\n"
    gone = three.run("get", "c", "--rev", str(revision))
    assert "required revision has been compacted" in gone.err
    watching = three.run("watch", "c", "--rev", str(revision))
    assert "required revision has been compacted" in watching.err + watching.out
