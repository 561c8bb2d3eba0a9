"""The terminal on real clusters: three etcd members, and three kvorum nodes that are broken on
purpose.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from kvorum.client import Client, ClientError
from kvorum.cluster.control import SupervisorControl
from kvorum_tui.app import KvorumApp
from kvorum_tui.live import LiveSession
from kvorum_tui.model.log_strip import strips
from kvorum_tui.screens.keys import KeysPane
from kvorum_tui.screens.leases import LeasesPane
from kvorum_tui.session import ReadOnly, SessionError
from support.clusters import ClusterHandle
from textual.pilot import Pilot
from tui.frames import frame, shows, until

Launch = Callable[..., ClusterHandle]
Body = Callable[[Pilot[None], KvorumApp, Client], Awaitable[None]]


def on_cluster(cluster: ClusterHandle, body: Body, **options: Any) -> None:
    """Run the terminal, headless, on a cluster that runs."""
    read_only = options.pop("read_only", False)

    async def run() -> None:
        async with Client(cluster.endpoints) as client:
            for number in range(30):
                await client.put(f"/app/{number:02d}", f'{{"n": {number}}}')
            session = LiveSession(cluster.endpoints, read_only=read_only)
            control = SupervisorControl(cluster.supervisor)
            app = KvorumApp(session, "live", control, **options)
            async with app.run_test(size=(120, 40), notifications=True) as pilot:
                await shows(pilot, "3/3 up", "leader n")
                await body(pilot, app, client)

    asyncio.run(run())


async def see(pilot: Pilot[None], app: KvorumApp, key: bytes) -> None:
    """Put the cursor on a key and wait for its value."""
    pane = app.pane_of(KeysPane)
    await until(pilot, lambda: key in pane.index, f"{key!r} in the tree")
    app.goto_key(key)
    await until(pilot, lambda: pane.record is not None and pane.record.key == key, f"{key!r} read")


async def browse_edit_and_undo(pilot: Pilot[None], app: KvorumApp, client: Client) -> None:
    """What works the same on both kinds of server."""
    await shows(pilot, "Keys · 30", "live")
    await see(pilot, app, b"/app/07")
    await shows(pilot, '"n": 7')
    await client.put("/app/07", '{"n": "changed elsewhere"}')
    await shows(pilot, "changed elsewhere", "version 2")
    await client.delete("/app/07")
    await shows(pilot, "Keys · 29")
    await client.put("/app/07", '{"n": 70}')
    await shows(pilot, "Keys · 30")
    await see(pilot, app, b"/app/07")
    await pilot.press("h")
    await shows(pilot, "History", "deleted", "changed elsewhere")
    await pilot.press("down", "down", "R")
    await shows(pilot, "Write revision", '+   "n": "changed elsewhere"')
    await pilot.press("enter")
    await until(pilot, lambda: "saved at revision" in frame(app))
    assert (await client.get("/app/07")).value == b'{"n": "changed elsewhere"}'
    await pilot.press("escape", "home", "w")
    await shows(pilot, "[2 Watch]", "nothing changed since revision")
    for number in range(3):
        await client.put("/watched", str(number))
    await shows(pilot, "new 0", "0 → 1", "1 → 2")
    await pilot.press("7", "g")
    await shows(pilot, "Grant a lease")
    await pilot.press("enter")
    await shows(pilot, "Leases · 1", "granted lease")


async def see_who_wrote(pilot: Pilot[None], app: KvorumApp, client: Client) -> None:
    """The history of a kvorum node says when, and by which member, also of what comes live."""
    pane = app.pane_of(KeysPane)
    await see(pilot, app, b"/app/11")
    await pilot.press("h")
    await shows(pilot, "when", "by")
    await client.put("/app/11", "once more")
    await shows(pilot, "once more")
    names = {member.name for member in app.cluster.rows()}
    await until(pilot, lambda: all(e.at_ms for e in pane.history.list.events), "all are dated")
    assert len(pane.history.list.events) == 2
    assert {app.cluster.name_of(event.member) for event in pane.history.list.events} <= names
    await pilot.press("escape")


async def see_a_lease_run_out(pilot: Pilot[None], app: KvorumApp, client: Client) -> None:
    """Its bar gets shorter, then the lease is gone from its tab and the key from the tree."""
    lease = await client.leases.grant(4)
    await client.put("/app/short", "lived", lease=lease.id)
    await shows(pilot, "Keys · ", "short")
    await pilot.press("7")

    def bar() -> float:
        row = app.pane_of(LeasesPane).table.get(lease.id)
        return row.share(app.clock()) if row is not None else -1.0

    await shows(pilot, f"{lease.id:x}", "!")
    first = bar()
    await until(pilot, lambda: 0 <= bar() < first / 2, "a shorter bar")
    await until(pilot, lambda: f"{lease.id:x}" not in frame(app), "the lease is gone")
    await pilot.press("1")
    await until(pilot, lambda: b"/app/short" not in app.pane_of(KeysPane).index, "the key is gone")


@pytest.mark.slow
def test_on_a_real_etcd(kvorum_cluster: Launch) -> None:
    async def body(pilot: Pilot[None], app: KvorumApp, client: Client) -> None:
        await browse_edit_and_undo(pilot, app, client)
        await pilot.press("3")
        await shows(pilot, "n1", "n2", "n3", "etcd keeps its raft log to itself", "L leader")
        follower = next(m for m in app.cluster.rows() if m.report and m.report.role == "follower")
        rows = app.cluster.rows()
        await pilot.press("home", *["down"] * rows.index(follower), "t")
        await shows(pilot, f"Hand leadership to {follower.name}?")
        await pilot.press("enter")
        await shows(pilot, f"leader {follower.name} t")

    on_cluster(kvorum_cluster(3, program="etcd"), body)


@pytest.mark.slow
def test_on_kvorum_nodes(kvorum_cluster: Launch) -> None:
    async def body(pilot: Pilot[None], app: KvorumApp, client: Client) -> None:
        await browse_edit_and_undo(pilot, app, client)
        await pilot.press("3")
        await shows(pilot, "Raft logs", "=>", "F follower")
        follower = next(m for m in app.cluster.rows() if m.report and m.report.role == "follower")
        await pilot.press("home", *["down"] * app.cluster.rows().index(follower), "t")
        await shows(pilot, f"Hand leadership to {follower.name}?")
        await pilot.press("enter")
        await shows(pilot, f"leader {follower.name} t", "was asked to hand over")
        await see_who_wrote(pilot, app, client)
        await see_a_lease_run_out(pilot, app, client)

    on_cluster(kvorum_cluster(3, faults=True), body)


@pytest.mark.slow
def test_the_leader_is_isolated_killed_and_comes_back(kvorum_cluster: Launch) -> None:
    async def body(pilot: Pilot[None], app: KvorumApp, client: Client) -> None:
        model = app.cluster
        leader = model.leader(app.clock())
        assert leader is not None
        await pilot.press(*["down"] * model.rows().index(leader), "i")
        await shows(pilot, f"Isolate {leader.name}?", "writes wait for an election")
        await pilot.press("enter")
        await shows(pilot, "✗ ", "all peers")
        await until(pilot, lambda: model.last_election_ms is not None, "a new leader")
        await shows(pilot, f"ms after {leader.name} was lost", "3/3 up")
        await pilot.press("X")
        await shows(pilot, "healed all: 1 fault lifted", "no fault is on")
        await until(pilot, lambda: model.leader(app.clock()) is not None)
        await pilot.press("k")
        await shows(pilot, f"Kill {leader.name}?")
        await pilot.press("enter")
        await shows(pilot, f"killed {leader.name}", "2/3 up", "○ silent")
        await client.put("/while", "one is down")
        await pilot.press("r")
        await shows(pilot, f"{leader.name} is back", "3/3 up")

    on_cluster(kvorum_cluster(3, faults=True), body, first_tab="drills")


@pytest.mark.slow
def test_the_tail_of_a_cut_off_leader_is_replaced(kvorum_cluster: Launch) -> None:
    def letters(app: KvorumApp, name: str) -> str:
        """A member's log as it is painted, committed entries in capitals."""
        row = next(r for r in strips(app.cluster, 60, 60, app.clock()) if r.member.name == name)
        return "".join(
            cell.letter if cell.committed else cell.letter.lower()
            for cell in row.cells
            if cell.entry
        )

    async def body(pilot: Pilot[None], app: KvorumApp, client: Client) -> None:
        model = app.cluster
        old = model.leader(app.clock())
        assert old is not None and old.report is not None
        term = old.report.term
        await pilot.press(*["down"] * model.rows().index(old), "i")
        await shows(pilot, f"Isolate {old.name}?")
        await pilot.press("enter")
        await shows(pilot, f"{old.name}: link cut to and from all peers")
        writes = [
            asyncio.create_task(client.member(old.endpoint).put(f"/lost/{n}", "x", timeout_s=3.0))
            for n in range(5)
        ]
        await shows(pilot, f"ms after {old.name} was lost")
        await pilot.press("3")
        await until(pilot, lambda: letters(app, old.name).endswith("abcde"[term - 1]), "a tail")
        new = model.leader(app.clock())
        assert new is not None
        assert letters(app, new.name).isupper()
        for write in await asyncio.gather(*writes, return_exceptions=True):
            assert isinstance(write, ClientError), "a leader without a quorum acknowledged a write"
        await pilot.press("4", "X", "3")
        await shows(pilot, f"of term {term} replaced")
        await until(
            pilot, lambda: letters(app, old.name) == letters(app, new.name), "the same logs"
        )
        assert letters(app, old.name).isupper()
        assert (await client.range("/lost/", prefix=True)).count == 0

    on_cluster(kvorum_cluster(3, faults=True), body, first_tab="drills")


