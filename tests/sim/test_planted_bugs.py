"""Known mistakes, planted one at a time: the simulation must find each, or it proves nothing.

The seed that first found a mistake is recorded in ``FOUND_BY`` and tried first; since what a seed
decides changes with the simulation, others are tried after it. ``KVORUM_LONG=1`` searches up to a
thousand seeds from 0 instead. Mistakes that need many things to meet have runs in which one kind of
fault strikes often (``FOCUSED``), or a schedule of their own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest
from kvorum.raft.messages import VoteRequest
from kvorum.raft.types import Role
from kvorum.replica import inputs as i
from kvorum.replica.state import ReplicaConfig
from kvorum.sim.node import SimNode
from kvorum.sim.plan import Mix
from kvorum.sim.run import Simulation, simulate
from kvorum.sim.shrink import run_plan
from kvorum.sim.world import SafetyViolation
from support import planted

_LONG = bool(os.environ.get("KVORUM_LONG"))
_SEEDS_MAX = 1_000 if _LONG else 60

# What finds each: the first seed that does.
FOUND_BY: dict[planted.Plant, int] = {
    planted.reply_before_fsync: 0,
    planted.fsync_error_swallowed: 1,
    planted.segment_name_not_synced: 0,
    planted.corrupt_tail_cut: 7,
    planted.rows_again_after_a_restart: 0,
    planted.old_log_wins: 3,
    planted.shorter_log_wins: 3,
    planted.votes_for_everybody: 4,
    planted.minority_is_enough: 3,
    planted.acknowledged_before_it_is_written: 0,
    planted.conflicting_tail_kept: 0,
    planted.previous_entry_not_compared: 2,
    planted.heartbeats_tell_the_whole_commit: 3,
    planted.retry_of_forwarded_writes: 0,
    planted.reads_without_a_round: 0,
    planted.reads_do_not_wait_to_apply: 0,
    planted.leases_start_empty: 0,
    planted.leases_forgotten_at_promotion: 0,
    planted.leased_keys_die_one_by_one: 0,
    planted.snapshot_without_leases: 0,
    planted.watch_resumes_one_late: 0,
    planted.events_dropped_when_full: 4,
    planted.progress_ahead_of_events: 3,
    planted.compaction_is_not_told_to_watchers: 0,
}


def _seeds(plant: planted.Plant) -> Iterable[int]:
    return range(_SEEDS_MAX) if _LONG else (FOUND_BY[plant], *range(_SEEDS_MAX))


@pytest.mark.parametrize("plant", FOUND_BY, ids=lambda plant: plant.__name__)
def test_is_found(plant: planted.Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    for seed in _seeds(plant):
        try:
            simulate(seed)
        except SafetyViolation:
            return
    pytest.fail(f"{plant.__name__} was not found in {_SEEDS_MAX} seeds")


# --- runs in which one thing goes wrong often -----------------------------------------------------

_READS = Mix(put=50, delete=0, txn=0, read=50, lease=0, transfer=0, compact=0)
_DELETES = Mix(put=40, delete=40, txn=0, read=5, lease=0, transfer=0, compact=0)
_LEASES = Mix(put=20, delete=0, txn=0, read=5, lease=40, transfer=0, compact=0)
_COMPACTS = replace(_DELETES, compact=10, kept_revisions=60)

# Which faults, what clients like, members, entries between snapshots; the first seed that finds it.
FOCUSED: dict[planted.Plant, tuple[str, Mix, int, int, int]] = {
    planted.rows_and_applied_index_apart: ("crash", _DELETES, 1, 20, 1),
    planted.compaction_takes_tombstones: ("crash", _COMPACTS, 1, 20, 0),
    planted.watchers_forgotten_at_a_snapshot: ("pause cut", _DELETES, 3, 20, 4),
    planted.reads_confirmed_by_the_leader_alone: ("slow cut", _READS, 3, 10_000, 0),
    planted.reads_before_the_first_commit: ("transfer crash", _READS, 5, 10_000, 14),
    planted.expiry_of_an_older_term: ("pause transfer cut", _LEASES, 3, 10_000, 0),
    planted.leader_counts_what_it_has_not_written: (
        "all_down crash slow_disk cut",
        _READS,
        3,
        10_000,
        12,
    ),
}


@pytest.mark.parametrize("plant", FOCUSED, ids=lambda plant: plant.__name__)
def test_is_found_by_looking_for_it(plant: planted.Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds, mix, nodes, snapshot_count, first = FOCUSED[plant]
    plant(monkeypatch)
    for seed in range(_SEEDS_MAX) if _LONG else (first, *range(_SEEDS_MAX)):
        if run_plan(planted.focused(seed, kinds, mix, nodes, snapshot_count)) is not None:
            return
    pytest.fail(f"{plant.__name__} was not found in {_SEEDS_MAX} runs")


@pytest.mark.parametrize("plant", FOCUSED, ids=lambda plant: plant.__name__)
def test_the_same_run_holds_without_it(plant: planted.Plant) -> None:
    kinds, mix, nodes, snapshot_count, first = FOCUSED[plant]
    assert run_plan(planted.focused(first, kinds, mix, nodes, snapshot_count)) is None


# --- too rare for chance: a schedule of its own ---------------------------------------------------


def contest(patch: planted.Patch) -> Simulation:
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
    planted.vote_not_persisted(monkeypatch)
    with pytest.raises(SafetyViolation, match="election safety"):
        contest(monkeypatch)


def terms_of_a_return() -> tuple[int, int]:
    """The leader's term before and after a member comes back that heard nobody for long."""
    simulation = Simulation(1, nodes=3)
    world, network = simulation.world, simulation.network
    for node in simulation.nodes:
        node.start()
    leading = lambda: [n for n in simulation.nodes if n.replica.role is Role.LEADER]  # noqa: E731
    assert world.run_until(10_000_000, lambda: bool(leading()))
    leader = leading()[0]
    lonely = next(node for node in simulation.nodes if node is not leader)
    for other in simulation.nodes:
        if other is not lonely:
            network.cut(lonely.id, other.id)
            network.cut(other.id, lonely.id)
    before = leader.replica.term
    world.run_until(world.now_us + 20_000_000)
    network.heal()
    world.run_until(world.now_us + 5_000_000)
    return before, max(node.replica.term for node in simulation.nodes)


def test_a_member_that_was_alone_returns_quietly() -> None:
    before, after = terms_of_a_return()
    assert after == before


def test_without_a_pre_vote_its_return_ends_a_leadership(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "kvorum.sim.node.ReplicaConfig",
        lambda **settings: ReplicaConfig(**settings, pre_vote=False, check_quorum=False),
    )
    before, after = terms_of_a_return()
    assert after > before
