"""``kvorum undelete``, ``restore-prefix`` and ``diff``; and plans that meet other writers."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable

import pytest
from kvorum.client import Client
from kvorum.client.errors import CompactedError
from kvorum.client.plan import Conflict, Step, carry_out, merged, restoring
from kvorum.client.types import KeyValue
from support.clusters import ClusterHandle

pytestmark = pytest.mark.slow

Launch = Callable[..., ClusterHandle]


def kvorum(cluster: ClusterHandle, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command on a cluster."""
    command = [sys.executable, "-m", "kvorum", *arguments, "--endpoints", cluster.endpoints[0]]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=90)


async def contents(client: Client, prefix: str = "/") -> dict[str, str]:
    """Keys and values."""
    found = await client.get_prefix(prefix)
    return {kv.key.decode(): kv.value.decode() for kv in found.kvs}


@pytest.mark.parametrize("program", ["kvorum", "etcd"])
def test_what_was_deleted_comes_back(program: str, kvorum_cluster: Launch) -> None:
    cluster = kvorum_cluster(1, program=program)

    async def prepare() -> int:
        async with Client(cluster.endpoints) as client:
            for number in range(30):
                await client.put(f"/d/{number:02}", f"first {number}")
                await client.put(f"/d/{number:02}", f"last {number}")
            await client.put("/alive", "x")
            first = await client.delete("/d/00")
            await client.delete("/d/", prefix=True)
            await client.put("/d/07", "somebody else's")
            return first.header.revision

    first = asyncio.run(prepare())
    alive = kvorum(cluster, "undelete", "/alive")
    assert (alive.returncode, "/alive is not deleted" in alive.stderr) == (1, True)
    never = kvorum(cluster, "undelete", "/never", "--yes")
    assert (never.returncode, "no deletion of /never is known" in never.stderr) == (4, True)
    shown = kvorum(cluster, "undelete", "/d/00")
    assert shown.stdout == "+ /d/00  last 0\n"
    assert "1 keys would change; --yes does it" in shown.stderr
    shown = kvorum(cluster, "undelete", "/d/", "--prefix", "-w", "json", "--since-rev", f"{first}")
    assert len(shown.stdout.splitlines()) == 29, "all but the one that is there"
    later = kvorum(cluster, "undelete", "/d/", "--prefix", "--since-rev", f"{first + 1}", "--yes")
    assert "28 keys written" in later.stderr
    whole = kvorum(cluster, "undelete", "/d/", "--prefix", "--yes")
    assert "1 keys written" in whole.stderr

    async def check() -> None:
        async with Client(cluster.endpoints) as client:
            wanted = {f"/d/{n:02}": f"last {n}" for n in range(30)}
            wanted["/d/07"] = "somebody else's"
            assert await contents(client, "/d/") == wanted
            newest = (await client.delete("/d/01")).header.revision
            await client.compact(newest)

    asyncio.run(check())
    gone = kvorum(cluster, "undelete", "/d/01", "--yes")
    assert gone.returncode == 4, gone.stderr


