"""The values raft speaks in: entries, states, configurations, and the two ways it says no.

Everything here is immutable and compares by value, so that a driver may keep, send or print it
without asking whether raft will change it later. Zero stands for "nobody" where a member id is
expected and for "before the first entry" where an index or a term is; real ids, indexes and terms
start at one.
"""

from __future__ import annotations

from enum import Enum, IntEnum, StrEnum
from typing import NamedTuple

NOBODY = 0
"""The id that no member has: no leader known, no vote given."""

ENTRY_OVERHEAD_BYTES = 32
"""What an entry costs beside its payload when bytes are counted (index, term, kind, framing)."""


class EntryKind(IntEnum):
    """What the payload of an entry is: the application's bytes, or a change of the members."""

    NORMAL = 0
    CONF_CHANGE = 1


class Entry(NamedTuple):
    """One slot of the replicated log. An empty NORMAL payload is a new leader's first entry."""

    index: int  # type: ignore[assignment]  # hides tuple.index, unused
    term: int
    kind: EntryKind
    data: bytes


class HardState(NamedTuple):
    """What must survive a crash besides the log itself (thesis 3.8).

    `commit` may lag behind on disk without harm; `term` and `vote` may not.
    """

    term: int = 0
    vote: int = NOBODY
    commit: int = 0


class ConfState(NamedTuple):
    """Who belongs to the cluster at some index; every tuple is sorted (thesis 4.1, 4.3).

    `voters_outgoing` is not empty exactly while two configurations are in force at once (joint
    consensus); `learners_next` holds voters of the old half that become learners when it ends.
    """

    voters: tuple[int, ...] = ()
    learners: tuple[int, ...] = ()
    voters_outgoing: tuple[int, ...] = ()
    learners_next: tuple[int, ...] = ()
    auto_leave: bool = False

    def is_voter(self, member: int) -> bool:
        """Whether this member counts in a quorum, of the new half or of the outgoing one."""
        return member in self.voters or member in self.voters_outgoing

    def members(self) -> tuple[int, ...]:
        """Every member that receives the log, sorted."""
        return tuple(sorted({*self.voters, *self.voters_outgoing, *self.learners}))


class SnapshotMeta(NamedTuple):
    """What raft knows of a snapshot: the last entry it covers and the members as of that entry."""

    index: int  # type: ignore[assignment]  # hides tuple.index, unused
    term: int
    conf: ConfState


class Role(Enum):
    """The role a member plays in its current term (thesis 3.3; pre-candidate: 9.6)."""

    FOLLOWER = "follower"
    PRE_CANDIDATE = "pre-candidate"
    CANDIDATE = "candidate"
    LEADER = "leader"


class SoftState(NamedTuple):
    """Volatile facts for observers: who leads as far as this member knows, and its own role."""

    leader: int
    role: Role


class ConfChangeOp(IntEnum):
    """One step of a membership change. Adding a learner as voter promotes it; adding a voter as
    learner demotes it."""

    ADD_VOTER = 0
    ADD_LEARNER = 1
    REMOVE = 2


class ConfChange(NamedTuple):
    """A membership change as proposed; `context` is the driver's and opaque here.

    No changes at all means: leave the joint configuration.
    """

    changes: tuple[tuple[ConfChangeOp, int], ...]
    context: bytes = b""


class ReadState(NamedTuple):
    """A granted read: serve the request named `context` once applied >= `index`."""

    context: int
    index: int  # type: ignore[assignment]  # hides tuple.index, unused


class DropReason(StrEnum):
    """Why a proposal, read or transfer was refused on the spot: it has had no effect anywhere."""

    NO_LEADER = "no_leader"
    TRANSFERRING = "transferring"
    NOT_A_MEMBER = "not_a_member"
    NOT_A_VOTER = "not_a_voter"
    UNCOMMITTED_SIZE = "uncommitted_size"
    CONF_CHANGE_PENDING = "conf_change_pending"
    OWN_TERM_UNCOMMITTED = "own_term_uncommitted"
    INVALID_CONF_CHANGE = "invalid_conf_change"
    TOO_MANY_READS = "too_many_reads"
    LEARNER_NOT_READY = "learner_not_ready"


class ProposalDropped(Exception):
    """Refused here and now, for `reason`: the one definite "this did not happen" (rule P2)."""

    def __init__(self, reason: DropReason, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason


class InvariantViolation(Exception):
    """Something happened that raft proves impossible: a disk lost what it had promised, or a peer
    lies. The only right answer is to stop the process before it spreads."""
