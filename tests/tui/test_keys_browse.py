"""Browsing on a fake cluster: finding, marking, figures, places, forms, the past, restricted
users.
"""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path

from google.protobuf import struct_pb2
from kvorum_tui import kept
from kvorum_tui.app import KvorumApp
from kvorum_tui.screens.keys import KeysPane
from kvorum_tui.session import SessionError
from kvorum_tui.session.ranges import span_of
from textual.pilot import Pilot
from textual.widgets import Input
from tui.fake_session import FakeSession
from tui.frames import frame, running, shows, until
from tui.tabs import go, on_keys
from tui.test_decoders import descriptors


def shop(count: int = 40) -> FakeSession:
    """Some users and orders."""
    keys = {b"/user/%03d" % n: b'{"n": %d}' % n for n in range(count)}
    keys |= {b"/order/%03d/item" % n: b"x" * (n * 10) for n in range(count // 2)}
    return FakeSession({**keys, b"/zip": gzip.compress(b'{"inner": "needle"}')})


def under_cursor(pane: KeysPane) -> bytes:
    """The key or branch on which the cursor stands."""
    row = pane.key_tree.current
    assert row is not None
    return row.path


async def form(pilot: Pilot[None], app: KvorumApp, title: str, **values: str) -> None:
    """Fill a form in and send it."""
    await shows(pilot, title)
    for name, value in values.items():
        app.screen.query_one(f"#in-{name}", Input).value = value
    await pilot.press(*["enter"] * len(app.screen.query(Input)))


def test_filters_of_every_kind_and_as_a_tree() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        pane = app.pane_of(KeysPane)
        await pilot.press("slash")
        pane.field.value = "~user/0[01]7"
        await shows(pilot, "2 of 61 match user/0[01]7", "/user/007")
        pane.field.value = "!user"
        await shows(pilot, "21 of 61 do not contain user")
        pane.field.value = "-f orm9"
        await shows(pilot, "no key has the letters orm9", "esc clears it")
        pane.field.value = "~("
        await shows(pilot, "no regular expression")
        pane.field.value = "/user/01"
        await shows(pilot, "10 of 61 contain /user/01")
        await pilot.press("enter")
        await until(pilot, lambda: pane.key_tree.has_focus)
        await pilot.press("down", "t")
        await shows(pilot, "▾ user/", "by /")
        row = pane.key_tree.current
        assert row is not None
        assert row.path == b"/user/011"
        fake.write(b"/user/01x", b"1")
        await shows(pilot, "01x", "11 of 62")
        await pilot.press("escape")
        await shows(pilot, "Keys · 62")
        assert under_cursor(pane) == b"/user/011"

    on_keys(body, shop())


def test_values_are_searched_page_by_page_and_what_was_found_stays() -> None:
    fake = shop()
    fake.ranges.page = 7

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        pane = app.pane_of(KeysPane)
        await pilot.press("ctrl+f")
        await form(pilot, app, "Find in values", text="~\\d7}", prefix="")
        await shows(pilot, "3 values with ~\\d7}", "all 61 values read", "/user/017")
        await shows(pilot, '"n": 17')
        fake.write(b"/user/new", b"{77}")
        await shows(pilot, "4 values", "/user/new")
        fake.write(b"/user/017", b"other")
        await shows(pilot, "3 values")
        await pilot.press("escape")
        await shows(pilot, "Keys · 62")
        # A search that is stopped keeps what it has.
        fake.ranges.hold = asyncio.Event()
        await pilot.press("ctrl+f")
        await form(pilot, app, "Find in values", text="n", prefix="/user/")
        await shows(pilot, "7 of 41 values under /user/ read · esc stops", "7 values with n")
        await pilot.press("escape")
        await shows(pilot, "stopped after 7 of 41", "/user/001")
        await pilot.press("escape")
        await shows(pilot, "Keys · 62")
        assert pane.found is None

    on_keys(body, fake)


def test_marks_by_key_branch_range_and_filter() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        pane = app.pane_of(KeysPane)
        assert pane.marked() == []
        app.pane.do("key_flat")
        pane.goto(b"/user/003")
        await pilot.press("space", "down", "down", "V")
        await shows(pilot, "· 4 marked", "● /user/003")
        assert pane.marked() == [b"/user/%03d" % n for n in (3, 4, 5, 6)]
        await pilot.press("backslash")
        await until(pilot, lambda: not pane.marked())
        await pilot.press("slash")
        pane.field.value = "item"
        await shows(pilot, "20 of 61 contain item")
        await pilot.press("enter")
        await until(pilot, lambda: pane.key_tree.has_focus)
        await pilot.press("plus")
        await shows(pilot, "· 20 marked")
        await pilot.press("home", "space", "escape")
        await shows(pilot, "Keys · 61 · 19 marked")
        app.pane.do("key_flat")
        pane.key_tree.goto(b"/order/", True)
        await shows(pilot, "◐   ▾ order/", "marked           19")
        await pilot.press("space")
        await shows(pilot, "●   ▾ order/", "· 20 marked")
        assert pane.subject()[1] is None
        fake.remove(b"/order/007/item")
        await shows(pilot, "· 19 marked")
        await pilot.press("space")
        await until(pilot, lambda: pane.subject() == ([], b"/order/"))
        await pilot.press("asterisk")
        await shows(pilot, "· 19 marked")

    on_keys(body, shop())


def test_figures_order_and_sizes() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        pane = app.pane_of(KeysPane)
        await shows(pilot, "not measured", "g reads them once")
        await pilot.press("S")
        await shows(pilot, "most keys")
        lines = [line for line in frame(app).split("\n") if "▸" in line]
        assert "user/" in lines[0]
        assert "█" in lines[0]
        pane.key_tree.goto(b"/", True)
        await pilot.press("g")
        await shows(pilot, "exact · revision 62, now", "largest values")
        await pilot.press("S")
        await shows(pilot, "most bytes")
        lines = [line for line in frame(app).split("\n") if "▸" in line]
        assert "order/" in lines[0]
        fake.write(b"/user/001", b"much longer than before")
        pane.key_tree.goto(b"/user/", True)
        await shows(pilot, "≈, 1 write since", "/m", "writes a minute")
        fake.write(b"/user/fresh", b"12345")
        await shows(pilot, "≈, 1 write since")
        await pilot.press("S")
        await shows(pilot, "most writes")

    on_keys(body, shop(), size=(160, 40))


def test_places_are_kept_and_found_in_a_list() -> None:
    fake = FakeSession({b"a:b:%d" % n: b"1" for n in range(12)} | {b"a:c:1": b""})

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        pane = app.pane_of(KeysPane)
        await shows(pilot, "by :", "▸ b:")  # Guessed: no key has a slash.
        await go(pilot, app, b"a:b:7")
        await pilot.press("b")
        await shows(pilot, "bookmarked a:b:7")
        await go(pilot, app, b"a:b:3")
        await pilot.press("s")
        await form(pilot, app, "Separators", separator=": \\x00")
        await shows(pilot, "by : \\x00")
        await pilot.press("B")
        await shows(pilot, "Bookmarks and recent keys", "a:b:7", "looked at lately")
        await pilot.press(*"b:7", "enter")
        await until(pilot, lambda: pane.row is not None and pane.row.path == b"a:b:7")

    on_keys(body, fake)
    table = kept.load("test")
    assert table["bookmarks"] == [["a:b:7", False]]
    assert table["separators"] == [":", "\\x00"]
    assert "a:b:3" in table["recent"]


def test_forms_are_chosen_and_types_remembered(tmp_path: Path) -> None:
    file = tmp_path / "types.binpb"
    file.write_bytes(descriptors())
    value = struct_pb2.Value(string_value="hello").SerializeToString()
    fake = shop()
    fake.write(b"/long", "wörter ".encode() * 20_000)
    fake.write(b"/proto/a", value)
    fake.write(b"/proto/b", value)

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        pane = app.pane_of(KeysPane)
        await go(pilot, app, b"/long")
        await shows(pilot, "text · cut, O shows all")
        assert len(pane.value_view.shown_lines) > 100  # Folded, not one endless line.
        await pilot.press("O")
        await until(pilot, lambda: "O shows all" not in frame(app), "all of it")
        await go(pilot, app, b"/zip")
        await shows(pilot, "gzip › json", '"inner": "needle"')
        await pilot.press("o")
        await shows(pilot, "Show /zip as", "gzip  (shown)", "hex")
        await pilot.press(*"every byte", "enter")
        await shows(pilot, "000000  1f 8b", "hex (chosen)")
        await pilot.press("o")
        await pilot.press(*"itself", "enter")
        await go(pilot, app, b"/proto/a")
        await shows(pilot, '3: "hello"', "no schema")
        await pilot.press("o", *"descriptor…", "enter")
        await form(pilot, app, "Protobuf types", path=str(file))
        await shows(pilot, "Show /proto/a as")
        await pilot.press(*"protobuf.Value", "enter")
        await shows(pilot, '"string_value": "hello"', "protobuf › google.protobuf.Value")
        await go(pilot, app, b"/proto/b")
        await shows(pilot, '"string_value": "hello"')
        await pilot.press("y")
        await shows(pilot, "Copy /proto/b as", "shown", "etcdctl", "curl")
        await pilot.press(*"etcdctl", "enter")
        await shows(pilot, "copied: read it")
        assert app.clipboard == "etcdctl --endpoints=http://n1:2379 get /proto/b"

    on_keys(body, fake)


def test_the_tree_at_another_revision_and_back() -> None:
    fake = FakeSession({b"/a/1": b"one", b"/a/2": b"two"})

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        pane = app.pane_of(KeysPane)
        fake.write(b"/a/1", b"changed")
        fake.remove(b"/a/2")
        fake.write(b"/b/3", b"three")
        await shows(pilot, "Keys · 2", "b/")
        await go(pilot, app, b"/a/1")
        app.front.travel(3)
        await shows(pilot, "Keys · 2 at revision 3", "the past", "one")
        assert b"/a/2" in pane.tree_index
        assert under_cursor(pane) == b"/a/1"
        await pilot.press("down")
        await shows(pilot, "two")
        fake.write(b"/c", b"meanwhile")
        app.front.travel(5)
        await shows(pilot, "Keys · 1 at revision 5")
        await shows(pilot, "changed")
        await pilot.press("ctrl+f")
        await form(pilot, app, "Find in values", text="one", prefix="")
        await shows(pilot, "0 values with one", "all 1 values read")
        app.front.travel(0)
        await shows(pilot, "Keys · 3", "live")
        assert b"/c" in pane.index
        fake.compacted = 6
        app.front.travel(2)
        await shows(pilot, "revision 2 cannot be read", "compacted")
        app.front.travel(0)
        await shows(pilot, "Keys · 3", "live")

    on_keys(body, fake)


def test_deleted_keys_in_the_tree() -> None:
    fake = FakeSession({b"/a/1": b"one", b"/a/2": b"two", b"/a/3": b"three"})
    fake.remove(b"/a/2")

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        pane = app.pane_of(KeysPane)
        await pilot.press("right")
        await shows(pilot, "Keys · 2")
        await pilot.press("tilde")
        await shows(pilot, "Keys · 2 · 1 deleted", "~ 2", "2 ~1")
        pane.key_tree.goto(b"/a/2")
        await shows(pilot, "DELETED at 5, its last value", "two")
        await pilot.press("space")
        assert pane.marked() == [b"/a/2"]
        fake.remove(b"/a/3")
        await shows(pilot, "Keys · 1 · 2 deleted")
        fake.write(b"/a/2", b"again")
        await shows(pilot, "Keys · 2 · 1 deleted")
        await pilot.press("tilde")
        await shows(pilot, "Keys · 2 · 1 marked")
        assert b"/a/3" not in pane.index

    on_keys(body, fake)


def test_who_may_read_some_ranges_browses_those() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await shows(pilot, "Keys · 60 in 2 ranges of your roles")
        fake.write(b"/user/new", b"1")
        fake.write(b"/zip", b"hidden")
        await shows(pilot, "Keys · 61 in 2")
        pane = app.pane_of(KeysPane)
        assert b"/zip" not in pane.index
        await pilot.press("ctrl+f")
        await form(pilot, app, "Find in values", text="xxxx", prefix="/")
        await shows(pilot, "19 values with xxxx", "all 61 values under / read")

    fake = shop()
    fake.ranges.allowed_spans = (span_of(b"/order/"), span_of(b"/user/"))
    on_keys(body, fake)


def test_who_is_told_nothing_is_asked_once_for_a_prefix() -> None:
    def fake() -> FakeSession:
        made = shop()
        made.ranges.allowed_spans = (span_of(b"/user/"),)
        made.ranges.roles_told = False
        return made

    async def ask(fake: FakeSession) -> None:
        async with running(fake) as pilot:
            app = pilot.app
            assert isinstance(app, KvorumApp)
            await shows(pilot, "You may not list all keys")
            await pilot.press("escape")
            await shows(pilot, "you may not list all keys", "^r names the prefixes")
            await pilot.press("ctrl+r")
            await form(pilot, app, "You may not list", prefixes="/user/")
            await shows(pilot, "Keys · 40 in 1 range", "live")

    async def again(fake: FakeSession) -> None:
        async with running(fake) as pilot:
            await shows(pilot, "Keys · 40 in 1 range", "live")
            assert len(pilot.app.screen_stack) == 1

    asyncio.run(ask(fake()))
    asyncio.run(again(fake()))


def test_a_store_that_cannot_be_measured_says_why() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await shows(pilot, "Keys · 61", "live")
        fake.ranges.fail = SessionError("too busy", "n1", "KV/Range", "RESOURCE_EXHAUSTED")
        await pilot.press("g")
        await shows(pilot, "RESOURCE_EXHAUSTED")
        fake.ranges.fail = None
        fake.ranges.page, fake.ranges.hold = 7, asyncio.Event()
        await pilot.press("g")
        await shows(pilot, "sizes of /order/: 7 of 20 read")
        await pilot.press("escape")
        await shows(pilot, "stopped measuring")

    on_keys(body, shop())


def test_the_mouse_opens_and_chooses() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        pane = app.pane_of(KeysPane)
        await shows(pilot, "▸ user/")
        lines = frame(app).split("\n")
        y = next(n for n, line in enumerate(lines) if "▸ user/" in line)
        x = lines[y].index("▸")
        await pilot.click(offset=(x, y))
        await shows(pilot, "▾ user/", "000")
        await pilot.click(offset=(x + 5, y + 2))
        await until(pilot, lambda: pane.record is not None, "a value read")
        assert pane.record is not None
        assert pane.record.key == b"/user/001"

    on_keys(body, shop())
