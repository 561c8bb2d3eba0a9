"""What one proposal costs a leader, in microseconds of raft alone: `python tests/bench/raft.py`.

Relative figures for one machine, not a test. A round is: propose, ready, persisted, an
acknowledgement from each of the two followers, the Ready that commits, and the report that it was
applied.
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "node"))

from kvorum.raft import core, messages, types

VOTERS = (1, 2, 3)


def elected_leader() -> core.Raft:
    """Member 1 of three, leading term 1 with its first entry committed and applied."""
    raft = core.Raft(
        core.Config(id=1, pre_vote=False),
        hard_state=types.HardState(),
        snapshot=types.SnapshotMeta(0, 0, types.ConfState(VOTERS)),
        entries=(),
        applied=0,
        rng=random.Random(1),
    )
    raft.campaign()
    raft.persisted(raft.ready().ticket)
    raft.step(messages.VoteResponse(1, 2, raft.term, True))
    finish_round(raft, raft.log.last_index)
    return raft


def finish_round(raft: core.Raft, index: int) -> None:
    """Carry everything up to `index` to commit and apply."""
    raft.persisted(raft.ready().ticket)
    for follower in (2, 3):
        raft.step(messages.AppendResponse(1, follower, raft.term, index))
    while raft.has_ready():
        ready = raft.ready()
        raft.persisted(ready.ticket)
        if ready.committed:
            raft.applied_to(ready.committed[-1].index)


def microseconds_per_proposal(batch: int, rounds: int) -> float:
    """The mean over `rounds` rounds of `batch` proposals each, compacting now and then."""
    raft, payload = elected_leader(), b"x" * 100
    begin = time.perf_counter()
    for number in range(rounds):
        for _ in range(batch):
            raft.propose(payload)
        finish_round(raft, raft.log.last_index)
        if number % 1000 == 999:
            raft.compact_log(raft.log.applied - 500)
    return (time.perf_counter() - begin) / (rounds * batch) * 1e6


def main() -> None:
    for batch in (1, 10, 100):
        best = min(microseconds_per_proposal(batch, 20_000 // batch) for _ in range(3))
        print(f"{batch:4} proposals a round: {best:6.2f} us a proposal")


if __name__ == "__main__":
    main()
