"""Corners of a replica that no script reaches: snapshots, member changes, sweeping."""

from __future__ import annotations

import random
from typing import Any

import pytest
from kvorum.errors import Condition
from kvorum.limits import MAX_WATCHERS_PER_STREAM, SNAPSHOT_TRANSFER_TIMEOUT_S
from kvorum.machine import commands
from kvorum.machine.apply import Machine
from kvorum.machine.members import Member
from kvorum.machine.results import MembersResult
from kvorum.raft.messages import SnapshotOffer
from kvorum.raft.types import ConfState, HardState, SnapshotMeta
from kvorum.replica import effects as e
from kvorum.replica import inputs as i
from kvorum.replica import proposals, watches
from kvorum.replica.replica import Replica
from kvorum.replica.requests import Done, Failed, WatchSpec
from kvorum.replica.state import Boot, ReplicaConfig
from kvorum.replica.watches import WatchHub
from unit.replica.elected import MEMBERS, Elected
from unit.replica.world import World


def machine_at(index: int, term: int) -> Machine:
    """A state some entries further on."""
    machine = Machine(7, tuple(Member(m, f"n{m}", (f"http://n{m}:1",)) for m in MEMBERS))
    for number in range(1, index + 1):
        put = commands.Put(b"k", b"%d" % number)
        machine.apply(number, term, commands.Envelope(0, 0, 1, "", 0, put))
    return machine


def follower(member: int = 3) -> Replica:
    """A member that has heard nothing yet."""
    boot = Boot(HardState(1), SnapshotMeta(0, 0, ConfState(MEMBERS)), (), machine_at(0, 0), 0)
    return Replica(ReplicaConfig(member, 7, member << 48), boot, random.Random(1))


def arrival(token: int, index: int, term: int = 2, sender: int = 1) -> i.SnapshotReceived:
    """A snapshot's body."""
    meta = SnapshotMeta(index, term, ConfState(MEMBERS))
    return i.SnapshotReceived(sender, term, meta, machine_at(index, term), token)


def of(effects: list[e.Effect], kind: type) -> list[Any]:
    """The effects of one kind."""
    return [effect for effect in effects if type(effect) is kind]


# --- snapshots ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arrivals", "installed", "discarded"),
    [
        ((arrival(1, 5),), 1, []),
        ((arrival(1, 5), arrival(2, 9)), 2, [1]),
        ((arrival(1, 9), arrival(2, 5)), 1, [2]),
        ((arrival(1, 9), arrival(2, 9)), 1, [2]),
    ],
)
def test_snapshots_that_arrive_in_one_turn(
    arrivals: tuple[i.SnapshotReceived, ...], installed: int, discarded: list[int]
) -> None:
    replica = follower()
    effects = replica.handle_all(arrivals)
    assert [effect.token for effect in of(effects, e.InstallSnapshot)] == [installed]
    assert [effect.token for effect in of(effects, e.DiscardSnapshot)] == discarded
    assert replica.machine.applied_index == max(a.meta.index for a in arrivals)


def test_an_old_snapshot_is_discarded() -> None:
    replica = follower()
    replica.handle(arrival(1, 9))
    effects = replica.handle(arrival(2, 9))
    assert of(effects, e.InstallSnapshot) == []
    assert [effect.token for effect in of(effects, e.DiscardSnapshot)] == [2]


def test_installing_comes_before_what_is_persisted_after_it() -> None:
    kinds = [type(effect) for effect in follower().handle(arrival(1, 9))]
    assert kinds.index(e.InstallSnapshot) < kinds.index(e.Persist)


