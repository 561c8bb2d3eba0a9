"""What members say to one another, between the replica's values and the wire's.

The only module that knows both. Entries keep the bytes that their proposer encoded: they are put
into frames and taken out of them, never read. What comes in is checked as far as its form goes; a
frame that cannot be is a ValueError and ends its stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from kvorum_proto.kvorum import v1

from kvorum.raft import messages as m
from kvorum.raft.types import ConfState, DropReason, Entry, EntryKind, SnapshotMeta
from kvorum.replica.effects import Effect, SendDigest, SendLeaseAnswer, SendLeaseAsk
from kvorum.replica.inputs import Input, PeerDigest, PeerLeaseAnswer, PeerLeaseAsk

_K = v1.RaftKind


def _entry(entry: Entry) -> v1.RaftEntry:
    return v1.RaftEntry(index=entry.index, term=entry.term, kind=int(entry.kind), data=entry.data)


def _append(x: m.AppendRequest) -> v1.RaftMessage:
    return v1.RaftMessage(
        kind=_K.APPEND_REQUEST,
        term=x.term,
        index=x.prev_index,
        log_term=x.prev_term,
        commit=x.commit,
        entries=[_entry(entry) for entry in x.entries],
    )


def _append_response(x: m.AppendResponse) -> v1.RaftMessage:
    return v1.RaftMessage(
        kind=_K.APPEND_RESPONSE,
        term=x.term,
        index=x.index,
        reject=x.reject,
        hint_index=x.hint_index,
        hint_term=x.hint_term,
    )


def _vote(x: m.VoteRequest) -> v1.RaftMessage:
    return v1.RaftMessage(
        kind=_K.VOTE_REQUEST,
        term=x.term,
        index=x.last_index,
        log_term=x.last_term,
        pre_vote=x.pre,
        transfer=x.transfer,
        commit=x.commit,
        hint_term=x.commit_term,
    )


def _vote_response(x: m.VoteResponse) -> v1.RaftMessage:
    return v1.RaftMessage(
        kind=_K.VOTE_RESPONSE,
        term=x.term,
        reject=not x.granted,
        pre_vote=x.pre,
        commit=x.commit,
        log_term=x.commit_term,
    )


def _forward(x: m.ForwardProposal) -> v1.RaftMessage:
    if x.kind == EntryKind.NORMAL:
        return v1.RaftMessage(kind=_K.FORWARD_PROPOSAL, term=x.term, proposals=[x.data])
    entry = v1.RaftEntry(kind=int(x.kind), data=x.data)
    return v1.RaftMessage(kind=_K.FORWARD_PROPOSAL, term=x.term, entries=[entry])


def _refused(x: m.ProposalRefused) -> v1.RaftMessage:
    entry = v1.RaftEntry(kind=int(EntryKind.CONF_CHANGE), data=x.data)
    return v1.RaftMessage(
        kind=_K.PROPOSAL_REFUSED, term=x.term, entries=[entry], reason=x.reason.value
    )


_ENCODERS: dict[type, Callable[[Any], v1.RaftMessage]] = {
    m.AppendRequest: _append,
    m.AppendResponse: _append_response,
    m.VoteRequest: _vote,
    m.VoteResponse: _vote_response,
    m.Heartbeat: lambda x: v1.RaftMessage(
        kind=_K.HEARTBEAT, term=x.term, commit=x.commit, context=x.round
    ),
    m.HeartbeatResponse: lambda x: v1.RaftMessage(
        kind=_K.HEARTBEAT_RESPONSE, term=x.term, context=x.round
    ),
    m.TimeoutNow: lambda x: v1.RaftMessage(kind=_K.TIMEOUT_NOW, term=x.term),
    m.ForwardProposal: _forward,
    m.ReadIndexRequest: lambda x: v1.RaftMessage(
        kind=_K.READ_INDEX_REQUEST, term=x.term, context=x.context
    ),
    m.ReadIndexResponse: lambda x: v1.RaftMessage(
        kind=_K.READ_INDEX_RESPONSE, term=x.term, context=x.context, index=x.index
    ),
    m.TransferRequest: lambda x: v1.RaftMessage(
        kind=_K.TRANSFER_REQUEST, term=x.term, target=x.target
    ),
    m.ProposalRefused: _refused,
}


def encode_raft(message: m.Message) -> v1.RaftMessage:
    """A raft message for a frame (which says from whom and to whom). KeyError for an offer of a
    snapshot, which never travels in a frame.
    """
    return _ENCODERS[type(message)](message)


def raft_bytes(message: m.Message) -> int:
    """About how many bytes the message takes; only its entries count for much."""
    if isinstance(message, m.AppendRequest):
        return 32 + sum(len(entry.data) + 16 for entry in message.entries)
    return 32 + (len(message.data) if isinstance(message, m.ForwardProposal) else 0)


# --- in -------------------------------------------------------------------------------------------


def _entry_in(x: v1.RaftEntry) -> Entry:
    return Entry(x.index, x.term, EntryKind(x.kind), x.data)


def _append_in(to: int, sender: int, x: v1.RaftMessage) -> m.Message:
    entries = tuple([_entry_in(entry) for entry in x.entries])
    return m.AppendRequest(to, sender, x.term, x.index, x.log_term, entries, x.commit)


def _forward_in(to: int, sender: int, x: v1.RaftMessage) -> m.Message:
    if len(x.proposals) + len(x.entries) != 1:
        raise ValueError("a forwarded proposal holds exactly one entry")
    if x.proposals:
        return m.ForwardProposal(to, sender, x.term, EntryKind.NORMAL, x.proposals[0])
    return m.ForwardProposal(to, sender, x.term, EntryKind(x.entries[0].kind), x.entries[0].data)


def _refused_in(to: int, sender: int, x: v1.RaftMessage) -> m.Message:
    if len(x.entries) != 1:
        raise ValueError("a refusal names exactly one entry")
    return m.ProposalRefused(to, sender, x.term, DropReason(x.reason), x.entries[0].data)


_DECODERS: dict[int, Callable[[int, int, v1.RaftMessage], m.Message]] = {
    _K.APPEND_REQUEST: _append_in,
    _K.APPEND_RESPONSE: lambda to, sender, x: m.AppendResponse(
        to, sender, x.term, x.index, x.reject, x.hint_index, x.hint_term
    ),
    _K.VOTE_REQUEST: lambda to, sender, x: m.VoteRequest(
        to, sender, x.term, x.index, x.log_term, x.pre_vote, x.transfer, x.commit, x.hint_term
    ),
    _K.VOTE_RESPONSE: lambda to, sender, x: m.VoteResponse(
        to, sender, x.term, not x.reject, x.pre_vote, x.commit, x.log_term
    ),
    _K.HEARTBEAT: lambda to, sender, x: m.Heartbeat(to, sender, x.term, x.commit, x.context),
    _K.HEARTBEAT_RESPONSE: lambda to, sender, x: m.HeartbeatResponse(to, sender, x.term, x.context),
    _K.TIMEOUT_NOW: lambda to, sender, x: m.TimeoutNow(to, sender, x.term),
    _K.FORWARD_PROPOSAL: _forward_in,
    _K.READ_INDEX_REQUEST: lambda to, sender, x: m.ReadIndexRequest(to, sender, x.term, x.context),
    _K.READ_INDEX_RESPONSE: lambda to, sender, x: m.ReadIndexResponse(
        to, sender, x.term, x.context, x.index
    ),
    _K.TRANSFER_REQUEST: lambda to, sender, x: m.TransferRequest(to, sender, x.term, x.target),
    _K.PROPOSAL_REFUSED: _refused_in,
}


def decode_raft(to: int, sender: int, message: v1.RaftMessage) -> m.Message:
    """A raft message out of a frame. ValueError for a kind that has no business in one."""
    decoder = _DECODERS.get(int(message.kind))
    if decoder is None:
        raise ValueError(f"raft message of kind {int(message.kind)}")
    return decoder(to, sender, message)


# --- beside raft ----------------------------------------------------------------------------------


def encode_node(effect: Effect, sender: int) -> v1.NodeMessage:
    """What nodes ask one another outside raft. TypeError for any other effect."""
    if isinstance(effect, SendLeaseAsk):
        request = v1.LeaseClockRequest(
            request_id=effect.request_id,
            sender=sender,
            lease_ids=list(effect.lease_ids),
            renew=effect.renew,
        )
        return v1.NodeMessage(lease_request=request)
    if isinstance(effect, SendLeaseAnswer):
        clocks = [
            v1.LeaseClock(id=id_, remaining_ms=remaining_ms, granted_ms=granted_ms)
            for id_, remaining_ms, granted_ms in effect.clocks
        ]
        reply = v1.LeaseClockReply(
            request_id=effect.request_id, clocks=clocks, not_leader=effect.not_leader
        )
        return v1.NodeMessage(lease_reply=reply)
    if isinstance(effect, SendDigest):
        digest = v1.DigestReport(applied_index=effect.applied_index, digest=effect.digest)
        return v1.NodeMessage(digest=digest)
    raise TypeError(f"not a message between nodes: {effect!r}")


def decode_node(sender: int, message: v1.NodeMessage) -> Input:
    """The input a node's message is. ValueError for an empty one."""
    if message.lease_request is not None:
        asked = message.lease_request
        return PeerLeaseAsk(sender, asked.request_id, tuple(asked.lease_ids), asked.renew)
    if message.lease_reply is not None:
        reply = message.lease_reply
        clocks = tuple([(c.id, c.remaining_ms, c.granted_ms) for c in reply.clocks])
        return PeerLeaseAnswer(reply.request_id, clocks, reply.not_leader)
    if message.digest is not None:
        return PeerDigest(sender, message.digest.applied_index, message.digest.digest)
    raise ValueError("a node message without content")


# --- snapshots ------------------------------------------------------------------------------------


def encode_meta(meta: SnapshotMeta) -> v1.RaftSnapshotMeta:
    """A snapshot's metadata."""
    conf = meta.conf
    return v1.RaftSnapshotMeta(
        index=meta.index,
        term=meta.term,
        conf=v1.RaftConf(
            voters=list(conf.voters),
            learners=list(conf.learners),
            voters_outgoing=list(conf.voters_outgoing),
            learners_next=list(conf.learners_next),
            auto_leave=conf.auto_leave,
        ),
    )


def decode_meta(meta: v1.RaftSnapshotMeta | None) -> SnapshotMeta:
    """The same, back. ValueError when there is none or it names no members."""
    if meta is None or meta.conf is None or not meta.conf.voters:
        raise ValueError("a snapshot without metadata")
    conf = meta.conf
    return SnapshotMeta(
        meta.index,
        meta.term,
        ConfState(
            _sorted(conf.voters),
            _sorted(conf.learners),
            _sorted(conf.voters_outgoing),
            _sorted(conf.learners_next),
            conf.auto_leave,
        ),
    )


def _sorted(ids: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted(ids))
