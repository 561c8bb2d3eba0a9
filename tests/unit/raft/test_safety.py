"""Raft's safety properties over random histories of crashes, loss, reordering and doubling.

Seeds are part of the test's name, so a failure names the history that shows it.
"""

from __future__ import annotations

import pytest
from unit.raft.safety import Storm


@pytest.mark.parametrize("block", range(12))
@pytest.mark.parametrize("members", [False, True], ids=["fixed", "changing"])
def test_random_histories_are_safe_and_end_in_agreement(block: int, members: bool) -> None:
    served = 0
    for seed in range(block * 20, block * 20 + 20):
        storm = Storm(seed, members=members)
        try:
            storm.run(600)
            storm.settle()
            check_agreement(storm)
        except Exception as failure:
            failure.add_note(f"seed {seed}, members={members}")
            raise
        served += storm.cluster.reads_served
    assert served, "no read was ever served: the histories exercise nothing"


def check_agreement(storm: Storm) -> None:
    """A settled cluster has one leader, and all its members have applied the same."""
    cluster = storm.cluster
    leaders = [n for n in cluster.live() if n.raft and n.raft.status().role.value == "leader"]
    newest = max((n.raft.term for n in leaders if n.raft), default=0)
    leaders = [n for n in leaders if n.raft and n.raft.term == newest]
    assert len(leaders) == 1, f"{len(leaders)} leaders after the faults ended"
    raft = leaders[0].raft
    assert raft is not None
    for member in raft.members:
        node = cluster.nodes[member]
        assert node.raft is not None
        assert node.raft.status().applied == raft.status().last_index, f"n{member} lags behind"
        assert node.applied == leaders[0].applied
