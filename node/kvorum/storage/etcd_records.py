"""The records in etcd's buckets: revisions, leases, users, roles, alarms, members; bytes and back.

What etcd keeps where (names of buckets in capitals, seen in files of etcd 3.4.23 and 3.5.1):

    KEY      revision (main i64, "_", sub i64, big-endian; "t" behind it: a deletion) ->
             mvccpb.KeyValue; a deletion's has the key alone
    LEASE    id i64 big-endian -> leasepb.Lease: 1 ID, 2 TTL, 3 remaining TTL (0: no checkpoint)
    ALARM    etcdserverpb.AlarmMember -> nothing
    AUTH     authEnabled -> 0 or 1; authRevision -> u64 big-endian
    AUTHUSERS, AUTHROLES   name -> authpb.User, authpb.Role
    MEMBERS  id in hex -> JSON;  MEMBERS_REMOVED: id in hex -> "removed"
    CLUSTER  clusterVersion -> text
    META     consistent_index, term -> u64 big-endian; confState -> JSON of raftpb.ConfState;
             scheduledCompactRev, finishedCompactRev -> revision; storageVersion -> text (3.6)

Decoders take bytes from outside and raise :class:`BadRecord` or :class:`BadRevision`, nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from struct import Struct
from typing import Any, Final, NamedTuple

from kvorum.machine.accounts import Role, User
from kvorum.machine.alarms import Alarm
from kvorum.machine.members import Member
from kvorum.machine.permissions import Permission
from kvorum.machine.record import Record, RecordError, parse_checked, varint
from kvorum.storage.bolt_page import BoltFault

_REVISION = Struct(">qcq")
_NUMBER = Struct(">Q")
_LEASE_ID = Struct(">q")
_TOMBSTONE: Final = b"t"
_SIGN = 1 << 63
_VARINT, _BYTES = 0, 2
_FIXED_BYTES: Final = {1: 8, 5: 4}  # Wire types of protobuf with a fixed size.


class BadRevision(BoltFault):
    """A revision that is not written as one, or does not go with its record."""

    fault = "bad revision"


class BadRecord(BoltFault):
    """A lease, user, role, alarm, member or key-value that cannot be decoded."""

    fault = "bad record"


class Change(NamedTuple):
    """One change of one key in one revision; ``sub`` counts within the revision. A deletion's
    record has only key and ``mod_revision``.
    """

    revision: int
    sub: int
    deleted: bool
    record: Record


class LeaseRecord(NamedTuple):
    """A lease; ``remaining_s`` 0: no checkpoint, the whole TTL counts."""

    id: int
    ttl_s: int
    remaining_s: int = 0


def revision_key(main: int, sub: int = 0, deleted: bool = False) -> bytes:
    """A revision as etcd's key of it, 17 bytes or 18."""
    key = _REVISION.pack(main, b"_", sub)
    return key + _TOMBSTONE if deleted else key


def decode_revision(key: bytes) -> tuple[int, int, bool]:
    """Main, sub, and whether it is a deletion."""
    if len(key) not in (17, 18) or key[8:9] != b"_" or key[17:] not in (b"", _TOMBSTONE):
        raise BadRevision(f"{key[:32].hex()} is none")
    main, _, sub = _REVISION.unpack_from(key)
    if main < 0 or sub < 0:
        raise BadRevision(f"{main}_{sub} is negative")
    return main, sub, len(key) == 18


def encode_change(change: Change) -> tuple[bytes, bytes]:
    """The pair of a change in the bucket of keys."""
    key = revision_key(change.revision, change.sub, change.deleted)
    record = change.record
    if change.deleted:
        return key, b"".join((b"\x0a", varint(len(record.key)), record.key))
    return key, record.wire


