"""The Cluster and Leases tabs on real members, kvorum's and etcd's: comparing members that hold the
same and members that do not, figures and round trips, locks that somebody else holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from kvorum.client import Client
from kvorum_tui.app import KvorumApp
from kvorum_tui.live import LiveSession
from kvorum_tui.model.cluster_series import BY_NAME
from kvorum_tui.screens.cluster import ClusterPane
from kvorum_tui.screens.cluster_compare import CompareScreen
from kvorum_tui.screens.leases import LeasesPane
from kvorum_tui.widgets.dialogs import Form
from support.clusters import ClusterHandle
from textual.pilot import Pilot
from textual.widgets import Input
from tui.frames import shows, until

Launch = Callable[..., ClusterHandle]
Body = Callable[[Pilot[None], KvorumApp], Awaitable[None]]
PROGRAMS = ("kvorum", "etcd")


async def on_session(session: LiveSession, body: Body, size: tuple[int, int] = (120, 50)) -> None:
    """Run the terminal on a session, at the Cluster tab."""
    app = KvorumApp(session, "live", first_tab="cluster")
    async with app.run_test(size=size, notifications=True) as pilot:
        await body(pilot, app)


async def write_on(client: Client) -> None:
    """Until cancelled, so that a rate is above nothing whenever somebody looks."""
    while True:
        await client.put("/load/on", "x")
        await asyncio.sleep(0.02)


async def see_the_cluster(pilot: Pilot[None], app: KvorumApp, client: Client, etcd: bool) -> None:
    """All members hold the same while somebody writes; figures and round trips come by themselves,
    on a real etcd from its metrics.
    """
    writes = [asyncio.create_task(client.put(f"/load/{n}", "x")) for n in range(50)]
    await pilot.press("h")
    await shows(pilot, "SAME: the same hash on all 3 members")
    await asyncio.gather(*writes)
    writing = asyncio.create_task(write_on(client))
    await pilot.press("escape")
    await until(pilot, lambda: len(app.screen_stack) == 1)
    series, latency = app.cluster.series, app.cluster.latency
    told = ["writes", "fsync_p99", "watchers", "rtt"]
    told += ["commit_p99"] if etcd else ["put_p99", "apply_p99"]
    await until(
        pilot,
        lambda: all(any(series.cluster(BY_NAME[name], app.clock(), 60)) for name in told),
        "figures",
    )
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    assert series.why_not(BY_NAME["pending"]) == ""
    assert bool(series.why_not(BY_NAME["put_p99"])) == etcd
    ids = [state.id for state in app.cluster.rows()]
    ways = [(0, target) for target in ids]
    if not etcd:  # etcd measures its links every few seconds only.
        ways += [(a, b) for a in ids for b in ids if a != b]
    await until(pilot, lambda: all(way in latency.spreads(ids) for way in ways), "round trips")
    await pilot.press("home", "enter")
    await shows(pilot, "none: this address is served without TLS", "in use", "fsync")
    await pilot.press("escape")
    await until(pilot, lambda: len(app.screen_stack) == 1)


async def see_the_log(pilot: Pilot[None], app: KvorumApp, client: Client) -> None:
    """An entry says what it is, and the log goes back beyond what is reported all the time."""
    await asyncio.gather(*(client.put(f"/log/{number}", "x") for number in range(200)))
    pane = app.pane_of(ClusterPane)
    await pilot.press("l", "enter")
    await shows(pilot, "Raft log, index", "committed and applied", "put /log/")
    await pilot.press("escape")
    await until(pilot, lambda: len(app.screen_stack) == 1)
    await pilot.press("home")
    await until(pilot, lambda: len(pane.strips.older) == 3, "older entries of all members")


async def see_locks(pilot: Pilot[None], app: KvorumApp, client: Client, etcd: bool) -> None:
    """Somebody holds a lock; the terminal gets in line, breaks it, and holds it itself."""
    pane = app.pane_of(LeasesPane)
    async with client.lock("/locks/job", ttl_s=9, value="worker-1") as held:
        await pilot.press("7", "l")
        await shows(pilot, "/locks/job/…", "worker-1", "HOLDS")
        if not etcd:
            await until(pilot, lambda: pane.places.places[0].since is not None, "since when")
        await pilot.press("c")
        await until(pilot, lambda: isinstance(app.screen, Form))
        app.screen.query_one("#in-value", Input).value = "terminal"
        await pilot.press("enter", "enter", "enter")
        await shows(pilot, "behind 1 other", "1. waits terminal")
        await pilot.press("v")
        await shows(pilot, "It holds /locks/job/; the next in line takes over.")
        await pilot.press("enter")
        await shows(pilot, "HOLDS    terminal")
        await held.lost.wait()
    (mine,) = pane.table.held()
    assert (await client.leases.time_to_live(mine)).ttl_s > 20
    await pilot.press("escape", "G")
    await until(pilot, lambda: isinstance(app.screen, Form))
    await pilot.press(*"7ee", "enter", "enter")
    await shows(pilot, "granted lease 7ee", " 7ee ")
    assert 0x7EE in await client.leases.list()
    then = (await client.get("/load/1")).header.revision
    await client.leases.revoke(mine)
    await until(pilot, lambda: mine not in [row.info.id for row in pane.list.shown], "it is gone")
    app.front.travel(then)
    await shows(pilot, f"at revision {then:,}", "is not recorded", "/locks/job/")
    app.front.travel(0)


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS)
def test_three_members(kvorum_cluster: Launch, program: str) -> None:
    cluster = kvorum_cluster(3, program=program)

    async def run() -> None:
        async with Client(cluster.endpoints) as client:

            async def body(pilot: Pilot[None], app: KvorumApp) -> None:
                await shows(pilot, "3/3 up", "leader n")
                await see_the_cluster(pilot, app, client, program == "etcd")
                if program == "kvorum":
                    await see_the_log(pilot, app, client)
                await see_locks(pilot, app, client, program == "etcd")

            await on_session(LiveSession(cluster.endpoints), body)

    asyncio.run(run())


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS)
def test_members_that_have_come_apart(kvorum_cluster: Launch, program: str) -> None:
    """Two clusters of one member behind one session: the same writes, but for one value and one
    key.
    """
    members = [kvorum_cluster(1, program=program) for _ in range(2)]
    endpoints = [cluster.endpoints[0] for cluster in members]

    async def run() -> None:
        for number, endpoint in enumerate(endpoints):
            async with Client([endpoint]) as client:
                for n in range(40):
                    bad = number == 1 and n == 17
                    await client.put(f"/app/{n:02d}", "rotten" if bad else "sound")
                if number == 0:
                    await client.put("/app/extra", "only here")
                else:
                    await client.put("/other", "only there")

        async def body(pilot: Pilot[None], app: KvorumApp) -> None:
            await shows(pilot, "different clusters")
            await pilot.press("h")
            await shows(pilot, "DIFFERENT", "revision 19; equal up to revision 18")
            await shows(pilot, "put /app/17 = sound", "put /app/17 = rotten")
            await shows(pilot, "3 keys differ, all below /", "rotten  rev 19")
            await pilot.press("end")
            await shows(pilot, "has no such key")
            screen = app.screen
            assert isinstance(screen, CompareScreen)
            await until(pilot, lambda: screen.comparing.result.done)
            kinds = {d.key: d.kind() for d in screen.list.found}
            assert kinds == {b"/app/17": "value", b"/app/extra": "missing", b"/other": "missing"}

        await on_session(LiveSession(endpoints), body)

    asyncio.run(run())