def test_a_prefix_becomes_what_it_was(kvorum_cluster: Launch) -> None:
    cluster = kvorum_cluster(1)

    async def prepare() -> tuple[int, dict[str, str]]:
        async with Client(cluster.endpoints) as client:
            for number in range(250):
                await client.put(f"/r/{number:03}", f"{number}")
            await client.put("/other", "o")
            then, state = (await client.get("/r/")).header.revision, await contents(client, "/r/")
            await client.delete("/r/1", prefix=True)
            await client.put("/r/000", "changed")
            lease = await client.leases.grant(600)
            await client.put("/r/001", "on a lease", lease=lease.id)
            await client.put("/r/new", "n")
            await client.put("/r/002", "x")
            await client.put("/r/002", "2")
            return then, state

    revision, state = asyncio.run(prepare())
    seen = kvorum(cluster, "diff", f"/r/@{revision}", "/r/", "--exit-code")
    assert seen.returncode == 1
    lines = seen.stdout.splitlines()
    assert len(lines) == 103
    assert lines[0] == "~ 000  0 → changed"
    assert lines[-1] == "+ new  n"
    assert lines[2] == "- 100  100"
    shown = kvorum(cluster, "restore-prefix", "/r/", "--revision", f"{revision}")
    assert len(shown.stdout.splitlines()) == 103
    assert "103 keys would change" in shown.stderr
    done = kvorum(cluster, "restore-prefix", "/r/", "--revision", f"{revision}", "--yes")
    assert "103 keys written" in done.stderr
    again = kvorum(cluster, "restore-prefix", "/r/", "--revision", f"{revision}", "--yes")
    assert "0 keys written" in again.stderr
    same = kvorum(cluster, "diff", f"/r/@{revision}", f"{cluster.endpoints[0]}#/r/", "--exit-code")
    assert (same.returncode, same.stderr) == (0, "no difference\n")
    document = json.loads(kvorum(cluster, "diff", "/r/00", "/r/01", "-w", "json").stdout.split()[0])
    assert document == {"key": "MA==", "before": "MA==", "after": "MTA="}
    assert kvorum(cluster, "diff", "#/a", "/b").returncode == 3

    async def check() -> None:
        async with Client(cluster.endpoints) as client:
            assert await contents(client, "/r/") == state
            kept = (await client.get("/r/001")).kv
            assert kept is not None
            assert kept.lease, "a key that is there keeps its lease"
            await client.compact(revision + 1)
            with pytest.raises(CompactedError):
                async for _ in restoring(client, b"/r/", b"/r0", revision):
                    pass

    asyncio.run(check())
    gone = kvorum(cluster, "restore-prefix", "/r/", "--revision", f"{revision}", "--yes")
    assert gone.returncode == 4, gone.stderr


def test_a_plan_leaves_alone_what_others_write(kvorum_cluster: Launch) -> None:
    cluster = kvorum_cluster(1)

    async def run() -> None:
        async with Client(cluster.endpoints) as client:
            before = {}
            for number in range(220):
                await client.put(f"{number:03}", "old")
                before[number] = (await client.get(f"{number:03}")).kv

            async def steps() -> AsyncGenerator[Step, None]:
                for number in range(220):
                    key = b"%03d" % number
                    yield Step(key, before[number], None if number % 2 else b"new")
                yield Step(b"missing", None, b"made")

            await client.put("050", "theirs")
            await client.delete("051")
            await client.put("missing", "theirs")
            counts: list[int] = []
            outcome = await carry_out(client, steps(), counts.append)
            assert outcome.done == counts[-1] == 218
            assert [conflict.step.key for conflict in outcome.conflicts] == [
                b"050",
                b"051",
                b"missing",
            ]
            gone: Conflict = outcome.conflicts[1]
            assert gone.now is None
            found = (await client.get_prefix("")).kvs
            assert {kv.key: kv.value for kv in found} == {
                **{b"%03d" % n: b"new" for n in range(0, 220, 2)},
                b"050": b"theirs",
                b"missing": b"theirs",
            }
            assert outcome.revision == max(kv.mod_revision for kv in found)

    asyncio.run(run())


def test_two_sequences_meet() -> None:
    async def keys(names: str) -> AsyncGenerator[KeyValue, None]:
        for name in names:
            yield KeyValue(name.encode(), b"", 1, 1, 1, 0)

    async def run(one: str, other: str) -> list[str]:
        return [
            f"{a.key.decode() if a else '.'}{b.key.decode() if b else '.'}"
            async for a, b in merged(keys(one), keys(other))
        ]

    assert asyncio.run(run("acd", "bcde")) == ["a.", ".b", "cc", "dd", ".e"]
    assert asyncio.run(run("", "x")) == [".x"]
    assert asyncio.run(run("xy", "")) == ["x.", "y."]
    assert asyncio.run(run("", "")) == []
