"""etcdctl's lock, elect, lease, make-mirror and check on kvorum and on real etcd: the same answers.

``KVORUM_LONG=1`` runs ``etcdctl check perf`` too, which takes a minute of its own.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
from compat.etcdctl import Etcdctl
from support.clusters import ClusterHandle, make_spec, wait_until
from support.programs import need_program

PATIENCE_S = 30.0


@pytest.fixture(scope="module")
def kvorum(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcdctl]:
    """etcdctl on three kvorum nodes."""
    directory = tmp_path_factory.mktemp("kvorum")
    cluster = ClusterHandle(make_spec(directory, 3), directory).start()
    yield Etcdctl(cluster.endpoints)
    cluster.end()


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcdctl]:
    """etcdctl on a real etcd."""
    directory = tmp_path_factory.mktemp("etcd")
    spec = make_spec(directory, 1, program=need_program("etcd"))
    cluster = ClusterHandle(spec, directory).start()
    yield Etcdctl(cluster.endpoints)
    cluster.end()


class Running:
    """An etcdctl that goes on, its output in a file."""

    def __init__(self, ctl: Etcdctl, out: Path, *words: str) -> None:
        self._out = out
        self._sink: IO[bytes] = out.open("wb")
        self._process = subprocess.Popen(
            ctl.argv(*words), env=ctl.env, stdout=self._sink, stderr=subprocess.STDOUT
        )

    @property
    def lines(self) -> list[str]:
        """What it has said so far, in whole lines."""
        return self._out.read_text().rpartition("\n")[0].splitlines()

    def says(self, count: int) -> list[str]:
        """Its first lines, waited for."""
        wait_until(lambda: len(self.lines) >= count, f"{count} lines", PATIENCE_S)
        return self.lines[:count]

    def interrupt(self) -> int:
        """Ctrl-C; the exit code."""
        self._process.send_signal(signal.SIGINT)
        return self.end()

    def end(self) -> int:
        """The exit code of one that ends by itself."""
        try:
            return self._process.wait(PATIENCE_S)
        finally:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait(PATIENCE_S)
            self._sink.close()


def key_count(ctl: Etcdctl, prefix: str) -> int:
    """Keys with a prefix."""
    return int(ctl.json("get", prefix, "--prefix", "--keys-only").get("count", 0))


def without_lease(line: str) -> str:
    """A key of a lock or an election, whose last part is a lease's id."""
    return re.sub(r"[0-9a-f]{12,16}", "LEASE", line)


def locking(ctl: Etcdctl, room: Path) -> list[object]:
    """What lock says: alone, with a command, behind another, and to one who gives up."""
    said: list[object] = []
    env = "echo $ETCD_LOCK_KEY; test $ETCD_LOCK_REV -gt 1"
    said.append(without_lease(ctl.ok("lock", "with-command", "--", "sh", "-c", env)))
    done = ctl.run("lock", "with-command", "--", "sh", "-c", "exit 7")
    said.append((done.code != 0, done.out))
    holder = Running(ctl, room / "holder", "lock", "queue")
    said.append([without_lease(line) for line in holder.says(1)])
    gives_up = Running(ctl, room / "gives-up", "lock", "queue")
    wait_until(lambda: key_count(ctl, "queue/") == 2, "a second key")
    waits = Running(ctl, room / "waits", "lock", "queue", "echo", "mine")
    wait_until(lambda: key_count(ctl, "queue/") == 3, "a third key")
    gives_up.interrupt()
    wait_until(lambda: key_count(ctl, "queue/") == 2, "a key gone")
    assert waits.lines == []
    said.append(holder.interrupt())
    said.append((waits.end(), waits.lines))
    wait_until(lambda: key_count(ctl, "queue/") == 0, "no key left")
    return said


def test_lock(kvorum: Etcdctl, etcd: Etcdctl, tmp_path: Path) -> None:
    rooms = [tmp_path / name for name in ("kvorum", "etcd")]
    for room in rooms:
        room.mkdir()
    assert locking(kvorum, rooms[0]) == locking(etcd, rooms[1])


def electing(ctl: Etcdctl, room: Path) -> list[object]:
    """What elect says to candidates and to those who listen."""
    said: list[object] = []
    listener = Running(ctl, room / "listener", "elect", "-l", "office")
    first = Running(ctl, room / "first", "elect", "office", "alice")
    said.append([without_lease(line) for line in first.says(2)])
    said.append([without_lease(line) for line in listener.says(2)])
    second = Running(ctl, room / "second", "elect", "office", "bob")
    wait_until(lambda: key_count(ctl, "office/") == 2, "a second candidate")
    assert second.lines == []
    said.append(first.interrupt())
    said.append([without_lease(line) for line in second.says(2)])
    said.append([without_lease(line) for line in listener.says(4)])
    said += [second.interrupt(), listener.interrupt()]
    wait_until(lambda: key_count(ctl, "office/") == 0, "no candidate left")
    return said


