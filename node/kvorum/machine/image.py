"""The whole state as a value, and as bytes: what a snapshot holds.

Taking an image (``Machine.image``) must be quick, because everything waits for it: it copies
references, no bytes. Records never change once written, so the copy stays the state of that instant
while the machine goes on. Encoding is slow and may run in a thread.

The bytes: a prelude, then sections of (kind u8, length u32, CRC-32 of kind and payload u32,
payload), little-endian:

    H   head: JSON object with indexes, revisions, digest, cluster, members, alarms
    A U R G P   users and roles, see ``auth_image``: in format 2, and only there
    L   leases: (id i64, ttl_s i64, remaining_s i64) each, ids ascending
    K   keys: frames, one after another, keys ascending over all sections
    E   end: number of keys u64, number of leases u64, checksum of the records u32

Format 1 is that of a state whose users and roles were never touched; both are written and read.

Equal states give equal bytes. A reader believes nothing: order, counts, sums, canonical form of
every record, revisions within bounds and leases that exist are all checked, and an
:class:`ImageError` names what is wrong.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from struct import Struct
from struct import error as struct_error
from typing import Any, Final, NamedTuple
from zlib import crc32

from kvorum import limits
from kvorum.machine.accounts import AuthState
from kvorum.machine.alarms import Alarm
from kvorum.machine.auth_image import KINDS as AUTH_KINDS
from kvorum.machine.auth_image import AuthImageError, AuthReader, encode_auth
from kvorum.machine.digest import checksum_of
from kvorum.machine.members import Member
from kvorum.machine.record import Record, RecordError, parse_checked

_PRELUDE: Final = b"kvorum machine image 1\n"
_PRELUDE_AUTH: Final = b"kvorum machine image 2\n"  # As long as the other.
_SECTION = Struct("<cII")
_LEASE = Struct("<qqq")
_END = Struct("<QQI")


class ImageError(ValueError):
    """An image that cannot be trusted; the text says which part is wrong and how."""


class MachineImage(NamedTuple):
    """An atomic cut of a machine. ``keys`` are in order and are those of ``frames``; neither may be
    changed.
    """

    applied_index: int
    applied_term: int
    revision: int
    compact_revision: int
    digest: int
    cluster_id: int
    cluster_version: str
    members: tuple[Member, ...]
    removed: tuple[int, ...]
    alarms: tuple[Alarm, ...]
    leases: tuple[tuple[int, int, int], ...]
    keys: list[bytes]
    frames: dict[bytes, bytes]
    auth: AuthState = AuthState()


def encode_image(image: MachineImage) -> Iterator[bytes]:
    """The image's bytes in chunks of about ``limits.IMAGE_CHUNK_BYTES``."""
    auth = list(encode_auth(image.auth))
    yield (_PRELUDE_AUTH if auth else _PRELUDE) + _section(b"H", _encode_head(image))
    for kind, payload in auth:
        yield _section(kind, payload)
    step = limits.IMAGE_CHUNK_BYTES // _LEASE.size
    for start in range(0, len(image.leases), step):
        yield _section(b"L", b"".join(_LEASE.pack(*x) for x in image.leases[start : start + step]))
    checksum = 0
    for frames in _batches(image):
        checksum = (checksum + checksum_of(frames)) & 0xFFFF_FFFF
        yield _section(b"K", b"".join(frames))
    yield _section(b"E", _END.pack(len(image.keys), len(image.leases), checksum))


def read_image(chunks: Iterable[bytes]) -> MachineImage:
    """The image that ``chunks`` (cut anywhere) spell. Holds one section beyond the result; raises
    :class:`ImageError`.
    """
    stream = _Stream(chunks)
    prelude = stream.take(len(_PRELUDE), "prelude")
    if prelude not in (_PRELUDE, _PRELUDE_AUTH):
        raise ImageError("the prelude is not that of a kvorum machine image, format 1 or 2")
    kind, payload = stream.section()
    if kind != b"H":
        raise ImageError(f"the first section is {kind!r}, not the head")
    head = _decode_head(payload)
    body = _Body(head, AuthReader() if prelude == _PRELUDE_AUTH else None)
    while True:
        kind, payload = stream.section()
        if kind == b"E":
            body.finish(payload)
            break
        body.add(kind, payload)
    stream.expect_end()
    leases = tuple([(lease, *rest) for lease, rest in body.leases.items()])
    auth = body.auth_state()
    return head._replace(leases=leases, keys=list(body.frames), frames=body.frames, auth=auth)


def _section(kind: bytes, payload: bytes) -> bytes:
    return b"".join((_SECTION.pack(kind, len(payload), crc32(payload, crc32(kind))), payload))


def _batches(image: MachineImage) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    size = 0
    for key in image.keys:
        frame = image.frames[key]
        batch.append(frame)
        size += len(frame)
        if size >= limits.IMAGE_CHUNK_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _encode_head(image: MachineImage) -> bytes:
    head = image._asdict()
    for part in ("leases", "keys", "frames", "auth"):
        del head[part]
    head["members"] = [member._asdict() for member in image.members]
    return json.dumps(head, sort_keys=True, separators=(",", ":")).encode()


