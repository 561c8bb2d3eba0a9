"""Which watchers care for a key.

Watchers of one key are found by dictionary; watchers of a prefix by one lookup for each distinct
prefix length in use; other ranges one by one (few clients make them). Watchers of the same range
share one entry.
"""

from __future__ import annotations

from collections import Counter

from kvorum.machine.window import contains
from kvorum.replica.watchers import Watcher

Group = dict[Watcher, None]
"""Watchers of one range, in the order of their coming."""


def prefix_of(key: bytes, range_end: bytes) -> bytes | None:
    """The prefix whose keys are exactly ``[key, range_end)``; None when the range is no prefix."""
    if range_end == b"\0":
        return b"" if key == b"\0" else None
    if not key or len(range_end) > len(key):
        return None
    stem = key[: len(range_end)]
    if key[len(range_end) :].strip(b"\xff"):
        return None
    if stem[:-1] == range_end[:-1] and stem[-1] + 1 == range_end[-1]:
        return key
    return None


class WatchIndex:
    """Watchers by what they watch."""

    def __init__(self) -> None:
        self._keys: dict[bytes, Group] = {}
        self._prefixes: dict[bytes, Group] = {}
        self._lengths: Counter[int] = Counter()
        self._ranges: dict[tuple[bytes, bytes], Group] = {}

    def add(self, watcher: Watcher) -> None:
        """Let a watcher be found."""
        key, end = watcher.key, watcher.range_end
        if not end:
            group = self._keys.setdefault(key, {})
        else:
            prefix = prefix_of(key, end)
            if prefix is None:
                group = self._ranges.setdefault((key, end), {})
            else:
                if prefix not in self._prefixes:
                    self._lengths[len(prefix)] += 1
                group = self._prefixes.setdefault(prefix, {})
        group[watcher] = None

    def remove(self, watcher: Watcher) -> None:
        """Let a watcher be found no longer; one that is not here is passed over."""
        key, end = watcher.key, watcher.range_end
        if not end:
            if _left(self._keys.get(key), watcher):
                del self._keys[key]
            return
        prefix = prefix_of(key, end)
        if prefix is None:
            if _left(self._ranges.get((key, end)), watcher):
                del self._ranges[key, end]
        elif _left(self._prefixes.get(prefix), watcher):
            del self._prefixes[prefix]
            self._lengths[len(prefix)] -= 1
            if not self._lengths[len(prefix)]:
                del self._lengths[len(prefix)]

    def matching(self, key: bytes) -> list[Group]:
        """The groups of watchers whose range holds ``key``."""
        found = []
        group = self._keys.get(key)
        if group:
            found.append(group)
        for length in self._lengths:
            if length <= len(key):
                group = self._prefixes.get(key[:length])
                if group:
                    found.append(group)
        for (start, end), group in self._ranges.items():
            if contains(start, end, key):
                found.append(group)
        return found


def _left(group: Group | None, watcher: Watcher) -> bool:
    """Take a watcher out of its group; whether the group is empty now."""
    if group is None:
        return False
    group.pop(watcher, None)
    return not group
