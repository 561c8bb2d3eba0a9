"""Item 2: every kind of fault on real processes, under a recorded load, judged.

Segments of two minutes: each a cluster of its own and a scenario of its own (:mod:`release.chaos`),
of which the recording goes to the judge. An injection counts when a log proves that it bit
(:mod:`release.bites`).
"""

from __future__ import annotations

import asyncio
import threading

from kvorum.drill.scenario import parse_scenario
from kvorum.drill.session import run_drill
from kvorum.drill.verdict import Verdict

from release.bites import Logs, NotingStage
from release.chaos import ALONE, KINDS, scenario
from release.gate import Deadline, State, slice
from release.goals import AtLeast

_SIZES = (3, 5, 3, 1, 3, 5)
_SEGMENT_S = 120.0
_AROUND_S = 45.0  # Start, convergence, dumps and the judge, at their slowest.
_EACH = 20
# A step that found nobody to hit, or was refused, is no promise broken; it is not counted either.
_NOT_SAFETY = ("steps", "writes_min")


@slice(
    "faults",
    "100,000 checked operations in 60 minutes, 24 kinds of faults 20 times each (proven by logs), "
    "clusters of 1, 3 and 5: 0 violations",
    (2,),
    [
        AtLeast("operations", 100_000),
        AtLeast("seconds", 3_600),
        AtLeast("bitten/*", _EACH),
        *(AtLeast(f"segments/of_{size}", 2) for size in sorted(set(_SIZES))),
    ],
)
async def faults(state: State, until: Deadline) -> None:
    """Segment after segment."""
    for kind in KINDS:
        state.add(f"injected/{kind}", 0)
        state.add(f"bitten/{kind}", 0)
    while state.wanting() and until.left_s() > _AROUND_S + 15:
        number = sum(state.group("segments").values())
        length_s = round(min(_SEGMENT_S, until.left_s() - _AROUND_S))
        await segment(state, number + 1, _SIZES[number % len(_SIZES)], length_s)


async def segment(state: State, seed: int, nodes: int, length_s: float) -> None:
    """One cluster, one scenario, one verdict."""
    rare = [kind for kind in KINDS if state.count(f"bitten/{kind}") < _EACH]
    if nodes == 1 and not set(rare) & set(ALONE):
        rare = list(ALONE)
    text = scenario(seed, nodes, length_s, rare)
    with state.scratch() as folder:
        stage = NotingStage(
            "live",
            parsed := parse_scenario(text, folder / "scenario.toml"),
            seed,
            folder / "c",
            stopping := threading.Event(),
        )
        stage.note()
        verdict = await run_drill(parsed, stage, seed, folder, stopping)
        logs = await asyncio.to_thread(Logs.of, folder / "c")
        for note in stage.notes:
            if note.kind in KINDS:
                state.add(f"injected/{note.kind}")
                state.add(f"bitten/{note.kind}", int(logs.bit(note)))
        count(state, verdict, nodes)
        wrong = broken(verdict) + logs.deaths(stage.notes)
        if wrong:
            replay = f"kvorum drill run {folder / 'scenario.toml'} --stage live --seed {seed}"
            state.violation("; ".join(wrong), replay, folder)


def count(state: State, verdict: Verdict, nodes: int) -> None:
    """Add a segment's figures."""
    figures = verdict.figures
    state.add(f"segments/of_{nodes}")
    state.add("operations", figures.operations)
    state.add("acknowledged", figures.acknowledged)
    state.add("unknown", figures.unknown)
    state.add("watch_events", figures.watch_events)
    state.add("leader_changes", figures.leader_changes)
    state.add("seconds", round(figures.length_s))
    if figures.converge_s is not None:
        state.sample("converge_s", figures.converge_s)
    state.say(f"segment of {nodes}: {figures.operations} operations, {figures.terms} terms")


def broken(verdict: Verdict) -> list[str]:
    """Promises that a segment broke."""
    return [
        f"{finding.name}: {finding.text}"
        for finding in verdict.findings
        if not finding.ok and finding.name not in _NOT_SAFETY
    ]
