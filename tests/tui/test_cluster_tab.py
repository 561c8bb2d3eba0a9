"""The Cluster tab on a cluster in memory: what is highlighted, the views, comparing members."""

from __future__ import annotations

import time

import pytest
from kvorum_tui.app import KvorumApp
from kvorum_tui.model.records import LogEntryView
from kvorum_tui.screens.cluster import ClusterPane
from kvorum_tui.screens.cluster_compare import CompareScreen
from kvorum_tui.screens.cluster_detail import told_certificate
from kvorum_tui.screens.keys import KeysPane
from kvorum_tui.session.checks import Certificate
from kvorum_tui.widgets.dialogs import Form, Reader
from kvorum_tui.widgets.member_table import WIDTHS, columns_for
from textual.pilot import Pilot
from textual.widgets import Input
from tui.fake_session import FakeSession
from tui.frames import frame, shows, until
from tui.tabs import on_tab


def logged(entries: int = 12) -> FakeSession:
    fake = FakeSession({b"/a/%d" % n: b"x" for n in range(5)})
    for node in fake.nodes:
        node.log = tuple(LogEntryView(i, 2, f"put /a/{i}", 30) for i in range(1, entries))
        node.term, node.commit, node.applied = 2, entries - 1, entries - 1
    return fake


async def closed(pilot: Pilot[None], app: KvorumApp) -> None:
    """Leave the dialog."""
    await pilot.press("escape")
    await until(pilot, lambda: len(app.screen_stack) == 1, "the dialog is closed")


@pytest.mark.parametrize("width", [20, 40, 60, 78, 118, 198])
def test_columns_fold_and_alarms_come_first(width: int) -> None:
    for alarms in (False, True):
        shown = columns_for(width, alarms)
        assert sum(WIDTHS[name] + 1 for name in shown) + 3 <= width
        assert not alarms or width < 60 or "alarms" in shown
    assert columns_for(198, False) == list(WIDTHS)


def test_what_members_disagree_about_is_said_and_marked() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        fake.nodes[1].role = "leader"
        fake.report()
        await shows(pilot, "ALARM: n1 and n2 both say that they lead term 2", "!L leader")
        fake.nodes[1].term = 7
        fake.report()
        await shows(pilot, "n1 still says it leads term 2", "terms differ: n2 is in term 7", "!7")
        fake.nodes[2].error = "connection refused"
        fake.report()
        await shows(pilot, "n3 is lost: its row is", "connection refused")
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, Reader))
        await shows(pilot, "What stands out", "n3 is lost")
        await closed(pilot, app)

    on_tab("cluster", body, logged())


