"""The arithmetic of configurations and the bytes of a change."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kvorum.raft import ConfChange, ConfChangeOp, ConfState
from kvorum.raft.membership import LEAVE_JOINT, check_conf, decode, encode, next_conf
from kvorum.raft.quorum import has_quorum

ADD, LEARN, REMOVE = ConfChangeOp.ADD_VOTER, ConfChangeOp.ADD_LEARNER, ConfChangeOp.REMOVE
IDS = st.integers(1, 8)
STEPS = st.lists(st.tuples(st.sampled_from(ConfChangeOp), IDS), min_size=1, max_size=5)


def change(*steps: tuple[ConfChangeOp, int]) -> ConfChange:
    return ConfChange(tuple(steps))


def test_one_voter_moves_without_a_joint_configuration() -> None:
    conf = ConfState((1, 2, 3), (7,))
    assert next_conf(conf, change((ADD, 4))) == ConfState((1, 2, 3, 4), (7,))
    assert next_conf(conf, change((ADD, 7))) == ConfState((1, 2, 3, 7))
    assert next_conf(conf, change((REMOVE, 2))) == ConfState((1, 3), (7,))
    assert next_conf(conf, change((LEARN, 3))) == ConfState((1, 2), (3, 7))
    assert next_conf(conf, change((LEARN, 5), (LEARN, 6), (REMOVE, 7))) == ConfState(
        (1, 2, 3), (5, 6)
    )
    assert next_conf(conf, change((REMOVE, 9))) == conf


def test_M11_more_voters_go_through_a_joint_configuration() -> None:
    joint = next_conf(ConfState((1, 2, 3), (7,)), change((ADD, 4), (REMOVE, 1), (LEARN, 2)))
    assert joint == ConfState((3, 4), (7,), (1, 2, 3), (2,), True)
    assert joint.members() == (1, 2, 3, 4, 7)
    assert joint.is_voter(1) and joint.is_voter(4) and not joint.is_voter(7)
    assert next_conf(joint, LEAVE_JOINT) == ConfState((3, 4), (2, 7))


def test_what_cannot_follow_is_refused() -> None:
    conf = ConfState((1, 2, 3))
    joint = next_conf(conf, change((ADD, 4), (ADD, 5)))
    for bad, message in (
        (lambda: next_conf(conf, LEAVE_JOINT), "no joint configuration"),
        (lambda: next_conf(joint, change((ADD, 6))), "must be left"),
        (lambda: next_conf(conf, change((ADD, 4), (REMOVE, 4))), "named twice"),
        (lambda: next_conf(conf, change((ADD, 0))), "not a member id"),
        (lambda: next_conf(ConfState((1,)), change((REMOVE, 1))), "last voter"),
    ):
        with pytest.raises(ValueError, match=message):
            bad()


@given(STEPS, STEPS)
@settings(max_examples=300, deadline=None)
def test_any_quorum_before_a_change_meets_any_quorum_after_it(
    first: list[tuple[ConfChangeOp, int]], second: list[tuple[ConfChangeOp, int]]
) -> None:
    conf = ConfState((1, 2, 3))
    for steps in (first, second):
        unique = {member: op for op, member in steps}
        try:
            after = next_conf(conf, change(*((op, member) for member, op in unique.items())))
        except ValueError:
            continue
        for old, new in ((conf, after), (after, _left(after))):
            check_conf(new)
            for bits in range(256):
                group = [m for m in range(1, 9) if bits >> (m - 1) & 1]
                others = [m for m in range(1, 9) if m not in group]
                assert not (has_quorum(old, group) and has_quorum(new, others))
        conf = _left(after)


def _left(conf: ConfState) -> ConfState:
    return next_conf(conf, LEAVE_JOINT) if conf.voters_outgoing else conf


@given(
    st.lists(st.tuples(st.sampled_from(ConfChangeOp), st.integers(1, 2**64 - 1)), max_size=6),
    st.binary(max_size=40),
)
def test_a_change_comes_back_from_its_bytes(
    steps: list[tuple[ConfChangeOp, int]], context: bytes
) -> None:
    original = ConfChange(tuple(steps), context)
    assert decode(encode(original)) == original


@given(st.binary(max_size=60))
def test_bytes_are_decoded_or_refused_with_a_reason(data: bytes) -> None:
    try:
        decoded = decode(data)
    except ValueError as refused:
        assert str(refused)
    else:
        assert encode(decoded) == data


def test_bad_bytes_name_what_is_wrong() -> None:
    good = encode(change((ADD, 4), (REMOVE, 5)))
    for data, message in (
        (b"", "at least 2 bytes"),
        (b"\x02" + good[1:], "version 2, known is 1"),
        (good[:-1], "2 steps ends after 19 bytes"),
        (good[:2] + b"\x07" + good[3:], "7 is not a valid ConfChangeOp"),
        (good[:3] + bytes(8) + good[11:], "names member 0"),
    ):
        with pytest.raises(ValueError, match=message):
            decode(data)
    with pytest.raises(ValueError, match="not a member id"):
        encode(change((ADD, 1 << 64)))
    with pytest.raises(ValueError, match="at most 255 steps"):
        encode(ConfChange(tuple((ADD, i) for i in range(1, 257))))


def test_configurations_that_no_change_leads_to_are_refused() -> None:
    for bad, message in (
        (ConfState((2, 1)), "voters must be distinct"),
        (ConfState((1,), (2, 2)), "learners must be distinct"),
        (ConfState((0, 1)), "voters must be distinct"),
        (ConfState((1, 2), (2,)), "voter and learner at once"),
        (ConfState((1, 2), (), (1, 2, 3), (2,)), "learners_next must be outgoing"),
        (ConfState((), (1,)), "without voters"),
    ):
        with pytest.raises(ValueError, match=message):
            check_conf(bad)
    check_conf(ConfState())
