"""A judge that lets everything pass would pass its other tests: histories spoiled in a thousand
ways are all refused, and by the rule that was broken.
"""

from __future__ import annotations

from functools import cache
from random import Random

import pytest
from kvorum.check.judge import RULES, judge
from kvorum.check.records import History
from unit.check import mutations_told
from unit.check.mutations import MUTATIONS, copied
from unit.check.reference import make

assert mutations_told.MUTATIONS is MUTATIONS  # The other half registers itself.

WAYS = 1_000
EACH = -(-WAYS // len(MUTATIONS))
_TRIES = 400


@cache
def good(seed: int) -> History:
    """Good histories, some without operations of unknown fate, some with compactions."""
    return make(Random(seed), 50, unknown=0.12 * (seed % 2), compact=seed % 5 == 0)


@pytest.mark.parametrize("name", MUTATIONS)
def test_spoiled_histories_are_refused(name: str) -> None:
    mutate, rules = MUTATIONS[name]
    done = 0
    for seed in range(_TRIES):
        random = Random(f"{name} {seed}")
        history = copied(good(random.randrange(60)))
        if not mutate(history, random):
            continue
        found = {finding.rule for finding in judge(history).findings}
        assert found & rules, f"{name} with seed {seed}: found {sorted(found)}"
        done += 1
        if done == EACH:
            return
    pytest.fail(f"{name} could be done {done} times only")


def test_the_ways_are_a_thousand() -> None:
    assert EACH * len(MUTATIONS) >= WAYS


def test_every_rule_is_broken_by_one() -> None:
    broken = frozenset[str]().union(*(rules for _, rules in MUTATIONS.values()))
    assert broken <= set(RULES)
    assert set(RULES) - broken == {"lease_late", "undecided"}