def _decode_head(payload: bytes) -> MachineImage:
    try:
        head: dict[str, Any] = json.loads(payload)
        members = [
            Member(
                **{**m, "peer_urls": tuple(m["peer_urls"]), "client_urls": tuple(m["client_urls"])}
            )
            for m in head.pop("members")
        ]
        removed = tuple([int(member) for member in head.pop("removed")])
        alarms = tuple([Alarm(int(member), int(alarm)) for member, alarm in head.pop("alarms")])
        image = MachineImage(
            **head,
            members=tuple(members),
            removed=removed,
            alarms=alarms,
            leases=(),
            keys=[],
            frames={},
            auth=AuthState(),
        )
        numbers = (*image[:6], *[member.id for member in members])
        if not all(type(number) is int for number in numbers):
            raise ImageError("the head has a number that is none")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(f"the head cannot be read: {error}") from error
    if not -1 <= image.compact_revision <= image.revision or image.revision < 1:
        raise ImageError(
            f"revision {image.revision} does not go with compact revision {image.compact_revision}"
        )
    return image


class _Stream:
    """Bytes of an image, taken in the sizes that are needed; holds at most one section and one
    chunk.
    """

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._held = bytearray()
        self._taken = 0

    def take(self, size: int, what: str) -> bytes:
        while len(self._held) < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                raise ImageError(
                    f"the image ends within its {what}, after {self._taken + len(self._held)} bytes"
                )
            self._held += chunk
        taken = bytes(self._held[:size])
        del self._held[:size]
        self._taken += size
        return taken

    def section(self) -> tuple[bytes, bytes]:
        at = self._taken
        kind, size, checksum = _SECTION.unpack(self.take(_SECTION.size, "section headers"))
        if size > limits.IMAGE_SECTION_BYTES_MAX:
            raise ImageError(f"the section at byte {at} claims {size} bytes")
        payload = self.take(size, f"section {kind!r}")
        if crc32(payload, crc32(kind)) != checksum:
            raise ImageError(f"the section {kind!r} at byte {at} is damaged: its CRC differs")
        return kind, payload

    def expect_end(self) -> None:
        if self._held or any(self._chunks):
            raise ImageError(f"there are bytes after the end, at {self._taken}")


class _Body:
    """Users and roles, leases and records as they come, checked."""

    def __init__(self, head: MachineImage, auth: AuthReader | None) -> None:
        self._head = head
        self._auth = auth
        self._last_key = b""
        self.leases: dict[int, tuple[int, int]] = {}
        self.frames: dict[bytes, bytes] = {}

    def add(self, kind: bytes, payload: bytes) -> None:
        if self._auth is not None and kind in AUTH_KINDS and not (self.leases or self.frames):
            self._add_auth(self._auth, kind, payload)
        elif kind == b"L" and not self.frames:
            if not payload or len(payload) % _LEASE.size:
                raise ImageError(f"a section of leases has {len(payload)} bytes")
            for lease, ttl_s, remaining_s in _LEASE.iter_unpack(payload):
                if self.leases and lease <= next(reversed(self.leases)):
                    raise ImageError(f"lease {lease} is out of order")
                self.leases[lease] = (ttl_s, remaining_s)
        elif kind == b"K":
            for frame in _split(payload):
                self._add_frame(frame)
        else:
            raise ImageError(f"a section {kind!r} where none may be")

    def _add_auth(self, auth: AuthReader, kind: bytes, payload: bytes) -> None:
        try:
            auth.add(kind, payload)
        except AuthImageError as error:
            raise ImageError(str(error)) from error

    def auth_state(self) -> AuthState:
        """Users and roles, after the end."""
        try:
            return AuthState() if self._auth is None else self._auth.state()
        except AuthImageError as error:
            raise ImageError(str(error)) from error

    def _add_frame(self, frame: bytes) -> None:
        try:
            record = parse_checked(frame)
        except RecordError as error:
            raise ImageError(f"the record after key {self._last_key!r}: {error}") from error
        self._check(record)
        self.frames[record.key] = frame
        self._last_key = record.key

    def _check(self, record: Record) -> None:
        key = record.key
        if key <= self._last_key:
            raise ImageError(f"key {key!r} after {self._last_key!r} is out of order")
        revisions = (record.create_revision, record.mod_revision, self._head.revision)
        if not 1 < revisions[0] <= revisions[1] <= revisions[2] or record.version < 1:
            told = f"create, mod and current revision {revisions}, version {record.version}"
            raise ImageError(f"key {key!r}: {told}")
        if record.lease and record.lease not in self.leases:
            raise ImageError(f"key {key!r} hangs on lease {record.lease}, which does not exist")

    def finish(self, payload: bytes) -> None:
        found = (len(self.frames), len(self.leases), checksum_of(self.frames.values()))
        try:
            told = _END.unpack(payload)
        except struct_error as error:
            raise ImageError(f"the end section has {len(payload)} bytes") from error
        if told != found:
            raise ImageError(f"the end tells of (keys, leases, checksum) {told}, found {found}")


def _split(payload: bytes) -> Iterator[bytes]:
    """The frames in a section of keys."""
    at, end = 0, len(payload)
    while at < end:
        if payload[at] != 0x12:
            raise ImageError(f"a record does not begin where it should: byte {payload[at]:#x}")
        size = shift = 0
        head = at + 1
        while True:
            if head >= end or shift > 28:
                raise ImageError("a record's length is cut off or too large")
            byte = payload[head]
            head += 1
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        if head + size > end:
            raise ImageError(f"a record of {size} bytes does not fit its section")
        yield payload[at : head + size]
        at = head + size
