"""Running the app in a test, waiting for what should appear, and reading the screen as text."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from kvorum_tui.app import KvorumApp
from kvorum_tui.control import NodeControl
from textual.app import App
from textual.message_pump import MessagePump
from textual.pilot import Pilot
from tui.fake_session import FakeSession

# A test that waits this long has failed; none waits for luck. CI may have worse minutes.
PATIENCE_S = 60.0 if os.environ.get("KVORUM_CI") == "1" else 20.0
SETTLED_S = 5.0  # Nothing that handles a message takes that long.
HOPS = 2  # From the app to its screen, from there to what has the focus.


def frame(app: KvorumApp) -> str:
    """The screen as text, a line a row. The only place that touches the compositor, which is
    private to Textual.
    """
    return "\n".join(strip.text.rstrip() for strip in app.screen._compositor.render_strips())


async def settled(app: App[Any]) -> None:
    """Wait until the app, the screen in front and whatever has the focus there have dealt with the
    messages that lie before them.
    """
    for _ in range(HOPS):
        if not app.screen_stack or not app.is_running:
            return
        focused = app.screen.focused
        chain = focused.ancestors_with_self if focused is not None else [app.screen, app]
        waiting = []
        for pump in chain:
            done = asyncio.Event()
            assert isinstance(pump, MessagePump)
            if pump.call_later(done.set):
                waiting.append(asyncio.ensure_future(done.wait()))
        if not waiting:
            return
        _, late = await asyncio.wait(waiting, timeout=SETTLED_S)
        for task in late:
            task.cancel()


async def until(pilot: Pilot[None], holds: Callable[[], object], what: str = "") -> None:
    """Wait until something holds; fails with the frame when it never does."""
    loop = asyncio.get_running_loop()
    end = loop.time() + PATIENCE_S
    app = pilot.app
    while not holds():
        if app._exception is not None:
            raise app._exception
        if loop.time() > end:
            assert isinstance(app, KvorumApp)
            raise AssertionError(f"never came: {what or holds}\n{frame(app)}")
        await asyncio.sleep(0.02)
    await settled(app)


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
