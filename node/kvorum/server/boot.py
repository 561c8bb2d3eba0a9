"""From a data directory to a replica: who this node is, and what its disk still knows.

A directory without a log makes a first start: the flags say who the members are (or the members
that run already, see ``joining``), and the first snapshot (index 0: an empty store with these
members) is written before the log that refers to it.
Any other directory makes a restart: identity comes from the log, the state from the newest snapshot
file that the history reaches, and the log's entries follow. The history is rebuilt when it is
damaged, the log never is: what it promised cannot be made up (contract page "server", sections
    3-5).
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kvorum.config import NodeConfig, verify_bootstrap
from kvorum.failpoints import Failpoint
from kvorum.history.database import ForeignHistory, HistoryDatabase, parts
from kvorum.history.probe import open_history
from kvorum.history.rows import PUT, Identity, Row
from kvorum.history.transfer import import_rows
from kvorum.limits import SNAPSHOT_SEND_ROWS, WAL_SEGMENT_BYTES
from kvorum.machine.apply import ImageError, Machine, decode_image, encode_image
from kvorum.machine.members import Member
from kvorum.machine.record import parse
from kvorum.raft.types import ConfState, HardState, SnapshotMeta
from kvorum.replica.state import Boot
from kvorum.server.crash import Exit, FatalError
from kvorum.server.identity import cluster_id, member_id
from kvorum.storage.failing import FailingDisk
from kvorum.storage.filesystem import DataDirLock, DataDirLocked, RealDisk, make_directory
from kvorum.storage.interface import (
    Disk,
    Recovered,
    SnapshotBroken,
    SnapshotFile,
    WalCorrupt,
    WalError,
    WalMetadata,
)
from kvorum.storage.replay import replay, set_aside
from kvorum.storage.snapshot_file import Snapshots
from kvorum.storage.wal import Wal, has_log

log = logging.getLogger(__name__)

# Before the first election: the members' table counts as agreed in term 1, so the first leader's is
# 2.
_FIRST_TERM = 1


# Data of a member that came back as another one, with a number (see ``rejoin``).
ASIDE = "member.broken-"


class DataDir:
    """The places of a node's files, locked for this process. FatalError when that is impossible."""

    def __init__(self, config: NodeConfig) -> None:
        self.root = root = config.data_dir
        member = root / "member"
        self.wal = config.wal_dir or member / "wal"
        self.snap = member / "snap"
        self.history = member / "history.duckdb"
        self.query = member / "query"
        try:
            self.make()
            self.lock = DataDirLock(root)
        except DataDirLocked as locked:
            raise FatalError(str(locked), Exit.BAD_DATA) from locked
        except OSError as error:
            raise FatalError(f"cannot use data directory {root}: {error}", Exit.DISK) from error
        # "fixtures" holds self-signed certificates, as etcd's directories do.
        known = {"member", "fixtures", self.lock_name}
        others = sorted(
            path.name
            for path in root.iterdir()
            if path.name not in known and not path.name.startswith(ASIDE)
        )
        if others:
            log.warning(
                "found unexpected entries in the data directory",
                extra={"data-dir": str(root), "entries": others},
            )

    lock_name = "lock"

    def make(self) -> None:
        """Make the directories that are not there. OSError when that is impossible."""
        for directory in (self.root, self.root / "member", self.wal, self.snap):
            make_directory(directory)

    @property
    def is_new(self) -> bool:
        """Whether this node has never started from here, or was killed while it made its first log.

        Such a log holds nothing; and the history, which is made after it, tells it apart from one
        that was cut down to its head later.
        """
        disk = RealDisk(self.wal)
        if not has_log(disk):
            return True
        if any(part.exists() for part in parts(self.history)):
            return False
        try:
            begun = replay(disk)
        except WalError:
            return False
        return not begun.snapshots and not begun.entries and begun.hard_state is None


@dataclass
class FoundState:
    """What a node starts from."""

    metadata: WalMetadata
    boot: Boot
    wal: Wal
    store: Snapshots
    snap_disk: Disk
    database: HistoryDatabase
    is_new: bool


