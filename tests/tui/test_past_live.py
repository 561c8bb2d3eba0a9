"""The past of real clusters: of kvorum's nodes, and of etcd by a mirror that lasts."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar

import pytest
from kvorum.client import Client
from kvorum_tui.live import LiveSession
from kvorum_tui.model.records import KeyEvent
from kvorum_tui.session import SessionError
from kvorum_tui.session.past import Bounds
from support.clusters import ClusterHandle

pytestmark = pytest.mark.slow
Launch = Callable[..., ClusterHandle]
T = TypeVar("T")


async def joined(pages: AsyncIterator[tuple[T, ...]]) -> list[T]:
    """All of a paged answer."""
    return [item async for page in pages for item in page]


async def state(session: LiveSession, prefix: bytes, revision: int) -> dict[bytes, bytes]:
    """A whole state."""
    pages = session.past.state(prefix, revision, page=3)
    return {r.key: r.value async for page in pages for r in page.records}


def told(event: KeyEvent) -> tuple[str, bytes, bytes, int]:
    """What both kinds of server tell of a change."""
    return event.kind, event.key, event.value, event.revision


async def same_on_both(session: LiveSession, client: Client) -> Bounds:
    """Everything that the past answers, on some writes with known outcome."""
    past = session.past
    first = (await client.put("/p/a", "1")).header.revision
    for number in range(8):
        await client.put(f"/p/n{number}", str(number))
    await client.put("/p/a", "2")
    await client.delete("/p/", prefix=True)
    gone = (await client.put("/p/a", "3")).header.revision
    bounds = await past.bounds()
    assert bounds.newest >= gone
    life = await past.history(b"/p/a")
    assert [(e.kind, e.value) for e in life.events] == [
        ("put", b"1"),
        ("put", b"2"),
        ("delete", b""),
        ("put", b"3"),
    ]
    assert [e.value for e in (await past.history(b"/p/a", limit=1)).events] == [b"3"]
    changes = await joined(past.changes(b"/p/", first, gone))
    assert len(changes) == 8 + 2 + 9 + 1
    assert [told(e) for e in changes if e.key == b"/p/a"] == [told(e) for e in life.events]
    assert len(await joined(past.changes(b"/p/", first, 0, limit=4))) == 4
    deleted = await joined(past.deleted(b"/p/"))
    assert [g.key for g in deleted] == [b"/p/n%d" % n for n in range(8)]
    assert all(g.revision == gone - 1 and first < g.last < gone - 1 for g in deleted)
    assert await joined(past.deleted(b"/p/", since=gone)) == []
    then = await state(session, b"/p/", gone - 2)
    assert then == {b"/p/a": b"2"} | {b"/p/n%d" % n: b"%d" % n for n in range(8)}
    assert await state(session, b"/p/", 0) == {b"/p/a": b"3"}
    record = await past.get(b"/p/a", first)
    assert record is not None and record.value == b"1"
    buckets = await past.density(b"/p/", first, gone, 4)
    assert buckets[0].first == first and buckets[-1].last == gone
    assert sum(b.puts for b in buckets) == 11 and sum(b.deletes for b in buckets) == 9
    sql = "SELECT key_bytes, type FROM events WHERE key LIKE '/p/a%' ORDER BY revision"
    batches = [batch async for batch in past.query(sql)]
    rows = [row for batch in batches for row in batch.rows]
    assert [name for name, _ in batches[0].columns] == ["key_bytes", "type"]
    assert rows == [(b"/p/a", e.kind) for e in life.events]
    with pytest.raises(SessionError):
        async for _ in past.query("SELECT nothing"):
            pass
    clocks = [await past.clock_of(e.revision) for e in life.events[-2:]]
    assert 0 < clocks[0] <= clocks[1]
    assert await past.revision_at(clocks[1]) >= gone
    assert await past.revision_at(1) == 0
    return bounds


def test_kvorum_nodes_tell(kvorum_cluster: Launch) -> None:
    cluster = kvorum_cluster(1)

    async def run() -> None:
        async with Client(cluster.endpoints) as client:
            session = LiveSession(cluster.endpoints)
            await session.open()
            bounds = await same_on_both(session, client)
            assert session.past.status.source == "nodes"
            assert bounds.oldest == 1 and bounds.oldest_at_ms > 0 and not bounds.seen
            await client.compact(bounds.newest - 1)
            later = await session.past.bounds()
            assert later.oldest == later.compacted == bounds.newest - 1
            with pytest.raises(SessionError):
                await session.past.get(b"/p/a", 2)
            await session.close()

    asyncio.run(run())


def test_a_mirror_tells_of_etcd(
    kvorum_cluster: Launch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = kvorum_cluster(1, program="etcd")
    monkeypatch.setenv("KVORUM_MIRROR", str(tmp_path / "mirrors"))

    async def run() -> None:
        async with Client(cluster.endpoints) as client:
            for number in range(5):
                await client.put("/old", str(number))
            await client.compact(4)
            session = LiveSession(cluster.endpoints)
            await session.open()
            bounds = await session.past.bounds()
            assert (bounds.oldest, bounds.newest, bounds.oldest_at_ms) == (4, 6, 0)
            assert [e.value for e in (await session.past.history(b"/old")).events] == [
                b"2",
                b"3",
                b"4",
            ]
            bounds = await same_on_both(session, client)
            status = session.past.status
            assert status.source == "mirror" and not status.private and not status.error
            path = Path(status.path)
            assert path.parent == tmp_path / "mirrors"
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            second = LiveSession(cluster.endpoints)
            await second.open()
            life = await session.past.history(b"/p/a")
            private = await second.past.history(b"/p/a")
            assert list(map(told, private.events)) == list(map(told, life.events))
            assert second.past.status.private and second.past.status.path != str(path)
            place = Path(second.past.status.path).parent
            await second.close()
            assert not place.exists()
            await session.close()
            await takes_up_where_it_ended(cluster, client, bounds.newest)

    asyncio.run(run())


async def takes_up_where_it_ended(cluster: ClusterHandle, client: Client, known: int) -> None:
    """What etcd compacted is still known; what was missed is a gap."""
    first = (await client.put("/late", "missed")).header.revision
    await client.delete("/p/a")
    await client.put("/late", "kept")
    compacted = (await client.put("/late", "kept too")).header.revision
    await client.compact(compacted)
    await client.put("/late", "after")
    session = LiveSession(cluster.endpoints)
    await session.open()
    bounds = await session.past.bounds()
    assert bounds.oldest == 4 and bounds.compacted == compacted
    assert bounds.gaps == ((first, compacted - 1),)
    assert await state(session, b"/p/", known) == {b"/p/a": b"3"}, "etcd has forgotten this"
    assert await state(session, b"/p/", compacted) == {}
    record = await session.past.get(b"/old", 4)
    assert record is not None and record.value == b"2"
    with pytest.raises(SessionError, match="not known"):
        await state(session, b"/p/", first)
    late = await session.past.history(b"/late")
    assert [e.value for e in late.events] == [b"kept too", b"after"]
    gaps = [b async for b in session.past.query("SELECT first, last FROM gaps")]
    assert gaps[0].rows == ((first, compacted),)
    await session.close()
