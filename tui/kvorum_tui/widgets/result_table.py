"""The table of an answer: any number of rows and columns, of which only those in sight are made."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip

from kvorum_tui.model.decode import safe_text
from kvorum_tui.model.sql_result import SqlResult, ink_of, is_right
from kvorum_tui.widgets.paint import Line, LineList

GAP = 1
ARROWS = {False: " ↑", True: " ↓"}


class ResultTable(LineList):
    """Rows with a heading that stays, and a cursor on a cell. A click on a heading sorts."""

    DEFAULT_CSS = "ResultTable { overflow-x: auto; scrollbar-size-horizontal: 1; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "sideways(-1)", "left", show=False),
        Binding("right,l", "sideways(1)", "right", show=False),
        Binding("j", "move(1)", "down", show=False),
        Binding("k", "move(-1)", "up", show=False),
        Binding("ctrl+home", "column_edge(0)", "first column", show=False),
        Binding("ctrl+end", "column_edge(1)", "last column", show=False),
    ]
    headed = True
    column = reactive(0, repaint=False)

    class Head(Message):
        """A heading was clicked."""

        def __init__(self, column: int) -> None:
            super().__init__()
            self.column = column

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.result = SqlResult()
        self.note: list[tuple[str, str]] = []
        self.cells_painted = 0
        self._ends: list[int] = []
        self._gutter = 2

    def show(self, result: SqlResult, note: list[tuple[str, str]]) -> None:
        """Show an answer; ``note`` stands there as long as it has no rows. The cursor stays where
        it was, when the columns are the same.
        """
        if result.columns != self.result.columns:
            self.set_reactive(LineList.cursor, 0)
            self.set_reactive(ResultTable.column, 0)
            self.scroll_to(0, 0, animate=False, immediate=True)
        self.result, self.note = result, note
        self.changed()

    # --- measures ---------------------------------------------------------------------------------

    def row_count(self) -> int:
        """Rows that came."""
        return self.result.count

    def empty_text(self) -> list[tuple[str, str]]:
        """Why there is none."""
        return self.note

    def changed(self) -> None:
        """Rows came, or another answer."""
        widths = self.result.widths
        self._ends = list(accumulate(width + GAP for width in widths))
        self._gutter = len(f"{max(1, self.result.count):,}") + 1
        height = self.row_count() + self.headed
        width = self._gutter + (self._ends[-1] if self._ends else 0)
        if self.virtual_size != (width, height):
            self.virtual_size = Size(width, height)
        top = max(0, self.row_count() - 1)
        if self.cursor > top:
            self.cursor = top
        if self.column >= len(widths):
            self.column = max(0, len(widths) - 1)
        self.refresh()

    def _span(self, column: int) -> tuple[int, int]:
        """Where a column begins and ends, gutter not counted."""
        end = self._ends[column]
        return end - self.result.widths[column] - GAP, end

    def _in_sight(self, width: int) -> range:
        """The columns of which something is to be seen."""
        left = self.scroll_offset.x
        first = bisect_right(self._ends, left)
        last = first
        while last < len(self._ends) and self._span(last)[0] < left + width - self._gutter:
            last += 1
        return range(first, last)

    # --- painting ---------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        """Textual's entry: line ``y`` of the visible part."""
        width = self.scrollable_content_region.width
        number = y - self.headed + self.scroll_offset.y
        if not self.result.columns or (y > 0 and not self.result.count):
            return super().render_line(y)
        if y and number >= self.result.count:
            return Strip.blank(width, self.rich_style)
        return (self._head(width) if y == 0 else self._row(number, width)).strip(
            width, self.rich_style
        )

    def heading(self, width: int) -> Line:
        """Names of columns."""
        return self._head(width) if self.result.columns else self.line()

    def _head(self, width: int) -> Line:
        line = self.line().add(" " * self._gutter)
        for column in self._in_sight(width):
            name = safe_text(self.result.columns[column][0])
            arrow = ""
            if self.result.sorted_by is not None and self.result.sorted_by[0] == column:
                arrow = ARROWS[self.result.sorted_by[1]]
            size = self.result.widths[column]
            text = set_cell_size(name, size - len(arrow)).rstrip() + arrow
            ink = "bold" if column == self.column and self.has_focus else "head"
            self._put(line, column, set_cell_size(text, size), ink, width)
        return line

    def _row(self, number: int, width: int) -> Line:
        at = number == self.cursor
        mark = self.result.fresh.get(self.result.origin(number))
        line = self.line()
        sign = " " if mark is None else "~" if mark else "+"
        gutter = f"{number + 1:,}".rjust(self._gutter - 1)
        line.add(gutter, "text" if at else "faint").add(sign, "mark" if sign != " " else "text")
        for column in self._in_sight(width):
            cell = self.result.cell(number, column)
            self.cells_painted += 1
            size = self.result.widths[column]
            text = cell.text
            fitted = set_cell_size(text, size)
            if fitted.rstrip() != text.rstrip():
                fitted = set_cell_size(text, size - 1) + "…"
            elif is_right(cell.kind):
                fitted = " " * (size - cell_len(text)) + text
            ink = ink_of(cell.kind)
            if at and column == self.column:
                ink = "cursor" if self.has_focus else "cursor-off"
            elif mark is not None and (not mark or column in mark):
                ink = "mark"
            elif at:
                ink = "bold" if ink == "text" else ink
            self._put(line, column, fitted, ink, width)
        return line

    def _put(self, line: Line, column: int, text: str, ink: str, width: int) -> None:
        """A cell, cut where the sight begins and ends."""
        begin, end = self._span(column)
        hidden = self.scroll_offset.x - begin
        if hidden > 0:
            text = text[-left:] if (left := _fitting(text, end - begin - GAP - hidden)) else ""
            text = set_cell_size(text, max(0, end - begin - GAP - hidden))
        line.add(text, ink)
        if line.width < width:
            line.add(" " * GAP)

    # --- moving -----------------------------------------------------------------------------------

    def watch_column(self, old: int, new: int) -> None:
        """Repaint, keep the column in sight."""
        if not self._ends:
            return
        begin, end = self._span(new)
        left = self.scroll_offset.x
        width = self.scrollable_content_region.width - self._gutter
        if begin < left or end - begin > width:
            self.scroll_to(x=begin, animate=False, immediate=True, force=True)
        elif end > left + width:
            self.scroll_to(x=end - width, animate=False, immediate=True, force=True)
        self.refresh()
        if old != new:
            self.post_message(self.Moved(self, self.cursor))

    def action_sideways(self, by: int) -> None:
        """Cursor left or right."""
        self.column = max(0, min(len(self._ends) - 1, self.column + by)) if self._ends else 0

    def action_column_edge(self, last: int) -> None:
        """First or last column."""
        self.column = max(0, len(self._ends) - 1) if last else 0

    def on_click(self, event: events.Click) -> None:
        """A cell under the mouse gets the cursor, a heading sorts."""
        place = event.x - self._gutter + self.scroll_offset.x
        column = bisect_right(self._ends, place)
        if event.x >= self._gutter and column < len(self._ends):
            if event.y == 0:
                event.stop()
                self.post_message(self.Head(column))
                return
            if event.y - 1 + self.scroll_offset.y < self.result.count:
                self.column = column
        super().on_click(event)

    def on_focus(self) -> None:
        """The cursor's look depends on the focus."""
        self.refresh()


def _fitting(text: str, cells: int) -> int:
    """How many of the last characters go into so many cells."""
    count = used = 0
    for character in reversed(text):
        used += cell_len(character)
        if used > cells:
            break
        count += 1
    return count
