"""The past of any cluster: a mirror of its history equals what a kvorum member tells itself."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from kvorum.client import Client, Delete, Put
from kvorum.client.errors import CompactedError
from kvorum.client.history_mirror import HistoryMirror, HistoryTooLarge
from kvorum.history.pages import Question
from kvorum.history.query import Query, QueryRefused
from kvorum.history.rows import Row
from support.clusters import ClusterHandle

pytestmark = pytest.mark.slow

EVERYTHING = Question(b"\0", b"\0")


async def scribble(client: Client, seed: int, count: int) -> None:
    """Puts, deletions and transactions over a few keys, some of them bytes."""
    rng = random.Random(seed)
    keys = [b"/a", b"/b", b"/b/c", b"\xff\x00", b"z"]
    lease = await client.leases.grant(600)
    for _ in range(count):
        kind = rng.randrange(5)
        key = rng.choice(keys)
        if kind == 0:
            await client.delete(key)
        elif kind == 1:
            first, second = rng.sample(keys, 2)
            await client.txn().then(Put(first, rng.randbytes(3)), Delete(second)).commit()
        elif kind == 2:
            await client.put(key, "of a lease", lease=lease.id)
        else:
            await client.put(key, rng.randbytes(rng.randrange(6)))


async def told(client: Client, first: int) -> list[Row]:
    """What the member itself tells, without what an etcd could not tell."""
    inspect = client.member(client.endpoints[0]).inspect
    return [
        Row(
            r.revision,
            r.sub,
            r.type,
            r.key,
            r.value,
            r.create_revision,
            r.version,
            r.lease,
            0,
            0,
            0,
            "",
        )
        async for batch in inspect.history(b"\0", b"\0", from_revision=first)
        for r in batch.revisions
    ]


async def mirrored(mirror: HistoryMirror, question: Question = EVERYTHING) -> list[Row]:
    """The mirror's rows."""
    return [row._replace(prev_revision=0) async for row in mirror.history(question)]


def test_a_mirror_is_the_members_own_history(
    kvorum_cluster: Callable[..., ClusterHandle], tmp_path: Path
) -> None:
    cluster = kvorum_cluster(1)

    async def run() -> None:
        async with Client(cluster.endpoints) as client:
            async with HistoryMirror(client, tmp_path / "empty.duckdb") as mirror:
                assert (await mirror.load()).rows == 0
                assert await mirrored(mirror) == []
            await scribble(client, 1, 150)
            async with HistoryMirror(client, tmp_path / "whole.duckdb") as mirror:
                loaded = await mirror.load()
                rows = await mirrored(mirror)
                assert rows == await told(client, 0)
                assert loaded.rows == len(rows)
                assert loaded.revision == loaded.newest == rows[-1].revision
                assert await mirrored(mirror, Question(b"/a", b"", 5, 60)) == [
                    row for row in rows if row.key == b"/a" and 5 <= row.revision <= 60
                ]
                count = await mirror.query(Query("SELECT count(*), count(time) FROM events"))
                assert count.rows == [(len(rows), 0)], "no time is known, so none is made up"
                with pytest.raises(QueryRefused):
                    await mirror.query(Query("DELETE FROM history"))
                newest = rows[-1].revision
            compacted = newest - 40
            await client.compact(compacted, physical=True)
            await scribble(client, 2, 20)
            async with HistoryMirror(client, tmp_path / "rest.duckdb") as mirror:
                loaded = await mirror.load()
                assert loaded.oldest == compacted
                rows = await mirrored(mirror)
                later = [row for row in rows if row.revision > compacted]
                assert later == await told(client, compacted + 1)
                alive = {row.key: row for row in rows if row.revision <= compacted}
                then = await client.range(b"\0", b"\0", revision=compacted)
                assert {key: row.revision for key, row in alive.items()} == {
                    kv.key: kv.mod_revision for kv in then.kvs
                }
            async with HistoryMirror(client, tmp_path / "small.duckdb", max_bytes=1) as mirror:
                with pytest.raises(HistoryTooLarge):
                    await mirror.load()

    asyncio.run(run())


def test_a_mirror_that_compaction_overtakes_begins_anew(
    kvorum_cluster: Callable[..., ClusterHandle], tmp_path: Path
) -> None:
    cluster = kvorum_cluster(1)

    async def run() -> None:
        async with Client(cluster.endpoints) as client:
            await scribble(client, 3, 60)
            newest = (await client.get("x")).header.revision
            await client.compact(newest - 30)
            starts: list[int] = []
            mirror = HistoryMirror(client, tmp_path / "past.duckdb")
            load_base = mirror._load_base

            async def overtaken(revision: int) -> None:
                # Between the keys at the compacted revision and the watch from there on.
                starts.append(revision)
                await load_base(revision)
                if len(starts) < 3:
                    await client.compact(revision + 10, physical=True)

            mirror._load_base = overtaken  # type: ignore[method-assign]  # its only seam
            async with mirror:
                loaded = await mirror.load()
                assert starts == [newest - 30, newest - 20, newest - 10]
                assert loaded.oldest == newest - 10
                later = [r for r in await mirrored(mirror) if r.revision > loaded.oldest]
                assert later == await told(client, loaded.oldest + 1)

            async def always(revision: int) -> None:
                await client.put("x", "more")
                await client.compact((await client.get("x")).header.revision)
                await client.put("x", "and more")

            mirror._load_base = always  # type: ignore[method-assign]  # its only seam
            async with mirror:
                with pytest.raises(CompactedError):
                    await mirror.load()

    asyncio.run(run())


@pytest.mark.parametrize("program", ["kvorum", "etcd"])
def test_the_commands_on_both(
    program: str, kvorum_cluster: Callable[..., ClusterHandle], tmp_path: Path
) -> None:
    cluster = kvorum_cluster(1, program=program)

    def kvorum(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "kvorum", *arguments]
        command += ["--endpoints", cluster.endpoints[0], "--command-timeout", "30s"]
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
            env={"TMPDIR": str(tmp_path), "PATH": "/usr/bin:/bin"},
        )

    async def write() -> None:
        async with Client(cluster.endpoints) as client:
            for value in ("one", "two", "three"):
                await client.put("/k", value)
            await client.delete("/k")
            await client.put("/k/below", b"\xff")

    asyncio.run(write())
    found = kvorum("history", "/k", "-w", "json")
    assert found.returncode == 0, found.stderr
    life = [json.loads(line) for line in found.stdout.splitlines()]
    assert [(x["revision"], x["type"]) for x in life] == [
        (2, "PUT"),
        (3, "PUT"),
        (4, "PUT"),
        (5, "DELETE"),
    ]
    assert [x.get("value") for x in life] == ["b25l", "dHdv", "dGhyZWU=", None]
    assert all(("time" in x) == (program == "kvorum") for x in life)
    lines = kvorum("history", "/", "--prefix", "--from-rev", "4", "--limit", "3").stdout
    assert [line.split()[0] for line in lines.splitlines()] == ["4", "5", "6"]
    assert "\\xff" in lines
    found = kvorum("sql", "SELECT key, value FROM keys_at(4) UNION SELECT type, '' FROM events")
    assert sorted(line.split() for line in found.stdout.splitlines()[2:]) == [
        ["/k", "three"],
        ["delete"],
        ["put"],
    ]
    assert kvorum("sql", "SELECT nonsense").returncode == 3
    assert list(tmp_path.glob("kvorum-past-*")) == [], "nothing is left behind"
