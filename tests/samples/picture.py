"""Takes the README's picture of the terminal, on a real cluster: ``python
tests/samples/picture.py``.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
from dataclasses import replace
from pathlib import Path

from kvorum.cluster.control import SupervisorControl
from kvorum.cluster.file import read_cluster_file
from kvorum.cluster.keys import Loader, SampleKey
from kvorum.cluster.places import find_cluster_file
from kvorum.cluster.rundir import RunDir
from kvorum.cluster.supervisor import Supervisor
from kvorum_tui.app import KvorumApp
from kvorum_tui.live import LiveSession
from textual.pilot import Pilot

PICTURE = Path(__file__).resolve().parents[2] / "tui" / "picture.svg"
SIZE = (112, 28)
TAB = "3"  # The cluster: members, raft logs, what happened.


def without_fonts(svg: str) -> str:
    """The picture without fonts from the network: whoever looks at it has a fixed-width font."""
    svg = re.sub(r"@font-face\s*\{.*?\}", "", svg, flags=re.DOTALL)
    return svg.replace("Fira Code", "ui-monospace, Menlo, Consolas").rstrip() + "\n"


async def take(supervisor: Supervisor) -> str:
    """Open the terminal without a screen, kill the leader, start it again, draw what that looks
    like.
    """
    session = LiveSession(supervisor.endpoints())
    control = SupervisorControl(supervisor)
    app = KvorumApp(session, "demo", control)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press(TAB)
        await settle(pilot)
        leader = await asyncio.to_thread(supervisor.leader)
        assert leader is not None
        await control.kill(leader)
        await settle(pilot)
        await asyncio.to_thread(write_some, supervisor)
        await control.restart(leader)
        await settle(pilot)
        return app.export_screenshot(title="kvorum demo")


def write_some(supervisor: Supervisor) -> None:
    """A few writes in the new term, so that the logs show both."""
    flags = [SampleKey(b"/flags/drill/%d" % i, (b"on", b"off")) for i in range(20)]
    asyncio.run(Loader(supervisor.endpoints()).load(flags))


async def settle(pilot: Pilot[None], seconds: int = 4) -> None:
    """Let the feeds fill the screens."""
    await pilot.pause(seconds)


def main() -> None:
    """Start the sample `three`, draw, stop."""
    spec = replace(read_cluster_file(find_cluster_file("three")), faults=True)
    with tempfile.TemporaryDirectory() as directory:
        supervisor = Supervisor(spec, RunDir(Path(directory)))
        try:
            supervisor.start()
            supervisor.load_keys()
            picture = asyncio.run(take(supervisor))
        finally:
            supervisor.stop()
    PICTURE.write_text(without_fonts(picture), encoding="utf-8")


if __name__ == "__main__":
    main()
