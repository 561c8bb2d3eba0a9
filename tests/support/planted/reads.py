"""Mistakes with reads: answers from a state that is not the newest any more."""

from __future__ import annotations

from typing import Any

import pytest
from kvorum.raft.core import Raft
from kvorum.raft.leader import Leader
from kvorum.raft.reads import ReadRounds
from kvorum.replica import inputs as i
from kvorum.replica.leasing import Leasing
from kvorum.replica.reading import Reading
from kvorum.replica.reads import ReadRounds as ReplicaRounds

Patch = pytest.MonkeyPatch

_BOOT_BITS = 0xFFFF << 32


def reads_without_a_round(patch: Patch) -> None:
    """Every node answers linearizable reads from its own state."""

    def read(reading: Reading, request: i.Read) -> None:
        reading._answer(request.request_id, request.query)

    patch.setattr(Reading, "read", read)


def reads_before_the_first_commit(patch: Patch) -> None:
    """A new leader confirms reads before it has committed anything of its own term."""

    def due(leader: Leader) -> bool:
        return bool(leader.reads.waiting) and not leader.reads.in_flight

    patch.setattr(Leader, "_round_is_due", due)


def reads_do_not_wait_to_apply(patch: Patch) -> None:
    """A confirmed read is answered at once, whatever has been applied."""
    original = ReplicaRounds.granted

    def granted(rounds: ReplicaRounds, context: int, index: int) -> None:
        original(rounds, context, 0)

    patch.setattr(ReplicaRounds, "granted", granted)


def reads_confirmed_by_the_leader_alone(patch: Patch) -> None:
    """A leader confirms reads without asking whether it still leads."""
    patch.setattr(ReadRounds, "is_confirmed", lambda rounds, leader, conf: bool(rounds.in_flight))


def rounds_outlive_their_leader(patch: Patch) -> None:
    """What was answered to a member's earlier leadership confirms the reads of its next one."""
    original = Leader.__init__

    def begin(leader: Leader, raft: Raft) -> None:
        original(leader, raft)
        leader.reads._acks = raft.__dict__.setdefault("acks_of_all_times", {})

    patch.setattr(Leader, "__init__", begin)


def read_numbers_used_again(patch: Patch) -> None:
    """A member that restarts numbers its reads as in its life before."""
    original = ReplicaRounds.__init__

    def begin(rounds: ReplicaRounds, raft: Any, id_base: int, retry_ticks: int) -> None:
        original(rounds, raft, id_base & ~_BOOT_BITS, retry_ticks)

    patch.setattr(ReplicaRounds, "__init__", begin)


def leases_renewed_without_a_round(patch: Patch) -> None:
    """A leader renews leases without asking whether it still leads."""
    original = Leasing._route

    def route(leasing: Leasing, request: i.LeaseAsk) -> None:
        if leasing._state.leading:
            leasing.serve(request)
        else:
            original(leasing, request)

    patch.setattr(Leasing, "_route", route)
