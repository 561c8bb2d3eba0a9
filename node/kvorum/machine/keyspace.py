"""Live keys in order, and ranges over them.

A dict holds each key's frame and a SortedList the keys in order: ranges are slices, counts two
bisections. (A SortedDict is the same pair under one name, but cannot be copied quickly, and the
copy is what a snapshot's cut is made of.)

Reads at an older revision inside the window are the present with the later changes undone: for
every key that changed since, the first such event knows what was there before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final
from zlib import crc32

from sortedcontainers import SortedList

from kvorum.machine import operations as ops
from kvorum.machine.events import DELETE, PUT, Event
from kvorum.machine.operations import Range
from kvorum.machine.record import Record, key_of, scan, without_value
from kvorum.machine.results import HistoricalRange, RangeResult
from kvorum.machine.window import CatchUp, Window, contains

__all__ = [
    "DELETE",
    "PUT",
    "CatchUp",
    "Event",
    "HistoricalRange",
    "Keyspace",
    "RangeResult",
    "Record",
    "Window",
    "contains",
    "select",
    "undo",
]

_CHECKSUM_MASK: Final = 0xFFFF_FFFF

Overrides = Mapping[bytes, bytes | None]
_NOTHING: Overrides = {}


class Keyspace:
    """The live records. ``checksum`` is the sum of their CRC-32s (see ``digest``), ``live_bytes``
    of their sizes.
    """

    __slots__ = ("checksum", "frames", "live_bytes", "order")

    def __init__(self, frames: Mapping[bytes, bytes] | None = None) -> None:
        self.frames: dict[bytes, bytes] = dict(frames or {})
        self.order: SortedList = SortedList(self.frames)
        self.live_bytes = sum(map(len, self.frames.values()))
        self.checksum = sum(map(crc32, self.frames.values())) & _CHECKSUM_MASK

    def __len__(self) -> int:
        return len(self.frames)

    def store(self, key: bytes, frame: bytes, old: bytes | None) -> None:
        """Set a key's frame; ``old`` is the one it has now."""
        self.frames[key] = frame
        if old is None:
            self.order.add(key)
            self.live_bytes += len(frame)
            self.checksum = (self.checksum + crc32(frame)) & _CHECKSUM_MASK
        else:
            self.live_bytes += len(frame) - len(old)
            self.checksum = (self.checksum + crc32(frame) - crc32(old)) & _CHECKSUM_MASK

    def remove(self, keys: list[bytes]) -> list[bytes]:
        """Remove live keys, given in order; their last frames."""
        gone = [self.frames.pop(key) for key in keys]
        if len(keys) == 1:
            self.order.remove(keys[0])
        else:
            first = self.order.bisect_left(keys[0])
            last = first + len(keys) - 1
            if self.order[last : last + 1] == keys[-1:]:  # A contiguous run: one cut.
                del self.order[first : last + 1]
            else:
                for key in keys:
                    self.order.remove(key)
        self.live_bytes -= sum(map(len, gone))
        self.checksum = (self.checksum - sum(map(crc32, gone))) & _CHECKSUM_MASK
        return gone

    def bounds(self, key: bytes, range_end: bytes) -> tuple[int, int]:
        """The range as positions in the order, low <= high."""
        if not range_end:
            low = self.order.bisect_left(key)
            return low, low + (key in self.frames)
        low = self.order.bisect_left(key)
        if range_end == b"\0":
            return low, len(self.order)
        return low, max(low, self.order.bisect_left(range_end))

    def keys(self, key: bytes, range_end: bytes) -> list[bytes]:
        """The live keys of a range, in order."""
        if not range_end:
            return [key] if key in self.frames else []
        low, high = self.bounds(key, range_end)
        return list(self.order[low:high])

    def range(
        self, query: Range, header_revision: int, overrides: Overrides = _NOTHING
    ) -> RangeResult:
        """Answer a range on the present state, or on an older one: ``overrides`` is what
        :func:`undo` gave for it.
        """
        if not query.range_end and not overrides:
            frame = self.frames.get(query.key)
            if frame is None:
                return RangeResult([], 0, False, header_revision)
            return select(query, [frame], 1, header_revision)
        low, high = self.bounds(query.key, query.range_end)
        count = high - low
        for key, before in overrides.items():
            count += (before is not None) - (key in self.frames)
        if query.count_only:
            return RangeResult([], count, False, header_revision)
        wanted = _fetch(query)
        if wanted and query.sort_order == ops.SORT_DESCEND:
            low = max(low, high - wanted - len(overrides))
        elif wanted:
            high = min(high, low + wanted + len(overrides))
        keys = self.order[low:high]
        if not overrides:
            found = [self.frames[key] for key in keys]
        else:
            found = self._older(keys, overrides)
        return select(query, found, count, header_revision)

    def _older(self, keys: list[bytes], overrides: Overrides) -> list[bytes]:
        """The frames of the older state in key order, ``keys`` being the present ones."""
        older = [key for key in keys if key not in overrides]
        older += [key for key, before in overrides.items() if before is not None]
        older.sort()
        return [overrides.get(key) or self.frames[key] for key in older]


