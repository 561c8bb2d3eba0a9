"""The follower: takes the leader's entries, waits, and campaigns when it hears nothing (3.4, 3.5).

Learners and removed members are followers that never campaign.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from kvorum.raft.messages import (
    AppendRequest,
    AppendResponse,
    ForwardProposal,
    Heartbeat,
    HeartbeatResponse,
    ReadIndexRequest,
    ReadIndexResponse,
    SnapshotOffer,
    TimeoutNow,
    TransferRequest,
)
from kvorum.raft.reads import ForwardedReads
from kvorum.raft.role import RoleState
from kvorum.raft.trace import TraceKind
from kvorum.raft.types import (
    NOBODY,
    DropReason,
    EntryKind,
    InvariantViolation,
    ProposalDropped,
    ReadState,
    Role,
)

if TYPE_CHECKING:
    from kvorum.raft.core import Raft


class Follower(RoleState):
    """State of a follower: its election timer and the reads it has asked its leader about."""

    __slots__ = ("reads", "timeout")

    role = Role.FOLLOWER

    def __init__(self, raft: Raft, elapsed: int = 0) -> None:
        """`elapsed` carries a running timer over into a new term."""
        super().__init__(raft)
        self.elapsed = elapsed
        self.timeout = raft.draw_timeout()
        self.reads = ForwardedReads(raft.config.election_ticks)

    def tick(self) -> None:
        self.raft.out.reads_dropped += self.reads.tick()
        self.elapsed += 1
        # A campaign held back leaves the timer as it is: another try at the next tick, and no
        # further lease for a leader that is silent.
        if self.elapsed >= self.timeout:
            self.raft.start_campaign()

    def leave(self) -> list[int]:
        return self.reads.take_all()

    # ---- from the driver ---------------------------------------------------------------------

    def _leader(self) -> int:
        raft = self.raft
        if raft.conf.voters and raft.id not in raft.members:
            raise ProposalDropped(DropReason.NOT_A_MEMBER)
        if raft.leader == NOBODY:
            raise ProposalDropped(DropReason.NO_LEADER)
        return raft.leader

    def propose(self, kind: EntryKind, data: bytes) -> None:
        raft, leader = self.raft, self._leader()
        raft.out.at_once.append(ForwardProposal(leader, raft.id, raft.term, kind, data))

    def read_index(self, context: int) -> None:
        raft, leader = self.raft, self._leader()
        if len(self.reads) >= raft.config.max_pending_reads:
            raise ProposalDropped(DropReason.TOO_MANY_READS)
        self.reads.add(context)
        raft.out.at_once.append(ReadIndexRequest(leader, raft.id, raft.term, context))

    def transfer_leadership(self, target: int) -> None:
        raft, leader = self.raft, self._leader()
        raft.out.at_once.append(TransferRequest(leader, raft.id, raft.term, target))

    # ---- from the leader ---------------------------------------------------------------------

    def _heard_from(self, leader: int) -> None:
        self.elapsed = 0
        known = self.raft.leader
        if known != leader:
            if known != NOBODY:
                raise InvariantViolation(f"{known} and {leader} both lead in term {self.raft.term}")
            self.raft.set_leader(leader)

    def on_append(self, m: AppendRequest) -> None:
        """Check the place, take what is new, learn what is committed (3.5; rules L1 to L3, L8)."""
        self._heard_from(m.sender)
        raft, log = self.raft, self.raft.log
        entries = m.entries
        if entries and not (
            entries[0].index == m.prev_index + 1
            and entries[-1].index == m.prev_index + len(entries)
        ):
            raise ValueError(f"the entries do not follow index {m.prev_index}")
        if not raft.conf.voters:
            # A joiner knows no configuration to count its entries from: only a snapshot helps.
            self._answer_rejection(m.sender, 0, (0, 0))
        elif m.prev_index < log.commit:
            raft.acknowledge(m.sender, log.commit)
        elif log.term_at(m.prev_index) != m.prev_term:
            hint = log.newest_at_or_below(m.prev_index, m.prev_term)
            self._answer_rejection(m.sender, m.prev_index, hint)
        elif raft.held_back and m.prev_index + len(entries) > log.last_index:
            raft.note(TraceKind.DROP, message="AppendRequest", because="held-back")
        else:
            last = m.prev_index + len(entries)
            raft.merge(m.prev_index, entries)
            raft.commit_to(min(m.commit, last))
            raft.acknowledge(m.sender, last)

    def _answer_rejection(self, leader: int, prev_index: int, hint: tuple[int, int]) -> None:
        raft = self.raft
        raft.send_once_term_durable(
            AppendResponse(leader, raft.id, raft.term, prev_index, True, *hint)
        )

    def on_heartbeat(self, m: Heartbeat) -> None:
        self._heard_from(m.sender)
        raft = self.raft
        raft.commit_to(m.commit)
        answer = HeartbeatResponse(m.sender, raft.id, raft.term, m.round)
        if raft.log.settled < raft.log.commit:
            # A leader that was removed leaves once it knows by this that the others know.
            raft.out.after_persist.append(answer)
        else:
            raft.send_once_term_durable(answer)

    def on_snapshot(self, m: SnapshotOffer) -> None:
        """Take the snapshot if it brings something new (rules S1 to S3)."""
        self._heard_from(m.sender)
        raft, log, meta = self.raft, self.raft.log, m.meta
        if meta.index <= log.commit:
            raft.note(TraceKind.SNAPSHOT, ignored=meta.index, because="old")
        elif log.term_at(meta.index) == meta.term:
            raft.note(TraceKind.SNAPSHOT, ignored=meta.index, because="log-has-it")
            raft.commit_to(meta.index)
        elif raft.id not in meta.conf.members():
            raft.note(TraceKind.SNAPSHOT, refused=meta.index, because="not-a-member")
        else:
            raft.restore(meta)
        raft.acknowledge(m.sender, log.commit)

    def on_timeout_now(self, m: TimeoutNow) -> None:
        self.raft.start_campaign(transfer=True)

    def on_read_answer(self, m: ReadIndexResponse) -> None:
        """A read point, if this read still waits for one; answers to others mean nothing."""
        if self.reads.answered(m.context):
            self.raft.out.read_states.append(ReadState(m.context, m.index))

    handlers: ClassVar[Mapping[type, Callable[[Any, Any], None]]] = {
        AppendRequest: on_append,
        Heartbeat: on_heartbeat,
        SnapshotOffer: on_snapshot,
        TimeoutNow: on_timeout_now,
        ReadIndexResponse: on_read_answer,
    }
