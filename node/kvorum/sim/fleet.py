"""Many seeds, on as many processes as there are processors; and what they covered together."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections import Counter
from collections.abc import Generator, Sequence
from functools import partial
from typing import NamedTuple

from kvorum.sim.run import Report, simulate
from kvorum.sim.world import SafetyViolation

JOBS_MAX = 64


class Outcome(NamedTuple):
    """One seed: its report, or what it broke."""

    seed: int
    report: Report | None
    violation: str


def processors() -> int:
    """How many processes can run at once."""
    return min(JOBS_MAX, len(os.sched_getaffinity(0)))


def run_one(seed: int, nodes: int, seconds: float) -> Outcome:
    """Run one seed; never raises for what the run finds."""
    try:
        return Outcome(seed, simulate(seed, nodes, seconds), "")
    except SafetyViolation as violation:
        return Outcome(seed, None, str(violation))


def run_many(
    seeds: Sequence[int], nodes: int, seconds: float, jobs: int
) -> Generator[Outcome, None, None]:
    """Run all; outcomes in the order in which they finish. Closing the iterator ends the workers.

    Raises KeyboardInterrupt in this process only, so that the caller can tell what was done.
    """
    run = partial(run_one, nodes=nodes, seconds=seconds)
    if jobs <= 1 or len(seeds) == 1:
        yield from map(run, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(jobs, _ignore_interrupts) as pool:
        yield from pool.imap_unordered(run, seeds)


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class Tally:
    """What a row of seeds did so far."""

    def __init__(self) -> None:
        self.started_s = time.monotonic()
        self.coverage: Counter[str] = Counter()
        self.seeds = self.faults = self.operations = self.acknowledged = 0
        self.simulated_s = 0.0
        self.violations: list[Outcome] = []

    def add(self, outcome: Outcome) -> None:
        """One more is done."""
        self.seeds += 1
        report = outcome.report
        if report is None:
            self.violations.append(outcome)
            return
        self.faults += report.faults
        self.operations += report.operations
        self.acknowledged += report.acknowledged
        self.simulated_s += report.simulated_s
        self.coverage.update(report.coverage)

    @property
    def seeds_per_s(self) -> float:
        """By the clock on the wall, all processes together."""
        return self.seeds / max(1e-9, time.monotonic() - self.started_s)

    def struck(self) -> dict[str, int]:
        """Faults that bit, by kind: those of the plan, the network's, the disk's."""
        roots = (
            *("strike.", "member.", "cut.", "network.", "crash.", "disk."),
            *("boot.torn", "boot.refused", "boot.joins"),
        )
        return {
            name: count
            for name, count in sorted(self.coverage.items())
            if name.startswith(roots) and not name.endswith(" missed")
        }

    def paths(self) -> dict[str, int]:
        """What the nodes did: raft's transitions, messages, snapshots, history, watches."""
        struck = self.struck()
        return {
            name: count
            for name, count in sorted(self.coverage.items())
            if name not in struck and not name.endswith(" missed")
        }
