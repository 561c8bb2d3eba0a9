"""The Watch tab on a fake cluster: panes, tiles, filters, files, hooks, members, travel."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from kvorum_tui.app import KvorumApp
from kvorum_tui.model.watch_buffer import Gap
from kvorum_tui.model.watch_lines import read_event_line
from kvorum_tui.screens.watch import WatchPane
from kvorum_tui.screens.watch_box import MembersBox, WatchBox
from kvorum_tui.session import SessionError
from kvorum_tui.widgets.dialogs import Choice, Confirm, Form, Reader
from textual.pilot import Pilot
from textual.widgets import Input
from tui.fake_session import FakeSession
from tui.frames import frame, shows, until
from tui.tabs import on_tab


def first(app: KvorumApp) -> WatchBox:
    box = app.pane_of(WatchPane).boxes[0]
    assert isinstance(box, WatchBox)
    return box


async def fill(pilot: Pilot[None], app: KvorumApp, **values: str) -> None:
    """Fill a form in and send it off."""
    await until(pilot, lambda: isinstance(app.screen, Form), "a form")
    for name, value in values.items():
        app.screen.query_one(f"#in-{name}", Input).value = value
    fields = len(app.screen.query(Input))
    await pilot.press(*["enter"] * fields)


async def open_all(pilot: Pilot[None], app: KvorumApp) -> None:
    app.watch_key(b"", True)
    await shows(pilot, "all keys", "nothing changed")


def test_a_watch_pane_shows_changes_with_the_value_before() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await shows(pilot, "No watch is open", "a  adds one")
        app.watch_key(b"/a/", True)
        await shows(pilot, "/a/*", "nothing changed since revision")
        fake.write(b"/a/1", b"uno")
        fake.write(b"/a/new", b'{"spec": {"replicas": 2}}')
        fake.write(b"/a/new", b'{"spec": {"replicas": 3}}')
        fake.write(b"elsewhere", b"not watched")
        fake.remove(b"/a/2")
        text = await shows(
            pilot, "one → uno", ".spec.replicas 2 → 3", "deleted", "was two", "4 events"
        )
        assert "not watched" not in text

    on_tab("watch", body)


def test_pause_holds_and_lets_in() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        app.watch_key(b"b", False)
        await shows(pilot, "nothing changed")
        await pilot.press("p")
        fake.write(b"b", b"while paused")
        await shows(pilot, "PAUSED, 1 held")
        assert "while paused" not in frame(app)
        await pilot.press("p")
        await shows(pilot, "while paused")

    on_tab("watch", body)


def test_a_filter_hides_and_gives_back() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await open_all(pilot, app)
        fake.write(b"/a/1", b"first")
        fake.write(b"b", b"second")
        await shows(pilot, "first", "second")
        await pilot.press("slash", *"!first", "enter")
        await shows(pilot, "filter !first hides 1")
        assert "one → first" not in frame(app)
        await pilot.press("escape")
        await shows(pilot, "one → first", "x → second")

    on_tab("watch", body)


def test_six_panes_from_a_form_and_no_seventh() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await pilot.press("a")
        await fill(pilot, app, key="/a/*", start="nonsense")
        await shows(pilot, "a revision is a number above 0")
        await fill(pilot, app, start="1", name="my pane")
        await shows(pilot, "my pane · /a/*", "2 events", "new one", "new two")
        pane = app.pane_of(WatchPane)
        for number in range(5):
            pane.add_pane(b"key%d" % number, False, 0)
        await until(pilot, lambda: len(pane.boxes) == 6)
        text = await shows(pilot, "key4", "my pane")
        assert "[6 key4]" not in text, "all six fit: no strip"
        assert "6 panes are open" in pane.why_not("watch_add")
        await pilot.press("z")
        await shows(pilot, "[6 key4]", " 1 my pane · /a/* ")
        assert sum(box.display for box in pane.boxes) == 1
        await pilot.press("right_square_bracket")
        await shows(pilot, "[1 my pane", "new two")
        await pilot.press("escape")
        await until(pilot, lambda: all(box.display for box in pane.boxes), "no zoom")
        await pilot.press("x")
        await until(pilot, lambda: len(pane.boxes) == 5)
        assert pane.why_not("watch_add") == ""

    on_tab("watch", body)


def test_on_a_small_screen_the_others_wait_behind_tabs() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        pane = app.pane_of(WatchPane)
        for number in range(4):
            pane.add_pane(b"key%d" % number, False, 0)
        await shows(pilot, "[4 key3]", " 1 key0 ")
        assert [box.display for box in pane.boxes] == [False, False, True, True]
        await pilot.press("right_square_bracket")
        await shows(pilot, "[1 key0]")
        assert [box.display for box in pane.boxes] == [True, True, False, False]
        assert all(len(line) <= 80 for line in frame(app).split("\n"))

    on_tab("watch", body, size=(80, 24))


def test_an_event_leads_to_its_key_and_to_all_about_it() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        app.watch_key(b"/a/", True)
        await shows(pilot, "nothing changed")
        fake.write(b"/a/2", b'{"a": 1}', lease=0xAB)
        fake.write(b"/a/2", b'{"a": 2}')
        await shows(pilot, ".a 1 → 2")
        await pilot.press("v")
        await until(pilot, lambda: isinstance(app.screen, Reader))
        await shows(pilot, "version 3", "What differs", '−   "a": 1', '+   "a": 2')
        await pilot.press("escape")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        await pilot.press("g")
        await shows(pilot, "[1 Keys]", "version 3")

    on_tab("watch", body)


def test_a_watch_storm_leaves_the_screen_alive() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        app.watch_key(b"/a/", True)
        await shows(pilot, "nothing changed")
        box = first(app)
        pane = app.pane_of(WatchPane)
        before = pane.pulse.told
        for number in range(20_000):
            fake.write(b"/a/%d" % (number % 7), b"%d" % number)
        await shows(pilot, "20,000 events", "→ 19999", "coalesced")
        buffer = box.buffer
        assert buffer.kept() + buffer.coalesced + buffer.dropped == buffer.total == 20_000
        assert pane.pulse.told - before < 200

    on_tab("watch", body)


def test_compaction_and_a_broken_watch_are_shown() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        fake.compacted = 3
        app.pane_of(WatchPane).add_pane(b"", True, 1)
        await shows(pilot, "~ compacted: nothing is kept before revision 3", "new two")
        fake.fail = SessionError("gone", "n1", "Watch", "UNAVAILABLE")
        fake.report()
        await shows(pilot, "BROKEN, retrying")
        fake.fail = None
        fake.write(b"/a/1", b"after")
        await shows(pilot, "after", "resumed 1×")
        revisions = [e.revision for e in first(app).buffer.entries if not isinstance(e, Gap)]
        assert revisions == [3, 4, 5], "each once, none missed"

    on_tab("watch", body)


# --- files and hooks ------------------------------------------------------------------------------


def test_events_are_saved_byte_for_byte(tmp_path: Path) -> None:
    once, onward = tmp_path / "once.jsonl", tmp_path / "on.jsonl"

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await open_all(pilot, app)
        fake.write(b"/a/1", b"\xff\x00")
        await shows(pilot, "1 event ")
        await pilot.press("ctrl+s")
        await fill(pilot, app, file=str(once))
        await until(pilot, lambda: once.exists() and once.read_text().endswith("\n"), "saved")
        entry = first(app).buffer.entries[0]
        assert [read_event_line(line) for line in once.read_text().splitlines()] == [entry]
        await pilot.press("ctrl+s")
        await fill(pilot, app, file=str(once), on="y")
        await shows(pilot, "once.jsonl exists")
        await fill(pilot, app, file=str(onward))
        await shows(pilot, "→ on.jsonl")
        await pilot.press("slash", *"nothing", "enter")
        fake.write(b"b", b"hidden, and saved all the same")
        await shows(pilot, "hides 2")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(app.screen, Choice))
        await pilot.press("right", "enter")
        await until(pilot, lambda: first(app).file is None, "closed")
        lines = [json.loads(line) for line in onward.read_text().splitlines()]
        assert [line["revision"] for line in lines] == [5, 6]

    on_tab("watch", body)


def test_a_command_runs_only_after_it_was_shown(tmp_path: Path) -> None:
    out = tmp_path / "out"
    code = f"import sys; open({str(out)!r}, 'a').write(sys.stdin.read()); print('heard')"

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await open_all(pilot, app)
        import shlex

        await pilot.press("h")
        await fill(pilot, app, toast="y", command=shlex.join([sys.executable, "-c", code]))
        await until(pilot, lambda: isinstance(app.screen, Confirm), "the question")
        await shows(pilot, "Run this command on this machine?", "import sys; open(")
        await pilot.press("enter")
        await shows(pilot, "hook note+runs")
        fake.write(b"/a/1", b"ring")
        await until(pilot, lambda: out.exists() and out.read_text().endswith("\n"), "it ran")
        assert json.loads(out.read_text())["value"] == "ring"
        await until(pilot, lambda: app.front.errors, "its words are kept")
        assert "heard" in str(app.front.errors[-1][1])
        fake.set_read_only(True)
        fake.write(b"/a/1", b"not run")
        pane = app.pane_of(WatchPane)
        await until(pilot, lambda: pane.commands.skipped == 1, "no command while read-only")

    on_tab("watch", body)


def test_a_layout_is_kept_and_opens_by_itself() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        pane = app.pane_of(WatchPane)
        pane.add_pane(b"/a/", True, 0, "mine")
        await shows(pilot, "mine · /a/*")
        await pilot.press("S")
        await fill(pilot, app, start="y")
        await shows(pilot, "kept in")

    async def again(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await shows(pilot, "mine · /a/*")
        await pilot.press("x")
        await shows(pilot, "L  opens the 1 pane kept for this cluster")
        await pilot.press("L")
        await shows(pilot, "mine · /a/*")
        await pilot.press("S")
        await fill(pilot, app, start="n")

    on_tab("watch", body)
    on_tab("watch", again)


# --- members and travel ---------------------------------------------------------------------------


def test_the_same_prefix_through_every_member() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await pilot.press("m")
        await fill(pilot, app, key="/a/*")
        await shows(pilot, "/a/* through 3 members", "n1", "n2", "n3", "nothing changed")
        fake.lagging.add("http://n3:2379")
        fake.write(b"/a/1", b"x")
        await shows(pilot, "first", "missing", "n3 −1", "n3 1 behind")
        box = app.pane_of(WatchPane).boxes[0]
        assert isinstance(box, MembersBox)
        fake.lagging.clear()
        fake.report()
        text = await shows(pilot, " ms")
        await until(pilot, lambda: not box.table.missing(box.table.rows[0]), "all have it")
        fake.nodes[1].error = "connection refused"
        fake.report()
        await shows(pilot, "n2 ✗", "n2 UNAVAILABLE")
        assert "not while" not in text
        assert "watch_pause" and "columns" in app.pane_of(WatchPane).why_not("watch_pause")

    on_tab("watch", body)


def test_travelling_shows_what_was_and_live_goes_on_behind() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await open_all(pilot, app)
        for number in range(1, 5):
            fake.write(b"/a/1", b"value %d" % number)
        await shows(pilot, "value [3→4]")
        await pilot.press("up", "enter")
        await until(pilot, lambda: app.front.at == 7, "travelled")
        text = await shows(pilot, "PAST up to revision 7", "— you look at this revision", "new one")
        assert "value [3→4]" not in text
        fake.write(b"/a/1", b"meanwhile")
        await shows(pilot, "live: 5")
        app.front.travel(0)
        text = await shows(pilot, "→ meanwhile", "5 events")
        assert "PAST" not in text

    on_tab("watch", body)
