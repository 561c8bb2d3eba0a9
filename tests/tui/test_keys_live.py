"""The Keys tab on a real kvorum node and on a real etcd: ranges by pages, values, the past, deleted
keys, and a user who may read one prefix only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from kvorum.client import Client
from kvorum_tui.app import KvorumApp
from kvorum_tui.live import LiveSession
from kvorum_tui.live.ranges import FIRST_PAGE
from kvorum_tui.screens.keys import KeysPane
from kvorum_tui.session.ranges import EVERYTHING, span_of
from support.clusters import ClusterHandle
from tui.frames import shows, until

Launch = Callable[..., ClusterHandle]
KEYS = 1_500


async def fill(client: Client) -> int:
    """Keys in a few large transactions; returns the revision."""
    revision = 0
    for start in range(0, KEYS, 100):
        txn = client.txn()
        puts = [(f"/many/{n:05d}", f"value {n}") for n in range(start, start + 100)]
        done = await txn.then(*(_put(key, value) for key, value in puts)).commit()
        revision = done.header.revision
    return revision


def _put(key: str, value: str) -> object:
    from kvorum.client import Put

    return Put(key, value)


async def read_ranges(session: LiveSession, client: Client) -> None:
    """Small page first, one revision throughout, whatever is written meanwhile."""
    sizes, revisions, keys, totals = [], set(), [], set()
    async for page in session.ranges.keys(EVERYTHING):
        sizes.append(len(page.keys))
        revisions.add(page.revision)
        totals.add(page.total)
        keys += page.keys
        await client.put(f"/zz/{len(sizes)}", "meanwhile")
    assert sizes[0] == FIRST_PAGE
    assert len(keys) == KEYS
    assert keys == sorted(keys)
    assert totals == {KEYS}
    assert len(revisions) == 1
    found = []
    async for values in session.ranges.values(span_of(b"/many/000"), revisions.pop()):
        found += values.records
    assert [record.value for record in found[:2]] == [b"value 0", b"value 1"]
    assert len(found) == 100
    assert (await session.ranges.allowed()).everything


async def browse(cluster: ClusterHandle, client: Client, revision: int) -> None:
    """The tab: search, sizes, a revision of the past, deleted keys."""
    app = KvorumApp(LiveSession(cluster.endpoints), "live")
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        pane = app.pane_of(KeysPane)
        await until(pilot, lambda: len(pane.index) == KEYS + 2 and pane.feed.live, "all keys")
        await pilot.press("ctrl+f")
        await shows(pilot, "Find in values")
        await pilot.press(*"~ 99.$", "enter", "enter")
        await shows(pilot, "10 values with ~ 99.$", "all 1,500 values under")
        await pilot.press("escape")
        pane.key_tree.goto(b"/many/", True)
        await pilot.press("g")
        await shows(pilot, "exact", "largest values")
        size = pane.sizes.of(b"/many/")
        assert size is not None
        assert (size.keys, size.value_bytes) == (KEYS, sum(len(f"value {n}") for n in range(KEYS)))
        await client.delete("/many/00007")
        await pilot.press("tilde")
        await until(pilot, lambda: b"/many/00007" in pane.gone, "the deleted key")
        pane.key_tree.goto(b"/many/00007")
        await shows(pilot, "DELETED at", "value 7")
        await pilot.press("tilde")
        app.front.travel(revision)
        await shows(pilot, f"Keys · 1,500 at revision {revision:,}")
        pane.key_tree.goto(b"/many/00007")
        await shows(pilot, "value 7", "version 1")
        app.front.travel(0)
        await shows(pilot, "Keys · 1,501", "live")


async def restrict(cluster: ClusterHandle) -> None:
    """A user of one role browses its ranges."""
    async with Client(cluster.endpoints) as root:
        for name in ("root", "ann"):
            await root.auth.user_add(name, "pw")
            await root.auth.role_add(name if name == "root" else "reader")
        await root.auth.grant_permission("reader", "READ", "/many/0000", prefix=True)
        await root.auth.grant_permission("reader", "READWRITE", "/zz/1")
        await root.auth.grant_role("root", "root")
        await root.auth.grant_role("ann", "reader")
        await root.auth.enable()
    app = KvorumApp(LiveSession(cluster.endpoints, user="ann", password="pw"), "ann")
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await shows(pilot, "Keys · 10 in 2 ranges of your roles", "live")
        pane = app.pane_of(KeysPane)
        assert b"/zz/1" in pane.index
        async with Client(cluster.endpoints, user="ann", password="pw") as ann:
            await ann.put("/zz/1", "ann's own")
        pane.goto(b"/zz/1")
        await shows(pilot, "ann's own")
    async with Client(cluster.endpoints, user="root", password="pw") as root:
        await root.auth.disable()


@pytest.mark.slow
@pytest.mark.parametrize("program", ["kvorum", "etcd"])
def test_the_keys_tab_on_a_real_cluster(kvorum_cluster: Launch, program: str) -> None:
    cluster = kvorum_cluster(1, program=program)

    async def run() -> None:
        async with Client(cluster.endpoints) as client:
            revision = await fill(client)
            session = LiveSession(cluster.endpoints)
            await session.open()
            try:
                await read_ranges(session, client)
            finally:
                await session.close()
            await browse(cluster, client, revision)
        await restrict(cluster)

    asyncio.run(run())
