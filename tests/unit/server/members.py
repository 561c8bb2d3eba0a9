"""Members of real clusters within one event loop, on real disks and ports, for tests."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from kvorum import config
from kvorum.api.registry import client_services
from kvorum.config import NodeConfig
from kvorum.machine.commands import Put, Range
from kvorum.server.crash import Crash
from kvorum.server.member import Member
from kvorum.server.runtime import Node
from support.ports import free_ports

PATIENCE_S = 60.0


class Cluster:
    """Members n0, n1, ...; each may be stopped, crashed and started again on its directory."""

    def __init__(self, directory: Path, size: int, **changes: Any) -> None:
        ports = free_ports(2 * size)
        self.client_ports, self._peer_ports = ports[:size], ports[size:]
        self.crashes: list[BaseException] = []
        self._directory = directory
        self._changes = changes
        self.members: list[Member | None] = [None] * size
        self._serving: list[asyncio.Future[None] | None] = [None] * size

    def config(self, number: int) -> NodeConfig:
        """What member ``number`` is told: ticks of 50 ms, elections after 500; a lone one, which no
        other can be too late for, leads sooner.
        """
        tick_ms = 10 if len(self.members) == 1 else 50
        client = f"http://127.0.0.1:{self.client_ports[number]}"
        peer = f"http://127.0.0.1:{self._peer_ports[number]}"
        cluster = ",".join(
            f"n{n}=http://127.0.0.1:{port}" for n, port in enumerate(self._peer_ports)
        )
        loaded = config.load(
            [
                f"--name=n{number}",
                f"--data-dir={self._directory}/n{number}",
                f"--listen-client-urls={client}",
                f"--advertise-client-urls={client}",
                f"--listen-peer-urls={peer}",
                f"--initial-advertise-peer-urls={peer}",
                f"--initial-cluster={cluster}",
                f"--heartbeat-interval={tick_ms}",
                f"--election-timeout={10 * tick_ms}",
                "--enable-faults",
            ],
            {},
        )
        assert isinstance(loaded, NodeConfig)
        return dataclasses.replace(loaded, **self._changes)

    async def start(self, *numbers: int) -> None:
        """Start members (all, unless named) without waiting for a quorum."""
        for number in numbers or range(len(self.members)):
            crash = Crash(lambda error, code: self.crashes.append(error))
            member = Member(self.config(number), client_services, crash)
            member.bind()
            await member.start()
            self.members[number] = member
            self._serving[number] = asyncio.ensure_future(member.serve())

    async def ready(self, *numbers: int) -> None:
        """Wait until members (all, unless named) answer clients."""
        for number in numbers or range(len(self.members)):
            await self.member(number).wait_ready()

    def member(self, number: int) -> Member:
        """A running member."""
        member = self.members[number]
        assert member is not None, f"n{number} does not run"
        return member

    def node(self, number: int) -> Node:
        """A running member's node."""
        return self.member(number).node

    async def stop(self, number: int) -> None:
        """Stop one member in order."""
        member, serving = self.member(number), self._serving[number]
        assert serving is not None
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await member.stop()
        self.members[number] = None

    async def stop_all(self) -> None:
        """Stop what runs."""
        await asyncio.gather(
            *(self.stop(n) for n, member in enumerate(self.members) if member is not None)
        )

    def running(self) -> list[Node]:
        """The nodes that run."""
        return [member.node for member in self.members if member is not None]

    async def leader(self) -> int:
        """Number of the member that leads and that the running ones agree on."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                nodes = self.running()
                named = {node.leader for node in nodes}
                if len(named) == 1 and named != {0}:
                    (id_,) = named
                    for number, member in enumerate(self.members):
                        if member is not None and member.node.member_id == id_:
                            return number
                await next_change(nodes)

    async def applied_everywhere(self) -> None:
        """Wait until all running members have applied the same."""
        async with asyncio.timeout(PATIENCE_S):
            while len({node.machine.applied_index for node in self.running()}) > 1:
                await asyncio.sleep(0.01)


async def next_change(nodes: list[Node]) -> None:
    """Wait for a change of role at any of the nodes, or a moment."""
    changed = asyncio.Event()
    leave = [node.on_role_change(lambda *what: changed.set()) for node in nodes]
    try:
        async with asyncio.timeout(0.2):
            await changed.wait()
    except TimeoutError:
        pass
    finally:
        for stop in leave:
            stop()


@asynccontextmanager
async def cluster(directory: Path, size: int, **changes: Any) -> AsyncIterator[Cluster]:
    """A started cluster; what still runs in the end is stopped, and nothing may have crashed."""
    made = Cluster(directory, size, **changes)
    try:
        await made.start()
        async with asyncio.timeout(PATIENCE_S):
            await made.ready()
        yield made
    finally:
        await made.stop_all()
    assert made.crashes == []


def with_cluster(
    directory: Path, size: int, test: Callable[[Cluster], Awaitable[None]], **changes: Any
) -> None:
    """Run a test on a cluster."""

    async def run() -> None:
        async with cluster(directory, size, **changes) as made, asyncio.timeout(PATIENCE_S):
            await test(made)

    asyncio.run(run())


async def put(node: Node, key: str, value: str) -> int:
    """Write a key; returns its revision."""
    return (await node.propose(Put(key.encode(), value.encode()))).stamp.revision


async def get(node: Node, key: str, linearizable: bool = True, revision: int = 0) -> str | None:
    """Read a key."""
    query = Range(key.encode(), revision=revision)
    result: Any = (await node.read(query, linearizable=linearizable)).value
    return result.records[0].value.decode() if result.frames else None
