"""One member of a raft group: what all roles share, and the doors through which everything enters.

Time, messages and wishes come in through methods; whatever follows from them is collected and goes
out through `ready`. Nothing here waits, reads a clock or draws a number of its own: the same calls
on the same state give the same bundles. What depends on the role is in `follower`, `candidate` and
`leader`; this module holds the rules that come before any role: which terms are listened to, who
gets a vote, when a member may campaign (thesis 3.3, 3.4, 4.2.3, 9.6).

Long because every door stands in one class, and each rule before the roles reads term, vote, leader
and log together; cut apart, the pieces would hand all of that to one another.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence

from kvorum.raft import membership
from kvorum.raft.candidate import Candidate
from kvorum.raft.config import Config
from kvorum.raft.follower import Follower
from kvorum.raft.leader import Leader
from kvorum.raft.log import Log
from kvorum.raft.messages import (
    MESSAGE_TYPES,
    AppendRequest,
    AppendResponse,
    ForwardProposal,
    Heartbeat,
    Message,
    ProposalRefused,
    SnapshotOffer,
    VoteRequest,
    VoteResponse,
)
from kvorum.raft.ready import Outbox, Ready
from kvorum.raft.role import RoleState
from kvorum.raft.status import Status
from kvorum.raft.trace import Trace, TraceEvent, TraceKind
from kvorum.raft.types import (
    NOBODY,
    ConfChange,
    ConfState,
    Entry,
    EntryKind,
    HardState,
    InvariantViolation,
    Role,
    SnapshotMeta,
    SoftState,
)

__all__ = ["Config", "Raft", "Ready"]

_FROM_LEADER = frozenset({AppendRequest, Heartbeat, SnapshotOffer})
_KNOWN = frozenset(MESSAGE_TYPES)


class Raft:
    """A raft member. Not thread-safe; one driver owns it and follows `ready`'s list of duties."""

    def __init__(
        self,
        config: Config,
        *,
        hard_state: HardState,
        snapshot: SnapshotMeta,
        entries: Sequence[Entry],
        applied: int,
        rng: random.Random,
        conf: ConfState | None = None,
        trace: Trace | None = None,
    ) -> None:
        """Start from what the disk holds, always as a follower.

        `snapshot` is where the log begins: at index 0 with the first voters for a new cluster, with
        an empty configuration for a member that joins (it waits for a snapshot from the leader).
        `entries` follow it. `conf` is the configuration as of `applied`; without it, the
        snapshot's. Raises ValueError when these contradict one another, which means that the disk
        has lost something it had promised.
        """
        self.config = config
        self.id = config.id
        self.trace = trace
        self._rng = rng
        self.log = Log(snapshot.index, snapshot.term, entries)
        self._check_start(hard_state, snapshot, applied, conf)
        self.log.applied = self.log.applying = max(applied, snapshot.index)
        # The commit index on disk may lag behind what has been applied (rules R8, A9).
        self.log.commit = max(hard_state.commit, self.log.applied)
        self.term = hard_state.term
        self.vote = hard_state.vote
        self.durable_vote = (self.term, self.vote)
        """Term and vote as they are on disk."""
        self.leader = NOBODY
        self.conf = ConfState()
        self.members: frozenset[int] = frozenset()
        self._set_conf(snapshot.conf if conf is None else conf)
        self.out = Outbox()
        self.state: RoleState = Follower(self)
        self._ticket = 0
        self._unconfirmed: deque[tuple[int, int, int]] = deque()  # ticket, term, vote
        self._handed_hard = HardState(self.term, self.vote, self.log.commit)
        self._handed_soft = SoftState(NOBODY, Role.FOLLOWER)
        self._installing: tuple[int, SnapshotMeta] | None = None  # ticket (0: not yet), what
        self.held_back = False

    def _check_start(
        self, hard: HardState, snapshot: SnapshotMeta, applied: int, conf: ConfState | None
    ) -> None:
        last = self.log.last_index
        if hard.commit > last or applied > last:
            raise ValueError(
                f"entries are missing: committed to {hard.commit}, applied to {applied}, "
                f"but the log ends at {last}"
            )
        if hard.term < self.log.last_term:
            raise ValueError(f"term {hard.term} is older than the log's {self.log.last_term}")
        membership.check_conf(snapshot.conf)
        if conf is None and any(
            entry.kind is EntryKind.CONF_CHANGE
            for entry in self.log.slice(snapshot.index + 1, applied + 1)
        ):
            raise ValueError(f"the members changed before {applied}: their conf must be given")

    # ---- inputs ------------------------------------------------------------------------------

    def tick(self) -> None:
        """One tick has passed."""
        self.state.tick()

    def step(self, message: Message) -> None:
        """Take in a message from a peer; what is out of date or unasked for is set aside.

        Raises ValueError for a message that is not for this member, claims to be from it, is of
        no known kind or malformed; InvariantViolation when it proves that data was lost.
        """
        kind = type(message)
        if kind not in _KNOWN or message.to != self.id or message.sender == self.id:
            raise ValueError(f"not a message from a peer to member {self.id}: {message!r:.200}")
        if message.term == self.term or (
            self._hear_newer(message) if message.term > self.term else self._hear_older(message)
        ):
            self.dispatch(message)

    def campaign(self) -> None:
        """Try to become leader now, as if the election timer had run out."""
        self.start_campaign()

    def propose(self, data: bytes) -> None:
        """Append the application's bytes to the log, or forward them to the leader.

        Raises ProposalDropped when that is impossible now: then, and only then, it is certain that
        they will not be committed. ValueError for empty bytes, which only raft itself appends.
        """
        if not data:
            raise ValueError("an empty proposal would look like a leader's first entry")
        self.state.propose(EntryKind.NORMAL, data)

    def propose_conf_change(self, change: ConfChange) -> None:
        """Propose a membership change; a leader checks it (ProposalDropped) before it appends."""
        if not change.changes:
            raise ValueError("a change must change something")
        self.state.propose(EntryKind.CONF_CHANGE, membership.encode(change))

    def read_index(self, context: int) -> None:
        """Ask for a read point; `context` must be unique among this member's reads.

        It comes back in Ready.read_states, or in Ready.reads_dropped when the leader or the term
        changes first or no answer comes. Raises ProposalDropped when no leader is known.
        """
        self.state.read_index(context)

    def transfer_leadership(self, target: int) -> None:
        """Ask for leadership to move to the voter `target`; ProposalDropped when it cannot."""
        self.state.transfer_leadership(target)

    def report_unreachable(self, member: int) -> None:
        """A message to this member was lost, as far as the transport can tell."""
        if isinstance(self.state, Leader):
            self.state.report_unreachable(member)

    def report_snapshot(self, member: int, ok: bool) -> None:
        """What became of the snapshot offered to this member. Owed once for every offer."""
        if isinstance(self.state, Leader):
            self.state.report_snapshot(member, ok)

    def apply_conf_change(self, change: ConfChange | None) -> ConfState:
        """A CONF_CHANGE entry is being applied; None if the application refuses it (rule M10).

        Configurations take effect here, at apply (rule M2), the same on every member. Call
        `applied_to` with the entry's index next. Returns the configuration now in force.
        """
        if change is not None:
            self._set_conf(membership.next_conf(self.conf, change))
            self.note(TraceKind.CONF, **self.conf._asdict())
            self.state.conf_changed()
        return self.conf

    def applied_to(self, index: int) -> None:
        """Everything handed out in Ready.committed up to `index` has been applied."""
        log = self.log
        if index <= log.applied:
            return
        if index > log.applying:
            raise ValueError(f"{index} was not handed out to be applied, only {log.applying}")
        old, log.applied = log.applied, index
        self.state.applied(old, index)

    def compact_log(self, index: int) -> None:
        """Release the entries up to `index` from memory; ValueError beyond what is applied."""
        if index > self.log.applied:
            raise ValueError(f"cannot compact to {index}, applied is {self.log.applied}")
        self.log.compact(index)
        self.note(TraceKind.COMPACT, base=self.log.base_index, term=self.log.base_term)

    def hold_back(self, held: bool) -> None:
        """Until False: the driver cannot take in more. Nothing is handed out to be applied, and no
        append that brings new entries is taken or answered: a leader comes down to one of them a
        heartbeat, and only its log grows. A leader held back has its bound on what is not applied.
        """
        self.held_back = held

    # ---- outputs -----------------------------------------------------------------------------

    def has_ready(self) -> bool:
        """Whether `ready` would hold anything; cheap."""
        log, hard, soft = self.log, self._handed_hard, self._handed_soft
        return (
            log.handed < log.last_index
            or (log.has_committed() and not self.held_back)
            or bool(self.out)
            or self.state.has_work()
            or log.commit != hard.commit
            or self.term != hard.term
            or self.vote != hard.vote
            or self.leader != soft.leader
            or self.state.kind() is not soft.role
            or (self._installing is not None and not self._installing[0])
        )

    def ready(self) -> Ready:
        """Take everything there is to do; see the module `ready` for what to do with it."""
        self.state.flush()
        self._ticket = ticket = self._ticket + 1
        log, out = self.log, self.out
        hard = soft = snapshot = None
        must_sync = False
        handed = self._handed_hard
        if self.term != handed.term or self.vote != handed.vote:
            must_sync = True
            self._unconfirmed.append((ticket, self.term, self.vote))
        # A crash may forget a commit index, unless it covers a change of members.
        must_sync = must_sync or log.must_sync_commit(handed.commit)
        if must_sync or log.commit != handed.commit:
            hard = self._handed_hard = HardState(self.term, self.vote, log.commit)
        if self.leader != self._handed_soft.leader or self.state.kind() != self._handed_soft.role:
            soft = self._handed_soft = SoftState(self.leader, self.state.kind())
        if self._installing is not None and not self._installing[0]:
            snapshot = self._installing[1]
            self._installing = (ticket, snapshot)
        entries: tuple[Entry, ...] = ()
        if snapshot is not None or log.handed < log.last_index:
            must_sync = True
            entries = log.take_unhanded(ticket)
        if must_sync:
            log.hand_commit(ticket)
        most = self.config.max_committed_bytes
        committed = () if self.held_back else log.take_committed(most)
        self.out = Outbox()
        return Ready(
            ticket=ticket,
            soft_state=soft,
            hard_state=hard,
            entries=entries,
            snapshot=snapshot,
            must_sync=must_sync,
            messages=tuple(out.at_once),
            messages_after_persist=tuple(out.after_persist),
            committed=committed,
            read_states=tuple(out.read_states),
            reads_dropped=tuple(out.reads_dropped),
            refused=tuple(out.refused),
        )

    def persisted(self, ticket: int) -> None:
        """Everything handed out to be stored in Readies up to `ticket` is durable.

        Only now do a candidate's own vote and a leader's own entries count (rules E1, L6).
        """
        if ticket > self._ticket:
            raise ValueError(f"ticket {ticket} was never handed out, only {self._ticket}")
        log = self.log
        was_stable = log.stable
        log.stable_to(ticket)
        while self._unconfirmed and self._unconfirmed[0][0] <= ticket:
            self.durable_vote = self._unconfirmed.popleft()[1:]
        if self._installing is not None and 0 < self._installing[0] <= ticket:
            meta = self._installing[1]
            self._installing = None
            log.applied = max(log.applied, meta.index)
            self.note(TraceKind.SNAPSHOT, installed=meta.index)
        if self.trace is not None and log.stable != was_stable:
            self.note(TraceKind.STABLE, to=log.stable)
        self.state.persisted()

    # ---- what roles use ----------------------------------------------------------------------

    def note(self, kind: TraceKind, **facts: object) -> None:
        """Report a change of state to the trace, if anyone listens."""
        if self.trace is not None:
            self.trace(TraceEvent(self.id, kind, facts))

    def draw_timeout(self) -> int:
        """A random election timeout in ticks, E to 2E-1 (rule E12)."""
        return self._rng.randrange(self.config.election_ticks, 2 * self.config.election_ticks)

    def send_once_term_durable(self, message: Message) -> None:
        """Send what promises nothing but the current term."""
        durable = self.durable_vote[0] == self.term
        (self.out.at_once if durable else self.out.after_persist).append(message)

    def acknowledge(self, leader: int, index: int) -> None:
        """Tell the leader that the log up to `index` is its own, once that is durable."""
        message = AppendResponse(leader, self.id, self.term, index)
        if index <= self.log.stable:
            self.send_once_term_durable(message)
        else:
            self.out.after_persist.append(message)

    def merge(self, prev_index: int, entries: tuple[Entry, ...]) -> None:
        """Take over a leader's entries behind a matching place."""
        was_last = self.log.last_index
        truncated = self.log.merge(prev_index, entries)
        if self.trace is not None:
            if truncated:
                self.note(TraceKind.TRUNCATE, at=truncated)
            if truncated or self.log.last_index != was_last:
                self.note(TraceKind.APPEND, last=self.log.last_index, term=self.log.last_term)

    def commit_to(self, index: int) -> None:
        """Everything up to `index` is committed."""
        if self.log.commit_to(index) and self.trace is not None:
            self.note(TraceKind.COMMIT, to=index)

    def restore(self, meta: SnapshotMeta) -> None:
        """Let a snapshot take the place of the log; the next Ready orders its installation."""
        self.log.restore(meta.index, meta.term)
        self._set_conf(meta.conf)
        self._installing = (0, meta)
        self.note(TraceKind.SNAPSHOT, accepted=meta.index, term=meta.term, **meta.conf._asdict())

    def _set_conf(self, conf: ConfState) -> None:
        membership.check_conf(conf)
        self.conf = conf
        self.members = frozenset(conf.members())

    def set_leader(self, leader: int) -> None:
        """Someone is known to lead this term."""
        self.leader = leader
        self.note(TraceKind.LEADER, now=leader)

    # ---- terms and roles ---------------------------------------------------------------------

    def dispatch(self, message: Message) -> None:
        """Treat a message that has passed the checks of its term."""
        if type(message) is VoteRequest:
            self._on_vote_request(message)
            return
        if type(message) is ProposalRefused:
            self.out.refused.append(message)
            return
        if type(message) is VoteResponse:
            self._learn_commit(message)
        handler = self.state.handlers.get(type(message))
        if handler is not None:
            handler(self.state, message)

    def _hear_newer(self, message: Message) -> bool:
        """A message of a later term: follow it there (rule E2), unless it only asks (pre-vote) or
        would disturb a leader that is alive (rule E7). Whether to go on with the message."""
        leader = NOBODY
        if isinstance(message, VoteRequest):
            if not message.transfer and self._protects_leader():
                self.note(
                    TraceKind.DROP, message="VoteRequest", of=message.sender, because="leader-alive"
                )
                return False
            if message.pre:
                return True
        elif isinstance(message, VoteResponse) and message.pre and message.granted:
            return True
        elif type(message) in _FROM_LEADER:
            leader = message.sender
        self.become_follower(message.term, leader)
        return True

    def _protects_leader(self) -> bool:
        """Whether a leader was heard, or is this member, within the shortest election timeout."""
        return (
            self.config.check_quorum
            and self.leader != NOBODY
            and self.state.elapsed < self.config.election_ticks
        )

    def _hear_older(self, message: Message) -> bool:
        """A message of an earlier term: nothing in it counts, but a leader or pre-candidate that
        cannot know better is told the term, or it might never learn (rule E3). A forwarded
        proposal claims nothing about terms and is taken. Whether to go on with the message."""
        kind = type(message)
        if kind in _FROM_LEADER:
            if self.config.check_quorum or self.config.pre_vote:
                self.send_once_term_durable(AppendResponse(message.sender, self.id, self.term, 0))
        elif isinstance(message, VoteRequest) and message.pre:
            self._learn_commit(message)
            self._refuse_vote(message)
        return kind is ForwardProposal

    def _on_vote_request(self, m: VoteRequest) -> None:
        """Vote at most once a term, and only for a log as new as the own one (3.4, 3.6.1; rule E4).

        A learner, too, answers: it may be a voter by a change it has not applied yet (rule E9).
        """
        self._learn_commit(m)
        may_vote = (
            self.vote == m.sender
            or (self.vote == NOBODY and self.leader == NOBODY)
            or (m.pre and m.term > self.term)
        )
        granted = may_vote and self.log.is_up_to_date(m.last_index, m.last_term)
        if granted and not m.pre:
            self.vote = m.sender
            self.state.elapsed = 0
            self.out.after_persist.append(VoteResponse(m.sender, self.id, self.term, True))
        elif granted:
            self.send_once_term_durable(VoteResponse(m.sender, self.id, m.term, True, pre=True))
        else:
            self._refuse_vote(m)
        self.note(
            TraceKind.VOTE, to=m.sender, granted=granted, pre=m.pre, term=m.term, own_vote=self.vote
        )

    def _refuse_vote(self, m: VoteRequest) -> None:
        """Say no, in the own term, and how far the log is known to be committed."""
        self.send_once_term_durable(
            VoteResponse(m.sender, self.id, self.term, False, m.pre, *self.known_commit())
        )

    def known_commit(self) -> tuple[int, int]:
        """How far the log is known to be committed, as others may be told, and the term there."""
        commit = self.log.settled
        return commit, self.log.term_at(commit) or 0

    def _learn_commit(self, m: VoteRequest | VoteResponse) -> None:
        """Commit what one who asks for a vote, or refuses it, knows to be committed, where both
        logs agree on it.

        Configurations are in force once applied (M2), so the voters that remain after a change can
        depend on the vote of one that the change removed, and whose longer log has to refuse it;
        and a voter can depend on one that a change has promoted, that has the longer log, and does
        not campaign, because it takes itself for a learner still. What they lack is only the
        knowledge that the change is committed. A candidate that learns of one goes back to apply
        it first (E8).
        """
        log = self.log
        if m.commit <= log.commit or isinstance(self.state, Leader):
            return
        if log.term_at(m.commit) == m.commit_term:
            self.commit_to(m.commit)
            if isinstance(self.state, Candidate) and self._has_unapplied_conf_change():
                self.become_follower(self.term, NOBODY)

    def start_campaign(self, transfer: bool = False) -> None:
        """Campaign if this member may (rule E8); ordered by a leader (`transfer`): no pre-vote."""
        if isinstance(self.state, Leader) or not self.conf.is_voter(self.id):
            return
        obstacle = ""
        if self._installing is not None:
            obstacle = "snapshot-being-installed"
        elif self._has_unapplied_conf_change():
            obstacle = "conf-change-unapplied"
        if obstacle:
            self.note(TraceKind.ELECTION, result="held-back", because=obstacle)
        elif self.config.pre_vote and not transfer:
            self._enter(pre := Candidate(self, pre=True), NOBODY)
            pre.ask_for_votes()
        else:
            self.become_candidate(transfer)

    def _has_unapplied_conf_change(self) -> bool:
        """Looks only at what is committed and waits to be applied, and only at a campaign."""
        waiting = self.log.slice(self.log.applied + 1, self.log.commit + 1)
        return any(entry.kind is EntryKind.CONF_CHANGE for entry in waiting)

    def become_candidate(self, transfer: bool = False) -> None:
        """Enter the next term, voting for oneself."""
        self._set_term(self.term + 1, vote=self.id)
        self._enter(candidate := Candidate(self, pre=False, transfer=transfer), NOBODY)
        candidate.ask_for_votes()

    def become_leader(self) -> None:
        """Lead this term, and say so with an empty entry (rule E11)."""
        self._enter(leader := Leader(self), self.id)
        leader.append(EntryKind.NORMAL, b"")

    def become_follower(self, term: int, leader: int) -> None:
        """Follow `leader`, or nobody yet, in `term`.

        A follower that hears of a later term without a leader keeps its timer running: only a
        leader's word or a vote given resets it (3.4, rule E5).
        """
        elapsed = 0
        if leader == NOBODY and isinstance(self.state, Follower):
            elapsed = self.state.elapsed
        if term != self.term:
            self._set_term(term, vote=NOBODY)
        self._enter(Follower(self, elapsed), leader)

    def _set_term(self, term: int, vote: int) -> None:
        if term < self.term:
            raise InvariantViolation(f"term would fall from {self.term} to {term}")
        self.term = term
        self.vote = vote
        self.note(TraceKind.TERM, now=term, vote=vote)

    def _enter(self, state: RoleState, leader: int) -> None:
        was, self.state = self.state, state
        self.out.reads_dropped += was.leave()
        if was.kind() is not state.kind():
            self.note(TraceKind.ROLE, was=was.kind(), now=state.kind(), term=self.term)
        if self.leader != leader:
            self.set_leader(leader)

    # ---- looking in --------------------------------------------------------------------------

    def term_at(self, index: int) -> int | None:
        """The term of the entry at `index`; None when it is not in memory."""
        return self.log.term_at(index)

    def entries_slice(self, low: int, high: int) -> tuple[Entry, ...]:
        """The entries with low <= index < high that are in memory."""
        return self.log.slice(low, high)

    def status(self) -> Status:
        """Everything an observer may want to know, as of now."""
        log, state = self.log, self.state
        leading = state if isinstance(state, Leader) else None
        pending = len(state.reads) if isinstance(state, Leader | Follower) else 0
        return Status(
            id=self.id,
            role=state.kind(),
            leader=self.leader,
            term=self.term,
            vote=self.vote,
            commit=log.commit,
            applied=log.applied,
            stable=log.stable,
            first_index=log.first_index,
            last_index=log.last_index,
            conf=self.conf,
            election_elapsed=state.elapsed,
            pending_reads=pending,
            uncommitted_bytes=leading.uncommitted_bytes if leading else 0,
            transferee=leading.transfer.target if leading and leading.transfer else NOBODY,
            pending_conf_index=leading.pending_conf_index if leading else 0,
            progress=tuple(
                progress.status(member, not self.conf.is_voter(member))
                for member, progress in leading.progress.items()
            )
            if leading
            else (),
        )
