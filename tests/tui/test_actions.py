"""The action registry: complete, free of clashes, honest about what changes something."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from kvorum_tui import keymap
from kvorum_tui.actions import ACTIONS, BY_NAME, TABS, key_label, of
from kvorum_tui.app import KvorumApp
from kvorum_tui.screens.pane import READ_ONLY
from kvorum_tui.screens.panes import PANES, pane_class
from tui.fake_session import FakeControl, FakeSession
from tui.frames import running, until

CLASSES = {tab: pane_class(tab) for tab in PANES}


def test_every_action_can_be_done() -> None:
    assert list(PANES) == [tab.name for tab in TABS]
    assert all(kind.tab == tab for tab, kind in CLASSES.items())
    for action in ACTIONS:
        owner = KvorumApp if action.target == "app" else CLASSES[action.target]
        if not action.name.startswith("tab_"):
            assert callable(getattr(owner, f"do_{action.name}", None)), action.name
        assert action.about, action.name


@pytest.mark.parametrize("tab", [tab.name for tab in TABS])
def test_no_key_means_two_things(tab: str) -> None:
    every = [key for action in (*of(tab), *of("app")) for key in action.key.split(",")]
    keys = [key for key in every if key]  # The palette alone reaches what has none.
    assert len(keys) == len(set(keys))


def test_what_destroys_changes() -> None:
    assert all(action.changes for action in ACTIONS if action.destroys)


def test_key_labels() -> None:
    assert key_label("ctrl+p") == "^p"
    assert key_label("question_mark") == "?"
    assert key_label("f1") == "F1"
    assert key_label("f") == "f"


def test_a_keymap_file(tmp_path: Path) -> None:
    path = tmp_path / "keymap.toml"
    assert keymap.load_keymap(path) == ({}, [])
    path.write_text('key_edit = "E"\nnonsense = "x"\nkey_new = 3\n')
    keys, wrong = keymap.load_keymap(path)
    assert keys == {"key_edit": "E"}
    assert len(wrong) == 2
    assert "nonsense" in wrong[0]
    path.write_text("not toml")
    keys, wrong = keymap.load_keymap(path)
    assert keys == {}
    assert "keymap.toml" in wrong[0]


def test_read_only_refuses_everything_that_changes() -> None:
    async def body() -> None:
        session = FakeSession({b"/a/1": b"{}"}, read_only=True)
        async with running(session, control=FakeControl(session)) as pilot:
            app = pilot.app
            assert isinstance(app, KvorumApp)
            for action in ACTIONS:
                if not action.changes:
                    continue
                app.show_tab(action.target)
                await pilot.pause()
                assert app.pane.reason(action) == READ_ONLY
                app.do(action.name)
                await pilot.pause()
                assert len(app.screen_stack) == 1, action.name
            assert [call[0] for call in session.calls] == ["open"]

    asyncio.run(body())


def test_an_action_of_another_tab_goes_there_first() -> None:
    async def body() -> None:
        session = FakeSession()
        async with running(session) as pilot:
            app = pilot.app
            assert isinstance(app, KvorumApp)
            app.do("lease_grant")
            await until(pilot, lambda: len(app.screen_stack) == 2)
            assert app.pane.tab == "leases"

    asyncio.run(body())


def test_names_are_lower_case_words() -> None:
    assert all(name.replace("_", "").isalpha() for name in BY_NAME)
