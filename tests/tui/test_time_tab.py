"""The Time tab on a cluster in memory: scrubbing, marks, what is gone, comparisons, heat, plans."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from kvorum_tui.app import KvorumApp
from kvorum_tui.model import mask
from kvorum_tui.screens.time import TimePane
from kvorum_tui.session import SessionError
from kvorum_tui.session.past import PastStatus
from textual.pilot import Pilot
from textual.widgets import Input
from tui.fake_session import FakeSession
from tui.fakes.past import EPOCH_MS
from tui.frames import frame, shows, until
from tui.tabs import answer, go, on_keys, on_tab


def shop(kind: str = "kvorum", compacted: int = 0) -> FakeSession:
    """A store with a past: 61 revisions, three keys gone."""
    fake = FakeSession({b"/app/web": b'{"port": 80}', b"/app/db": b"x", b"/tmp/1": b"t"}, kind=kind)
    for number in range(50):
        fake.write(b"/app/web", b'{"port": %d, "name": "web"}' % (100 + number))
    fake.write(b"/app/new", b"fresh")
    fake.write(b"/tmp/2", b"t2")
    fake.write(b"/tmp/3", b"t3")
    fake.remove(b"/tmp/1", b"/tmp/2")
    fake.write(b"/app/db", b"y")
    fake.remove(b"/tmp/3")
    fake.write(b"/app/web", b'{"port": 1, "name": "web"}')
    fake.compacted = compacted
    return fake


def pane_of(app: KvorumApp) -> TimePane:
    return app.pane_of(TimePane)


async def at(pilot: Pilot[None], app: KvorumApp, revision: int) -> None:
    """Wait until all tabs look there."""
    await until(pilot, lambda: app.front.at == revision, f"revision {revision}")


async def fill(pilot: Pilot[None], app: KvorumApp, *texts: str) -> None:
    """Wait for a form, write these into its lines, enter in each."""
    await until(pilot, lambda: len(app.screen_stack) == 2, "a form")
    for field, text in zip(app.screen.query(Input), texts, strict=True):
        field.value = text
    await pilot.press(*["enter"] * len(texts))


def test_scrubbing_takes_all_tabs_along() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await shows(pilot, "Changes around now, revision 61", "told by the nodes", "oldest 1")
        await pilot.press("[")
        await shows(pilot, "Changes around revision 60", "WRITES OFF")
        await at(pilot, app, 60)
        await pilot.press("[", "[", "[")
        await at(pilot, app, 57)
        assert (pane_of(app).line.behind, pane_of(app).line.here) == (4, 57)
        await shows(pilot, "> ", "/tmp/2")
        await pilot.press("1")
        await shows(pilot, "TIME", "57", "4 behind", "writes off")
        await pilot.press("n")
        await shows(pilot, "you look at revision 57; nothing can be written")
        await pilot.press("T")
        await at(pilot, app, 0)
        await until(pilot, lambda: "writes off ·" not in frame(app), "the banner is gone")
        await pilot.press("5", "(")
        await at(pilot, app, 1)
        await pilot.press("(")
        await shows(pilot, "nothing is kept before revision 1")
        await pilot.press("end")
        await at(pilot, app, 0)
        await pilot.press("home")
        await at(pilot, app, 1)
        await pilot.press(")")
        await at(pilot, app, 0)

    on_tab("time", body, shop())


def test_going_to_a_revision_a_clock_and_a_click() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await shows(pilot, "Changes around now")
        await pilot.press("g")
        await fill(pilot, app, "nowhere")
        await shows(pilot, "a clock as 14:02")
        await fill(pilot, app, "42")
        await at(pilot, app, 42)
        await shows(pilot, "/app/web  .port 136 → 137")
        await pilot.press("g")
        await fill(pilot, app, "-2")
        await at(pilot, app, 40)
        await pane_of(app)._go_clock(EPOCH_MS + 55_500)
        await at(pilot, app, 55)
        await pane_of(app)._go_clock(EPOCH_MS - 1)
        await shows(pilot, "nothing is kept from before")
        strip = pane_of(app).strip
        await pilot.click(strip, offset=(0, 1))
        await at(pilot, app, pane_of(app).line.revision_at(0, strip.content_size.width))
        await pilot.press("T")
        await at(pilot, app, 0)

    on_tab("time", body, shop())


def test_changes_tell_what_was_before_and_open_the_key() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await shows(pilot, ".port 149 → 1", "deleted  was t3", "paths that differ", "by n2")
        await pilot.press("up", "up")
        await shows(pilot, "/app/db", "− x", "+ y")
        await pilot.press("T")
        await at(pilot, app, 59)
        await pilot.press("enter")
        await shows(pilot, "[1 Keys]")
        assert app.front.at == 59

    on_tab("time", body, shop())


def test_only_a_prefix_and_marks_on_the_line() -> None:
    fake = shop()
    for number in range(30):
        fake.write(b"/many/%02d" % number, b"v")
    fake.remove(*(b"/many/%02d" % number for number in range(30)))
    fake.write(b"/app/db", b"z")

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await shows(pilot, "Changes around now")
        await pilot.press("/")
        await fill(pilot, app, "/tmp/")
        await shows(pilot, "only /tmp/")
        await until(pilot, lambda: len(pane_of(app).changes.changes.events) == 6, "six changes")
        assert {e.key[:5] for e in pane_of(app).changes.changes.events} == {b"/tmp/"}
        await pilot.press("escape")
        await until(pilot, lambda: len(pane_of(app).changes.changes.events) > 6, "all again")
        await pilot.press("{")
        await shows(pilot, "30 keys deleted")
        before = pane_of(app).line.here
        await pilot.press("+")
        await until(pilot, lambda: pane_of(app).line.zoom == 1, "closer")
        await pilot.press("-", "-")
        await shows(pilot, "all that is kept is shown")
        assert pane_of(app).line.here == before

    on_tab("time", body, fake)


def test_what_is_gone_comes_back_one_or_many() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await shows(pilot, "Changes around now")
        await pilot.press("x")
        await shows(pilot, "Deleted keys · 3", "rev 4", "/tmp/1", "/tmp/3")
        await shows(pilot, "deleted at revision 58; u brings it back")
        await pilot.press("u")
        await shows(pilot, "Bring back /tmp/1")
        await pilot.press("enter")
        await until(pilot, lambda: b"/tmp/1" in fake.store, "it is back")
        assert fake.store[b"/tmp/1"].value == b"t"
        await shows(pilot, "Deleted keys · 2")
        await pilot.press("*", "u")
        await shows(pilot, "Bring back 2 deleted keys")
        fake.write(b"/tmp/2", b"somebody was quicker")
        await pilot.press("enter")
        await until(pilot, lambda: b"/tmp/3" in fake.store, "the other is back")
        assert fake.store[b"/tmp/2"].value == b"somebody was quicker"

    on_tab("time", body, shop())


def test_compacted_keys_say_why_they_cannot_come_back() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await shows(pilot, "oldest revision 58", "Changes around now")
        await pilot.press("x")
        await shows(pilot, "compacted away", "it cannot come back")
        await pilot.press("u")
        await shows(pilot, "its last value is compacted away")
        await pilot.press("g")
        await fill(pilot, app, "3")
        await shows(pilot, "compacted: nothing is kept before revision 58")
        await at(pilot, app, 58)

    on_tab("time", body, shop(compacted=58))


def test_comparing_two_revisions_and_restoring_a_branch() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await shows(pilot, "Changes around now")
        await pilot.press("g")
        await fill(pilot, app, "54")
        await at(pilot, app, 54)
        await pilot.press("A")
        await shows(pilot, "A is revision 54")
        await pilot.press("c")
        await answer(pilot, app, "enter", "enter")
        await shows(pilot, "A all keys at 54 → B all keys now", "+1 −1 ~2", "app/", "tmp/")
        tree = pane_of(app).compare.tree_list
        paths = [row.path for row in tree.rows]
        await pilot.press(*["down"] * paths.index(b"/app/db"))
        await shows(pilot, "− x", "+ y", "all keys at 54: revision 3")
        await pilot.press("home", *["down"] * paths.index(b"/app/"), "U")
        await shows(pilot, "Make 3 keys as in A")
        await pilot.press("enter")
        await until(pilot, lambda: b"/app/new" not in fake.store, "as in A")
        assert fake.store[b"/app/db"].value == b"x"
        assert fake.store[b"/app/web"].value == b'{"port": 149, "name": "web"}'
        assert b"/tmp/1" not in fake.store, "the other branch stays"

    on_tab("time", body, shop())


def test_a_prefix_is_rolled_back_from_the_past() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await shows(pilot, "Changes around now")
        await pilot.press("R")
        await shows(pilot, "you look at now; go to the revision")
        pane_of(app).go(57)
        await at(pilot, app, 57)
        await pilot.press("R")
        await fill(pilot, app, "/tmp/")
        await shows(pilot, "Make /tmp/ as at revision 57", "restore-prefix")
        await pilot.press("escape")
        await at(pilot, app, 57)
        await pilot.press("R")
        await fill(pilot, app, "/tmp/")
        await shows(pilot, "Make /tmp/ as at revision 57")
        await pilot.press("enter")
        await until(pilot, lambda: b"/tmp/2" in fake.store, "rolled back")
        assert app.front.at == 0
        assert {k for k in fake.store if k.startswith(b"/tmp/")} == {
            b"/tmp/1",
            b"/tmp/2",
            b"/tmp/3",
        }

    on_tab("time", body, shop())


def test_a_comparison_is_written_to_files(tmp_path: Path) -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await shows(pilot, "Changes around now")
        await pilot.press("c")
        await fill(pilot, app, "/tmp/@57", "/tmp/")
        await shows(pilot, "A /tmp/ at 57 → B /tmp/ now: −3", "kvorum diff '/tmp/@57' '/tmp/'")
        for name in ("diff.json", "diff.txt", "diff.sh"):
            await pilot.press("ctrl+s")
            await fill(pilot, app, str(tmp_path / name))
            await until(pilot, lambda name=name: (tmp_path / name).exists(), name)
        document = json.loads((tmp_path / "diff.json").read_text())
        assert [key["kind"] for key in document["keys"]] == ["removed"] * 3
        assert "etcdctl put -- '/tmp/1' 't'" in (tmp_path / "diff.sh").read_text()
        assert "- 1  4 → 0" in (tmp_path / "diff.txt").read_text()

    on_tab("time", body, shop())


def test_heat_by_prefix_in_colours_and_letters(tmp_path: Path) -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await shows(pilot, "Changes around now")
        await pilot.press("h")
        await shows(pilot, "writes by prefix", "/app/", "/tmp/", "▌")
        await pilot.press("l")
        await until(pilot, lambda: "▌" not in frame(app), "letters")
        await shows(pilot, "@")
        await pilot.press("b")
        await shows(pilot, "bytes by prefix")
        await pilot.press("enter")
        await shows(pilot, "/app/web", "/app/db", "under /app/")
        await pilot.press("ctrl+s")
        await fill(pilot, app, str(tmp_path / "heat.svg"))
        await until(pilot, lambda: (tmp_path / "heat.svg").exists(), "written")
        assert "/app/web" in (tmp_path / "heat.svg").read_text()
        await pilot.press("escape", "escape")
        await shows(pilot, "Changes around")

    on_tab("time", body, shop())


def test_ascii_and_hidden_values() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await shows(pilot, "Changes around now", ".port 149 → 1", "█")
        app.do("mask")
        seen = await shows(pilot, "••••••")
        assert "149" not in seen
        app.do("ascii")
        await until(pilot, lambda: "*@@*" in frame(app), "bars as letters")
        await pilot.press("h")
        seen = await shows(pilot, "/app/", "/tmp/", "****")
        assert seen.isascii()

    try:
        on_tab("time", body, shop())
    finally:
        mask.hide(False)


def test_errors_and_a_mirror_that_fills_are_told() -> None:
    fake = shop("etcd")
    fake.past.fail = SessionError("permission denied", "n1", "Inspect/History", "PERMISSION_DENIED")

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await shows(pilot, "no bars · f5 asks again")
        fake.past.fail = None
        fake.past.told = PastStatus(filling=True, revision=1_000, newest=61_000)
        await pilot.press("f5")
        await shows(pilot, "Changes around now")
        fake.past.told = PastStatus(rows=61, size_bytes=4_096)
        await shows(pilot, "mirror 4.0 KiB, kept: /data/mirror")
        await pane_of(app)._go_clock(5)
        await shows(pilot, "etcd does not tell when anything was written")

    on_tab("time", body, fake)


def test_there_is_room_for_all_of_it_at_80_by_24() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await shows(pilot, "Changes around now", "61", "g go to", ".port 149 → 1")
        for key, text in (("x", "Deleted keys · 3"), ("h", "writes by prefix"), ("v", "previous")):
            await pilot.press(key)
            seen = await shows(pilot, text, "now", "^q quit")
            assert len(seen.split("\n")) == 24

    on_tab("time", body, shop(), size=(80, 24))


def test_another_cluster_is_compared_and_written_to() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await shows(pilot, "Changes around now")
        other = FakeSession({b"/app/db": b"other", b"/app/web": b"same"})
        fake.write(b"/app/web", b"same")
        await app.open_workspace(other, "spare")
        app.front.show_tab("time")
        await shows(pilot, "spare", "Changes around now")
        await pilot.press("c")
        await fill(pilot, app, "test#/app/", "/app/")
        await shows(pilot, "A test /app/ now → B spare /app/ now: −1 ~1 =1")
        await pilot.press("*", "U")
        await shows(pilot, "Make 2 keys as in A (test /app/ now)")
        await pilot.press("enter")
        await until(pilot, lambda: b"/app/new" in other.store, "written to the other")
        assert other.store[b"/app/db"].value == b"y" and other.store[b"/app/web"].version == 1
        assert not [call for call in fake.calls if call[0] == "txn"], "nothing is written to A"

    on_tab("time", body, shop())


def test_t_goes_where_the_cursor_is_in_other_tabs() -> None:
    fake = shop()

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await go(pilot, app, b"/app/db")
        await pilot.press("h")
        await shows(pilot, "History", "against")
        await pilot.press("{", "T")
        await at(pilot, app, 3)
        await shows(pilot, "TIME", "58 behind")
        await pilot.press("T")
        await at(pilot, app, 0)
        await pilot.press("end", "space", "home")
        await shows(pilot, "* compared with 3", "from revision 3 to 59", "− x", "+ y")
        await pilot.press("escape", "T")
        await at(pilot, app, 59)

    on_keys(body, fake)


def test_stopping_while_a_mirror_fills() -> None:
    fake = shop("etcd")
    fake.past.told = PastStatus(filling=True, revision=1_000, newest=61_000)
    fake.past.gate = asyncio.Event()

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await shows(pilot, "reading the history: 1,000 of 61,000 revisions · esc stops")
        await pilot.press("escape")
        await shows(pilot, "stopped · f5 asks again")
        assert not fake.past.told.filling
        assert fake.past.gate is not None
        fake.past.gate.set()
        await pilot.press("f5")
        await shows(pilot, "Changes around now, revision 61")

    on_tab("time", body, fake)
