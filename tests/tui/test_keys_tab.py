"""The Keys tab on a fake cluster: browse, filter, edit with compare-and-swap, delete, history."""

from __future__ import annotations

import asyncio

from kvorum_tui.app import KvorumApp
from kvorum_tui.screens.key_plan import PlanPreview
from kvorum_tui.screens.keys import KeysPane
from kvorum_tui.session import SessionError
from textual.pilot import Pilot
from textual.widgets import Input
from tui.fake_session import FakeSession
from tui.frames import frame, running, shows, until
from tui.tabs import go, on_keys


def test_the_tree_opens_and_shows_values() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await shows(pilot, "▸ app/", "loose", "3")
        await shows(pilot, "a branch with 2 keys")  # It stands on the first ordinary branch.
        await pilot.press("right", "down", "right", "down")
        await shows(pilot, "▾ web/", '"port": 80', "version 1", "json")
        await pilot.press("left", "left")
        await shows(pilot, "▸ web/", "a branch with 2 keys")

    on_keys(body)


def test_binary_values_show_as_hex() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await go(pilot, app, b"/db")
        await shows(pilot, "000000  00 ff", "hex")

    on_keys(body)


def test_changes_by_others_show_at_once() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await go(pilot, app, b"loose")
        fake.write(b"loose", b"changed by others")
        fake.write(b"/zzz", b"new")
        await shows(pilot, "changed by others", "zzz", "version 2")
        fake.remove(b"loose")
        await shows(pilot, "Keys · 4")

    on_keys(body)


def test_the_cursor_stays_on_its_key_while_keys_come_and_go() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await go(pilot, app, b"loose")
        for number in range(50):
            fake.write(b"a%02d" % number, b"")
        await shows(pilot, "Keys · 54")
        pane = app.pane_of(KeysPane)
        row = pane.key_tree.current
        assert row is not None
        assert row.path == b"loose"
        assert "loose" in frame(app)

    on_keys(body)


def test_filter_and_escape() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await pilot.press("slash", *"name")
        await shows(pilot, "1 of 4 contain name", "/app/web/name")
        await pilot.press("enter")
        await until(pilot, lambda: app.pane_of(KeysPane).key_tree.has_focus)
        fake.write(b"/other/name", b"x")
        await shows(pilot, "/other/name")
        await pilot.press("slash", *"zzz")
        await shows(pilot, "no key contains zzz", "esc clears it")
        await pilot.press("escape")
        await shows(pilot, "Keys · 5 ")

    on_keys(body)


def test_flat_list_keeps_the_cursor() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await go(pilot, app, b"/app/web/name")
        await pilot.press("t")
        await shows(pilot, "/app/web/cfg", "flat")
        row = app.pane_of(KeysPane).key_tree.current
        assert row is not None
        assert row.path == b"/app/web/name"

    on_keys(body)


def test_errors_name_member_rpc_and_code() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await go(pilot, app, b"loose")
        await pilot.press("d")
        await until(pilot, lambda: isinstance(app.screen, PlanPreview))
        fake.fail = SessionError(
            "etcdserver: request timed out", "http://n2:2379", "KV/Txn", "UNAVAILABLE", True
        )
        await pilot.press("enter")
        await shows(pilot, "n2 · KV/Txn · UNAVAILABLE", "may or may not have taken effect")
        fake.fail = None
        await pilot.press("exclamation_mark")
        await shows(pilot, "Errors, newest first", "etcdserver: request timed out")

    on_keys(body)


def test_an_unreachable_store_says_so_and_goes_on_trying() -> None:
    async def run() -> None:
        fake = FakeSession({b"a": b"1"})
        fake.fail = SessionError("connection refused", "n1", "KV/Range", "UNAVAILABLE")
        async with running(fake) as pilot:
            await shows(pilot, "the keys cannot be read yet", "refused")
            fake.fail = None
            await shows(pilot, "Keys · 1", "live")

    asyncio.run(run())


def test_keys_are_never_markup() -> None:
    fake = FakeSession({b"[bold]x[/bold]": b"[red]value[/red]", b"[/]": b"1"})

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await pilot.press("t")
        await go(pilot, app, b"[bold]x[/bold]")
        await shows(pilot, "[bold]x[/bold]", "[red]value[/red]")
        await pilot.press("d")
        await shows(pilot, "Delete [bold]x[/bold]?")
        await pilot.press("escape", "n")
        await shows(pilot, "New key")
        app.screen.query_one("#in-key", Input).value = "[/]"
        await pilot.press("enter", "enter")
        await shows(pilot, "this key exists already")

    on_keys(body, fake)


def test_another_separator() -> None:
    fake = FakeSession({b"a:b:c": b"1", b"a:d": b"2"})

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await shows(pilot, "a:b:c")
        await pilot.press("s")
        await shows(pilot, "Cut keys at")
        app.screen.query_one(Input).value = ":"
        await pilot.press("enter")
        await shows(pilot, "by :", "▾ b:", "d")

    on_keys(body, fake)


def test_small_screen_shows_one_at_a_time() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await go(pilot, app, b"/app/web/cfg")
        text = await shows(pilot, '{"port": 80}', "q quit", "n new")  # The value as a last line.
        assert "╭─ Value" not in text
        assert all(len(line) <= 80 for line in text.split("\n"))
        await pilot.press("enter")
        await shows(pilot, "╭─ Value", '  "port": 80', "version 1")
        await pilot.press("escape")
        await shows(pilot, "Keys · 4", "cfg")
        assert app.pane_of(KeysPane).key_tree.has_focus
        await pilot.press("h")
        await shows(pilot, "╭─ History")
        await pilot.press("escape")
        await shows(pilot, "Keys · 4")

    on_keys(body, size=(80, 24))