def test_a_transfer_nobody_reports_on_is_begun_again() -> None:
    world = World(3, lambda node, effect: None)
    leader = world.nodes[1].replica
    while leader.leader != 1:
        world.give(1, i.Tick())
        world.settle()
    snapshots = leader._snapshots
    offer = SnapshotOffer(2, 1, leader.term, SnapshotMeta(1, leader.term, ConfState(MEMBERS)))
    leader._state.out = []
    snapshots.offer(offer)
    snapshots.offer(offer)
    assert len(of(leader._state.out, e.SendSnapshot)) == 1
    leader._state.now += 10 * 2 * int(SNAPSHOT_TRANSFER_TIMEOUT_S) - 1
    snapshots.tick()
    snapshots.offer(offer)
    assert len(of(leader._state.out, e.SendSnapshot)) == 1
    leader._state.now += 1
    snapshots.tick()
    snapshots.offer(offer)
    assert len(of(leader._state.out, e.SendSnapshot)) == 2


# --- members --------------------------------------------------------------------------------------


URL = ("http://new:2380",)


@pytest.mark.parametrize("on", [1, 2])
@pytest.mark.parametrize(
    ("change", "condition"),
    [
        (commands.MemberRemove(9), Condition.MEMBER_NOT_FOUND),
        (commands.MemberPromote(9), Condition.MEMBER_NOT_FOUND),
        (commands.MemberPromote(2), Condition.MEMBER_NOT_LEARNER),
        (commands.MemberUpdate(9, URL), Condition.MEMBER_NOT_FOUND),
        (commands.MemberUpdate(2, ("http://n3:2380",)), Condition.PEER_URL_EXIST),
        (commands.MemberAdd(2, URL), Condition.MEMBER_EXIST),
        (commands.MemberAdd(9, ("http://n3:2380",)), Condition.PEER_URL_EXIST),
        (commands.MemberAdd(9, ("nonsense",)), Condition.MEMBER_BAD_URLS),
        (commands.MemberAdd(9, ()), Condition.MEMBER_BAD_URLS),
    ],
)
def test_changes_that_cannot_be(change: commands.Command, condition: Condition, on: int) -> None:
    elected = Elected()
    assert elected.change(1, change, on) == Failed(condition)


def test_the_last_voter_cannot_go() -> None:
    outcome = Elected(1).change(1, commands.MemberRemove(1))
    assert outcome.condition is Condition.NOT_ENOUGH_STARTED


def test_a_learner_is_added_and_only_one() -> None:
    elected = Elected()
    outcome = elected.change(1, commands.MemberAdd(9, URL, True))
    assert isinstance(outcome, Done) and isinstance(outcome.value, MembersResult)
    assert elected.world.nodes[2].replica.raft.conf.learners == (9,)
    again = elected.change(2, commands.MemberAdd(10, ("http://x:2380",), True))
    assert again == Failed(Condition.TOO_MANY_LEARNERS)


def test_a_removed_member_is_told_and_its_id_never_returns() -> None:
    elected = Elected()
    assert isinstance(elected.change(1, commands.MemberRemove(3)), Done)
    told = [member for member, effect in elected.effects if isinstance(effect, e.Removed)]
    assert set(told) <= {3}
    assert elected.world.nodes[1].replica.raft.conf.voters == (1, 2)
    back = elected.change(2, commands.MemberAdd(3, URL))
    assert back == Failed(Condition.MEMBER_NOT_FOUND)


# --- nothing grows for ever -----------------------------------------------------------------------


def test_waiting_without_a_leader_leaves_nothing_behind() -> None:
    """Hours of requests to a member that is cut off: everything of them goes with their time."""
    replies: list[Any] = []

    def observe(node: Any, effect: e.Effect) -> None:
        if isinstance(effect, e.Reply):
            replies.append(effect)

    world = World(3, observe)
    for member in (1, 2):
        world.cuts[3, member] = world.cuts[member, 3] = None
    replica = world.nodes[3].replica
    number = 0
    for tick in range(600):
        for make in (
            lambda n: i.Propose(n, commands.Put(b"k", b"v"), 0),
            lambda n: i.Read(n, commands.Range(b"k")),
            lambda n: i.Barrier(n),
            lambda n: i.LeaseAsk(n, (7,), True),
            lambda n: i.TransferLeader(n, 1),
        ):
            number += 1
            world.give(3, make(number))
            if tick % 3 == 0:
                world.give(3, i.Cancel(number))
        world.give(3, i.Tick())
        world.road.clear()
        world.settle()
    for _ in range(80):
        world.give(3, i.Tick())
        world.settle()
    statistics = replica.statistics()
    assert (statistics.pending_requests, statistics.pending_reads) == (0, 0)
    leasing = replica._reading.leasing
    held = (
        replica._proposals._parked,
        replica._proposals._own,
        replica._transfers,
        replica._reading._missing,
        leasing._forwarded,
        leasing._pending,
        replica._waiting._deadlines,
    )
    assert [len(each) for each in held] == [0] * len(held)


