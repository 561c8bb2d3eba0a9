"""Commands as bytes: the body of a log entry.

Our own format, because an entry is written by one member and read by all, millions of times, and
protobuf in Python costs ten times as much. Everything is little-endian and of fixed width, so that
a Put is one ``struct.pack`` and two copies:

    envelope   version u8, kind u8, request_id u64, at_ms u64, origin u64, [identity], body
    identity   auth_revision i64, user str
    bytes      length u32, data            str   as bytes, UTF-8
    tuple      count u32, items            operation of a txn   kind u8, body

The top bit of ``kind`` says that the identity is present. A reader takes no
byte on trust: a length beyond the end, an unknown kind, an unknown flag, left-over bytes and too
deep nesting are a :class:`CommandError`.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from struct import error as struct_error
from typing import Any, Final

from kvorum import limits
from kvorum.machine import operations as ops
from kvorum.machine.auth_codec import AUTH_TABLE
from kvorum.machine.operations import Command, CommandError, Envelope
from kvorum.machine.packing import (
    I64,
    U32,
    U64,
    Reader,
    known_flags,
    write_blob,
    write_texts,
)

VERSION: Final = 1
_IDENTITY: Final = 0x80
_PUT_KIND: Final = 1

_HEAD = Struct("<BBQQQ")
_PUT_ENTRY = Struct("<BBQQQBqI")
_PUT = Struct("<BqI")
_RANGE = Struct("<BqqiiqqqqII")
_COMPARE = Struct("<iiBqI")
_IDENTITY_HEAD = Struct("<qI")


def encode(envelope: Envelope) -> bytes:
    """The bytes of a log entry.

    Raises :class:`CommandError` for a command that cannot be written: a number out of its range, an
    empty operation in a transaction, a type that is no command.
    """
    request_id, at_ms, origin, user, auth_revision, command = envelope
    try:
        if type(command) is ops.Put and not user and not auth_revision:
            key, value, lease, prev_kv, ignore_value, ignore_lease = command
            flags = prev_kv | ignore_value << 1 | ignore_lease << 2
            head = _PUT_ENTRY.pack(
                VERSION, _PUT_KIND, request_id, at_ms, origin, flags, lease, len(key)
            )
            return b"".join((head, key, value))
        kind = _KIND_OF.get(type(command))
        if kind is None or kind == _RANGE_KIND:
            raise CommandError(f"not a command: {type(command).__name__}")
        out: list[bytes] = []
        if user or auth_revision:
            name = user.encode()
            out.append(_HEAD.pack(VERSION, kind | _IDENTITY, request_id, at_ms, origin))
            out.append(_IDENTITY_HEAD.pack(auth_revision, len(name)))
            out.append(name)
        else:
            out.append(_HEAD.pack(VERSION, kind, request_id, at_ms, origin))
        _WRITERS[kind](command, out)
        return b"".join(out)
    except (struct_error, TypeError, AttributeError, UnicodeEncodeError) as error:
        raise CommandError(f"cannot encode {type(command).__name__}: {error}") from error


def encode_command(command: Command) -> bytes:
    """Kind and body alone, without an envelope: canonical bytes, used by the digest. Raises
    :class:`CommandError`.
    """
    return encode(Envelope(0, 0, 0, "", 0, command))[_HEAD.size :]


def decode(data: bytes) -> Envelope:
    """The envelope in ``data``. Raises :class:`CommandError` for anything :func:`encode` would not
    have written.
    """
    try:
        version, kind, request_id, at_ms, origin = _HEAD.unpack_from(data)
        if version != VERSION:
            raise CommandError(f"entry format {version} is unknown here (this is {VERSION})")
        reader = Reader(data, _HEAD.size)
        user, auth_revision = "", 0
        if kind & _IDENTITY:
            kind ^= _IDENTITY
            auth_revision = reader.signed()
            user = reader.text()
            if not user and not auth_revision:
                raise CommandError("an identity of nobody")
        read = _READERS.get(kind)
        if read is None or kind == _RANGE_KIND:
            raise CommandError(f"command kind {kind} is unknown here")
        command = read(reader, 0)
        if reader.at != len(data):
            raise CommandError(f"{len(data) - reader.at} bytes after the command")
        return Envelope(request_id, at_ms, origin, user, auth_revision, command)
    except (struct_error, UnicodeDecodeError) as error:
        raise CommandError(f"malformed entry of {len(data)} bytes: {error}") from error


# --- keys and transactions ------------------------------------------------------------------------


def _write_put(c: ops.Put, out: list[bytes]) -> None:
    """The value has no length of its own here: see ``_write_nested_put`` for one inside a
    transaction.
    """
    flags = c.prev_kv | c.ignore_value << 1 | c.ignore_lease << 2
    out.append(_PUT.pack(flags, c.lease, len(c.key)))
    out.append(c.key)
    out.append(c.value)


def _read_put(r: Reader, depth: int) -> ops.Put:
    flags, lease, key_length = r.fields(_PUT)
    known_flags(flags, 7)
    key = r.take(key_length)
    value = r.take(len(r.data) - r.at) if depth == 0 else r.blob()
    return ops.Put(key, value, lease, bool(flags & 1), bool(flags & 2), bool(flags & 4))


def _write_nested_put(c: ops.Put, out: list[bytes]) -> None:
    flags = c.prev_kv | c.ignore_value << 1 | c.ignore_lease << 2
    out.append(_PUT.pack(flags, c.lease, len(c.key)))
    out.append(c.key)
    write_blob(c.value, out)


def _write_delete(c: ops.DeleteRange, out: list[bytes]) -> None:
    out.append(b"\1" if c.prev_kv else b"\0")
    write_blob(c.key, out)
    write_blob(c.range_end, out)


def _read_delete(r: Reader, depth: int) -> ops.DeleteRange:
    prev_kv = r.flag()
    return ops.DeleteRange(r.blob(), r.blob(), prev_kv)


def _write_range(c: ops.Range, out: list[bytes]) -> None:
    flags = c.serializable | c.keys_only << 1 | c.count_only << 2
    out.append(
        _RANGE.pack(
            flags,
            c.limit,
            c.revision,
            c.sort_order,
            c.sort_target,
            c.min_mod_revision,
            c.max_mod_revision,
            c.min_create_revision,
            c.max_create_revision,
            len(c.key),
            len(c.range_end),
        )
    )
    out.append(c.key)
    out.append(c.range_end)


def _read_range(r: Reader, depth: int) -> ops.Range:
    flags, limit, revision, order, target, *bounds, key_length, end_length = r.fields(_RANGE)
    known_flags(flags, 7)
    key, end = r.take(key_length), r.take(end_length)
    options = (bool(flags & 1), bool(flags & 2), bool(flags & 4))
    return ops.Range(key, end, limit, revision, order, target, *options, *bounds)


def _write_compare(c: ops.Compare, out: list[bytes]) -> None:
    operand = c.operand
    if isinstance(operand, bytes):
        out.append(_COMPARE.pack(c.target, c.result, 1, 0, len(c.key)))
    else:
        out.append(_COMPARE.pack(c.target, c.result, 0, operand, len(c.key)))
    out.append(c.key)
    write_blob(c.range_end, out)
    if isinstance(operand, bytes):
        write_blob(operand, out)


def _read_compare(r: Reader) -> ops.Compare:
    target, result, kind, number, key_length = r.fields(_COMPARE)
    known_flags(kind, 1)
    if kind and number:
        raise CommandError("an operand that is both bytes and a number")
    key, end = r.take(key_length), r.blob()
    return ops.Compare(key, target, result, r.blob() if kind else number, end)


def _write_txn(c: ops.Txn, out: list[bytes]) -> None:
    out.append(U32.pack(len(c.compare)))
    for compare in c.compare:
        _write_compare(compare, out)
    for branch in (c.success, c.failure):
        out.append(U32.pack(len(branch)))
        for op in branch:
            kind = _KIND_OF.get(type(op), 0)
            if kind not in _NESTABLE:
                raise CommandError(f"{type(op).__name__} in a transaction")
            out.append(bytes((kind,)))
            if isinstance(op, ops.Put):
                _write_nested_put(op, out)
            else:
                _WRITERS[kind](op, out)


def _read_txn(r: Reader, depth: int) -> ops.Txn:
    if depth > limits.MAX_TXN_DEPTH:
        raise CommandError(f"transactions nested deeper than {limits.MAX_TXN_DEPTH}")
    compare = tuple([_read_compare(r) for _ in range(r.count())])
    return ops.Txn(compare, _read_branch(r, depth + 1), _read_branch(r, depth + 1))


def _read_branch(r: Reader, depth: int) -> tuple[ops.Operation, ...]:
    branch: list[ops.Operation] = []
    for _ in range(r.count()):
        kind = r.take(1)[0]
        if kind not in _NESTABLE:
            raise CommandError(f"operation kind {kind} in a transaction")
        branch.append(_READERS[kind](r, depth))
    return tuple(branch)


# --- everything else ------------------------------------------------------------------------------


def _write_compact(c: ops.Compact, out: list[bytes]) -> None:
    out.append(I64.pack(c.revision))
    out.append(b"\1" if c.physical else b"\0")


def _write_expire(c: ops.LeaseExpire, out: list[bytes]) -> None:
    out.append(U64.pack(c.proposer_term))
    out.append(U32.pack(len(c.ids)))
    out.extend(I64.pack(lease) for lease in c.ids)


def _read_expire(r: Reader, depth: int) -> ops.LeaseExpire:
    term = r.unsigned()
    return ops.LeaseExpire(tuple([r.signed() for _ in range(r.count())]), term)


def _write_checkpoint(c: ops.LeaseCheckpoint, out: list[bytes]) -> None:
    out.append(U32.pack(len(c.items)))
    for lease, remaining_s in c.items:
        out.append(I64.pack(lease))
        out.append(I64.pack(remaining_s))


def _read_checkpoint(r: Reader, depth: int) -> ops.LeaseCheckpoint:
    return ops.LeaseCheckpoint(tuple([(r.signed(), r.signed()) for _ in range(r.count())]))


def _write_publish(c: ops.MemberPublish, out: list[bytes]) -> None:
    out.append(U64.pack(c.id))
    write_blob(c.name.encode(), out)
    write_texts(c.client_urls, out)


def _write_add(c: ops.MemberAdd, out: list[bytes]) -> None:
    out.append(U64.pack(c.id))
    write_texts(c.peer_urls, out)
    out.append(b"\1" if c.is_learner else b"\0")
    out.append(U32.pack(c.max_learners))


def _read_add(r: Reader, depth: int) -> ops.MemberAdd:
    member, urls, learner = r.unsigned(), r.texts(), r.flag()
    return ops.MemberAdd(member, urls, learner, int(r.fields(U32)[0]))


def _write_update(c: ops.MemberUpdate, out: list[bytes]) -> None:
    out.append(U64.pack(c.id))
    write_texts(c.peer_urls, out)


def _write_alarm(c: ops.AlarmSet, out: list[bytes]) -> None:
    out.append(I64.pack(c.action))
    out.append(U64.pack(c.member_id))
    out.append(I64.pack(c.alarm))


def _write_grant(c: ops.LeaseGrant, out: list[bytes]) -> None:
    out.append(I64.pack(c.id))
    out.append(I64.pack(c.ttl_s))


def _write_id(c: ops.MemberRemove | ops.MemberPromote, out: list[bytes]) -> None:
    out.append(U64.pack(c.id))


_Writer = Callable[[Any, list[bytes]], None]
_Read = Callable[[Reader, int], Any]

# Numbers are for ever: a log or a snapshot of an older release must stay readable. New kinds get
# new numbers.
_TABLE: tuple[tuple[int, type, _Writer, _Read], ...] = (
    (_PUT_KIND, ops.Put, _write_put, _read_put),
    (2, ops.DeleteRange, _write_delete, _read_delete),
    (3, ops.Range, _write_range, _read_range),
    (4, ops.Txn, _write_txn, _read_txn),
    (5, ops.Compact, _write_compact, lambda r, _: ops.Compact(r.signed(), r.flag())),
    (6, ops.LeaseGrant, _write_grant, lambda r, _: ops.LeaseGrant(r.signed(), r.signed())),
    (
        7,
        ops.LeaseRevoke,
        lambda c, out: out.append(I64.pack(c.id)),
        lambda r, _: ops.LeaseRevoke(r.signed()),
    ),
    (8, ops.LeaseExpire, _write_expire, _read_expire),
    (9, ops.LeaseCheckpoint, _write_checkpoint, _read_checkpoint),
    (
        10,
        ops.MemberPublish,
        _write_publish,
        lambda r, _: ops.MemberPublish(r.unsigned(), r.text(), r.texts()),
    ),
    (11, ops.MemberAdd, _write_add, _read_add),
    (12, ops.MemberRemove, _write_id, lambda r, _: ops.MemberRemove(r.unsigned())),
    (13, ops.MemberUpdate, _write_update, lambda r, _: ops.MemberUpdate(r.unsigned(), r.texts())),
    (14, ops.MemberPromote, _write_id, lambda r, _: ops.MemberPromote(r.unsigned())),
    (
        15,
        ops.AlarmSet,
        _write_alarm,
        lambda r, _: ops.AlarmSet(r.signed(), r.unsigned(), r.signed()),
    ),
    (
        16,
        ops.ClusterVersionSet,
        lambda c, out: write_blob(c.version.encode(), out),
        lambda r, _: ops.ClusterVersionSet(r.text()),
    ),
    (17, ops.Noop, lambda c, out: None, lambda r, _: ops.Noop()),
    *AUTH_TABLE,
)
_RANGE_KIND: Final = 3
_NESTABLE: Final = frozenset({1, 2, 3, 4})
_KIND_OF: dict[type, int] = {kind: number for number, kind, _, _ in _TABLE}
_WRITERS: dict[int, _Writer] = {number: write for number, _, write, _ in _TABLE}
_READERS: dict[int, _Read] = {number: read for number, _, _, read in _TABLE}
