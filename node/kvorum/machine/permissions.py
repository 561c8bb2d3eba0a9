"""Ranges of keys that were granted, and whether together they cover what is asked for.

A user may read what any of its roles may read, so permissions of one kind are united: laid over one
another and merged where they touch. "a" to "c" and "c" to "e" then are "a" to "e", and a question
about a range is one binary search: either one merged stretch holds all of it, or something within
it was never granted. A single key is the stretch from itself to its successor, which is itself with
a zero byte behind it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import NamedTuple

# authpb.Permission.Type.
READ, WRITE, READWRITE = 0, 1, 2

_FROM_KEY = b"\0"
_Stretch = tuple[bytes, bytes | None]  # Half-open; an end of None is the end of all keys.


class Permission(NamedTuple):
    """A granted range. ``type`` is etcd's number; one that is unknown grants nothing."""

    type: int
    key: bytes
    range_end: bytes = b""

    @property
    def valid(self) -> bool:
        """Whether there can be a key in the range."""
        if not self.key:
            return False
        return self.range_end in (b"", _FROM_KEY) or self.key < self.range_end


class Coverage:
    """A union of stretches, disjoint and in order. Never changes."""

    __slots__ = ("_ends", "_starts")

    def __init__(self, stretches: Iterable[_Stretch] = ()) -> None:
        self._starts: list[bytes] = []
        self._ends: list[bytes | None] = []
        for start, end in sorted(stretches, key=_start):
            last = self._ends[-1] if self._ends else b""
            if not self._ends or (last is not None and last < start):
                self._starts.append(start)
                self._ends.append(end)
            elif last is not None and (end is None or end > last):
                self._ends[-1] = end

    def __len__(self) -> int:
        return len(self._starts)

    def covers(self, key: bytes, range_end: bytes = b"") -> bool:
        """Whether all of a range, as a request spells it, is covered.

        The empty key stands for the first there can be, as for a watch. A range that can hold no
        key is covered when both its bounds lie inside one stretch (etcd decides by the shape of its
        tree; whoever is allowed sees nothing in either case).
        """
        key = key or b"\0"
        if not range_end:
            return self._reaches(key, key + b"\0")
        if range_end == _FROM_KEY:
            return self._reaches(key, None)
        if range_end > key:
            return self._reaches(key, range_end)
        at = bisect_right(self._starts, range_end) - 1
        return at >= 0 and self._starts[at] < range_end and self._beyond(at, key)

    def _reaches(self, start: bytes, end: bytes | None) -> bool:
        at = bisect_right(self._starts, start) - 1
        if at < 0:
            return False
        limit = self._ends[at]
        return limit is None or (end is not None and end <= limit)

    def _beyond(self, at: int, key: bytes) -> bool:
        limit = self._ends[at]
        return limit is None or key < limit


class Rights(NamedTuple):
    """What a user may do, all its roles together. ``root`` may do everything."""

    root: bool
    read: Coverage
    write: Coverage


def unite(permissions: Iterable[Permission], root: bool = False) -> Rights:
    """The rights that these permissions add up to."""
    reads: list[_Stretch] = []
    writes: list[_Stretch] = []
    for permission in permissions:
        stretch = _stretch(permission)
        if permission.type in (READ, READWRITE):
            reads.append(stretch)
        if permission.type in (WRITE, READWRITE):
            writes.append(stretch)
    return Rights(root, Coverage(reads), Coverage(writes))


def _stretch(permission: Permission) -> _Stretch:
    key, end = permission.key, permission.range_end
    if not end:
        return key, key + b"\0"
    return key, None if end == _FROM_KEY else end


def _start(stretch: _Stretch) -> bytes:
    return stretch[0]
