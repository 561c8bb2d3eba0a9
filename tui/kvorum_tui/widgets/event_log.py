"""A watch pane's body: the ring of a :class:`WatchBuffer` on the line API; and the same events
through every member, with their delays.
"""

from __future__ import annotations

from collections.abc import Callable

from textual.geometry import Size
from textual.widget import Widget

from kvorum_tui.model import words
from kvorum_tui.model.decode import one_line, printable
from kvorum_tui.model.records import KeyEvent
from kvorum_tui.model.watch_buffer import Entry, Gap, Merged, WatchBuffer
from kvorum_tui.model.watch_diff import inline
from kvorum_tui.model.watch_skew import LATE_MS, SkewTable
from kvorum_tui.widgets.paint import Line, LineList

SIGNS = {"put": ("+", "good"), "delete": ("−", "bad")}
KEY_SHARE = 0.45  # Of a row's width, at most, for the key.


class Followed(LineList):
    """Rows that grow at their end and are lost at their head; follows the end until the user
    scrolls away, and then stays on the row that is being read.
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.follow = True
        self.note: list[tuple[str, str]] = []
        self._lost = 0

    def lost_rows(self) -> int:
        """How many rows have gone at the head so far."""
        return 0

    def empty_text(self) -> list[tuple[str, str]]:
        """Set by the screen."""
        return self.note

    def changed(self) -> None:
        """Rows came in, or went. Where there is a scrollbar already, more of them change nothing in
        the layout, which would cost more than the frame.
        """
        rows, old = self.row_count() + self.headed, self.virtual_size
        if self.show_vertical_scrollbar and rows > self.scrollable_content_region.height:
            self.set_reactive(Widget.virtual_size, Size(old.width, rows))
            self.vertical_scrollbar.window_virtual_size = rows
        super().changed()

    def arrived(self) -> None:
        """Rows came in, or went."""
        lost = self.lost_rows() - self._lost
        self._lost += lost
        self.changed()
        if self.follow:
            self.to_end()
        elif lost > 0:
            self.set_reactive(LineList.cursor, max(0, self.cursor - lost))
            top = max(0, self.scroll_offset.y - lost)
            self.scroll_to(y=top, animate=False, immediate=True)

    def to_end(self) -> None:
        """Show the newest row."""
        self.cursor = max(0, self.row_count() - 1)
        self.keep_in_sight()

    def action_move(self, by: int) -> None:
        """Moving up stops following; reaching the end starts it again."""
        super().action_move(by)
        self.follow = self.cursor >= self.row_count() - 1

    def action_edge(self, last: int) -> None:
        """First or last."""
        super().action_edge(last)
        self.follow = bool(last)

    def on_mouse_scroll_up(self) -> None:
        """Looking back with the wheel stops following, too."""
        self.follow = False


class EventLog(Followed):
    """Events of one watch, newest below."""

    def __init__(
        self, buffer: WatchBuffer, show_keys: bool = True, *, id: str | None = None
    ) -> None:
        super().__init__(id=id)
        self.buffer = buffer
        self.show_keys = show_keys
        self.mark: Gap | None = None

    def show(self, buffer: WatchBuffer, mark: Gap | None = None) -> None:
        """Show another buffer (the past, say), with a mark behind its last row."""
        self.buffer, self.mark = buffer, mark
        self._lost = self.lost_rows()
        self.follow = True
        self.arrived()

    def row_count(self) -> int:
        """Entries in the ring, and the mark."""
        return len(self.buffer.entries) + (self.mark is not None)

    def lost_rows(self) -> int:
        """Entries that are in it no more."""
        return self.buffer.ring.taken - len(self.buffer.ring)

    def entry(self) -> Entry | None:
        """The row under the cursor."""
        entries = self.buffer.entries
        return entries[self.cursor] if self.cursor < len(entries) else None

    def paint_row(self, number: int, width: int) -> Line:
        """One entry."""
        entries = self.buffer.entries
        if number >= len(entries):
            return paint_entry(self.line(), self.mark or Gap(0, ""), width, False)
        return paint_entry(self.line(), entries[number], width, self.show_keys)


def paint_entry(line: Line, entry: Entry, width: int, show_keys: bool) -> Line:
    """Revision, sign, key, previous value -> new value; or what is missing here."""
    if isinstance(entry, Gap):
        sign, ink = ("~ ", "warn") if entry.kind == "gap" else ("— ", "accent")
        return line.cell(str(entry.revision), 8, ink, right=True).add(sign + entry.text, ink)
    event = entry.event if isinstance(entry, Merged) else entry
    sign, ink = SIGNS[event.kind]
    line.cell(str(event.revision), 8, "dim", right=True).add(sign + " ", ink)
    if isinstance(entry, Merged):
        line.add(f"×{words.short_count(entry.count)} ", "accent")
    if show_keys:
        room = max(12, int(width * KEY_SHARE))
        key = printable(event.key)
        line.add(key if len(key) <= room else "…" + key[1 - room :], "bold")
    return _paint_change(line, event, max(8, width - line.width - 2))


def _paint_change(line: Line, event: KeyEvent, room: int) -> Line:
    if event.kind == "delete":
        line.add("  deleted", "bad")
        if event.prev_value is not None:
            line.add("  was ", "dim").add(one_line(event.prev_value, max(8, room - 14)), "minus")
        return line
    if event.prev_value is not None and event.version != 1:
        line.add("  ")
        for text, ink in inline(event.prev_value, event.value, room):
            line.add(text, ink)
        return line
    line.add("  new " if event.version == 1 else "  ", "dim")
    return line.add(one_line(event.value, max(8, room - 4)), "plus")


class SkewLog(Followed):
    """A row a change, a column a member: how much later it came through this one; dots where it
    has not come.
    """

    headed = True

    def __init__(
        self, table: SkewTable, name_of: Callable[[str], str], *, id: str | None = None
    ) -> None:
        super().__init__(id=id)
        self.table = table
        self.name_of = name_of

    def row_count(self) -> int:
        """Changes."""
        return len(self.table.rows)

    def lost_rows(self) -> int:
        """Changes that are in the table no more."""
        return self.table.dropped

    def _cells(self, width: int) -> int:
        return max(9, min(14, (width - 30) // max(1, len(self.table.columns))))

    def heading(self, width: int) -> Line:
        """Members, with what is wrong or how far they are behind."""
        line = self.line().cell("revision", 8, "head", right=True)
        cells = self._cells(width)
        for member, column in self.table.columns.items():
            name = self.name_of(member)
            behind = self.table.behind(member)
            if column.error:
                line.cell(f"{name} ✗", cells - 1, "bad", right=True)
            elif behind:
                line.cell(f"{name} −{words.short_count(behind)}", cells - 1, "warn", right=True)
            else:
                line.cell(name, cells - 1, "head", right=True)
        return line.add(" change", "head")

    def paint_row(self, number: int, width: int) -> Line:
        """Delays of one change."""
        table = self.table
        row = table.rows[number]
        missing = table.missing(row)
        cells = self._cells(width)
        line = self.line().cell(str(row.event.revision), 8, "dim", right=True)
        for member in table.columns:
            delay = row.delay_ms(member)
            if delay is not None:
                late = delay > LATE_MS
                text = "first" if delay == 0 else f"+{words.millis(delay)}"
                ink = "warn" if late else "good" if delay == 0 else "text"
                line.cell(text + ("!" if late else ""), cells - 1, ink, right=True)
            elif member in missing:
                line.cell("missing", cells - 1, "bad", right=True)
            else:
                line.cell("·", cells - 1, "faint", right=True)
        sign, ink = SIGNS[row.event.kind]
        line.add(f" {sign} ", ink)
        return line.add(one_line(row.event.key, max(8, width - line.width)), "bold")
