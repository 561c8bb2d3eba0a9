"""The Watch, Cluster and Leases tabs, the palette and the help, on a fake cluster."""

from __future__ import annotations

from kvorum_tui.actions import TABS
from kvorum_tui.app import KvorumApp
from kvorum_tui.model.records import LeaseInfo, LogEntryView
from kvorum_tui.screens.leases import LeasesPane
from kvorum_tui.theme import LIGHT
from kvorum_tui.widgets.dialogs import Form, Reader
from kvorum_tui.widgets.log_strip import LogStrips
from kvorum_tui.widgets.paint import TextLines
from textual.command import CommandPalette
from textual.pilot import Pilot
from textual.widgets import Input
from tui.fake_session import FakeSession
from tui.frames import frame, shows, until
from tui.tabs import answer, on_tab

# --- Cluster --------------------------------------------------------------------------------------


def test_the_member_table_and_aligned_logs() -> None:
    fake = FakeSession({b"a": b"1"})
    for node in fake.nodes:
        node.term = 4
        node.log = tuple(LogEntryView(i, 2 if i < 6 else 4, f"put {i}") for i in range(1, 12))
        node.commit = 9
    fake.nodes[2].applied = 3

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await shows(pilot, "L leader", "F follower", "6 entries", "BBBBBDDDDdd", "n1 leads term 4")
        await pilot.press("l")
        await until(pilot, lambda: app.query_one(LogStrips).has_focus)
        await pilot.press("left")
        await shows(pilot, "index 10:", "term 4 (D)", "put 10 on n1, n2, n3")
        await pilot.press("escape", "m")
        await shows(pilot, "leader, as it believes", "oldest kept revision", "peer n2")

    on_tab("cluster", body, fake)


def test_a_lost_member_keeps_its_row_and_a_new_leader_is_timed() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        fake.nodes[0].error = "connection refused"
        fake.report()
        await shows(
            pilot, "n1 does not answer", "leader n1 lost in term 1", "no leader for", "2/3 up"
        )
        fake.elect("n2", 2)
        await shows(pilot, "n2 leads term 2, ", "ms after n1 was lost", "leader n2 t2", "s old")
        text = frame(app)
        assert "n1" in text
        fake.nodes[0].error = ""
        await shows(pilot, "n1 is back", "3/3 up")

    on_tab("cluster", body)


def test_without_a_quorum_the_header_says_so() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        for node in fake.nodes[:2]:
            node.error = "connection refused"
        fake.report()
        await shows(pilot, "1/3 NO QUORUM", "no leader")
        await pilot.press("1")
        await shows(pilot, "[1 Keys]")

    on_tab("cluster", body)


def test_a_real_etcd_is_greyed_with_the_reason() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await shows(pilot, "etcd keeps its raft log to itself", "(l log)")
        await pilot.press("l")
        await shows(pilot, "log: etcd keeps its raft log to itself")
        await pilot.press("4")
        await shows(pilot, "etcd has no fault service", "(i isolate)", "(k kill)", "t transfer")

    on_tab("cluster", body, FakeSession({b"a": b"1"}, kind="etcd"))


# --- Leases ---------------------------------------------------------------------------------------


def leased() -> FakeSession:
    fake = FakeSession({b"/a/1": b"1"})
    fake.lease_table = {
        0xA1: LeaseInfo(0xA1, 60, 45, (b"/a/1",)),
        0xB2: LeaseInfo(0xB2, 3_600, 5),
    }
    return fake


def test_leases_with_bars_and_keys() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        text = await shows(pilot, "b2", "a1", "█", "!", "no key is attached")
        assert text.index(" b2 ") < text.index(" a1 ")
        await pilot.press("down")
        await shows(pilot, "/a/1")
        await pilot.press("enter")
        await shows(pilot, "[1 Keys]", "version 1")

    on_tab("leases", body, leased())


