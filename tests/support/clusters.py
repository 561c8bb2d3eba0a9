"""Clusters of real processes for tests, through the same supervisor that ``kvorum up`` uses."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from kvorum.cluster.file import ClusterSpec, NodeSpec
from kvorum.cluster.process import log_tail
from kvorum.cluster.rundir import RunDir
from kvorum.cluster.supervisor import NodeView, Supervisor

T = TypeVar("T")

WAIT_S = 60.0  # A bound for conditions, far beyond what any of them takes on a slow machine.


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = WAIT_S) -> None:
    """Wait until ``condition()`` holds; fails with ``what`` after ``timeout_s``."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s:g} s: {what}")
        time.sleep(0.05)


def outside_loop(deed: Callable[[], T]) -> T:
    """Do something that brings its own event loop; from a coroutine, in a thread of its own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return deed()
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(deed).result()


class ClusterHandle:
    """A running cluster, with the deeds tests need. Names are ``n1``, ``n2``, ..."""

    def __init__(self, spec: ClusterSpec, directory: Path) -> None:
        self.spec = spec
        self.said: list[str] = []
        self.supervisor = Supervisor(spec, RunDir(directory), self.said.append)

    def start(self, timeout_s: float = WAIT_S) -> ClusterHandle:
        """Start every node; returns when all answer and name one leader."""
        outside_loop(lambda: self.supervisor.start(timeout_s))
        return self

    @property
    def names(self) -> list[str]:
        """The names of all nodes."""
        return [node.name for node in self.spec.nodes]

    @property
    def endpoints(self) -> list[str]:
        """The client URLs of all nodes (``http://127.0.0.1:port``), in the order of their names."""
        return self.supervisor.endpoints()

    def endpoint(self, name: str) -> str:
        """The client URL of one node."""
        return self.view(name).client_url

    def view(self, name: str) -> NodeView:
        """The process of one node: pid, state, URLs, log, data directory."""
        return next(view for view in self.supervisor.nodes() if view.name == name)

    def log(self, name: str) -> str:
        """What one node has printed so far."""
        return self.view(name).log.read_text(encoding="utf-8", errors="replace")

    def leader(self, other_than: str | None = None, timeout_s: float = WAIT_S) -> str:
        """Wait until a leader is known (another one than ``other_than``); returns its name."""
        found: list[str] = []

        def look() -> bool:
            name = outside_loop(self.supervisor.leader)
            alive = name is not None and self.view(name).state == "running"
            if alive and name is not None and name != other_than:
                found.append(name)
            return bool(found)

        wait_until(
            look, f"a leader other than {other_than}" if other_than else "a leader", timeout_s
        )
        return found[0]

    def followers(self) -> list[str]:
        """The names of the nodes that do not lead now."""
        leader = self.leader()
        return [name for name in self.names if name != leader]

    def kill9(self, *names: str) -> None:
        """kill -9 these nodes (all, without names); returns when they are gone."""
        for name in names or self.names:
            self.supervisor.kill(name)

    def pause(self, name: str) -> None:
        """SIGSTOP."""
        self.supervisor.pause(name)

    def resume(self, name: str) -> None:
        """SIGCONT."""
        self.supervisor.resume(name)

    def restart(self, *names: str, wait: bool = True) -> None:
        """Start these nodes again on their own data; with ``wait``, until all nodes agree on a
        leader.
        """
        for name in names or self.names:
            self.supervisor.restart(name)
        if wait:
            self.wait_ready()

    def wait_ready(self, timeout_s: float = WAIT_S) -> str:
        """Wait until every node answers and all name one leader; returns its name."""
        return outside_loop(lambda: self.supervisor.wait_ready(timeout_s))

    def stop(self) -> None:
        """Stop all nodes in order (SIGTERM) and give the run directory back."""
        outside_loop(self.supervisor.stop)

    def end(self) -> None:
        """kill -9 whatever still runs, by pid, and give the run directory back."""
        for view in self.supervisor.nodes():
            self.supervisor.kill(view.name)
        self.supervisor.leave()

    def last_words(self) -> str:
        """The ends of all logs, for the report of a failed test."""
        parts = []
        for view in self.supervisor.nodes():
            parts.append(f"--- {view.name} ({view.state}, pid {view.pid}) {view.ending}")
            parts.extend(log_tail(view.log, 30))
        return "\n".join(parts)


def make_spec(
    directory: Path,
    nodes: int = 3,
    *,
    program: str = "kvorum",
    flags: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    faults: bool = False,
    heartbeat_ms: int = 100,
    election_ms: int = 1000,
    keys: Path | None = None,
    restart: str = "never",
) -> ClusterSpec:
    """A cluster file's value without the file.

    ``KVORUM_TEST_HTTP2`` chooses what speaks HTTP/2 in nodes of ours.
    """
    kind = os.environ.get("KVORUM_TEST_HTTP2")
    if kind and program == "kvorum":
        flags = (*flags, f"--http2={kind}")
    return ClusterSpec(
        path=directory / "cluster.toml",
        name="test",
        nodes=tuple(NodeSpec(f"n{i + 1}") for i in range(nodes)),
        program=program,
        heartbeat_ms=heartbeat_ms,
        election_ms=election_ms,
        faults=faults,
        restart=restart,
        keys=keys,
        flags=tuple(flags),
        env=dict(env or {}),
    )
