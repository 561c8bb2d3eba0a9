"""The children of one branch by a measure: branches first, the greatest on top, then keys in their
own order.

Ranking costs what the number of *branches* in the branch costs, and is done anew only when one came
or went, or when the measures are looked at again; keys are never sorted.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Protocol

RANKED_MAX = 20_000  # Branches in one branch that are put in order: some ten milliseconds.


class _Children(Protocol):
    """What is asked of the branch itself."""

    def find(self, path: bytes) -> int:
        """The place of a child by key."""

    def item(self, place: int) -> bytes:
        """The child at a place by key."""


class Order:
    """The children of a branch in the order of a measure."""

    __slots__ = ("_at", "_branch", "_open", "_places", "_ranked")

    def __init__(
        self, ranked: list[bytes], places: list[int], opened: Sequence[bytes], branch: _Children
    ) -> None:
        self._ranked = ranked
        self._at = {path: number for number, path in enumerate(ranked)}
        self._places = places
        self._open = sorted(opened, key=self._at.__getitem__)
        self._branch = branch

    def place(self, path: bytes, branch: bool) -> int:
        """Where a child stands."""
        if branch:
            return self._at[path]
        at = self._branch.find(path)
        return len(self._ranked) + at - bisect_left(self._places, at)

    def item(self, place: int) -> bytes:
        """The child at a place."""
        if place < len(self._ranked):
            return self._ranked[place]
        number = place - len(self._ranked)
        # The key with this number stands behind as many branches as lie before it.
        low, high = 0, len(self._places)
        while low < high:
            middle = (low + high) // 2
            if self._places[middle] - middle <= number:
                low = middle + 1
            else:
                high = middle
        return self._branch.item(number + low)

    def open_paths(self) -> list[bytes]:
        """The open children, in order."""
        return self._open


def ordered(
    subs: Sequence[bytes],
    opened: Sequence[bytes],
    branch: _Children,
    rank: Callable[[bytes], int],
) -> Order | None:
    """Puts the branches ``subs`` of ``branch`` in order; None when they are too many."""
    if len(subs) > RANKED_MAX:
        return None
    ranked = sorted(subs, key=rank, reverse=True)
    return Order(ranked, [branch.find(path) for path in subs], opened, branch)
