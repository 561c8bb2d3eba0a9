"""``kvorum serve`` as a process: exit codes, signals, and what a kill may not take away."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from grpclib.client import UnaryUnaryMethod
from grpclib.exceptions import GRPCError, StreamTerminatedError
from kvorum.http2.server import KvorumChannel
from kvorum.server.crash import Exit
from kvorum_proto.codec import Codec
from kvorum_proto.etcdserverpb import (
    PutRequest,
    PutResponse,
    RangeRequest,
    RangeResponse,
    StatusRequest,
    StatusResponse,
)
from support.ports import free_ports
from unit.server.members import PATIENCE_S

ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith("ETCD_")}


def serve(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a node that is expected to end by itself."""
    return subprocess.run(
        [sys.executable, "-m", "kvorum", "serve", *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env={**ENVIRONMENT, **environ},
        check=False,
    )


class Nodes:
    """Processes of one cluster; killed by pid in the end."""

    def __init__(self, directory: Path, size: int) -> None:
        ports = free_ports(2 * size)
        self.ports, self._peers = ports[:size], ports[size:]
        self._directory = directory
        self.processes: dict[int, subprocess.Popen[bytes]] = {}

    def log(self, number: int) -> Path:
        return self._directory / f"n{number}.log"

    def start(self, number: int) -> None:
        client = f"http://127.0.0.1:{self.ports[number]}"
        peer = f"http://127.0.0.1:{self._peers[number]}"
        cluster = ",".join(f"n{n}=http://127.0.0.1:{port}" for n, port in enumerate(self._peers))
        with self.log(number).open("ab") as output:
            self.processes[number] = subprocess.Popen(
                [
                    sys.executable, "-m", "kvorum", "serve",
                    f"--name=n{number}",
                    f"--data-dir={self._directory}/n{number}",
                    f"--listen-client-urls={client}",
                    f"--advertise-client-urls={client}",
                    f"--listen-peer-urls={peer}",
                    f"--initial-advertise-peer-urls={peer}",
                    f"--initial-cluster={cluster}",
                    "--heartbeat-interval=50",
                    "--election-timeout=500",
                    "--snapshot-count=50",
                ],
                stdout=output,
                stderr=output,
                env=ENVIRONMENT,
            )  # fmt: skip

    def kill(self, number: int, how: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal and wait for the end; returns the exit code."""
        process = self.processes.pop(number)
        process.send_signal(how)
        return process.wait(PATIENCE_S)

    def lines(self, number: int) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.log(number).read_text().splitlines()]

    def channel(self, number: int) -> KvorumChannel:
        return KvorumChannel("127.0.0.1", self.ports[number], codec=Codec())


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[list[Nodes]]:
    made: list[Nodes] = []
    yield made
    for each in made:
        for process in each.processes.values():
            process.kill()
            process.wait(PATIENCE_S)


async def status(channel: KvorumChannel) -> StatusResponse:
    method = UnaryUnaryMethod(
        channel, "/etcdserverpb.Maintenance/Status", StatusRequest, StatusResponse
    )
    return await method(StatusRequest())


async def put(channel: KvorumChannel, key: str) -> None:
    method = UnaryUnaryMethod(channel, "/etcdserverpb.KV/Put", PutRequest, PutResponse)
    await method(PutRequest(key=key.encode(), value=b"v"))


async def keys(channel: KvorumChannel) -> set[str]:
    method = UnaryUnaryMethod(channel, "/etcdserverpb.KV/Range", RangeRequest, RangeResponse)
    answer = await method(RangeRequest(key=b"\0", range_end=b"\0", keys_only=True))
    return {kv.key.decode() for kv in answer.kvs}


async def until_led(cluster: Nodes, *numbers: int) -> None:
    """Wait until these nodes answer and know a leader."""
    async with asyncio.timeout(PATIENCE_S):
        for number in numbers:
            while True:
                channel = cluster.channel(number)
                try:
                    async with asyncio.timeout(2):
                        if (await status(channel)).leader:
                            break
                except (OSError, TimeoutError, GRPCError, StreamTerminatedError):
                    pass
                finally:
                    channel.close()
                await asyncio.sleep(0.05)


def test_version_is_in_etcd_s_form() -> None:
    done = serve("--version")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "etcd Version: 3.5.30"
    assert [line.partition(":")[0] for line in lines] == [
        "etcd Version",
        "Git SHA",
        "Go Version",
        "Go OS/Arch",
    ]


def test_help_is_no_error() -> None:
    done = serve("--help")
    assert done.returncode == 0
    assert "--listen-client-urls" in done.stdout


def test_a_command_line_that_cannot_be_read_shows_usage_and_exits_2() -> None:
    done = serve("--nosuch")
    assert done.returncode == 2
    assert done.stderr.startswith("flag provided but not defined: -nosuch\nUsage:")


def test_a_contradiction_exits_1() -> None:
    done = serve("--heartbeat-interval", "0")
    assert done.returncode == 1
    assert "--heartbeat-interval must be >0 (set to 0ms)" in done.stderr
    done = serve("--name", "a", ETCD_NAME="a")
    assert done.returncode == 1
    assert "is shadowed by" in done.stderr


def test_a_log_that_is_damaged_is_named_and_not_lived_on_with(
    tmp_path: Path, nodes: list[Nodes]
) -> None:
    cluster = Nodes(tmp_path, 1)
    nodes.append(cluster)

    async def fill() -> None:
        await until_led(cluster, 0)
        channel = cluster.channel(0)
        for number in range(20):
            await put(channel, f"k{number}")
        channel.close()

    cluster.start(0)
    asyncio.run(fill())
    assert cluster.kill(0, signal.SIGTERM) == 0
    (segment,) = (tmp_path / "n0" / "member" / "wal").glob("*.wal")
    damaged = bytearray(segment.read_bytes())
    damaged[200] ^= 0x10
    segment.write_bytes(damaged)
    cluster.start(0)
    assert cluster.processes.pop(0).wait(PATIENCE_S) == Exit.BAD_DATA
    last = cluster.lines(0)[-1]
    assert last["level"] == "fatal"
    assert segment.name in str(last["msg"])
    assert segment.read_bytes() == damaged


def test_sigterm_stops_in_order_and_the_log_is_json(tmp_path: Path, nodes: list[Nodes]) -> None:
    cluster = Nodes(tmp_path, 1)
    nodes.append(cluster)
    cluster.start(0)
    asyncio.run(until_led(cluster, 0))
    assert cluster.kill(0, signal.SIGTERM) == 0
    lines = cluster.lines(0)
    assert all({"level", "ts", "caller", "msg"} <= line.keys() for line in lines)
    said = [line["msg"] for line in lines]
    assert said[-1] == "stopped"
    ready = said.index("ready to serve client requests")
    assert said.index("published local member to cluster through raft") < ready


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_when_all_are_killed(
    tmp_path: Path, nodes: list[Nodes]
) -> None:
    cluster = Nodes(tmp_path, 3)
    nodes.append(cluster)

    async def write(round_: int, acknowledged: set[str]) -> None:
        """Write until the nodes are killed under the writers."""

        async def writer(number: int) -> None:
            channel = cluster.channel(number % 3)
            try:
                for count in range(10_000):
                    key = f"{round_}-{number}-{count}"
                    await put(channel, key)
                    acknowledged.add(key)
            except (OSError, GRPCError, StreamTerminatedError):
                return
            finally:
                channel.close()

        await until_led(cluster, 0, 1, 2)
        before = len(acknowledged)
        writers = [asyncio.ensure_future(writer(number)) for number in range(12)]
        while len(acknowledged) < before + 150:
            await asyncio.sleep(0.01)
        for number in range(3):
            cluster.processes[number].send_signal(signal.SIGKILL)
        await asyncio.gather(*writers)

    async def read_back() -> set[str]:
        await until_led(cluster, 0, 1, 2)
        channel = cluster.channel(1)
        try:
            return await keys(channel)
        finally:
            channel.close()

    acknowledged: set[str] = set()
    for round_ in range(2):
        for number in range(3):
            cluster.start(number)
        asyncio.run(write(round_, acknowledged))
        for number in range(3):
            cluster.kill(number)
    for number in range(3):
        cluster.start(number)
    kept = asyncio.run(read_back())
    assert len(acknowledged) >= 300
    assert acknowledged <= kept
    for number in range(3):
        assert not [line for line in cluster.lines(number) if line["level"] == "fatal"]
