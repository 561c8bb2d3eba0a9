"""A simulated node: the replica of the server on a disk that forgets, a history that lags, a
network that loses.

Effects are performed in their order. A crash may come between any two of them, which is what makes
the order matter. The log is the real write-ahead log over a simulated disk, so that a restart goes
through real recovery.

Long because each effect of the replica has its performer here, side by side, as each has one in
the server.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from kvorum.machine.apply import Machine, decode_image, encode_image
from kvorum.machine.members import Member
from kvorum.raft.messages import ForwardProposal, VoteResponse
from kvorum.raft.types import ConfState, HardState, SnapshotMeta
from kvorum.replica import effects as e
from kvorum.replica import inputs as i
from kvorum.replica.replica import Replica
from kvorum.replica.requests import Outcome
from kvorum.replica.state import Boot, ReplicaConfig
from kvorum.sim.history import SimHistory
from kvorum.sim.network import Network
from kvorum.sim.properties import Properties
from kvorum.sim.world import World
from kvorum.storage.interface import SnapshotBroken, WalFailed, WalMetadata
from kvorum.storage.memory import MemoryDisk
from kvorum.storage.snapshot_file import Snapshots
from kvorum.storage.wal import Wal

CLUSTER_ID = 0xC1
TICK_US = 100_000
_SEGMENT_BYTES = 16 * 1024

Answered = Callable[[Outcome], None]
Delivered = Callable[["SimNode", e.Deliver], None]


def _gives_vote(effect: e.Effect) -> bool:
    return isinstance(effect, e.Send) and any(
        isinstance(m, VoteResponse) and m.granted and not m.pre for m in effect.messages
    )


class SimNode:
    """One member. ``alive`` False: its process is gone, its disks remain."""

    def __init__(
        self,
        world: World,
        network: Network,
        properties: Properties,
        member_id: int,
        voters: tuple[int, ...],
        snapshot_count: int,
    ) -> None:
        self.id = member_id
        self.alive = False
        self.paused = False
        self.clock_rate = 1.0
        self.sync_us_max = 4_000
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
        self._log_disk = MemoryDisk(random.Random(world.rng.getrandbits(64)))
        self._snap_disk = MemoryDisk(random.Random(world.rng.getrandbits(64)))
        self._history = SimHistory()
        self._staged: dict[int, tuple[SimHistory, list[bytes], int]] = {}
        self._tokens = 0
        self._wal: Wal
        self._snapshots: Snapshots
        self.replica: Replica
        self._disk_queue: list[Callable[[], None]] = []
        self._disk_busy = False
        self._waiting: dict[int, Answered] = {}
        self._kept: list[i.Input] = []
        self._performers = self._table()

    # --- life -------------------------------------------------------------------------------------

    def start(self) -> None:
        """Boot from the disks, as the server does."""
        assert not self.alive
        self.boots += 1
        self.heal_disks()
        self._snapshots = Snapshots(self._snap_disk, self._report_broken)
        metadata = WalMetadata(CLUSTER_ID, self.id)
        if self._snapshots.load() is None:
            self._bootstrap(metadata)
        self._wal, recovered = Wal.open(
            self._log_disk, metadata, segment_bytes=_SEGMENT_BYTES, clock_ns=lambda: 0
        )
        # The marker in the log comes after the file is complete, so a file without one is a
        # leftover.
        allowed = recovered.snapshots
        newest = self._snapshots.load(allowed)
        assert newest is not None, "the first snapshot is written before the log"
        machine = decode_image(self._snapshots.chunks(newest))
        hard_state = recovered.hard_state or HardState()
        boot = Boot(
            hard_state,
            newest.meta,
            recovered.since(newest.meta),
            machine,
            self._history.applied_index,
        )
        config = ReplicaConfig(
            member_id=self.id,
            cluster_id=CLUSTER_ID,
            id_base=self.id << 48 | self.boots << 32,
            snapshot_count=self._snapshot_count,
            catchup_entries=self._snapshot_count // 2,
        )
        rng = random.Random(self._world.rng.getrandbits(64))
        self.replica = Replica(config, boot, rng)
        self.alive, self.paused = True, False
        self._disk_queue, self._disk_busy, self._waiting = [], False, {}
        self._kept = []
        self._world.note(f"n{self.id} boots: {hard_state} applied {machine.applied_index}")
        self._tick(self.boots)

    def _bootstrap(self, metadata: WalMetadata) -> None:
        members = tuple(
            Member(v, f"n{v}", (f"http://n{v}:2380",), (f"http://n{v}:2379",)) for v in self._voters
        )
        machine = Machine(CLUSTER_ID, members)
        meta = SnapshotMeta(0, 0, ConfState(self._voters))
        self._snapshots.save(meta, 1, encode_image(machine.image()))
        wal = Wal.create(
            self._log_disk, metadata, salt=self.id, segment_bytes=_SEGMENT_BYTES, clock_ns=lambda: 0
        )
        wal.append(HardState(), (), meta)
        wal.sync()

    def _report_broken(self, broken: SnapshotBroken) -> None:
        self._world.note(f"n{self.id} sets a snapshot aside: {broken}")

    def crash(self, power: bool) -> None:
        """The process ends; with ``power`` the machine too, and unsynced bytes with it."""
        if not self.alive:
            return
        self.alive = False
        self._world.note(f"n{self.id} {'loses power' if power else 'is killed'}")
        for disk in (self._log_disk, self._snap_disk):
            if power:
                disk.crash()
            else:
                disk.kill()
        self._history.crash()
        self._staged.clear()
        self._properties.restarted(self.id)

    def fail_sync(self, nth: int) -> None:
        """Let the n-th fsync of the log from now fail."""
        self._log_disk.fail_syncs = nth

    def heal_disks(self) -> None:
        """No sync will fail any more."""
        self._log_disk.fail_syncs = -1

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

    def _tick(self, boot: int) -> None:
        if not self.alive or self.boots != boot:
            return
        self._world.after(int(TICK_US / self.clock_rate), lambda: self._tick(boot))
        self.handle(i.Tick())

    def ask(self, request: Any, answered: Answered) -> None:
        """A client's request; ``answered`` hears the outcome, unless the node dies first."""
        if self.alive:
            self._waiting[request.request_id] = answered
            self.handle(request)

    def handle(self, *batch: i.Input) -> None:
        """Give inputs to the replica and perform what follows."""
        if not self.alive:
            return
        if self.paused:
            self._kept.extend(batch)
            return
        effects = self.replica.handle_all(batch)
        self._properties.observe(self.id, self.replica)
        rng = self._world.rng
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
        self.crash(power)
        if self.on_death is not None:
            self.on_death(self)

    def _later(self, delay_us: int, action: Callable[[], None]) -> None:
        """Something of this life of the process; void when it is over."""
        boot = self.boots

        def act() -> None:
            if self.alive and self.boots == boot:
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
            e.CutLog: lambda x: self._on_disk(lambda: self._cut(x.through_index)),
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
            e.Removed: lambda x: self._world.fail(f"node {self.id} believes it was removed"),
            e.Fatal: lambda x: self._world.fail(f"node {self.id} gives up: {x.reason}"),
        }

    def _persist(self, effect: e.Persist) -> None:
        self._properties.written(self.id, self.replica, effect.entries)

        def write() -> None:
            self._wal.append(effect.hard_state, effect.entries)
            if effect.sync:
                self._wal.sync()
            else:
                self._wal.flush()
            self._later(0, lambda: self.handle(i.Persisted(effect.ticket)))

        self._on_disk(write)

    def _on_disk(self, action: Callable[[], None]) -> None:
        """The disk thread: one thing after another, each taking its time."""
        self._disk_queue.append(action)
        if not self._disk_busy:
            self._disk_busy = True
            self._disk_next()

    def _disk_next(self) -> None:
        if not self._disk_queue:
            self._disk_busy = False
            return

        def act() -> None:
            action = self._disk_queue.pop(0)
            try:
                action()
            except WalFailed as error:
                self._world.note(f"n{self.id} ends: {error}")
                self.crash(power=False)
                if self.on_death is not None:
                    self.on_death(self)
                return
            if self.alive:
                self._disk_next()

        self._later(self._world.rng.randint(100, self.sync_us_max), act)

    def _send(self, effect: e.Send) -> None:
        # Frames are lost or doubled whole; raft must bear that, and reordering. Only a forwarded
        # proposal travels at most once, as on a stream: doubled, it would be two writes.
        own = tuple(m for m in effect.messages if not isinstance(m, ForwardProposal))
        forwarded = tuple(m for m in effect.messages if isinstance(m, ForwardProposal))
        if own:
            self._to_peer(effect.to, i.Received(self.id, own))
        if forwarded:
            self._to_peer(effect.to, i.Received(self.id, forwarded), once=True)

    def _to_peer(self, to: int, happened: i.Input, once: bool = False) -> None:
        peer = self.nodes[to]
        if not peer.alive:
            self._later(1_000, lambda: self.handle(i.Unreachable(to)))
            return
        self._network.send(self.id, to, lambda: peer.handle(happened), once)

    def _send_digest(self, effect: e.SendDigest) -> None:
        for to in self._voters:
            if to != self.id:
                self._to_peer(to, i.PeerDigest(self.id, effect.applied_index, effect.digest))

    def _send_snapshot(self, effect: e.SendSnapshot) -> None:
        """The body takes its time and may not arrive; the sender learns which."""
        chunks = list(encode_image(effect.image))
        history = self._history.copy(effect.revision, effect.meta.index)
        peer = self.nodes[effect.to]
        delay = self._world.rng.randint(5_000, 200_000)

        def arrive() -> None:
            ok = peer.alive and not peer.paused and self._network.connected(self.id, effect.to)
            if ok:
                peer.stage(self.id, effect, chunks, history)
            self.handle(i.SnapshotSent(effect.to, ok))

        self._world.note(f"n{self.id} sends a snapshot at {effect.meta.index} to n{effect.to}")
        self._later(delay, arrive)

    def stage(
        self, sender: int, effect: e.SendSnapshot, chunks: list[bytes], history: SimHistory
    ) -> None:
        """A snapshot's body is here, whole."""
        self._tokens += 1
        self._staged[self._tokens] = (history, chunks, effect.revision)
        machine = decode_image(chunks)
        self.handle(i.SnapshotReceived(sender, effect.term, effect.meta, machine, self._tokens))

    def _install(self, effect: e.InstallSnapshot) -> None:
        history, chunks, revision = self._staged.pop(effect.token)
        # The history is swapped for readers at once and on disk before the log starts anew.
        self._history = history

        def install() -> None:
            self._snapshots.save(effect.meta, revision, chunks)
            self._wal.append(effect.hard_state, (), effect.meta, reset=True)
            self._wal.sync()
            self._later(0, lambda: self.handle(i.SnapshotInstalled(effect.token)))

        self._world.note(f"n{self.id} installs a snapshot at {effect.meta.index}")
        self._on_disk(install)

    def _discard(self, effect: e.DiscardSnapshot) -> None:
        self._staged.pop(effect.token, None)

    def _save(self, effect: e.SaveSnapshot) -> None:
        def save() -> None:
            if self._history.applied_index < effect.meta.index:
                self._world.fail("a snapshot was cut ahead of the history")
            self._history.flush()
            self._snapshots.save(effect.meta, effect.revision, encode_image(effect.image))
            self._wal.append(None, (), effect.meta)
            self._wal.sync()
            self._later(0, lambda: self.handle(i.SnapshotSaved(effect.meta.index)))

        self._on_disk(save)

    def _cut(self, through_index: int) -> None:
        self._wal.cut(through_index)

    def _reply(self, effect: e.Reply) -> None:
        answered = self._waiting.pop(effect.request_id, None)
        if answered is not None:
            answered(effect.outcome)

    def _deliver(self, effect: e.Deliver) -> None:
        sink = self.sinks.get(effect.stream)
        if sink is not None:
            sink(self, effect)

    def _append_history(self, effect: e.AppendHistory) -> None:
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

        self._later(self._world.rng.randint(1_000, 60_000), flush)

    def _compact_history(self, effect: e.CompactHistory) -> None:
        def compact() -> None:
            self._history.compact(effect.revision)
            self.handle(i.HistoryCompacted(effect.token))

        self._later(self._world.rng.randint(1_000, 200_000), compact)

    def _read_range(self, effect: e.ReadHistoryRange) -> None:
        def read() -> None:
            why = self._history.refusal(effect.query.revision)
            records = () if why else tuple(self._history.records(effect.query))
            self.handle(i.HistoryRecords(effect.token, records, len(records), why))

        self._later(self._world.rng.randint(500, 20_000), read)

    def _read_events(self, effect: e.ReadHistoryEvents) -> None:
        def read() -> None:
            why = self._history.refusal(effect.from_revision)
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

        self._later(self._world.rng.randint(500, 20_000), read)
