"""What tests of the Drills tab share: a drill's process that only repeats what it is told, and
running a body on the list of drills with a data directory of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from kvorum.drill.places import find_drill
from kvorum.drill.scenario import Scenario, read_scenario
from kvorum_tui.app import KvorumApp
from kvorum_tui.drill_process import Take
from kvorum_tui.screens.drills import DrillsPane
from textual.pilot import Pilot
from tui.fake_session import FakeSession
from tui.frames import shows, until
from tui.tabs import on_tab

Told = dict[str, Any]
DrillBody = Callable[[Pilot[None], FakeSession, KvorumApp], Awaitable[None]]


def shipped(name: str) -> Scenario:
    """A drill that ships."""
    return read_scenario(find_drill(name))


def on_list(
    body: DrillBody,
    session: FakeSession | None = None,
    size: tuple[int, int] = (120, 40),
    drill: str = "",
) -> None:
    """Run a body on the list of drills, with the cursor on one."""

    async def listed(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await pilot.press("d")
        await shows(pilot, "enter run", "─ all-killed ")
        if drill:
            await choose(pilot, app, drill)
        await body(pilot, fake, app)

    on_tab("drills", listed, session, size=size)


async def choose(pilot: Pilot[None], app: KvorumApp, name: str) -> None:
    """Put the cursor on a drill."""
    pane = app.pane_of(DrillsPane)
    pane.choose_drill(next(one for one in pane.list_view.scenarios if one.name == name))
    await shows(pilot, f"─ {name} ")


async def set_stage(pilot: Pilot[None], app: KvorumApp, name: str) -> None:
    """Press s until a stage is set."""
    for _ in range(4):
        chosen = app.pane_of(DrillsPane).list_view.chosen
        assert chosen is not None
        if chosen.place.name == name:
            return
        before = chosen.place.name
        await pilot.press("s")
        await until(pilot, lambda before=before: _place(app) != before, "another stage")
    raise AssertionError(f"no stage {name}")


def _place(app: KvorumApp) -> str:
    chosen = app.pane_of(DrillsPane).list_view.chosen
    assert chosen is not None
    return chosen.place.name


class FakeProcess:
    """Hands on what a test tells it; ends when it is told how it ended."""

    def __init__(self, request: Mapping[str, Any], take: Take) -> None:
        self.request = request
        self.take = take
        self.stopped = False
        self._over = asyncio.Event()

    async def run(self) -> None:
        await self._over.wait()

    def stop(self) -> None:
        self.stopped = True

    async def end(self) -> None:
        self.stop()
        self.tell(t="stopped")

    def tell(self, **told: Any) -> None:
        """One line; a last word ends the process."""
        self.take(told)
        if told["t"] in ("verdict", "stopped", "error"):
            self._over.set()


def fake_processes(app: KvorumApp) -> list[FakeProcess]:
    """From now on drills are fakes; the list grows with each that is started."""
    made: list[FakeProcess] = []

    def make(request: Mapping[str, Any], take: Take) -> FakeProcess:
        made.append(FakeProcess(request, take))
        return made[-1]

    app.pane_of(DrillsPane).new_process = make
    return made


def sample(at_s: float, writes: int, leader: str | None, term: int, *down: str) -> Told:
    """A sample in which everything was a write."""
    counts = {"writes": writes, "acknowledged": writes, "failed": 0, "unknown": 1}
    return {"t": "sample", "at_s": at_s, "leader": leader, "term": term, "down": [*down], **counts}


def isolation() -> list[Told]:
    """n1 leads, is cut off at 2 s for 4 s, n2 leads from 3.5 s on."""
    ready = {"t": "ready", "members": ["n1", "n2", "n3"]}
    told: list[Told] = [{"t": "opening", "folder": "/runs/0007-x"}, ready]
    told.append({"t": "moment", "at_s": 0.0, "kind": "leader", "text": "n1 leads term 1"})
    told += [sample(n * 0.25, n * 10, "n1", 1) for n in range(8)]
    told.append({"t": "moment", "at_s": 2.0, "kind": "step", "text": "isolate leader for 4 s: n1"})
    fault = {"id": 1, "at_s": 2.0, "do": "isolate", "words": "isolate", "members": ["n1"]}
    told.append({"t": "fault", "for_s": 4.0, **fault})
    told.append({"t": "moment", "at_s": 2.0, "kind": "proof", "text": "4 one-way links bent"})
    told += [sample(2 + n * 0.25, 70, None, 1) for n in range(6)]
    told.append({"t": "moment", "at_s": 3.4, "kind": "leader", "text": "n2 leads term 2"})
    told += [sample(3.5 + n * 0.25, 70 + n * 10, "n2", 2) for n in range(10)]
    told.append({"t": "lifted", "id": 1, "at_s": 6.0})
    return told
