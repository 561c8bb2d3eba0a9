"""Running a test's body on one tab of the app, on a cluster in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from kvorum_tui.app import KvorumApp
from kvorum_tui.screens.keys import KeysPane
from textual.pilot import Pilot
from tui.fake_session import FakeControl, FakeSession
from tui.frames import running, shows, until

Body = Callable[[Pilot[None], FakeSession, KvorumApp], Awaitable[None]]


def on_tab(
    tab: str,
    body: Body,
    session: FakeSession | None = None,
    control: bool = False,
    size: tuple[int, int] = (120, 40),
) -> None:
    """Run a test body on a tab."""
    fake = session or FakeSession({b"/a/1": b"one", b"/a/2": b"two", b"b": b"x"})

    async def run() -> None:
        deeds = FakeControl(fake) if control else None
        async with running(fake, size, tab, deeds) as pilot:
            app = pilot.app
            assert isinstance(app, KvorumApp)
            await shows(pilot, f"{len(fake.nodes)}/{len(fake.nodes)} up")
            await body(pilot, fake, app)

    asyncio.run(run())


async def answer(pilot: Pilot[None], app: KvorumApp, *keys: str) -> None:
    """Wait for a dialog and press keys in it."""
    await until(pilot, lambda: len(app.screen_stack) == 2, "a dialog")
    await pilot.press(*keys)


def on_keys(
    body: Body, session: FakeSession | None = None, size: tuple[int, int] = (120, 40)
) -> None:
    """Run a test body on the Keys tab."""
    fake = session or FakeSession(
        {
            b"/app/web/cfg": b'{"port": 80}',
            b"/app/web/name": b"web",
            b"/db": b"\x00\xff",
            b"loose": b"x",
        }
    )

    async def run() -> None:
        async with running(fake, size) as pilot:
            app = pilot.app
            assert isinstance(app, KvorumApp)
            await shows(pilot, "Keys · ", "live")
            await body(pilot, fake, app)

    asyncio.run(run())


async def go(pilot: Pilot[None], app: KvorumApp, key: bytes) -> None:
    """Put the cursor on a key and wait for its value."""
    pane = app.pane_of(KeysPane)
    app.goto_key(key)
    await until(pilot, lambda: pane.record is not None and pane.record.key == key, f"{key!r} read")
