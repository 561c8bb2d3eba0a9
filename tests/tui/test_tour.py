"""The guided tour: every step can be done, by F6 and by hand, and is seen to be done."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from kvorum.cluster.control import SupervisorControl
from kvorum_tui.app import KvorumApp
from kvorum_tui.live import LiveSession
from kvorum_tui.model.tour import ALIVE, STEPS, Facts, Tour
from kvorum_tui.screens.tour import TourPanel
from kvorum_tui.screens.watch import WatchPane
from textual.pilot import Pilot
from tui.fake_session import FakeSession
from tui.frames import shows, until
from tui.tabs import on_tab
from tui.test_live import Launch

HEALTHY = Facts(
    voters=3, up=3, leader="n1", term=2, leading=1, terms=frozenset({2}), revision=10, compacted=1
)
DOES: dict[str, tuple[Facts, Facts]] = {
    "log": (HEALTHY, replace(HEALTHY, revision=11)),
    "election": (HEALTHY, replace(HEALTHY, leader="n2", term=3)),
    "partition": (HEALTHY, replace(HEALTHY, revision=12)),
    "return": (replace(HEALTHY, faults=1, terms=frozenset({2, 3})), HEALTHY),
    "versions": (HEALTHY, replace(HEALTHY, revision=13)),
    "watch": (HEALTHY, replace(HEALTHY, told=frozenset({"watched"}))),
    "compact": (HEALTHY, replace(HEALTHY, compacted=9)),
    "lease": (replace(HEALTHY, alive=True), replace(HEALTHY, told=frozenset({"alive"}))),
}


@pytest.mark.parametrize("number", range(len(STEPS)), ids=[step.name for step in STEPS])
def test_a_step_is_done_when_its_deed_is_seen_and_not_before(number: int) -> None:
    step = STEPS[number]
    tour = Tour(number)
    before, after = DOES.get(step.name, (HEALTHY, HEALTHY))
    tour.see(before)
    assert tour.done == (step.name not in DOES)
    tour.see(after)
    assert tour.done
    tour.see(before)
    assert tour.done, "what was done stays done"
    assert "{" not in tour.words(step.text + step.after)


def test_steps_follow_one_another() -> None:
    tour = Tour()
    tour.see(HEALTHY)
    assert tour.done and not tour.last
    tour.go(1)
    assert tour.step.name == "log" and not tour.done and tour.before == HEALTHY
    tour.go(-5)
    assert tour.number == 0
    tour.go(100)
    assert tour.last and tour.done


def test_a_step_tells_of_the_cluster_as_it_was_when_the_step_began() -> None:
    tour = Tour(2)
    tour.see(HEALTHY)
    tour.see(replace(HEALTHY, leader="n2", term=3))
    assert "n1 is cut off" in tour.told
    assert "n2 leads term 3" in tour.words(tour.step.after)
    early = Tour()
    early.see(Facts(voters=3))
    early.see(HEALTHY)
    assert "n1 leads term 2" in early.told, "who leads was not known at first"


def test_where_it_cannot_be_given_it_says_why() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        app.do("tour")
        await shows(pilot, "the tour breaks")
        await pilot.press("f6")
        await shows(pilot, "no tour is on")

    on_tab("keys", body)


def test_it_can_be_left_at_80_by_24() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        app.do("tour")
        await shows(pilot, "Tour 1 of 10", "A majority decides", "n1 leads term 1", "F6 goes on")
        await pilot.press("f6")
        await shows(pilot, "Tour 2 of 10", "Log and commit", "F6 does it, or by hand")
        await pilot.press("f6")
        await shows(pilot, "✓ done.")
        await pilot.press("f7")
        await shows(pilot, "Tour 1 of 10")
        await pilot.press("ctrl+y")
        await until(pilot, lambda: not app.front.query(TourPanel))

    on_tab("keys", body, control=True, size=(80, 24))


def test_the_whole_tour_on_a_cluster(kvorum_cluster: Launch) -> None:
    cluster = kvorum_cluster(3, faults=True)

    async def run() -> None:
        session = LiveSession(cluster.endpoints)
        control = SupervisorControl(cluster.supervisor)
        app = KvorumApp(session, "tour", control, tour=True)
        async with app.run_test(size=(110, 34), notifications=True) as pilot:
            await shows(pilot, "Tour 1 of 10")
            for number, step in enumerate(STEPS, 1):
                await shows(pilot, f"Tour {number} of 10")
                panel = app.front.query_one(TourPanel)
                await until(pilot, lambda p=panel: p.tour.now.voters == 3)
                if not panel.tour.done:
                    await pilot.press("f6")
                await until(pilot, lambda p=panel: p.tour.done, step.name)
                if step.name == "versions":
                    await shows(pilot, "History")
                if step.name == "watch":
                    await shows(pilot, "hello")
                    assert app.pane_of(WatchPane).boxes
                if number < len(STEPS):
                    await pilot.press("f6")
            assert await session.get(ALIVE) is None
            await pilot.press("ctrl+y")
            await until(pilot, lambda: not app.front.query(TourPanel))

    asyncio.run(run())
