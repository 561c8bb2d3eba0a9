"""Item 1: ten thousand simulated clusters, each with faults of its own.

Seeds are taken in rows, from one that no other test uses; a row that was interrupted is done again
from its beginning. One seed of a hundred is run once more by a process with another hash seed,
which must see the same run to the last event. ``KVORUM_JOBS`` says how many processes (one a
processor, unless said), and every violation ends with the command that shows it.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from contextlib import closing

from kvorum.sim.fleet import Outcome, Tally, processors, run_many
from kvorum.sim.run import Report

from release.gate import Deadline, State, slice
from release.goals import AtLeast

FIRST = 1_000_000
STORM_S = 200.0
_ROW = 40
_AGAIN_EVERY = 100


@slice(
    "seeds",
    "10,000 seeds of 200 simulated s, 550 simulated hours, 20 million operations: no violation, "
    "all converge; 1 of 100 again under another hash seed: the same trace",
    (1,),
    [
        AtLeast("seeds", 10_000),
        AtLeast("simulated_hours", 550),
        AtLeast("operations", 20_000_000),
        AtLeast("same_trace_again", 100),
    ],
)
def run(state: State, until: Deadline) -> None:
    """Row after row."""
    jobs = int(os.environ.get("KVORUM_JOBS", "0")) or processors()
    while state.wanting() and not until.over():
        first = FIRST + state.count("_begun")
        row = range(first, first + max(_ROW, 10 * jobs))
        with closing(run_many(row, 0, STORM_S, jobs)) as running:
            outcomes = list(running)
        _count(state, outcomes)
        for outcome in outcomes:
            if outcome.report is not None and outcome.seed % _AGAIN_EVERY == 0:
                _again(state, outcome.report)
        state.add("_begun", len(row))
        state.save()
        state.say(
            f"{state.count('seeds'):,} seeds, {state.count('simulated_hours')} simulated hours, "
            f"{state.count('operations'):,} operations, {state.count('faults'):,} faults, "
            f"{len(state.violations)} violations"
        )


def _count(state: State, outcomes: list[Outcome]) -> None:
    tally = Tally()
    for outcome in outcomes:
        tally.add(outcome)
        if outcome.report is None:
            state.violation(outcome.violation, _replay(outcome.seed))
        else:
            state.sample("converged_s", outcome.report.converged_s)
    state.add("seeds", len(outcomes) - len(tally.violations))
    state.add("operations", tally.operations)
    state.add("acknowledged", tally.acknowledged)
    state.add("faults", tally.faults)
    # Hours are whole numbers in the counters, so seconds are kept beside them.
    state.add("_simulated_s", round(tally.simulated_s))
    state.counters["simulated_hours"] = state.count("_simulated_s") // 3600
    for kind, count in tally.struck().items():
        if count:
            state.add(f"bit/{kind}", count)


def _again(state: State, report: Report) -> None:
    command = [sys.executable, "-m", "kvorum", *_replay(report.seed).split()[1:]]
    other = str(random.Random(report.seed).randrange(1, 2**32))
    done = subprocess.run(
        [*command, "--seeds", "1", "-w", "json"],
        env={**os.environ, "PYTHONHASHSEED": other},
        capture_output=True,
        text=True,
        check=False,
    )
    said = json.loads(done.stdout.splitlines()[0]) if done.stdout else {}
    if said.get("trace_hash") == f"{report.trace_hash:016x}":
        state.add("same_trace_again")
    else:
        what = f"seed {report.seed} under PYTHONHASHSEED={other}: {said.get('trace_hash')}, not "
        state.violation(f"{what}{report.trace_hash:016x}", _replay(report.seed))


def _replay(seed: int) -> str:
    return f"kvorum sim --seed {seed} --seconds {STORM_S:g}"
