"""A running node's state as etcd's own database: what clients get who ask for a snapshot.

The file is the cut at one applied index. Everything but the keys is taken from the machine in one
turn of the loop; the keys, with all kept revisions, come from the history, which is asked to commit
what was applied up to that turn. Both passes over the changes (``bolt_write`` says why there are
two) see one transaction of DuckDB's, on a thread of its own; what is written meanwhile is not in it
and does not wait for it. Only a compaction could take away what the cut still has; when one was
carried out between the cut and the transaction, a new cut is made.

Memory is bounded: a page of rows, a page of the file for each level of its tree, and the blobs that
wait for the client. A client that takes no more loses its snapshot after a while.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import Future
from contextlib import aclosing
from typing import TYPE_CHECKING, NamedTuple

import duckdb

from kvorum.history.database import HistoryError
from kvorum.history.pages import has_forgotten, walk
from kvorum.history.reader import HistoryInterrupted
from kvorum.history.rows import DELETE, Row
from kvorum.history.selects import snapshot
from kvorum.limits import (
    SNAPSHOT_BATCH_BLOBS,
    SNAPSHOT_CUTS_MAX,
    SNAPSHOT_PAGE_BYTES,
    SNAPSHOT_PAGE_ROWS,
    SNAPSHOT_STALL_S,
)
from kvorum.machine.apply import Machine
from kvorum.machine.record import Record
from kvorum.server.handover import Handover
from kvorum.storage.etcd_db import Change, EtcdState, LeaseRecord, plan_etcd_db, write_etcd_db
from kvorum.storage.etcd_state import NEVER_COMPACTED

if TYPE_CHECKING:
    from kvorum.server.runtime import Node


class Piece(NamedTuple):
    """A part of the file; ``remaining_bytes`` come after it, the closing checksum not counted."""

    remaining_bytes: int
    blob: bytes


class SnapshotOvertaken(HistoryError):
    """Compactions came faster than snapshots could begin."""


def state_of(machine: Machine, history_floor: int = 0) -> EtcdState:
    """Everything but the keys, as of now.

    ``history_floor``: below it this member's history is not whole (it was lost once), so that the
    file must not promise older revisions: they are as good as compacted.
    """
    oldest = machine.compact_revision
    if history_floor > max(oldest, 1):
        oldest = history_floor
    return EtcdState(
        revision=machine.revision,
        compact_revision=oldest,
        # What is not swept yet is left out while the changes are read.
        swept_revision=oldest,
        applied_index=machine.applied_index,
        applied_term=machine.applied_term,
        cluster_version=machine.cluster_version,
        members=machine.members.all(),
        removed=machine.members.removed_ids(),
        alarms=machine.alarms.all(),
        leases=tuple([LeaseRecord(x.id, x.ttl_s, x.remaining_s) for x in machine.leases]),
        auth=machine.auth.accounts.state(),
    )


def change_of(row: Row) -> Change:
    """A row of the history as etcd keeps it."""
    if row.type == DELETE:
        record = Record(row.key, mod_revision=row.revision)
        return Change(row.revision, row.sub, True, record)
    record = Record(row.key, row.value, row.create_revision, row.revision, row.version, row.lease)
    return Change(row.revision, row.sub, False, record)


class HistorySource:
    """A cut of a node as ``etcd_db`` takes it: a state, and the history's rows up to its revision.

    The caller keeps a transaction open on ``connection``. ``changes`` raises
    :class:`HistoryInterrupted` soon after ``stopping`` is set.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        state: EtcdState,
        stopping: threading.Event,
    ) -> None:
        self.state = state
        self._connection = connection
        self._stopping = stopping
        compacted = state.compact_revision
        # Filtering costs a look at every older row for every page, and there is seldom a need.
        unswept = compacted != NEVER_COMPACTED and has_forgotten(connection, compacted)
        self._forgotten = compacted if unswept else NEVER_COMPACTED

    def changes(self) -> Iterator[Change]:
        """The kept changes by (revision, sub)."""
        found = walk(
            self._connection,
            self.state.revision,
            SNAPSHOT_PAGE_ROWS,
            SNAPSHOT_PAGE_BYTES,
            self._forgotten,
        )
        for rows in found:
            if self._stopping.is_set():
                raise HistoryInterrupted("the snapshot was stopped")
            yield from map(change_of, rows)


async def etcd_snapshot(
    node: Node, stall_s: float = SNAPSHOT_STALL_S
) -> AsyncGenerator[Piece, None]:
    """The file in blobs of at most 32 KiB, and then its SHA-256 with nothing remaining.

    Close the generator to stop. A client that takes no batch for ``stall_s`` loses its snapshot.
    Raises HistoryError, BoltWriteError and duckdb.Error.
    """
    for _ in range(SNAPSHOT_CUTS_MAX):
        handover: Handover[Piece] = Handover(node.call_threadsafe, stall_s)
        # One turn of the loop: what the state says is what the history is asked to commit first.
        done = _begin(node, state_of(node.machine, node.replica.history_floor), handover)
        done.add_done_callback(handover.end)
        try:
            async with aclosing(handover.pieces()) as pieces:
                async for piece in pieces:
                    yield piece
        finally:
            handover.stopping.set()
        if done.result():
            return
    raise SnapshotOvertaken("compactions came faster than the snapshot could begin")


def _begin(node: Node, state: EtcdState, handover: Handover[Piece]) -> Future[bool]:
    return node.history.export(
        lambda connection: _produce(connection, state, handover), handover.stopping
    )


def _produce(
    connection: duckdb.DuckDBPyConnection, state: EtcdState, handover: Handover[Piece]
) -> bool:
    """Make the file, on the history's thread; False when a compaction overtook the cut."""
    with snapshot(connection) as progress:
        if progress.compact_revision > state.compact_revision:
            return False
        if progress.revision < state.revision:
            found = f"{progress.revision} instead of {state.revision}"
            raise HistoryError(f"the history ends at revision {found}")
        source = HistorySource(connection, state, handover.stopping)
        plan = plan_etcd_db(source)
        remaining_bytes = plan.size_bytes
        batch: list[Piece] = []
        for blob in write_etcd_db(source, plan):
            # The checksum comes last and does not count.
            remaining_bytes = max(0, remaining_bytes - len(blob))
            batch.append(Piece(remaining_bytes, blob))
            if len(batch) >= SNAPSHOT_BATCH_BLOBS:
                handover.put(batch)
                batch = []
        handover.put(batch)
    return True
