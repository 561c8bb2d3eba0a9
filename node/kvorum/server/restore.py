"""A data directory made from an etcd database: how a cluster begins with what another one held.

Every member is given the same file and its own name, as with etcd's own tool. What it gets: keys
with all kept revisions, leases, users and roles, alarms; what it does not get: members, cluster
version and raft's state, which belong to the cluster that was. The new cluster's ids come from the
flags, as at a first start.

The directory looks like that of a node which took a snapshot at index 1, so that a node starts from
it as from any other. Not index 0: a member that comes later has index 0 too, and a leader would
send it the entries from 1 on and never the state below them.

The state's digest is a hash of the whole state here: a member that was restored from another file
is found out as soon as members compare their digests.

Everything is built beside the directory's place and renamed in the end. What breaks off leaves
nothing; what is killed leaves a directory that ends in ``.restoring``, which the next try clears.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from kvorum.config import NodeConfig
from kvorum.errors import ConfigError
from kvorum.history.copying import sync_directory
from kvorum.history.rows import DELETE, PUT, Identity, Row
from kvorum.history.transfer import import_rows
from kvorum.limits import SNAPSHOT_PAGE_BYTES, SNAPSHOT_PAGE_ROWS
from kvorum.machine.apply import ImageError, MachineImage, decode_image, encode_image
from kvorum.raft.types import ConfState, HardState, SnapshotMeta
from kvorum.server.boot import FirstMembers
from kvorum.storage.bolt_page import BoltFault
from kvorum.storage.etcd_db import Change, EtcdDb
from kvorum.storage.filesystem import DataDirLock, DataDirLocked, RealDisk, make_directory
from kvorum.storage.interface import SnapshotBroken
from kvorum.storage.snapshot_file import Snapshots
from kvorum.storage.wal import Wal

log = logging.getLogger(__name__)

Told = Callable[[str, int, int], None]
"""Hears of progress: what is being done, how many changes are done, of how many."""

_INDEX: Final = 1
_TERM: Final = 1
_SUFFIX: Final = ".restoring"


class RevisionTooLarge(BoltFault):
    """A revision that a bump takes beyond what an int64 holds."""

    fault = "revision too large"


class ImpossibleState(BoltFault):
    """A state that is well written and that no store can be in."""

    fault = "impossible state"


class Restored(NamedTuple):
    """What was made. ``detached`` counts keys whose lease is not in the file."""

    cluster_id: int
    member_id: int
    revision: int
    compact_revision: int
    keys: int
    changes: int
    leases: int
    detached: int


def require_free(data_dir: Path) -> None:
    """ConfigError unless there is nothing at ``data_dir``, or an empty directory."""
    try:
        taken = any(data_dir.iterdir())
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigError(f"data-dir {str(data_dir)!r} cannot be read: {error.strerror}") from error
    if taken:
        raise ConfigError(f"data-dir {str(data_dir)!r} is not empty")


def restore(
    db: EtcdDb,
    config: NodeConfig,
    *,
    bump_revision: int = 0,
    mark_compacted: bool = False,
    told: Told = lambda what, done, total: None,
) -> Restored:
    """Make ``config.data_dir`` from a database. Blocks; leaves nothing behind when it raises.

    Args:
        db: a database found sound.
        config: name, initial cluster and token, as a first start has them.
        bump_revision: added to the revision, so that it is beyond all that clients have seen.
        mark_compacted: refuse reads and watches from before the new revision.
        told: hears of progress.

    Raises ConfigError for flags that contradict themselves and a directory that is not empty,
    BoltFault for a state that no node can have, OSError.
    """
    first = FirstMembers.of(config)
    target = config.data_dir
    require_free(target)
    staging = target.with_name(target.name + _SUFFIX)
    try:
        lock = DataDirLock(staging)
    except DataDirLocked as locked:
        raise ConfigError(f"another restore is under way: {locked}") from locked
    with lock:
        try:
            made = _Builder(db, first, staging, told).build(bump_revision, mark_compacted)
            sync_directory(staging)
            os.rename(staging, target)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
    sync_directory(target.parent)
    return made


class _Builder:
    """One directory in the making."""

    def __init__(self, db: EtcdDb, first: FirstMembers, directory: Path, told: Told) -> None:
        self._db = db
        self._first = first
        self._told = told
        self._leases = {lease.id for lease in db.state.leases}
        self._live: dict[bytes, bytes] = {}
        self._detached: dict[bytes, int] = {}  # Key -> revision of its newest record.
        member = directory / "member"
        if member.exists():
            shutil.rmtree(member)
        self._wal, self._snap = member / "wal", member / "snap"
        self._history = member / "history.duckdb"
        for each in (member, self._wal, self._snap):
            make_directory(each)

    def build(self, bump_revision: int, mark_compacted: bool) -> Restored:
        """Every file, the one that makes it a data directory last."""
        state = self._db.state
        revision = state.revision + bump_revision
        if revision >= 2**63 - 1:
            raise RevisionTooLarge(f"{state.revision} and {bump_revision} more")
        compacted = revision if mark_compacted else state.compact_revision
        self._read_live()
        image = self._image(revision, compacted)
        identity = Identity(*self._first.metadata)
        incoming = import_rows(
            self._history,
            identity,
            self._pages(),
            applied_index=_INDEX,
            applied_term=_TERM,
            revision=revision,
            compact_revision=compacted,
        )
        incoming.install()
        self._save(image)
        return Restored(
            identity.cluster_id,
            identity.member_id,
            revision,
            compacted,
            len(image.keys),
            self._db.changes_total,
            len(image.leases),
            len(self._detached),
        )

    def _counted(self, what: str) -> Iterator[Change]:
        total = self._db.changes_total
        for number, change in enumerate(self._db.changes()):
            if number % SNAPSHOT_PAGE_ROWS == 0:
                self._told(what, number, total)
            yield change
        self._told(what, total, total)

    def _read_live(self) -> None:
        """What lives at the newest revision; keys on a lease that is gone are taken off it."""
        live = self._live
        for change in self._counted("keys"):
            record = change.record
            self._detached.pop(record.key, None)
            if change.deleted:
                live.pop(record.key, None)
                continue
            if record.lease and record.lease not in self._leases:
                self._detached[record.key] = record.mod_revision
                record = record._replace(lease=0)
            live[record.key] = record.frame

    def _image(self, revision: int, compacted: int) -> MachineImage:
        state, first = self._db.state, self._first
        image = MachineImage(
            applied_index=_INDEX,
            applied_term=_TERM,
            revision=revision,
            compact_revision=compacted,
            digest=0,
            cluster_id=first.metadata.cluster_id,
            cluster_version="",
            members=first.members,
            removed=(),
            alarms=state.alarms,
            leases=tuple([(x.id, x.ttl_s, x.remaining_s) for x in state.leases]),
            keys=sorted(self._live),
            frames=self._live,
            auth=state.auth,
        )
        whole = hashlib.blake2b(digest_size=8)
        for chunk in encode_image(image):
            whole.update(chunk)
        return image._replace(digest=int.from_bytes(whole.digest(), "little"))

    def _pages(self) -> Iterator[list[Row]]:
        """The changes as rows of the history. Times and writers are not in the file."""
        before: dict[bytes, int] = {}
        page: list[Row] = []
        size = 0
        for change in self._counted("revisions"):
            row = self._row(change, before)
            page.append(row)
            size += len(row.key) + len(row.value)
            if len(page) >= SNAPSHOT_PAGE_ROWS or size >= SNAPSHOT_PAGE_BYTES:
                yield page
                page, size = [], 0
        yield page

    def _row(self, change: Change, before: dict[bytes, int]) -> Row:
        record, revision = change.record, change.revision
        if change.deleted:
            previous = before.pop(record.key, 0)
            return Row(revision, change.sub, DELETE, record.key, b"", 0, 0, 0, previous, 0, 0, "")
        previous = before.get(record.key, 0)
        before[record.key] = revision
        lease = 0 if self._detached.get(record.key) == revision else record.lease
        return Row(
            revision, change.sub, PUT, record.key, record.value, record.create_revision,
            record.version, lease, previous, 0, 0, "",
        )  # fmt: skip

    def _save(self, image: MachineImage) -> None:
        """The state, read back as a node will, and the log that refers to it."""
        voters = tuple([member.id for member in image.members])
        meta = SnapshotMeta(_INDEX, _TERM, ConfState(voters))
        self._told("state", 0, 1)
        store = Snapshots(RealDisk(self._snap), _report)
        file = store.save(meta, image.revision, encode_image(image))
        try:
            decode_image(store.chunks(file))
        except ImageError as error:
            raise ImpossibleState(str(error)) from error
        wal = Wal.create(RealDisk(self._wal), self._first.metadata, salt=secrets.randbits(32))
        wal.append(HardState(_TERM, commit=_INDEX), (), meta)
        wal.sync()
        wal.close()
        self._told("state", 1, 1)


def _report(broken: SnapshotBroken) -> None:
    log.error("set a broken snapshot aside", extra={"error": str(broken)})
