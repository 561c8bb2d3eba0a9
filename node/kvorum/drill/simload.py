"""Clients and watchers in simulated time, recorded as those of real clusters are.

A client asks one thing at a time at a member of its choice and gives up after a while; a watcher
follows everything from the first revision and moves on when its member dies.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from kvorum.check import records as r
from kvorum.drill.plan import Plan
from kvorum.drill.recorder import Recorder
from kvorum.drill.scenario import Load
from kvorum.drill.simdoors import Doors
from kvorum.errors import UNKNOWN_OUTCOME
from kvorum.machine import commands, results
from kvorum.machine.events import DELETE, Event
from kvorum.machine.operations import COMPARE_MOD, EQUAL
from kvorum.machine.record import Record
from kvorum.replica import effects as e
from kvorum.replica import inputs as i
from kvorum.replica.requests import Done, LeaseClock, Outcome, WatchSpec
from kvorum.sim.node import SimNode
from kvorum.sim.world import World

_PATIENCE_S = 2.0  # As the clients of real clusters have in a drill.
_US = 1_000_000
_LOOK_US = 200_000

# Hears the answer, or None when there is none, and its revision.
Then = Callable[[r.Answer | None, int], None]


class Caller:
    """Asks the members and records what they say. ``number`` is the client's."""

    def __init__(
        self,
        world: World,
        nodes: Sequence[SimNode],
        recorder: Recorder,
        number: int,
        doors: Doors,
    ) -> None:
        self.world = world
        self.nodes = nodes
        self.recorder = recorder
        self.number = number
        self.doors = doors
        self._asked = 0

    def ask(self, request: r.Request, then: Then) -> None:
        """Ask anybody who is alive; ``then`` hears the answer, or None, exactly once."""
        alive = [node for node in self.nodes if node.joined]
        if not alive:
            self.world.after(100_000, lambda: then(None, 0))
            return
        self.ask_at(self.world.rng.choice(alive), request, then)

    def ask_at(self, node: SimNode, request: r.Request, then: Then) -> None:
        """Ask one member."""
        self._asked += 1
        call = _Call(self, node, request, then)
        doors = self.doors
        sent = _input(self.number << 32 | self._asked, request, self.world)

        def answered(outcome: Outcome) -> None:
            doors.through(node.id, lambda: call.answered(outcome))

        doors.enter(call)
        doors.through(node.id, lambda: node.ask(sent, answered))
        self.world.after(int(_PATIENCE_S * _US), call.give_up)


class _Call:
    """One request under way."""

    def __init__(self, caller: Caller, node: SimNode, request: r.Request, then: Then) -> None:
        self._caller = caller
        self.member = node.id
        self._member = f"n{node.id}"
        self._request = request
        self._then = then
        self._called = caller.recorder.now()
        self._over = False

    def answered(self, outcome: Outcome) -> None:
        """The member says something."""
        if self._over:
            return
        self._close()
        recorder, who = self._caller.recorder, self._caller.number
        if isinstance(outcome, Done):
            answer = _answer(self._request, outcome.value)
            revision = getattr(outcome.value, "revision", 0) or outcome.stamp.revision
            recorder.done(
                who,
                self._called,
                self._request,
                answer,
                revision,
                outcome.stamp.term,
                self._member,
            )
            self._then(answer, revision)
            return
        unknown = outcome.condition in UNKNOWN_OUTCOME
        self._fail(outcome.condition.name, unknown)

    def give_up(self) -> None:
        """It took too long."""
        if not self._over:
            self._close()
            self._fail("DEADLINE_EXCEEDED", True)

    def broken(self) -> None:
        """The connection is gone, and nobody knows what became of the request."""
        self._close()
        self._fail("UNAVAILABLE", True)

    def _close(self) -> None:
        self._over = True
        self._caller.doors.leave(self)

    def _fail(self, error: str, unknown: bool) -> None:
        unknown = unknown and not isinstance(self._request, r.Range)
        self._caller.recorder.failed(
            self._caller.number, self._called, self._request, error, unknown, self._member
        )
        self._then(None, 0)


