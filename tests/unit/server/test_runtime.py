"""The runtime around a scripted replica: batches, the order of effects, callers, the end.

Long because every effect and every way of asking has its case here, over one set of fakes.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from kvorum.config import NodeConfig
from kvorum.errors import Condition, KvorumError
from kvorum.machine.alarms import AlarmTable
from kvorum.machine.auth import Caller
from kvorum.machine.commands import Put, Range
from kvorum.raft.types import Role
from kvorum.replica import effects as fx
from kvorum.replica import inputs as i
from kvorum.replica.requests import Done, Failed, Stamp, WatchSpec
from kvorum.server.callers import id_base
from kvorum.server.crash import Crash, Exit, FatalError
from kvorum.server.faults import ClockFault, FaultGate, PauseFault
from kvorum.server.runtime import Node

PUT = Put(b"k", b"v")
Script = Callable[[Sequence[i.Input]], list[fx.Effect]]


class FakeReplica:
    """Answers each batch with what the script says; keeps the batches."""

    def __init__(self) -> None:
        self.batches: list[list[i.Input]] = []
        self.script: Script = lambda batch: []
        self.leader = 1
        self.term = 2
        self.role = Role.LEADER
        self.machine: Any = SimpleNamespace(applied_index=0, alarms=AlarmTable())
        self.raft: Any = SimpleNamespace(conf=SimpleNamespace(voters=()))

    def handle_all(self, batch: Sequence[i.Input]) -> list[fx.Effect]:
        self.batches.append(list(batch))
        return self.script(batch)

    @property
    def inputs(self) -> list[i.Input]:
        return [x for batch in self.batches for x in batch]


class Hands:
    """Every port at once; writes down what is asked of it."""

    size_bytes = 0

    def __init__(self) -> None:
        self.done: list[Any] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args: self.done.append((name, *args))


class World:
    def __init__(self) -> None:
        self.ends: list[tuple[BaseException, int]] = []
        self.ended = asyncio.Event()
        self.replica = FakeReplica()
        self.hands = Hands()
        self.gate = FaultGate(asyncio.get_running_loop(), random.Random(1))
        replica: Any = self.replica
        self.node = Node(
            NodeConfig(),
            replica,
            cluster_id=0xC1,
            member_id=1,
            first_request_id=100,
            crash=Crash(self._end),
            gate=self.gate,
        )
        hands: Any = self.hands
        self.node.attach(hands, hands, hands, hands)

    def _end(self, error: BaseException, code: int) -> None:
        self.ends.append((error, code))
        self.ended.set()


def with_node(test: Callable[[World], Awaitable[None]]) -> None:
    async def run() -> None:
        world = World()
        async with asyncio.timeout(30):
            await test(world)
        world.gate.close()
        world.node.stop()

    asyncio.run(run())


async def turns(count: int = 3) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def answering(value: object) -> Script:
    """Every request is answered with the value in the turn it comes in."""

    def script(batch: Sequence[i.Input]) -> list[fx.Effect]:
        return [
            fx.Reply(x.request_id, Done(value, Stamp(5, 2)))
            for x in batch
            if hasattr(x, "request_id") and not isinstance(x, i.Cancel)
        ]

    return script


def test_inputs_of_one_turn_are_one_batch() -> None:
    async def test(world: World) -> None:
        for peer in range(5):
            world.node.post(i.Unreachable(peer))
        assert world.replica.batches == []
        await turns()
        assert world.replica.batches == [[i.Unreachable(peer) for peer in range(5)]]

    with_node(test)


def test_writes_of_one_turn_go_to_the_disk_together() -> None:
    first, second = (fx.Persist(n, None, (), True) for n in (1, 2))
    send = fx.Send(2, ())

    async def test(world: World) -> None:
        world.replica.script = lambda batch: [first, send, second]
        world.node.post(i.Tick())
        await turns()
        assert world.hands.done == [("send", send), ("persist", (first, second))]

    with_node(test)


def test_what_must_come_after_writes_does() -> None:
    write = fx.Persist(1, None, (), True)
    after = fx.Persist(2, None, (), True)
    meta: Any = "meta"
    install = fx.InstallSnapshot(7, meta, meta)

    async def test(world: World) -> None:
        world.replica.script = lambda batch: [write, install, after, fx.CutLog(9)]
        world.node.post(i.Tick())
        await turns()
        assert world.hands.done == [
            ("persist", (write,)),
            ("install", install),
            ("persist", (after,)),
            ("cut", 9),
        ]

    with_node(test)


def test_every_effect_has_a_performer() -> None:
    async def test(world: World) -> None:
        kinds = set(fx.Effect.__args__)
        assert kinds == set(world.node._performers)

    with_node(test)


def test_a_proposal_is_answered() -> None:
    async def test(world: World) -> None:
        world.replica.script = answering("result")
        done = await world.node.propose(PUT, Caller("u", 1), timeout_s=1.0)
        assert done == Done("result", Stamp(5, 2))
        (asked,) = world.replica.inputs
        assert isinstance(asked, i.Propose)
        assert asked.command == PUT
        assert (asked.user, asked.timeout_ticks) == ("u", 10)
        assert abs(asked.at_ms - world.node.wall.now_ms()) < 60_000
        assert world.node.callers.propose.count == 1

    with_node(test)


def test_the_default_timeout_is_etcd_s() -> None:
    async def test(world: World) -> None:
        world.replica.script = answering(None)
        await world.node.propose(PUT)
        (asked,) = world.replica.inputs
        assert isinstance(asked, i.Propose)
        assert asked.timeout_ticks == 70

    with_node(test)


@pytest.mark.parametrize(
    ("ask", "kind"),
    [
        (lambda node: node.read(Range(b"k")), i.Read),
        (lambda node: node.barrier(), i.Barrier),
        (lambda node: node.hash_at(3), i.HashAt),
        (lambda node: node.lease_ask([5], renew=True), i.LeaseAsk),
        (lambda node: node.transfer_leader(2), i.TransferLeader),
        (lambda node: node.change_members(PUT), i.ChangeMembers),
    ],
)
def test_every_question_reaches_the_replica(
    ask: Callable[[Node], Awaitable[Done]], kind: type
) -> None:
    async def test(world: World) -> None:
        world.replica.script = answering("answer")
        assert (await ask(world.node)).value == "answer"
        assert [type(x) for x in world.replica.inputs] == [kind]

    with_node(test)


def test_a_failure_is_raised_with_its_condition() -> None:
    async def test(world: World) -> None:
        world.replica.script = lambda batch: [
            fx.Reply(101, Failed(Condition.LEASE_NOT_FOUND, "why"))
        ]
        with pytest.raises(KvorumError) as caught:
            await world.node.propose(PUT)
        assert caught.value.condition is Condition.LEASE_NOT_FOUND
        assert caught.value.detail == "why"

    with_node(test)


def test_request_ids_are_not_reused_and_name_their_member() -> None:
    async def test(world: World) -> None:
        world.replica.script = answering(None)
        await asyncio.gather(*(world.node.propose(PUT) for _ in range(50)))
        ids = [x.request_id for x in world.replica.inputs if isinstance(x, i.Propose)]
        assert len(set(ids)) == 50
        assert len(world.node.callers) == 0

    with_node(test)
    early, late = (
        id_base(0xABCD_1234_5678_9ABC, ms) for ms in (1_700_000_000_000, 1_700_000_001_000)
    )
    assert early >> 48 == late >> 48 == 0x9ABC
    assert late - early == 256_000


def test_a_caller_that_gives_up_is_forgotten() -> None:
    async def test(world: World) -> None:
        call = asyncio.ensure_future(world.node.propose(PUT))
        await turns()
        call.cancel()
        await turns()
        assert call.cancelled()
        assert world.replica.inputs[-1] == i.Cancel(101)
        assert len(world.node.callers) == 0
        # An answer that comes all the same finds nobody, and that is no error.
        world.replica.script = lambda batch: [fx.Reply(101, Done(None, Stamp(1, 1)))]
        world.node.post(i.Tick())
        await turns()
        assert world.ends == []

    with_node(test)


def test_a_stopped_node_tells_everybody() -> None:
    async def test(world: World) -> None:
        calls = [asyncio.ensure_future(world.node.propose(PUT)) for _ in range(3)]
        await turns()
        world.node.stop()
        for call in calls:
            with pytest.raises(KvorumError) as caught:
                await call
            assert caught.value.condition is Condition.STOPPED
        with pytest.raises(KvorumError):
            await world.node.propose(PUT)
        batches = len(world.replica.batches)
        world.node.post(i.Tick())
        await turns()
        assert len(world.replica.batches) == batches

    with_node(test)


def test_watch_deliveries_find_their_stream() -> None:
    async def test(world: World) -> None:
        got: dict[str, list[fx.Deliver]] = {"a": [], "b": []}
        a = world.node.open_watch_stream(got["a"].append)
        b = world.node.open_watch_stream(got["b"].append)
        assert a.number != b.number
        spec = WatchSpec(b"k")
        a.create(spec)
        a.cancel(3)
        a.progress()
        a.progress_due()
        a.taken(10)
        await turns()
        assert world.replica.inputs == [
            i.WatchCreate(a.number, spec),
            i.WatchCancel(a.number, 3),
            i.WatchProgress(a.number),
            i.WatchProgressDue(a.number),
            i.WatchTaken(a.number, 10),
        ]
        to_a, to_b = (fx.Deliver(s.number, (), 1, 2) for s in (a, b))
        world.replica.script = lambda batch: [to_b, to_a]
        world.node.post(i.Tick())
        await turns()
        assert got == {"a": [to_a], "b": [to_b]}
        a.close()
        a.close()
        a.taken(1)
        await turns()
        assert [x for x in world.replica.inputs if isinstance(x, i.WatchClose)] == [
            i.WatchClose(a.number)
        ]
        # The replica may deliver once more before it hears of the close; nobody is there.
        assert got["a"] == [to_a]

    with_node(test)


def test_role_listeners_hear_and_can_leave() -> None:
    async def test(world: World) -> None:
        heard: list[tuple[int, Role, int]] = []
        leave = world.node.on_role_change(lambda *what: heard.append(what))
        world.replica.script = lambda batch: [fx.RoleChanged(3, Role.FOLLOWER, 9)]
        world.node.post(i.Tick())
        await turns()
        leave()
        world.node.post(i.Tick())
        await turns()
        assert heard == [(3, Role.FOLLOWER, 9)]

    with_node(test)


def test_members_and_removal_are_passed_on() -> None:
    async def test(world: World) -> None:
        world.replica.script = lambda batch: [fx.MembersChanged(), fx.Removed()]
        world.node.post(i.Tick())
        await world.node.wait_removed()
        assert world.hands.done == [("members_changed",)]

    with_node(test)


def test_a_fatal_effect_ends_the_process_with_its_code() -> None:
    async def test(world: World) -> None:
        world.replica.script = lambda batch: [fx.Fatal("digests differ"), fx.Send(2, ())]
        world.node.post(i.Tick())
        await world.ended.wait()
        ((error, code),) = world.ends
        assert isinstance(error, FatalError)
        assert code == Exit.FATAL
        # Nothing after it is performed, and nothing is handled any more.
        assert world.hands.done == []
        batches = len(world.replica.batches)
        world.node.post(i.Tick())
        await turns()
        assert len(world.replica.batches) == batches

    with_node(test)


def test_a_replica_that_raises_ends_the_process() -> None:
    def script(batch: Sequence[i.Input]) -> list[fx.Effect]:
        raise ZeroDivisionError("planted")

    async def test(world: World) -> None:
        world.replica.script = script
        world.node.post(i.Tick())
        await world.ended.wait()
        ((error, code),) = world.ends
        assert isinstance(error, ZeroDivisionError)
        assert code == Exit.UNFORESEEN

    with_node(test)


def test_a_task_that_raises_ends_the_process_once() -> None:
    async def test(world: World) -> None:
        async def surprise() -> None:
            raise KeyError("planted")

        world.node.crash.spawn(surprise(), "surprise")
        world.node.crash.spawn(surprise(), "second")
        await world.ended.wait()
        await turns()
        assert len(world.ends) == 1

    with_node(test)


def test_a_paused_node_takes_no_turn_until_the_end() -> None:
    async def test(world: World) -> None:
        world.replica.script = answering("late")
        world.node.start()
        paused = asyncio.Event()
        world.gate.on_change(paused.set)
        world.gate.inject(PauseFault(), 60_000)
        await paused.wait()
        call = asyncio.ensure_future(world.node.propose(PUT))
        batches = len(world.replica.batches)
        await asyncio.sleep(0.25)
        assert len(world.replica.batches) == batches
        assert not call.done()
        world.gate.lift()
        assert (await call).value == "late"
        # The ticks of the pause are made up for, as after a real one.
        assert sum(isinstance(x, i.Tick) for x in world.replica.inputs) >= 2

    with_node(test)


def test_clock_faults_reach_the_wall_clock() -> None:
    async def test(world: World) -> None:
        before = world.node.wall.now_ms()
        world.gate.inject(ClockFault(0, 3_600_000), 60_000)
        assert world.node.wall.now_ms() >= before + 3_600_000
        world.gate.lift()
        assert world.node.wall.now_ms() < before + 3_600_000

    with_node(test)
