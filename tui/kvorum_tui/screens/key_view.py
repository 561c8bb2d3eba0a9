"""What the Keys tab shows at its right: the value, the numbers of one key, the figures of a branch;
and what an empty tree says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rich.cells import cell_len, chop_cells

from kvorum_tui.key_feed import KeysFeed
from kvorum_tui.model import words
from kvorum_tui.model.decode import Decoded, config_tokens, json_tokens, printable
from kvorum_tui.model.key_sizes import Size
from kvorum_tui.model.mask import MASK, hidden
from kvorum_tui.model.records import KeyRecord
from kvorum_tui.session import SessionError
from kvorum_tui.widgets.dialogs import Rich

_PROTO = re.compile(r"(?P<key>^\s*[\w.]+(?=[:{ ]))|(?P<string>\"(?:[^\"\\]|\\.)*\")")


def value_rich(decoded: Decoded, width: int = 0) -> Rich:
    """A decoded value to paint, in the colours of its syntax. Plain text is folded at ``width``
    cells, where that is given.
    """
    if decoded.kind == "empty":
        return [[("(an empty value)", "dim")]]
    if hidden():
        return [[(MASK, "dim")], [("values are hidden; alt+m shows them", "dim")]]
    lines: Rich
    if decoded.syntax == "json":
        lines = [_coloured(line, json_tokens(line)) for line in decoded.lines]
    elif decoded.syntax == "config":
        lines = [_coloured(line, config_tokens(line)) for line in decoded.lines]
    elif decoded.syntax == "proto":
        lines = [_coloured(line, _proto_tokens(line)) for line in decoded.lines]
    elif decoded.syntax == "hex":
        lines = [
            [(line[:8], "dim"), (line[8:56], "text"), (line[56:], "accent")]
            for line in decoded.lines
        ]
    else:
        lines = [[(part, "text")] for line in decoded.lines for part in _parts(line, width)]
    if decoded.note:
        lines.append([(f"({decoded.note})", "dim")])
    if decoded.cut:
        text = f"… {words.size(decoded.cut)} more are not shown: O shows all"
        lines.append([(text, "warn")])
    return lines


def _parts(line: str, width: int) -> list[str]:
    """A line in parts that fit; wide characters count twice."""
    if not width or cell_len(line) <= width:
        return [line]
    return chop_cells(line, width)


def _proto_tokens(line: str) -> list[tuple[int, int, str]]:
    return [(m.start(), m.end(), m.lastgroup or "") for m in _PROTO.finditer(line)]


def _coloured(line: str, tokens: list[tuple[int, int, str]]) -> list[tuple[str, str]]:
    parts: list[tuple[str, str]] = []
    at = 0
    for start, end, kind in tokens:
        if start > at:
            parts.append((line[at:start], "text"))
        parts.append((line[start:end], f"json-{kind}"))
        at = end
    if at < len(line):
        parts.append((line[at:], "text"))
    return parts


def lit_rich(lines: Rich, pattern: re.Pattern[str]) -> Rich:
    """The same lines, with what a search looked for standing out where it lies within one part."""
    out: Rich = []
    for line in lines:
        parts: list[tuple[str, str]] = []
        for text, ink in line:
            at = 0
            for found in pattern.finditer(text):
                if found.start() > at:
                    parts.append((text[at : found.start()], ink))
                if found.group():
                    parts.append((found.group(), "mark"))
                at = found.end()
            if at < len(text):
                parts.append((text[at:], ink))
        out.append(parts)
    return out


def meta_rich(record: KeyRecord, read_revision: int, decoded: Decoded) -> Rich:
    """All numbers of a key."""
    rows = [
        ("key", printable(record.key)),
        ("key, bytes", record.key.hex(" ")),
        ("value", f"{words.size(len(record.value))} ({words.plural(len(record.value), 'byte')})"),
        ("form", decoded.title + (f" ({decoded.note})" if decoded.note else "")),
        ("created at revision", words.count(record.create_revision)),
        ("last changed at", words.count(record.mod_revision)),
        ("version", f"{record.version:,} (writes since it was created)"),
        ("lease", f"{record.lease:x}" if record.lease else "none: stays until deleted"),
        ("read at revision", words.count(read_revision)),
    ]
    return [[(f"{name:<20} ", "dim"), (value, "text")] for name, value in rows]


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a branch. ``size`` was measured ``age_s`` ago."""

    keys: int
    branches: int
    key_bytes: int
    size: Size | None
    age_s: float
    per_minute: int
    gone: int
    marked: int
    largest: tuple[tuple[int, bytes], ...] = ()