def test_a_screen_of_eighty_columns_shows_one_view_a_large_one_all() -> None:
    async def small(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        text = await shows(pilot, "Raft logs, aligned by index", "n network", "What happened")
        assert "Round trips" not in text
        await pilot.press("n")
        await shows(pilot, "Round trips, p50", "l log", "here → n1: p50 0.40 ms")
        await pilot.press("down", "right")
        await shows(pilot, "n1 → n2: p50 0.30 ms", "so p999 is the highest")
        await pilot.press("s")
        await shows(pilot, "p99, ms", "Round trips, p99")
        await pilot.press("g")
        await shows(pilot, "client round trip", "trails by", "scale 0 to")
        await pilot.press("v")
        await shows(pilot, "10 min ago", "n1 leads term 2")
        await pilot.press("z")
        await until(pilot, lambda: "Members" not in frame(app), "zoomed")
        await pilot.press("escape")
        await shows(pilot, "Members", "n1 leads term 2")

    async def large(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await shows(pilot, "Raft logs, aligned", "Round trips", "Figures", "What happened")

    on_tab("cluster", small, logged(), size=(80, 24))
    on_tab("cluster", large, logged())


def test_five_members_fit_the_smallest_screen() -> None:
    fake = FakeSession({b"a": b"1"}, members=5)

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        fake.nodes[1].error = "connection refused"
        fake.report()
        await shows(pilot, "n2 is lost")
        text = await shows(pilot, "n1         AAAAAAAAAA", "n5         AAAAAAAAAA", "z more room")
        assert "What happened" not in text
        await pilot.press("n")
        await shows(pilot, "→ n5", "here → n1: p50")
        await pilot.press("l", "z")
        await shows(pilot, "n5         AAAAAAAAAA", "=>")

    on_tab("cluster", body, fake, size=(80, 24))


def test_a_figure_as_a_chart_with_axes() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await pilot.press("g")
        pane = app.pane_of(ClusterPane)
        names = [chart.name for chart in pane.figures.charts]
        pane.figures.cursor = names.index("db")
        await pilot.press("enter")
        await shows(pilot, "database", "the highest of all members", "32.0 KiB ┤", "└──", "now")
        await pilot.press("left")
        await shows(pilot, "5 min ago")
        await pilot.press("escape")
        await shows(pilot, "client round trip")

    on_tab("cluster", body, logged())


def test_what_etcd_cannot_tell_is_greyed_with_the_reason() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await shows(pilot, "etcd does not measure it", "no /metrics at its client address")
        await pilot.press("e")
        await shows(pilot, "etcd keeps its raft log to itself")

    on_tab("cluster", body, FakeSession({b"a": b"1"}, kind="etcd"), size=(120, 60))


def test_an_entry_in_full_and_walking_beyond_what_is_reported() -> None:
    fake = logged(400)
    for node in fake.nodes:
        fake.checks.full_log[node.name], node.log = node.log, node.log[-160:]
    fake.nodes[2].commit = fake.nodes[2].applied = 390

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await pilot.press("l", "enter")
        await shows(pilot, "Raft log, index 399", "put /a/399", "committed and applied")
        await shows(pilot, "NOT committed, may be replaced")
        await closed(pilot, app)
        strips = app.pane_of(ClusterPane).strips
        await pilot.press("home")
        await until(pilot, lambda: strips.older.get(fake.nodes[0].endpoint), "older entries")
        await pilot.press("home")
        await until(pilot, lambda: strips.index < 240, "walked back")
        await shows(pilot, f"index {strips.index}:", "on n1, n2, n3")

    on_tab("cluster", body, fake)


def test_events_are_filtered_and_lead_to_their_moment() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        fake.elect("n2", 3)
        await shows(pilot, "n2 leads term 3")
        fake.nodes[2].error = "gone"
        fake.report()
        await shows(pilot, "n3 does not answer")
        ribbon = app.pane_of(ClusterPane).ribbon
        await pilot.press("f")
        await shows(pilot, "What happened · only leaders")
        assert all(event.kind != "down" for event in ribbon.shown)
        await pilot.press("slash")
        await until(pilot, lambda: isinstance(app.screen, Form))
        app.screen.query_one(Input).value = "n2 leads"
        await pilot.press("enter")
        await until(pilot, lambda: len(ribbon.shown) == 1, "one event")
        moment = ribbon.shown[0].revision
        fake.write(b"later", b"x")
        fake.report()
        await pilot.press("enter")
        await until(pilot, lambda: app.front.at == moment, "travelled")
        await shows(pilot, f"other tabs show revision {moment}")
        await pilot.press("enter")
        await until(pilot, lambda: app.front.at == 0, "back to now")
        await pilot.press("escape")
        await until(pilot, lambda: "only" not in frame(app), "no filter")

    on_tab("cluster", body, logged())


def test_a_member_in_full_with_its_certificate() -> None:
    fake = logged()
    fake.checks.shown = Certificate("CN=n1", "CN=our own", time.time() + 3 * 86_400)

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await pilot.press("enter")
        await shows(pilot, "! expires in 2 d", "CN=our own", "peer n2", "match 10, next 11")
        await closed(pilot, app)

    on_tab("cluster", body, fake)


@pytest.mark.parametrize(
    ("left_s", "said", "ink"),
    [(-60, "EXPIRED", "bad"), (5 * 86_400, "! expires", "warn"), (90 * 86_400, "good for", "text")],
)
def test_certificates_in_words(left_s: float, said: str, ink: str) -> None:
    (_, (text, colour)), *_ = told_certificate(Certificate("a", "b", 1_000 + left_s), 1_000)
    assert text.startswith(said) and colour == ink


def test_members_that_hold_the_same_and_one_that_does_not() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await pilot.press("h")
        await shows(pilot, "SAME: the same hash on all 3 members, at revision 6")
        fake.checks.altered["n3"] = {b"/a/2": b"rotten", b"/a/3": None}
        await pilot.press("r")
        await shows(pilot, "DIFFERENT: members differ", "n1, n2 | n3", "← differs")
        await shows(pilot, "revision 4; equal up to revision 3", "2 keys differ, all below /a/")
        await until(pilot, lambda: isinstance(app.screen, CompareScreen) and app.screen.list.found)
        await pilot.press("end")
        await shows(pilot, "has no such key")
        await pilot.press("home")
        await shows(pilot, "n3          rotten")
        await pilot.press("enter")
        await shows(pilot, "[1 Keys]")
        keys = app.pane_of(KeysPane)
        await until(pilot, lambda: keys.record is not None and keys.record.key == b"/a/2", "there")

    on_tab("cluster", body, logged())
    on_tab("cluster", body, logged(), size=(80, 24))


def test_comparing_can_be_stopped() -> None:
    fake = logged()

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        fake.checks.held_back = True
        await pilot.press("h")
        await shows(pilot, "… hashing at revision 6")
        await closed(pilot, app)
        assert app.pane_of(ClusterPane).why_not("cluster_compare") == ""

    on_tab("cluster", body, fake)
