"""The same seed is the same run, event for event, whatever Python's hash seed is."""

from __future__ import annotations

import os
import subprocess
import sys

_PROGRAM = """
from kvorum.sim.run import Simulation
for seed in (3, 5, 8):
    report = Simulation(seed, seconds=8).run()
    print(report.seed, report.events, f"{report.trace_hash:016x}")
"""


def _run(hash_seed: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_traces_do_not_depend_on_the_hash_seed() -> None:
    first = _run("1")
    assert len(first.splitlines()) == 3
    assert _run("2") == first
    assert _run("4242") == first
