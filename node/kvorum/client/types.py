"""What calls return: small immutable values with bytes for keys and values.

Each reply carries the :class:`Header` of the member that answered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from kvorum_proto import etcdserverpb as pb
from kvorum_proto import mvccpb

Key = str | bytes
"""Keys and values are bytes; text is taken as its UTF-8."""


def to_bytes(text: Key) -> bytes:
    """Bytes as they are, text as UTF-8."""
    if isinstance(text, str):
        return text.encode()
    if isinstance(text, bytes):
        return text
    raise TypeError(f"keys and values are str or bytes, not {type(text).__name__}")


def prefix_end(prefix: bytes) -> bytes:
    """The range end that makes a range of every key with this prefix (``b"\\0"``: no end)."""
    for at in range(len(prefix) - 1, -1, -1):
        if prefix[at] < 0xFF:
            return prefix[:at] + bytes((prefix[at] + 1,))
    return b"\0"


def key_range(
    key: Key, range_end: Key | None = None, *, prefix: bool = False, from_key: bool = False
) -> tuple[bytes, bytes]:
    """Key and range end as the server wants them.

    Alone: one key. ``range_end``: the keys from ``key`` up to it. ``prefix``: every key that starts
    with ``key`` (an empty one: all). ``from_key``: every key from ``key`` on. Raises ``ValueError``
    when more than one is asked for.
    """
    start = to_bytes(key)
    if (range_end is not None) + prefix + from_key > 1:
        raise ValueError("range_end, prefix and from_key exclude one another")
    if prefix:
        return (start, prefix_end(start)) if start else (b"\0", b"\0")
    if from_key:
        return start or b"\0", b"\0"
    return start, b"" if range_end is None else to_bytes(range_end)


class Header(NamedTuple):
    """Who answered, and how far that member was."""

    cluster_id: int = 0
    member_id: int = 0
    revision: int = 0
    raft_term: int = 0


class KeyValue(NamedTuple):
    """One key as it is at one revision."""

    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    lease: int


EventType = Literal["PUT", "DELETE"]


class Event(NamedTuple):
    """One change of one key. The ``kv`` of a DELETE holds only the key and the revision of the
    deletion.
    """

    type: EventType
    kv: KeyValue
    prev_kv: KeyValue | None

    @property
    def key(self) -> bytes:
        """The key that changed."""
        return self.kv.key

    @property
    def value(self) -> bytes:
        """Its new value; empty for a DELETE."""
        return self.kv.value

    @property
    def revision(self) -> int:
        """The revision of the change."""
        return self.kv.mod_revision

    @property
    def is_create(self) -> bool:
        """Whether the key did not exist just before."""
        return self.type == "PUT" and self.kv.create_revision == self.kv.mod_revision


@dataclass(frozen=True, slots=True)
class GetResult:
    """Answer to a read of one key; false when there is no such key."""

    header: Header
    kv: KeyValue | None

    def __bool__(self) -> bool:
        return self.kv is not None

    @property
    def value(self) -> bytes | None:
        """The value, or None when there is no such key."""
        return None if self.kv is None else self.kv.value

    @property
    def mod_revision(self) -> int:
        """The revision of the key's last change, or 0: what a compare wants."""
        return 0 if self.kv is None else self.kv.mod_revision


@dataclass(frozen=True, slots=True)
class RangeResult:
    """Answer to a read of a range. ``count`` counts the whole range, ``more`` says that a limit cut
    it.
    """

    header: Header
    kvs: tuple[KeyValue, ...]
    more: bool
    count: int


@dataclass(frozen=True, slots=True)
class PutResult:
    """Answer to a put; ``prev_kv`` only if it was asked for and the key existed."""

    header: Header
    prev_kv: KeyValue | None


@dataclass(frozen=True, slots=True)
class DeleteResult:
    """Answer to a delete; ``prev_kvs`` only if they were asked for."""

    header: Header
    deleted: int
    prev_kvs: tuple[KeyValue, ...]


@dataclass(frozen=True, slots=True)
class TxnResult:
    """Answer to a transaction: which branch ran, and one answer for each of its operations, in
    order.
    """

    header: Header
    succeeded: bool
    responses: tuple[RangeResult | PutResult | DeleteResult | TxnResult, ...]


def header_of(message: pb.ResponseHeader | None) -> Header:
    """The header, or zeros where the server sends none."""
    if message is None:
        return Header()
    return Header(message.cluster_id, message.member_id, message.revision, message.raft_term)


def kv_of(message: mvccpb.KeyValue) -> KeyValue:
    """A KeyValue of the wire as ours."""
    return KeyValue(
        message.key,
        message.value,
        message.create_revision,
        message.mod_revision,
        message.version,
        message.lease,
    )


def maybe_kv(message: mvccpb.KeyValue | None) -> KeyValue | None:
    """The same for one that may be missing."""
    return None if message is None else kv_of(message)


def range_of(reply: pb.RangeResponse) -> RangeResult:
    """A RangeResponse of the wire as ours."""
    kvs = tuple(kv_of(kv) for kv in reply.kvs)
    return RangeResult(header_of(reply.header), kvs, reply.more, reply.count)


def put_of(reply: pb.PutResponse) -> PutResult:
    """A PutResponse of the wire as ours."""
    return PutResult(header_of(reply.header), maybe_kv(reply.prev_kv))


def delete_of(reply: pb.DeleteRangeResponse) -> DeleteResult:
    """A DeleteRangeResponse of the wire as ours."""
    kvs = tuple(kv_of(kv) for kv in reply.prev_kvs)
    return DeleteResult(header_of(reply.header), reply.deleted, kvs)
