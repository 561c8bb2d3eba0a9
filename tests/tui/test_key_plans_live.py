"""Plans of the Keys tab on a real kvorum node and a real etcd: conflicts in the middle, stopping
and going on, taking back what others did, leases that are gone; and the verbs that do the same.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from kvorum.client import Client, Delete, Put, Txn
from kvorum.client.planning import relocating
from kvorum_tui.app import KvorumApp
from kvorum_tui.live import LiveSession
from kvorum_tui.model.plan import Plan
from kvorum_tui.model.plan_store import PlanStore
from kvorum_tui.screens.key_plan import PlanPreview
from kvorum_tui.screens.keys import KeysPane
from support.clusters import ClusterHandle
from textual.pilot import Pilot
from textual.widgets import Button, Input
from tui.frames import shows, until
from tui.key_parts import ready

pytestmark = pytest.mark.slow

Launch = Callable[..., ClusterHandle]


async def contents(client: Client, prefix: str) -> dict[str, str]:
    """Keys and values."""
    found = await client.get_prefix(prefix)
    return {kv.key.decode(): kv.value.decode() for kv in found.kvs}


async def at(pilot: Pilot[None], app: KvorumApp, path: bytes, branch: bool) -> None:
    """Put the cursor on a branch or key."""
    pane = app.pane_of(KeysPane)
    await until(pilot, lambda: pane.key_tree.goto(path, branch), f"{path!r} in the tree")
    await until(pilot, lambda: pane.row is not None and pane.row.path == path, "the cursor on it")


async def to(pilot: Pilot[None], app: KvorumApp, place: str) -> None:
    """Fill in where to."""
    await until(pilot, lambda: bool(app.screen.query("#in-to")), "a form")
    app.screen.query_one("#in-to", Input).value = place
    app.screen.query_one("#yes", Button).press()
    await ready(pilot, app, PlanPreview)


async def conflict_in_the_middle(pilot: Pilot[None], app: KvorumApp, client: Client) -> None:
    """Somebody writes one of the targets, and one of the sources, after the preview was made."""
    await at(pilot, app, b"/big/", True)
    await pilot.press("r")
    await to(pilot, app, "/moved/")
    await shows(pilot, "500 keys: 250 new, 250 deleted; in 5 transactions")
    await client.put("/moved/120", "theirs")
    await client.put("/big/130", "theirs too")
    await pilot.press(*"500", "enter")
    await shows(pilot, "496 keys of 500 done", "4 left alone", "/moved/120", "/big/130")
    left = await contents(client, "/big/")
    assert left == {"/big/120": "120", "/big/130": "theirs too"}
    moved = await contents(client, "/moved/")
    assert (len(moved), moved["/moved/120"]) == (249, "theirs")
    await pilot.press("escape")
    await until(pilot, lambda: len(app.screen_stack) == 1)
    await client.delete("/moved/120")
    await pilot.press("u")
    await shows(pilot, "you", "Move /big/")
    await pilot.press("enter")
    await shows(pilot, "496 keys")
    await pilot.press(*"496", "enter")
    await shows(pilot, "496 keys done")
    assert await contents(client, "/moved/") == {}
    assert len(await contents(client, "/big/")) == 250


async def stopped_and_gone_on_with(pilot: Pilot[None], app: KvorumApp, client: Client) -> None:
    """As if the terminal had been killed: of a kept plan the first transaction is done."""
    plans = app.front.session.plans
    found = await plans.read(prefixes=[b"/big/"])
    made = relocating(found.records, lambda key: b"/copy" + key[4:], {}, move=False)
    store = PlanStore()
    store.keep(Plan("Copy", "Copy", made.steps, cluster=found.cluster), "here")
    done: list[int] = []
    outcome = await plans.carry_out(
        made.steps, done.append, lambda steps, revision: None, lambda: bool(done)
    )
    assert (outcome.done, outcome.stopped) == (100, True)
    await pilot.press("P")
    await shows(pilot, "Unfinished plans", "0 of 250")
    await pilot.press("enter")
    await shows(pilot, "150 keys: 150 new", "100 keys of this plan are done already")
    await pilot.press(*"150", "enter")
    await shows(pilot, "Copy: 150 keys done")
    assert len(await contents(client, "/copy/")) == 250
    assert store.all() == []


async def a_transaction_of_somebody_else(
    pilot: Pilot[None], app: KvorumApp, client: Client
) -> None:
    """All keys of it come back together, with the lease that one had."""
    lease = await client.leases.grant(600)
    await client.put("/t/a", "1", lease=lease.id)
    await client.put("/t/b", "2")
    await client.commit(Txn((), (Delete("/t/a"), Put("/t/b", "x"), Put("/u/new", "n"))))
    await at(pilot, app, b"/t/", True)
    await pilot.press("u")
    await shows(pilot, "/t/a and 1 more")
    await pilot.press("home")
    chooser = app.screen.query_one("#rows")
    rows = chooser.rows  # type: ignore[attr-defined]  # an UndoList
    await pilot.press(*["down"] * next(n for n, row in enumerate(rows) if row.entry is None))
    await pilot.press("enter")
    await shows(pilot, "3 keys: 1 new, 1 changed, 1 deleted; in one transaction")
    await pilot.press("enter")
    await shows(pilot, "3 keys done")
    assert await contents(client, "/t/") == {"/t/a": "1", "/t/b": "2"}
    assert await contents(client, "/u/") == {}
    kept = (await client.get("/t/a")).kv
    assert kept is not None
    assert kept.lease == lease.id


async def a_lease_that_goes(pilot: Pilot[None], app: KvorumApp, client: Client) -> None:
    """Between preview and write; and one that took its key with it."""
    lease = await client.leases.grant(600)
    await client.put("/l/a", "1", lease=lease.id)
    await client.put("/l/b", "2")
    await at(pilot, app, b"/l/", True)
    await pilot.press("c")
    await to(pilot, app, "/m/")
    await client.leases.revoke(lease.id)
    await pilot.press("enter")
    await shows(pilot, "1 key of 2 done", "/m/a", "its lease is gone")
    assert await contents(client, "/m/") == {"/m/b": "2"}
    await pilot.press("escape")
    await until(pilot, lambda: len(app.screen_stack) == 1)
    # The lease's end deleted /l/a; that is a change like any other, with a reason why not.
    deeds = await app.front.session.plans.recent(b"/l/a", False, 5)
    assert deeds[0].after is None
    app.pane.aside(lambda: app.pane_of(KeysPane).changes.take_back(deeds[:1], "Undo it", None))
    await shows(pilot, "some keys hung on a lease that is gone", f"its lease {lease.id:x}")
    await pilot.press("right", "enter")
    await shows(pilot, "come back without one")
    await pilot.press("enter")
    await shows(pilot, "Undo it: 1 key done")
    back = (await client.get("/l/a")).kv
    assert back is not None
    assert (back.value, back.lease) == (b"1", 0)


async def what_is_compacted(pilot: Pilot[None], app: KvorumApp, client: Client) -> None:
    """It cannot be taken back, and says so."""
    await client.put("/k", "1")
    newest = (await client.put("/k", "2")).header.revision
    await client.compact(newest)
    deeds = await app.front.session.plans.recent(b"/k", False, 5)
    app.pane.aside(lambda: app.pane_of(KeysPane).changes.take_back(deeds, "Undo k", None))
    await shows(pilot, "this cannot be taken back", "is compacted away")


async def restricted(client: Client, endpoints: list[str]) -> None:
    """Somebody who may touch one branch only plans and takes back within it."""
    await client.put("/team/a", "1")
    auth = client.auth
    await auth.user_add("root", "r")
    await auth.role_add("root")
    await auth.grant_role("root", "root")
    await auth.user_add("u", "p")
    await auth.role_add("team")
    await auth.grant_permission("team", "READWRITE", "/team/", prefix=True)
    await auth.grant_role("u", "team")
    await auth.enable()
    session = LiveSession(endpoints, user="u", password="p")
    await session.open()
    try:
        found = await session.plans.read(prefixes=[b"/team/"])
        assert found.cluster == await session.plans.cluster()
        made = relocating(found.records, lambda key: b"/team/b", {}, move=True)
        outcome = await session.plans.carry_out(
            made.steps, lambda done: None, lambda steps, revision: None, lambda: False
        )
        assert outcome.done == 2
        deeds = await session.plans.recent(b"/team/", True, 3)
        assert {(deed.key, deed.after is None) for deed in deeds[:2]} == {
            (b"/team/a", True),
            (b"/team/b", False),
        }
    finally:
        await session.close()


@pytest.mark.parametrize("program", ["kvorum", "etcd"])
def test_plans_on_a_real_cluster(
    program: str, kvorum_cluster: Launch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KVORUM_PLANS", str(tmp_path))
    cluster = kvorum_cluster(1, program=program)

    async def run() -> None:
        async with Client(cluster.endpoints) as client:
            for first in range(0, 250, 50):
                puts = [Put(f"/big/{n:03}", f"{n}") for n in range(first, first + 50)]
                await client.commit(Txn((), tuple(puts)))
            app = KvorumApp(LiveSession(cluster.endpoints), "live")
            async with app.run_test(size=(120, 40), notifications=True) as pilot:
                await shows(pilot, "1/1 up", "Keys · 250")
                for scene in (
                    conflict_in_the_middle,
                    stopped_and_gone_on_with,
                    a_transaction_of_somebody_else,
                    a_lease_that_goes,
                    what_is_compacted,
                ):
                    await scene(pilot, app, client)
                    if len(app.screen_stack) > 1:
                        await pilot.press("escape")
                    await until(pilot, lambda: len(app.screen_stack) == 1, "no dialog")
            await restricted(client, list(cluster.endpoints))

    asyncio.run(run())


def test_the_verbs_do_the_same(kvorum_cluster: Launch) -> None:
    cluster = kvorum_cluster(1, program="etcd")

    def kvorum(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "kvorum", *arguments, "--endpoints", cluster.endpoints[0]]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    async def state(prefix: str = "/") -> dict[str, str]:
        async with Client(cluster.endpoints) as client:
            return await contents(client, prefix)

    async def prepare() -> None:
        async with Client(cluster.endpoints) as client:
            for number in range(3):
                await client.put(f"/a/{number}", f"{number}")
            await client.put("/b/1", "there")

    asyncio.run(prepare())
    refused = kvorum("copy", "/a/", "/b/", "--prefix", "--yes")
    assert (refused.returncode, "1 keys are at the target already (/b/1)" in refused.stderr) == (
        1,
        True,
    )
    shown = kvorum("copy", "/a/", "/b/", "--prefix", "--there", "skip")
    assert shown.stdout == "+ /b/0  0\n+ /b/2  2\n"
    done = kvorum("move", "/a/", "/b/", "--prefix", "--there", "overwrite", "--yes")
    assert "6 keys written" in done.stderr
    assert asyncio.run(state()) == {"/b/0": "0", "/b/1": "1", "/b/2": "2"}
    revision = done.stderr.rsplit("revision ", 1)[1].strip()
    assert len(kvorum("undo", revision).stdout.splitlines()) == 6
    back = kvorum("undo", revision, "--yes")
    assert "6 keys written" in back.stderr
    assert asyncio.run(state()) == {"/a/0": "0", "/a/1": "1", "/a/2": "2", "/b/1": "there"}
    again = kvorum("undo", revision, "--yes")
    assert (again.returncode, "changed since" in again.stderr) == (1, True)
    assert kvorum("copy", "/none", "/x").returncode == 4
