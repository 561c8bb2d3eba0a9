"""One run directory: whose it is, which ports it uses for good, which processes it has, what
was loaded.

Layout::

    run.json          format, cluster name, program, token, ports of each node, whether keys are
                      loaded
    supervisor.lock   held (flock) by the one supervisor that works here; holds its pid
    certs/            authority and certificates, where there is TLS
    <node>/pid.json   pid, start time and command line of the node's process
    <node>/node.log   what the node printed
    <node>/log.from   where in it the newest start begins
    <node>/data/      the node's data directory (unless the cluster file puts it elsewhere)

Ports are chosen once and kept: a member's peer address is part of the cluster's own data, so
the same data can only start again on the same ports.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from kvorum.cluster.file import CERTIFICATES, ClusterSpec, NodeSpec
from kvorum.cluster.process import Identity, Process, log_says
from kvorum.errors import ConfigError
from kvorum.files import replace_file

HOST = "127.0.0.1"
FORMAT = 1
# What etcd and our own node say when they end by themselves: another start would end the same way.
FAREWELL = "data-dir used by this member must be removed"
# Below the range from which systems take ports for outgoing connections (Linux: from 32768), so
# that a port that was free yesterday is not somebody's connection today.
PORTS_FROM, PORTS_TO = 20_000, 32_000
PORT_TRIES = 200


class ClusterError(RuntimeError):
    """Something about a running cluster: the text names the node or the file and says what to
    do.
    """


@dataclass(frozen=True)
class NodePorts:
    """The ports of one node, on the loopback address."""

    client: int
    peer: int


@dataclass(frozen=True)
class RunState:
    """What ``run.json`` holds. ``data_dir`` is empty when data lies in the run directory."""

    cluster: str
    program: str
    token: str
    ports: dict[str, NodePorts]
    data_dir: str
    keys_loaded: bool = False
    # Which connections are over TLS, in words; peers' URLs are part of the cluster's own data.
    tls: str = ""
    auth_on: bool = False

    def dumps(self) -> str:
        """As the text of ``run.json``."""
        ports = {n: {"client_port": p.client, "peer_port": p.peer} for n, p in self.ports.items()}
        return json.dumps(
            {
                "format": FORMAT,
                "cluster": self.cluster,
                "program": self.program,
                "token": self.token,
                "data_dir": self.data_dir,
                "keys_loaded": self.keys_loaded,
                "tls": self.tls,
                "auth_on": self.auth_on,
                "nodes": ports,
            },
            indent=2,
        )

    @classmethod
    def loads(cls, table: dict[str, Any]) -> RunState:
        """From a parsed ``run.json``; KeyError, TypeError or ValueError when it is not one."""
        if table["format"] != FORMAT:
            raise ValueError(f"format {table['format']!r}")
        ports = {
            str(n): NodePorts(int(p["client_port"]), int(p["peer_port"]))
            for n, p in table["nodes"].items()
        }
        return cls(
            str(table["cluster"]),
            str(table["program"]),
            str(table["token"]),
            ports,
            str(table["data_dir"]),
            bool(table["keys_loaded"]),
            str(table.get("tls", "")),
            bool(table.get("auth_on", False)),
        )


class RunDir:
    """A run directory on disk. Everything that changes it wants the lock (:meth:`acquire`)."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: IO[str] | None = None

    # --- the lock -------------------------------------------------------------------------------

    def acquire(self) -> None:
        """Become the supervisor of this directory; ClusterError when another one is."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (self.path / "supervisor.lock").open("a+", encoding="ascii")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            holder = lock.read(32).strip() or "unknown"
            lock.close()
            raise ClusterError(
                f"{self.path} is already run by another supervisor (pid {holder});"
                " stop it there, or choose another directory with --dir"
            ) from error
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        self._lock = lock

    def release(self) -> None:
        """Give the directory back."""
        if self._lock is not None:
            self._lock.truncate(0)
            self._lock.close()
            self._lock = None

    # --- the state ------------------------------------------------------------------------------

    def state(self) -> RunState | None:
        """What ``run.json`` says; None on a directory that never ran."""
        path = self.path / "run.json"
        try:
            return RunState.loads(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ClusterError(
                f"{path} cannot be read ({error}); start with --fresh to give up the data there"
            ) from error

    def write_state(self, state: RunState) -> None:
        """Replace ``run.json``, whole or not at all."""
        replace_file(self.path / "run.json", state.dumps() + "\n", durable=True)

    def prepare(self, spec: ClusterSpec) -> RunState:
        """The state to run ``spec`` with: the kept one if it fits, else a first one with new ports.

        Raises ConfigError when the directory holds the data of a cluster of another shape.
        """
        state = self.state()
        if state is None:
            state = self._first_state(spec)
            self.write_state(state)
        self._check_fits(spec, state)
        for node in spec.nodes:
            self.node_dir(node.name).mkdir(exist_ok=True, mode=0o700)
        return state

    def _first_state(self, spec: ClusterSpec) -> RunState:
        taken = {p for n in spec.nodes for p in (n.client_port, n.peer_port) if p}
        ports = {}
        for node in spec.nodes:
            client = node.client_port or free_port(taken)
            peer = node.peer_port or free_port(taken)
            ports[node.name] = NodePorts(client, peer)
        token = f"{spec.name}-{random.SystemRandom().getrandbits(32):08x}"
        data_dir = str(spec.data_dir or "")
        return RunState(spec.name, spec.program, token, ports, data_dir, tls=spec.tls.words)

    def _check_fits(self, spec: ClusterSpec, state: RunState) -> None:
        def clash(key: str, has: object, wants: object) -> ConfigError:
            return ConfigError(
                f"{spec.path}: {key}: is {wants}, but the data in {self.path} was made with {has};"
                " choose another directory with --dir, or give up that data with --fresh"
            )

        if state.program != spec.program:
            raise clash("program", state.program, spec.program)
        if state.tls != spec.tls.words:
            raise clash("tls", state.tls or "none", spec.tls.words or "none")
        if list(state.ports) != [n.name for n in spec.nodes]:
            raise clash("node", ", ".join(state.ports), ", ".join(n.name for n in spec.nodes))
        if state.data_dir != str(spec.data_dir or ""):
            raise clash("data_dir", state.data_dir or "none", spec.data_dir or "none")
        for index, node in enumerate(spec.nodes):
            has = state.ports[node.name]
            for key, kept, wanted in (
                ("client_port", has.client, node.client_port),
                ("peer_port", has.peer, node.peer_port),
            ):
                if wanted not in (None, kept):
                    raise clash(f"node[{index}].{key}", kept, wanted)

    def forget(self, spec: ClusterSpec) -> None:
        """Delete what earlier runs left: ports, logs, data. Touches only what a run made itself.

        Data that the cluster file puts elsewhere is deleted from the place written down at the
        first start, not from whatever place the file names now.
        """
        state = self.state() if (self.path / "run.json").exists() else None
        for name in sorted({*(state.ports if state else ()), *(n.name for n in spec.nodes)}):
            folder = self.node_dir(name)
            if (folder / "pid.json").exists() or (folder / "node.log").exists():
                shutil.rmtree(folder)
            if state and state.data_dir and name in state.ports:
                data = Path(state.data_dir) / name
                if data.exists():
                    shutil.rmtree(data)
        if state and state.tls and self.certs_dir.exists():
            shutil.rmtree(self.certs_dir)
        (self.path / "run.json").unlink(missing_ok=True)

    @property
    def certs_dir(self) -> Path:
        """The folder of the cluster's certificates."""
        return self.path / CERTIFICATES

    # --- one node's folder ----------------------------------------------------------------------

    def node_dir(self, name: str) -> Path:
        """The folder of node ``name``."""
        return self.path / name

    def log(self, name: str) -> Path:
        """The log file of node ``name``."""
        return self.node_dir(name) / "node.log"

    def note_start(self, name: str) -> None:
        """Node ``name`` is about to be started: what its log says from here on is about this life
        of it.
        """
        log = self.log(name)
        size = log.stat().st_size if log.exists() else 0
        replace_file(self.node_dir(name) / "log.from", f"{size}\n", durable=True)

    def log_since(self, name: str) -> int:
        """Where in node ``name``'s log its newest start begins, in bytes."""
        try:
            return int((self.node_dir(name) / "log.from").read_text(encoding="ascii"))
        except (FileNotFoundError, ValueError):
            return 0

    def was_removed(self, spec: ClusterSpec, node: NodeSpec) -> bool:
        """Whether the node ended because it is no member of the cluster any more; its data are of
        no use then. A data directory that somebody deleted is a new beginning.
        """
        since = self.log_since(node.name)
        data = self.data_dir(spec, node)
        return (data / "member").exists() and log_says(self.log(node.name), FAREWELL, since)

    def data_dir(self, spec: ClusterSpec, node: NodeSpec) -> Path:
        """The data directory of a node."""
        if spec.data_dir is not None:
            return spec.data_dir / node.name
        return self.node_dir(node.name) / "data"

    def identity(self, name: str) -> Identity | None:
        """The process of node ``name`` as its pid file has it; None without one."""
        try:
            text = (self.node_dir(name) / "pid.json").read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        return Identity.loads(text)

    def leftovers(self) -> dict[str, Process]:
        """Every process that an earlier run left running here, whatever the cluster file says
        now.
        """
        found = {}
        for path in sorted(self.path.glob("*/pid.json")):
            identity = self.identity(path.parent.name)
            process = Process.adopt(identity) if identity else None
            if process is not None:
                found[path.parent.name] = process
        return found

    def write_identity(self, name: str, identity: Identity) -> None:
        """Write the pid file of node ``name``."""
        replace_file(self.node_dir(name) / "pid.json", identity.dumps(), durable=True)


def port_is_free(port: int) -> bool:
    """Whether a server could listen on ``port`` of the loopback address now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port(taken: set[int]) -> int:
    """A free loopback port outside ``taken``, which it joins. Raises ClusterError when none is
    found.
    """
    choice = random.SystemRandom()
    for _ in range(PORT_TRIES):
        port = choice.randrange(PORTS_FROM, PORTS_TO)
        if port not in taken and port_is_free(port):
            taken.add(port)
            return port
    raise ClusterError(f"no free port between {PORTS_FROM} and {PORTS_TO} on {HOST}")
