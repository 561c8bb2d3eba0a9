"""What members say to one another, one NamedTuple a kind; the first fields are always the same.

`to` and `sender` are member ids; `term` is the sender's term, with one exception: a pre-vote speaks
of the term the sender would enter, and a granted pre-vote echoes it (thesis 9.6).

The bodies of snapshots do not travel here: a SnapshotOffer names one, and the driver moves the
bytes by its own road before it steps the offer at the receiver.

What each waits for before it may leave (thesis 3.8, 10.2.1; rules E1, L6). *At once* means beside
the fsync, as one of `Ready.messages`; the others are `messages_after_persist` of their Ready:

==================  ==============================================================================
AppendRequest       At once: it claims nothing about the sender's disk, and the leader does not
                    count its own copy before it is durable. Its term is durable since the election.
Heartbeat           At once, likewise.
AppendResponse      Accepted: until all it accepts is durable, and the term. Refused, or in answer
                    to an older term: until the term is; a hint is a guess that costs nothing.
VoteRequest         Until term and own vote are durable, and the log it claims. A pre-vote, too: a
                    later life of the sender could not take part in what it asks for.
VoteResponse        Granted: until the vote is durable. Granted pre-vote, or refused: until the
                    term is.
HeartbeatResponse   Until the term is durable; and when the heartbeat told that a membership change
                    is committed, until that is, because a removed leader leaves on the strength of
                    it.
SnapshotOffer       At once: what is applied is durable here and committed.
TimeoutNow          At once: it is a wish.
ForwardProposal     At once, as are ReadIndexRequest and TransferRequest: they ask.
ReadIndexResponse   At once: a quorum has confirmed the term, and durable entries of a quorum are
                    what the index counts.
ProposalRefused     At once: nothing has been done.
==================  ==============================================================================

A term that a message merely carries need not be durable: a member that forgets it may hear of it
again, and has given no vote in it. Commit indexes of any message stop short of a membership change
whose commitment is not durable at the sender yet (`Log.settled`).
"""

from __future__ import annotations

from typing import NamedTuple

from kvorum.raft.types import DropReason, Entry, EntryKind, SnapshotMeta


class AppendRequest(NamedTuple):
    """AppendEntries (thesis 3.5): the entries that follow (prev_index, prev_term)."""

    to: int
    sender: int
    term: int
    prev_index: int
    prev_term: int
    entries: tuple[Entry, ...]
    commit: int


class AppendResponse(NamedTuple):
    """The answer to an append, a snapshot, or a message of an older term.

    Accepted: everything up to `index` is durable at the sender and equal to the leader's log. An
    accepted index of 0 says nothing but the sender's term. Rejected: `index` is the prev_index that
    did not match and (hint_index, hint_term) is the newest place worth trying next; a rejected
    prev_index of 0 says that entries cannot start this member: it needs a snapshot.
    """

    to: int
    sender: int
    term: int
    index: int  # type: ignore[assignment]  # hides tuple.index, unused
    reject: bool = False
    hint_index: int = 0
    hint_term: int = 0


class VoteRequest(NamedTuple):
    """RequestVote (thesis 3.4). `pre`: only asking (9.6); `transfer`: the leader wanted this
    election, so the rule that protects a live leader does not hold it up (4.2.3).

    It tells how far the sender knows the log to be committed, and the term of the entry there:
    whoever has to refuse may lack just that to win itself (see `Raft._learn_commit`).
    """

    to: int
    sender: int
    term: int
    last_index: int
    last_term: int
    pre: bool = False
    transfer: bool = False
    commit: int = 0
    commit_term: int = 0


class VoteResponse(NamedTuple):
    """A vote, or the refusal of one.

    A refusal tells the candidate how far the sender knows the log to be committed, and the term of
    the entry there: it may be refused for want of just that (see `Raft._learn_commit`).
    """

    to: int
    sender: int
    term: int
    granted: bool
    pre: bool = False
    commit: int = 0
    commit_term: int = 0


class Heartbeat(NamedTuple):
    """A sign of life. `commit` never passes what the receiver is known to hold; `round` is the
    leader's own count of read confirmations (thesis 6.4), meaningless outside its term."""

    to: int
    sender: int
    term: int
    commit: int
    round: int


class HeartbeatResponse(NamedTuple):
    """Echoes the round: when it heard it, the sender still followed this leader, and what it heard
    of membership changes is durable at the sender."""

    to: int
    sender: int
    term: int
    round: int


class SnapshotOffer(NamedTuple):
    """InstallSnapshot (thesis 5), without the body.

    Leaving the leader it is an order to the driver: send this peer the applied state. The driver
    puts the metadata of the body it really sends into `meta`, which may be any index that the
    leader's log still follows. At the receiver it is stepped once the whole body is at hand.
    """

    to: int
    sender: int
    term: int
    meta: SnapshotMeta


class TimeoutNow(NamedTuple):
    """The leader hands over: campaign at once (thesis 3.10)."""

    to: int
    sender: int
    term: int


class ForwardProposal(NamedTuple):
    """A proposal on its way from a follower to the leader; may be lost, twice, or late (P1)."""

    to: int
    sender: int
    term: int
    kind: EntryKind
    data: bytes


class ReadIndexRequest(NamedTuple):
    """A follower asks for a read point; `context` is the asker's own number for it."""

    to: int
    sender: int
    term: int
    context: int


class ReadIndexResponse(NamedTuple):
    """The read point for `context`: serve it once applied >= `index`."""

    to: int
    sender: int
    term: int
    context: int
    index: int  # type: ignore[assignment]  # hides tuple.index, unused


class TransferRequest(NamedTuple):
    """A follower was asked to move the leadership and passes the wish on to the leader."""

    to: int
    sender: int
    term: int
    target: int


class ProposalRefused(NamedTuple):
    """A leader has not taken a membership change that a follower forwarded: it is in no log.

    `data` are the bytes of the forwarded entry; only they tell the asker which one is meant. A
    change asked for by a person must not wait for a deadline that may never come; for other
    proposals the asker's time simply runs out (P1).
    """

    to: int
    sender: int
    term: int
    reason: DropReason
    data: bytes


Message = (
    AppendRequest
    | AppendResponse
    | VoteRequest
    | VoteResponse
    | Heartbeat
    | HeartbeatResponse
    | SnapshotOffer
    | TimeoutNow
    | ForwardProposal
    | ReadIndexRequest
    | ReadIndexResponse
    | TransferRequest
    | ProposalRefused
)

MESSAGE_TYPES: tuple[type[Message], ...] = (
    AppendRequest,
    AppendResponse,
    VoteRequest,
    VoteResponse,
    Heartbeat,
    HeartbeatResponse,
    SnapshotOffer,
    TimeoutNow,
    ForwardProposal,
    ReadIndexRequest,
    ReadIndexResponse,
    TransferRequest,
    ProposalRefused,
)
"""Every kind, in the order wire codecs and tests may number them."""
