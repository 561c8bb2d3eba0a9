"""Pictures for the README, made by the app itself on a live cluster, so that they never rot.

    kvorum up three &
    python -m kvorum_tui.screenshot http://127.0.0.1:2379 tui/keys.svg --tab keys \\
        --press down,right --wait-for version

``--scene split`` first cuts the leader off and lets both sides be written to: its log then ends in
entries that are not committed, the others' in those of a new term. It needs kvorum nodes with
``--enable-faults`` and heals them again.

Each key of ``--press`` is pressed as a user would; ``wait:2`` among them waits two seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from textual.pilot import Pilot

from kvorum_tui.actions import TABS
from kvorum_tui.app import KvorumApp
from kvorum_tui.feeds import endpoints_from
from kvorum_tui.live import LiveSession, short_title
from kvorum_tui.theme import DARK, LIGHT

PATIENCE_S = 20.0
STEP_S = 0.05
FONTS = "Fira Code, DejaVu Sans Mono, Menlo, Consolas, monospace"
CUT_MS = 20_000
WRITE_S = 2.5


def screen_text(app: KvorumApp) -> str:
    """What stands on the screen, as text."""
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())


async def take(
    app: KvorumApp,
    size: tuple[int, int],
    keys: Sequence[str] = (),
    wait_for: str = "",
    theme: str = DARK.name,
    scene: str = "",
) -> str:
    """Run the app without a terminal, press keys, wait for a text; returns an SVG.

    Raises ``TimeoutError`` when the text never appears.
    """
    async with app.run_test(size=size, notifications=False) as pilot:
        app.theme = theme
        async with asyncio.timeout(PATIENCE_S):
            while "connecting" in screen_text(app) or "reading the keys" in screen_text(app):
                await pilot.pause(STEP_S)
        if scene == "split":
            await split(app, pilot)
        for key in keys:
            if key.startswith("wait:"):
                await pilot.pause(float(key.removeprefix("wait:")))
            else:
                await pilot.press(key)
                await pilot.pause(STEP_S)
        async with asyncio.timeout(PATIENCE_S):
            while wait_for not in screen_text(app):
                await pilot.pause(STEP_S)
        picture = own_fonts(app.export_screenshot(title=f"kvorum · {app.front.cluster_title}"))
        if scene:
            await asyncio.gather(*(app.session.heal(m.endpoint) for m in app.cluster.rows()))
        return picture


def own_fonts(svg: str) -> str:
    """The picture without fonts from elsewhere: a reader's own fixed-width font will do."""
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    return svg.replace("font-family: Fira Code, monospace", f"font-family: {FONTS}")


async def split(app: KvorumApp, pilot: Pilot[None]) -> None:
    """Cut the leader off and write to both sides, until the logs differ to look at."""
    session = app.session
    assert isinstance(session, LiveSession)
    async with asyncio.timeout(PATIENCE_S):
        while (old := app.cluster.leader(app.clock())) is None or len(app.cluster.order) < 3:
            await pilot.pause(STEP_S)
        await write(session, old.endpoint, 12)
        await session.sever(old.endpoint, 0, "both", CUT_MS)
        app.cluster.expect_loss(old.id, app.clock())
        lost = write(session, old.endpoint, 7)
        waiting = asyncio.create_task(lost)
        while (new := app.cluster.leader(app.clock())) is None or new.id == old.id:
            await pilot.pause(STEP_S)
        await write(session, new.endpoint, 21)
        await waiting


async def write(session: LiveSession, endpoint: str, count: int) -> None:
    """Some writes to one member, all at once; a member without a quorum answers none of them."""
    member = session.client.member(endpoint)
    await asyncio.gather(
        *(member.put(f"/picture/{n}", "x", timeout_s=WRITE_S) for n in range(count)),
        return_exceptions=True,
    )


def main(arguments: Sequence[str]) -> int:
    """The command line; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m kvorum_tui.screenshot", description=__doc__)
    parser.add_argument("endpoints", help="client addresses, separated by commas")
    parser.add_argument("out", type=Path, help="the SVG to write")
    parser.add_argument("--tab", choices=[tab.name for tab in TABS], default="keys")
    parser.add_argument("--press", default="", help="keys, separated by commas")
    parser.add_argument("--wait-for", default="", help="a text that must be on the screen")
    parser.add_argument("--size", default="116x32", help="columns x rows")
    parser.add_argument("--light", action="store_true")
    parser.add_argument("--title", default="")
    parser.add_argument("--scene", choices=["", "split"], default="")
    given = parser.parse_args(arguments)
    endpoints = endpoints_from([given.endpoints])
    columns, _, rows = given.size.partition("x")
    title = given.title or short_title(endpoints)
    app = KvorumApp(LiveSession(endpoints), title, first_tab=given.tab)
    theme = LIGHT.name if given.light else DARK.name
    keys = [key for key in given.press.split(",") if key]
    try:
        picture = asyncio.run(
            take(app, (int(columns), int(rows)), keys, given.wait_for, theme, given.scene)
        )
    except TimeoutError:
        print(f"{given.wait_for!r} never appeared", file=sys.stderr)
        return 1
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(picture, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
