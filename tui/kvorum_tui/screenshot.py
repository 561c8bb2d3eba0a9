"""Pictures for the README, made by the app itself on a live cluster, so that they never rot.

    kvorum up three &
    python -m kvorum_tui.screenshot http://127.0.0.1:2379 tui/keys.svg --tab keys \\
        --press down,right --wait-for version

Each key of ``--press`` is pressed as a user would; ``wait:2`` among them waits two seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from kvorum_tui.actions import TABS
from kvorum_tui.app import KvorumApp
from kvorum_tui.feeds import endpoints_from
from kvorum_tui.live import LiveSession, short_title
from kvorum_tui.theme import DARK, LIGHT

PATIENCE_S = 20.0
STEP_S = 0.05


def screen_text(app: KvorumApp) -> str:
    """What stands on the screen, as text."""
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())


async def take(
    app: KvorumApp,
    size: tuple[int, int],
    keys: Sequence[str] = (),
    wait_for: str = "",
    theme: str = DARK.name,
) -> str:
    """Run the app without a terminal, press keys, wait for a text; returns an SVG.

    Raises ``TimeoutError`` when the text never appears.
    """
    async with app.run_test(size=size, notifications=False) as pilot:
        app.theme = theme
        async with asyncio.timeout(PATIENCE_S):
            while "connecting" in screen_text(app) or "reading the keys" in screen_text(app):
                await pilot.pause(STEP_S)
        for key in keys:
            if key.startswith("wait:"):
                await pilot.pause(float(key.removeprefix("wait:")))
            else:
                await pilot.press(key)
                await pilot.pause(STEP_S)
        async with asyncio.timeout(PATIENCE_S):
            while wait_for not in screen_text(app):
                await pilot.pause(STEP_S)
        return app.export_screenshot(title=f"kvorum · {app.cluster_title}")


def main(arguments: Sequence[str]) -> int:
    """The command line; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m kvorum_tui.screenshot", description=__doc__)
    parser.add_argument("endpoints", help="client addresses, separated by commas")
    parser.add_argument("out", type=Path, help="the SVG to write")
    parser.add_argument("--tab", choices=[tab for tab, _ in TABS], default="keys")
    parser.add_argument("--press", default="", help="keys, separated by commas")
    parser.add_argument("--wait-for", default="", help="a text that must be on the screen")
    parser.add_argument("--size", default="116x32", help="columns x rows")
    parser.add_argument("--light", action="store_true")
    parser.add_argument("--title", default="")
    given = parser.parse_args(arguments)
    endpoints = endpoints_from([given.endpoints])
    columns, _, rows = given.size.partition("x")
    title = given.title or short_title(endpoints)
    app = KvorumApp(LiveSession(endpoints), title, first_tab=given.tab)
    theme = LIGHT.name if given.light else DARK.name
    keys = [key for key in given.press.split(",") if key]
    try:
        picture = asyncio.run(take(app, (int(columns), int(rows)), keys, given.wait_for, theme))
    except TimeoutError:
        print(f"{given.wait_for!r} never appeared", file=sys.stderr)
        return 1
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(picture, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
