"""A simulated node: the server's replica on a disk that forgets, a late history, a lossy network.

Effects are performed in their order. A crash may come between any two of them, which is what makes
the order matter. The log is the real write-ahead log over a simulated disk, so that a restart goes
through real recovery.

Long because each effect of the replica has its performer here, side by side, as each has one in
the server.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from enum import Enum
from functools import cache
from typing import Any, get_args

from kvorum.limits import WATCH_STREAM_BUFFER_BYTES
from kvorum.machine.apply import decode_image, encode_image
from kvorum.raft.messages import ForwardProposal, Message, VoteResponse
from kvorum.raft.trace import TraceEvent, render
from kvorum.replica import effects as e
from kvorum.replica import inputs as i
from kvorum.replica.replica import Replica
from kvorum.replica.requests import Outcome
from kvorum.replica.state import ReplicaConfig
from kvorum.sim import boot
from kvorum.sim.boot import CLUSTER_ID, Disks, First
from kvorum.sim.diskthread import DiskThread
from kvorum.sim.history import SimHistory
from kvorum.sim.joining import Leaving, Removed, ask_members, keep_links, publish, told_removed
from kvorum.sim.network import Network
from kvorum.sim.properties import Properties
from kvorum.sim.world import World, between
from kvorum.storage.replay import segment_names
from kvorum.storage.snapshot_file import Snapshots
from kvorum.storage.wal import Wal, has_log

TICK_US = 100_000
_FIRST_LOOK_US = 500_000

_NAMED = ("because", "granted", "message", "pre", "result")  # facts that tell one path from another

_MESSAGE_NAMES = {kind: f"message.{kind.__name__}" for kind in get_args(Message)}

Answered = Callable[[Outcome], None]
Delivered = Callable[["SimNode", e.Deliver], None]


@cache
def _path_name(path: tuple[object, ...]) -> str:
    """The name in ``coverage`` of a kind of event and (name, fact) pairs; no fact: a name only."""
    words = [f"raft.{path[0].value if isinstance(path[0], Enum) else path[0]}"]
    for name, fact in zip(path[1::2], path[2::2], strict=True):
        shown = fact.value if isinstance(fact, Enum) else fact
        words.append(str(name) if fact is None else f"{name}={shown}")
    return " ".join(words)


def _gives_vote(effect: e.Effect) -> bool:
    return isinstance(effect, e.Send) and any(
        isinstance(m, VoteResponse) and m.granted and not m.pre for m in effect.messages
    )


class SimNode:
    """One member; without ``voters`` one that joins a cluster that runs.

    ``alive`` False: its process is gone, its disks remain. ``out``: why it can never start again,
    empty as long as it can. ``damaged``: its disks were harmed since its last start. ``gone``: it
    was removed, knows it, and has ended for good.
    """

    def __init__(
        self,
        world: World,
        network: Network,
        properties: Properties,
        member_id: int,
        voters: tuple[int, ...],
        snapshot_count: int,
        watch_buffer_bytes: int = WATCH_STREAM_BUFFER_BYTES,
        lease_checkpoint_ticks: int = 0,
        lease_checkpoint_persist: bool = False,
    ) -> None:
        self.id = member_id
        self.alive = False
        self.paused = False
        self.clock_rate = 1.0
        self.sync_us_max = 4_000
        self.history_us_more = 0
        self.crash_chance = 0.0
        self.vote_crash_chance = 0.0
        self.nodes: dict[int, SimNode] = {}
        self.boots = 0
        self.sinks: dict[int, Delivered] = {}
        self.on_death: Callable[[SimNode], None] | None = None
        self._world = world
        self._network = network
        self._properties = properties
        self._voters = voters
        self._snapshot_count = snapshot_count
        self._watch_buffer_bytes = watch_buffer_bytes
        self._checkpoint_ticks = lease_checkpoint_ticks
        self._checkpoint_persist = lease_checkpoint_persist
        self.out = ""
        self.damaged = ""
        self.gone = False
        # Times at which its history was made anew, and the first revision that it knows since.
        self.rebuilt: list[tuple[int, int]] = []
        self.leaving: Leaving | None = None
        self._rng = world.dice(f"node {member_id}")
        self.disks = Disks(self._rng)
        self._history = SimHistory()
        self._installed_index = 0
        # Before the newest record of the newest segment: what comes earlier is surely synced.
        self._settled_bytes = 0
        self._staged: dict[int, tuple[SimHistory, list[bytes], int]] = {}
        self._tokens = 0
        self._wal: Wal
        self._snapshots: Snapshots
        self.replica: Replica
        self._disk: DiskThread
        self._waiting: dict[int, tuple[Answered, int]] = {}
        self._kept: list[i.Input] = []
        self._performers = self._table()

    # --- life -------------------------------------------------------------------------------------

    def _booting(self, told: str) -> None:
        """A word of a start. One without a whole newest snapshot is possible, but has a reason."""
        self.say(told)
        if told.startswith(boot.SET_ASIDE) and not self.damaged:
            self._world.fail(f"node {self.id} {told}, although nothing harmed its disks")

    def start(self) -> None:
        """Boot from the disks, as the server does; what cannot be lived on with puts it ``out``."""
        assert not self.alive
        if self.out or self.gone:
            return
        self.disks.heal()
        world = self._world
        first = self._first_members()
        if first is None:
            return
        self.boots += 1
        try:
            begun = boot.start(self.disks, self.id, first, self._booting)
        except boot.CannotStart as why:
            world.coverage["boot.refused"] += 1
            world.note(f"n{self.id} is out: {why}")
            self.out = str(why)
            if not self.damaged:
                world.fail(f"node {self.id} cannot start although nothing harmed its disks: {why}")
            return
        if self.damaged == "log":
            world.fail(f"node {self.id} started from a log with a flipped bit")
        self.damaged = ""
        if begun.rebuilt:
            self.rebuilt.append((world.now_us, begun.boot.history_floor))
        world.coverage[f"boot.{begun.verdict.value}"] += 1
        self._wal, self._snapshots, self._history = begun.wal, begun.snapshots, begun.history
        self._installed_index = self._settled_bytes = 0
        config = ReplicaConfig(
            member_id=self.id,
            cluster_id=CLUSTER_ID,
            id_base=self.id << 48 | self.boots << 32,
            snapshot_count=self._snapshot_count,
            catchup_entries=self._snapshot_count // 2,
            watch_buffer_bytes=self._watch_buffer_bytes,
            lease_checkpoint_ticks=self._checkpoint_ticks,
            lease_checkpoint_persist=self._checkpoint_persist,
        )
        self.replica = Replica(config, begun.boot, random.Random(self._rng.getrandbits(64)))
        self.replica.raft.trace = self._traced
        self.alive, self.paused = True, False
        self._waiting, self._kept = {}, []
        self._disk = DiskThread(
            self._later,
            lambda: between(self._rng, 100, self.sync_us_max),
            self._disk_died,
            world.coverage,
        )
        self.leaving = None
        applied = self.replica.machine.applied_index
        world.note(f"n{self.id} boots: {begun.boot.hard_state} applied {applied}")
        self._tick(self.boots)
        self._later(_FIRST_LOOK_US, lambda: keep_links(self, self._network, self._later))
        if not self._voters:
            publish(self, self._later)
        if self.id in self.replica.machine.members.removed:
            self.leave("by its own snapshot")

    def _first_members(self) -> First | None:
        """Whom a first start is told of. None: it cannot start yet, or never."""
        if self._voters or has_log(self.disks.log):
            return First.of(self._voters)
        try:
            first = ask_members(self.id, self.nodes.values(), self._network)
        except Removed:
            return None  # By the word of one; others may not know yet, and need it.
        self._world.coverage["boot.joins"] += first is not None
        return first

    @property
    def joined(self) -> bool:
        """Its process runs and knows who has a vote: only then it serves clients."""
        return self.alive and bool(self.replica.raft.conf.voters)

    def say(self, what: str) -> None:
        """Note an event of this member."""
        self._world.note(f"n{self.id} {what}")

    def _traced(self, event: TraceEvent) -> None:
        """Count which paths raft takes; numbers are left out of their names."""
        path: list[object] = [event.kind]
        for name, fact in event.facts.items():
            if name in _NAMED or isinstance(fact, Enum):
                path += (name, fact)
            elif len(path) == 1:
                path += (name, None)
        self._world.coverage[_path_name(tuple(path))] += 1
        self._world.tell(lambda: f"n{self.id}   {render(event)}")

    def crash(self, power: bool) -> None:
        """The process ends; with ``power`` the machine too, and unsynced bytes with it."""
        if not self.alive:
            return
        self.alive = False
        self._world.note(f"n{self.id} {'loses power' if power else 'is killed'}")
        for disk in (self.disks.log, self.disks.snap):
            if power:
                disk.crash()
            else:
                disk.kill()
        self._history.crash()
        self._staged.clear()
        self._properties.restarted(self.id)
        if self.leaving is not None and self.leaving.noted:
            self.gone = True
            self.say("is gone for good")

    # --- removal ----------------------------------------------------------------------------------

    def leave(self, how: str) -> None:
        """It was removed, and knows it; ``how``, in words."""
        if self.alive and self.leaving is None:
            self.say(f"was removed: {how}")
            self._world.coverage[f"member.left, {how}"] += 1
            self.leaving = Leaving(self, self._later, self._rng)

    def lose_disks(self) -> None:
        """Everything on its disks is lost: its id must never run again. The node must be dead."""
        assert not self.alive
        self.say("loses its disks")
        self.disks = Disks(self._rng)
        self.out = "its disks are lost"

    def flip_log(self, rng: random.Random) -> bool:
        """Flip a bit of the log that was synced long ago; whether there was one. The node must be
        dead."""
        return self._damaged(
            "log", not self.alive and self.disks.flip_log(rng, self._settled_bytes)
        )

    def flip_snapshot(self, rng: random.Random) -> bool:
        """Flip a bit of the newest snapshot file; whether there was one. The node must be dead."""
        return self._damaged("snapshot", not self.alive and self.disks.flip_snapshot(rng))

    def _damaged(self, what: str, flipped: str | bool) -> bool:
        if flipped:
            self.say(f"has a bit flipped: {flipped}")
            self.damaged = what
        return bool(flipped)

    def lose_history(self) -> None:
        """The history's file is gone, or so broken that it is set aside. The node must be dead."""
        assert not self.alive
        self.say("loses its history")
        self.disks.history = None

    def pause(self, paused: bool) -> None:
        """Stop or go on; while stopped everything that arrives waits."""
        if not self.alive or paused == self.paused:
            return
        self.paused = paused
        self._world.note(f"n{self.id} {'pauses' if paused else 'goes on'}")
        if not paused and self._kept:
            kept, self._kept = self._kept, []
            self.handle(*kept)

    # --- inputs -----------------------------------------------------------------------------------

    def _tick(self, life: int) -> None:
        if not self.alive or self.boots != life:
            return
        self._world.after(int(TICK_US / self.clock_rate), lambda: self._tick(life))
        self.handle(i.Tick())

    def ask(self, request: Any, answered: Answered) -> None:
        """A client's request; ``answered`` hears the outcome, unless the node dies first."""
        if self.alive:
            self._waiting[request.request_id] = answered, self._world.now_us
            self._world.tell(lambda: f"n{self.id} <- {request}")
            self.handle(request)

    def overdue(self, before_us: int) -> list[int]:
        """Requests asked before a moment that this node still owes an answer."""
        return [number for number, (_, asked_us) in self._waiting.items() if asked_us < before_us]

    def handle(self, *batch: i.Input) -> None:
        """Give inputs to the replica and perform what follows."""
        if not self.alive:
            return
        if self.paused:
            self._kept.extend(batch)
            return
        effects = self.replica.handle_all(batch)
        self._properties.observe(self.id, self.replica)
        rng = self._rng
        for effect in effects:
            if self.crash_chance and rng.random() < self.crash_chance:
                self._die(f"before {type(effect).__name__}", power=rng.random() < 0.7)
                return
            self._performers[type(effect)](effect)
            chance = self.vote_crash_chance if _gives_vote(effect) else 0.0
            if chance and rng.random() < chance:
                self._die("after a vote", power=True)
                return

    def _die(self, when: str, power: bool) -> None:
        self._world.note(f"n{self.id} dies {when}")
        self._world.coverage[f"crash.{when}"] += 1
        self.crash(power)
        if self.on_death is not None:
            self.on_death(self)

    def _later(self, delay_us: int, action: Callable[[], None]) -> None:
        """Something of this life of the process; void when it is over."""
        life = self.boots

        def act() -> None:
            if self.alive and self.boots == life:
                action()

        self._world.after(delay_us, act)

    # --- effects ----------------------------------------------------------------------------------

    def _table(self) -> dict[type, Callable[[Any], None]]:
        return {
            e.Persist: self._persist,
            e.Send: self._send,
            e.SendSnapshot: self._send_snapshot,
            e.InstallSnapshot: self._install,
            e.DiscardSnapshot: self._discard,
            e.SaveSnapshot: self._save,
            e.CutLog: lambda x: self._disk.perform(lambda: self._cut(x.through_index)),
            e.Reply: self._reply,
            e.SendLeaseAsk: lambda x: self._to_peer(
                x.to, i.PeerLeaseAsk(self.id, x.request_id, x.lease_ids, x.renew)
            ),
            e.SendLeaseAnswer: lambda x: self._to_peer(
                x.to, i.PeerLeaseAnswer(x.request_id, x.clocks, x.not_leader)
            ),
            e.SendDigest: self._send_digest,
            e.AppendHistory: self._append_history,
            e.CompactHistory: self._compact_history,
            e.ReadHistoryRange: self._read_range,
            e.ReadHistoryEvents: self._read_events,
            e.Deliver: self._deliver,
            e.RoleChanged: lambda x: self._world.note(
                f"n{self.id} is {x.role.value} of term {x.term}, leader n{x.leader}"
            ),
            e.TokensChanged: lambda x: None,
            e.MembersChanged: lambda x: None,
            e.Removed: lambda x: self.leave("by its own log"),
            e.Fatal: lambda x: self._world.fail(f"node {self.id} gives up: {x.reason}"),
        }

    def _persist(self, effect: e.Persist) -> None:
        self._properties.written(self.id, self.replica, effect.entries)

        def take() -> None:
            self._settled_bytes = self._newest_bytes()
            self._wal.append(effect.hard_state, effect.entries)

        def write() -> None:
            if effect.sync:
                self._wal.sync()
            else:
                self._wal.flush()
            self._later(0, lambda: self.handle(i.Persisted(effect.ticket)))

        self._disk.perform(take, write)

    def _newest_bytes(self) -> int:
        return self.disks.log.size(segment_names(self.disks.log)[-1])

    def _disk_died(self, error: Exception) -> None:
        self._world.note(f"n{self.id} ends: {error}")
        self._world.coverage["disk.failed"] += 1
        self.crash(power=False)
        if self.on_death is not None:
            self.on_death(self)

    def _send(self, effect: e.Send) -> None:
        # Frames are lost or doubled whole; raft must bear that, and reordering. Only a forwarded
        # proposal travels at most once, as on a stream: doubled, it would be two writes.
        coverage, messages = self._world.coverage, effect.messages
        forwards = 0
        for message in messages:
            coverage[_MESSAGE_NAMES[type(message)]] += 1
            forwards += type(message) is ForwardProposal
        if forwards < len(messages):
            own = tuple([m for m in messages if type(m) is not ForwardProposal])
            self._to_peer(effect.to, i.Received(self.id, own if forwards else messages))
        if forwards:
            forwarded = tuple([m for m in messages if type(m) is ForwardProposal])
            self._to_peer(effect.to, i.Received(self.id, forwarded), once=True)

    def _to_peer(self, to: int, happened: i.Input, once: bool = False) -> None:
        peer = self.nodes.get(to)
        if peer is None or not peer.alive:
            self._later(1_000, lambda: self.handle(i.Unreachable(to)))
            return
        self._network.send(self.id, to, lambda: peer.hear(self, happened), once)

    def hear(self, sender: SimNode, happened: i.Input) -> None:
        """Something from a peer; one that was removed is told so instead of being heard."""
        removed = self.alive and self.replica.machine.members.removed
        if not removed or self._admits(sender):
            self.handle(happened)

    def _admits(self, sender: SimNode) -> bool:
        if not self.alive or sender.id not in self.replica.machine.members.removed:
            return True
        self.refuse(sender)
        return False

    def refuse(self, sender: SimNode) -> None:
        """Tell a peer that it was removed."""
        own = self.id
        self._network.send(own, sender.id, lambda: told_removed(sender, own), once=True)

    def _send_digest(self, effect: e.SendDigest) -> None:
        for member in self.replica.machine.members.all():
            to = member.id
            if to != self.id:
                self._to_peer(to, i.PeerDigest(self.id, effect.applied_index, effect.digest))

    def _send_snapshot(self, effect: e.SendSnapshot) -> None:
        """The body takes its time and may not arrive; the sender learns which."""
        chunks = list(encode_image(effect.image))
        history = self._history.copy(effect.revision, effect.meta.index)
        peer = self.nodes.get(effect.to)
        delay = between(self._rng, 5_000, 200_000)

        def arrive() -> None:
            ok = peer is not None and peer.alive and not peer.paused
            ok = ok and self._network.connected(self.id, effect.to)
            if ok:
                assert peer is not None
                ok = peer.stage(self, effect, chunks, history)
            self._world.coverage[f"snapshot.{'arrived' if ok else 'lost on its way'}"] += 1
            self.handle(i.SnapshotSent(effect.to, ok))

        self._world.note(f"n{self.id} sends a snapshot at {effect.meta.index} to n{effect.to}")
        self._later(delay, arrive)

    def stage(
        self, sender: SimNode, effect: e.SendSnapshot, chunks: list[bytes], history: SimHistory
    ) -> bool:
        """A snapshot's body is here, whole; False: from somebody who was removed."""
        if not self._admits(sender):
            return False
        self._tokens += 1
        self._staged[self._tokens] = (history, chunks, effect.revision)
        machine = decode_image(chunks)
        self.handle(
            i.SnapshotReceived(
                sender.id, effect.term, effect.meta, machine, self._tokens, effect.history_floor
            )
        )
        return True

    def _install(self, effect: e.InstallSnapshot) -> None:
        history, chunks, revision = self._staged.pop(effect.token)
        # The history is swapped for readers at once and on disk before the log starts anew.
        self._history = self.disks.history = history

        def save() -> None:
            self._snapshots.save(effect.meta, revision, chunks)
            self._settled_bytes = 0
            self._wal.append(effect.hard_state, (), effect.meta, reset=True)

        def mark() -> None:
            self._wal.sync()
            self._installed_index = effect.meta.index
            self._later(0, lambda: self.handle(i.SnapshotInstalled(effect.token)))

        self._world.note(f"n{self.id} installs a snapshot at {effect.meta.index}")
        self._disk.perform(save, mark)

    def _discard(self, effect: e.DiscardSnapshot) -> None:
        self._staged.pop(effect.token, None)

    def _save(self, effect: e.SaveSnapshot) -> None:
        def save() -> None:
            if self._history.applied_index < effect.meta.index:
                self._world.fail("a snapshot was cut ahead of the history")
            self._history.flush()
            self._snapshots.save(effect.meta, effect.revision, encode_image(effect.image))
            self._disk.perform(mark, settle)

        def overtaken() -> bool:
            """By a leader's snapshot."""
            return effect.meta.index <= self._installed_index

        def mark() -> None:
            if not overtaken():
                self._wal.append(None, (), effect.meta)

        def settle() -> None:
            if not overtaken():
                self._wal.sync()
                self._later(0, lambda: self.handle(i.SnapshotSaved(effect.meta.index)))

        self._disk.perform(save)

    def _cut(self, through_index: int) -> None:
        self._wal.cut(through_index)

    def _reply(self, effect: e.Reply) -> None:
        self._world.tell(lambda: f"n{self.id} -> {effect}")
        asked = self._waiting.pop(effect.request_id, None)
        if asked is not None:
            asked[0](effect.outcome)

    def _deliver(self, effect: e.Deliver) -> None:
        sink = self.sinks.get(effect.stream)
        if sink is not None:
            sink(self, effect)

    def _append_history(self, effect: e.AppendHistory) -> None:
        self._world.coverage["history.appended"] += 1
        entries = self.replica.raft.entries_slice(
            self._history.applied_index + 1, effect.applied_index + 1
        )
        self._properties.committed_at(self.id, entries)
        self._history.append(effect)

        def flush() -> None:
            self._history.flush()
            self.handle(
                i.HistoryAdvanced(self._history.durable_applied, self._history.durable_revision)
            )

        self._later(between(self._rng, 1_000, 60_000) + self.history_us_more, flush)

    def _compact_history(self, effect: e.CompactHistory) -> None:
        def compact() -> None:
            self._history.compact(effect.revision)
            self.handle(i.HistoryCompacted(effect.token))

        self._later(between(self._rng, 1_000, 200_000), compact)

    def _read_range(self, effect: e.ReadHistoryRange) -> None:
        def read() -> None:
            why = self._history.refusal(effect.query.revision)
            records = () if why else tuple(self._history.records(effect.query))
            self.handle(i.HistoryRecords(effect.token, records, len(records), why))

        self._later(between(self._rng, 500, 20_000), read)

    def _read_events(self, effect: e.ReadHistoryEvents) -> None:
        def read() -> None:
            why = self._history.refusal(effect.from_revision)
            self._world.coverage[f"watch.history read{' refused' if why else ''}"] += 1
            if why:
                self.handle(i.HistoryEvents(effect.token, (), 0, why))
                return
            events, through = self._history.events(
                effect.key,
                effect.range_end,
                effect.from_revision,
                effect.to_revision,
                effect.max_revisions,
            )
            self.handle(i.HistoryEvents(effect.token, tuple(events), through))

        self._later(between(self._rng, 500, 20_000), read)