def undo(
    events: Iterable[Event], key: bytes = b"\0", range_end: bytes = b"\0"
) -> dict[bytes, bytes | None]:
    """What differs, within a range, between the state before these events and the state after them.

    Maps each key that changed to its frame before, None where it did not exist.
    """
    before: dict[bytes, bytes | None] = {}
    for event in events:
        if event.key not in before and contains(key, range_end, event.key):
            before[event.key] = event.prev_frame
    return before


def _fetch(query: Range) -> int:
    """How many frames ``select`` needs from the front of the order (or its end, for descending
    keys); 0 for all.

    One more than the limit shows whether there is more. A target other than KEY without an order is
    sorted as well, but only after this cut, as in etcd: its result is the first ``limit + 1`` keys,
    sorted, then cut to ``limit``.
    """
    if query.limit <= 0 or _filtered(query):
        return 0
    if query.sort_order != ops.SORT_NONE and query.sort_target != ops.TARGET_KEY:
        return 0
    return query.limit + 1


def _filtered(query: Range) -> bool:
    return bool(
        query.min_mod_revision
        or query.max_mod_revision
        or query.min_create_revision
        or query.max_create_revision
    )


def select(query: Range, frames: list[bytes], count: int, header_revision: int) -> RangeResult:
    """Filter, sort, cut and strip ``frames`` (in key order; at least what the query needs of them)
    as etcd does.

    ``count`` is of the whole range: filters and limit do not change it.
    """
    if query.count_only:
        return RangeResult([], count, False, header_revision)
    wanted = _fetch(query)
    if wanted:
        descending = query.sort_order == ops.SORT_DESCEND
        frames = frames[-wanted:] if descending else frames[:wanted]
    if _filtered(query):
        frames = [frame for frame in frames if _passes(query, frame)]
    order = query.sort_order
    if order == ops.SORT_NONE and query.sort_target != ops.TARGET_KEY:
        order = ops.SORT_ASCEND
    if order == ops.SORT_DESCEND or (order == ops.SORT_ASCEND and query.sort_target):
        frames = sorted(
            frames, key=_SORT_KEYS[query.sort_target], reverse=order == ops.SORT_DESCEND
        )
    more = 0 < query.limit < len(frames)
    if more:
        frames = frames[: query.limit]
    if query.keys_only:
        frames = [without_value(frame) for frame in frames]
    return RangeResult(frames, count, more, header_revision)


def _passes(query: Range, frame: bytes) -> bool:
    _, _, create, mod, _, _, _, _ = scan(frame)
    return (
        (not query.min_mod_revision or mod >= query.min_mod_revision)
        and (not query.max_mod_revision or mod <= query.max_mod_revision)
        and (not query.min_create_revision or create >= query.min_create_revision)
        and (not query.max_create_revision or create <= query.max_create_revision)
    )


def _value(frame: bytes) -> bytes:
    fields = scan(frame)
    return frame[fields[5] : fields[6]]


_SORT_KEYS: dict[int, Callable[[bytes], bytes | int]] = {
    ops.TARGET_KEY: key_of,
    ops.TARGET_VERSION: lambda frame: scan(frame)[4],
    ops.TARGET_CREATE: lambda frame: scan(frame)[2],
    ops.TARGET_MOD: lambda frame: scan(frame)[3],
    ops.TARGET_VALUE: _value,
}
