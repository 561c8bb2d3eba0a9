"""The leader: makes every log equal to its own, decides what is committed, confirms reads.

Thesis 3.5, 3.6, 6.4; membership 4, transfer 3.10, snapshots 5. What has state of its own lives
elsewhere (progress, reads, transfer, departure).

Long because a leader's duties meet in one place: each answer may move progress, commitment, a read
round and a transfer at once.

What to send follows from the state alone: handlers only change progress, and `flush`, called once
when the next Ready is made, sends each member what its progress calls for. Proposals taken in
between share one message, and no path can forget to send.

The leader counts itself like any voter: only with what is durable on its own disk (rule L6).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from kvorum.raft import membership
from kvorum.raft.departure import Departure
from kvorum.raft.messages import (
    AppendRequest,
    AppendResponse,
    ForwardProposal,
    Heartbeat,
    HeartbeatResponse,
    Message,
    ProposalRefused,
    ReadIndexRequest,
    ReadIndexResponse,
    SnapshotOffer,
    TimeoutNow,
    TransferRequest,
)
from kvorum.raft.progress import Progress, ProgressState
from kvorum.raft.quorum import has_quorum, quorum_value
from kvorum.raft.reads import ReadRequest, ReadRounds
from kvorum.raft.role import RoleState
from kvorum.raft.trace import TraceKind
from kvorum.raft.transfer import Transfer
from kvorum.raft.types import (
    NOBODY,
    ConfChange,
    ConfChangeOp,
    DropReason,
    Entry,
    EntryKind,
    InvariantViolation,
    ProposalDropped,
    ReadState,
    Role,
    SnapshotMeta,
)

if TYPE_CHECKING:
    from kvorum.raft.core import Raft


class Leader(RoleState):
    """State of one leadership. `elapsed` counts towards the next quorum check."""

    __slots__ = (
        "_dirty",
        "departure",
        "heartbeat_elapsed",
        "pending_conf_index",
        "progress",
        "reads",
        "transfer",
        "uncommitted_bytes",
    )

    role = Role.LEADER

    def __init__(self, raft: Raft) -> None:
        super().__init__(raft)
        last = raft.log.last_index
        window = raft.config.max_inflight_messages
        self.progress: dict[int, Progress] = {
            member: Progress(last + 1, window) for member in sorted(raft.members - {raft.id})
        }
        self.reads = ReadRounds()
        self.transfer: Transfer | None = None
        self.departure: Departure | None = None  # set once this leader is no longer a voter
        # Any entry of the log not yet applied may be a conf change (rule M1).
        self.pending_conf_index = last
        self.uncommitted_bytes = 0
        self.heartbeat_elapsed = 0
        self._dirty = True

    # ---- time --------------------------------------------------------------------------------

    def tick(self) -> None:
        raft = self.raft
        self.elapsed += 1
        self.heartbeat_elapsed += 1
        if self.transfer is not None and self.transfer.tick():
            self._abort_transfer("timeout")
        if self.elapsed >= raft.config.election_ticks:
            self.elapsed = 0
            if raft.config.check_quorum and not self._heard_from_quorum():
                raft.note(TraceKind.ELECTION, result="quorum-lost", of=self.role)
                raft.become_follower(raft.term, NOBODY)
                return
        if self.heartbeat_elapsed >= raft.config.heartbeat_ticks:
            self._broadcast_heartbeat()

    def _heard_from_quorum(self) -> bool:
        """Whether a quorum has spoken since the last check, which this one ends (rule E13)."""
        active = {self.raft.id}
        for member, progress in self.progress.items():
            if progress.recent_active:
                active.add(member)
                progress.recent_active = False
        return has_quorum(self.raft.conf, active)

    def _broadcast_heartbeat(self) -> None:
        """Commit is held back to what each member is known to have (rule L4)."""
        raft, departure = self.raft, self.departure
        self.heartbeat_elapsed = 0
        round_ = self.reads.round if departure is None else self.reads.next_round()
        for member, progress in self.progress.items():
            commit = min(progress.match, raft.log.settled)
            raft.out.at_once.append(Heartbeat(member, raft.id, raft.term, commit, round_))
            if departure is not None:
                departure.sent(member, commit, round_)

    # ---- proposals ---------------------------------------------------------------------------

    def append(self, kind: EntryKind, data: bytes) -> None:
        """Add an entry of this term, whatever its size (empty first entry and leave-joint: L14)."""
        raft = self.raft
        log = raft.log
        log.append(Entry(log.last_index + 1, raft.term, kind, data))
        self.uncommitted_bytes += len(data)
        self._dirty = True
        if raft.trace is not None:
            raft.note(TraceKind.APPEND, last=log.last_index, term=raft.term)

    def propose(self, kind: EntryKind, data: bytes) -> None:
        if self.transfer is not None:
            raise ProposalDropped(DropReason.TRANSFERRING)
        if self.departure is not None:
            raise ProposalDropped(DropReason.NOT_A_MEMBER)
        held = self.uncommitted_bytes
        if held and held + len(data) > self.raft.config.max_uncommitted_bytes:
            raise ProposalDropped(DropReason.UNCOMMITTED_SIZE, f"{held} bytes wait to be applied")
        if kind is EntryKind.CONF_CHANGE:
            self._check_conf_change(data)
            self.append(kind, data)
            self.pending_conf_index = self.raft.log.last_index
        else:
            self.append(kind, data)

    def _check_conf_change(self, data: bytes) -> None:
        """One change at a time, and none before this term has committed an entry (M1, M3)."""
        raft = self.raft
        if self.pending_conf_index > raft.log.applied:
            raise ProposalDropped(DropReason.CONF_CHANGE_PENDING)
        if not self._own_term_committed():
            raise ProposalDropped(DropReason.OWN_TERM_UNCOMMITTED)
        try:
            change = membership.decode(data)
            membership.next_conf(raft.conf, change)
        except ValueError as bad:
            raise ProposalDropped(DropReason.INVALID_CONF_CHANGE, str(bad)) from bad
        self._check_promotions(change)

    def _check_promotions(self, change: ConfChange) -> None:
        """A learner becomes a voter once it holds most of the log (rule M8)."""
        raft = self.raft
        for op, member in change.changes:
            if op is ConfChangeOp.ADD_VOTER and member in raft.conf.learners:
                match, needed = self.progress[member].match, raft.config.promote_percent
                if 100 * match < needed * raft.log.stable:
                    raise ProposalDropped(
                        DropReason.LEARNER_NOT_READY,
                        f"member {member} holds {match} of {raft.log.stable} entries",
                    )

    def on_forwarded_proposal(self, m: ForwardProposal) -> None:
        """Like an own proposal, but a refusal reaches nobody: the asker's time runs out (P1).

        Only of a membership change the asker is told, unless a copy of it was taken before this
        one.
        """
        raft = self.raft
        try:
            if m.sender not in self.progress:
                raise ProposalDropped(DropReason.NOT_A_MEMBER)
            self.propose(m.kind, m.data)
        except ProposalDropped as dropped:
            raft.note(TraceKind.DROP, message="ForwardProposal", because=dropped.reason)
            if (
                m.kind is EntryKind.CONF_CHANGE
                and m.sender in self.progress
                and m.term == raft.term
                and not self._has_taken(m.data)
            ):
                raft.out.at_once.append(
                    ProposalRefused(m.sender, raft.id, raft.term, dropped.reason, m.data)
                )

    def _has_taken(self, data: bytes) -> bool:
        """Whether this leadership has appended these bytes, as far as the log in memory goes.

        A copy that is later than that would have to be thousands of entries old.
        """
        log = self.raft.log
        for entry in reversed(log.slice(log.first_index, log.last_index + 1)):
            if entry.term != self.raft.term:
                return False
            if entry.kind is EntryKind.CONF_CHANGE and entry.data == data:
                return True
        return False

    def applied(self, old: int, new: int) -> None:
        raft = self.raft
        term = raft.term
        for entry in raft.log.slice(old + 1, new + 1):
            if entry[1] == term:
                self.uncommitted_bytes -= len(entry[3])
        conf = raft.conf
        if (
            conf.voters_outgoing
            and conf.auto_leave
            and new >= self.pending_conf_index
            and self._own_term_committed()
        ):
            self.append(EntryKind.CONF_CHANGE, membership.encode(membership.LEAVE_JOINT))
            self.pending_conf_index = raft.log.last_index

    def conf_changed(self) -> None:
        """Follow the new configuration; a leader that no longer votes prepares to leave (M5)."""
        raft = self.raft
        # A new member counts as heard from until the next check, or it could end this leadership
        # before it has had time to answer.
        window, next_index = raft.config.max_inflight_messages, raft.log.last_index + 1
        self.progress = {
            member: self.progress.get(member) or Progress(next_index, window, recent_active=True)
            for member in sorted(raft.members - {raft.id})
        }
        if self.transfer is not None and not raft.conf.is_voter(self.transfer.target):
            self._abort_transfer("target-removed")
        self._dirty = True
        self._advance_commit()
        self._answer_confirmed_reads()
        if not raft.conf.is_voter(raft.id):
            self.departure = Departure(raft.log.commit)
            self._broadcast_heartbeat()

    def _leave_if_known(self) -> None:
        """Once the remaining voters know that this leader is out, hand over to the best of them."""
        raft, departure = self.raft, self.departure
        if departure is None or not departure.is_over(raft.conf):
            return
        heir = max(raft.conf.voters, key=lambda voter: self.progress[voter].match)
        raft.out.at_once.append(TimeoutNow(heir, raft.id, raft.term))
        raft.note(TraceKind.TRANSFER, to=heir, because="removed")
        raft.become_follower(raft.term, NOBODY)

    # ---- commitment --------------------------------------------------------------------------

    def _match_of(self, member: int) -> int:
        raft = self.raft
        return raft.log.stable if member == raft.id else self.progress[member].match

    def _advance_commit(self) -> None:
        """Commit what a quorum holds, if the newest of it is of this term (3.6.2, rule L5)."""
        raft = self.raft
        log = raft.log
        index = quorum_value(raft.conf, self._match_of)
        if index > log.commit and log.term_at(index) == raft.term:
            raft.commit_to(index)
            self._dirty = True

    def _own_term_committed(self) -> bool:
        log = self.raft.log
        return log.term_at(log.commit) == self.raft.term

    def persisted(self) -> None:
        self._advance_commit()
        self._dirty = True  # what is settled may now be told

    # ---- replication -------------------------------------------------------------------------

    def has_work(self) -> bool:
        if self._dirty:
            log = self.raft.log
            last, commit = log.last_index, log.settled
            if self._round_is_due():
                return True
            for progress in self.progress.values():
                if progress.wants_append(last, commit):
                    return True
            self._dirty = False
        return False

    def flush(self) -> None:
        if not self._dirty:
            return
        self._dirty = False
        if self._round_is_due():
            self._begin_round()
        log = self.raft.log
        for member, progress in self.progress.items():
            while progress.wants_append(log.last_index, log.settled):
                self._send_append(member, progress)

    def _send_append(self, member: int, progress: Progress) -> None:
        raft = self.raft
        log = raft.log
        next_index = progress.next
        prev_term = log.term_at(next_index - 1)
        if prev_term is None or progress.needs_snapshot:
            self._offer_snapshot(member, progress)
            return
        entries = log.slice_bytes(next_index, log.last_index + 1, raft.config.max_message_bytes)
        raft.out.at_once.append(
            AppendRequest(
                member, raft.id, raft.term, next_index - 1, prev_term, entries, log.settled
            )
        )
        progress.sent(next_index - 1, len(entries), log.settled)

    def _offer_snapshot(self, member: int, progress: Progress) -> None:
        """The log cannot help this member: ask the driver to send it the applied state (S4, S6).

        A silent member never gets here: probing waits for its answer first.
        """
        raft = self.raft
        log = raft.log
        before = progress.state
        term = log.term_at(log.applied)
        if log.applied and term is not None:
            meta = SnapshotMeta(log.applied, term, raft.conf)
            raft.out.at_once.append(SnapshotOffer(member, raft.id, raft.term, meta))
            progress.become_snapshot(meta.index)
        else:
            progress.wait()
        self._note_progress(member, before)

    def on_append_answer(self, m: AppendResponse) -> None:
        raft = self.raft
        progress = self.progress.get(m.sender)
        if progress is None:
            return
        progress.recent_active = True
        before = progress.state
        log = raft.log
        if m.reject:
            if m.index == 0:
                changed = progress.cannot_start()
            else:
                retry_at, _ = log.newest_at_or_below(m.hint_index, m.hint_term)
                changed = progress.rejected(m.index, retry_at)
            if not changed:
                raft.note(TraceKind.DROP, message="AppendResponse", because="stale-rejection")
        elif 0 < m.index <= log.last_index:
            if progress.accepted(m.index, log.first_index) and m.index > log.commit:
                self._advance_commit()
            if self.transfer is not None:
                self._hand_over_if_due()
        self._dirty = True
        self._note_progress(m.sender, before)

    def on_heartbeat_answer(self, m: HeartbeatResponse) -> None:
        progress = self.progress.get(m.sender)
        if progress is None:
            return
        progress.heartbeat_answered(self.raft.log.last_index)
        self._dirty = True
        if self.reads.in_flight:
            self.reads.acknowledge(m.sender, m.round)
            self._answer_confirmed_reads()
        if self.transfer is not None:
            self._hand_over_if_due()
        if self.departure is not None:
            self.departure.answered(m.sender, m.round)
            self._leave_if_known()

    def report_unreachable(self, member: int) -> None:
        """A message to this member was lost on the way out."""
        if progress := self.progress.get(member):
            before = progress.state
            progress.unreachable()
            self._note_progress(member, before)

    def report_snapshot(self, member: int, ok: bool) -> None:
        """The snapshot offered to this member arrived, or did not (rule S4)."""
        if progress := self.progress.get(member):
            before = progress.state
            progress.snapshot_reported(ok)
            self._note_progress(member, before)

    def _note_progress(self, member: int, before: ProgressState) -> None:
        progress = self.progress.get(member)
        if progress is not None and progress.state is not before:
            self.raft.note(
                TraceKind.PROGRESS,
                of=member,
                was=before,
                now=progress.state,
                match=progress.match,
                next=progress.next,
            )

    # ---- reads -------------------------------------------------------------------------------

    def _take_read(self, request: ReadRequest) -> None:
        if len(self.reads) >= self.raft.config.max_pending_reads:
            raise ProposalDropped(DropReason.TOO_MANY_READS)
        self.reads.waiting.append(request)
        self._dirty = True

    def read_index(self, context: int) -> None:
        self._take_read(ReadRequest(self.raft.id, context))

    def on_read_request(self, m: ReadIndexRequest) -> None:
        try:
            self._take_read(ReadRequest(m.sender, m.context))
        except ProposalDropped as dropped:
            self.raft.note(TraceKind.DROP, message="ReadIndexRequest", because=dropped.reason)

    def _round_is_due(self) -> bool:
        """Reads wait, none are being confirmed, and the commit index can be trusted (R1, R9)."""
        reads = self.reads
        return bool(reads.waiting) and not reads.in_flight and self._own_term_committed()

    def _begin_round(self) -> None:
        raft, reads = self.raft, self.reads
        reads.begin(raft.log.commit)
        raft.note(
            TraceKind.READ, round=reads.round, index=reads.index, requests=len(reads.in_flight)
        )
        if reads.is_confirmed(raft.id, raft.conf):
            self._answer_confirmed_reads()
        else:
            self._broadcast_heartbeat()

    def _answer_confirmed_reads(self) -> None:
        raft, reads = self.raft, self.reads
        if not reads.is_confirmed(raft.id, raft.conf):
            return
        raft.note(TraceKind.READ, confirmed=reads.round, index=reads.index)
        for origin, context in reads.take_confirmed():
            if origin == raft.id:
                raft.out.read_states.append(ReadState(context, reads.index))
            else:
                raft.out.at_once.append(
                    ReadIndexResponse(origin, raft.id, raft.term, context, reads.index)
                )
        self._dirty = True

    def leave(self) -> list[int]:
        reads = (*self.reads.in_flight, *self.reads.waiting)
        return [read.context for read in reads if read.origin == self.raft.id]

    # ---- handing over ------------------------------------------------------------------------

    def transfer_leadership(self, target: int) -> None:
        raft = self.raft
        if target == raft.id or not raft.conf.is_voter(target):
            raise ProposalDropped(DropReason.NOT_A_VOTER, f"member {target}")
        if self.transfer is not None:
            if self.transfer.target == target:
                return
            self._abort_transfer("another-target")
        self.transfer = Transfer(target, raft.config.election_ticks)
        raft.note(TraceKind.TRANSFER, to=target)
        self._dirty = True
        self._hand_over_if_due()

    def on_transfer_request(self, m: TransferRequest) -> None:
        try:
            self.transfer_leadership(m.target)
        except ProposalDropped as dropped:
            self.raft.note(TraceKind.DROP, message="TransferRequest", because=dropped.reason)

    def _hand_over_if_due(self) -> None:
        raft, transfer = self.raft, self.transfer
        if transfer is not None and transfer.is_due(
            self.progress[transfer.target].match, raft.log.last_index
        ):
            transfer.told = True
            raft.out.at_once.append(TimeoutNow(transfer.target, raft.id, raft.term))

    def _abort_transfer(self, because: str) -> None:
        assert self.transfer is not None, "only what was begun is given up"
        self.raft.note(TraceKind.TRANSFER, aborted=self.transfer.target, because=because)
        self.transfer = None

    # ---- others' claims ----------------------------------------------------------------------

    def on_rival(self, m: Message) -> None:
        """Election safety (3.4) says this cannot be."""
        raise InvariantViolation(f"{m.sender} leads in term {m.term} too, as {self.raft.id} does")

    handlers: ClassVar[Mapping[type, Callable[[Any, Any], None]]] = {
        AppendResponse: on_append_answer,
        HeartbeatResponse: on_heartbeat_answer,
        ForwardProposal: on_forwarded_proposal,
        ReadIndexRequest: on_read_request,
        TransferRequest: on_transfer_request,
        AppendRequest: on_rival,
        Heartbeat: on_rival,
        SnapshotOffer: on_rival,
    }