@dataclass(frozen=True)
class FirstMembers:
    """The members of a new cluster, as the flags name them, and which of them this node is."""

    metadata: WalMetadata
    members: tuple[Member, ...]
    # These members run already, and this node waits for a leader's snapshot.
    joins: bool = False

    @classmethod
    def of(cls, config: NodeConfig) -> FirstMembers:
        """Ids derived as etcd derives them. ConfigError when the flags contradict themselves."""
        verify_bootstrap(config)
        token = config.initial_cluster_token
        by_name = {
            name: Member(member_id([u.text for u in urls], token), name, _texts(urls))
            for name, urls in config.initial_cluster
        }
        members = tuple(sorted(by_name.values(), key=lambda member: member.id))
        metadata = WalMetadata(
            cluster_id([member.id for member in members]), by_name[config.name].id
        )
        # Client URLs are published by each member itself once it runs.
        return cls(metadata, members)


def _texts(urls: Iterable[object]) -> tuple[str, ...]:
    return tuple(sorted(str(getattr(url, "text", url)) for url in urls))


def find(
    places: DataDir,
    first: FirstMembers | None = None,
    segment_bytes: int = WAL_SEGMENT_BYTES,
    failpoint: Failpoint | None = None,
) -> FoundState:
    """Read the disk, or prepare it for a first start among these first members. Blocks.

    ``failpoint``: the disks of the state that is found have these.

    Raises FatalError for data that cannot be used.
    """
    is_new = places.is_new
    try:
        if is_new:
            assert first is not None, "an empty disk says nothing about the members"
            set_aside(RealDisk(places.wal))
            bootstrap(places, first, failpoint)
        disk = _disk(places.wal, "wal", failpoint)
        wal, recovered = Wal.open(disk, segment_bytes=segment_bytes)
    except WalCorrupt as corrupt:
        raise FatalError(
            f"the log is damaged where it was synced; nothing was cut: {corrupt}. "
            f"{_way_back(places)}",
            Exit.BAD_DATA,
        ) from corrupt
    except (WalError, OSError) as error:
        raise FatalError(f"cannot open the log: {error}", Exit.BAD_DATA) from error
    if recovered.torn is not None:
        log.warning("cut an unfinished write off the log", extra={"torn": str(recovered.torn)})
    if not recovered.snapshots:
        raise FatalError(
            f"{places.wal} holds a log that was never finished being made; "
            "nothing was acknowledged from it: remove the data directory",
            Exit.BAD_DATA,
        )
    return _restart(places, wal, recovered, is_new, _disk(places.snap, "snap", failpoint))


def _disk(directory: Path, name: str, failpoint: Failpoint | None) -> Disk:
    disk = RealDisk(directory)
    return disk if failpoint is None else FailingDisk(disk, name, failpoint)


def _way_back(places: DataDir, *flags: str) -> str:
    words = " ".join(("kvorum rejoin", str(places.root), *flags))
    return (
        "This member can come back under a new id, with a vote once it has caught up: "
        f"{words} --endpoints URL-OF-A-MEMBER-THAT-RUNS"
    )


def bootstrap(places: DataDir, first: FirstMembers, failpoint: Failpoint | None = None) -> None:
    """Make the data of a node that has not run yet. Blocks."""
    # Without a configuration raft neither votes for itself nor counts anybody, and asks for a
    # snapshot.
    voters = () if first.joins else tuple([member.id for member in first.members])
    meta = SnapshotMeta(0, 0, ConfState(voters))
    machine = Machine(first.metadata.cluster_id, first.members)
    store = Snapshots(_disk(places.snap, "snap", failpoint), _report)
    store.save(meta, machine.revision, encode_image(machine.image()))
    disk = _disk(places.wal, "wal", failpoint)
    wal = Wal.create(disk, first.metadata, salt=secrets.randbits(32))
    wal.append(HardState(_FIRST_TERM), (), meta)
    wal.sync()
    wal.close()


def _report(broken: SnapshotBroken) -> None:
    log.error("set a broken snapshot aside", extra={"error": str(broken)})