@pytest.mark.slow
def test_nothing_freezes_without_a_quorum(kvorum_cluster: Launch) -> None:
    cluster = kvorum_cluster(3)

    async def body(pilot: Pilot[None], app: KvorumApp, client: Client) -> None:
        await see(pilot, app, b"/app/03")
        for name in cluster.names[:2]:
            await asyncio.to_thread(cluster.supervisor.kill, name)
        await shows(pilot, "1/3 NO QUORUM", "no leader")
        for key in "234":
            await pilot.press(key)
            await shows(pilot, f"[{key} ")
        await pilot.press("1")
        await see(pilot, app, b"/app/05")
        await shows(pilot, '"n": 5', "NO QUORUM, one member's view")
        for name in cluster.names[:2]:
            await asyncio.to_thread(cluster.supervisor.restart, name)
        await shows(pilot, "3/3 up", "leader n")
        await client.put("/app/05", "fresh")
        await shows(pilot, "fresh")

    on_cluster(cluster, body)


@pytest.mark.slow
def test_read_only_is_held_below_the_screens(kvorum_cluster: Launch) -> None:
    cluster = kvorum_cluster(1, program="etcd")

    async def run() -> None:
        session = LiveSession(cluster.endpoints, read_only=True)
        await session.open()
        try:
            for call in (
                session.save(b"k", b"v", 0),
                session.save(b"k", b"v", -1),
                session.delete_prefix(b"k"),
                session.grant(60),
                session.keep_alive(1),
                session.revoke(1),
                session.move_leader(1),
                session.sever(cluster.endpoints[0], 0, "both", 1_000),
                session.pause(cluster.endpoints[0], 1_000),
                session.heal(cluster.endpoints[0]),
                session.lift(cluster.endpoints[0], 1),
            ):
                with pytest.raises(ReadOnly):
                    await call
            assert await session.get(b"k") is None
            assert (await session.sample(b""))[0] == 0
        finally:
            await session.close()

    asyncio.run(run())


def test_a_dead_address_gives_errors_and_never_hangs() -> None:
    async def run() -> None:
        session = LiveSession(["http://127.0.0.1:1"])
        await session.open()
        try:
            with pytest.raises(SessionError) as failed:
                await session.get(b"k")
            assert failed.value.code == "UNAVAILABLE"
            with pytest.raises(SessionError):
                async for _ in session.reports(session.endpoints[0]):
                    pass
        finally:
            await session.close()

    asyncio.run(run())


def test_headless_commands_do_not_load_textual() -> None:
    code = (
        "import sys, kvorum.cli, kvorum.client, kvorum.cli.terminal;"
        "sys.exit('textual' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
