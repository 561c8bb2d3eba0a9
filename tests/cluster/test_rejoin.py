"""A log damaged where it was synced, or lost: the member says so, and comes back without a vote."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from cluster.storm import Storm
from cluster.test_tls import sample, tls_of
from kvorum.client import Client
from support.clusters import ClusterHandle, wait_until

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


def others_of(cluster: ClusterHandle, victim: str) -> str:
    """The endpoints that still answer."""
    return ",".join(cluster.endpoint(name) for name in cluster.names if name != victim)


def end_of_start(cluster: ClusterHandle, name: str) -> str:
    """Start a member that cannot start; how it ended."""
    cluster.restart(name, wait=False)
    wait_until(lambda: cluster.view(name).state == "dead", f"{name} ends")
    return cluster.view(name).ending


def come_back(cluster: ClusterHandle, victim: str, *words: str) -> None:
    """``kvorum rejoin`` with these flags to its end; the member is started when it says so."""
    data_dir = cluster.view(victim).data_dir
    rejoining = command("rejoin", str(data_dir), "--endpoints", others_of(cluster, victim), *words)
    aside = data_dir / "member.broken-1"
    wait_until(
        lambda: (
            rejoining.poll() is not None or (aside.exists() and not (data_dir / "rejoin").exists())
        ),
        "the directory is made",
    )
    cluster.restart(victim, wait=False)
    code, said = ended(rejoining)
    assert (code, "has caught up and votes" in said) == (0, True), said


def promote(cluster: ClusterHandle, victim: str, id_: int, *words: str) -> None:
    """Give the learner its vote as soon as it may have one."""
    flags = ["--endpoints", others_of(cluster, victim), *words]

    def voted() -> bool:
        code, said = ended(command("member", "promote", f"{id_:x}", *flags))
        assert code == 0 or "can only promote a learner member which is in sync" in said, said
        return code == 0

    wait_until(voted, f"{victim} votes")


def test_rejoin_over_tls(tmp_path: Path) -> None:
    """Members and commands show certificates to one another, the one that comes back as before."""
    with sample("tls3", tmp_path) as cluster:
        tls = tls_of(cluster)
        words = ["--cacert", str(tls.ca_cert), "--cert", str(tls.cert), "--key", str(tls.key)]
        victim = cluster.followers()[0]

        async def ids() -> dict[str, int]:
            async with Client(others_of(cluster, victim).split(","), tls=tls) as client:
                await client.put("k", "v")
                return {each.name: each.id for each in (await client.cluster.members()).members}

        before = asyncio.run(ids())
        cluster.kill9(victim)
        flip(cluster.view(victim).data_dir, Random(2))
        assert end_of_start(cluster, victim) == "exited with status 65"
        come_back(cluster, victim, *words)
        after = asyncio.run(ids())
        assert after.keys() == before.keys()
        assert {name for name in after if after[name] != before[name]} == {victim}

        async def here() -> bytes | None:
            async with Client([cluster.endpoint(victim)], tls=tls) as client:
                return (await client.get("k")).value

        assert asyncio.run(here()) == b"v"


def test_rejoin_with_an_empty_directory_where_users_are_known(kvorum_cluster: Launch) -> None:
    """Nothing tells who it was: whoever runs the command does, and only root may."""
    cluster = kvorum_cluster(3, heartbeat_ms=50, election_ms=500, flags=["--bcrypt-cost=4"])
    victim = cluster.followers()[0]
    data_dir = cluster.view(victim).data_dir

    async def prepare() -> int:
        async with Client(cluster.endpoints) as client:
            await client.put("k", "v")
            await client.auth.user_add("root", "secret")
            await client.auth.grant_role("root", "root")
            await client.auth.user_add("u", "secret")
            found = await client.cluster.members()
            await client.auth.enable()
        return next(each.id for each in found.members if each.name == victim)

    was = asyncio.run(prepare())
    cluster.kill9(victim)
    shutil.rmtree(data_dir / "member")
    # It does not start as if it had never voted.
    assert end_of_start(cluster, victim) == "exited with status 1"
    assert f"member {was:x} has already been bootstrapped" in cluster.log(victim)
    flags = ["--endpoints", others_of(cluster, victim)]
    code, said = ended(command("rejoin", str(data_dir), *flags, "--user=root:secret"))
    assert code == 3 and "name the member with --member" in said, said
    who = [f"--member={was:x}"]
    code, said = ended(command("rejoin", str(data_dir), *flags, *who, "--user=u:secret"))
    assert code != 0 and "permission denied" in said, said
    words = [*flags, *who, "--user=root:secret", "--no-wait"]
    code, said = ended(command("rejoin", str(data_dir), *words))
    assert code == 0 and "once it runs and has caught up: kvorum member promote" in said, said
    cluster.restart(victim, wait=False)

    async def found() -> dict[str, int]:
        async with Client(
            others_of(cluster, victim).split(","), user="root", password="secret"
        ) as client:
            return {each.name: each.id for each in (await client.cluster.members()).members}

    wait_until(lambda: victim in asyncio.run(found()), f"{victim} has a name")
    id_ = asyncio.run(found())[victim]
    assert id_ != was
    promote(cluster, victim, id_, "--user=root:secret")

    async def here() -> bytes | None:
        async with Client([cluster.endpoint(victim)], user="root", password="secret") as client:
            return (await client.get("k")).value

    assert asyncio.run(here()) == b"v"
