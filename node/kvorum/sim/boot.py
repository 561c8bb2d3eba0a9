"""From simulated disks to what a replica starts from, by the rules of the server's start.

An empty disk makes a first start: of a member of a new cluster, or of one that joins and knows
nobody until a leader's snapshot comes. A damaged log is never lived on with: the member stays out.
A damaged snapshot file is set aside for an older one, as long as the log still follows that. A lost
history is built anew from a snapshot's live keys, and what was before them is not known on this
member any more.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from kvorum.machine.apply import ImageError, Machine, decode_image, encode_image
from kvorum.machine.events import PUT, Event
from kvorum.machine.members import Member
from kvorum.machine.record import parse
from kvorum.raft.types import ConfState, HardState, SnapshotMeta
from kvorum.replica.effects import HistoryRow
from kvorum.replica.state import Boot
from kvorum.sim.history import SimHistory
from kvorum.storage.interface import (
    Recovered,
    SnapshotBroken,
    SnapshotFile,
    Verdict,
    WalCorrupt,
    WalMetadata,
)
from kvorum.storage.memory import MemoryDisk
from kvorum.storage.replay import segment_names
from kvorum.storage.snapshot_file import Snapshots
from kvorum.storage.wal import Wal, has_log

CLUSTER_ID = 0xC1
SEGMENT_BYTES = 16 * 1024

Note = Callable[[str], None]
# What a start says of a snapshot file that is not whole.
SET_ASIDE = "sets a snapshot aside"


class CannotStart(Exception):
    """What the disks hold cannot be lived on with; the server would refuse to start as well."""


class Disks:
    """What outlives a process of one member."""

    def __init__(self, rng: random.Random) -> None:
        self.log = MemoryDisk(random.Random(rng.getrandbits(64)))
        self.snap = MemoryDisk(random.Random(rng.getrandbits(64)))
        self.history: SimHistory | None = SimHistory()

    def heal(self) -> None:
        """No operation fails any more, and there is room."""
        for disk in (self.log, self.snap):
            disk.fail_syncs = disk.fail_writes = -1
            disk.capacity_bytes = None

    def flip_log(self, rng: random.Random, settled_bytes: int) -> str:
        """Flip a bit of the log's older bytes, of its newest segment's first ``settled_bytes``;
        says which, empty when there was none."""
        disk = self.log
        names = segment_names(disk)
        sizes = [disk.size(name) for name in names]
        if sizes:
            sizes[-1] = min(sizes[-1], settled_bytes)
        if not sum(sizes):
            return ""
        at = rng.randrange(sum(sizes))
        for name, size in zip(names, sizes, strict=True):
            if at < size:
                disk.flip_bit(name, at, rng.randrange(8))
                return f"{name} at {at}"
            at -= size
        return ""

    def flip_snapshot(self, rng: random.Random) -> str:
        """Flip a bit of the newest snapshot file; says which, empty when there is none."""
        names = [name for name in self.snap.names() if name.endswith(".snap")]
        if not names:
            return ""
        self.snap.flip_bit(names[-1], rng.randrange(self.snap.size(names[-1])))
        return names[-1]


class First(NamedTuple):
    """The members as a first start is told of them. ``joins``: they run already."""

    members: tuple[Member, ...]
    joins: bool = False

    @classmethod
    def of(cls, ids: Sequence[int]) -> First:
        """The members of a new cluster."""
        return cls(
            tuple(Member(v, f"n{v}", (peer_url(v),), (f"http://n{v}:2379",)) for v in ids),
        )


def peer_url(member: int, port: int = 2380) -> str:
    """Where a member can be reached by its peers."""
    return f"http://n{member}:{port}"


@dataclass
class Start:
    """What a member's process begins with."""

    boot: Boot
    wal: Wal
    snapshots: Snapshots
    history: SimHistory
    verdict: Verdict
    rebuilt: bool = False


def start(disks: Disks, member_id: int, first: First, note: Note) -> Start:
    """Read the disks, or prepare them for the first start. Raises CannotStart."""
    snapshots = Snapshots(disks.snap, lambda broken: note(f"{SET_ASIDE}: {broken}"))
    metadata = WalMetadata(CLUSTER_ID, member_id)
    if not has_log(disks.log):
        _bootstrap(disks.log, snapshots, metadata, first)
    try:
        wal, recovered = Wal.open(
            disks.log, metadata, segment_bytes=SEGMENT_BYTES, clock_ns=lambda: 0
        )
    except WalCorrupt as corrupt:
        raise CannotStart(f"corrupt log: {corrupt}") from corrupt
    history = disks.history
    # A marker in the log comes after the file is complete; a file without one is a leftover.
    reached = -1 if history is None else history.applied_index
    chosen = _usable(snapshots, recovered, [m for m in recovered.snapshots if m.index <= reached])
    rebuilt = chosen is None
    if chosen is None:
        chosen = _oldest(snapshots, recovered)
        file, machine = chosen
        history = _rebuilt(machine, file.meta.index)
        note(f"builds its history anew from revision {machine.revision}")
    assert history is not None, "either it was there or it was rebuilt"
    disks.history = history
    file, machine = chosen
    boot = Boot(
        recovered.hard_state or HardState(),
        file.meta,
        recovered.since(file.meta),
        machine,
        max(history.applied_index, file.meta.index),
        max(0, history.compact_revision),
    )
    return Start(boot, wal, snapshots, history, recovered.verdict, rebuilt)


def _bootstrap(disk: MemoryDisk, snapshots: Snapshots, metadata: WalMetadata, first: First) -> None:
    voters = () if first.joins else tuple([member.id for member in first.members])
    machine = Machine(CLUSTER_ID, first.members)
    meta = SnapshotMeta(0, 0, ConfState(voters))
    snapshots.save(meta, 1, encode_image(machine.image()))
    wal = Wal.create(
        disk, metadata, salt=metadata.member_id, segment_bytes=SEGMENT_BYTES, clock_ns=lambda: 0
    )
    wal.append(HardState(), (), meta)
    wal.sync()


def _usable(
    snapshots: Snapshots, recovered: Recovered, metas: Sequence[SnapshotMeta]
) -> tuple[SnapshotFile, Machine] | None:
    """The newest of these whose file is whole and which the log's entries follow."""
    file = snapshots.load(metas)
    while file is not None:
        try:
            recovered.since(file.meta)
            return file, decode_image(snapshots.chunks(file))
        except (ValueError, ImageError, SnapshotBroken):
            index = file.meta.index
        metas = [meta for meta in metas if meta.index < index]
        file = snapshots.load(metas)
    return None


def _oldest(snapshots: Snapshots, recovered: Recovered) -> tuple[SnapshotFile, Machine]:
    for meta in recovered.snapshots:
        chosen = _usable(snapshots, recovered, [meta])
        if chosen is not None:
            return chosen
    raise CannotStart("no snapshot that the log follows is whole")


def _rebuilt(machine: Machine, index: int) -> SimHistory:
    """Live keys in the order of their revisions; what they were before counts as compacted."""
    history = SimHistory()
    found = [parse(frame) for frame in machine.keyspace.frames.values()]
    found.sort(key=lambda record: (record.mod_revision, record.key))
    sub = last = 0
    for record in found:
        sub = sub + 1 if record.mod_revision == last else 0
        last = record.mod_revision
        event = Event.of(last, sub, PUT, record)
        history.rows.append(HistoryRow(event, 0, 0, ""))
    history.applied_index, history.revision = index, machine.revision
    # What the snapshot's own revision deleted is not known either.
    history.compact_revision = machine.revision + 1 if index else max(0, machine.compact_revision)
    history.flush()
    return history
