"""Clients of a simulated cluster, and what they remember.

Each client does one thing at a time at a member of its choice, whoever is one at the time: writes,
conditional writes, deletes, reads of now and of old revisions, and now and then a lease. It gives
up after a while, and then does not know. At the end all memories are held against the order of the
log.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from kvorum.errors import UNKNOWN_OUTCOME
from kvorum.machine import commands
from kvorum.machine.operations import COMPARE_MOD, EQUAL
from kvorum.machine.results import LeaseGrantResult, RangeResult, TxnResult
from kvorum.replica import inputs as i
from kvorum.replica.requests import Done, LeaseClock, Outcome
from kvorum.sim.node import SimNode
from kvorum.sim.plan import Mix
from kvorum.sim.world import World

_STEPS = ("put", "delete", "txn", "read", "lease", "transfer", "compact", "old_read")
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
    error: str = ""
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
        serving = [node for node in self._nodes if node.joined]
        if not serving:
            self._world.after(100_000, self._next)
            return
        node = rng.choice(serving)
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
        elif step == "old_read":
            back = rng.choice((0, 1, 5, 20, 100))
            revision = max(1, max(self._seen.values(), default=1) - back)
            query = commands.Range(key, revision=revision)
            self._ask(node, "old_read", query, i.Read(request_id, query))
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
            operation.error = outcome.condition.name
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