def branch_rich(facts: Facts) -> Rich:
    """What a branch shows in place of a value."""
    lines: Rich = [[("a branch with ", "dim"), (words.plural(facts.keys, "key"), "bold")]]
    rows = [("keys take", words.size(facts.key_bytes), "")]
    if facts.branches:
        rows.insert(0, ("branches in it", words.count(facts.branches), ""))
    if facts.size is None:
        rows.append(("values take", "not measured", "g reads them once"))
    else:
        size = facts.size
        sure = "exact" if not size.writes else f"≈, {words.plural(size.writes, 'write')} since"
        when = f"{sure} · revision {size.revision:,}, {words.age(facts.age_s)}"
        rows.append(("values take", words.size(size.value_bytes), when))
    rows.append(("writes a minute", words.count(facts.per_minute), "in the last minute"))
    if facts.gone:
        rows.append(("deleted keys", words.count(facts.gone), "shown with ~"))
    if facts.marked:
        rows.append(("marked", words.count(facts.marked), ""))
    lines += [[(f"{a:<16} ", "dim"), (b, "text"), (f"   {c}", "dim")] for a, b, c in rows]
    if facts.largest:
        lines += [[], [("largest values", "head")]]
        lines += [
            [(f"{words.size(size):>9}  ", "text"), (printable(key), "dim")]
            for size, key in facts.largest[:8]
        ]
    lines += [
        [],
        [("enter  open or close it", "dim")],
        [("space  mark all of it", "dim")],
        [("n      write a key below it", "dim")],
        [("w      watch all of it", "dim")],
        [("d      delete all of it, shown first", "dim")],
    ]
    return lines


def empty_note(feed: KeysFeed) -> list[tuple[str, str]]:
    """What an empty tree says: why, and what to press."""
    if feed.denied is not None:
        return [
            ("you may not list all keys", "warn"),
            (str(feed.denied), "dim"),
            ("^r names the prefixes that you may read", "dim"),
        ]
    if feed.error is not None and feed.loading:
        return [
            ("the keys cannot be read yet", "warn"),
            (str(feed.error), "dim"),
            *([(what, "text")] if (what := words.advice(str(feed.error))) else []),
            ("it goes on trying; 3 shows the members", "dim"),
        ]
    if feed.loading:
        return [("reading the keys…", "dim")]
    if not feed.everything:
        return [("no key in these ranges", "text"), ("^r reads others", "dim")]
    return [("the store holds no key", "text"), ("n writes the first one", "dim")]


def past_note(loading: bool, error: SessionError | None, revision: int) -> list[tuple[str, str]]:
    """The same at another revision."""
    if error is not None:
        return [
            (f"revision {revision:,} cannot be read", "warn"),
            (str(error), "dim"),
            ("T goes elsewhere, or back to now", "dim"),
        ]
    if loading:
        return [(f"reading revision {revision:,}…", "dim")]
    return [(f"no key at revision {revision:,}", "text"), ("T goes elsewhere", "dim")]


def found_note(title: str, looking: bool) -> list[tuple[str, str]]:
    """The same where nothing was found (yet)."""
    if looking:
        return [("looking…", "dim"), (title, "dim")]
    return [(title, "text"), ("esc clears it", "dim")]
