"""Three versions of a text made one: what it was, mine, theirs.

Text is merged line by line, JSON by path (two people who add different members to one object do
not disturb one another, wherever their lines are). What both changed differently is a conflict: it
stands in the result twice, between marks, and a result with marks cannot be saved.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

MINE = "<<<<<<< mine"
BETWEEN = "======="
THEIRS = ">>>>>>> theirs"

Json = Any


class _Missing:
    """No such member. One object, compared by identity."""


_MISSING = _Missing()


@dataclass(frozen=True, slots=True)
class Merged:
    """The one text. ``conflicts``: stretches that stand in it twice, between marks."""

    text: str
    conflicts: int = 0


def merge_text(base: str, mine: str, theirs: str) -> Merged:
    """Line by line."""
    lines: list[str] = []
    conflicts = 0
    for ours, other in _regions(base.split("\n"), mine.split("\n"), theirs.split("\n")):
        if other is None:
            lines += ours
        else:
            conflicts += 1
            lines += [MINE, *ours, BETWEEN, *other, THEIRS]
    return Merged("\n".join(lines), conflicts)


def merge_json(base: str, mine: str, theirs: str) -> Merged | None:
    """By path, laid out anew; None when one of the three is no JSON."""
    try:
        was, ours, other = (json.loads(text) for text in (base, mine, theirs))
    except (ValueError, RecursionError):
        return None
    # Twice: once with mine where both changed a thing, once with theirs. Where these differ are
    # the conflicts.
    with_mine = _merged(was, ours, other, take_mine=True)
    with_theirs = _merged(was, ours, other, take_mine=False)
    if with_mine is _MISSING or with_theirs is _MISSING:
        return None
    return _marked(_layout(with_mine), _layout(with_theirs))


def merge_values(base: str, mine: str, theirs: str, is_json: bool) -> Merged:
    """The way that fits."""
    found = merge_json(base, mine, theirs) if is_json else None
    return found or merge_text(base, mine, theirs)


def has_marks(text: str) -> bool:
    """Whether a conflict is left in a text."""
    lines = text.split("\n")
    return MINE in lines or THEIRS in lines


def _layout(value: Json) -> list[str]:
    return json.dumps(value, indent=2, ensure_ascii=False).split("\n")


def _marked(mine: list[str], theirs: list[str]) -> Merged:
    lines: list[str] = []
    conflicts = 0
    matcher = difflib.SequenceMatcher(a=mine, b=theirs, autojunk=False)
    for tag, a1, a2, b1, b2 in matcher.get_opcodes():
        if tag == "equal":
            lines += mine[a1:a2]
        else:
            conflicts += 1
            lines += [MINE, *mine[a1:a2], BETWEEN, *theirs[b1:b2], THEIRS]
    return Merged("\n".join(lines), conflicts)


# --- JSON -----------------------------------------------------------------------------------------


def _same(one: Json, other: Json) -> bool:
    """Equal, and of one type: 1, 1.0 and true are three things."""
    if one is _MISSING or other is _MISSING:
        return one is other
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _merged(base: Json, mine: Json, theirs: Json, take_mine: bool) -> Json:
    if _same(mine, theirs) or _same(theirs, base):
        return mine
    if _same(mine, base):
        return theirs
    if isinstance(mine, dict) and isinstance(theirs, dict):
        was = base if isinstance(base, dict) else {}
        names = [*mine, *(name for name in theirs if name not in mine)]
        out = {
            name: _merged(
                was.get(name, _MISSING),
                mine.get(name, _MISSING),
                theirs.get(name, _MISSING),
                take_mine,
            )
            for name in names
        }
        return {name: value for name, value in out.items() if value is not _MISSING}
    if isinstance(base, list) and isinstance(mine, list) and isinstance(theirs, list):
        merged = _merged_items(base, mine, theirs, take_mine)
        if merged is not None:
            return merged
    return mine if take_mine else theirs


def _merged_items(base: list[Json], mine: list[Json], theirs: list[Json], take_mine: bool) -> Json:
    """Lists item by item when nobody moved any, else as lines are merged; None on a conflict."""
    if len(base) == len(mine) == len(theirs):
        triples = zip(base, mine, theirs, strict=True)
        return [_merged(*triple, take_mine=take_mine) for triple in triples]
    texts = [[json.dumps(item) for item in items] for items in (base, mine, theirs)]
    out: list[str] = []
    for ours, other in _regions(*texts):
        if other is not None:
            return None
        out += ours
    return [json.loads(text) for text in out]


# --- lines ----------------------------------------------------------------------------------------


def _regions(
    base: Sequence[str], mine: Sequence[str], theirs: Sequence[str]
) -> Iterator[tuple[list[str], list[str] | None]]:
    """Stretches of the merged text: the lines, and theirs beside them where both differ."""
    at = at_mine = at_theirs = 0
    for start, in_mine, in_theirs, size in _common(base, mine, theirs):
        was, ours = list(base[at:start]), list(mine[at_mine:in_mine])
        other = list(theirs[at_theirs:in_theirs])
        if ours == other or other == was:
            yield ours, None
        elif ours == was:
            yield other, None
        else:
            yield ours, other
        yield list(base[start : start + size]), None
        at, at_mine, at_theirs = start + size, in_mine + size, in_theirs + size


def _common(
    base: Sequence[str], mine: Sequence[str], theirs: Sequence[str]
) -> Iterator[tuple[int, int, int, int]]:
    """Stretches that are in all three: where they begin in each, and their size; a last one of
    size 0 at the ends.
    """
    ours = difflib.SequenceMatcher(a=base, b=mine, autojunk=False).get_matching_blocks()
    other = difflib.SequenceMatcher(a=base, b=theirs, autojunk=False).get_matching_blocks()
    i = j = 0
    while i < len(ours) and j < len(other):
        one, two = ours[i], other[j]
        start = max(one.a, two.a)
        end = min(one.a + one.size, two.a + two.size)
        if start < end:
            yield start, one.b + start - one.a, two.b + start - two.a, end - start
        if one.a + one.size < two.a + two.size:
            i += 1
        else:
            j += 1
    yield len(base), len(mine), len(theirs), 0
