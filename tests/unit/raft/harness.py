"""A cluster of raft members in one thread: disks that forget, a network one can hold in the hand.

Members run exactly as a driver runs them (see `kvorum.raft.ready`): what a Ready wants stored lies
in a queue until the disk takes it, and a crash loses the queue. Messages lie in one list until
someone delivers, drops, doubles or reorders them. Nothing happens by itself.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from kvorum.raft import (
    ConfChange,
    ConfChangeOp,
    Config,
    ConfState,
    Entry,
    EntryKind,
    HardState,
    InvariantViolation,
    Raft,
    Ready,
    SnapshotMeta,
    membership,
)
from kvorum.raft.messages import Message, ProposalRefused, SnapshotOffer
from kvorum.raft.trace import TraceEvent, render

Applied = tuple[Entry, ...]
"""The application: every entry applied so far."""


def is_allowed(change: ConfChange, applied: Applied) -> bool:
    """The application's own rule for changes: a removed id never comes back (rules M7, M10)."""
    steps = {member for op, member in change.changes if op is not ConfChangeOp.REMOVE}
    removed = {
        member
        for entry in applied
        if entry.kind is EntryKind.CONF_CHANGE
        for op, member in membership.decode(entry.data).changes
        if op is ConfChangeOp.REMOVE
    }
    return change.context != b"reject" and not steps & removed


@dataclass
class Disk:
    """What survives a crash."""

    hard_state: HardState = field(default_factory=HardState)
    snapshot: SnapshotMeta = field(default_factory=lambda: SnapshotMeta(0, 0, ConfState()))
    body: Applied = ()
    entries: list[Entry] = field(default_factory=list)

    def write(self, ready: Ready, body: Applied) -> None:
        """Snapshot, then entries and hard state, as the Ready orders."""
        if ready.snapshot is not None:
            self.snapshot, self.body, self.entries = ready.snapshot, body, []
        if ready.entries:
            keep = ready.entries[0].index - self.snapshot.index - 1
            assert 0 <= keep <= len(self.entries), "entries to store leave a gap"
            self.entries[keep:] = ready.entries
        if ready.hard_state is not None:
            self.hard_state = ready.hard_state

    def holds(self, index: int, term: int) -> bool:
        """Whether this entry, or a snapshot over it, is durable."""
        at = index - self.snapshot.index - 1
        return at < 0 or (at < len(self.entries) and self.entries[at].term == term)


@dataclass(frozen=True)
class Envelope:
    """A message on the road, with the body if it offers a snapshot."""

    message: Message
    body: Applied = ()


class Node:
    """One member with its driver."""

    def __init__(self, cluster: Cluster, member: int, disk: Disk) -> None:
        self.cluster = cluster
        self.id = member
        self.disk = disk
        self.raft: Raft | None = None
        self.hold_persist = self.hold_apply = False
        self.unpersisted: list[Ready] = []
        self.unapplied: list[Entry] = []
        self.applied: Applied = ()
        self.bodies: dict[int, Applied] = {}
        self.rng = random.Random(cluster.seed * 1000 + member)

    def start(self) -> None:
        """Boot from the disk: the application restarts at the snapshot and replays."""
        self.unpersisted, self.unapplied, self.bodies = [], [], {}
        self.applied = self.disk.body
        self.raft = Raft(
            Config(id=self.id, **self.cluster.settings),
            hard_state=self.disk.hard_state,
            snapshot=self.disk.snapshot,
            entries=self.disk.entries,
            applied=self.disk.snapshot.index,
            conf=self.disk.snapshot.conf,
            rng=self.rng,
            trace=self.cluster.on_trace,
        )
        self.pump()

    @property
    def durable_commit(self) -> int:
        """How far this member's disk knows the log to be committed."""
        return max(self.disk.hard_state.commit, self.disk.snapshot.index)

    def crash(self) -> None:
        """Lose everything that is not on the disk."""
        self.raft = None
        self.unpersisted, self.unapplied = [], []

    def call(self, act: Callable[[Raft], object]) -> None:
        """Do something to the member and carry out what follows; a proof of loss stops it."""
        assert self.raft is not None, f"n{self.id} is down"
        try:
            act(self.raft)
            self.pump()
        except InvariantViolation as violation:
            self.cluster.say(f"n{self.id}: STOPPED, {violation}")
            self.crash()

    def pump(self) -> None:
        """Take Readies until there are none."""
        raft = self.raft
        assert raft is not None
        while raft.has_ready():
            ready = raft.ready()
            self.cluster.send(self, ready.messages)
            self.unpersisted.append(ready)
            self.unapplied += ready.committed
            for read in ready.read_states:
                self.cluster.on_read(self.id, read.context, read.index)
            for context in ready.reads_dropped:
                self.cluster.on_read(self.id, context, None)
            for refused in ready.refused:
                self.cluster.on_refused(self.id, refused)
            if not self.hold_persist:
                self.persist()
            if not self.hold_apply:
                self.apply()

    def persist(self, count: int | None = None) -> None:
        """Let the disk take the first `count` waiting Readies, or all."""
        raft = self.raft
        assert raft is not None
        for _ in range(len(self.unpersisted) if count is None else count):
            ready = self.unpersisted.pop(0)
            body = self.bodies.get(ready.snapshot.index, ()) if ready.snapshot else ()
            self.disk.write(ready, body)
            if ready.snapshot is not None:
                self.applied = body
                self.unapplied = [e for e in self.unapplied if e.index > ready.snapshot.index]
            raft.persisted(ready.ticket)
            self.cluster.send(self, ready.messages_after_persist)

    def apply(self, count: int | None = None) -> None:
        """Apply the first `count` waiting entries, or all."""
        raft = self.raft
        assert raft is not None
        entries = self.unapplied[:count]
        del self.unapplied[: len(entries)]
        self.cluster.on_apply(self.id, entries)
        for entry in entries:
            if entry.kind is EntryKind.CONF_CHANGE:
                change = membership.decode(entry.data)
                allowed = is_allowed(change, self.applied)
                raft.apply_conf_change(change if allowed else None)
            self.applied += (entry,)
            raft.applied_to(entry.index)

    def take_snapshot(self) -> None:
        """Write the applied state as this disk's snapshot; the log on disk keeps what follows."""
        raft = self.raft
        assert raft is not None
        index = raft.status().applied
        term = raft.term_at(index)
        assert term is not None
        cut = index - self.disk.snapshot.index
        self.disk.snapshot = SnapshotMeta(index, term, raft.conf)
        self.disk.body = self.applied
        del self.disk.entries[:cut]


