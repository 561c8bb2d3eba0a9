"""Records of the write-ahead log: framing, checksums, and what each kind carries.

A segment file is a row of records, each starting at a multiple of 8:

====================  =====  ======================================================================
``length``            u32    bytes of payload, without padding
``kind``              u8     :class:`Kind`, then three zero bytes
``payload_crc``       u32    CRC32C of payload and padding
``chain``             u32    ``header_crc`` of the record before: none can vanish or be replayed
``synced_index``      u64    last entry known to be synced when this record was made
``synced_offset``     u32    end of this segment's bytes known to be synced then: the synced mark
``header_crc``        u32    CRC32C of the 28 bytes above
payload               ...    padded with 0xA5 to a multiple of 8
====================  =====  ======================================================================

The header has a checksum of its own so that a damaged length is told from a payload that was not
written to its end: the first is corruption, the second a torn write. It stands at the header's end,
and the padding is not zero, so that any part of a record which a torn write left as zeros can be
seen to be missing. Both checksums start from the segment's salt: a client who stores a picture of a
record as a value cannot make it pass for one when the log is searched after damage.

Sources: thesis section 3.8 (what must be durable); etcd's log has the same kinds but one rolling
checksum.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import NamedTuple

import google_crc32c

from kvorum.limits import WAL_RECORD_BYTES
from kvorum.raft.types import ConfState, Entry, EntryKind, HardState, SnapshotMeta
from kvorum.storage.interface import WalMetadata

FORMAT_VERSION = 1
MAGIC = b"kvorumW1"
HEADER_BYTES = 32
ALIGN = 8
SECTOR_BYTES = 512  # The unit a disk writes whole or not at all.

_HEADER = struct.Struct("<IB3xIIQI")
_CRC = struct.Struct("<I")
_PAD = tuple(b"\xa5" * n for n in range(ALIGN))


class Kind(IntEnum):
    """What a record's payload is."""

    SEGMENT = (
        1  # First of every segment: whose log, which piece, and how it continues the one before.
    )
    # Entries, a hard state, or both: one record, so that a torn write leaves both or neither.
    BATCH = 2
    SNAPSHOT = 3
    MARK = (
        4  # No payload: written after a sync so that the synced mark covers the newest record too.
    )
    END = 5  # Last of a segment whose successor exists.


_KINDS = {int(kind): kind for kind in Kind}


class Record(NamedTuple):
    """A record that passed its checksums. ``end`` is where the next one starts."""

    kind: Kind
    payload: bytes
    chain: int
    synced_index: int
    synced_offset: int
    crc: int
    end: int


class BadRecord(NamedTuple):
    """Bytes that are no record. ``torn``: part of it was evidently never written."""

    reason: str
    torn: bool


def frame(
    kind: Kind, payload: bytes, *, salt: int, chain: int, synced_index: int, synced_offset: int
) -> tuple[bytes, bytes, bytes, int]:
    """(header, payload, padding, header checksum) of one record; the caller joins many into one
    write.
    """
    pad = _PAD[-len(payload) % ALIGN]
    payload_crc = google_crc32c.extend(salt, payload)
    if pad:
        payload_crc = google_crc32c.extend(payload_crc, pad)
    head = _HEADER.pack(len(payload), kind, payload_crc, chain, synced_index, synced_offset)
    crc: int = google_crc32c.extend(salt, head)
    return head + _CRC.pack(crc), payload, pad, crc


def parse(buffer: bytes, offset: int, salt: int) -> Record | BadRecord | None:
    """The record at ``offset``; None when nothing but zeros (or nothing at all) lies there to the
    end.
    """
    head = buffer[offset : offset + HEADER_BYTES]
    if len(head) < HEADER_BYTES:
        if not head.strip(b"\0"):
            return None
        return BadRecord("file ends inside a record header", True)
    length, kind, payload_crc, chain, synced_index, synced_offset = _HEADER.unpack_from(head)
    (crc,) = _CRC.unpack_from(head, 28)
    if google_crc32c.extend(salt, head[:28]) != crc:
        return _bad_header(buffer, offset)
    end = offset + HEADER_BYTES + length
    padded_end = end + (-length % ALIGN)
    body = buffer[offset + HEADER_BYTES : padded_end]
    if len(body) < padded_end - offset - HEADER_BYTES:
        return BadRecord("file ends inside a record", True)
    if google_crc32c.extend(salt, body) != payload_crc:
        torn = _has_zero_sector(buffer, offset + HEADER_BYTES, padded_end)
        return BadRecord("payload checksum does not match", torn)
    if kind not in _KINDS:
        return BadRecord(f"record kind {kind} is not known to this version", False)
    payload = body if len(body) == length else body[:length]
    return Record(_KINDS[kind], payload, chain, synced_index, synced_offset, crc, padded_end)


def _bad_header(buffer: bytes, offset: int) -> BadRecord | None:
    if is_zero(buffer, offset):
        return None
    if _has_zero_sector(buffer, offset, offset + HEADER_BYTES):
        return BadRecord("record header was not written", True)
    return BadRecord("header checksum does not match", False)


def is_zero(buffer: bytes, start: int, end: int | None = None) -> bool:
    """Whether all bytes of a stretch are zero (an empty one is)."""
    end = len(buffer) if end is None else end
    step = 1 << 16
    return all(
        not buffer[at : min(at + step, end)].strip(b"\0")
        for at in range(start, max(start, end), step)
    )


