"""Tabs and drills that other packages bring: the README's own example, and what is wrong with
others.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from kvorum.drill.places import all_drills, drill_names, drills_dir, find_drill
from kvorum.errors import ConfigError
from kvorum_tui import actions, keymap, plugins
from kvorum_tui.app import KvorumApp
from kvorum_tui.model.decoders import plain
from kvorum_tui.model.decoders import plugins as decoders
from kvorum_tui.model.drill_choice import catalogue
from textual.pilot import Pilot
from tui.fake_session import FakeSession
from tui.frames import shows, until
from tui.tabs import on_keys

README = Path(__file__).parents[2] / "tui" / "README.md"
Install = Callable[[str, str], Path]
Body = Callable[[Pilot[None], FakeSession, KvorumApp], Awaitable[None]]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Puts a package on the path as an installer would: ``install(source, entry points)``."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delenv("KVORUM_NO_PLUGINS", raising=False)
    plain.cache_clear()

    def put(source: str, entries: str) -> Path:
        package = tmp_path / "my_package"
        (package / "drills").mkdir(parents=True)
        (package / "__init__.py").write_text(source)
        (package / "drills" / "__init__.py").write_text("")
        info = tmp_path / "my_package-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(entries)
        return package

    yield put
    plugins.forget()
    plain.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_package"]:
        del sys.modules[name]


def example(language: str) -> str:
    """The README's example in a language: the first behind its head line."""
    text = README.read_text("utf-8").partition("## Plugins")[2]
    found = re.search(rf"```{language}\n(.*?)```", text, re.DOTALL)
    assert found is not None
    return found[1]


def entry_points(toml: str) -> str:
    """A project's entry points as an installer writes them down."""
    text = re.sub(r'\[project\.entry-points\."(.*)"\]', r"[\1]", toml)
    return re.sub(r' = "(.*?)".*', r" = \1", text)


UPSIDE = """

class UpsideDown:
    name = "upside"
    def fits(self, data): return data.startswith(b"UP:")
    def show(self, data): return data[:2:-1].decode()
"""


def test_the_readme_s_example(install: Install) -> None:
    package = install(example("python") + UPSIDE, entry_points(example("toml")))
    scenario = (drills_dir() / f"{drill_names()[0]}.toml").read_text()
    (package / "drills" / "of_ours.toml").write_text(scenario)

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await shows(pilot, "0 Log  sizes")
        assert not plugins._classes  # Nobody has wanted it so far.
        await pilot.press("ctrl+pageup")
        await shows(pilot, "[Sizes]", "n counts them", "n count")
        await pilot.press("n")
        await shows(pilot, "1 keys")
        await pilot.press("question_mark")
        await shows(pilot, "In Sizes", "Count the keys below /app/")
        await pilot.press("escape")
        await pilot.press("f1")
        await shows(pilot, "How many keys begin with /app/.")
        await pilot.press("escape", "ctrl+pagedown")
        await until(pilot, lambda: app.pane.tab == "keys")
        await pilot.press("colon", *"sizes: count")
        await shows(pilot, "Sizes: count")
        await pilot.press("escape", "escape")
        app.front.do("tab_drills")
        await until(pilot, lambda: app.pane.tab == "drills")
        names = [each.path.stem for each in catalogue()[0] if each.path is not None]
        assert "of_ours" in names

    on_keys(body, FakeSession({b"/app/x": b"1", b"/b": b"2"}))
    assert find_drill("of_ours") == package / "drills" / "of_ours.toml"
    assert [plugin.title for plugin in decoders.found()] == ["upside"]


