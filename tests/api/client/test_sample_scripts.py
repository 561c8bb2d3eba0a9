"""The sample scripts, run as a user runs them."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from kvorum.client import Client
from support.clusters import ClusterHandle

SCRIPTS = Path(__file__).parents[3] / "sample_clusters" / "scripts"
Live = Callable[..., None]


@asynccontextmanager
async def script(cluster: ClusterHandle, name: str, *args: str) -> AsyncIterator[Running]:
    """A script that runs until the block is left."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(SCRIPTS / f"{name}.py"),
        *args,
        "--endpoints",
        ",".join(cluster.endpoints),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield Running(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


class Running:
    """A running script and its lines."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def line(self) -> str:
        """Its next line; what it says on standard error when there is none."""
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        async with asyncio.timeout(60):
            found = await self.process.stdout.readline()
            if not found:
                raise AssertionError((await self.process.stderr.read()).decode())
            return found.decode().rstrip("\n")

    async def ended(self) -> int:
        """Its exit code."""
        async with asyncio.timeout(60):
            return await self.process.wait()


def test_every_script_is_tested() -> None:
    assert {path.stem for path in SCRIPTS.glob("*.py")} == {
        "config_watcher",
        "lock",
        "service_registry",
        "leader_election",
    }


def test_config_watcher(live: Live, cluster: ClusterHandle, prefix: str) -> None:
    async def scenario(client: Client) -> None:
        await client.put(prefix + "level", "info")
        arguments = ("--prefix", prefix, "--changes", "2")
        async with script(cluster, "config_watcher", *arguments) as watcher:
            assert await watcher.line() == "config: level=info"
            await client.put(prefix + "level", "debug")
            assert await watcher.line() == "config: level=debug"
            await client.put(prefix + "colour", "blue")
            assert await watcher.line() == "config: colour=blue, level=debug"
            assert await watcher.ended() == 0

    live(scenario)


def test_lock(live: Live, cluster: ClusterHandle, prefix: str) -> None:
    async def scenario(client: Client) -> None:
        arguments = ("--name", prefix + "lock", "--counter", prefix + "counter", "--steps", "4")
        async with (
            script(cluster, "lock", *arguments) as one,
            script(cluster, "lock", *arguments) as two,
        ):
            assert list(await asyncio.gather(one.ended(), two.ended())) == [0, 0]
        assert (await client.get(prefix + "counter")).value == b"8"

    live(scenario)


def test_service_registry(live: Live, cluster: ClusterHandle, prefix: str) -> None:
    service = "s" + prefix.strip("/")

    async def scenario(client: Client) -> None:
        async with script(cluster, "service_registry", "follow", service) as follower:
            arguments = ("announce", service, "10.0.0.1:80", "--ttl", "2")
            async with script(cluster, "service_registry", *arguments) as announcer:
                assert "announced" in await announcer.line()
                assert await follower.line() == "+ 10.0.0.1:80"
                async with script(cluster, "service_registry", "list", service) as listing:
                    assert await listing.line() == "10.0.0.1:80"
                    assert await listing.ended() == 0
            # Killed, so that nothing was revoked: the entry goes with the lease.
            assert await follower.line() == "- 10.0.0.1:80"

    live(scenario)


def test_leader_election(live: Live, cluster: ClusterHandle, prefix: str) -> None:
    async def scenario(client: Client) -> None:
        common = ("--name", prefix + "e", "--ttl", "2")
        async with (
            script(cluster, "leader_election", *common, "--follow") as follower,
            script(cluster, "leader_election", *common, "--id", "one") as one,
        ):
            assert await one.line() == "one: waiting to be elected"
            assert (await one.line()).startswith("one: leading with token")
            assert await follower.line() == "leader: one"
            second = ("--id", "two", "--terms", "1")
            async with script(cluster, "leader_election", *common, *second) as two:
                assert await two.line() == "two: waiting to be elected"
                one.process.send_signal(signal.SIGINT)
                assert await one.ended() == 0
                assert (await two.line()).startswith("two: leading with token")
                assert await follower.line() == "leader: two"
                assert await two.line() == "two: stepping down"
                assert await two.ended() == 0

    live(scenario)