def _has_zero_sector(buffer: bytes, start: int, end: int) -> bool:
    """Whether the part of some sector that belongs to [start, end) is all zeros."""
    at = start
    while at < end:
        sector_end = min(end, (at // SECTOR_BYTES + 1) * SECTOR_BYTES)
        if is_zero(buffer, at, sector_end):
            return True
        at = sector_end
    return False


_HEADER_LOOKS = re.compile(rb"[\x01-\x05]\0\0\0", re.DOTALL)


def later_marks(buffer: bytes, offset: int, salt: int) -> Iterator[tuple[int, int]]:
    """(synced_offset, synced_index) of every intact record header found after a damaged place.

    The search cannot trust lengths, so it looks at every multiple of 8 whose kind byte is possible.
    """
    first = offset + ALIGN
    for match in _HEADER_LOOKS.finditer(buffer, first):
        at = match.start() - 4
        if at < first or at % ALIGN or at + HEADER_BYTES > len(buffer):
            continue
        head = buffer[at : at + 28]
        if google_crc32c.extend(salt, head) == _CRC.unpack_from(buffer, at + 28)[0]:
            _, _, _, _, synced_index, synced_offset = _HEADER.unpack(head)
            yield synced_offset, synced_index


# --- payloads -------------------------------------------------------------------------------------


class SegmentHead(NamedTuple):
    """The first record of a segment. ``previous_crc`` is the last checksum of the segment before (0
    for the first).
    """

    metadata: WalMetadata
    sequence: int
    first_index: int
    previous_crc: int
    salt: int
    version: int = FORMAT_VERSION


_SEGMENT = struct.Struct("<8sIIQQQQI")
_BATCH = struct.Struct("<I?3x")
_HARD_STATE = struct.Struct("<QQQ")
_ENTRY = struct.Struct("<QQIB3x")
_ENTRY_KINDS = {int(kind): kind for kind in EntryKind}
_SNAPSHOT = struct.Struct("<QQB?4H2x")


def encode_segment_head(head: SegmentHead) -> bytes:
    """Payload of a SEGMENT record."""
    return _SEGMENT.pack(
        MAGIC,
        head.version,
        head.salt,
        head.metadata.cluster_id,
        head.metadata.member_id,
        head.sequence,
        head.first_index,
        head.previous_crc,
    )


def decode_segment_head(payload: bytes) -> SegmentHead:
    """Raises ValueError for another format or version."""
    if len(payload) != _SEGMENT.size:
        raise ValueError("segment head has the wrong size")
    magic, version, salt, cluster, member, sequence, first, previous = _SEGMENT.unpack(payload)
    if magic != MAGIC or version != FORMAT_VERSION:
        raise ValueError(f"not a log of format {FORMAT_VERSION} (magic {magic!r}, {version})")
    return SegmentHead(WalMetadata(cluster, member), sequence, first, previous, salt, version)


def encode_batch(hard_state: HardState | None, entries: Sequence[Entry]) -> bytes:
    """Payload of a BATCH record: the hard state, a table of (index, term, length, kind), then the
    data as it was given.
    """
    pack = _ENTRY.pack
    parts = [_BATCH.pack(len(entries), hard_state is not None)]
    if hard_state is not None:
        parts.append(_HARD_STATE.pack(hard_state.term, hard_state.vote, hard_state.commit))
    parts += [pack(index, term, len(data), kind) for index, term, kind, data in entries]
    parts += [entry.data for entry in entries]
    return b"".join(parts)


def decode_batch(payload: bytes) -> tuple[HardState | None, list[Entry]]:
    """Inverse of :func:`encode_batch`. Raises ValueError, KeyError or struct.error for what it
    could not have made.
    """
    count, has_state = _BATCH.unpack_from(payload)
    table = _BATCH.size
    hard_state = None
    if has_state:
        hard_state = HardState(*_HARD_STATE.unpack_from(payload, table))
        table += _HARD_STATE.size
    at = table + count * _ENTRY.size
    entries = []
    for index, term, size, kind in _ENTRY.iter_unpack(payload[table:at]):
        end = at + size
        entries.append(Entry(index, term, _ENTRY_KINDS[kind], payload[at:end]))
        at = end
    if at != len(payload):
        raise ValueError("entry lengths do not add up")
    return hard_state, entries


def split_entries(entries: Sequence[Entry]) -> Iterator[tuple[Sequence[Entry], bool]]:
    """Split a long run into records of bounded size; (entries, whether it is the last). Nothing:
    one empty piece.
    """
    start = size = 0
    for position, entry in enumerate(entries):
        if size + len(entry.data) > WAL_RECORD_BYTES and position > start:
            yield entries[start:position], False
            start, size = position, 0
        size += len(entry.data)
    yield entries[start:], True


class SnapshotMark(NamedTuple):
    """A SNAPSHOT record. ``reset``: it came from a leader and voids all entries before it."""

    meta: SnapshotMeta
    reset: bool


def encode_snapshot(mark: SnapshotMark) -> bytes:
    """Payload of a SNAPSHOT record."""
    conf = mark.meta.conf
    groups = (conf.voters, conf.learners, conf.voters_outgoing, conf.learners_next)
    head = _SNAPSHOT.pack(
        mark.meta.index, mark.meta.term, mark.reset, conf.auto_leave, *map(len, groups)
    )
    ids = [member for group in groups for member in group]
    return head + struct.pack(f"<{len(ids)}Q", *ids)


def decode_snapshot(payload: bytes) -> SnapshotMark:
    """Inverse of :func:`encode_snapshot`."""
    index, term, reset, auto_leave, *sizes = _SNAPSHOT.unpack_from(payload)
    ids = struct.unpack_from(f"<{sum(sizes)}Q", payload, _SNAPSHOT.size)
    groups = []
    at = 0
    for size in sizes:
        groups.append(ids[at : at + size])
        at += size
    voters, learners, outgoing, following = groups
    conf = ConfState(voters, learners, outgoing, following, auto_leave)
    return SnapshotMark(SnapshotMeta(index, term, conf), bool(reset))
