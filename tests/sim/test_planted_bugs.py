"""Known mistakes, planted one at a time: the simulation must find each, or it proves nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from kvorum.raft.log import Log
from kvorum.raft.types import HardState
from kvorum.replica import effects as e
from kvorum.replica import inputs as i
from kvorum.replica.expiry import LeaseClocks
from kvorum.replica.proposals import Proposals
from kvorum.replica.reading import Reading
from kvorum.replica.watches import Watcher, WatchHub
from kvorum.sim.node import SimNode
from kvorum.sim.run import simulate
from kvorum.sim.world import SafetyViolation

Plant = Callable[[pytest.MonkeyPatch], None]
_SEEDS_MAX = 150


def reply_before_fsync(patch: pytest.MonkeyPatch) -> None:
    """The disk says "done" before it is."""
    original = SimNode._persist

    def persist(node: SimNode, effect: e.Persist) -> None:
        original(node, effect)
        node._later(0, lambda: node.handle(i.Persisted(effect.ticket)))

    patch.setattr(SimNode, "_persist", persist)


def vote_not_persisted(patch: pytest.MonkeyPatch) -> None:
    """A restart forgets whom the node voted for."""
    original = SimNode._persist

    def persist(node: SimNode, effect: e.Persist) -> None:
        hard = effect.hard_state
        if hard is not None:
            effect = effect._replace(hard_state=HardState(hard.term, 0, hard.commit))
        original(node, effect)

    patch.setattr(SimNode, "_persist", persist)


def reads_without_a_round(patch: pytest.MonkeyPatch) -> None:
    """Every node answers linearizable reads from its own state."""

    def read(reading: Reading, request: i.Read) -> None:
        reading._answer(request.request_id, request.query)

    patch.setattr(Reading, "read", read)


def leases_start_empty(patch: pytest.MonkeyPatch) -> None:
    """Leases start with no time after a change of leader."""
    original = LeaseClocks.promote

    def promote(clocks: LeaseClocks, now: int, leases: Any) -> None:
        original(clocks, now, [(lease, 0) for lease, _ in leases])

    patch.setattr(LeaseClocks, "promote", promote)


def watch_resumes_one_late(patch: pytest.MonkeyPatch) -> None:
    """Catching up skips the revision after the last batch."""
    original = WatchHub.caught_up

    def caught_up(hub: WatchHub, watcher: Watcher, events: Any, through: int) -> None:
        original(hub, watcher, events, through)
        if events:
            watcher.next_revision += 1

    patch.setattr(WatchHub, "caught_up", caught_up)


def events_dropped_when_full(patch: pytest.MonkeyPatch) -> None:
    """A batch is lost when its stream is behind."""
    original = WatchHub._deliver

    def deliver(hub: WatchHub, watcher: Watcher, events: Any, revision: int) -> None:
        if watcher.stream.outstanding_bytes < 2_000:
            original(hub, watcher, events, revision)

    patch.setattr(WatchHub, "_deliver", deliver)


def retry_of_forwarded_writes(patch: pytest.MonkeyPatch) -> None:
    """What entered raft is proposed again at every change of leader."""
    original = Proposals.retry_parked

    def retry(proposals: Proposals) -> None:
        for data in list(proposals._own):
            proposals._state.raft.propose(data)
        original(proposals)

    patch.setattr(Proposals, "retry_parked", retry)


def old_log_wins(patch: pytest.MonkeyPatch) -> None:
    """Votes are given to any candidate, however old its log."""
    patch.setattr(Log, "is_up_to_date", lambda log, index, term: True)


PLANTS: list[Plant] = [
    reply_before_fsync,
    vote_not_persisted,
    reads_without_a_round,
    leases_start_empty,
    watch_resumes_one_late,
    events_dropped_when_full,
    retry_of_forwarded_writes,
    old_log_wins,
]


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_is_found(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    for seed in range(_SEEDS_MAX):
        try:
            simulate(seed)
        except SafetyViolation:
            return
    pytest.fail(f"{plant.__name__} was not found in {_SEEDS_MAX} seeds")
