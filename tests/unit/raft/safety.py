"""Raft's promises as checks on a running cluster (thesis 3.2, figure 3.2), and a world of faults.

`Watchdog` is told after every event and keeps the whole history in its head: who led which term,
what was ever committed, applied or granted. It reads the members' logs and disks directly, so
nothing a member reports about itself can hide a fault.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from kvorum.raft import (
    ConfChange,
    ConfChangeOp,
    ConfState,
    Entry,
    EntryKind,
    ProposalDropped,
    Raft,
    Role,
)
from kvorum.raft.messages import Heartbeat, HeartbeatResponse, Message, SnapshotOffer
from kvorum.raft.quorum import has_quorum
from kvorum.raft.trace import TraceEvent, TraceKind
from unit.raft.harness import Cluster, Envelope, Node


class Watchdog(Cluster):
    """A cluster that checks the five properties, durability and reads after every event."""

    def __init__(self, voters: range, **more: Any) -> None:
        self.leaders: dict[int, int] = {}  # term -> member
        self.leader_logs: dict[tuple[int, int], Entry] = {}  # (term led, index) -> entry
        self.entries: dict[tuple[int, int], tuple[Entry, int]] = {}  # slot -> entry, term before
        self.committed: dict[int, Entry] = {}
        self.applied: dict[int, Entry] = {}
        self.read_floor: dict[tuple[int, int], int] = {}
        self.reads_served = 0
        self.beats: dict[tuple[int, int, int, int], int] = {}  # a heartbeat heard -> its commit
        super().__init__(voters, tracing=True, **more)

    def check(self, node: Node) -> None:
        """Look at one member after something happened to it."""
        raft = node.raft
        if raft is None:
            return
        status = raft.status()
        log = raft.entries_slice(status.first_index, status.last_index + 1)
        self._check_log_matching(raft, log)
        if status.role is Role.LEADER:
            self._check_leader(node, log)
        for index in range(max(status.first_index, 1), status.commit + 1):
            entry = log[index - status.first_index]
            known = self.committed.setdefault(index, entry)
            assert known == entry, f"committed twice: {known} and {entry}"

    def _check_log_matching(self, raft: Raft, log: tuple[Entry, ...]) -> None:
        """Same index and term: same entry, and the same one before it."""
        for entry in log:
            before = raft.term_at(entry.index - 1)
            assert before is not None
            known = self.entries.setdefault((entry.index, entry.term), (entry, before))
            assert known == (entry, before), f"log matching: {known} and {(entry, before)}"

    def _check_leader(self, node: Node, log: tuple[Entry, ...]) -> None:
        """One leader a term; it has every committed entry and never changes its log."""
        raft = node.raft
        assert raft is not None
        first_seen = raft.term not in self.leaders
        known = self.leaders.setdefault(raft.term, node.id)
        assert known == node.id, f"{known} and {node.id} both lead term {raft.term}"
        assert node.disk.hard_state[:2] == (raft.term, node.id), "leads without a durable vote"
        if first_seen:
            for index, entry in self.committed.items():
                term = raft.term_at(index)
                assert term == entry.term or index < raft.status().first_index, (
                    f"n{node.id} leads term {raft.term} without committed {entry}"
                )
        for entry in log:
            kept = self.leader_logs.setdefault((raft.term, entry.index), entry)
            assert kept == entry, f"leader of term {raft.term} changed {kept} to {entry}"

    def _trace(self, event: TraceEvent) -> None:
        """What a leader commits lies on the disks of a quorum then, crashed members included."""
        raft = self.nodes[event.member].raft if event.member in self.nodes else None
        if event.kind is not TraceKind.COMMIT or raft is None or raft.leader != raft.id:
            return
        index = raft.log.commit
        term = raft.term_at(index)
        assert term is not None
        holders = [n.id for n in self.nodes.values() if n.disk.holds(index, term)]
        assert has_quorum(raft.conf, holders), f"{index}/{term} committed but only on {holders}"

    def deliver(self, envelope: Envelope) -> str:
        message = envelope.message
        if isinstance(message, Heartbeat):
            beat = (message.to, message.sender, message.term, message.round)
            self.beats[beat] = min(self.beats.get(beat, message.commit), message.commit)
        return super().deliver(envelope)

    def send(self, node: Node, messages: Sequence[Message]) -> None:
        """Of a change of members nobody hears before the teller's disk knows that it is committed;
        nor does the leader that tells of it get an answer before the answerer's disk does (M5)."""
        log = node.raft.log if node.raft is not None else None
        for message in messages if log is not None else ():
            if isinstance(message, HeartbeatResponse):
                told = self.beats[(node.id, message.to, message.term, message.round)]
            else:
                told = getattr(message, "commit", 0)
            for entry in log.slice(node.durable_commit + 1, told + 1):
                assert entry.kind is not EntryKind.CONF_CHANGE, f"{message} tells of {entry} early"
        super().send(node, messages)

    def on_apply(self, member: int, entries: Sequence[Entry]) -> None:
        for entry in entries:
            if entry.kind is EntryKind.CONF_CHANGE:
                durable = self.nodes[member].durable_commit
                assert entry.index <= durable, f"n{member} applies {entry} early"
            known = self.applied.setdefault(entry.index, entry)
            assert known == entry, f"n{member} applies {entry}, others applied {known}"
            assert self.nodes[member].disk.holds(entry.index, entry.term), "applied before durable"

    def read(self, node: Node, context: int) -> None:
        """Ask for a read; whatever is committed anywhere now must be seen by it."""
        self.read_floor[(node.id, context)] = max(
            (n.raft.status().commit for n in self.live() if n.raft), default=0
        )
        node.call(lambda raft: raft.read_index(context))

    def on_read(self, member: int, context: int, index: int | None) -> None:
        floor = self.read_floor.pop((member, context), None)
        if index is not None:
            assert floor is not None, "a read was answered twice or never asked"
            assert index >= floor, f"stale read: {index}, committed before it was asked: {floor}"
            self.reads_served += 1