class Cluster:
    """Members, and every message between them that is not yet delivered."""

    def __init__(
        self,
        voters: Iterable[int],
        learners: Iterable[int] = (),
        seed: int = 1,
        settings: dict[str, Any] | None = None,
        say: Callable[[str], None] = lambda line: None,
        tracing: bool = False,
    ) -> None:
        self.settings = settings or {}
        self.seed = seed
        self.say = say
        self.on_trace: Callable[[TraceEvent], None] | None = self._trace if tracing else None
        self.network: list[Envelope] = []
        self.blocked: set[tuple[int, int]] = set()
        self.nodes: dict[int, Node] = {}
        conf = ConfState(tuple(sorted(voters)), tuple(sorted(learners)))
        for member in conf.members():
            self.add(member, conf)

    def add(self, member: int, conf: ConfState) -> None:
        """A member with an empty log; with an empty `conf` it is one that joins."""
        disk = Disk(snapshot=SnapshotMeta(0, 0, conf))
        self.nodes[member] = Node(self, member, disk)
        self.nodes[member].start()

    def live(self) -> list[Node]:
        return [node for node in self.nodes.values() if node.raft is not None]

    # ---- the network -------------------------------------------------------------------------

    def send(self, node: Node, messages: Sequence[Message]) -> None:
        for message in messages:
            body = node.applied if isinstance(message, SnapshotOffer) else ()
            self.network.append(Envelope(message, body))

    def deliver(self, envelope: Envelope) -> str:
        """Hand over one message; how that went: delivered, cut or down."""
        message = envelope.message
        node = self.nodes.get(message.to)
        if (message.sender, message.to) in self.blocked:
            return "cut"
        if node is None or node.raft is None:
            return "down"
        if isinstance(message, SnapshotOffer):
            node.bodies[message.meta.index] = envelope.body
        node.call(lambda raft: raft.step(message))
        return "delivered"

    def partition(self, groups: Sequence[Sequence[int]]) -> None:
        """Cut every link between different groups."""
        for group in groups:
            others = set(self.nodes) - set(group)
            self.blocked |= {(a, b) for a in group for b in others}
            self.blocked |= {(b, a) for a in group for b in others}

    def heal_all(self) -> None:
        """Join every link again."""
        self.blocked.clear()

    # ---- what members report -----------------------------------------------------------------

    def _trace(self, event: TraceEvent) -> None:
        self.say(f"n{event.member}: {render(event)}")

    def on_apply(self, member: int, entries: Sequence[Entry]) -> None:
        """A member is about to apply these."""

    def on_read(self, member: int, context: int, index: int | None) -> None:
        outcome = "dropped" if index is None else f"at {index}"
        self.say(f"n{member}: read {context} {outcome}")

    def on_refused(self, member: int, refused: ProposalRefused) -> None:
        self.say(f"n{member}: told that a change was refused, {refused.reason}")
