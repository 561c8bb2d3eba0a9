"""Good histories are never refused, and the two judges agree on small ones, good and bad."""

from __future__ import annotations

from random import Random

import pytest
from kvorum.check.judge import judge
from kvorum.check.lines import encode_line, read_history
from unit.check.reference import make


@pytest.mark.parametrize("seed", range(60))
def test_a_good_history_holds(seed: int) -> None:
    history = make(Random(seed), 120, compact=bool(seed % 3), dump=bool(seed % 2))
    verdict = judge(history)
    assert verdict.findings == ()
    assert verdict.figures.operations == 120


def test_a_history_survives_being_written() -> None:
    history = make(Random(1), 200, compact=True)
    again = read_history(map(encode_line, history.lines()))
    assert again == history
