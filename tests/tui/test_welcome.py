"""The first screen: whatever is chosen is what comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from kvorum.client.contexts import Context
from kvorum_tui.welcome import Answer, WelcomeApp
from textual.pilot import Pilot

CONTEXTS = (
    Context("prod", ("http://10.0.0.1:2379",), user="ops"),
    Context("here", ("127.0.0.1:2379",)),
)
Press = Callable[[Pilot[Answer]], Awaitable[None]]


def frame(app: WelcomeApp) -> str:
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())


def answer(press: Press, size: tuple[int, int] = (80, 24)) -> Answer | None:
    async def run() -> Answer | None:
        app = WelcomeApp("http://127.0.0.1:1", CONTEXTS)
        async with app.run_test(size=size) as pilot:
            await press(pilot)
            await pilot.pause()
        return app.return_value

    return asyncio.run(run())


def keys(*pressed: str) -> Press:
    async def press(pilot: Pilot[Answer]) -> None:
        await pilot.press(*pressed)

    return press


@pytest.mark.parametrize(
    ("pressed", "expected"),
    [
        (("enter",), Answer(demo_nodes=3)),
        (("down", "enter"), Answer(demo_nodes=5)),
        (("tab", "enter"), Answer(context="prod")),
        (("tab", "down", "enter"), Answer(context="here")),
        (("tab", "tab", "enter"), Answer(endpoints="http://127.0.0.1:1")),
        (("escape",), None),
    ],
)
def test_choices(pressed: tuple[str, ...], expected: Answer | None) -> None:
    assert answer(keys(*pressed)) == expected


def test_read_only_is_asked_for() -> None:
    chosen = answer(keys("tab", "tab", "tab", "space", "shift+tab", "enter"))
    assert chosen == Answer(endpoints="http://127.0.0.1:1", read_only=True)


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(b"")
    to_file = ("tab", "tab", "tab", "tab")

    async def wrong_then_right(pilot: Pilot[Answer]) -> None:
        await pilot.press(*to_file, *"/none", "enter")
        assert isinstance(pilot.app, WelcomeApp)
        assert "there is no such file" in frame(pilot.app)
        field = pilot.app.query_one("#file")
        field.value = str(path)  # type: ignore[attr-defined]  # an Input
        await pilot.press("enter")

    assert answer(wrong_then_right) == Answer(file=str(path))


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
def test_everything_is_in_sight(size: tuple[int, int]) -> None:
    async def look(pilot: Pilot[Answer]) -> None:
        assert isinstance(pilot.app, WelcomeApp)
        text = frame(pilot.app)
        for part in ("three nodes", "prod", "as ops", "here", "a snapshot", "esc leaves"):
            assert part in text, text

    answer(look, size)