BROKEN = """
from kvorum_tui.actions import Action
from kvorum_tui.screens.pane import Pane
from textual.widgets import Static

class Fails(Pane):
    ACTIONS = (Action("fails_now", "fails", "n", "now", "Fail"),
               Action("fails_later", "fails", "N", "later", "Fail while waiting"))
    def compose(self):
        yield Static("so far")
        raise ValueError("no compose")
    def on_mount(self): raise ValueError("no mount")
    def refresh_at(self, now): raise ValueError("no clock")
    def why_not(self, name): raise ValueError("no reason")
    def do_fails_now(self): raise ValueError("no deed")
    async def do_fails_later(self): raise ValueError("no later deed")

class Taken(Pane):
    ACTIONS = (Action("taken_a", "taken", "f1", "a", "b"),)
    def do_taken_a(self): pass

class Other(Pane):
    ACTIONS = (Action("get", "keys", "n", "a", "b"),)

NOTHING = 5
"""
ENTRIES = """
[kvorum.panes]
fails = my_package:Fails
gone = no_such_module:Thing
keys = my_package:Fails
nothing = my_package:NOTHING
other = my_package:Other
taken = my_package:Taken
"""


def test_what_fails_is_named_and_hurts_nobody(install: Install) -> None:
    install(BROKEN, ENTRIES)
    tabs, rows = len(actions.TABS), len(actions.ACTIONS)

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        notes = app._notifications
        await until(pilot, lambda: any("tab keys of my_package" in n.message for n in notes))

        async def says(tab: str, text: str) -> None:
            app.show_tab(tab)
            await shows(pilot, text)
            await until(pilot, lambda: any(text in n.message for n in notes), text)

        await says("gone", "tab gone of no_such_module:Thing: ModuleNotFoundError")
        await says("nothing", "no subclass of")
        await says("other", "must be of other and be named other_")
        await says("taken", "f1, the key of taken_a, is the key of help_here")
        app.show_tab("fails")
        await shows(pilot, "so far", "tab fails of my_package:Fails: ValueError: no compose")
        await pilot.press("n", "N")
        for text in ("no mount", "no clock", "no reason", "no deed", "no later deed"):
            await until(pilot, lambda text=text: any(text in n.message for n in notes), text)
        await pilot.press("1")
        await shows(pilot, "[1 Keys]", "    first")

    on_keys(body, FakeSession({b"/first": b"1"}))
    plugins.forget()
    assert (len(actions.TABS), len(actions.ACTIONS)) == (tabs, rows)


def test_a_user_s_keys_for_a_plugin_s_tab(install: Install, tmp_path: Path) -> None:
    install(BROKEN, "[kvorum.panes]\nfails = my_package:Fails\n")
    file = tmp_path / "keymap.toml"
    file.write_text('fails_now = "X"\nnone_such = "Y"\n')
    assert plugins.find() == []
    assert plugins.find() == []  # Once is enough.
    keys, wrong = keymap.load_keymap(file)
    assert keys == {"fails_now": "X"}
    assert wrong == [f"{file}: there is no action 'none_such'"]


def test_drills_that_cannot_be_had(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    package = install(
        "from pathlib import Path\nHERE = Path(__file__).parent / 'drills'\nNUMBER = 5\n",
        "[kvorum.drills]\na = my_package:HERE\nb = my_package:NUMBER\nc = no_such_module\n",
    )
    shipped = drill_names()[0]
    names, wrong = all_drills()
    assert names == drill_names()
    assert wrong[0] == "drills of a: ValueError: it brings no *.toml file"
    assert wrong[1] == "drills of b: TypeError: a package or a folder is needed, not int"
    assert wrong[2].startswith("drills of c: ModuleNotFoundError")
    (package / "drills" / f"{shipped}.toml").write_text("")
    (package / "drills" / "worse.toml").write_text("nonsense")
    names, wrong = all_drills()
    assert "worse" in names
    assert wrong[0] == f"drills of a: there is a drill {shipped} already"
    assert find_drill(shipped) == drills_dir() / f"{shipped}.toml"
    assert any("worse" in text for text in catalogue()[1])
    with pytest.raises(ConfigError, match="did you mean 'worse'"):
        find_drill("wors")
    monkeypatch.setenv("KVORUM_NO_PLUGINS", "1")
    assert all_drills() == (drill_names(), [])
    assert decoders.found() == []