def test_a_flood_of_abandoned_proposals_does_not_pile_up() -> None:
    world = World(3, lambda node, effect: None)
    for number in range(1, 5_001):
        world.give(3, i.Propose(number, commands.Put(b"k", b"v"), 0))
        world.give(3, i.Cancel(number))
    assert len(world.nodes[3].replica._proposals._parked) < 5


# --- what is refused before it enters -------------------------------------------------------------


def refused(request: i.Input, **changes: Any) -> Condition:
    """Why the leader of three members refuses a request, after attributes were changed."""
    elected = Elected()
    replica = elected.world.nodes[1].replica
    patch = pytest.MonkeyPatch()
    for name, (owner, value) in changes.items():
        patch.setattr(owner(replica), name, value)
    elected.world.give(1, request)
    elected.world.settle()
    patch.undo()
    outcome = elected.replies[1]
    assert isinstance(outcome, Failed)
    return outcome.condition


def test_too_many_requests() -> None:
    put = i.Propose(1, commands.Put(b"k", b"v"), 0)
    lag = {"applied_index": (lambda r: r.machine, -5_000)}
    assert refused(put, **lag) is Condition.TOO_MANY_REQUESTS
    full = {"MAX_PENDING_REQUESTS": (lambda r: proposals, 0)}
    assert refused(put, **full) is Condition.TOO_MANY_REQUESTS
    stuck = {"event_count": (lambda r: r.machine.window, 400_001)}
    assert refused(put, **stuck) is Condition.TOO_MANY_REQUESTS
    uncommitted = {"uncommitted_bytes": (lambda r: r.raft.state, 1 << 40)}
    assert refused(put, **uncommitted) is Condition.TOO_MANY_REQUESTS


def test_what_is_wrong_with_a_request_is_said_before_that_there_are_too_many() -> None:
    full = {"MAX_PENDING_REQUESTS": (lambda r: proposals, 0)}
    put = i.Propose(1, commands.Put(b"", b"v"), 0)
    assert refused(put, **full) is Condition.KEY_NOT_PROVIDED
    large = i.Propose(1, commands.Put(b"k", bytes(1_572_864)), 0)
    assert refused(large) is Condition.REQUEST_TOO_LARGE
    assert refused(i.Read(1, commands.Range(b""))) is Condition.KEY_NOT_PROVIDED


@pytest.mark.parametrize("on", [1, 2])
def test_one_change_of_members_at_a_time(on: int) -> None:
    """The second waits for the first, also where the leader had to send it back."""
    elected = Elected()
    world = elected.world
    for member in (2, 3):
        world.nodes[member].holds_disk = True
    world.give(1, i.ChangeMembers(1, commands.MemberAdd(9, URL, True), 0))
    world.settle()
    assert elected.change(2, commands.MemberRemove(3), on) is None
    proposals = world.nodes[on].replica._proposals
    assert list(proposals._parked_changes) == [2]
    # Other writes go by.
    world.give(on, i.Propose(3, commands.Put(b"k", b"v"), 0))
    world.settle()
    assert not proposals._parked
    for member in (2, 3):
        world.nodes[member].holds_disk = False
    for _ in range(5):
        for member in MEMBERS:
            world.give(member, i.Tick())
        world.settle()
    assert isinstance(elected.replies[1], Done) and isinstance(elected.replies[2], Done)
    assert isinstance(elected.replies[3], Done)
    assert world.nodes[1].replica.raft.conf == ConfState((1, 2), (9,))
    assert not proposals._parked_changes and not proposals._changes


