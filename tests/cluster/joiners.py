"""Nodes that join clusters: processes started from the environment that ``member add`` printed."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from kvorum.cluster.probe import Answer, ask_all
from kvorum.cluster.process import Process
from support.clusters import outside_loop, wait_until
from support.ports import free_ports

HEARTBEAT_MS, ELECTION_MS = 50, 500


def printed_environment(text: str) -> dict[str, str]:
    """The ``ETCD_...="..."`` lines of a text."""
    lines = [line for line in text.splitlines() if line.startswith("ETCD_")]
    return dict(shlex.split(line)[0].split("=", 1) for line in lines)


class Joiner:
    """One node with a directory and ports of its own. Ended by whoever made it."""

    def __init__(self, directory: Path, name: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.data = directory / "data"
        self.log_file = directory / "node.log"
        client, peer = free_ports(2)
        self.client_url = f"http://127.0.0.1:{client}"
        self.peer_url = f"http://127.0.0.1:{peer}"
        self.process: Process | None = None

    def start(self, told: Mapping[str, str], *flags: str) -> None:
        """Start it with these variables; what it says goes to its log."""
        argv = [
            *(sys.executable, "-P", "-m", "kvorum", "serve"),
            f"--data-dir={self.data}",
            f"--listen-client-urls={self.client_url}",
            f"--advertise-client-urls={self.client_url}",
            f"--listen-peer-urls={self.peer_url}",
            f"--heartbeat-interval={HEARTBEAT_MS}",
            f"--election-timeout={ELECTION_MS}",
            *flags,
        ]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ETCD")}
        self.process = Process.start(argv, {**kept, **told}, self.log_file)

    def found(self, name: str = "") -> dict[str, str]:
        """The variables of a cluster of this node alone."""
        return {
            "ETCD_NAME": name or self.name,
            "ETCD_INITIAL_CLUSTER": f"{name or self.name}={self.peer_url}",
            "ETCD_INITIAL_ADVERTISE_PEER_URLS": self.peer_url,
        }

    @property
    def log(self) -> str:
        """What it has said so far."""
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    def status(self) -> Answer | None:
        """What it says about itself; None when it does not answer."""
        return outside_loop(lambda: ask_all({self.name: self.client_url}))[self.name]

    def wait_ready(self) -> None:
        """Wait until it answers clients."""

        def ready() -> bool:
            assert self.process is not None and self.process.alive(), self.log
            answer = self.status()
            return answer is not None and answer.leader_id != 0

        wait_until(ready, f"{self.name} answers")

    def wait_ended(self) -> str:
        """Wait until its process is gone; how it ended."""
        process = self.process
        assert process is not None
        wait_until(lambda: not process.alive(), f"the end of {self.name}")
        return process.ending()

    def kill(self) -> None:
        """kill -9."""
        if self.process is not None:
            self.process.kill()
