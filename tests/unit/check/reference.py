"""A tiny world of its own that makes good histories: a dictionary behind a few clients.

It shares nothing with the judge's model: every revision is a whole copy of the dictionary. Each
operation takes effect at one moment between its call and its return, so that what it writes down is
right by construction.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from kvorum.check.records import (
    DELETE,
    NEVER,
    PUT,
    Answer,
    Applied,
    Compact,
    Compare,
    Delete,
    DeleteAnswer,
    Done,
    Dump,
    Event,
    Expiry,
    Grant,
    History,
    Kv,
    LeaseAnswer,
    Operation,
    Put,
    PutAnswer,
    Quiet,
    Range,
    RangeAnswer,
    Renew,
    Request,
    Revoke,
    Run,
    Seen,
    TimeLeft,
    Txn,
    TxnAnswer,
    Watch,
)

MS = 1_000_000
STEP = 50 * MS
TTL_S = 2


@dataclass
class World:
    """The dictionary, all its revisions, and what is recorded of it."""

    random: Random
    keys: int = 3
    live: dict[bytes, Kv] = field(default_factory=dict)
    states: list[dict[bytes, Kv]] = field(default_factory=lambda: [{}, {}])
    events: dict[int, tuple[Event, ...]] = field(default_factory=dict)
    made_at: dict[int, int] = field(default_factory=dict)
    leases: dict[int, int] = field(default_factory=dict)  # id -> renewed at
    history: History = field(default_factory=History)
    count: int = 0
    compacted: int = 0

    @property
    def revision(self) -> int:
        """The newest revision."""
        return len(self.states) - 1

    def apply(self, at: int, request: Request) -> tuple[Answer | str, int]:
        """Do it at a moment: its answer, or why not, and the revision of its header."""
        if isinstance(request, Put) and request.lease and request.lease not in self.leases:
            return "LEASE_NOT_FOUND", 0
        if isinstance(request, Range) and 0 < request.revision < self.compacted:
            return "COMPACTED", 0
        if isinstance(request, Compact):
            if not self.compacted < request.revision <= self.revision:
                return "COMPACTED", 0
            self.compacted = request.revision
            return Done(), self.revision
        if isinstance(request, Grant | Renew | TimeLeft):
            return self._lease(at, request), self.revision
        if isinstance(request, Revoke) and request.lease not in self.leases:
            return "LEASE_NOT_FOUND", 0
        changes: list[Event] = []
        answer = self._do(request, changes)
        if isinstance(request, Revoke):
            del self.leases[request.lease]
        if changes:
            self.states.append(dict(self.live))
            self.events[self.revision] = tuple(changes)
            self.made_at[self.revision] = at
        return answer, self.revision

    def _lease(self, at: int, request: Request) -> Answer:
        if isinstance(request, Grant):
            lease = 7000 + self.count
            self.leases[lease] = at
            return LeaseAnswer(TTL_S, 0, lease)
        assert isinstance(request, Renew | TimeLeft)
        begun = self.leases.get(request.lease)
        if isinstance(request, Renew):
            if begun is None:
                return LeaseAnswer(0)
            self.leases[request.lease] = at
            return LeaseAnswer(TTL_S)
        if begun is None:
            return LeaseAnswer(-1)
        return LeaseAnswer(max(0, (begun + TTL_S * 1000 * MS - at) // (1000 * MS)), TTL_S)

    def _do(self, request: Request, changes: list[Event]) -> Answer:
        new = self.revision + 1
        if isinstance(request, Put):
            old = self.live.get(request.key)
            kv = Kv(
                request.key,
                request.value,
                old.create if old else new,
                new,
                old.version + 1 if old else 1,
                request.lease,
            )
            self.live[request.key] = kv
            changes.append(Event(PUT, kv, old))
            return PutAnswer(old if request.prev_kv else None)
        if isinstance(request, Delete | Revoke):
            gone = [
                kv
                for key, kv in sorted(self.live.items())
                if (
                    kv.lease == request.lease
                    if isinstance(request, Revoke)
                    else inside(request, key)
                )
            ]
            for kv in gone:
                del self.live[kv.key]
                changes.append(Event(DELETE, Kv(kv.key, mod=new), kv))
            if isinstance(request, Revoke):
                return Done()
            return DeleteAnswer(len(gone), tuple(gone) if request.prev_kv else ())
        if isinstance(request, Txn):
            compare = request.compare[0]
            held = self.live.get(compare.key)
            right = (held.mod if held else 0) == compare.number
            branch = request.success if right else request.failure
            return TxnAnswer(right, tuple(self._do(op, changes) for op in branch))
        assert isinstance(request, Range)
        return self.read(request, self.states[request.revision] if request.revision else self.live)

    def read(self, request: Range, state: dict[bytes, Kv]) -> RangeAnswer:
        """A read of one state."""
        kvs = [kv for key, kv in sorted(state.items()) if inside(request, key)]
        limit = request.limit or len(kvs)
        return RangeAnswer(tuple(kvs[:limit]), len(kvs), limit < len(kvs))


def inside(request: Range | Delete, key: bytes) -> bool:
    """Whether a request is about a key."""
    return request.key <= key < request.end if request.end else key == request.key


def make(
    random: Random,
    operations: int = 40,
    *,
    clients: int = 3,
    unknown: float = 0.1,
    watches: int = 3,
    dump: bool = True,
    leases: bool = True,
    compact: bool = False,
) -> History:
    """A good history."""
    world = World(random)
    world.history.run = Run("reference", "test", members=("n1", "n2", "n3"))
    # Calls overlap: each takes effect at its own step, called and answered some steps around it.
    free = [0] * clients
    member_at: dict[str, int] = {}
    for number in range(1, operations + 1):
        at = number * STEP
        world.count = number
        client = random.randrange(clients)
        called = max(free[client] + 1, at - random.randrange(1, 4 * STEP))
        if called >= at:
            called, client = at - 1, clients + number  # Everybody is busy: somebody new.
        back = at + random.randrange(1, 4 * STEP)
        if client < clients:
            free[client] = back
        _expire(world, at)
        request = draw(world, leases, compact)
        _record(world, request, number, client, (called, at, back), unknown, member_at)
    _expire(world, (operations + 1000) * STEP)
    for number in range(watches):
        _watch(world, number)
    if dump:
        for member in ("n1", "n2"):
            world.history.dumps.append(Dump(member, 2, world.revision))
            for revision, events in world.events.items():
                world.history.applied.append(Applied(member, revision, events))
    end = (operations + 2000) * STEP
    world.history.quiet = Quiet(end, world.revision)
    return world.history


def draw(world: World, leases: bool, compact: bool) -> Request:
    """Any request."""
    random = world.random
    key = b"k%d" % random.randrange(world.keys)
    value = b"v%d" % world.count
    mod = world.live[key].mod if key in world.live and random.random() < 0.7 else 0
    lease = random.choice(sorted(world.leases)) if world.leases else 0
    draws: list[Request] = [
        Put(key, value),
        Put(key, value, prev_kv=True),
        Put(key, value),
        Delete(key, prev_kv=random.random() < 0.5),
        Delete(b"k", b"l", prev_kv=True),
        Range(key),
        Range(key),
        Range(b"k", b"l"),
        Range(b"k", b"l", limit=1),
        Range(key, serializable=True),
        Txn((Compare("MOD", "EQUAL", key, number=mod),), (Put(key, value),), (Range(key),)),
        Range(key, revision=random.randrange(max(world.compacted, 2), world.revision + 1))
        if world.revision > 1
        else Range(key),
    ]
    if leases:
        draws += [Grant(TTL_S), Put(key, value, lease), Put(key, value, lease)]
    if leases and lease:
        draws += [Renew(lease), TimeLeft(lease), Revoke(lease)]
    if compact and world.revision > 2:
        draws += [Compact(world.revision - 1)]
    return random.choice(draws)


def _record(
    world: World,
    request: Request,
    number: int,
    client: int,
    times: tuple[int, int, int],
    unknown: float,
    member_at: dict[str, int],
) -> None:
    random, (called, at, back) = world.random, times
    member = f"n{random.randrange(1, 4)}"
    if isinstance(request, Range) and request.serializable:
        revision = random.randrange(member_at.get(member, world.revision), world.revision + 1)
        answer = world.read(request, world.states[revision])
        world.history.operations.append(
            Operation(number, client, called, request, back, answer, revision, member=f"s{number}")
        )
        return
    lost = random.random() < unknown and not isinstance(request, Grant | Renew)
    if lost and random.random() < 0.5:
        world.history.operations.append(
            Operation(number, client, called, request, NEVER, member=member, unknown=True)
        )
        return
    result, revision = world.apply(at, request)
    member_at[member] = revision
    base = Operation(number, client, called, request, back, member=member)
    if lost:
        base = base._replace(returned=NEVER, unknown=True)
    elif isinstance(result, str):
        base = base._replace(error=result)
    else:
        base = base._replace(answer=result, revision=revision)
    world.history.operations.append(base)


def _expire(world: World, now: int) -> None:
    for lease, renewed in sorted(world.leases.items()):
        over = renewed + TTL_S * 1000 * MS + STEP // 2
        if over < now:
            world.apply(over, Revoke(lease))
            world.history.expiries.append(Expiry(lease, over, "n1"))


def _watch(world: World, number: int) -> None:
    """One watcher, told everything it asked for with some delay."""
    random, history = world.random, world.history
    key, end = random.choice([(b"\0", b"\0"), (b"k", b"l"), (b"k1", b"")])
    start = random.randrange(2, world.revision + 2)
    watch = Watch(
        number,
        99,
        1,
        key,
        end,
        start,
        f"n{number % 3 + 1}",
        prev_kv=random.random() < 0.5,
        no_put=number > 1 and random.random() < 0.3,
        no_delete=number > 1 and random.random() < 0.3,
    )
    history.watches.append(watch)
    history.seen.append(Seen(number, 2, 1, created=True))
    at = 3
    for revision, events in world.events.items():
        if revision < start:
            continue
        wanted = tuple(
            event if watch.prev_kv else event._replace(prev=None)
            for event in events
            if not (watch.no_put if event.kind == PUT else watch.no_delete)
            and (inside(Range(key, end), event.kv.key) or end == b"\0")
        )
        at = max(at + 1, world.made_at[revision] + random.randrange(1, 5 * STEP))
        if len(wanted) > 1 and random.random() < 0.5:
            history.seen.append(Seen(number, at, revision, wanted[:1], fragment=True))
            wanted = wanted[1:]
        if wanted:
            history.seen.append(Seen(number, at, revision, wanted))
        if random.random() < 0.2:
            history.seen.append(Seen(number, at + 1, revision, progress=True))
            at += 1
