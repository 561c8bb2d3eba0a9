"""Nodes to measure: kvorum and etcd with the same flags, and bare echoes for the floor below."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from kvorum.cli.bench_kernel import cpu_ns, memory

KVORUM, ETCD = "kvorum", "etcd"
PROGRAMS = (KVORUM, ETCD)
# Both default to 2 GiB, which five million revisions outgrow.
_QUOTA_BYTES = 16 * 1024**3
_START_S = 300.0
_LOOK_S = 0.005


class StartError(Exception):
    """A server did not come up; the text has the end of its log."""


def free_port() -> int:
    """A port of this machine that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


@dataclass
class Server:
    """One process with a directory, which it keeps."""

    program: str
    directory: Path
    command: list[str]
    port: int
    peer: int = 0
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self.process is not None
        return self.process.pid

    @property
    def log(self) -> Path:
        """What it has said."""
        return self.directory.with_suffix(".log")

    def start(self) -> None:
        """Start the process; it need not answer yet."""
        self.directory.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(self.command, stdout=out, stderr=out)

    def wait(self) -> None:
        """Until the client port takes connections. StartError if it does not."""
        assert self.process is not None
        end = time.monotonic() + _START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise StartError(self._last_words()) from None
                time.sleep(_LOOK_S)

    def _last_words(self) -> str:
        said = self.log.read_text(errors="replace").splitlines()[-12:]
        return f"{self.command[0]} in {self.directory} did not come up:\n" + "\n".join(said)

    def stop(self) -> None:
        """In order: SIGTERM, and the patience that a large state needs."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.kill()
        self.process = None

    def kill(self) -> None:
        """As a power cut would, but for the machine."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.process = None


class Group:
    """The servers of one cluster, measured together."""

    def __init__(self, servers: Sequence[Server]) -> None:
        self.servers = list(servers)
        self.leader = self.servers[0]

    @property
    def program(self) -> str:
        """Its name."""
        return self.leader.program

    @property
    def port(self) -> int:
        """The leader's client port."""
        return self.leader.port

    @property
    def pids(self) -> list[int]:
        """Of all of them."""
        return [server.pid for server in self.servers]

    def cpu_us(self) -> float:
        """What all of them have used so far."""
        return cpu_ns(self.pids) / 1_000

    def resident_mb(self) -> float:
        """Memory of all of them."""
        return sum(memory(pid).resident_mb for pid in self.pids)


def node(
    program: str,
    directory: Path,
    name: str = "n1",
    *,
    http2: str = "own",
    flags: Sequence[str] = (),
    cluster: str = "",
    state: str = "new",
    ports: tuple[int, int] | None = None,
) -> Server:
    """A member; ``cluster`` is its initial cluster if it is not alone."""
    port, peer = ports or (free_port(), free_port())
    whole = cluster or f"{name}=http://127.0.0.1:{peer}"
    command = [
        *([ETCD] if program == ETCD else [sys.executable, "-m", "kvorum", "serve"]),
        *("--name", name, "--data-dir", str(directory)),
        *("--listen-client-urls", f"http://127.0.0.1:{port}"),
        *("--advertise-client-urls", f"http://127.0.0.1:{port}"),
        *("--listen-peer-urls", f"http://127.0.0.1:{peer}"),
        *("--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}"),
        *("--initial-cluster", whole, "--initial-cluster-state", state),
        *("--quota-backend-bytes", str(_QUOTA_BYTES)),
        *(["--logger", "zap", "--log-level", "error"] if program == ETCD else ["--http2", http2]),
        *flags,
    ]
    return Server(program, directory, command, port, peer)


@contextmanager
def running(servers: Sequence[Server]) -> Iterator[Group]:
    """Start all, wait for all, stop all."""
    with ExitStack() as stack:
        for server in servers:
            stack.callback(server.stop)
            server.start()
        for server in servers:
            server.wait()
        yield Group(servers)


def cluster(program: str, directory: Path, size: int, *, http2: str = "own") -> list[Server]:
    """The members of a new cluster, not started."""
    ports = [(free_port(), free_port()) for _ in range(size)]
    names = [f"n{number + 1}" for number in range(size)]
    whole = ",".join(
        f"{name}=http://127.0.0.1:{peer}" for name, (_, peer) in zip(names, ports, strict=True)
    )
    return [
        node(program, directory / name, name, http2=http2, cluster=whole, ports=pair)
        for name, pair in zip(names, ports, strict=True)
    ]


def echo(kind: str, directory: Path) -> Server:
    """The least that a server on grpclib can be; see ``http2.py``."""
    port = free_port()
    script = Path(__file__).parent.parent / "http2.py"
    command = [sys.executable, str(script), "serve", kind, str(port)]
    return Server(f"echo {kind}", directory / f"echo-{kind}", command, port)


def missing() -> list[str]:
    """Programs that are wanted and not installed."""
    return [name for name in (ETCD, "h2load") if shutil.which(name) is None]


def room_bytes(directory: Path) -> int:
    """What is free where the data goes."""
    found = os.statvfs(directory)
    return found.f_bavail * found.f_frsize
