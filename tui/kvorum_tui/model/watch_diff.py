"""From the previous value to the new one in one line: for JSON the paths that differ, for text the
words; letters and signs say what colours say.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from kvorum_tui.model.decode import as_json, changed_part, one_line, printable, safe_text
from kvorum_tui.model.mask import hidden, masked

Parts = list[tuple[str, str]]  # (text, ink)

COMPARE_BYTES = 4_096  # Larger values are not taken apart on a row; `v` shows them whole.
WORDS_MAX = 160  # difflib is quadratic.
ALIKE = 0.4  # Values with less in common than this are shown as a whole.
AROUND = 6  # Characters on both sides of a change, where there is no room for more.
PATHS_MAX = 60
_WORD = re.compile(r"\\x[0-9a-f]{2}|\w+|\s+|[^\w\s]")
_NAME = re.compile(r"[\w-]+")
_MISSING = object()


class PathChange(NamedTuple):
    """One place in a JSON document; None: nothing stood (or stands) there."""

    path: str
    old: str | None
    new: str | None


def path_changes(old: Any, new: Any, path: str = "") -> Iterator[PathChange]:
    """The places where two JSON values differ, in their order; an added or removed branch is one
    place. Lists are compared position by position.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        for name in dict.fromkeys([*old, *new]):
            step = f".{name}" if _NAME.fullmatch(name) else f"[{json.dumps(name)}]"
            yield from _at(old.get(name, _MISSING), new.get(name, _MISSING), path + step)
    elif isinstance(old, list) and isinstance(new, list):
        for number in range(max(len(old), len(new))):
            before = old[number] if number < len(old) else _MISSING
            after = new[number] if number < len(new) else _MISSING
            yield from _at(before, after, f"{path}[{number}]")
    elif type(old) is not type(new) or old != new:
        yield PathChange(path or ".", _text(old), _text(new))


def _at(old: Any, new: Any, path: str) -> Iterator[PathChange]:
    if old is _MISSING or new is _MISSING:
        yield PathChange(
            path,
            None if old is _MISSING else _text(old),
            None if new is _MISSING else _text(new),
        )
    else:
        yield from path_changes(old, new, path)


def _text(value: Any) -> str:
    return safe_text(json.dumps(value, ensure_ascii=False))


def inline(old: bytes, new: bytes, width: int) -> tuple[tuple[str, str], ...]:
    """What changed, in at most about ``width`` cells."""
    if hidden():
        return ((masked(len(old)), "minus"), (" → ", "dim"), (masked(len(new)), "plus"))
    return _inline(old, new, width)


@lru_cache(maxsize=2_048)
def _inline(old: bytes, new: bytes, width: int) -> tuple[tuple[str, str], ...]:
    if old == new:
        return (("same value ", "dim"), (one_line(new, max(8, width - 11)), "text"))
    if len(old) <= COMPARE_BYTES and len(new) <= COMPARE_BYTES:
        before, after = as_json(old), as_json(new)
        if before is not None and after is not None:
            return tuple(_paths(before, after, width)) or (
                ("written differently, the same JSON", "dim"),
            )
        words = _words(printable(old), printable(new))
        if words is not None:
            if _length(words) > width:
                words = [(_short(text) if ink == "text" else text, ink) for text, ink in words]
            if _length(words) <= width:
                return tuple(words)
    half = max(8, (width - 3) // 2)
    left, right = changed_part(old, new, half)
    return ((left, "minus"), (" → ", "dim"), (right, "plus"))


def _paths(old: Any, new: Any, width: int) -> Parts:
    parts: Parts = []
    used = 0
    changes = []
    for change in path_changes(old, new):
        changes.append(change)
        if len(changes) > PATHS_MAX:
            break
    for number, change in enumerate(changes):
        one = _path_parts(change, max(8, width // 3))
        length = sum(len(text) for text, _ in one) + 2
        rest = len(changes) - number
        more = f"{PATHS_MAX}+" if len(changes) > PATHS_MAX else str(rest)
        if number and used + length + (8 if rest > 1 else 0) > width:
            return [*parts, (f"  +{more} more", "dim")]
        parts += [("  ", "text"), *one] if number else one
        used += length
    return parts


def _path_parts(change: PathChange, room: int) -> Parts:
    path, old, new = change
    if old is None:
        return [(path, "json-key"), (" + ", "good"), (_cut(new or "", room), "plus")]
    if new is None:
        return [(path, "json-key"), (" − ", "bad"), (_cut(old, room), "minus")]
    return [
        (path + " ", "json-key"),
        (_cut(old, room), "minus"),
        (" → ", "dim"),
        (_cut(new, room), "plus"),
    ]


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else text[: room - 1] + "…"


def _length(parts: Parts) -> int:
    return sum(len(text) for text, _ in parts)


def _short(text: str) -> str:
    """Of what stays the same, its ends."""
    return text if len(text) <= 2 * AROUND + 3 else f"{text[:AROUND]}…{text[-AROUND:]}"


def _words(old: str, new: str) -> Parts | None:
    """Words that stay, and in brackets those that do not; None when too little stays."""
    before, after = _WORD.findall(old), _WORD.findall(new)
    if len(before) + len(after) > WORDS_MAX:
        return None
    matcher = difflib.SequenceMatcher(a=before, b=after, autojunk=False)
    kept = sum(
        len(word)
        for tag, a1, a2, _, _ in matcher.get_opcodes()
        if tag == "equal"
        for word in before[a1:a2]
        if not word.isspace()
    )
    if kept < ALIKE * max(len(old), len(new)):
        return None
    parts: Parts = []
    for tag, a1, a2, b1, b2 in matcher.get_opcodes():
        gone, come = "".join(before[a1:a2]), "".join(after[b1:b2])
        if tag == "equal":
            parts.append((gone, "text"))
            continue
        parts.append(("[", "dim"))
        if gone:
            parts.append((gone, "minus"))
        parts.append(("→", "dim"))
        if come:
            parts.append((come, "plus"))
        parts.append(("]", "dim"))
    return parts


def whole_paths(old: bytes | None, new: bytes | None) -> list[Parts]:
    """Every path that differs, a line each; empty when either is no JSON, or values are hidden."""
    if hidden():
        return []
    before = as_json(old) if old else None
    after = as_json(new) if new else None
    if before is None or after is None:
        return []
    lines = []
    for number, change in enumerate(path_changes(before, after)):
        if number == PATHS_MAX * 10:
            lines.append([("and more", "dim")])
            break
        lines.append(_path_parts(change, 400))
    return lines
