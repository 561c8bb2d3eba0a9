"""Membership changes as arithmetic on ConfStates, and their bytes (thesis 4).

A change that moves at most one voter leads straight to the new configuration: any majority of the
old one meets any majority of the new one (4.1). A larger change goes through a joint configuration
in which both halves must agree (4.3); raft leaves it by itself with an empty change once the joint
one is applied. Learners count in no quorum, so any number of them may move with either form.

When a change takes effect and who may propose one is core's and leader's business.
"""

from __future__ import annotations

from kvorum.raft.types import NOBODY, ConfChange, ConfChangeOp, ConfState

_VERSION = 1
_MAX_ID = (1 << 64) - 1
_MAX_CHANGES = 255

LEAVE_JOINT = ConfChange(())
"""The change raft proposes by itself to end a joint configuration."""


def next_conf(conf: ConfState, change: ConfChange) -> ConfState:
    """The configuration after `change`; ValueError when it cannot follow `conf`."""
    if not change.changes:
        return _leave_joint(conf)
    if conf.voters_outgoing:
        raise ValueError("a joint configuration must be left before the next change")
    voters, learners = set(conf.voters), set(conf.learners)
    seen: set[int] = set()
    for op, member in change.changes:
        if member == NOBODY or member in seen:
            raise ValueError(f"member {member} is not a member id or is named twice")
        seen.add(member)
        voters.discard(member)
        learners.discard(member)
        if op is ConfChangeOp.ADD_VOTER:
            voters.add(member)
        elif op is ConfChangeOp.ADD_LEARNER:
            learners.add(member)
    if not voters:
        raise ValueError("the change would remove the last voter")
    if len(voters.symmetric_difference(conf.voters)) <= 1:
        return ConfState(tuple(sorted(voters)), tuple(sorted(learners)))
    demoted = learners.intersection(conf.voters)
    return ConfState(
        voters=tuple(sorted(voters)),
        learners=tuple(sorted(learners - demoted)),
        voters_outgoing=conf.voters,
        learners_next=tuple(sorted(demoted)),
        auto_leave=True,
    )


def _leave_joint(conf: ConfState) -> ConfState:
    if not conf.voters_outgoing:
        raise ValueError("there is no joint configuration to leave")
    return ConfState(conf.voters, tuple(sorted({*conf.learners, *conf.learners_next})))


def check_conf(conf: ConfState) -> None:
    """ValueError unless `conf` is one that changes can lead to (or the empty one of a joiner)."""
    for name, ids in zip(conf._fields[:4], conf[:4], strict=True):
        if list(ids) != sorted(set(ids)) or any(not NOBODY < member <= _MAX_ID for member in ids):
            raise ValueError(f"{name} must be distinct member ids in ascending order: {ids}")
    if conf.is_voter(NOBODY) or any(conf.is_voter(member) for member in conf.learners):
        raise ValueError(f"a member cannot be voter and learner at once: {conf}")
    if not set(conf.learners_next) <= set(conf.voters_outgoing) - set(conf.voters):
        raise ValueError(f"learners_next must be outgoing voters: {conf}")
    if not conf.voters and any(conf):
        raise ValueError(f"a configuration without voters can have nobody else: {conf}")


def encode(change: ConfChange) -> bytes:
    """The bytes of a CONF_CHANGE entry: version, count, (op, id) each, then the context.

    ValueError when an id does not fit in 64 bits or there are more than 255 changes.
    """
    if len(change.changes) > _MAX_CHANGES:
        raise ValueError(f"a change holds at most {_MAX_CHANGES} steps, not {len(change.changes)}")
    out = bytearray((_VERSION, len(change.changes)))
    for op, member in change.changes:
        if not NOBODY < member <= _MAX_ID:
            raise ValueError(f"{member} is not a member id")
        out.append(op)
        out += member.to_bytes(8, "big")
    return bytes(out) + change.context


def decode(data: bytes) -> ConfChange:
    """The change that `encode` wrote; ValueError, saying why, for anything else."""
    if len(data) < 2:
        raise ValueError(f"a conf change has at least 2 bytes, not {len(data)}")
    if data[0] != _VERSION:
        raise ValueError(f"conf change of version {data[0]}, known is {_VERSION}")
    end = 2 + 9 * data[1]
    if len(data) < end:
        raise ValueError(f"conf change of {data[1]} steps ends after {len(data)} bytes")
    changes = []
    for at in range(2, end, 9):
        member = int.from_bytes(data[at + 1 : at + 9], "big")
        if member == NOBODY:
            raise ValueError("conf change names member 0")
        changes.append((ConfChangeOp(data[at]), member))
    return ConfChange(tuple(changes), data[end:])
