"""What the tests of plans in the Keys tab share: a store, the cursor on a branch, forms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kvorum_tui.app import KvorumApp
from kvorum_tui.screens.key_plan import PlanPreview
from kvorum_tui.screens.keys import KeysPane
from kvorum_tui.widgets.dialogs import Form
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Button, Input
from tui.fake_session import FakeSession
from tui.frames import until


def files(folder: Path) -> list[Path]:
    """What is in a folder."""
    return sorted(folder.iterdir())


def tree(**more: bytes) -> FakeSession:
    """A few branches."""
    keys = {b"/app/%02d" % n: b"%d" % n for n in range(6)}
    return FakeSession({**keys, b"/web/00": b"there", **{k.encode(): v for k, v in more.items()}})


def state(fake: FakeSession) -> dict[bytes, bytes]:
    """Keys and values."""
    return {key: record.value for key, record in fake.store.items()}


async def on_branch(pilot: Pilot[None], app: KvorumApp, path: bytes) -> None:
    """Put the cursor on a branch."""
    pane = app.pane_of(KeysPane)
    await until(pilot, lambda: pane.key_tree.goto(path, True), f"{path!r} in the tree")
    await until(pilot, lambda: pane.row is not None and pane.row.path == path, "the cursor on it")


async def ready(pilot: Pilot[None], app: KvorumApp, kind: type[Screen[Any]]) -> None:
    """Wait until a screen of this kind takes keys."""
    await until(
        pilot,
        lambda: isinstance(app.screen, kind) and app.screen.focused is not None,
        f"{kind.__name__} with the focus in it",
    )


async def fill(pilot: Pilot[None], app: KvorumApp, **values: str) -> None:
    """Fill in a form and go on."""
    await ready(pilot, app, Form)
    for name, value in values.items():
        app.screen.query_one(f"#in-{name}", Input).value = value
    app.screen.query_one("#yes", Button).press()
    await pilot.pause()


async def begin(pilot: Pilot[None], app: KvorumApp, *keys: str) -> None:
    """Wait for a plan's preview and press keys in it."""
    await ready(pilot, app, PlanPreview)
    await pilot.press(*keys)


async def over(pilot: Pilot[None], app: KvorumApp) -> None:
    """Wait until no dialog is open."""
    await until(pilot, lambda: len(app.screen_stack) == 1, "all dialogs closed")