def test_elect(kvorum: Etcdctl, etcd: Etcdctl, tmp_path: Path) -> None:
    rooms = [tmp_path / name for name in ("kvorum", "etcd")]
    for room in rooms:
        room.mkdir()
    assert electing(kvorum, rooms[0]) == electing(etcd, rooms[1])


def leasing(ctl: Etcdctl, room: Path) -> list[object]:
    """What the lease commands say."""
    said: list[object] = []
    granted = ctl.ok("lease", "grant", "300")
    lease = granted.split()[1]
    ctl.ok("put", "leased/b", "1", f"--lease={lease}")
    ctl.ok("put", "leased/a", "1", f"--lease={lease}")
    said.append(granted)
    kept = ctl.ok("lease", "timetolive", lease, "--keys")
    # The order of keys is nobody's promise.
    keys = sorted(re.findall(r"leased/.", kept))
    said.append((re.sub(r"remaining\(\d+s\).*", "", kept), keys))
    # Sessions of commands that were interrupted have leases, too, for a while.
    said.append(lease in ctl.ok("lease", "list").splitlines())
    said.append(ctl.ok("lease", "keep-alive", "--once", lease))
    short = ctl.ok("lease", "grant", "1")  # Raised to the least a lease may have.
    said.append(short)
    keeping = Running(ctl, room / "keeping", "lease", "keep-alive", short.split()[1])
    said.append(keeping.says(3))
    said.append(ctl.ok("lease", "revoke", short.split()[1]))
    said.append(keeping.end())
    said.append(keeping.lines[-1])
    said.append(ctl.ok("lease", "revoke", lease))
    said.append(key_count(ctl, "leased/"))
    for words in (("timetolive", lease), ("timetolive", lease, "--keys"), ("revoke", lease)):
        done = ctl.run("lease", *words)
        said.append((done.code, done.out, re.sub(r".*(Error: )", r"\1", done.err, flags=re.S)))
    done = ctl.run("lease", "keep-alive", lease)
    said.append((done.code, done.out))
    return [_plain(each, lease, short.split()[1]) for each in said]


def _plain(said: object, lease: str, short: str) -> str:
    return str(said).replace(lease, "LEASE").replace(short, "SHORT")


def test_lease(kvorum: Etcdctl, etcd: Etcdctl, tmp_path: Path) -> None:
    rooms = [tmp_path / name for name in ("kvorum", "etcd")]
    for room in rooms:
        room.mkdir()
    assert leasing(kvorum, rooms[0]) == leasing(etcd, rooms[1])


def test_make_mirror_both_ways(kvorum: Etcdctl, etcd: Etcdctl, tmp_path: Path) -> None:
    for name, source, target in (("out", kvorum, etcd), ("in", etcd, kvorum)):
        prefix = f"mirror-{name}/"
        source.ok("put", prefix + "before", "1")
        words = (f"--prefix={prefix}", "--dest-prefix=copy/", target.endpoints[0])
        mirroring = Running(source, tmp_path / name, "make-mirror", *words)
        try:
            wait_until(lambda t=target: key_count(t, "copy/") == 1, "the first key's copy")
            source.ok("put", prefix + "live", "2")
            wait_until(lambda t=target: key_count(t, "copy/") == 2, "the second key's copy")
            source.ok("del", prefix + "before")
            wait_until(lambda t=target: key_count(t, "copy/") == 1, "the first copy's end")
        finally:
            mirroring.interrupt()
        assert target.ok("get", "copy/", "--prefix") == "copy/live\n2\n"
        target.ok("del", "copy/", "--prefix")


@pytest.mark.skipif(
    os.environ.get("KVORUM_LONG") != "1", reason="takes a minute: KVORUM_LONG=1 runs it"
)
def test_check_perf_runs_to_its_end(kvorum: Etcdctl) -> None:
    done = subprocess.run(
        kvorum.argv("check", "perf", "--load=s"),
        env=kvorum.env,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    # Whether this machine is fast enough is not the question; that every write is answered is.
    assert "Throughput is" in done.stdout and "error" not in done.stdout.lower()
    assert key_count(kvorum, "/etcdctl-check-perf/") == 0
