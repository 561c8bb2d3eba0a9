"""The simulator's runs before the judge of ``kvorum check``: as they were, and spoiled."""

from __future__ import annotations

from functools import cache
from random import Random

import pytest
from kvorum.check.judge import judge
from kvorum.check.records import History
from kvorum.sim.recorded import recorded
from kvorum.sim.run import Simulation
from unit.check.mutations import MUTATIONS, copied

_SEEDS = (0, 1, 2, 4, 5, 6)  # Runs in which clients get much done.
# Ways to spoil that need nothing but operations and their order.
_WAYS = (
    "read_sees_another_value",
    "read_misses_a_key",
    "read_counts_wrongly",
    "txn_is_told_the_other_branch",
    "deletion_is_told_another_count",
    "revisions_are_swapped",
    "two_writes_share_a_revision",
    "write_is_called_too_late",
    "last_write_is_lost",
    "written_value_is_another",
    "refused_write_took_effect",
    "write_is_done_twice",
    "a_revision_is_a_hole",
)


@cache
def run(seed: int) -> History:
    """A run of the simulator."""
    simulation = Simulation(seed, seconds=15)
    simulation.run()
    operations = [operation for client in simulation.clients for operation in client.operations]
    return recorded(seed, simulation.properties.committed, operations)


@pytest.mark.parametrize("seed", _SEEDS)
def test_a_run_holds(seed: int) -> None:
    verdict = judge(run(seed))
    assert verdict.findings == ()
    assert verdict.figures.acknowledged > 50
    assert verdict.figures.revisions > 20


@pytest.mark.parametrize("way", _WAYS)
def test_a_spoiled_run_is_refused(way: str) -> None:
    mutate, rules = MUTATIONS[way]
    done = 0
    for seed in range(4 * len(_SEEDS)):
        history = copied(run(_SEEDS[seed % len(_SEEDS)]))
        if mutate(history, Random(f"{way} {seed}")):
            found = {finding.rule for finding in judge(history).findings}
            assert found & rules, f"{way} with seed {seed}: {sorted(found)}"
            done += 1
    assert done
