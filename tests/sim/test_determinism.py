"""The same seed is the same run, event for event, whatever Python's hash seed is."""

from __future__ import annotations

import os
import random
import subprocess
import sys

from kvorum.sim.world import between
from support import seeds

# One of a hundred, from the middle of the tree's fresh ones.
_AGAIN = [seeds.first_seed() + 50 + 100 * n for n in range(max(1, seeds.SEEDS // 100))]

_PROGRAM = """
import sys
from support import seeds
for seed in map(int, sys.argv[1:]):
    report = seeds.one(seed)
    print(report.seed, report.events, f"{report.trace_hash:016x}")
"""


def _run(hash_seed: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", _PROGRAM, *map(str, _AGAIN)],
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_traces_do_not_depend_on_the_hash_seed() -> None:
    first = _run("1")
    assert len(first.splitlines()) == len(_AGAIN)
    assert _run("4242") == first


def test_chance_is_what_the_library_draws() -> None:
    one, other = random.Random(3), random.Random(3)
    for _ in range(2_000):
        high = other.randint(0, 400_000)
        low = one.randint(0, 400_000) // 2
        low, high = sorted((low, high))
        assert between(one, low, high) == other.randint(low, high)
    assert one.getstate() == other.getstate()