def decode_change(key: bytes, value: bytes) -> Change | None:
    """The change of a pair in the bucket of keys; None for a revision that changes nothing (etcd's
    restore with a bumped revision leaves one).
    """
    main, sub, deleted = decode_revision(key)
    if not value:
        return None
    if deleted:
        fields = dict(_fields(value, f"the deletion {main}_{sub}"))
        name = fields.get(1)
        if not isinstance(name, bytes) or not name:
            raise BadRecord(f"the deletion {main}_{sub} has no key")
        return Change(main, sub, True, Record(name, mod_revision=main))
    try:
        record = parse_checked(b"".join((b"\x12", varint(len(value)), value)))
    except RecordError as error:
        raise BadRecord(f"the key-value of {main}_{sub} is not in canonical form") from error
    if record.mod_revision != main or not 0 < record.create_revision <= main:
        raise BadRevision(
            f"{main}_{sub} holds a key created in {record.create_revision} and changed in "
            f"{record.mod_revision}"
        )
    if record.version < 1:
        raise BadRecord(f"the key-value of {main}_{sub} has version {record.version}")
    return Change(main, sub, False, record)


def encode_lease(lease: LeaseRecord) -> tuple[bytes, bytes]:
    """The pair of a lease."""
    value = _number(1, lease.id) + _number(2, lease.ttl_s) + _number(3, lease.remaining_s)
    return _LEASE_ID.pack(lease.id), value


def decode_lease(key: bytes, value: bytes) -> LeaseRecord:
    """The lease of a pair."""
    fields = dict(_fields(value, f"lease {key.hex()}"))
    lease = LeaseRecord(*[_signed(fields.get(number, 0), "a lease") for number in (1, 2, 3)])
    if len(key) != 8 or _LEASE_ID.unpack(key)[0] != lease.id or not lease.id:
        raise BadRecord(f"lease {lease.id} under key {key[:32].hex()}")
    if lease.ttl_s <= 0 or lease.remaining_s < 0:
        raise BadRecord(f"lease {lease.id} has TTL {lease.ttl_s}, {lease.remaining_s} remaining")
    return lease


def encode_alarm(alarm: Alarm) -> tuple[bytes, bytes]:
    """The pair of an alarm."""
    return _number(1, alarm.member_id) + _number(2, alarm.alarm), b""


def decode_alarm(key: bytes) -> Alarm:
    """The alarm in a key."""
    fields = dict(_fields(key, "an alarm"))
    member, alarm = fields.get(1, 0), fields.get(2, 0)
    if not isinstance(member, int) or not isinstance(alarm, int):
        raise BadRecord(f"the alarm {key[:32].hex()} has no numbers")
    return Alarm(member, alarm)


def encode_user(user: User) -> tuple[bytes, bytes]:
    """The pair of a user. Options are always written: older servers count on them."""
    name = user.name.encode()
    value = b"".join(
        [
            _bytes(1, name),
            _bytes(2, user.password) if user.password else b"",
            *[_bytes(3, role.encode()) for role in user.roles],
            _bytes(4, b"\x08\x01" if user.no_password else b""),
        ]
    )
    return name, value


def decode_user(key: bytes, value: bytes) -> User:
    """The user of a pair."""
    name, password, roles, no_password = b"", b"", [], False
    what = f"user {key[:64]!r}"
    for number, field in _fields(value, what):
        if number not in (1, 2, 3, 4):
            continue
        data = _expect_bytes(field, what)
        if number == 1:
            name = data
        elif number == 2:
            password = data
        elif number == 3:
            roles.append(_text(data, what))
        else:
            no_password = bool(dict(_fields(data, what)).get(1, 0))
    if name != key:
        raise BadRecord(f"{what} says it is {name[:64]!r}")
    return User(_text(name, what), password, no_password, tuple(sorted(roles)))


def encode_role(role: Role) -> tuple[bytes, bytes]:
    """The pair of a role."""
    name = role.name.encode()
    parts = [_bytes(1, name)]
    for each in role.permissions:
        end = _bytes(3, each.range_end) if each.range_end else b""
        key = _bytes(2, each.key) if each.key else b""
        parts.append(_bytes(2, _number(1, each.type) + key + end))
    return name, b"".join(parts)


def decode_role(key: bytes, value: bytes) -> Role:
    """The role of a pair."""
    name, permissions = b"", []
    what = f"role {key[:64]!r}"
    for number, field in _fields(value, what):
        if number == 1:
            name = _expect_bytes(field, what)
        elif number == 2:
            fields = dict(_fields(_expect_bytes(field, what), what))
            kind = _signed(fields.get(1, 0), what)
            ends = [_expect_bytes(fields.get(each, b""), what) for each in (2, 3)]
            permissions.append(Permission(kind, *ends))
    if name != key:
        raise BadRecord(f"{what} says it is {name[:64]!r}")
    return Role(_text(name, what), tuple(permissions))


