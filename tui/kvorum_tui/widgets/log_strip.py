"""Raft logs as strips, aligned by index. Capital = committed, small and underlined = not yet; the
letter is the term.
"""

from __future__ import annotations

from itertools import groupby
from typing import ClassVar

from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.reactive import reactive

from kvorum_tui.model.cluster_model import ClusterModel
from kvorum_tui.model.log_strip import (
    LogRow,
    entry_at,
    newest_index,
    oldest_index,
    strips,
    term_letter,
)
from kvorum_tui.model.records import LogEntryView
from kvorum_tui.widgets.paint import Line, Painted, inks_for, parsed

NAME_CELLS = 12


class LogStrips(Painted, can_focus=True):
    """A line of indexes, then a strip and a line of marks a member, then what stands under the
    cursor.
    """

    DEFAULT_CSS = "LogStrips { height: auto; background: $surface; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "shift(-1)", "older", show=False),
        Binding("right", "shift(1)", "newer", show=False),
        Binding("pageup", "shift(-20)", "older", show=False),
        Binding("pagedown", "shift(20)", "newer", show=False),
        Binding("end", "newest", "newest", show=False),
        Binding("home", "oldest", "oldest", show=False),
        Binding("enter", "choose", "the entry", show=False),
    ]
    back = reactive(0)  # how many entries the cursor stands before the newest

    class Chosen(Message):
        """Enter: the entry under the cursor is wanted in full."""

    class Wanted(Message):
        """The cursor came to the oldest entry that is known."""

    def __init__(self, model: ClusterModel, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.model = model
        self.now = 0.0
        self.older: dict[str, dict[int, LogEntryView]] = {}
        self._rows: list[LogRow] = []
        self._end = 0
        self._height = 0
        self.compact = False  # without the lines of marks

    def refresh_at(self, now: float) -> None:
        """Show the picture of this moment."""
        self.now = now
        width = max(8, self.content_size.width - NAME_CELLS - 2)
        newest = newest_index(self.model)
        # A cursor that looks far back pulls the window with it.
        self._end = max(width, newest + 1 - max(0, self.back - width + 3))
        rows = strips(self.model, width, self._end, now, self.older)
        told = any(row.cells for row in rows)
        if not told:
            rows = rows[:1]  # One line says why there is no log.
        height = 2 + len(rows) * self._lines_each if told else 1
        if height != self._height:
            self._height = height
            self.styles.height = height
        self._rows = rows
        self.refresh()

    @property
    def _lines_each(self) -> int:
        return 1 if self.compact else 2

    @property
    def index(self) -> int:
        """The log index under the cursor."""
        return newest_index(self.model) - self.back

    def action_shift(self, by: int) -> None:
        """Move the cursor along the log."""
        most = newest_index(self.model) - oldest_index(self.model, self.older)
        if by < 0 and self.back - by >= most:
            self.post_message(self.Wanted())
        self.back = max(0, min(most, self.back - by))
        self.refresh_at(self.now)

    def action_oldest(self) -> None:
        """The oldest entry known; older ones are asked for."""
        self.action_shift(-newest_index(self.model))

    def action_choose(self) -> None:
        """The entry in full."""
        self.post_message(self.Chosen())

    def on_click(self, event: events.Click) -> None:
        """Put the cursor under the mouse; a second click opens."""
        width = max(8, self.content_size.width - NAME_CELLS - 2)
        place = event.x - NAME_CELLS - 1
        if 0 <= place < width and event.y > 0:
            self.back = max(0, newest_index(self.model) - (self._end - width + 1 + place))
            self.refresh_at(self.now)
            if event.chain == 2:
                self.action_choose()

    def action_newest(self) -> None:
        """Back to the end of the log."""
        self.back = 0
        self.refresh_at(self.now)

    def paint(self, y: int, width: int) -> Line:
        """Line ``y``."""
        line = self.line()
        if not any(row.cells for row in self._rows):
            return line.add(self._rows[0].reason if self._rows and y == 0 else "", "dim")
        if y == 0:
            return self._scale(line, width)
        if y == 1 + len(self._rows) * self._lines_each:
            return self._under_cursor(line)
        member, marks = divmod(y - 1, self._lines_each)
        if member >= len(self._rows):
            return line
        row = self._rows[member]
        if row.reason:
            if marks:
                return line
            return line.cell(row.member.name, NAME_CELLS, "text").add(row.reason, "faint")
        return self._marks(line, row) if marks else self._strip(line, row)

    def _scale(self, line: Line, width: int) -> Line:
        line.cell("raft log", NAME_CELLS, "head")
        cells = max(8, width - NAME_CELLS - 2)
        first = self._end - cells + 1
        for index in range(first, self._end + 1):
            free = line.width - NAME_CELLS - 1 <= index - first
            fits = NAME_CELLS + 1 + index - first + len(str(index)) <= width
            if index % 10 == 0 and index > 0 and free and fits:
                line.to(NAME_CELLS + 1 + index - first).add(str(index), "dim")
        return line

    def _strip(self, line: Line, row: LogRow) -> Line:
        fresh = row.member.fresh(self.now)
        leads = row.member.report is not None and row.member.report.role == "leader" and fresh
        line.cell(
            ("L " if leads else "  ") + row.member.name, NAME_CELLS, "good" if leads else "text"
        )
        first = self._end - len(row.cells) + 1
        at = self.index - first if self.has_focus else -1
        looks = [
            (
                cell.letter if cell.committed else cell.letter.lower(),
                (cell.ink, cell.committed, cell.entry, place == at),
            )
            for place, cell in enumerate(row.cells)
        ]
        for look, cells in groupby(looks, key=lambda each: each[1]):
            line.styled("".join(letter for letter, _ in cells), self._style(look, fresh))
        return line

    def _style(self, look: tuple[str, bool, bool, bool], fresh: bool) -> Style:
        """How entries of one kind are painted: not committed, of a silent member, under the
        cursor.
        """
        ink, committed, entry, cursor = look
        style = inks_for(self)[ink]
        if not committed:
            style += parsed("underline")
        elif fresh and entry:
            style = Style(color=style.color, bold=True)
        if not fresh and entry:
            style += parsed("dim")
        return style + parsed("reverse") if cursor else style

    def _marks(self, line: Line, row: LogRow) -> Line:
        line.cell("", NAME_CELLS)
        marks = ((cell.mark or " ", "accent" if cell.mark == "=" else "dim") for cell in row.cells)
        for ink, cells in groupby(marks, key=lambda each: each[1]):
            line.add("".join(mark for mark, _ in cells), ink)
        return line

    def _under_cursor(self, line: Line) -> Line:
        if not self.has_focus:
            marks = "z more room" if self.compact else "= match  > next  c commit  a applied"
            return line.add(f"LETTER term, committed · letter not yet · {marks}", "dim")
        line.add(f"index {self.index}: ", "head")
        seen: dict[tuple[int, str], list[str]] = {}
        for row in self._rows:
            entry = entry_at(row.member, self.index, self.older)
            if entry is not None:
                seen.setdefault((entry.term, entry.summary), []).append(row.member.name)
        if not seen:
            return line.add("no member told of it", "dim")
        for (term, summary), names in seen.items():
            line.add(f"term {term} ({term_letter(term)}) ", f"term{(term - 1) % 8}")
            line.add(summary or "entry", "text").add(f" on {', '.join(names)}  ", "dim")
        return line
