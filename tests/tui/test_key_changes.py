"""Writing one key in the Keys tab, on a fake cluster: new, edit with checks and merge, delete, and
the user's own editor.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kvorum_tui.app import KvorumApp
from kvorum_tui.screens.key_edit import EditScreen
from kvorum_tui.screens.key_plan import PlanPreview
from kvorum_tui.widgets.dialogs import Choice
from kvorum_tui.widgets.json_area import JsonArea
from textual.pilot import Pilot
from textual.widgets import Button, Input
from tui.fake_session import FakeSession
from tui.frames import shows, until
from tui.key_parts import ready
from tui.tabs import go, on_keys


async def edit(pilot: Pilot[None], app: KvorumApp, text: str) -> None:
    """Open the editor, put a text in, ask to save."""
    await pilot.press("e")
    await ready(pilot, app, EditScreen)
    app.screen.query_one(JsonArea).text = text
    await pilot.press("ctrl+s")


def test_edit_shows_the_difference_and_saves_by_compare_and_swap() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await go(pilot, app, b"/app/web/cfg")
        revision = fake.store[b"/app/web/cfg"].mod_revision
        await edit(pilot, app, '{"port": 81}')
        await ready(pilot, app, Choice)
        await shows(pilot, '−   "port": 80', '+   "port": 81', f"at revision {revision}")
        await pilot.press("enter")
        await shows(pilot, '"port": 81', "version 2")
        assert ("save", b"/app/web/cfg", b'{"port": 81}', revision, 0) in fake.calls

    on_keys(body)


def test_json_stays_json() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await go(pilot, app, b"/app/web/cfg")
        await edit(pilot, app, '{"port": }')
        await shows(pilot, "this is no json as it stands: line 1, column 10: Expecting value")
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
        await ready(pilot, app, Choice)
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
        await ready(pilot, app, Choice)
        await pilot.press("enter")
        await shows(pilot, "by deleting the key")
        app.screen.query_one("#again", Button).press()
        await ready(pilot, app, EditScreen)
        assert app.screen.query_one(JsonArea).text == "mine"
        await pilot.press("ctrl+s")
        await ready(pilot, app, Choice)
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
        await ready(pilot, app, EditScreen)
        await pilot.press(*"8080", "ctrl+s")
        await ready(pilot, app, Choice)
        await pilot.press("enter")
        await until(pilot, lambda: b"/app/web/port" in fake.store, "written")
        await shows(pilot, "8080", "port")
        assert ("save", b"/app/web/port", b"8080", 0, 0) in fake.calls

    on_keys(body)


def test_delete_one_key_after_a_look() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await go(pilot, app, b"loose")
        await pilot.press("d")
        await shows(pilot, "Delete loose?", "− loose", "history stays", "kvorum del loose")
        await pilot.press("escape")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        assert b"loose" in fake.store
        await pilot.press("d")
        await ready(pilot, app, PlanPreview)
        await pilot.press("enter")
        await until(pilot, lambda: b"loose" not in fake.store, "deleted")

    on_keys(body)


def test_deleting_many_needs_their_number_typed() -> None:
    fake = FakeSession({b"/app/%02d" % n: b"" for n in range(25)})

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await pilot.press("home", "d")
        await shows(
            pilot,
            "Delete /…?",
            "25 keys: 25 deleted; in one",
            "/app/00",
            "/app/04",
            "and 20 more",
            "Type 25",
        )
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


def test_the_editor_has_the_parts_of_textual_it_leans_on() -> None:
    from textual.widgets import TextArea

    assert hasattr(TextArea, "_build_highlight_map")

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await go(pilot, app, b"/app/web/cfg")
        await pilot.press("e")
        await ready(pilot, app, EditScreen)
        area = app.screen.query_one(JsonArea)
        assert [kind for _, _, kind in area._highlights[1]] == ["key", "punct", "number"]

    on_keys(body)


def test_leaving_with_an_unsaved_edit_asks() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await go(pilot, app, b"/app/web/name")
        await pilot.press("e")
        await ready(pilot, app, EditScreen)
        app.screen.query_one(JsonArea).text = "typed"
        await pilot.press("ctrl+q")
        await shows(pilot, "Leave?", "What you typed in the editor is not saved")
        await pilot.press("escape")
        await ready(pilot, app, EditScreen)

    on_keys(body)


CONFIG = b'{"host": "a", "port": 80, "tls": false}'


def test_changes_at_different_paths_are_put_together() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await go(pilot, app, b"/cfg")
        theirs = CONFIG.replace(b"false", b"true")
        fake.before_save = lambda: fake.write(b"/cfg", theirs) and None
        await edit(pilot, app, CONFIG.decode().replace("80", "81"))
        await ready(pilot, app, Choice)
        await pilot.press("enter")
        await shows(pilot, "both together, nothing collides", "Save both", '+   "tls": true')
        await pilot.press("enter")
        both = b'{"host": "a", "port": 81, "tls": true}'
        await until(pilot, lambda: fake.store[b"/cfg"].value == both, "merged")
        assert fake.store[b"/cfg"].version == 3

    on_keys(body, FakeSession({b"/cfg": CONFIG}))


def test_what_both_changed_is_resolved_in_the_editor() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await go(pilot, app, b"/cfg")
        theirs = CONFIG.replace(b"80", b"443").replace(b"false", b"true")
        fake.before_save = lambda: fake.write(b"/cfg", theirs) and None
        await edit(pilot, app, CONFIG.decode().replace("80", "81"))
        await ready(pilot, app, Choice)
        await pilot.press("enter")
        await shows(pilot, "both of you changed 1 place", "Resolve in the editor")
        await pilot.press("enter")
        await shows(pilot, "<<<<<<< mine", '"port": 81', '"port": 443', '"tls": true', "1 conflict")
        await pilot.press("ctrl+s")
        await shows(pilot, "a conflict of the merge is left")
        area = app.screen.query_one(JsonArea)
        area.text = '{"host": "a", "port": 8443, "tls": true}'
        await pilot.press("ctrl+s")
        await shows(pilot, '−   "port": 443', '+   "port": 8443')
        await pilot.press("enter")
        await until(pilot, lambda: b"8443" in fake.store[b"/cfg"].value, "resolved")

    on_keys(body, FakeSession({b"/cfg": CONFIG}))


@pytest.mark.parametrize(
    ("name", "value", "wrong", "said"),
    [
        (b"a.yaml", b"a: 1\nb: 2\n", "a: 1\nb: [2\n", "no yaml as it stands: line 3"),
        (b"a.toml", b"a = 1\nb = 2\n", "a = 1\nb = =\n", "no toml as it stands: line 2, column 5"),
        (b"a.sql", b"select 1\n", "select (1\n", "no sql as it stands: line 1, column 8"),
    ],
)
def test_mistakes_are_marked_where_they_are(
    name: bytes, value: bytes, wrong: str, said: str
) -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await go(pilot, app, name)
        await edit(pilot, app, wrong)
        await shows(pilot, said)
        area = app.screen.query_one(JsonArea)
        assert area.kind == name[2:].decode()
        while area.kind != "text":
            await pilot.press("ctrl+t")
        area.written_in("text")
        assert not area._highlights
        await pilot.press("escape", "escape")

    on_keys(body, FakeSession({name: value}))


def test_bytes_are_edited_as_hex() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await go(pilot, app, b"/db")
        await edit(pilot, app, "00 fe zz")
        await shows(pilot, "this is no hex as it stands")
        app.screen.query_one(JsonArea).text = "00 fe"
        await pilot.press("ctrl+s")
        await shows(pilot, "− 00 ff", "+ 00 fe")
        await pilot.press("enter")
        await until(pilot, lambda: fake.store[b"/db"].value == b"\x00\xfe", "saved")

    on_keys(body)


def test_a_lease_is_kept_or_changed() -> None:
    fake = FakeSession()

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        lease = await fake.grant(60)
        fake.write(b"k", b"v", lease.id)
        await go(pilot, app, b"k")
        await edit(pilot, app, "w")
        await ready(pilot, app, Choice)
        await pilot.press("enter")
        await until(pilot, lambda: fake.store[b"k"].value == b"w", "saved")
        assert fake.store[b"k"].lease == lease.id
        await until(pilot, lambda: len(app.screen_stack) == 1)
        await go(pilot, app, b"k")
        await pilot.press("e")
        await ready(pilot, app, EditScreen)
        app.screen.query_one("#lease", Input).value = "dead"
        await pilot.press("ctrl+s")
        await shows(pilot, f"{lease.id:x} → dead")
        await pilot.press("enter")
        await shows(pilot, "there is no lease dead")
        app.screen.query_one("#lease", Input).value = ""
        await pilot.press("ctrl+s")
        await shows(pilot, "none: it stays until it is deleted")
        await pilot.press("enter")
        await until(pilot, lambda: fake.store[b"k"].lease == 0, "off its lease")

    on_keys(body, fake)


def test_several_new_keys_at_once() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await go(pilot, app, b"/app/web/name")
        await pilot.press("N")
        await shows(pilot, "New keys", "/app/web/", "A line each")
        area = app.screen.query_one("#lines")
        area.text = "nonsense"  # type: ignore[attr-defined]  # a TextArea
        await pilot.press("ctrl+s")
        await shows(pilot, "line 1: write key = value")
        lines = '/new/a = 1\n\n/new/b=x = y\n{"key": "/new/c", "value_base64": "/w=="}'
        area.text = lines  # type: ignore[attr-defined]  # a TextArea
        await pilot.press("ctrl+s")
        await shows(pilot, "Write 3 keys", "3 new; in one transaction", "+ /new/a")
        await pilot.press("enter")
        await until(pilot, lambda: b"/new/c" in fake.store, "written")
        assert fake.store[b"/new/b"].value == b"x = y"
        assert fake.store[b"/new/c"].value == b"\xff"

    on_keys(body)


# --- the own editor -------------------------------------------------------------------------------


def names(folder: Path) -> list[str]:
    """What is in a folder."""
    return sorted(each.name for each in folder.iterdir())


def own_editor(app: KvorumApp, monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> None:
    """A shell script as the editor, and a terminal that can be lent to it."""
    program = folder / "editor.sh"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o700)
    monkeypatch.setenv("EDITOR", str(program))
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))

    @contextmanager
    def lent() -> Iterator[None]:
        yield

    monkeypatch.setattr(app, "suspend", lent)


def test_large_values_go_to_the_own_editor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    large = b"\n".join(b"line %d" % n for n in range(10_000))

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        seen = tmp_path / "seen"
        script = f'stat -c "%a %n" "$1" > {seen}; sed -i "s/^line 77$/LINE 77/" "$1"'
        own_editor(app, monkeypatch, tmp_path, script)
        await go(pilot, app, b"large")
        await pilot.press("e")
        await shows(pilot, "E opens your own editor")
        await pilot.press("E")
        await shows(pilot, "Save large?", "− line 77", "+ LINE 77", "9919 equal lines")
        mode, name = seen.read_text().split()
        assert mode == "600"
        assert Path(name).name not in names(tmp_path), "the file is removed"
        await pilot.press("enter")
        await until(pilot, lambda: b"LINE 77" in fake.store[b"large"].value, "saved")
        assert fake.store[b"large"].value == large.replace(b"line 77\n", b"LINE 77\n")

    on_keys(body, FakeSession({b"large": large}))


def test_an_editor_that_fails_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        own_editor(app, monkeypatch, tmp_path, 'echo x > "$1"; exit 3')
        await go(pilot, app, b"loose")
        await pilot.press("E")
        await shows(pilot, "ended with status 3")
        monkeypatch.setenv("EDITOR", str(tmp_path / "missing"))
        await pilot.press("E")
        await shows(pilot, "cannot be run", "set EDITOR")
        assert fake.store[b"loose"].version == 1
        assert names(tmp_path) == ["editor.sh"]

    on_keys(body)


def test_what_an_editor_broke_is_not_saved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        own_editor(app, monkeypatch, tmp_path, 'echo "{" > "$1"')
        await go(pilot, app, b"/app/web/cfg")
        await pilot.press("E")
        await shows(pilot, "this is no json as it stands", "line 1, column 2")
        app.screen.query_one("#cancel", Button).press()
        await until(pilot, lambda: len(app.screen_stack) == 1)
        assert fake.store[b"/app/web/cfg"].version == 1

    on_keys(body)
