"""Known mistakes, planted one at a time: the simulation must find each, or it proves nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from kvorum.raft.log import Log
from kvorum.raft.messages import VoteRequest
from kvorum.raft.types import HardState, Role
from kvorum.replica import effects as e
from kvorum.replica import inputs as i
from kvorum.replica.expiry import LeaseClocks
from kvorum.replica.proposals import Proposals
from kvorum.replica.reading import Reading
from kvorum.replica.watches import Watcher, WatchHub
from kvorum.sim.node import SimNode
from kvorum.sim.run import Simulation, simulate
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


# --- too rare for chance: a schedule of its own ---------------------------------------------------


def contest(patch: pytest.MonkeyPatch) -> Simulation:
    """Two candidates of one term want the vote of a member that reboots between their requests."""
    simulation = Simulation(1, nodes=3)
    world, held = simulation.world, []
    deliver = SimNode._to_peer

    def hold_votes(node: SimNode, to: int, happened: i.Input, once: bool = False) -> None:
        if isinstance(happened, i.Received) and any(
            isinstance(message, VoteRequest) and not message.pre for message in happened.messages
        ):
            held.append((node, to, happened))
        else:
            deliver(node, to, happened, once)

    def wait(condition: Callable[[], bool]) -> None:
        assert world.run_until(world.now_us + 10_000_000, condition)

    for node in simulation.nodes:
        node.start()
    wait(lambda: any(node.replica.role is Role.LEADER for node in simulation.nodes))
    voter = next(node for node in simulation.nodes if node.replica.role is Role.LEADER)
    rivals = [node for node in simulation.nodes if node is not voter]
    patch.setattr(SimNode, "_to_peer", hold_votes)
    for one, other in (rivals, rivals[::-1]):
        simulation.network.cut(one.id, other.id)
    voter.crash(power=True)
    voter.start()
    for rival in rivals:
        rival.handle(*[i.Tick()] * 20)
    wait(lambda: {node.id for node, to, _ in held if to == voter.id} == {r.id for r in rivals})
    assert rivals[0].replica.term == rivals[1].replica.term
    first, second = (
        next(request for request in held if request[0] is rival and request[1] == voter.id)
        for rival in rivals
    )
    deliver(*first)
    wait(lambda: rivals[0].replica.role is Role.LEADER)
    # The voter must not learn from anybody but its disk whom it voted for.
    simulation.network.cut(rivals[0].id, voter.id)
    voter.crash(power=True)
    world.run_until(world.now_us + 10_000)
    voter.start()
    deliver(*second)
    world.run_until(world.now_us + 300_000)
    return simulation


def test_a_vote_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    simulation = contest(monkeypatch)
    assert sum(node.replica.role is Role.LEADER for node in simulation.nodes) == 1


def test_a_forgotten_vote_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    vote_not_persisted(monkeypatch)
    with pytest.raises(SafetyViolation, match="election safety"):
        contest(monkeypatch)
