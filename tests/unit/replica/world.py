"""A small world around one or three replicas, in which a script decides what happens when.

Disks, links, histories and readers of streams do their work at once, unless the script holds them
back. What the replicas answer and deliver is told to whoever built the world.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import Any

from kvorum.machine.apply import Machine, decode_image, encode_image
from kvorum.machine.members import Member
from kvorum.raft.types import ConfState, Entry, HardState, SnapshotMeta
from kvorum.replica import effects as e
from kvorum.replica import inputs as i
from kvorum.replica.replica import Replica
from kvorum.replica.state import Boot, ReplicaConfig
from kvorum.sim.history import SimHistory

Observer = Callable[["Node", e.Effect], None]
TURNS_MAX = 20_000


class Disk:
    """What a node would find again: log, hard state, snapshot."""

    def __init__(self, meta: SnapshotMeta, image: list[bytes]) -> None:
        self.hard_state = HardState()
        self.meta = meta
        self.image = image
        self.entries: list[Entry] = []

    def write(self, effect: e.Persist) -> None:
        """Entries replace whatever stood from the first one's index on."""
        if effect.hard_state is not None:
            self.hard_state = effect.hard_state
        if effect.entries:
            first = effect.entries[0].index
            self.entries = [entry for entry in self.entries if entry.index < first]
            self.entries += effect.entries

    def boot(self, history_applied: int) -> Boot:
        """What a replica starts from."""
        following = [entry for entry in self.entries if entry.index > self.meta.index]
        machine = decode_image(self.image)
        return Boot(self.hard_state, self.meta, following, machine, history_applied)


class Node:
    """One member: a replica, its disk and its history."""

    def __init__(self, world: World, member: int, voters: tuple[int, ...]) -> None:
        self.world = world
        self.id = member
        members = tuple(Member(v, f"n{v}", (f"http://n{v}:2380",)) for v in voters)
        image = list(encode_image(Machine(7, members).image()))
        self.disk = Disk(SnapshotMeta(0, 0, ConfState(voters)), image)
        self.history = SimHistory()
        self.inbox: deque[i.Input] = deque()
        self.boots = 0
        self.alive = self.paused = False
        self.holds_disk = self.holds_history = False
        self.history_fault = ""
        self.unwritten: deque[e.Effect] = deque()
        self.unanswered: deque[e.Effect] = deque()
        self.staged: dict[int, tuple[SimHistory, list[bytes]]] = {}
        self.start()

    def start(self) -> None:
        """Boot from the disk."""
        self.boots += 1
        config = ReplicaConfig(self.id, 7, self.id << 48 | self.boots << 32, **self.world.settings)
        boot = self.disk.boot(self.history.applied_index)
        self.replica = Replica(config, boot, random.Random(self.id * 1000 + self.boots))
        self.alive = True

    def crash(self) -> None:
        """The process ends; what the disk and the history do not hold yet is lost."""
        self.alive = self.paused = False
        self.inbox.clear()
        self.unwritten.clear()
        self.unanswered.clear()
        self.history.crash()

    # --- effects ----------------------------------------------------------------------------------

    def perform(self, effect: e.Effect) -> None:
        """One effect; disk and history hold theirs back when they are told to."""
        match effect:
            case e.Send():
                self.world.send(self.id, effect.to, i.Received(self.id, effect.messages))
            case e.SendLeaseAsk():
                ask = i.PeerLeaseAsk(self.id, effect.request_id, effect.lease_ids, effect.renew)
                self.world.send(self.id, effect.to, ask)
            case e.SendLeaseAnswer():
                answer = i.PeerLeaseAnswer(effect.request_id, effect.clocks, effect.not_leader)
                self.world.send(self.id, effect.to, answer)
            case e.SendDigest():
                for to in self.world.nodes:
                    if to != self.id:
                        digest = i.PeerDigest(self.id, effect.applied_index, effect.digest)
                        self.world.send(self.id, to, digest)
            case e.SendSnapshot():
                self.world.send_snapshot(self, effect)
            case e.Persist() | e.InstallSnapshot() | e.SaveSnapshot():
                self.unwritten.append(effect)
            case e.AppendHistory():
                # Readable at once, durable when it is written.
                self.history.append(effect)
                self.unanswered.append(effect)
            case e.CompactHistory() | e.ReadHistoryRange() | e.ReadHistoryEvents():
                self.unanswered.append(effect)
            case e.DiscardSnapshot():
                del self.staged[effect.token]

    def write(self) -> bool:
        """The disk does what it was told; whether that was anything."""
        effect = self.unwritten.popleft() if self.unwritten else None
        if isinstance(effect, e.Persist):
            self.disk.write(effect)
            self.inbox.append(i.Persisted(effect.ticket))
        elif isinstance(effect, e.InstallSnapshot):
            self.history, self.disk.image = self.staged.pop(effect.token)
            self.disk.meta, self.disk.hard_state = effect.meta, effect.hard_state
            self.disk.entries = []
            self.inbox.append(i.SnapshotInstalled(effect.token))
        elif isinstance(effect, e.SaveSnapshot):
            self.history.flush()
            self.disk.meta, self.disk.image = effect.meta, list(encode_image(effect.image))
            self.inbox.append(i.SnapshotSaved(effect.meta.index))
        return effect is not None

    def answer(self) -> bool:
        """The history does what it was told; whether that was anything."""
        history = self.history
        effect = self.unanswered.popleft() if self.unanswered else None
        match effect:
            case e.AppendHistory():
                history.flush()
                advanced = i.HistoryAdvanced(history.durable_applied, history.durable_revision)
                self.inbox.append(advanced)
            case e.CompactHistory():
                history.compact(effect.revision)
                self.inbox.append(i.HistoryCompacted(effect.token))
            case e.ReadHistoryRange():
                why = self.history_fault or history.refusal(effect.query.revision)
                records = () if why else tuple(history.records(effect.query))
                self.inbox.append(i.HistoryRecords(effect.token, records, len(records), why))
            case e.ReadHistoryEvents():
                why = self.history_fault or history.refusal(effect.from_revision)
                found, through = ((), 0) if why else history.events(*effect[1:6])
                self.inbox.append(i.HistoryEvents(effect.token, tuple(found), through, why))
        return effect is not None


