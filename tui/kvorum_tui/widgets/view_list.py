"""The views that SQL can ask, with their columns, as a list that opens and closes."""

from __future__ import annotations

from kvorum_tui.model.sql_words import VIEWS, Column, View
from kvorum_tui.widgets.paint import Line, LineList


class ViewList(LineList):
    """Views; an open one shows its columns below it."""

    def __init__(self) -> None:
        super().__init__(id="sql-views")
        self.opened = {"events"}

    def rows(self) -> list[View | Column]:
        """What is shown."""
        shown: list[View | Column] = []
        for view in VIEWS:
            shown.append(view)
            if view.name in self.opened:
                shown += view.columns
        return shown

    def row_count(self) -> int:
        """Views and columns."""
        return len(self.rows())

    def paint_row(self, number: int, width: int) -> Line:
        """A view, or a column with its type and what it says."""
        row = self.rows()[number]
        line = self.line()
        if isinstance(row, View):
            line.add(" ▾ " if row.name in self.opened else " ▸ ", "dim").add(row.name, "branch")
            return line.add("  ").add(row.about, "dim")
        line.add("   ").cell(row.name, 16).cell(row.type, 7, "accent")
        return line.add(row.about, "dim")

    @property
    def chosen(self) -> View | Column | None:
        """What the cursor stands on."""
        rows = self.rows()
        return rows[self.cursor] if self.cursor < len(rows) else None

    def toggle(self, view: View) -> None:
        """Open or close a view."""
        self.opened ^= {view.name}
        self.changed()
