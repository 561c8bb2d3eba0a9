"""What the Keys tab shows at its right: the value, the numbers, or the history of one key."""

from __future__ import annotations

import time

from kvorum_tui.model import words
from kvorum_tui.model.decode import Decoded, json_tokens, one_line, printable
from kvorum_tui.model.records import KeyEvent, KeyRecord
from kvorum_tui.widgets.dialogs import Rich
from kvorum_tui.widgets.paint import Line, LineList


def value_rich(decoded: Decoded) -> Rich:
    """A decoded value to paint; JSON in colours."""
    if decoded.kind == "empty":
        return [[("(an empty value)", "dim")]]
    if decoded.kind == "json":
        return [_json_line(line) for line in decoded.lines]
    if decoded.kind == "hex":
        lines: Rich = [
            [(line[:8], "dim"), (line[8:56], "text"), (line[56:], "accent")]
            for line in decoded.lines
        ]
    else:
        lines = [[(line, "text")] for line in decoded.lines]
    if decoded.cut:
        lines.append([(f"… {words.size(decoded.cut)} more are not shown", "warn")])
    return lines


def _json_line(line: str) -> list[tuple[str, str]]:
    parts: list[tuple[str, str]] = []
    at = 0
    for start, end, kind in json_tokens(line):
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


class HistoryList(LineList):
    """Revisions of one key, newest first."""

    headed = True

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.events: list[KeyEvent] = []
        self.gap_to = 0
        self.note: list[tuple[str, str]] = []

    @property
    def current(self) -> KeyEvent | None:
        """The revision under the cursor."""
        return self.events[-1 - self.cursor] if self.cursor < len(self.events) else None

    @property
    def previous(self) -> KeyEvent | None:
        """The one before it."""
        place = self.cursor + 1
        return self.events[-1 - place] if place < len(self.events) else None

    def row_count(self) -> int:
        """Revisions, and a last row that says what is gone."""
        return len(self.events)

    def empty_text(self) -> list[tuple[str, str]]:
        """Set by the screen."""
        return self.note

    def heading(self, width: int) -> Line:
        """Column names, and how far back this goes."""
        line = (
            self.line()
            .cell("revision", 10, "head", right=True)
            .cell("", 1)
            .cell("ver", 5, "head", right=True)
        )
        text = f"kept from revision {self.gap_to:,} on" if self.gap_to else "value"
        return (
            line.cell("when", 9, "head").add(text, "head")
            if self._timed
            else line.add(text, "head")
        )

    @property
    def _timed(self) -> bool:
        return any(event.at_ms for event in self.events)

    def paint_row(self, number: int, width: int) -> Line:
        """One revision."""
        event = self.events[-1 - number]
        gone = event.kind == "delete"
        line = self.line().cell(words.count(event.revision), 10, "text", right=True)
        line.cell("−" if gone else "+", 1, "bad" if gone else "good")
        line.cell("" if gone else str(event.version), 5, "dim", right=True)
        if self._timed:
            at = (
                time.strftime("%H:%M:%S", time.localtime(event.at_ms / 1000)) if event.at_ms else ""
            )
            line.cell(at, 9, "dim")
        if gone:
            return line.add("deleted", "bad")
        if event.lease:
            line.add(f"lease {event.lease:x} ", "accent")
        return line.add(one_line(event.value, max(8, width - line.width)), "text")
