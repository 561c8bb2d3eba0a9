"""Jump mode, themes, ASCII, the last tab: what is the same in every tab."""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kvorum.cli import VERBS
from kvorum_tui import ascii, settings, twin
from kvorum_tui.actions import TABS
from kvorum_tui.app import KvorumApp
from kvorum_tui.model import mask
from kvorum_tui.model.sql_result import cell_of
from kvorum_tui.model.text import changed_part, one_line
from kvorum_tui.model.watch_diff import inline
from kvorum_tui.screens.jump import Jump
from kvorum_tui.theme import DARK, LIGHT
from rich.cells import cell_len
from textual.pilot import Pilot
from tui.fake_session import FakeSession
from tui.frames import frame, shows, until
from tui.tabs import go, on_tab


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "settings.toml"
    monkeypatch.setenv("KVORUM_SETTINGS", str(path))
    monkeypatch.delenv("KVORUM_ASCII", raising=False)
    return path


def table(path: Path) -> dict[str, object]:
    return tomllib.loads(path.read_text())


def test_jumping_puts_the_focus_on_a_part() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await pilot.press("home", "down", "down")
        before = app.focused
        await pilot.press("ctrl+o")
        await until(pilot, lambda: isinstance(app.screen, Jump))
        await shows(pilot, " a ", " s ")
        await pilot.press("s")
        await until(pilot, lambda: len(app.screen_stack) == 1 and app.focused is not before)
        await pilot.press("ctrl+o", "a")
        await until(pilot, lambda: app.focused is before)
        await pilot.press("ctrl+o", "escape")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        assert app.focused is before

    on_tab("keys", body)


def test_the_last_tab() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await pilot.press("3", "grave_accent")
        await shows(pilot, "[1 Keys]")
        await pilot.press("grave_accent")
        await shows(pilot, "[3 Cluster]")

    on_tab("keys", body)


def test_themes_are_kept(kept: Path) -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        assert app.theme == DARK.name
        await pilot.press("f2")
        await until(pilot, lambda: kept.exists())
        assert table(kept)["theme"] == LIGHT.name == app.theme
        app.theme = "nord"
        await until(pilot, lambda: "nord" in kept.read_text())
        await pilot.press("f2")
        assert app.theme == LIGHT.name

    on_tab("keys", body)


def test_what_is_kept_is_used_and_what_is_wrong_is_told(kept: Path) -> None:
    async def told(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        assert app.theme == DARK.name
        await shows(pilot, "there is no theme 'plaid'")

    kept.write_text('theme = "gruvbox"\nascii = true\n')
    app = KvorumApp(FakeSession(), "x")
    assert app.theme == "gruvbox" and app.settings.ascii
    kept.write_text('theme = "plaid"\n')
    on_tab("keys", told)
    kept.write_text("ascii = 3")
    assert "ascii true or false" in settings.load().wrong
    kept.write_text("not toml")
    assert str(kept) in settings.load().wrong
    kept.unlink()
    kept.mkdir()
    assert settings.save(settings.Settings(kept)).startswith(str(kept))


def test_variables_win(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.write_text('# mine\ntheme = "nord"\nascii = true\nother = 1\n')
    monkeypatch.setenv("KVORUM_ASCII", "0")
    monkeypatch.setenv("KVORUM_THEME", "gruvbox")
    found = settings.load()
    assert (found.theme, found.ascii) == ("gruvbox", False)
    assert settings.save(found) == ""
    assert "# mine" in kept.read_text() and "other = 1" in kept.read_text()


@pytest.mark.parametrize("tab", [tab.name for tab in TABS])
def test_ascii_leaves_nothing_else_on_the_screen(tab: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KVORUM_ASCII", "1")
    fake = FakeSession({"/ключ/日本".encode(): "é → 1".encode()})

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        picture = frame(app)
        assert picture.isascii(), [each for each in picture if not each.isascii()]

    on_tab(tab, body, fake)


def test_ascii_is_turned_on_and_off(kept: Path) -> None:
    async def run() -> None:
        app = KvorumApp(FakeSession({b"/a": b"1"}), "x")
        async with app.run_test(size=(100, 30)) as pilot:
            await shows(pilot, "3/3 up", "╭─ Keys")
            app.do("ascii")
            await until(pilot, lambda: frame(app).isascii(), "ASCII alone")
            assert table(kept)["ascii"] is True
            app.do("ascii")
            await shows(pilot, "╭─ Keys")

    asyncio.run(run())


@given(st.text())
def test_ascii_keeps_the_width(text: str) -> None:
    if text.isprintable():
        made = ascii.plain(text)
        assert made.isascii()
        assert cell_len(made) == sum(cell_len(each) for each in text)


def test_command_lines_stand_for_verbs() -> None:
    assert set(twin.VERBS) <= set(VERBS)
    assert twin.words("kvorum get '/a b'") == ["get", "/a b"]
    for line, said in [
        ("", "nothing is no verb"),
        ("serve", "serve is no verb"),
        ("get '", "get '"),
    ]:
        with pytest.raises(twin.BadLine, match=said):
            twin.words(line)


def test_where_a_command_line_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ETCDCTL_ENDPOINTS", "elsewhere")
    monkeypatch.setenv("KVORUM_CONTEXT", "elsewhere")
    fake = FakeSession(read_only=True)
    fake.user_name = "ops"
    found = twin.environment(fake)
    assert "elsewhere" not in found.values()
    assert found["KVORUM_ENDPOINTS"] == "http://n1:2379,http://n2:2379,http://n3:2379"
    assert (found["KVORUM_READ_ONLY"], found["KVORUM_USER"]) == ("True", "ops")


def test_a_command_line_in_the_palette() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await pilot.press("colon", *"get --help")
        await shows(pilot, "run: get --help")
        await pilot.press("down", "enter")
        await shows(pilot, "kvorum get --help", "--prefix", "exit 0: done")
        await pilot.press("escape")
        await until(pilot, lambda: len(app.screen_stack) == 1)

    on_tab("keys", body)


@pytest.fixture
def unmasked() -> Iterator[None]:
    yield
    mask.hide(False)


@pytest.mark.parametrize("tab", ["keys", "watch", "time"])
def test_values_are_hidden_and_shown_again(tab: str, unmasked: None) -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        if tab == "keys":
            await go(pilot, app, b"/db/password")
        elif tab == "watch":
            app.watch_key(b"/db/", True)
            await shows(pilot, "nothing changed")
            fake.write(b"/db/password", b"geheim2")
        await shows(pilot, "geheim")
        await pilot.press("alt+m")
        await shows(pilot, "VALUES HIDDEN")
        await until(pilot, lambda: "geheim" not in frame(app), "hidden")
        assert "••••••" in frame(app)
        if tab == "keys":
            await pilot.press("e")
            await shows(pilot, "values are hidden; alt+m shows them")
            assert len(app.screen_stack) == 1
        await pilot.press("alt+m")
        await shows(pilot, "geheim")

    on_tab(tab, body, FakeSession({b"/db/password": b"geheim"}))


@given(st.binary(), st.binary(), st.integers(8, 60))
def test_nothing_of_a_hidden_value_is_left(old: bytes, new: bytes, width: int) -> None:
    mask.hide(True)
    try:
        told = {one_line(old, width), *changed_part(old, new, width), cell_of(new).text}
        told |= {text for text, _ in inline(old, new, width)}
    finally:
        mask.hide(False)
    sizes = {mask.masked(len(each))[:width] for each in (old, new)}
    assert told <= {mask.MASK, " → ", *sizes, *(mask.masked(len(each)) for each in (old, new))}
