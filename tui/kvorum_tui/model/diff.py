"""Differences between two values, line by line; JSON is brought into one form first, so that only
meaning differs.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from kvorum_tui.model.decode import decode, is_json, pretty_json, safe_text

CONTEXT_LINES = 3
MAX_DIFF_LINES = (
    4_000  # difflib is quadratic in the worst case: more lines than this are compared as whole.
)


@dataclass(frozen=True, slots=True)
class DiffLine:
    """``sign`` is " ", "+", "-" or "@" (a stretch of equal lines left out)."""

    sign: str
    text: str


def value_lines(value: bytes) -> list[str]:
    """A value as lines to compare."""
    if is_json(value):
        return [safe_text(line) for line in pretty_json(value).split("\n")]
    return list(decode(value).lines)


def diff_values(old: bytes | None, new: bytes | None) -> list[DiffLine]:
    """What to take away from ``old`` and add to reach ``new``; None stands for "no such key"."""
    return diff_lines(
        value_lines(old) if old is not None else [], value_lines(new) if new is not None else []
    )


def diff_lines(old: list[str], new: list[str]) -> list[DiffLine]:
    """The same on lines."""
    if len(old) + len(new) > MAX_DIFF_LINES:
        return [
            DiffLine(
                "@", f"too long to compare line by line ({len(old):,} and {len(new):,} lines)"
            ),
            *(DiffLine("-", line) for line in old[:50]),
            *(DiffLine("+", line) for line in new[:50]),
        ]
    out: list[DiffLine] = []
    matcher = difflib.SequenceMatcher(a=old, b=new, autojunk=False)
    groups = list(matcher.get_grouped_opcodes(CONTEXT_LINES))
    shown = 0
    for group in groups:
        start = group[0][1]
        if start > shown:
            out.append(DiffLine("@", f"{start - shown} equal lines"))
        for tag, a1, a2, b1, b2 in group:
            if tag == "equal":
                out += [DiffLine(" ", line) for line in old[a1:a2]]
            else:
                out += [DiffLine("-", line) for line in old[a1:a2]]
                out += [DiffLine("+", line) for line in new[b1:b2]]
            shown = a2
    if groups and shown < len(old):
        out.append(DiffLine("@", f"{len(old) - shown} equal lines"))
    return out


LINE_MAX = 2_000  # A longer line is cut: painting it would hold up the screen.


def diff_texts(old: str, new: str) -> list[DiffLine]:
    """What differs between two texts as they stand, however long; what both begin and end with is
    left out first.
    """
    one, two = ([safe_text(line) for line in text.split("\n")] for text in (old, new))
    if not old or not new:
        one, two = (one if old else []), (two if new else [])
    shorter = min(len(one), len(two))
    head = next((n for n in range(shorter) if one[n] != two[n]), shorter)
    tail = next((n for n in range(shorter - head) if one[-1 - n] != two[-1 - n]), shorter - head)
    head, tail = max(0, head - CONTEXT_LINES), max(0, tail - CONTEXT_LINES)
    out = diff_lines(one[head : len(one) - tail], two[head : len(two) - tail])
    if not out:
        return []
    if head:
        out.insert(0, DiffLine("@", f"{head} equal lines"))
    if tail:
        out.append(DiffLine("@", f"{tail} equal lines"))
    return [
        line if len(line.text) <= LINE_MAX else DiffLine(line.sign, line.text[:LINE_MAX] + "…")
        for line in out
    ]


def summary(lines: list[DiffLine]) -> str:
    """How much differs, in words."""
    plus = sum(1 for line in lines if line.sign == "+")
    minus = sum(1 for line in lines if line.sign == "-")
    if not plus and not minus:
        return "no difference"
    return f"+{plus} −{minus} lines"
