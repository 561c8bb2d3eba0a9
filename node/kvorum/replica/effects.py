"""Everything a replica asks the world to do, as values.

The performer keeps three rules. ``Persist`` effects go to the log in order; when one is durable,
``Persisted(ticket)`` comes
back. ``Send`` may be lost, doubled or late, never corrupted. ``Fatal`` ends the process.
"""

from __future__ import annotations

from typing import NamedTuple

from kvorum.machine.auth import TokenGiven, TokensEnded
from kvorum.machine.commands import Range
from kvorum.machine.events import Event
from kvorum.machine.image import MachineImage
from kvorum.raft.messages import Message
from kvorum.raft.types import Entry, HardState, Role, SnapshotMeta
from kvorum.replica.requests import Outcome


class Persist(NamedTuple):
    """Append to the log: hard state first if given, then entries (they may overwrite a suffix).

    ``sync`` False: only the commit index moved and no fsync is needed. ``Persisted(ticket)`` is due
    either way.
    """

    ticket: int
    hard_state: HardState | None
    entries: tuple[Entry, ...]
    sync: bool


class Send(NamedTuple):
    """Raft messages for one peer, in order."""

    to: int
    messages: tuple[Message, ...]


class SendSnapshot(NamedTuple):
    """Stream the newest snapshot (image, then history rows up to its revision) to a peer; report
    ``SnapshotSent``.

    The image is an atomic cut of the state at ``meta.index``.
    """

    to: int
    term: int
    meta: SnapshotMeta
    image: MachineImage
    revision: int
    history_floor: int


class InstallSnapshot(NamedTuple):
    """Raft took the staged snapshot: history first, then the snapshot file, then the log starts
    anew after it.

    ``Persist`` effects that follow must reach the disk after it. ``SnapshotInstalled(token)`` when
    done.
    """

    token: int
    meta: SnapshotMeta
    hard_state: HardState


class DiscardSnapshot(NamedTuple):
    """Raft did not want the staged snapshot of ``token``: its files may go."""

    token: int


class SaveSnapshot(NamedTuple):
    """Write a snapshot file: first let the history reach ``meta.index`` and checkpoint, then the
    file.

    ``SnapshotSaved(meta.index)`` when both are durable.
    """

    meta: SnapshotMeta
    image: MachineImage
    revision: int


class CutLog(NamedTuple):
    """Entries up to ``through_index`` are no longer needed in the log on disk."""

    through_index: int


class Reply(NamedTuple):
    """A request is over."""

    request_id: int
    outcome: Outcome


class SendLeaseAsk(NamedTuple):
    """Ask the leader about leases (``PeerLeaseAsk`` there)."""

    to: int
    request_id: int
    lease_ids: tuple[int, ...]
    renew: bool


class SendLeaseAnswer(NamedTuple):
    """Answer a follower's question (``PeerLeaseAnswer`` there)."""

    to: int
    request_id: int
    clocks: tuple[tuple[int, int, int], ...]
    not_leader: bool


class SendDigest(NamedTuple):
    """Tell every peer this node's digest (``PeerDigest`` there)."""

    applied_index: int
    digest: int


class HistoryRow(NamedTuple):
    """An event with what only the history keeps: who proposed it and when, by the proposer's
    clock."""

    event: Event
    at_ms: int
    member: int
    user: str


class AppendHistory(NamedTuple):
    """Rows and the applied index they reach belong in one transaction of the history."""

    rows: tuple[HistoryRow, ...]
    applied_index: int
    applied_term: int
    revision: int


class CompactHistory(NamedTuple):
    """Remove what a compaction at ``revision`` no longer keeps; ``HistoryCompacted(token)`` when it
    is gone."""

    revision: int
    token: int


class ReadHistoryRange(NamedTuple):
    """Read keys at an old revision (``query.revision`` is set); answer with ``HistoryRecords``."""

    token: int
    query: Range


class ReadHistoryEvents(NamedTuple):
    """Read events for a watcher that is behind; answer with ``HistoryEvents``."""

    token: int
    key: bytes
    range_end: bytes
    from_revision: int
    to_revision: int
    max_revisions: int
    prev_kv: bool


class Created(NamedTuple):
    """A watcher exists (or was refused: ``watch_id`` -1 with a reason)."""

    watch_id: int
    revision: int
    refused: str = ""


class Canceled(NamedTuple):
    """A watcher is gone. ``compact_revision`` != 0: compaction overtook it (header revision 0
    then)."""

    watch_id: int
    revision: int
    compact_revision: int = 0


class Events(NamedTuple):
    """Events of whole revisions for one watcher."""

    watch_id: int
    revision: int
    events: tuple[Event, ...]
    prev_kv: bool
    fragment: bool


class Progress(NamedTuple):
    """Every event up to ``revision`` has been delivered. ``watch_id`` -1: the whole stream."""

    watch_id: int
    revision: int


Delivery = Created | Canceled | Events | Progress


class Deliver(NamedTuple):
    """Messages for one watch stream, in order; report ``WatchTaken`` with the bytes once they left
    the queue."""

    stream: int
    items: tuple[Delivery, ...]
    size_bytes: int
    term: int


class RoleChanged(NamedTuple):
    """This node sees another leader, role or term."""

    leader: int
    role: Role
    term: int


class TokensChanged(NamedTuple):
    """A token was given, or tokens ended, on all members alike; replayed entries say nothing of
    it."""

    change: TokenGiven | TokensEnded


class MembersChanged(NamedTuple):
    """The member table changed: peers must be connected or let go."""


class Removed(NamedTuple):
    """This node is no longer a member: it stops by itself."""


class Fatal(NamedTuple):
    """State that must not be lived on with (diverged digests, a log behind its own commit): the
    process ends."""

    reason: str


Effect = (
    Persist
    | Send
    | SendSnapshot
    | InstallSnapshot
    | DiscardSnapshot
    | SaveSnapshot
    | CutLog
    | Reply
    | SendLeaseAsk
    | SendLeaseAnswer
    | SendDigest
    | AppendHistory
    | CompactHistory
    | ReadHistoryRange
    | ReadHistoryEvents
    | Deliver
    | RoleChanged
    | TokensChanged
    | MembersChanged
    | Removed
    | Fatal
)