class Client:
    """One client of the registers."""

    def __init__(self, caller: Caller, load: Load) -> None:
        self._caller = caller
        self._load = load
        rng = random.Random(caller.world.rng.getrandbits(64))
        self._plan = Plan(caller.number, rng, b"drill/", load.keys)
        self._stopped = False

    def start(self) -> None:
        """Begin, and go on until stopped."""
        self._rest()

    def stop(self) -> None:
        """Finish the request under way, begin no other."""
        self._stopped = True

    def _rest(self) -> None:
        pause_s = self._plan.pause_s(self._load.rate, self._load.clients)
        self._caller.world.after(int(pause_s * _US), self._next)

    def _next(self) -> None:
        if self._stopped:
            return
        request = self._plan.next()

        def then(answer: r.Answer | None, revision: int) -> None:
            if answer is not None:
                self._plan.learn(request, answer, revision)
            self._rest()

        self._caller.ask(request, then)


class LeaseHolder:
    """Grants a lease, hangs a key on it and renews it; one that is gone is granted anew."""

    def __init__(self, caller: Caller, load: Load) -> None:
        self._caller = caller
        self._ttl_s = load.lease_ttl_s
        self._key = b"drill/leased/%d" % caller.number
        self._lease = 0
        self._stopped = False

    def start(self) -> None:
        """Begin, and go on until stopped."""
        self._caller.world.after(self._caller.world.rng.randrange(_US), self._next)

    def stop(self) -> None:
        """Renew no more."""
        self._stopped = True

    def _next(self) -> None:
        if self._stopped:
            return
        if self._lease:
            self._caller.ask(r.Renew(self._lease), self._renewed)
        else:
            self._caller.ask(r.Grant(self._ttl_s), self._granted)

    def _later(self) -> None:
        self._caller.world.after(int(self._ttl_s / 3 * _US), self._next)

    def _granted(self, answer: r.Answer | None, revision: int) -> None:
        if isinstance(answer, r.LeaseAnswer):
            self._lease = answer.lease
            put = r.Put(self._key, b"%d.%d" % (self._caller.number, self._lease), self._lease)
            self._caller.ask(put, lambda answer, revision: self._later())
        else:
            self._later()

    def _renewed(self, answer: r.Answer | None, revision: int) -> None:
        if isinstance(answer, r.LeaseAnswer) and answer.ttl_s == 0:
            self._lease = 0
        self._later()


class Follower:
    """A watcher of everything from the first revision, at one member after another."""

    def __init__(
        self,
        world: World,
        nodes: Sequence[SimNode],
        recorder: Recorder,
        stream: int,
        doors: Doors,
    ) -> None:
        self._doors = doors
        self._world = world
        self._nodes = nodes
        self._recorder = recorder
        self._stream = stream
        self._node: SimNode | None = None
        self._boot = -1
        self._watch = 0
        self.next_revision = 2

    def start(self) -> None:
        """Look after the watch now and then, for ever."""
        self._world.after(self._world.rng.randrange(1, _LOOK_US), self._look)

    def _look(self) -> None:
        self._world.after(_LOOK_US, self._look)
        node = self._node
        if node is not None and node.alive and node.boots == self._boot:
            return
        if node is not None:
            self._end(0, 0)
        alive = [n for n in self._nodes if n.joined and not n.paused]
        if not alive:
            return
        self._node = node = self._world.rng.choice(alive)
        self._boot = node.boots
        self._watch = self._recorder.id()
        start = self.next_revision
        self._recorder.history.add(
            r.Watch(
                self._watch,
                self._stream,
                self._recorder.now(),
                b"\0",
                b"\0",
                start,
                f"n{node.id}",
                prev_kv=True,
            )
        )
        node.sinks[self._stream] = self._sent
        spec = WatchSpec(b"\0", b"\0", start, prev_kv=True)
        opening = i.WatchClose(self._stream), i.WatchCreate(self._stream, spec)
        self._doors.enter(self)
        self._doors.through(node.id, lambda: node.handle(*opening))

    @property
    def member(self) -> int:
        """The member it is connected with, 0 for none."""
        return self._node.id if self._node is not None else 0

    def broken(self) -> None:
        """The connection is gone: another watch goes on behind what was seen."""
        node = self._node
        assert node is not None
        self._end(0, 0)
        node.handle(i.WatchClose(self._stream))

    def _sent(self, node: SimNode, deliver: e.Deliver) -> None:
        watch = self._watch
        self._doors.through(node.id, lambda: self._taken(node, deliver, watch))

    def _taken(self, node: SimNode, deliver: e.Deliver, watch: int) -> None:
        if watch != self._watch or node is not self._node or node.boots != self._boot:
            return
        for item in deliver.items:
            self._item(item)
        size = deliver.size_bytes
        self._world.after(0, lambda: node.handle(i.WatchTaken(self._stream, size)))

    def _item(self, item: e.Delivery) -> None:
        now, add = self._recorder.now(), self._recorder.history.add
        if isinstance(item, e.Created):
            add(r.Seen(self._watch, now, item.revision, created=True))
        elif isinstance(item, e.Events):
            add(r.Seen(self._watch, now, item.revision, tuple(recorded(v) for v in item.events)))
            self.next_revision = item.events[-1].revision + 1
        elif isinstance(item, e.Canceled):
            self._end(item.revision, item.compact_revision)
            self.next_revision = max(self.next_revision, item.compact_revision)

    def _end(self, revision: int, compact_revision: int) -> None:
        """The watch is over, by its member's word or by its member's end."""
        self._node = None
        self._doors.leave(self)
        now = self._recorder.now()
        seen = r.Seen(self._watch, now, revision, canceled=True, compact_revision=compact_revision)
        self._recorder.history.add(seen)


