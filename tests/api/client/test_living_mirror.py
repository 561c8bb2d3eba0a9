"""A mirror that lasts: taken up again, bounded in size and age, one writer at a time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import duckdb
import pytest
from kvorum.client import Client
from kvorum.client.living_mirror import Claim, LivingMirror
from support.clusters import ClusterHandle

pytestmark = pytest.mark.slow


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "mirror.duckdb"
    first = Claim.on(path)
    assert first is not None and Claim.on(path) is None
    assert path.parent.stat().st_mode & 0o077 == 0
    first.release()
    again = Claim.on(path)
    assert again is not None
    again.release()


@asynccontextmanager
async def following(client: Client, path: Path, **options: Any) -> AsyncIterator[LivingMirror]:
    """A mirror that follows, caught up."""
    async with LivingMirror(client, path, **options) as mirror:
        await mirror.start()
        task = asyncio.create_task(mirror.follow())
        try:
            await mirror.caught_up()
            yield mirror
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def rows_of(mirror: LivingMirror) -> list[tuple[Any, ...]]:
    """What is there, without the clocks."""
    return await mirror.ask("SELECT revision, type, key, value FROM history ORDER BY ALL")


async def clocks_of(mirror: LivingMirror) -> list[int]:
    """When each change was seen, 0 for those that nobody saw come."""
    found = await mirror.ask('SELECT epoch_ms("at") FROM history ORDER BY revision')
    return [row[0] for row in found]


def test_it_lasts_and_is_bounded(
    kvorum_cluster: Callable[..., ClusterHandle], tmp_path: Path
) -> None:
    cluster = kvorum_cluster(1)
    path = tmp_path / "mirror.duckdb"

    async def run() -> None:
        async with Client(cluster.endpoints) as client:
            await client.put("a", "read late")
            async with following(client, path, wall=lambda: 1_000_000.0) as mirror:
                await client.put("a", "seen")
                await mirror.caught_up()
                assert await clocks_of(mirror) == [0, 1_000_000_000]
                known = await rows_of(mirror)
            await breaks_off_and_goes_on(client, path, known)
            await forgets_what_is_old(client, path)
            await forgets_what_is_too_much(client, path)
            await begins_anew_on_a_damaged_file(client, path)

    asyncio.run(run())


async def breaks_off_and_goes_on(client: Client, path: Path, known: list[tuple[Any, ...]]) -> None:
    """What was written by half is away; what was missed is read."""
    connection = duckdb.connect(str(path))
    connection.execute("INSERT INTO history SELECT * REPLACE (999 AS revision) FROM history")
    connection.close()
    await client.put("b", "missed")
    async with following(client, path, wall=lambda: 1_000_000.0) as mirror:
        assert mirror.gaps == () and mirror.aside is None
        rows = await rows_of(mirror)
        assert rows[:-1] == known and rows[-1][2:] == (b"b", b"missed")
        links = await mirror.ask("SELECT revision, prev_revision FROM history ORDER BY revision")
        assert links == [(2, 0), (3, 2), (4, 0)]


async def forgets_what_is_old(client: Client, path: Path) -> None:
    """A change that was seen too long ago no longer counts; the key stays as it was then."""
    await client.delete("a")
    async with following(client, path, wall=lambda: 1_000_500.0, max_age_s=100) as mirror:
        assert mirror.loaded.oldest == 3
        assert [row[0] for row in await rows_of(mirror)] == [3, 4, 5]
        await client.put("c", "seen")


async def forgets_what_is_too_much(client: Client, path: Path) -> None:
    """Above its bound the older half goes, and the newest stay."""
    for number in range(120):
        await client.put("big", random.Random(number).randbytes(20_000))
    async with following(client, path, max_bytes=1_500_000, wall=lambda: 1_000_500.0) as mirror:
        assert mirror.loaded.oldest > 20
        rows = await rows_of(mirror)
        assert rows[-1][3] == random.Random(119).randbytes(20_000) and len(rows) < 110
        alive = await mirror.ask("SELECT key FROM keys_at($now) ORDER BY key", {"now": rows[-1][0]})
        assert alive == [("b",), ("big",), ("c",)]


async def begins_anew_on_a_damaged_file(client: Client, path: Path) -> None:
    """It is set aside, and said so."""
    await asyncio.to_thread(path.write_bytes, b"not a database")
    async with following(client, path) as mirror:
        assert mirror.aside is not None
        assert await asyncio.to_thread(mirror.aside.read_bytes) == b"not a database"
        assert len(await rows_of(mirror)) == mirror.loaded.rows > 120