def encode_member(member: Member) -> tuple[bytes, bytes]:
    """The pair of a member."""
    shown: dict[str, Any] = {"id": member.id, "peerURLs": list(member.peer_urls)}
    if member.is_learner:
        shown["isLearner"] = True
    if member.name:
        shown["name"] = member.name
    if member.client_urls:
        shown["clientURLs"] = list(member.client_urls)
    return b"%x" % member.id, json.dumps(shown, separators=(",", ":")).encode()


def decode_member(key: bytes, value: bytes) -> Member:
    """The member of a pair."""
    what = f"member {key[:64]!r}"
    shown = _json(value, what)
    member = shown.get("id")
    if type(member) is not int or member != decode_member_id(key):
        raise BadRecord(f"{what} says it is {member!r}")
    name, learner = shown.get("name", ""), shown.get("isLearner", False)
    if not isinstance(name, str) or not isinstance(learner, bool):
        raise BadRecord(f"{what} has a name that is no text or is neither learner nor voter")
    urls = [shown.get(each) or [] for each in ("peerURLs", "clientURLs")]
    for each in urls:
        if not isinstance(each, list) or not all(isinstance(url, str) for url in each):
            raise BadRecord(f"{what} has addresses that are no texts")
    return Member(member, name, tuple(urls[0]), tuple(urls[1]), learner)


def decode_member_id(key: bytes) -> int:
    """A member's id from its name in hex."""
    if not 0 < len(key) <= 16 or key.strip(b"0123456789abcdef"):
        raise BadRecord(f"member {key[:64]!r} is no number of 64 bits in hex")
    return int(key, 16)


def encode_number(number: int) -> bytes:
    """A number of the buckets of metadata."""
    return _NUMBER.pack(number)


def decode_number(value: bytes, what: str) -> int:
    """A number of the buckets of metadata."""
    if len(value) != _NUMBER.size:
        raise BadRecord(f"{what} has {len(value)} bytes")
    number: int = _NUMBER.unpack(value)[0]
    return number


def decode_text(value: bytes, what: str) -> str:
    """A text of the buckets of metadata."""
    return _text(value, what)


def _number(field: int, number: int) -> bytes:
    return bytes((field << 3,)) + varint(number) if number else b""


def _bytes(field: int, data: bytes) -> bytes:
    return bytes((field << 3 | _BYTES,)) + varint(len(data)) + data


def _fields(data: bytes, what: str) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a protobuf message: numbers for varints, else bytes."""
    at = 0
    while at < len(data):
        tag, at = _take_varint(data, at, what)
        kind = tag & 7
        if kind == _VARINT:
            number, at = _take_varint(data, at, what)
            yield tag >> 3, number
            continue
        if kind == _BYTES:
            size, at = _take_varint(data, at, what)
        elif kind in _FIXED_BYTES:
            size = _FIXED_BYTES[kind]
        else:
            raise BadRecord(f"{what} has a field of wire type {kind}")
        if at + size > len(data):
            raise BadRecord(f"{what} ends within field {tag >> 3}")
        yield tag >> 3, data[at : at + size]
        at += size


def _take_varint(data: bytes, at: int, what: str) -> tuple[int, int]:
    number = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise BadRecord(f"{what} ends within a number")
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            if number >= 2 * _SIGN:
                break
            return number, at
    raise BadRecord(f"{what} has a number of more than 64 bits")


def _signed(number: int | bytes, what: str) -> int:
    if isinstance(number, bytes):
        raise BadRecord(f"{what} has bytes where a number must be")
    return number - 2 * _SIGN if number >= _SIGN else number


def _expect_bytes(field: int | bytes, what: str) -> bytes:
    if not isinstance(field, bytes):
        raise BadRecord(f"{what} has a number where bytes must be")
    return field


def _text(data: bytes, what: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise BadRecord(f"{what} is no UTF-8") from error


def _json(data: bytes, what: str) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadRecord(f"{what} is no JSON") from error
    if not isinstance(value, dict):
        raise BadRecord(f"{what} is no JSON object")
    return value
