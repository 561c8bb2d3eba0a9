"""Running the app in a test, waiting for what should appear, and reading the screen as text."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from kvorum_tui.app import KvorumApp
from kvorum_tui.control import NodeControl
from textual.pilot import Pilot
from tui.fake_session import FakeSession

PATIENCE_S = 20.0  # A test that waits this long has failed; none waits for luck.


def frame(app: KvorumApp) -> str:
    """The screen as text, a line a row. The only place that touches the compositor, which is
    private to Textual.
    """
    return "\n".join(strip.text.rstrip() for strip in app.screen._compositor.render_strips())


async def until(pilot: Pilot[None], holds: Callable[[], object], what: str = "") -> None:
    """Wait until something holds; fails with the frame when it never does."""
    loop = asyncio.get_running_loop()
    end = loop.time() + PATIENCE_S
    while not holds():
        if loop.time() > end:
            app = pilot.app
            assert isinstance(app, KvorumApp)
            raise AssertionError(f"never came: {what or holds}\n{frame(app)}")
        await pilot.pause(0.02)


async def shows(pilot: Pilot[None], *texts: str) -> str:
    """Wait until every text stands on the screen; returns the frame."""
    app = pilot.app
    assert isinstance(app, KvorumApp)
    for text in texts:
        await until(pilot, lambda text=text: text in frame(app), f"{text!r} on the screen")
    return frame(app)


@asynccontextmanager
async def running(
    session: FakeSession,
    size: tuple[int, int] = (120, 40),
    tab: str = "keys",
    control: NodeControl | None = None,
) -> AsyncIterator[Pilot[None]]:
    """The app on a session, headless."""
    app = KvorumApp(session, "test", control=control, first_tab=tab)
    async with app.run_test(size=size, notifications=True) as pilot:
        yield pilot
