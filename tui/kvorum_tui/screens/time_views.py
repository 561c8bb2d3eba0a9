"""The lists of the Time tab: the changes around a revision, and the keys that are gone."""

from __future__ import annotations

from collections.abc import Callable

from textual.message import Message

from kvorum_tui.model import words
from kvorum_tui.model.decode import decode, one_line, printable
from kvorum_tui.model.diff import diff_values, summary
from kvorum_tui.model.records import KeyEvent
from kvorum_tui.model.time_changes import Before, Changes
from kvorum_tui.model.time_place import clock_text
from kvorum_tui.model.watch_diff import inline, whole_paths
from kvorum_tui.screens.key_view import value_rich
from kvorum_tui.session.past import Gone
from kvorum_tui.widgets.dialogs import Rich, diff_rich
from kvorum_tui.widgets.paint import Line, LineList

WHO_CELLS = 12
WHEN_CELLS = 11
WIDE = 90  # From here on there is room for who did it.
KEY_SHARE = 0.42


class ChangeList(LineList):
    """Changes oldest first; the line between past and future is where one stands."""

    headed = True

    class Edge(Message):
        """Home or end: oldest, or now."""

        def __init__(self, last: bool) -> None:
            super().__init__()
            self.last = last

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.changes = Changes()
        self.here = 0
        self.seen = False  # Clocks are those of seeing.
        self.note: list[tuple[str, str]] = []
        self.name_of: Callable[[int], str] = lambda member: f"{member:x}"

    @property
    def current(self) -> KeyEvent | None:
        """The change under the cursor."""
        events = self.changes.events
        return events[self.cursor] if self.cursor < len(events) else None

    @property
    def dated(self) -> bool:
        """Whether it is known when any of it happened."""
        return any(event.at_ms for event in self.changes.events)

    def stand(self, revision: int) -> None:
        """The cursor on the last change at or before a revision, in the middle of the list."""
        self.here = revision
        self.changed()
        row = self.changes.row_of(revision)
        self.cursor = row
        top = max(0, row - self.page_rows // 2)
        self.scroll_to(y=top, animate=False, immediate=True, force=True)
        self.refresh()

    def row_count(self) -> int:
        """Changes."""
        return len(self.changes.events)

    def empty_text(self) -> list[tuple[str, str]]:
        """Set by the screen."""
        return self.note

    def action_edge(self, last: int) -> None:
        """Home and end go through time, not through the list."""
        self.post_message(self.Edge(bool(last)))

    def heading(self, width: int) -> Line:
        """Column names."""
        line = self.line().cell("revision", 10, "head", right=True).add("  ")
        if self.dated:
            line.cell("seen at" if self.seen else "when", WHEN_CELLS, "head")
            if width >= WIDE and not self.seen:
                line.cell("by", WHO_CELLS, "head")
        return line.add("key  previous → new", "head")

    def paint_row(self, number: int, width: int) -> Line:
        """One change."""
        event = self.changes.events[number]
        later = event.revision > self.here
        ink = "faint" if later else "text"
        at = event.revision == self.here
        line = self.line().add(">" if at else " ", "mark" if at else "dim")
        line.cell(words.count(event.revision), 9, "bold" if at else ink, right=True)
        gone = event.kind == "delete"
        line.add("− " if gone else "+ ", "dim" if later else "bad" if gone else "good")
        if self.dated:
            line.cell(clock_text(event.at_ms), WHEN_CELLS, "dim")
            if width >= WIDE and not self.seen:
                line.cell(self._who(event), WHO_CELLS, "faint" if later else "accent")
        room = width - line.width
        key = printable(event.key)
        longest = max(12, int(room * KEY_SHARE))
        line.add(key if len(key) <= longest else "…" + key[1 - longest :], ink).add("  ")
        self._value(line, event, max(8, width - line.width), later)
        return line

    def _who(self, event: KeyEvent) -> str:
        name = self.name_of(event.member) if event.member else ""
        return f"{event.user}@{name}" if event.user else name

    def _value(self, line: Line, event: KeyEvent, room: int, later: bool) -> None:
        before = self.changes.before_of(event)
        if event.kind == "delete":
            line.add("deleted", "faint" if later else "bad")
            if before is not None and before.value is not None:
                line.add("  was ", "dim").add(one_line(before.value, max(8, room - 14)), "dim")
            return
        if later or before is None or before.value is None:
            fresh = before is not None and before.value is None and not before.lost
            line.add("new " if fresh else "", "dim")
            line.add(one_line(event.value, max(8, room - 4)), "faint" if later else "plus")
            return
        for text, ink in inline(before.value, event.value, room):
            line.add(text, ink)


def change_detail(event: KeyEvent, before: Before | None, who: str, seen: bool, form: str) -> Rich:
    """What one change did, for reading."""
    when = clock_text(event.at_ms)
    facts = [f"revision {words.count(event.revision)}"]
    if when:
        facts.append(f"seen {when}" if seen else when)
    if who:
        facts.append(f"by {who}")
    if event.kind == "put":
        facts.append(f"version {event.version}")
    if event.lease:
        facts.append(f"lease {event.lease:x}")
    lines: Rich = [[(" · ".join(facts), "dim")]]
    if before is None:
        return [*lines, *value_rich(decode(event.value, form))]
    if before.lost:
        lines.append([("what was before is compacted away", "warn")])
        return lines if event.kind == "delete" else [*lines, *value_rich(decode(event.value, form))]
    new = event.value if event.kind == "put" else None
    return lines + difference(before.value, new, form)


def difference(old: bytes | None, new: bytes | None, form: str = "") -> Rich:
    """From one value to another: paths where both are JSON, then line by line."""
    if old is None and new is None:
        return [[("no such key on either side", "dim")]]
    if old is None and new is not None:
        return [[("there was no such key before", "dim")], [], *value_rich(decode(new, form))]
    paths: Rich = [list(line) for line in whole_paths(old, new)]
    if paths:
        paths = [[("paths that differ", "head")], *paths, []]
    lines = diff_values(old, new)
    return [*paths, [(summary(lines), "head")], *diff_rich(lines)]


class GoneList(LineList):
    """Keys that do not exist any more, in key order; some are marked."""

    headed = True

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.gone: list[Gone] = []
        self.marked: set[bytes] = set()
        self.seen = False
        self.note: list[tuple[str, str]] = []
        self.name_of: Callable[[int], str] = lambda member: f"{member:x}"

    @property
    def current(self) -> Gone | None:
        """The key under the cursor."""
        return self.gone[self.cursor] if self.cursor < len(self.gone) else None

    def chosen(self) -> list[Gone]:
        """The marked keys, or the one under the cursor."""
        if self.marked:
            return [gone for gone in self.gone if gone.key in self.marked]
        return [self.current] if self.current is not None else []

    def toggle(self) -> None:
        """Mark or unmark, and go on."""
        gone = self.current
        if gone is not None:
            self.marked ^= {gone.key}
            self.action_move(1)
            self.refresh()

    def toggle_all(self) -> None:
        """All, or none when all are."""
        every = {gone.key for gone in self.gone}
        self.marked = set() if self.marked == every else every
        self.refresh()

    def row_count(self) -> int:
        """Keys."""
        return len(self.gone)

    def empty_text(self) -> list[tuple[str, str]]:
        """Set by the screen."""
        return self.note

    def heading(self, width: int) -> Line:
        """Column names."""
        line = self.line().add("  ").cell("deleted at", 10, "head", right=True)
        line.cell("seen at" if self.seen else "when", WHEN_CELLS, "head")
        if width >= WIDE and not self.seen:
            line.cell("by", WHO_CELLS, "head")
        return line.cell("last value", 14, "head").add("key", "head")

    def paint_row(self, number: int, width: int) -> Line:
        """One key."""
        gone = self.gone[number]
        marked = gone.key in self.marked
        line = self.line().add("* " if marked else "  ", "mark")
        line.cell(words.count(gone.revision), 10, "text", right=True)
        line.cell(clock_text(gone.at_ms), WHEN_CELLS, "dim")
        if width >= WIDE and not self.seen:
            name = self.name_of(gone.member) if gone.member else ""
            line.cell(f"{gone.user}@{name}" if gone.user else name, WHO_CELLS, "accent")
        if gone.last:
            line.cell(f"rev {words.count(gone.last)}", 14, "good")
        else:
            line.cell("compacted away", 14, "warn")
        return line.add(printable(gone.key), "bold" if marked else "text")
