"""The candidate: counts votes (thesis 3.4), after having counted promises of votes (9.6).

A pre-candidate asks whether it would be elected and changes nothing at all; a candidate has raised
its term and voted for itself. Its own vote counts once it is durable, like every other (3.8).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from kvorum.raft.messages import (
    AppendRequest,
    Heartbeat,
    Message,
    SnapshotOffer,
    VoteRequest,
    VoteResponse,
)
from kvorum.raft.quorum import VoteResult, vote_result
from kvorum.raft.role import RoleState
from kvorum.raft.trace import TraceKind
from kvorum.raft.types import NOBODY, Role

if TYPE_CHECKING:
    from kvorum.raft.core import Raft


class Candidate(RoleState):
    """State of one candidacy: the votes so far and the time it may take."""

    __slots__ = ("pre", "timeout", "transfer", "votes")

    role = Role.CANDIDATE

    def __init__(self, raft: Raft, *, pre: bool, transfer: bool = False) -> None:
        super().__init__(raft)
        self.pre = pre
        self.transfer = transfer
        self.timeout = raft.draw_timeout()
        self.votes: dict[int, bool] = {}

    def kind(self) -> Role:
        return Role.PRE_CANDIDATE if self.pre else Role.CANDIDATE

    def ask_for_votes(self) -> None:
        """Send the requests; they leave once the term they speak for is durable, because they
        also claim a log, and a later life of this member must not win with an older one."""
        raft, log, conf = self.raft, self.raft.log, self.raft.conf
        term = raft.term + 1 if self.pre else raft.term
        claim = (term, log.last_index, log.last_term, self.pre, self.transfer)
        known = raft.known_commit()
        for voter in sorted({*conf.voters, *conf.voters_outgoing} - {raft.id}):
            raft.out.after_persist.append(VoteRequest(voter, raft.id, *claim, *known))
        if self.pre:
            self._count(raft.id, True)

    def tick(self) -> None:
        self.elapsed += 1
        if self.elapsed >= self.timeout:
            self.raft.start_campaign()

    def persisted(self) -> None:
        raft = self.raft
        if not self.pre and raft.durable_vote == (raft.term, raft.id):
            self._count(raft.id, True)

    def on_vote(self, m: VoteResponse) -> None:
        """Count an answer to this very candidacy; each voter once (rule E10)."""
        asked_for = self.raft.term + 1 if self.pre else self.raft.term
        if m.pre == self.pre and (m.term == asked_for or not m.granted):
            self._count(m.sender, m.granted)

    def _count(self, voter: int, granted: bool) -> None:
        raft = self.raft
        if voter in self.votes:
            return
        self.votes[voter] = granted
        result = vote_result(raft.conf, self.votes)
        if result is VoteResult.PENDING:
            return
        raft.note(
            TraceKind.ELECTION,
            result=result,
            of=self.kind(),
            votes=sorted(v for v, yes in self.votes.items() if yes),
        )
        if result is VoteResult.LOST:
            raft.become_follower(raft.term, NOBODY)
        elif self.pre:
            raft.become_candidate()
        else:
            raft.become_leader()

    def on_leader(self, m: Message) -> None:
        """Someone else has won this term: follow, and treat the message as a follower does."""
        self.raft.become_follower(self.raft.term, m.sender)
        self.raft.dispatch(m)

    handlers: ClassVar[Mapping[type, Callable[[Any, Any], None]]] = {
        VoteResponse: on_vote,
        AppendRequest: on_leader,
        Heartbeat: on_leader,
        SnapshotOffer: on_leader,
    }
