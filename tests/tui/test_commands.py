"""A user's own commands: what the file may say, what they get, and what keeps them from running."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
from kvorum_tui.app import KvorumApp
from kvorum_tui.model.commands import Missing, UserCommand, commands_path, load_commands
from textual.pilot import Pilot
from tui.fake_session import FakeSession
from tui.frames import frame, shows, until
from tui.tabs import go

TABS = {"keys", "leases", "cluster"}
SHOW = "import sys; print('args', sys.argv[1:]); print('input', sys.stdin.buffer.read())"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "commands.toml"
    monkeypatch.setenv("KVORUM_COMMANDS", str(path))
    return path


def test_the_file(file: Path) -> None:
    assert commands_path() == file
    assert load_commands(file, TABS) == ([], [])
    file.write_text(
        '[commands.size]\ntext = "bytes"\nkey = "f11"\ntab = "keys"\nrun = ["wc", "-c"]\n'
        '[commands.note]\nrun = ["echo", "{key}: {why}"]\ninputs = ["why"]\ndangerous = true\n'
    )
    (size, note), wrong = load_commands(file, TABS)
    assert wrong == []
    assert size == UserCommand("size", ("wc", "-c"), "bytes", "f11", "keys")
    assert note.needs == ["key", "why"]
    assert note.arguments({"key": "/a b", "why": "{key}"}) == ["echo", "/a b: {key}"]
    with pytest.raises(Missing, match="why"):
        note.arguments({"key": "k"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nonsense", "commands.toml"),
        ("commands = 1", "commands must be tables"),
        ("[commands]\nx = 1", "command x: a table is needed"),
        ("[commands.x]", "command x: run is missing"),
        ('[commands.x]\nrun = "ls"', "run must be a list of texts"),
        ("[commands.x]\nrun = [1]", "run must be a list of texts"),
        ('[commands.x]\nrun = ["a"]\nconfirm = 1', "confirm must be true or false"),
        ('[commands.x]\nrun = ["a"]\nkye = "b"', "kye is not known"),
        ('[commands.x]\nrun = ["a"]\ntab = "b"', "there is no tab 'b'; there are: cluster"),
        ('[commands.x]\nrun = ["{kex}"]', "{kex} is not known; there are: key"),
    ],
)
def test_what_is_wrong_is_named(file: Path, text: str, said: str) -> None:
    file.write_text(text)
    found, wrong = load_commands(file, TABS)
    assert found == [] and len(wrong) == 1 and said in wrong[0], wrong


def test_one_wrong_command_costs_no_other_and_there_are_not_too_many(file: Path) -> None:
    file.write_text("".join(f'[commands.c{n}]\nrun = ["x"]\n' for n in range(120)))
    found, wrong = load_commands(file, TABS)
    assert len(found) == 100 and "only the first 100" in wrong[0]


def on_app(file: Path, text: str, body: Any, read_only: bool = False) -> None:
    file.write_text(text)

    async def run() -> None:
        app = KvorumApp(FakeSession({b"/a": b"one\n", b"/b/c": b"x"}, read_only=read_only), "x")
        async with app.run_test(size=(110, 34), notifications=True) as pilot:
            await shows(pilot, "3/3 up", "Keys · ")
            await body(pilot, app)

    asyncio.run(run())


def command(more: str, *arguments: str) -> str:
    run = [sys.executable, "-c", SHOW, *arguments]
    return f"[commands.show]\nrun = {run!r}\n{more}\n"


def test_a_key_and_its_value(file: Path) -> None:
    async def body(pilot: Pilot[None], app: KvorumApp) -> None:
        await go(pilot, app, b"/a")
        await pilot.press("f11")
        await shows(pilot, "args ['/a', '2 of http://n1:2379']", "input b'one\\n'", "exit 0")
        await pilot.press("escape")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        await pilot.press("3", "f11")
        await shows(pilot, "it belongs to the tab keys")

    text = command('key = "f11"\ntab = "keys"', "{key}", "{revision} of {endpoint}")
    on_app(file, text, body)


def test_what_is_asked_for_and_what_is_shown_first(file: Path) -> None:
    async def body(pilot: Pilot[None], app: KvorumApp) -> None:
        await go(pilot, app, b"/a")
        await pilot.press("colon", *"command show")
        await shows(pilot, "command: show")
        await pilot.press("down", "enter")
        await shows(pilot, "why")
        await pilot.press(*"$(rm)", "enter")
        await shows(pilot, "Run show?", "'$(rm)'", "its input: the value, 4 bytes")
        await pilot.press("enter")
        await shows(pilot, "args ['$(rm)']", "exit 0")

    on_app(file, command('confirm = true\ninputs = ["why"]', "{why}"), body)


def test_what_is_not_under_the_cursor(file: Path) -> None:
    async def body(pilot: Pilot[None], app: KvorumApp) -> None:
        await pilot.press("3", "f11")
        await shows(pilot, "show needs a key")

    on_app(file, command('key = "f11"', "{key}"), body)


def test_a_dangerous_one_is_off_while_read_only(file: Path) -> None:
    async def body(pilot: Pilot[None], app: KvorumApp) -> None:
        await pilot.press("f11")
        await shows(pilot, "show: this cluster is open")
        assert len(app.screen_stack) == 1

    on_app(file, command('key = "f11"\ndangerous = true'), body, read_only=True)


def test_one_that_cannot_be_started_says_so(file: Path) -> None:
    async def body(pilot: Pilot[None], app: KvorumApp) -> None:
        await pilot.press("f11")
        await shows(pilot, "it could not be started")
        assert "/no/such" in frame(app)

    on_app(file, '[commands.show]\nkey = "f11"\nrun = ["/no/such/program"]\n', body)


def test_a_key_that_is_taken_is_told_and_left_alone(file: Path) -> None:
    async def body(pilot: Pilot[None], app: KvorumApp) -> None:
        await shows(pilot, "command show: e is the key of key_edit")

    on_app(file, command('key = "e"'), body)
