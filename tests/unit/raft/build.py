"""Members made by hand for unit tests: no cluster, no network, every call visible in the test."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from kvorum.raft import (
    Config,
    ConfState,
    Entry,
    EntryKind,
    HardState,
    Raft,
    Ready,
    SnapshotMeta,
)
from kvorum.raft.messages import AppendResponse, VoteResponse


def entry(index: int, term: int, data: bytes = b"x") -> Entry:
    return Entry(index, term, EntryKind.NORMAL, data)


def entries(*terms: int) -> tuple[Entry, ...]:
    """Entries 1, 2, ... of these terms."""
    return tuple(entry(index, term) for index, term in enumerate(terms, start=1))


def member(
    *,
    voters: Sequence[int] = (1, 2, 3),
    learners: Sequence[int] = (),
    log: Sequence[Entry] = (),
    hard: HardState | None = None,
    snapshot: SnapshotMeta | None = None,
    conf: ConfState | None = None,
    applied: int = 0,
    seed: int = 1,
    **settings: Any,
) -> Raft:
    """Member 1, started from this disk."""
    first = ConfState(tuple(voters), tuple(learners))
    return Raft(
        Config(**{"id": 1, **settings}),
        hard_state=hard or HardState(),
        snapshot=snapshot or SnapshotMeta(0, 0, first),
        entries=log,
        applied=applied,
        rng=random.Random(seed),
        conf=conf,
    )


def settle(raft: Raft) -> list[Ready]:
    """Take every Ready, report it durable and applied; what came out."""
    out = []
    while raft.has_ready():
        ready = raft.ready()
        raft.persisted(ready.ticket)
        for committed in ready.committed:
            raft.applied_to(committed.index)
        out.append(ready)
    return out


def elect(raft: Raft) -> None:
    """Let the others vote for member 1, all they are asked, and settle."""
    raft.campaign()
    settle(raft)
    for pre in (True, False):
        for voter in raft.conf.voters[1:]:
            raft.step(VoteResponse(1, voter, raft.term + pre, True, pre))
        settle(raft)
    assert raft.leader == 1


def acknowledge(raft: Raft, index: int, *members: int) -> None:
    """These members hold everything up to `index`."""
    for follower in members:
        raft.step(AppendResponse(1, follower, raft.term, index))


def leading(**more: Any) -> Raft:
    """Member 1 as leader of term 1, its first entry committed and applied."""
    raft = member(**more)
    elect(raft)
    acknowledge(raft, raft.log.last_index, *raft.conf.voters[1:])
    settle(raft)
    return raft