def _restart(
    places: DataDir, wal: Wal, recovered: Recovered, is_new: bool, snap_disk: Disk
) -> FoundState:
    identity = Identity(recovered.metadata.cluster_id, recovered.metadata.member_id)
    store = Snapshots(snap_disk, _report)
    try:
        opened = open_history(places.history, identity)
    except ForeignHistory as foreign:
        raise FatalError(str(foreign), Exit.BAD_DATA) from foreign
    if opened.aside is not None:
        log.error(
            "set a broken history aside; it is rebuilt",
            extra={"kept-as": str(opened.aside), "reason": opened.reason},
        )
    database = opened.database
    reached = database.progress().applied_index
    chosen = _usable(store, recovered, [m for m in recovered.snapshots if m.index <= reached])
    if chosen is None:
        database.close()
        chosen, database = _rebuild(places, identity, store, recovered)
    file, machine = chosen
    # Files of processes that died before the log knew of them would push those it knows out of the
    # number kept, until there is none left to start from.
    unmarked = store.discard_unmarked(recovered.snapshots)
    if unmarked:
        log.warning("removed snapshots that the log does not know", extra={"files": unmarked})
    history_applied = max(database.progress().applied_index, file.meta.index)
    log.info(
        "recovered",
        extra={
            "snapshot-index": file.meta.index,
            "last-index": recovered.last_index,
            "history-index": history_applied,
            "revision": machine.revision,
        },
    )
    boot = Boot(
        recovered.hard_state or HardState(_FIRST_TERM),
        file.meta,
        recovered.since(file.meta),
        machine,
        history_applied,
        database.progress().compact_revision,
    )
    return FoundState(recovered.metadata, boot, wal, store, snap_disk, database, is_new)


def _usable(
    store: Snapshots, recovered: Recovered, metas: Sequence[SnapshotMeta]
) -> tuple[SnapshotFile, Machine] | None:
    """The newest of these snapshots whose file is whole and which the log's entries follow."""
    file = store.load(metas)
    while file is not None:
        try:
            recovered.since(file.meta)
            return file, decode_image(store.chunks(file))
        except (ValueError, ImageError, SnapshotBroken) as error:
            log.error(
                "cannot start from a snapshot", extra={"file": file.name, "error": str(error)}
            )
        metas = [meta for meta in metas if meta.index < file.meta.index]
        file = store.load(metas)
    return None


def _rebuild(
    places: DataDir, identity: Identity, store: Snapshots, recovered: Recovered
) -> tuple[tuple[SnapshotFile, Machine], HistoryDatabase]:
    """A new history from the oldest snapshot the log still follows: its live keys, then the log."""
    for meta in recovered.snapshots:
        chosen = _usable(store, recovered, [meta])
        if chosen is not None:
            break
    else:
        raise FatalError(
            f"no snapshot that the log follows is whole. {_way_back(places, '--force')}",
            Exit.BAD_DATA,
        )
    file, machine = chosen
    path = places.history
    incoming = import_rows(
        path,
        identity,
        _pages(machine),
        applied_index=file.meta.index,
        applied_term=file.meta.term,
        revision=machine.revision,
        # What the live keys were before is not known here any more: as if compacted. Nor is what
        # the snapshot's own revision deleted, which a watcher from there on would have to be told.
        compact_revision=machine.revision + 1 if file.meta.index else machine.compact_revision,
    )
    incoming.install()
    if file.meta.index:
        log.error(
            "the history was rebuilt from a snapshot: older revisions are lost on this member",
            extra={"first-revision": machine.revision},
        )
    return chosen, HistoryDatabase(path, identity)


def _pages(machine: Machine) -> Iterator[list[Row]]:
    """A state's live keys as history rows, in the order of their revisions."""
    found = [parse(frame) for frame in machine.keyspace.frames.values()]
    found.sort(key=lambda record: (record.mod_revision, record.key))
    page: list[Row] = []
    sub = last = 0
    for record in found:
        sub = sub + 1 if record.mod_revision == last else 0
        last = record.mod_revision
        page.append(
            Row(last, sub, PUT, record.key, record.value, record.create_revision, record.version,
                record.lease, 0, 0, 0, "")
        )  # fmt: skip
        if len(page) >= SNAPSHOT_SEND_ROWS:
            yield page
            page = []
    yield page
