"""Clients of a simulated cluster, and what they remember.

Each client does one thing at a time at a node of its choice: writes, conditional writes, deletes,
reads, and now and then a lease. It gives up after a while, and then does not know. Watchers follow
everything from the first revision, moving on when their node dies. At the end all memories are held
against the order of the log.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from kvorum.errors import UNKNOWN_OUTCOME
from kvorum.machine import commands
from kvorum.machine.operations import COMPARE_MOD, EQUAL
from kvorum.machine.results import LeaseGrantResult, RangeResult, TxnResult
from kvorum.replica import effects as e
from kvorum.replica import inputs as i
from kvorum.replica.requests import Done, LeaseClock, Outcome, WatchSpec
from kvorum.sim.node import SimNode
from kvorum.sim.plan import Mix
from kvorum.sim.world import World

_STEPS = ("put", "delete", "txn", "read", "lease", "transfer", "compact")
_PATIENCE_US = 9_000_000


@dataclass
class Operation:
    """One request as its client saw it. ``returned_us`` -1: never answered, or with an unknown
    outcome."""

    request_id: int
    kind: str
    command: Any
    invoked_us: int
    returned_us: int = -1
    definite_failure: bool = False
    value: object = None
    revision: int = 0


@dataclass
class LeaseMemory:
    """A lease: when its last answered renewal was asked for, and its TTL."""

    ttl_s: int
    renewed_us: int
    keys: list[bytes] = field(default_factory=list)


class Client:
    """One caller."""

    def __init__(self, world: World, nodes: Sequence[SimNode], number: int, mix: Mix) -> None:
        self._world = world
        self._nodes = nodes
        self._number = number
        self._rng = world.dice(f"client {number}")
        self._keys = [f"k{n}".encode() for n in range(mix.keys)]
        self._weights = [getattr(mix, step) for step in _STEPS]
        self._kept_revisions = mix.kept_revisions
        self._count = 0
        self.operations: list[Operation] = []
        self.leases: dict[int, LeaseMemory] = {}
        self._lease = 0
        self._seen: dict[bytes, int] = {}
        self._stopped = False

    def start(self) -> None:
        """Begin, and go on until stopped."""
        self._world.after(self._rng.randrange(200_000), self._next)

    def stop(self) -> None:
        """Finish the operation under way, begin no other."""
        self._stopped = True

    def _next(self) -> None:
        if self._stopped:
            return
        rng = self._rng
        alive = [node for node in self._nodes if node.alive]
        if not alive:
            self._world.after(100_000, self._next)
            return
        node = rng.choice(alive)
        self._count += 1
        request_id = self._number << 32 | self._count
        key = rng.choice(self._keys)
        value = f"{self._number}.{self._count}".encode()
        step = rng.choices(_STEPS, self._weights)[0]
        if step == "put":
            self._write(node, request_id, "put", commands.Put(key, value))
        elif step == "delete":
            self._write(node, request_id, "delete", commands.DeleteRange(key))
        elif step == "txn":
            guard = commands.Compare(key, COMPARE_MOD, EQUAL, self._seen.get(key, 0))
            txn = commands.Txn((guard,), (commands.Put(key, value),), (commands.Range(key),))
            self._write(node, request_id, "txn", txn)
        elif step == "read":
            self._ask(node, "read", commands.Range(key), i.Read(request_id, commands.Range(key)))
        elif step == "lease":
            self._lease_step(node, request_id, key, value)
        elif step == "transfer":
            target = rng.choice(self._nodes).id
            self._ask(node, "transfer", None, i.TransferLeader(request_id, target))
        else:
            revision = max(self._seen.values(), default=0) - self._kept_revisions
            self._write(node, request_id, "compact", commands.Compact(max(revision, 1)))

    def _lease_step(self, node: SimNode, request_id: int, key: bytes, value: bytes) -> None:
        """Grant, then attach, then renew; a lost lease starts anew."""
        if not self._lease or self._lease not in self.leases:
            grant = commands.LeaseGrant(0, self._rng.choice((2, 4)))
            self._write(node, request_id, "grant", grant)
        elif self._rng.random() < 0.3:
            leased = key + b"/leased"
            self._write(node, request_id, "put", commands.Put(leased, value, self._lease))
        else:
            ask = i.LeaseAsk(request_id, (self._lease,), True)
            self._ask(node, "renew", self._lease, ask)

    def _write(self, node: SimNode, request_id: int, kind: str, command: commands.Command) -> None:
        at_ms = self._world.now_us // 1000
        self._ask(node, kind, command, i.Propose(request_id, command, at_ms))

    def _ask(self, node: SimNode, kind: str, command: Any, request: Any) -> None:
        operation = Operation(request.request_id, kind, command, self._world.now_us)
        self.operations.append(operation)
        over = False

        def go_on() -> None:
            nonlocal over
            if not over:
                over = True
                self._world.after(self._rng.randrange(1_000, 60_000), self._next)

        def answered(outcome: Outcome) -> None:
            if not over:
                self._remember(operation, outcome)
                go_on()

        node.ask(request, answered)
        self._world.after(_PATIENCE_US, go_on)

    def _remember(self, operation: Operation, outcome: Outcome) -> None:
        if not isinstance(outcome, Done):
            operation.definite_failure = outcome.condition not in UNKNOWN_OUTCOME
            if operation.definite_failure:
                operation.returned_us = self._world.now_us
            return
        operation.returned_us = self._world.now_us
        operation.value = outcome.value
        operation.revision = getattr(outcome.value, "revision", 0)
        if isinstance(outcome.value, LeaseGrantResult):
            self._lease = outcome.value.id
            self.leases[self._lease] = LeaseMemory(outcome.value.ttl_s, operation.invoked_us)
        elif operation.kind == "renew":
            self._renewed(operation, outcome.value)
        elif operation.kind in ("put", "txn", "read"):
            self._learn(operation, outcome.value)

    def _renewed(self, operation: Operation, clocks: object) -> None:
        assert isinstance(clocks, tuple)
        clock = clocks[0]
        assert isinstance(clock, LeaseClock)
        if clock.granted_s:
            self.leases[clock.id].renewed_us = operation.invoked_us
        else:
            self._lease = 0

    def _learn(self, operation: Operation, value: object) -> None:
        """Mod revisions seen make later conditions meaningful."""
        if isinstance(value, RangeResult) and value.records:
            self._seen[value.records[0].key] = value.records[0].mod_revision
        elif operation.kind == "put":
            self._seen[operation.command.key] = operation.revision
        elif isinstance(value, TxnResult) and value.succeeded:
            self._seen[operation.command.compare[0].key] = value.revision


class Follower:
    """A watcher of everything from the first revision, that moves on when its node dies or a
    compaction overtakes it."""

    def __init__(
        self,
        world: World,
        nodes: Sequence[SimNode],
        stream: int,
        prev_kv: bool,
        forgetful: bool = False,
    ) -> None:
        """``forgetful``: it reads everything anew whenever it moves on."""
        self._forgetful = forgetful
        self._world = world
        self._nodes = nodes
        self._rng = world.dice(f"watcher {stream}")
        self._stream = stream
        self._stalled_until_us = 0
        self._hurries = False
        self._overtaken = False
        self._prev_kv = prev_kv
        self._node: SimNode | None = None
        self._boot = -1
        self.next_revision = 2
        self.revisions: list[tuple[int, tuple[tuple[int, bytes], ...]]] = []
        self.gaps: list[tuple[int, int]] = []

    def start(self) -> None:
        """Look after the watch now and then."""
        self._world.after(self._rng.randrange(1, 300_000), self._look)

    def stall(self, for_us: int) -> None:
        """Take nothing from the stream for a while; 0: go on."""
        self._stalled_until_us = self._world.now_us + for_us

    def hurry(self) -> None:
        """Read whatever comes, at once, and stay where it is."""
        self._hurries = True
        self._stalled_until_us = 0

    def _look(self) -> None:
        self._world.after(300_000, self._look)
        node = self._node
        if node is not None and node.alive and node.boots == self._boot:
            if self._rng.random() < 0.3:
                node.handle(i.WatchProgress(self._stream))
            if not self._hurries and self._rng.random() < 0.03:
                node.handle(i.WatchClose(self._stream))
                self._node = None
            return
        alive = [n for n in self._nodes if n.alive and not n.paused]
        if not alive:
            return
        self._node = node = self._rng.choice(alive)
        self._boot = node.boots
        if self._forgetful and not self._overtaken:
            self.next_revision, self.revisions, self.gaps = 2, [], []
        self._overtaken = False
        node.sinks[self._stream] = self._taken
        spec = WatchSpec(b"\0", b"\0", self.next_revision, prev_kv=self._prev_kv)
        node.handle(i.WatchClose(self._stream), i.WatchCreate(self._stream, spec))

    def _taken(self, node: SimNode, deliver: e.Deliver) -> None:
        if node is not self._node or node.boots != self._boot:
            return
        for item in deliver.items:
            if isinstance(item, e.Events):
                self._events(item)
            elif isinstance(item, e.Progress):
                # It says that nothing up to there is still to come: the judge takes its word.
                self.next_revision = max(self.next_revision, item.revision + 1)
            elif isinstance(item, e.Canceled) and item.compact_revision:
                self.gaps.append((self.next_revision, item.compact_revision))
                self.next_revision = max(self.next_revision, item.compact_revision)
                self._node, self._overtaken = None, True
        size_bytes = deliver.size_bytes
        delay_us = 0 if self._hurries else self._rng.choice((0, 1_000, 500_000))
        self._world.after(delay_us, lambda: self._take(node, size_bytes))

    def _take(self, node: SimNode, size_bytes: int) -> None:
        """Tell the node that the stream has room again."""
        left_us = self._stalled_until_us - self._world.now_us
        if left_us > 0:
            self._world.after(min(left_us, 500_000), lambda: self._take(node, size_bytes))
        else:
            node.handle(i.WatchTaken(self._stream, size_bytes))

    def _events(self, item: e.Events) -> None:
        by_revision: dict[int, list[tuple[int, bytes]]] = {}
        for event in item.events:
            if event.revision < self.next_revision:
                self._world.fail(f"a watcher was given revision {event.revision} twice")
            by_revision.setdefault(event.revision, []).append((event.kind, event.key))
        for revision in by_revision:
            self.revisions.append((revision, tuple(by_revision[revision])))
        self.next_revision = item.events[-1].revision + 1
