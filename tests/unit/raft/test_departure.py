"""When a removed member has become useless (rule M5): a quorum of those that remain knows."""

from __future__ import annotations

import pytest
from kvorum.raft.departure import is_dispensable


@pytest.mark.parametrize(
    ("remaining", "knowing", "dispensable"),
    [
        ((1,), (), False),
        ((1,), (1,), True),
        ((1, 2), (1,), False),
        ((1, 2), (1, 2), True),
        ((1, 2, 3), (3,), False),
        ((1, 2, 3), (1, 3), True),
        ((1, 2, 3, 4), (1, 2), False),
        ((1, 2, 3, 4), (1, 2, 4), True),
        # Learners and members of other times have no say.
        ((1, 2), (1, 7, 8), False),
        # It knows of no others: then it was only told, and anybody's word counts.
        ((), (), False),
        ((), (9,), True),
    ],
)
def test_a_quorum_of_the_remaining_voters_knows(
    remaining: tuple[int, ...], knowing: tuple[int, ...], dispensable: bool
) -> None:
    assert is_dispensable(remaining, set(knowing)) is dispensable