def test_grant_renew_hold_and_revoke() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await shows(pilot, "Leases · 2")
        await pilot.press("g")
        await until(pilot, lambda: isinstance(app.screen, Form))
        app.screen.query_one(Input).value = "0"
        await pilot.press("enter")
        await shows(pilot, "whole seconds from 1")
        app.screen.query_one(Input).value = "120"
        await pilot.press("enter")
        await until(pilot, lambda: ("grant", 120) in fake.calls, "granted")
        await shows(pilot, "Leases · 3")
        table = app.pane_of(LeasesPane).table
        await pilot.press("home", "K")
        await until(pilot, lambda: ("keep_alive", 0xB2) in fake.calls, "renewed")
        assert table.held() == [0xB2]
        await pilot.press("ctrl+q")
        await shows(pilot, "1 lease kept alive by this terminal will run out")
        await pilot.press("escape")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        pane = app.pane_of(LeasesPane)
        pane.list.cursor = next(n for n, row in enumerate(pane.list.shown) if row.info.id == 0xA1)
        await pilot.press("v")
        await shows(pilot, "Revoke this lease?", "Deletes 1 key", "/a/1")
        await answer(pilot, app, "enter")
        await until(pilot, lambda: ("revoke", 0xA1) in fake.calls, "revoked")
        await until(pilot, lambda: b"/a/1" not in fake.store, "its key is gone")

    on_tab("leases", body, leased())


# --- Everywhere -----------------------------------------------------------------------------------


def test_number_keys_change_tabs_and_help_explains() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        for tab in TABS:
            key, title = tab.key, tab.title
            await pilot.press(key)
            await shows(pilot, f"[{key} {title}]")
            await pilot.press("f1")
            await until(pilot, lambda: isinstance(app.screen, Reader))
            await pilot.press("escape")
            await until(pilot, lambda: len(app.screen_stack) == 1)
            await pilot.press("question_mark")
            await shows(pilot, f"In {title}")
            texts = app.screen.query_one(TextLines).plain()
            assert "Everywhere" in texts and "go from part to part" in texts
            await pilot.press("escape")
            await until(pilot, lambda: len(app.screen_stack) == 1)

    on_tab("keys", body)


def test_the_palette_finds_actions_members_and_keys() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await pilot.press("colon")
        await until(pilot, lambda: isinstance(app.screen, CommandPalette))
        await pilot.press(*"n2")
        await shows(pilot, "member n2")
        await pilot.press("escape", "escape")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        await pilot.press("ctrl+p")
        await until(pilot, lambda: isinstance(app.screen, CommandPalette))
        await pilot.press(*"/a/2")
        await shows(pilot, "/a/2")
        await pilot.press("down", "enter")
        await shows(pilot, "two", "version 1")

    on_tab("keys", body)


def test_the_light_theme_and_no_colour_alone() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await pilot.press("f2")
        await until(pilot, lambda: app.theme == LIGHT.name)
        await shows(pilot, "[3 Cluster]", "L leader", "●●●")
        fake.nodes[2].error = "gone"
        fake.report()
        await shows(pilot, "●●○", "x ")

    on_tab("cluster", body)


def test_every_tab_fits_the_smallest_screen() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        for key in "1234567890":
            await pilot.press(key)
            await pilot.pause()
            lines = frame(app).split("\n")
            assert len(lines) == 24
            assert all(len(line) <= 80 for line in lines)
            assert "? keys" in "\n".join(lines[-2:]) and "^q quit" in lines[-1], key

    on_tab("keys", body, leased(), size=(80, 24))


def test_members_found_beyond_the_endpoints_given() -> None:
    class OneEndpoint(FakeSession):
        @property
        def endpoints(self) -> tuple[str, ...]:
            return (self.nodes[0].endpoint,)

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await shows(pilot, "n3", "●●●")
        assert [state.name for state in app.cluster.rows()] == ["n1", "n2", "n3"]

    on_tab("cluster", body, OneEndpoint())
