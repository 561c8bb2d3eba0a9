"""What the views of the Admin tab share: a table with a cursor that stays on its row, lines to read
below it, and the way to the facts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual.containers import Container, Vertical
from textual.content import Content
from textual.widget import Widget

from kvorum_tui.model.admin_facts import AdminFacts
from kvorum_tui.widgets.dialogs import Rich, folded
from kvorum_tui.widgets.paint import Line, LineList, TextLines

if TYPE_CHECKING:
    from kvorum_tui.screens.admin import AdminPane
    from kvorum_tui.screens.workspace import Workspace

Cell = tuple[str, str]  # text and ink


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table; a width of 0 takes what is left. ``from_width``: not on narrower
    screens.
    """

    title: str
    width: int = 0
    right: bool = False
    from_width: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """A row: what it stands for, and a cell for each column."""

    key: object
    cells: tuple[Cell, ...]


class Table(LineList):
    """Rows with a heading. The cursor stays on the row's key whatever comes and goes."""

    headed = True

    def __init__(self, columns: Sequence[Column], id: str) -> None:
        super().__init__(id=id)
        self.columns = tuple(columns)
        self.rows: list[Row] = []
        self.note: list[Cell] = [("asking…", "dim")]

    @property
    def key(self) -> object:
        """What the chosen row stands for; None without rows."""
        return self.rows[self.cursor].key if self.cursor < len(self.rows) else None

    def show(self, rows: list[Row], empty: Sequence[Cell] = ()) -> None:
        """Show these rows."""
        at = self.key
        if empty and list(empty) != self.note:
            self.note = list(empty)
            self.refresh()
        if rows == self.rows:
            return
        self.rows = rows
        place = next((n for n, row in enumerate(rows) if row.key == at), None)
        if place is None:
            place = min(self.cursor, max(0, len(rows) - 1))
        self.set_reactive(LineList.cursor, place)
        self.changed()

    def goto(self, key: object) -> None:
        """Stand on a row."""
        place = next((n for n, row in enumerate(self.rows) if row.key == key), None)
        if place is not None:
            self.cursor = place

    def row_count(self) -> int:
        """Rows."""
        return len(self.rows)

    def empty_text(self) -> list[Cell]:
        """Set by :meth:`show`."""
        return self.note

    def _widths(self, width: int) -> list[int]:
        shown = [c for c in self.columns if width >= c.from_width]
        fixed = sum(c.width + 1 for c in shown if c.width) + 1
        rest = max(6, width - fixed - 1)
        return [(c.width or rest) if width >= c.from_width else 0 for c in self.columns]

    def heading(self, width: int) -> Line:
        """Column names."""
        line = self.line().add(" ")
        for column, cells in zip(self.columns, self._widths(width), strict=True):
            line.cell(column.title, cells, "head", right=column.right)
        return line

    def paint_row(self, number: int, width: int) -> Line:
        """One row."""
        line = self.line().add(" ")
        row = self.rows[number]
        for column, cells, (text, ink) in zip(
            self.columns, self._widths(width), row.cells, strict=True
        ):
            line.cell(text, cells, ink, right=column.right)
        return line


def box(title: str, *inside: Widget, classes: str = "") -> Vertical:
    """A framed part of a view."""
    found = Vertical(*inside, classes=f"box {classes}")
    found.border_title = Content(title)
    return found


class AdminView(Container):
    """One view. ``do_admin_<name>`` does an action, ``why_not`` says why it cannot be done."""

    view: ClassVar[str] = ""
    about: ClassVar[str] = ""

    def __init__(self, pane: AdminPane) -> None:
        super().__init__(id=f"admin-{self.view}")
        self.pane = pane

    @property
    def kv(self) -> Workspace:
        """The cluster."""
        return self.pane.kv

    @property
    def facts(self) -> AdminFacts:
        """What is known."""
        return self.pane.facts

    def first_focus(self) -> Widget | None:
        """What has the focus when the view comes to the front."""
        return None

    def refresh_facts(self, now: float) -> None:
        """Something changed, or time went on."""

    def why_not(self, name: str) -> str:
        """Why an action cannot be done now."""
        return ""

    def back(self) -> bool:
        """Escape."""
        return False

    def show_lines(self, lines: TextLines, what: Rich, empty: str = "") -> None:
        """Show text, broken where the box ends, without moving it when it is the same."""
        width = lines.size.width - 1
        what = folded(what, width) if width > 20 else what
        if lines.shown_lines != what or not what:
            lines.show(what, empty)

    def root_only(self) -> str:
        """Why what only root may do is not for this user."""
        return self.facts.own.missing_root()
