"""A watch pane's body: the ring of a :class:`WatchBuffer` on the line API, previous value and new
value side by side.
"""

from __future__ import annotations

from kvorum_tui.model.decode import changed_part, one_line, printable
from kvorum_tui.model.watch_buffer import Gap, WatchBuffer
from kvorum_tui.widgets.paint import Line, LineList

SIGNS = {"put": ("+", "good"), "delete": ("−", "bad")}


class EventLog(LineList):
    """Events of one watch, newest below. Follows the end until the user scrolls away."""

    def __init__(
        self, buffer: WatchBuffer, show_keys: bool = True, *, id: str | None = None
    ) -> None:
        super().__init__(id=id)
        self.buffer = buffer
        self.show_keys = show_keys
        self.follow = True
        self.note: list[tuple[str, str]] = []
        self._seen = 0

    def row_count(self) -> int:
        """Entries in the ring."""
        return len(self.buffer.entries)

    def empty_text(self) -> list[tuple[str, str]]:
        """Set by the screen."""
        return self.note

    def arrived(self) -> None:
        """Entries came in: go to the end, or stay on the entry that is being read."""
        entries, shown = self.buffer.entries, self._seen
        grown = self.buffer.total - self.buffer.hidden - shown
        self._seen += grown
        full = entries.maxlen is not None and len(entries) == entries.maxlen
        self.changed()
        if self.follow:
            self.to_end()
        elif full and grown > 0:
            # The ring lost as many at its head as it took in: what is read moves up by that.
            self.set_reactive(LineList.cursor, max(0, self.cursor - grown))
            self.scroll_to(y=max(0, self.scroll_offset.y - grown), animate=False, immediate=True)

    def to_end(self) -> None:
        """Show the newest entry."""
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

    def paint_row(self, number: int, width: int) -> Line:
        """Revision, sign, key, previous value -> new value."""
        line = self.line()
        entry = self.buffer.entries[number]
        if isinstance(entry, Gap):
            return line.cell(str(entry.revision), 8, "warn", right=True).add(
                f"~ {entry.text}", "warn"
            )
        sign, ink = SIGNS[entry.kind]
        line.cell(str(entry.revision), 8, "dim", right=True).add(sign + " ", ink)
        if self.show_keys:
            line.add(printable(entry.key), "bold")
        room = max(8, width - line.width - 4)
        if entry.kind == "delete":
            line.add("  deleted", "bad")
            if entry.prev_value is not None:
                line.add("  was ", "dim").add(one_line(entry.prev_value, room), "minus")
            return line
        if entry.prev_value is not None and entry.version > 1:
            half = max(8, (room - 5) // 2)
            old, new = changed_part(entry.prev_value, entry.value, half)
            return line.add("  ").add(old, "minus").add(" → ", "dim").add(new, "plus")
        line.add("  new " if entry.version == 1 else "  ", "dim")
        return line.add(one_line(entry.value, room), "plus")
