"""How well letters fit a name, as those who use fuzzy finders expect it: letters that follow one
another count more than scattered ones, the first letters of parts more than those inside, and of
two that fit alike the shorter name is better.

Several words may stand in any order; each must fit. Scores are sums of points, comparable for one
:class:`Fuzzy` only.
"""

from __future__ import annotations

import re

LETTER = 16  # A letter that is there, ...
BOUNDARY = 8  # ... at the beginning of a part, ...
FIRST = 8  # ... and more if it is the first one asked for; ...
RUN = 6  # ... behind the one before it.
GAP = 3  # For each gap, ...
GAP_LETTER = 1  # ... and for each letter in it, up to so many.
GAP_LETTERS_MAX = 12
LENGTH_BITS = 16  # Of two that fit alike, the shorter one.
_WORD = frozenset(b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


class Fuzzy:
    """Letters to look for in names. Small letters find capitals too."""

    def __init__(self, letters: str) -> None:
        self.ignoring = letters == letters.lower()
        flags = re.DOTALL | (re.IGNORECASE if self.ignoring else 0)
        self._words = [[c.encode() for c in word] for word in letters.split()]
        # To the next of each letter, and never back: a name is read once, whatever it is.
        self._ways = [re.compile(b"".join(map(_up_to, word)), flags).match for word in self._words]

    def match(self, name: bytes) -> bool:
        """Whether all words fit."""
        return all(way(name) is not None for way in self._ways)

    def rank(self, name: bytes) -> int:
        """Where a name belongs: the least number is the best; behind all, where it does not fit."""
        if not self.match(name):
            return 0
        told = name.lower() if self.ignoring else name
        points = sum(_best(word, told, name) for word in self._words)
        longest = (1 << LENGTH_BITS) - 1
        return (-points << LENGTH_BITS) + min(len(name), longest)


def _up_to(letter: bytes) -> bytes:
    one = re.escape(letter)
    return (b"[^%b]*+%b" if len(letter) == 1 else b"(?:(?!%b).)*+%b") % (one, one)


def _best(word: list[bytes], told: bytes, name: bytes) -> int:
    """The best of some ways to lay the letters: together wherever they stand so, as early as they
    come, and as late.
    """
    whole = b"".join(word)
    best, at = 0, told.find(whole)
    while at >= 0:
        best = max(best, _run(at, len(word), name))
        if _begins(name, at):
            return best
        at = told.find(whole, at + 1)
    early = _forth(word, told)
    end = early[-1] + len(word[-1])
    for way in (early, _back(word, told, end), _back(word, told, len(told))):
        best = max(best, _points(way, name))
    return best


def _forth(word: list[bytes], told: bytes) -> list[int]:
    """The places of the letters, as early as they may be."""
    places, at = [], 0
    for letter in word:
        found = told.find(letter, at)
        places.append(found)
        at = found + len(letter)
    return places


def _back(word: list[bytes], told: bytes, end: int) -> list[int]:
    """The places of the letters, as late as they may be up to ``end``."""
    places = []
    for letter in reversed(word):
        end = told.rfind(letter, 0, end)
        places.append(end)
    return places[::-1]


def _begins(name: bytes, at: int) -> bool:
    """Whether a part of the name begins here."""
    if at == 0 or name[at - 1] not in _WORD:
        return True
    return 65 <= name[at] <= 90 and 97 <= name[at - 1] <= 122


def _run(at: int, letters: int, name: bytes) -> int:
    """Letters that follow one another."""
    begins = (BOUNDARY + FIRST) if _begins(name, at) else 0
    return letters * LETTER + (letters - 1) * RUN + begins


def _points(places: list[int], name: bytes) -> int:
    points = len(places) * LETTER
    before = -2
    for number, at in enumerate(places):
        if _begins(name, at):
            points += BOUNDARY + (0 if number else FIRST)
        elif at == before + 1:
            points += RUN
        if number and at > before + 1:
            points -= GAP + GAP_LETTER * min(at - before - 2, GAP_LETTERS_MAX)
        before = at
    return points