@pytest.mark.parametrize("on", [1, 2])
def test_a_learner_that_lags_is_refused_at_once(on: int) -> None:
    elected = Elected()
    assert isinstance(elected.change(1, commands.MemberAdd(9, URL, True)), Done)
    outcome = elected.change(2, commands.MemberPromote(9), on)
    assert outcome.condition is Condition.LEARNER_NOT_READY
    assert not elected.world.nodes[on].replica._proposals._changes


def test_a_change_of_members_that_nobody_waits_for_is_forgotten() -> None:
    world = World(3, lambda node, effect: None)
    for number in range(1, 50):
        world.give(3, i.ChangeMembers(number, commands.MemberRemove(2), 0))
        world.give(3, i.Cancel(number))
    assert not world.nodes[3].replica._proposals._parked_changes


def test_promoting_without_a_leader_ends_in_time() -> None:
    replies: list[Any] = []

    def observe(node: Any, effect: e.Effect) -> None:
        if isinstance(effect, e.Reply):
            replies.append(effect.outcome)

    world = World(3, observe)
    world.give(3, i.ChangeMembers(1, commands.MemberPromote(2), 0, 20))
    for _ in range(20):
        world.give(3, i.Tick())
        world.road.clear()
    assert replies == [Failed(Condition.NO_LEADER)]


def test_a_change_of_members_waits_for_the_leaders_first_entry() -> None:
    elected = Elected()
    world = elected.world
    for member in MEMBERS:
        world.nodes[member].holds_disk = True
    world.give(1, i.TransferLeader(1, 2))
    for _ in range(40):
        if world.nodes[2].replica.leader == 2:
            break
        # Votes must reach the disks, the new leader's first entry must not.
        for member in MEMBERS:
            world.nodes[member].write()
        world.settle()
    raft = world.nodes[2].replica.raft
    assert raft.leader == 2 and raft.log.commit < raft.log.last_index
    world.give(2, i.ChangeMembers(2, commands.MemberAdd(9, URL, True), 0))
    world.give(2, i.Propose(3, commands.Put(b"k", b"v"), 0))
    assert not {2, 3} & elected.replies.keys()
    for member in MEMBERS:
        world.nodes[member].holds_disk = False
    for _ in range(3):
        world.give(2, i.Tick())
        world.settle()
    assert isinstance(elected.replies[2], Done) and isinstance(elected.replies[3], Done)


# --- the bounds of a stream -----------------------------------------------------------------------


def test_a_stream_takes_so_many_watchers(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_WATCHERS_PER_STREAM > 1_000
    monkeypatch.setattr(watches, "MAX_WATCHERS_PER_STREAM", 2)
    hub = WatchHub(1, -1)
    for _ in range(3):
        hub.create(1, WatchSpec(b"a"))
    (deliver,) = hub.deliveries(1)
    assert [item.watch_id for item in deliver.items if isinstance(item, e.Created)] == [0, 1, -1]
    refused = deliver.items[2]
    assert isinstance(refused, e.Created) and refused.refused == "etcdserver: too many requests"


def test_ended_ids_are_remembered_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watches, "WATCH_ENDED_IDS", 3)
    hub = WatchHub(10, 5)
    for _ in range(5):
        hub.create(1, WatchSpec(b"a", start_revision=2))
    stream = hub.streams[1]
    for watcher in list(stream.watchers.values()):
        assert hub.overtaken(watcher)
    assert list(stream.ended) == [2, 3, 4]
    hub.close(1)
    assert hub.streams == {} and hub.slow_count == hub.watcher_count == 0
