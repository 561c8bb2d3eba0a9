"""The past of real clusters: of kvorum's nodes, and of etcd by a mirror that lasts."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar

import pytest
from kvorum.client import Client
from kvorum_tui.app import KvorumApp
from kvorum_tui.live import LiveSession
from kvorum_tui.model.records import KeyEvent
from kvorum_tui.screens.time import TimePane
from kvorum_tui.screens.time_merge import Side
from kvorum_tui.session import SessionError
from kvorum_tui.session.past import Bounds
from support.clusters import ClusterHandle
from tui.frames import shows, until

pytestmark = pytest.mark.slow
Launch = Callable[..., ClusterHandle]
T = TypeVar("T")


async def joined(pages: AsyncIterator[tuple[T, ...]]) -> list[T]:
    """All of a paged answer."""
    return [item async for page in pages for item in page]


def mode_of(path: Path) -> int:
    """Who may do what with a file."""
    return stat.S_IMODE(path.stat().st_mode)


async def state(session: LiveSession, prefix: bytes, revision: int) -> dict[bytes, bytes]:
    """A whole state."""
    pages = session.past.state(prefix, revision, page=3)
    return {r.key: r.value async for page in pages for r in page.records}


def told(event: KeyEvent) -> tuple[str, bytes, bytes, int]:
    """What both kinds of server tell of a change."""
    return event.kind, event.key, event.value, event.revision


async def in_history(client: Client, endpoint: str, revision: int) -> None:
    """Wait until a node has written a revision where the past is read."""
    inspect = client.member(endpoint).inspect
    async with asyncio.timeout(60):
        while (await inspect.statistics_once()).history_revision < revision:
            await asyncio.sleep(0.02)


async def same_on_both(session: LiveSession, client: Client, node: str = "") -> Bounds:
    """Everything that the past answers, on some writes with known outcome."""
    past = session.past
    first = (await client.put("/p/a", "1")).header.revision
    for number in range(8):
        await client.put(f"/p/n{number}", str(number))
    await client.put("/p/a", "2")
    await client.delete("/p/", prefix=True)
    gone = (await client.put("/p/a", "3")).header.revision
    if node:
        await in_history(client, node, gone)
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


async def in_the_terminal(cluster: ClusterHandle, client: Client) -> None:
    """Back in time and to now again, a comparison across revisions, restored; a key undeleted."""
    first = (await client.put("/shop/a", "apple")).header.revision
    await client.put("/shop/b", "pear")
    then = (await client.put("/shop/gone", "back soon")).header.revision
    await client.delete("/shop/gone")
    await client.put("/shop/a", "apricot")
    await client.put("/shop/c", "cherry")
    session = LiveSession(cluster.endpoints)
    app = KvorumApp(session, "live", first_tab="time")
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        pane = app.pane_of(TimePane)
        await shows(pilot, "Changes around now", "/shop/c", "oldest")
        await shows(pilot, "apple", "apricot")
        await pilot.press("g", *str(first), "enter")
        await until(pilot, lambda: app.front.at == first, "travelled")
        await shows(pilot, "WRITES OFF", "> ", "/shop/a  new apple")
        await pilot.press("T")
        await until(pilot, lambda: not app.front.at, "now again")
        side = {"session": session, "title": "live", "prefix": b"/shop/"}
        pane.run_compare(Side(**side, revision=then), Side(**side, revision=0))
        await shows(pilot, "+1 −1 ~1 =1")
        await pilot.press("*", "U")
        await shows(pilot, "Make 3 keys as in A")
        await pilot.press("enter")
        await until(pilot, lambda: not pane.compare.running and not app.front.at, "done")
        found: dict[bytes, bytes] = {}
        while found != {b"/shop/a": b"apple", b"/shop/b": b"pear", b"/shop/gone": b"back soon"}:
            found = {kv.key: kv.value for kv in (await client.get_prefix("/shop/")).kvs}
            await pilot.pause(0.05)
        await pilot.press("x")
        await shows(pilot, "Deleted keys", "/shop/c")
        row = next(n for n, gone in enumerate(pane.gone.gone) if gone.key == b"/shop/c")
        pane.gone.cursor = row
        await pilot.press("u")
        await shows(pilot, "Bring back /shop/c")
        await pilot.press("enter")
        await until(pilot, lambda: b"/shop/c" not in {g.key for g in pane.gone.gone}, "it is back")
        assert (await client.get("/shop/c")).value == b"cherry"
        await pilot.press("h")
        await shows(pilot, "/shop/")


def test_kvorum_nodes_tell(kvorum_cluster: Launch) -> None:
    cluster = kvorum_cluster(1)

    async def run() -> None:
        async with Client(cluster.endpoints) as client:
            session = LiveSession(cluster.endpoints)
            await session.open()
            bounds = await same_on_both(session, client, cluster.endpoints[0])
            assert session.past.status.source == "nodes"
            assert bounds.oldest == 1 and bounds.oldest_at_ms > 0 and not bounds.seen
            await client.compact(bounds.newest - 1)
            later = await session.past.bounds()
            assert later.oldest == later.compacted == bounds.newest - 1
            with pytest.raises(SessionError):
                await session.past.get(b"/p/a", 2)
            assert await session.past.oldest() == later.oldest
            await session.close()
            await in_the_terminal(cluster, client)

    asyncio.run(run())


def test_a_mirror_tells_of_etcd(kvorum_cluster: Launch, tmp_path: Path) -> None:
    cluster = kvorum_cluster(1, program="etcd")

    async def run() -> None:
        async with Client(cluster.endpoints) as client:
            for number in range(5):
                await client.put("/old", str(number))
            await client.compact(4)
            session = LiveSession(cluster.endpoints)
            await session.open()
            assert await session.past.oldest() == 4 and not session.past.status.rows
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
            assert path.parent == tmp_path / "mirrors" and mode_of(path) == 0o600
            assert mode_of(path.with_name(path.name + ".wal")) == 0o600
            second = LiveSession(cluster.endpoints)
            await second.open()
            assert await second.past.oldest() == 4 and not second.past.status.rows
            life = await session.past.history(b"/p/a")
            private = await second.past.history(b"/p/a")
            assert list(map(told, private.events)) == list(map(told, life.events))
            assert second.past.status.private and second.past.status.path != str(path)
            place = Path(second.past.status.path).parent
            await second.close()
            assert not place.exists()
            await session.close()
            await takes_up_where_it_ended(cluster, client, bounds.newest)
            await in_the_terminal(cluster, client)

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
    again = LiveSession(cluster.endpoints)
    await again.open()
    assert await again.past.oldest() == 4 and again.past.status.rows, "it goes on by itself"
    await again.close()
