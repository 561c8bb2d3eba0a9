"""Simulated clusters under faults: nothing acknowledged is lost, members agree, healed ones serve.

``KVORUM_SEEDS`` sets how many seeds run (200 in the full check).
"""

from __future__ import annotations

import os

import pytest
from kvorum.sim.run import Simulation
from kvorum.sim.world import SafetyViolation

_SEEDS = int(os.environ.get("KVORUM_SEEDS", "200"))
_BATCH = 20


@pytest.mark.parametrize("first", range(0, _SEEDS, _BATCH))
def test_seeds_hold(first: int) -> None:
    acknowledged = 0
    for seed in range(first, min(first + _BATCH, _SEEDS)):
        simulation = Simulation(seed)
        try:
            report = simulation.run()
        except SafetyViolation as violation:
            tail = "\n".join(list(simulation.world.trace)[-60:])
            pytest.fail(f"{tail}\n{violation}\nreplay: kvorum sim --seed {seed}")
        acknowledged += report.acknowledged
    # One seed may be so unlucky that nothing is ever acknowledged; twenty may not.
    assert acknowledged > _BATCH * 20, "the clients hardly did anything"


def test_three_and_five_nodes_are_among_the_seeds() -> None:
    counts = {Simulation(seed).count for seed in range(40)}
    assert {1, 3, 5} <= counts