def _kv(record: Record) -> r.Kv:
    return r.Kv(
        record.key,
        record.value,
        record.create_revision,
        record.mod_revision,
        record.version,
        record.lease,
    )


def recorded(event: Event) -> r.Event:
    """An event as it is recorded."""
    prev = None if event.prev is None else _kv(event.prev)
    return r.Event(r.DELETE if event.kind == DELETE else r.PUT, _kv(event.record), prev)


def _write(request: r.Request) -> commands.Put | commands.DeleteRange:
    match request:
        case r.Put(key, value, lease):
            return commands.Put(key, value, lease)
        case r.Delete(key):
            return commands.DeleteRange(key)
    raise ValueError(f"no client of a drill asks that: {request}")


def _part(request: r.Request) -> commands.Put | commands.DeleteRange | commands.Range:
    return commands.Range(request.key) if isinstance(request, r.Range) else _write(request)


def _input(number: int, request: r.Request, world: World) -> i.Input:
    """A request as the replica takes it."""
    at_ms = world.now_us // 1000
    match request:
        case r.Range(key):
            return i.Read(number, commands.Range(key))
        case r.Renew(lease):
            return i.LeaseAsk(number, (lease,), True)
        case r.Grant(ttl_s):
            return i.Propose(number, commands.LeaseGrant(0, ttl_s), at_ms)
        case r.Compact(revision):
            return i.Propose(number, commands.Compact(revision), at_ms)
        case r.Txn():
            guard = request.compare[0]
            compare = commands.Compare(guard.key, COMPARE_MOD, EQUAL, guard.number)
            success = tuple(_part(part) for part in request.success)
            failure = tuple(_part(part) for part in request.failure)
            return i.Propose(number, commands.Txn((compare,), success, failure), at_ms)
    return i.Propose(number, _write(request), at_ms)


def _answer(request: r.Request, value: object) -> r.Answer:
    """An outcome's value as it is recorded."""
    match value:
        case results.PutResult():
            return r.PutAnswer()
        case results.DeleteResult():
            return r.DeleteAnswer(value.deleted)
        case results.RangeResult():
            return r.RangeAnswer(tuple(_kv(k) for k in value.records), value.count, value.more)
        case results.TxnResult():
            answers = tuple(_answer(request, response) for response in value.responses)
            return r.TxnAnswer(value.succeeded, answers)
        case results.LeaseGrantResult():
            return r.LeaseAnswer(value.ttl_s, value.ttl_s, value.id)
        case (LeaseClock() as clock,):
            return r.LeaseAnswer(clock.granted_s and clock.remaining_s, clock.granted_s, clock.id)
    return r.Done()
