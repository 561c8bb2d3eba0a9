"""Marked keys. In order, so that how many are marked below a branch costs little."""

from __future__ import annotations

from collections.abc import Iterable

from sortedcontainers import SortedList


def end_of(prefix: bytes) -> bytes | None:
    """The first key behind everything that starts with a prefix; None where there is no such."""
    cut = prefix.rstrip(b"\xff")
    return cut[:-1] + bytes([cut[-1] + 1]) if cut else None


class Marks:
    """``last``: the key marked or unmarked last, where a range begins."""

    def __init__(self) -> None:
        self._keys = SortedList()
        self.last: bytes | None = None

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: bytes) -> bool:
        return key in self._keys

    def all(self) -> list[bytes]:
        """Every marked key in order."""
        return list(self._keys)

    def under(self, prefix: bytes) -> int:
        """How many are marked below a prefix."""
        end = end_of(prefix)
        until = len(self._keys) if end is None else self._keys.bisect_left(end)
        return int(until - self._keys.bisect_left(prefix))

    def toggle(self, key: bytes) -> bool:
        """Mark or unmark one; returns whether it is marked now."""
        self.last = key
        if key in self._keys:
            self._keys.remove(key)
            return False
        self._keys.add(key)
        return True

    def add(self, keys: Iterable[bytes]) -> int:
        """Mark some; returns how many were not marked."""
        fresh = [key for key in keys if key not in self._keys]
        self._keys.update(fresh)
        return len(fresh)

    def remove(self, keys: Iterable[bytes]) -> int:
        """Unmark some; returns how many were marked."""
        gone = [key for key in keys if key in self._keys]
        for key in gone:
            self._keys.remove(key)
        return len(gone)

    def turn(self, keys: Iterable[bytes]) -> None:
        """Mark those that are not marked, unmark the others."""
        given = list(keys)
        old = [key for key in given if key in self._keys]
        fresh = [key for key in given if key not in self._keys]
        self.remove(old)
        self._keys.update(fresh)

    def clear(self) -> None:
        """Unmark everything."""
        self._keys.clear()
        self.last = None
