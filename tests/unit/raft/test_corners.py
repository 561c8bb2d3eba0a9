"""What raft refuses and no other test asks of it."""

from __future__ import annotations

import pytest
from kvorum.raft import Config, HardState, InvariantViolation
from unit.raft.build import member


@pytest.mark.parametrize("percent", [-1, 101])
def test_a_share_of_the_log_is_a_percentage(percent: int) -> None:
    message = f"promote_percent must be from 0 to 100, not {percent}"
    with pytest.raises(ValueError, match=message):
        Config(id=1, promote_percent=percent)


def test_a_term_never_falls() -> None:
    raft = member(hard=HardState(5, 0, 0))
    with pytest.raises(InvariantViolation, match="term would fall from 5 to 4"):
        raft.become_follower(4, 2)
    assert raft.term == 5
