"""A failing run becomes a small one that fails alike; plans survive being written down."""

from __future__ import annotations

from dataclasses import replace

import pytest
from kvorum.sim import shrink
from kvorum.sim.network import FAIR
from kvorum.sim.plan import KINDS, MEMBER_KINDS, Plan, Traits, draw_plan
from kvorum.sim.run import Simulation
from kvorum.sim.shrink import Shrinker, kind_of, run_plan
from kvorum.sim.world import SafetyViolation
from support import planted


def test_a_plan_can_be_written_down() -> None:
    for seed in range(20):
        plan = draw_plan(seed)
        assert Plan.from_json(plan.to_json()) == plan


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"seed": 1}'])
def test_what_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        Plan.from_json(text)


def test_seeds_differ_in_what_goes_wrong() -> None:
    plans = [draw_plan(seed) for seed in range(200)]
    assert {plan.nodes for plan in plans} == {1, 3, 5}
    assert {strike.kind for plan in plans for strike in plan.strikes} == {*KINDS, *MEMBER_KINDS}
    changing = sum(any(strike.kind in MEMBER_KINDS for strike in plan.strikes) for plan in plans)
    assert 60 < changing < 140
    assert {plan.lease_checkpoint_ticks for plan in plans} == {0, 5, 12}
    kinds = [len({strike.kind for strike in plan.strikes}) for plan in plans]
    assert min(kinds) <= 1 and max(kinds) >= 8
    assert all(len(plan.left_out) <= (plan.nodes - 1) // 2 for plan in plans)
    assert any(plan.left_out for plan in plans) and any(not plan.left_out for plan in plans)


def test_nodes_and_seconds_do_not_change_the_rest_of_a_seed() -> None:
    assert draw_plan(5, nodes=3).nodes == 3
    assert draw_plan(5, seconds=4.0).seconds == 4.0
    assert draw_plan(5, seconds=4.0).mix == draw_plan(5).mix


def test_without_a_strike_the_others_choose_as_before() -> None:
    plan = draw_plan(3)
    first, rest = plan.strikes[0], plan.strikes[1:]
    assert replace(plan, strikes=rest).strikes[0].draw == plan.strikes[1].draw != first.draw


def test_kinds_of_failures_leave_numbers_out() -> None:
    one = SafetyViolation("seed 1 at 2 s: node 3: its term went back to 4", "node 3: went")
    other = SafetyViolation("seed 9 at 7 s: node 1: its term went back to 8", "node 1: came")
    assert kind_of(one) == kind_of(other) == "node #"


def test_a_plan_is_shrunk_to_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = next(plan for plan in map(draw_plan, range(50)) if len(plan.strikes) > 20)
    needed = {plan.strikes[4], plan.strikes[13]}
    violation = SafetyViolation("seed 1: node 3: lost", "node 3: lost")
    other = SafetyViolation("seed 1: something else", "something else")

    def run(smaller: Plan) -> SafetyViolation | None:
        if needed <= set(smaller.strikes) and 2 in smaller.clients:
            return violation
        return other if smaller.strikes else None

    monkeypatch.setattr(shrink, "run_plan", run)
    told: list[int] = []
    shrinker = Shrinker(plan, violation, told=lambda smaller, runs: told.append(runs))
    small = shrinker.shrink()
    assert set(small.strikes) == needed
    assert (small.clients, small.watchers, small.weather) == ((2,), (), FAIR)
    assert small.traits == (Traits(),) * plan.nodes
    assert small.seconds >= max(strike.at_us for strike in needed) / 1e6
    assert told == sorted(told) and told[-1] <= shrinker.runs


def test_shrinking_ends_when_its_trials_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    violation = SafetyViolation("seed 1: lost", "lost")
    monkeypatch.setattr(shrink, "run_plan", lambda plan: violation if plan.strikes else None)
    shrinker = Shrinker(draw_plan(3), violation, runs_max=4)
    assert shrinker.shrink() == shrinker.plan and shrinker.runs == 4


def test_a_failing_run_fails_alike_when_it_is_shrunk(monkeypatch: pytest.MonkeyPatch) -> None:
    planted.watch_resumes_one_late(monkeypatch)
    plan = draw_plan(0, seconds=3.0)
    violation = run_plan(plan)
    assert violation is not None
    small = Shrinker(plan, violation, runs_max=8).shrink()
    again = run_plan(small)
    assert again is not None and kind_of(again) == kind_of(violation)
    assert len(small.strikes) < len(plan.strikes) or small.weather == FAIR


def test_a_trace_for_reading_is_the_same_run() -> None:
    plan = draw_plan(4, seconds=3.0)
    quiet, verbose = Simulation(4, plan=plan), Simulation(4, plan=plan, verbose=True)
    assert quiet.run().trace_hash == verbose.run().trace_hash
    assert len(verbose.world.trace) > len(quiet.world.trace)
