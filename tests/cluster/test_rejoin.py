"""A log damaged where it was synced: the member says so, and comes back without its vote."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from cluster.storm import Storm
from kvorum.client import Client
from support.clusters import ClusterHandle

Launch = Callable[..., ClusterHandle]

pytestmark = pytest.mark.slow


def command(*words: str) -> subprocess.Popen[str]:
    """A ``kvorum`` command, started."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "kvorum", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Its exit code and what it said."""
    try:
        said, _ = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        said, _ = process.communicate()
        raise AssertionError(f"does not end: {said}") from None
    return process.returncode, said


def flip(data_dir: Path, random: Random) -> None:
    """Flip bits in the middle third of what a log's only file holds."""
    (segment,) = sorted((data_dir / "member" / "wal").glob("*.wal"))
    data = bytearray(segment.read_bytes())
    used = len(bytes(data).rstrip(b"\0"))
    for _ in range(20):
        data[random.randrange(used // 3, 2 * used // 3)] ^= 1 << random.randrange(8)
    segment.write_bytes(data)


async def say(*words: str) -> tuple[int, str]:
    """Run a command to its end."""
    return await asyncio.to_thread(lambda: ended(command(*words)))


def test_a_member_with_a_corrupt_log_rejoins_under_writers(
    kvorum_cluster: Launch, tmp_path: Path
) -> None:
    cluster = kvorum_cluster(3, heartbeat_ms=50, election_ms=500)
    victim = cluster.followers()[0]
    data_dir = cluster.view(victim).data_dir
    others = ",".join(cluster.endpoint(name) for name in cluster.names if name != victim)

    async def member_ids() -> dict[str, int]:
        async with Client(cluster.endpoints) as client:
            found = await client.cluster.members()
        assert not any(each.is_learner for each in found.members)
        return {each.name: each.id for each in found.members}

    async def worst(storm: Storm) -> None:
        await storm.writes(100)
        before = await member_ids()
        code, said = await say("rejoin", str(data_dir), "--endpoints", others)
        assert (code, "is in use by process" in said) == (1, True), said
        await asyncio.to_thread(cluster.kill9, victim)
        code, said = await say("rejoin", str(data_dir), "--endpoints", others)
        assert code == 3 and "is whole; start it, or use --force" in said, said
        await asyncio.to_thread(flip, data_dir, Random(1))
        await asyncio.to_thread(lambda: cluster.restart(victim, wait=False))
        view = cluster.view(victim)
        while cluster.view(victim).state != "dead":
            await asyncio.sleep(0.05)
        assert cluster.view(victim).ending == "exited with status 65"
        told = cluster.log(victim)
        assert "the log is damaged where it was synced; nothing was cut: " in told
        # The message says what to type.
        (typed,) = set(re.findall(r"kvorum (rejoin \S+) --endpoints URL-OF-A-MEMBER", told))
        assert typed.split() == ["rejoin", str(view.data_dir)]
        await storm.writes(50)
        rejoining = command(*typed.split(), "--endpoints", others)
        ending = asyncio.ensure_future(asyncio.to_thread(ended, rejoining))
        while not (data_dir / "member.broken-1").exists() or (data_dir / "rejoin").exists():
            assert not ending.done(), ending.result()
            await asyncio.sleep(0.05)
        await asyncio.to_thread(lambda: cluster.restart(victim, wait=False))
        code, said = await ending
        assert (code, "has caught up and votes" in said) == (0, True), said
        await storm.writes(50)
        after = await member_ids()
        assert after.keys() == before.keys()
        assert {name for name in after if after[name] != before[name]} == {victim}
        # Its vote counts: without one of the others there is still a quorum.
        gone = next(name for name in cluster.names if name != victim)
        await asyncio.to_thread(cluster.kill9, gone)
        await storm.writes(50)
        await asyncio.to_thread(cluster.restart, gone)

    asyncio.run(Storm(cluster.endpoints, writers=2).run(worst))