class Storm:
    """A random history: the cluster, and dice that decide what happens next."""

    def __init__(self, seed: int, *, members: bool) -> None:
        self.rng = rng = random.Random(seed)
        self.members = members
        size = rng.choice((1, 3, 3, 3, 5))
        self.cluster = Watchdog(
            range(1, size + 1),
            seed=seed,
            settings={
                "election_ticks": 5,
                "pre_vote": rng.random() < 0.7,
                "check_quorum": rng.random() < 0.7,
                "max_inflight_messages": rng.choice((1, 2, 64)),
                "max_message_bytes": rng.choice((40, 200, 1 << 20)),
                "max_committed_bytes": rng.choice((40, 1 << 20)),
            },
        )
        self.loss = rng.choice((0.0, 0.05, 0.3))
        self.serial = 0
        self.actions = [
            (self.deliver, 60),
            (self.tick, 25),
            (self.propose, 8),
            (self.read, 4),
            (self.double, 2),
            (self.persist, 12),
            (self.hold, 2),
            (self.crash, rng.choice((0, 1))),
            (self.restart, 2),
            (self.partition, rng.choice((0, 1))),
            (self.heal, 2),
            (self.snapshot, 2),
            (self.transfer, 1),
            (self.apply_later, 1),
            (self.campaign, 0.3),
            (self.hold_back, 1),
        ]
        if members:
            self.actions.append((self.change_members, 2))

    def run(self, events: int) -> None:
        acts = [act for act, _ in self.actions]
        weights = [weight for _, weight in self.actions]
        for act in self.rng.choices(acts, weights, k=events):
            act()

    def settle(self, rounds: int = 60) -> None:
        """Faults off: whoever is there must come to agree."""
        cluster = self.cluster
        cluster.heal_all()
        for node in cluster.nodes.values():
            node.hold_persist = node.hold_apply = False
            if node.raft is None:
                node.start()
            self._do(node, lambda raft: raft.hold_back(False))
            self._do(node, lambda raft, node=node: (node.persist(), node.apply()))
        for _ in range(rounds):
            for node in cluster.live():
                self._do(node, lambda raft: raft.tick())
            for _ in range(3000):
                if not cluster.network:
                    break
                self._deliver(cluster.network.pop(0))
            self._stop_removed()

    def _stop_removed(self) -> None:
        """Members that are out, by a change which all that are in have applied, are shut down.

        Not those that have yet to be added. The driver's transport does this (rule M5); without
        it, and without pre-vote and check-quorum, they could disturb for ever (thesis 4.2.3).
        """
        confs = {node.id: node.raft.conf for node in self.cluster.live() if node.raft}
        newest = max(self.cluster.live(), key=lambda node: node.raft.log.applied).raft.conf
        if all(confs.get(member) == newest for member in newest.members()):
            for node in self.cluster.live():
                if confs[node.id].voters and node.id not in newest.members():
                    node.crash()

    def _do(self, node: Node, act: Any) -> None:
        try:
            node.call(act)
        except ProposalDropped:
            node.call(lambda raft: None)
        self.cluster.check(node)

    def _node(self) -> Node | None:
        live = self.cluster.live()
        return self.rng.choice(live) if live else None

    def _deliver(self, envelope: Envelope) -> None:
        cluster, message = self.cluster, envelope.message
        outcome = cluster.deliver(envelope)
        if message.to in cluster.nodes:
            cluster.check(cluster.nodes[message.to])
        sender = cluster.nodes.get(message.sender)
        if isinstance(message, SnapshotOffer) and sender is not None and sender.raft is not None:
            ok = outcome == "delivered"
            self._do(sender, lambda raft: raft.report_snapshot(message.to, ok))

    # ---- what may happen ---------------------------------------------------------------------

    def deliver(self) -> None:
        network = self.cluster.network
        if not network:
            return
        del network[: max(0, len(network) - 400)]
        at = 0 if self.rng.random() < 0.7 else self.rng.randrange(len(network))
        envelope = network.pop(at)
        lost_offer = isinstance(envelope.message, SnapshotOffer)
        if lost_offer or self.rng.random() >= self.loss:
            self._deliver(envelope)

    def double(self) -> None:
        if self.cluster.network:
            self.cluster.network.append(self.rng.choice(self.cluster.network))

    def tick(self) -> None:
        if node := self._node():
            self._do(node, lambda raft: raft.tick())

    def campaign(self) -> None:
        if node := self._node():
            self._do(node, lambda raft: raft.campaign())

    def propose(self) -> None:
        if node := self._node():
            self.serial += 1
            payload = b"%d" % self.serial
            self._do(node, lambda raft: raft.propose(payload))

    def read(self) -> None:
        if node := self._node():
            self.serial += 1
            try:
                self.cluster.read(node, self.serial)
            except ProposalDropped:
                del self.cluster.read_floor[(node.id, self.serial)]
            self.cluster.check(node)

    def hold(self) -> None:
        if node := self._node():
            node.hold_persist = not node.hold_persist

    def persist(self) -> None:
        if (node := self._node()) and node.unpersisted:
            count = self.rng.randint(1, len(node.unpersisted))
            self._do(node, lambda raft: node.persist(count))

    def apply_later(self) -> None:
        if node := self._node():
            node.hold_apply = not node.hold_apply
            if not node.hold_apply:
                self._do(node, lambda raft: node.apply())

    def hold_back(self) -> None:
        if node := self._node():
            held = self.rng.random() < 0.5
            self._do(node, lambda raft: raft.hold_back(held))

    def crash(self) -> None:
        if node := self._node():
            node.crash()
            node.hold_persist = node.hold_apply = False

    def restart(self) -> None:
        down = [node for node in self.cluster.nodes.values() if node.raft is None]
        if down:
            node = self.rng.choice(down)
            node.start()
            self.cluster.check(node)

    def partition(self) -> None:
        members = sorted(self.cluster.nodes)
        self.rng.shuffle(members)
        cut = self.rng.randint(0, len(members))
        if self.rng.random() < 0.5:
            self.cluster.partition([members[:cut], members[cut:]])
        else:  # one way only
            self.cluster.blocked |= {(a, b) for a in members[:cut] for b in members[cut:]}

    def heal(self) -> None:
        self.cluster.heal_all()

    def snapshot(self) -> None:
        node = self._node()
        if node is None or node.raft is None or node.unpersisted:
            return
        status = node.raft.status()
        if status.applied > node.disk.snapshot.index:
            node.take_snapshot()
            keep = self.rng.choice((0, 0, 3))
            self._do(node, lambda raft: raft.compact_log(max(status.applied - keep, 0)))

    def transfer(self) -> None:
        if node := self._node():
            target = self.rng.choice(sorted(self.cluster.nodes))
            self._do(node, lambda raft: raft.transfer_leadership(target))

    def change_members(self) -> None:
        node = self._node()
        if node is None or node.raft is None:
            return
        known = sorted(self.cluster.nodes)
        steps: dict[int, ConfChangeOp] = {}
        for _ in range(self.rng.choice((1, 1, 2, 3))):
            if self.rng.random() < 0.4 and len(known) < 7:
                member = max(known) + 1
                known.append(member)
                self.cluster.add(member, ConfState())
                op = self.rng.choice((ConfChangeOp.ADD_VOTER, ConfChangeOp.ADD_LEARNER))
            else:
                member = self.rng.choice(known)
                op = self.rng.choice(tuple(ConfChangeOp))
                if op is not ConfChangeOp.REMOVE and member not in node.raft.members:
                    continue  # a removed id is never used again (rule M7)
            steps[member] = op
        if steps:
            change = ConfChange(tuple(sorted((op, member) for member, op in steps.items())))
            self._do(node, lambda raft: raft.propose_conf_change(change))