class World:
    """Nodes and links. ``observe`` hears of every effect, before it is performed."""

    def __init__(self, count: int, observe: Observer, **settings: int) -> None:
        self.settings: dict[str, Any] = settings
        self.observe = observe
        self.cuts: dict[tuple[int, int], None] = {}
        self.holds_links = False
        self.road: deque[tuple[int, int, i.Input]] = deque()
        self.nodes: dict[int, Node] = {}
        voters = tuple(range(1, count + 1))
        for member in voters:
            self.nodes[member] = Node(self, member, voters)

    def give(self, member: int, *batch: i.Input) -> None:
        """Inputs for one node; a paused one hears of them when it goes on, one that does not run
        never.
        """
        node = self.nodes.get(member)
        if node is None or not node.alive:
            return
        if node.paused:
            node.inbox.extend(batch)
            return
        for effect in node.replica.handle_all(batch):
            self.observe(node, effect)
            node.perform(effect)

    def send(self, sender: int, to: int, what: i.Input) -> None:
        """Something leaves for a peer; a cut link loses it."""
        if (sender, to) not in self.cuts:
            self.road.append((sender, to, what))

    def send_snapshot(self, node: Node, effect: e.SendSnapshot) -> None:
        """The body goes at once, unless the link is cut."""
        peer = self.nodes[effect.to]
        ok = (node.id, effect.to) not in self.cuts and peer.alive
        if ok:
            chunks = list(encode_image(effect.image))
            token = 1000 * peer.boots + len(peer.staged) + effect.meta.index
            copy = node.history.copy(effect.revision, effect.meta.index)
            peer.staged[token] = (copy, chunks)
            machine = decode_image(chunks)
            arrived = i.SnapshotReceived(node.id, effect.term, effect.meta, machine, token)
            peer.inbox.append(arrived)
        node.inbox.append(i.SnapshotSent(effect.to, ok))

    def settle(self) -> None:
        """Let everything that is not held back happen."""
        for _ in range(TURNS_MAX):
            if not self._step():
                return
        raise AssertionError("the world does not come to rest")

    def _step(self) -> bool:
        busy = False
        if self.road and not self.holds_links:
            sender, to, what = self.road.popleft()
            if (sender, to) not in self.cuts:
                self.give(to, what)
            return True
        for node in self.nodes.values():
            if not node.holds_disk and node.write():
                busy = True
            if not node.holds_history and node.answer():
                busy = True
            if node.inbox and not node.paused:
                batch = tuple(node.inbox)
                node.inbox.clear()
                self.give(node.id, *batch)
                busy = True
        return busy
