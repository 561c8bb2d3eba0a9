"""Operations on users and roles as bytes: all comes back, and nothing but that is accepted."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kvorum.errors import Condition
from kvorum.machine import commands as c
from kvorum.machine.codec import _TABLE
from kvorum.machine.commands import CommandError, Envelope, decode, encode, validate
from kvorum.machine.permissions import Permission

TEXT = st.text(max_size=8)
BLOB = st.binary(max_size=12)
PERMISSIONS = st.builds(Permission, st.integers(-(2**31), 2**31 - 1), BLOB, BLOB)
COMMANDS = st.one_of(
    st.just(c.AuthEnable()),
    st.just(c.AuthDisable()),
    st.builds(c.Authenticate, TEXT, TEXT),
    st.builds(c.UserAdd, TEXT, BLOB, st.booleans()),
    st.builds(c.UserDelete, TEXT),
    st.builds(c.UserChangePassword, TEXT, BLOB),
    st.builds(c.UserGrantRole, TEXT, TEXT),
    st.builds(c.UserRevokeRole, TEXT, TEXT),
    st.builds(c.RoleAdd, TEXT),
    st.builds(c.RoleDelete, TEXT),
    st.builds(c.RoleGrantPermission, TEXT, PERMISSIONS),
    st.builds(c.RoleRevokePermission, TEXT, BLOB, BLOB),
)
UINT64 = st.integers(0, 2**64 - 1)
ENVELOPES = st.builds(
    Envelope, UINT64, UINT64, UINT64, TEXT, st.integers(-(2**63), 2**63 - 1), COMMANDS
)


@given(ENVELOPES, st.data())
@settings(max_examples=500, deadline=None)
def test_round_trip_and_truncation(envelope: Envelope, draw: st.DataObject) -> None:
    data = encode(envelope)
    back = decode(data)
    assert back == envelope
    assert type(back.command) is type(envelope.command)
    with pytest.raises(CommandError):
        decode(data[: draw.draw(st.integers(0, len(data) - 1))])
    with pytest.raises(CommandError):
        decode(data + b"\0")


@given(st.integers(18, 29), st.binary(max_size=40))
@settings(max_examples=500, deadline=None)
def test_any_bytes_are_refused_or_canonical(kind: int, body: bytes) -> None:
    data = bytes((1, kind)) + bytes(24) + body
    try:
        back = decode(data)
    except CommandError:
        return
    assert encode(back) == data


def test_kinds_are_for_ever() -> None:
    """The numbers that logs and snapshots are full of. Only ever add to this list."""
    assert [(number, kind.__name__) for number, kind, _, _ in _TABLE] == [
        (1, "Put"),
        (2, "DeleteRange"),
        (3, "Range"),
        (4, "Txn"),
        (5, "Compact"),
        (6, "LeaseGrant"),
        (7, "LeaseRevoke"),
        (8, "LeaseExpire"),
        (9, "LeaseCheckpoint"),
        (10, "MemberPublish"),
        (11, "MemberAdd"),
        (12, "MemberRemove"),
        (13, "MemberUpdate"),
        (14, "MemberPromote"),
        (15, "AlarmSet"),
        (16, "ClusterVersionSet"),
        (17, "Noop"),
        (18, "AuthEnable"),
        (19, "AuthDisable"),
        (20, "UserAdd"),
        (21, "UserDelete"),
        (22, "UserChangePassword"),
        (23, "UserGrantRole"),
        (24, "UserRevokeRole"),
        (25, "RoleAdd"),
        (26, "RoleDelete"),
        (27, "RoleGrantPermission"),
        (28, "RoleRevokePermission"),
        (29, "Authenticate"),
    ]


@pytest.mark.parametrize(
    ("command", "body"),
    [
        (c.AuthEnable(), b""),
        (c.UserAdd("ab", b"\xff", True), b"\2\0\0\0ab\1\0\0\0\xff\1"),
        (c.UserGrantRole("u", "r"), b"\1\0\0\0u\1\0\0\0r"),
        (
            c.RoleGrantPermission("r", Permission(2, b"k", b"\0")),
            b"\1\0\0\0r\2\0\0\0\1\0\0\0k\1\0\0\0\0",
        ),
        (c.Authenticate("u", "pre"), b"\1\0\0\0u\3\0\0\0pre"),
    ],
)
def test_bytes_are_these(command: Any, body: bytes) -> None:
    kind = next(number for number, known, _, _ in _TABLE if known is type(command))
    assert encode(Envelope(0, 0, 0, "", 0, command)) == bytes((1, kind)) + bytes(24) + body


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (c.RoleGrantPermission("r", None), "a grant without a permission"),
        (c.RoleGrantPermission("r", Permission(2**31, b"k")), "cannot encode RoleGrantPermission"),
        (c.UserDelete("\ud800"), "cannot encode UserDelete"),
        (c.Txn((), (c.AuthDisable(),), ()), "AuthDisable in a transaction"),  # type: ignore[arg-type]  # on purpose
    ],
)
def test_what_has_no_bytes(command: Any, text: str) -> None:
    with pytest.raises(CommandError, match=text):
        encode(Envelope(0, 0, 0, "", 0, command))


def test_a_grant_of_nothing_is_refused_before_proposing() -> None:
    assert validate(c.RoleGrantPermission("r", None)) is Condition.PERMISSION_NOT_GIVEN
    assert validate(c.RoleGrantPermission("r", Permission(0, b""))) is None
    assert validate(c.UserAdd("", b"")) is None
