"""From a run that fails to a small one that fails alike, for people to read.

A plan's decisions are left out, group by group, for as long as the same property breaks: strikes by
delta debugging (Zeller, "Simplifying and isolating failure-inducing input", 2002), then weather,
the nodes' traits, clients, watchers, and the time after the last strike. Each trial is a whole run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from kvorum.sim.network import FAIR
from kvorum.sim.plan import Mix, Plan, Traits
from kvorum.sim.run import Simulation, judged
from kvorum.sim.world import SafetyViolation

SHRINK_RUNS_MAX = 600  # About two minutes; what is left then is usually small enough to read.
_SECONDS_MIN = 1.0
_NUMBERS = re.compile(r"\b[0-9a-f]*\d[0-9a-f]*\b")

T = TypeVar("T")


def kind_of(violation: SafetyViolation) -> str:
    """What broke, without whom and when: two runs with the same kind fail alike."""
    return _NUMBERS.sub("#", violation.what.split(":")[0])[:60]


def run_plan(plan: Plan) -> SafetyViolation | None:
    """Run it; what it broke, None when it holds."""
    try:
        judged(Simulation(plan.seed, plan=plan))
    except SafetyViolation as violation:
        return violation
    return None


class Shrinker:
    """Looks for the smallest plan that fails as ``violation`` does.

    ``runs``: trials so far. ``told`` is called with each smaller plan that still fails.
    """

    def __init__(
        self,
        plan: Plan,
        violation: SafetyViolation,
        runs_max: int = SHRINK_RUNS_MAX,
        told: Callable[[Plan, int], None] = lambda plan, runs: None,
    ) -> None:
        self.plan = plan
        self.runs = 0
        self._kind = kind_of(violation)
        self._runs_max = runs_max
        self._told = told

    def shrink(self) -> Plan:
        """Go through all kinds of decisions until none can be left out, or the trials are used."""
        before = None
        while before != self.plan and self.runs < self._runs_max:
            before = self.plan
            self._strikes()
            self._settings()
            self._people()
            self._time()
        return self.plan

    def _try(self, smaller: Plan) -> bool:
        if smaller == self.plan or self.runs >= self._runs_max:
            return False
        self.runs += 1
        violation = run_plan(smaller)
        if violation is None or kind_of(violation) != self._kind:
            return False
        self.plan = smaller
        self._told(smaller, self.runs)
        return True

    def _strikes(self) -> None:
        self._fewer(
            self.plan.strikes, lambda strikes: self._try(replace(self.plan, strikes=strikes))
        )

    def _settings(self) -> None:
        self._try(replace(self.plan, weather=FAIR, traits=(Traits(),) * self.plan.nodes))
        self._try(replace(self.plan, weather=FAIR))
        for fairer in (
            replace(self.plan.weather, loss=0.0),
            replace(self.plan.weather, duplicate=0.0),
            replace(self.plan.weather, spike=0.0),
        ):
            self._try(replace(self.plan, weather=fairer))
        for place in range(self.plan.nodes):
            traits = list(self.plan.traits)
            traits[place] = Traits()
            self._try(replace(self.plan, traits=tuple(traits)))
        self._try(replace(self.plan, left_out=()))
        self._try(replace(self.plan, mix=Mix()))
        for name in ("lease", "transfer", "compact", "delete", "txn", "read"):
            self._try(replace(self.plan, mix=replace(self.plan.mix, **{name: 0})))

    def _people(self) -> None:
        self._fewer(self.plan.clients, lambda some: self._try(replace(self.plan, clients=some)))
        self._fewer(self.plan.watchers, lambda some: self._try(replace(self.plan, watchers=some)))

    def _time(self) -> None:
        shorter = self.plan.seconds
        while shorter > _SECONDS_MIN:
            shorter = max(_SECONDS_MIN, shorter * 0.6)
            strikes = tuple(s for s in self.plan.strikes if s.at_us < shorter * 1_000_000)
            if not self._try(replace(self.plan, seconds=round(shorter, 2), strikes=strikes)):
                break

    def _fewer(self, items: Sequence[T], fails: Callable[[tuple[T, ...]], bool]) -> None:
        """Delta debugging: leave out halves, then quarters, down to single ones."""
        left = tuple(items)
        if left and fails(()):
            return
        parts = 2
        while len(left) > 1 and self.runs < self._runs_max:
            size = max(1, len(left) // parts)
            for start in range(0, len(left), size):
                fewer = left[:start] + left[start + size :]
                if fewer and fails(fewer):
                    left, parts = fewer, max(2, parts - 1)
                    break
            else:
                if size == 1:
                    return
                parts *= 2
