"""Everything that can happen to a replica."""

from __future__ import annotations

from typing import NamedTuple

from kvorum.machine.apply import Machine
from kvorum.machine.commands import Command
from kvorum.machine.events import Event
from kvorum.machine.record import Record
from kvorum.raft.messages import Message
from kvorum.raft.types import SnapshotMeta
from kvorum.replica.requests import ReadQuery, WatchSpec


class Tick(NamedTuple):
    """One heartbeat interval passed. A late caller sends as many as went by."""


class Received(NamedTuple):
    """Raft messages from a peer, in the order of its stream."""

    sender: int
    messages: tuple[Message, ...]


class Unreachable(NamedTuple):
    """The transport to a peer broke or its queue overflowed."""

    peer: int


class Propose(NamedTuple):
    """A command to agree on. Answered by ``Reply`` when applied here, refused, or after
    ``timeout_ticks``."""

    request_id: int
    command: Command
    at_ms: int
    user: str = ""
    auth_revision: int = 0
    timeout_ticks: int = 70


class Read(NamedTuple):
    """A range or a read-only transaction, answered from the state."""

    request_id: int
    query: ReadQuery
    linearizable: bool = True
    timeout_ticks: int = 70


class Barrier(NamedTuple):
    """Answered (with an empty value) once this node has applied all that was committed when it was
    asked."""

    request_id: int
    timeout_ticks: int = 70


class HashAt(NamedTuple):
    """HashKV at a revision, 0 for the newest. Answered with ``machine.digest.HashResult``."""

    request_id: int
    revision: int


class LeaseAsk(NamedTuple):
    """Renew leases or ask for their clocks; answered with a tuple of ``LeaseClock`` in the order
    asked."""

    request_id: int
    lease_ids: tuple[int, ...]
    renew: bool
    keys: bool = False
    timeout_ticks: int = 70


class PeerLeaseAsk(NamedTuple):
    """A follower forwards its callers' lease questions to the leader."""

    sender: int
    request_id: int
    lease_ids: tuple[int, ...]
    renew: bool


class PeerLeaseAnswer(NamedTuple):
    """The leader's answer to a forwarded question: (id, remaining_ms, granted_ms) each."""

    request_id: int
    clocks: tuple[tuple[int, int, int], ...]
    not_leader: bool


class PeerDigest(NamedTuple):
    """A peer's state digest at an applied index."""

    sender: int
    applied_index: int
    digest: int


class TransferLeader(NamedTuple):
    """Hand the leadership to a member; answered when it leads."""

    request_id: int
    target: int
    timeout_ticks: int = 70


class ChangeMembers(NamedTuple):
    """A change of the member table that is also a change of raft's configuration.

    ``change`` is one of ``machine.commands``' MemberAdd, MemberRemove, MemberPromote, MemberUpdate.
    """

    request_id: int
    change: Command
    at_ms: int
    timeout_ticks: int = 0  # 0: no deadline, as etcd's membership calls have none.
    user: str = ""


class Cancel(NamedTuple):
    """Nobody waits for this request any more."""

    request_id: int


class Persisted(NamedTuple):
    """All ``Persist`` effects up to this ticket are on disk."""

    ticket: int


class SnapshotSaved(NamedTuple):
    """The snapshot file at ``saved_index`` is complete and checked; the history reaches at least as
    far, checkpointed."""

    saved_index: int


class SnapshotReceived(NamedTuple):
    """A leader's snapshot has arrived whole and its hash is right. ``token`` names the staged
    files."""

    sender: int
    term: int
    meta: SnapshotMeta
    machine: Machine
    token: int
    history_floor: int = 0


class SnapshotInstalled(NamedTuple):
    """The staged files of ``token`` took the place of the node's own."""

    token: int


class SnapshotSent(NamedTuple):
    """A snapshot's body reached the peer, or did not."""

    peer: int
    ok: bool


class HistoryAdvanced(NamedTuple):
    """Rows up to ``revision`` and entries up to ``applied_index`` are committed in the history."""

    applied_index: int
    revision: int


class HistoryRecords(NamedTuple):
    """Answer to ``ReadHistoryRange``: the records in key order at that revision, or why not."""

    token: int
    records: tuple[Record, ...]
    total: int
    failure: str = ""


class HistoryEvents(NamedTuple):
    """Answer to ``ReadHistoryEvents``: whole revisions, oldest first; ``through`` is the last
    revision looked at."""

    token: int
    events: tuple[Event, ...]
    through: int
    failure: str = ""


class HistoryCompacted(NamedTuple):
    """The history no longer holds what ``CompactHistory(token)`` named."""

    token: int


class WatchCreate(NamedTuple):
    """Open a watcher on a stream (streams are numbered by the caller)."""

    stream: int
    spec: WatchSpec


class WatchCancel(NamedTuple):
    """Close one watcher; unknown ids are ignored, as etcd does."""

    stream: int
    watch_id: int


class WatchProgress(NamedTuple):
    """The client asks how far the stream is."""

    stream: int


class WatchProgressDue(NamedTuple):
    """The stream's progress interval passed: watchers that asked for it and saw nothing get a
    mark."""

    stream: int


class WatchTaken(NamedTuple):
    """The stream's writer handed this many delivered bytes to the connection."""

    stream: int
    taken_bytes: int


class WatchClose(NamedTuple):
    """The stream is gone with all its watchers."""

    stream: int


Input = (
    Tick
    | Received
    | Unreachable
    | Propose
    | Read
    | Barrier
    | HashAt
    | LeaseAsk
    | PeerLeaseAsk
    | PeerLeaseAnswer
    | PeerDigest
    | TransferLeader
    | ChangeMembers
    | Cancel
    | Persisted
    | SnapshotSaved
    | SnapshotReceived
    | SnapshotInstalled
    | SnapshotSent
    | HistoryAdvanced
    | HistoryRecords
    | HistoryEvents
    | HistoryCompacted
    | WatchCreate
    | WatchCancel
    | WatchProgress
    | WatchProgressDue
    | WatchTaken
    | WatchClose
)
