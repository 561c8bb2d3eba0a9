"""The Keys tab on a fake cluster: browse, filter, edit with compare-and-swap, delete, history."""

from __future__ import annotations

import asyncio

from kvorum_tui.app import KvorumApp
from kvorum_tui.screens.key_edit import EditScreen
from kvorum_tui.screens.keys import KeysPane
from kvorum_tui.session import SessionError
from kvorum_tui.widgets.dialogs import Choice, Confirm
from kvorum_tui.widgets.json_area import JsonArea
from textual.pilot import Pilot
from textual.widgets import Button, Input
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
        assert "no text" in app.pane_of(KeysPane).why_not("key_edit")

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
        await shows(pilot, "no key contains zzz", "esc clears")
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


async def edit(pilot: Pilot[None], app: KvorumApp, text: str) -> None:
    """Open the editor, put a text in, ask to save."""
    await pilot.press("e")
    await until(pilot, lambda: isinstance(app.screen, EditScreen), "the editor")
    app.screen.query_one(JsonArea).text = text
    await pilot.press("ctrl+s")


def test_edit_shows_the_difference_and_saves_by_compare_and_swap() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await go(pilot, app, b"/app/web/cfg")
        revision = fake.store[b"/app/web/cfg"].mod_revision
        await edit(pilot, app, '{"port": 81}')
        await until(pilot, lambda: isinstance(app.screen, Choice), "the difference")
        await shows(pilot, '−   "port": 80', '+   "port": 81', f"at revision {revision}")
        await pilot.press("enter")
        await shows(pilot, '"port": 81', "version 2")
        assert ("save", b"/app/web/cfg", b'{"port": 81}', revision, 0) in fake.calls

    on_keys(body)


def test_json_stays_json() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await go(pilot, app, b"/app/web/cfg")
        await edit(pilot, app, '{"port": }')
        await shows(pilot, "the value was JSON and this is not")
        assert isinstance(app.screen, EditScreen)
        await pilot.press("escape")
        await shows(pilot, "esc again throws it away")
        await pilot.press("escape")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        assert fake.store[b"/app/web/cfg"].version == 1

    on_keys(body)


def test_a_conflict_shows_both_and_can_overwrite() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await go(pilot, app, b"/app/web/name")
        fake.before_save = lambda: fake.write(b"/app/web/name", b"theirs") and None
        await edit(pilot, app, "mine")
        await until(pilot, lambda: isinstance(app.screen, Choice), "the difference")
        await pilot.press("enter")
        await shows(
            pilot, "Somebody else changed", "+ theirs", "+ mine", "Take theirs", "Overwrite"
        )
        assert fake.store[b"/app/web/name"].value == b"theirs"
        app.screen.query_one("#overwrite", Button).press()
        await until(pilot, lambda: fake.store[b"/app/web/name"].value == b"mine", "overwritten")

    on_keys(body)


def test_a_conflict_can_be_edited_again_or_given_up() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await go(pilot, app, b"/app/web/name")
        fake.before_save = lambda: fake.remove(b"/app/web/name")
        await edit(pilot, app, "mine")
        await until(pilot, lambda: isinstance(app.screen, Choice), "the difference")
        await pilot.press("enter")
        await shows(pilot, "by deleting the key")
        app.screen.query_one("#again", Button).press()
        await until(pilot, lambda: isinstance(app.screen, EditScreen), "the editor again")
        assert app.screen.query_one(JsonArea).text == "mine"
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(app.screen, Choice), "the difference")
        await shows(pilot, "still absent")
        app.screen.query_one("#cancel", Button).press()
        await until(pilot, lambda: len(app.screen_stack) == 1)
        assert b"/app/web/name" not in fake.store

    on_keys(body)


def test_new_key_below_the_branch() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await go(pilot, app, b"/app/web/name")
        await pilot.press("n")
        await shows(pilot, "New key", "/app/web/")
        await pilot.press(*"port", "enter", "enter")
        await until(pilot, lambda: isinstance(app.screen, EditScreen), "the editor")
        await pilot.press(*"8080", "ctrl+s")
        await until(pilot, lambda: isinstance(app.screen, Choice), "the difference")
        await pilot.press("enter")
        await until(pilot, lambda: b"/app/web/port" in fake.store, "written")
        await shows(pilot, "8080", "port")
        assert ("save", b"/app/web/port", b"8080", 0, 0) in fake.calls

    on_keys(body)


def test_delete_one_key_after_a_look() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await go(pilot, app, b"loose")
        await pilot.press("d")
        await shows(pilot, "Delete this key?", "history stays")
        await pilot.press("escape")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        assert b"loose" in fake.store
        await pilot.press("d")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("enter")
        await until(pilot, lambda: b"loose" not in fake.store, "deleted")

    on_keys(body)


def test_deleting_many_needs_their_number_typed() -> None:
    fake = FakeSession({b"/app/%02d" % n: b"" for n in range(25)})

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await pilot.press("home", "d")
        await shows(pilot, "25 keys under /,", "/app/00", "/app/04", "and 20 more", "Type 25")
        yes = app.screen.query_one("#yes", Button)
        assert yes.disabled
        await pilot.press(*"2", "enter")
        assert len(app.screen_stack) == 2
        await pilot.press("5")
        await until(pilot, lambda: not yes.disabled)
        await pilot.press("enter")
        await until(pilot, lambda: not fake.store, "all gone")
        await shows(pilot, "the store holds no key", "n writes the first one")

    on_keys(body, fake)


def test_errors_name_member_rpc_and_code() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await go(pilot, app, b"loose")
        await pilot.press("d")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
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
        await shows(pilot, "Delete this key?")
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
        await shows(pilot, "by :", "▸ b:", "d")

    on_keys(body, fake)


def test_small_screen() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await go(pilot, app, b"/app/web/cfg")
        text = await shows(pilot, '"port": 80', "q quit", "n new")
        assert all(len(line) <= 80 for line in text.split("\n"))

    on_keys(body, size=(80, 24))


def test_the_editor_has_the_parts_of_textual_it_leans_on() -> None:
    from textual.widgets import TextArea

    assert hasattr(TextArea, "_build_highlight_map")

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await go(pilot, app, b"/app/web/cfg")
        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.screen, EditScreen), "the editor")
        area = app.screen.query_one(JsonArea)
        assert [kind for _, _, kind in area._highlights[1]] == ["key", "punct", "number"]

    on_keys(body)


def test_leaving_with_an_unsaved_edit_asks() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await go(pilot, app, b"/app/web/name")
        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.screen, EditScreen), "the editor")
        app.screen.query_one(JsonArea).text = "typed"
        await pilot.press("ctrl+q")
        await shows(pilot, "Leave?", "What you typed in the editor is not saved")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, EditScreen), "the editor again")

    on_keys(body)
