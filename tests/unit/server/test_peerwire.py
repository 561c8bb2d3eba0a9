"""Messages between members: what goes through the wire comes out as it was."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kvorum.history.rows import Row
from kvorum.raft import messages as m
from kvorum.raft.types import ConfState, DropReason, Entry, EntryKind, SnapshotMeta
from kvorum.replica.effects import SendDigest, SendLeaseAnswer, SendLeaseAsk
from kvorum.replica.inputs import PeerDigest, PeerLeaseAnswer, PeerLeaseAsk
from kvorum.server import peerwire
from kvorum.server.transfer import from_wire, to_wire
from kvorum_proto.codec import decode, encode
from kvorum_proto.kvorum import v1

TO, SENDER = 7, 9
u64 = st.integers(0, 2**64 - 1)
i64 = st.integers(-(2**63), 2**63 - 1)
ids = st.integers(1, 2**64 - 1)
kinds = st.sampled_from(EntryKind)
entries = st.builds(Entry, u64, u64, kinds, st.binary(max_size=64))
both = (st.just(TO), st.just(SENDER), u64)

MESSAGES = st.one_of(
    st.builds(m.AppendRequest, *both, u64, u64, st.lists(entries, max_size=5).map(tuple), u64),
    st.builds(m.AppendResponse, *both, u64, st.booleans(), u64, u64),
    st.builds(m.VoteRequest, *both, u64, u64, st.booleans(), st.booleans(), u64, u64),
    st.builds(m.VoteResponse, *both, st.booleans(), st.booleans(), u64, u64),
    st.builds(m.Heartbeat, *both, u64, u64),
    st.builds(m.HeartbeatResponse, *both, u64),
    st.builds(m.TimeoutNow, *both),
    st.builds(m.ForwardProposal, *both, kinds, st.binary(max_size=64)),
    st.builds(m.ReadIndexRequest, *both, u64),
    st.builds(m.ReadIndexResponse, *both, u64, u64),
    st.builds(m.TransferRequest, *both, u64),
    st.builds(m.ProposalRefused, *both, st.sampled_from(DropReason), st.binary(max_size=64)),
)


def through_the_wire(messages: list[m.Message]) -> list[m.Message]:
    frame = v1.PeerFrame(sender=SENDER, to=TO, raft=[peerwire.encode_raft(x) for x in messages])
    got = decode(v1.PeerFrame, encode(frame))
    return [peerwire.decode_raft(got.to, got.sender, x) for x in got.raft]


@given(st.lists(MESSAGES, max_size=6))
def test_raft_messages_come_out_as_they_went_in(messages: list[m.Message]) -> None:
    got = through_the_wire(messages)
    assert got == messages
    assert [type(x) for x in got] == [type(x) for x in messages]


def test_every_kind_but_the_offer_of_a_snapshot_travels() -> None:
    kinds_known = {type_ for type_ in m.MESSAGE_TYPES if type_ in peerwire._ENCODERS}
    assert set(m.MESSAGE_TYPES) - kinds_known == {m.SnapshotOffer}
    offer = m.SnapshotOffer(TO, SENDER, 1, SnapshotMeta(1, 1, ConfState((1,))))
    with pytest.raises(KeyError):
        peerwire.encode_raft(offer)


@pytest.mark.parametrize(
    "message",
    [
        v1.RaftMessage(),
        v1.RaftMessage(kind=v1.RaftKind.SNAPSHOT_OFFER, term=3),
        v1.RaftMessage(kind=v1.RaftKind.FORWARD_PROPOSAL),
        v1.RaftMessage(kind=v1.RaftKind.FORWARD_PROPOSAL, proposals=[b"a", b"b"]),
        v1.RaftMessage(kind=v1.RaftKind.APPEND_REQUEST, entries=[v1.RaftEntry(kind=9)]),
        v1.RaftMessage(kind=v1.RaftKind.PROPOSAL_REFUSED, reason="no_leader"),
        v1.RaftMessage(kind=v1.RaftKind.PROPOSAL_REFUSED, entries=[v1.RaftEntry()], reason="?"),
    ],
)
def test_messages_without_a_right_form_are_refused(message: v1.RaftMessage) -> None:
    with pytest.raises(ValueError):  # each names its own reason
        peerwire.decode_raft(TO, SENDER, message)


def test_an_entry_s_bytes_are_not_touched() -> None:
    data = bytes(range(256))
    append = m.AppendRequest(TO, SENDER, 1, 0, 0, (Entry(1, 1, EntryKind.NORMAL, data),), 0)
    assert data in encode(peerwire.encode_raft(append))
    assert peerwire.raft_bytes(append) >= len(data)


@given(u64, st.lists(i64, max_size=4).map(tuple), st.booleans())
def test_lease_questions(request_id: int, lease_ids: tuple[int, ...], renew: bool) -> None:
    sent = peerwire.encode_node(SendLeaseAsk(TO, request_id, lease_ids, renew), SENDER)
    got = peerwire.decode_node(SENDER, decode(v1.NodeMessage, encode(sent)))
    assert got == PeerLeaseAsk(SENDER, request_id, lease_ids, renew)


@given(u64, st.lists(st.tuples(i64, i64, i64), max_size=4).map(tuple), st.booleans())
def test_lease_answers(
    request_id: int, clocks: tuple[tuple[int, int, int], ...], not_leader: bool
) -> None:
    sent = peerwire.encode_node(SendLeaseAnswer(TO, request_id, clocks, not_leader), SENDER)
    got = peerwire.decode_node(SENDER, decode(v1.NodeMessage, encode(sent)))
    assert got == PeerLeaseAnswer(request_id, clocks, not_leader)


@given(u64, u64)
def test_digests(index: int, digest: int) -> None:
    sent = peerwire.encode_node(SendDigest(index, digest), SENDER)
    got = peerwire.decode_node(SENDER, decode(v1.NodeMessage, encode(sent)))
    assert got == PeerDigest(SENDER, index, digest)


def test_an_empty_node_message_is_refused() -> None:
    with pytest.raises(ValueError, match="without content"):
        peerwire.decode_node(SENDER, v1.NodeMessage())


members = st.lists(ids, max_size=3, unique=True).map(lambda x: tuple(sorted(x)))


@given(u64, u64, members.filter(bool), members, members, members, st.booleans())
def test_snapshot_metadata(
    index: int,
    term: int,
    voters: tuple[int, ...],
    learners: tuple[int, ...],
    outgoing: tuple[int, ...],
    later: tuple[int, ...],
    auto: bool,
) -> None:
    meta = SnapshotMeta(index, term, ConfState(voters, learners, outgoing, later, auto))
    sent = decode(v1.RaftSnapshotMeta, encode(peerwire.encode_meta(meta)))
    assert peerwire.decode_meta(sent) == meta


def test_metadata_without_members_is_refused() -> None:
    for wrong in (None, v1.RaftSnapshotMeta(), v1.RaftSnapshotMeta(conf=v1.RaftConf())):
        with pytest.raises(ValueError, match="without metadata"):
            peerwire.decode_meta(wrong)


rows = st.builds(
    Row,
    revision=i64,
    sub=i64,
    type=st.integers(0, 1),
    key=st.binary(max_size=8),
    value=st.binary(max_size=8),
    create_revision=i64,
    version=i64,
    lease=i64,
    prev_revision=i64,
    at_ms=i64,
    member=u64,
    user_name=st.text(max_size=8),
)


@given(rows)
def test_history_rows(row: Row) -> None:
    assert from_wire(decode(v1.HistoryRow, encode(to_wire(row)))) == row
