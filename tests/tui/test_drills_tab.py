"""The Drills tab on a fake cluster: links, processes, what is asked first; and leaving."""

from __future__ import annotations

import pytest
from kvorum_tui.app import KvorumApp
from kvorum_tui.model.records import FaultView
from kvorum_tui.screens.drills import DrillsPane
from textual.pilot import Pilot
from tui.fake_session import FakeControl, FakeSession
from tui.frames import shows, until
from tui.tabs import answer, on_tab


def test_cutting_and_healing_one_direction() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await shows(pilot, "n1 → n2")
        await pilot.press("space")
        await shows(pilot, "✗ 30 s", "1 fault on", "n1: cut to n2")
        assert ("sever", "http://n1:2379", 2, "outbound", 30_000) in fake.calls
        await pilot.press("space")
        await shows(pilot, "no fault is on", "cut to n2 is over")
        assert ("lift", "http://n1:2379", 1) in fake.calls

    on_tab("drills", body)


def test_cutting_both_with_another_duration() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await pilot.press("plus")
        await shows(pilot, "a fault lasts 60 s")
        await pilot.press("right", "b")
        await until(
            pilot, lambda: ("sever", "http://n1:2379", 3, "both", 60_000) in fake.calls, "severed"
        )
        await pilot.press("X")
        await shows(pilot, "healed all: 1 fault lifted", "no fault is on")

    on_tab("drills", body)


def test_a_link_of_a_silent_member_is_cut_at_the_other_end() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        fake.nodes[0].error = "connection refused"
        fake.report()
        await pilot.press("space")
        await until(
            pilot,
            lambda: ("sever", "http://n2:2379", 1, "inbound", 30_000) in fake.calls,
            "mirrored",
        )

    on_tab("drills", body)


def test_isolating_the_leader_asks_first_and_says_what_it_means() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await pilot.press("i")
        await shows(
            pilot, "Isolate n1?", "2 of 3 voters stay connected", "writes wait for an election"
        )
        await pilot.press("enter")
        await until(
            pilot, lambda: ("sever", "http://n1:2379", 0, "both", 30_000) in fake.calls, "severed"
        )
        fake.elect("n3", 2)
        await shows(pilot, "time to new leader, last time:", "n3 leads term 2")

    on_tab("drills", body)


def test_breaking_the_quorum_needs_the_name_typed() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        fake.nodes[1].faults = (FaultView(5, "cut", 60_000, 0, "both"),)
        fake.report()
        await shows(pilot, "1 fault on")
        await pilot.press("i")
        await shows(pilot, "Isolate n1?", "NO QUORUM", "Type n1 to go on")
        await pilot.press("enter")
        assert not [call for call in fake.calls if call[0] == "sever"]
        await pilot.press("n", "1", "enter")
        await until(
            pilot, lambda: ("sever", "http://n1:2379", 0, "both", 30_000) in fake.calls, "severed"
        )

    on_tab("drills", body)


def test_processes_are_paused_killed_and_restarted() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        deeds = app.control
        assert isinstance(deeds, FakeControl)
        await pilot.press("down", "p")
        await answer(pilot, app, "enter")
        await shows(pilot, "paused (p resumes)")
        await pilot.press("p")
        await until(pilot, lambda: ("resume", "n2") in deeds.calls, "resumed")
        await pilot.press("k")
        await shows(pilot, "Kill n2?", "Its disk stays")
        await answer(pilot, app, "enter")
        await shows(pilot, "killed (r restarts)", "killed n2")
        await pilot.press("k")
        await shows(pilot, "n2 is not running")
        await pilot.press("r")
        await until(pilot, lambda: ("restart", "n2") in deeds.calls, "restarted")
        await until(pilot, lambda: not app.pane_of(DrillsPane).dead)

    on_tab("drills", body, control=True)


def test_without_control_killing_says_why_not() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await pilot.press("k")
        await shows(pilot, "kill: this terminal does not run the nodes")
        fake.faults_enabled = False
        fake.report()
        await shows(pilot, "--enable-faults")

    on_tab("drills", body)


def test_leadership_goes_to_the_chosen_member() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await pilot.press("t")
        await shows(pilot, "n1 leads already")
        await pilot.press("down", "down", "t")
        await shows(pilot, "Hand leadership to n3?")
        await answer(pilot, app, "enter")
        await shows(pilot, "n3 leads term 2", "asked n1 to hand leadership to n3", "leader n3 t2")

    on_tab("drills", body)


def test_quitting_with_faults_on_asks() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        fake.nodes[1].faults = (FaultView(5, "cut", 60_000, 1, "both"),)
        fake.report()
        await shows(pilot, "1 fault on")
        await pilot.press("ctrl+q")
        await shows(pilot, "Leave?", "1 fault still on")
        await pilot.press("ctrl+q")
        await pilot.press("escape")
        await until(pilot, lambda: len(app.screen_stack) == 1, "asked once")

    on_tab("drills", body)


@pytest.mark.parametrize(
    ("keys", "title"),
    [
        (["i"], "Isolate n1?"),
        (["k"], "Kill n1?"),
        (["question_mark"], "In Drills"),
        (["7", "g"], "Grant a lease"),
        (["1", "n"], "New key"),
        (["colon"], "Find actions"),
    ],
)
def test_quitting_works_from_every_dialog(keys: list[str], title: str) -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await pilot.press(*keys)
        await until(pilot, lambda: len(app.screen_stack) == 2, title)
        await pilot.press("ctrl+q")
        await until(pilot, lambda: app._exit, "it leaves")

    on_tab("drills", body, control=True)
