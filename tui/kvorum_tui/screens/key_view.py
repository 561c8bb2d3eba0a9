"""What the Keys tab shows at its right: the value, the numbers of one key."""

from __future__ import annotations

from kvorum_tui.feeds import KeysFeed
from kvorum_tui.model import words
from kvorum_tui.model.decode import Decoded, config_tokens, json_tokens, printable
from kvorum_tui.model.records import KeyRecord
from kvorum_tui.widgets.dialogs import Rich


def value_rich(decoded: Decoded) -> Rich:
    """A decoded value to paint; JSON, YAML and TOML in colours."""
    if decoded.kind == "empty":
        return [[("(an empty value)", "dim")]]
    if decoded.kind == "json":
        return [_coloured(line, json_tokens(line)) for line in decoded.lines]
    lines: Rich
    if decoded.kind in ("yaml", "toml"):
        lines = [_coloured(line, config_tokens(line)) for line in decoded.lines]
    elif decoded.kind == "hex":
        lines = [
            [(line[:8], "dim"), (line[8:56], "text"), (line[56:], "accent")]
            for line in decoded.lines
        ]
    else:
        lines = [[(line, "text")] for line in decoded.lines]
    if decoded.cut:
        lines.append([(f"… {words.size(decoded.cut)} more are not shown", "warn")])
    return lines


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


def meta_rich(record: KeyRecord, read_revision: int) -> Rich:
    """All numbers of a key."""
    rows = [
        ("key", printable(record.key)),
        ("key, bytes", record.key.hex(" ")),
        ("value", f"{words.size(len(record.value))} ({words.plural(len(record.value), 'byte')})"),
        ("created at revision", words.count(record.create_revision)),
        ("last changed at", words.count(record.mod_revision)),
        ("version", f"{record.version:,} (writes since it was created)"),
        ("lease", f"{record.lease:x}" if record.lease else "none: stays until deleted"),
        ("read at revision", words.count(read_revision)),
    ]
    return [[(f"{name:<20} ", "dim"), (value, "text")] for name, value in rows]


def branch_rich(keys: int) -> Rich:
    """What a branch shows in place of a value."""
    return [
        [("a branch with ", "dim"), (words.plural(keys, "key"), "bold")],
        [],
        [("enter  open or close it", "dim")],
        [("n      write a key below it", "dim")],
        [("w      watch all of it", "dim")],
        [("d      delete all of it, shown first", "dim")],
    ]


def empty_note(feed: KeysFeed, needle: str) -> list[tuple[str, str]]:
    """What an empty tree says: why, and what to press."""
    if needle:
        return [(f"no key contains {needle}", "text"), ("esc clears the filter", "dim")]
    if feed.error is not None and feed.loading:
        return [
            ("the keys cannot be read yet", "warn"),
            (str(feed.error), "dim"),
            ("it goes on trying; 3 shows the members", "dim"),
        ]
    if feed.loading:
        return [("reading the keys…", "dim")]
    return [("the store holds no key", "text"), ("n writes the first one", "dim")]
