"""The key browser: a :class:`KeyIndex` on the line API, any number of keys."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message

from kvorum_tui.model import words
from kvorum_tui.model.decode import printable
from kvorum_tui.model.key_index import KeyIndex, Row
from kvorum_tui.widgets.paint import Line, LineList


class KeyTree(LineList):
    """Keys as a tree of prefixes or a flat list. The cursor stays on its key while keys come and go
    around it.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right", "open", "open", show=False),
        Binding("left", "close", "close", show=False),
        Binding("space", "fold", "open/close", show=False),
    ]

    class AtKey(Message):
        """The cursor stands on a key or branch (or on nothing, then ``row`` is None)."""

        def __init__(self, row: Row | None) -> None:
            super().__init__()
            self.row = row

        def can_replace(self, message: Message) -> bool:
            """Only the newest position matters."""
            return isinstance(message, KeyTree.AtKey)

    def __init__(self, index: KeyIndex, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.index = index
        self.note: list[tuple[str, str]] = []
        self.marked: frozenset[bytes] = frozenset()
        self._at: tuple[bytes, bool] | None = None
        self._window: list[Row] = []
        self._window_from = -1
        self.rows_painted = 0

    # --- content ----------------------------------------------------------------------------------

    def row_count(self) -> int:
        """Visible rows of the index."""
        return self.index.row_count

    def empty_text(self) -> list[tuple[str, str]]:
        """Set by the screen: loading, none, or why not."""
        return self.note

    def row_at(self, number: int) -> Row | None:
        """A row, through a window of one page that is fetched at once."""
        if not 0 <= number < self.index.row_count:
            return None
        place = number - self._window_from
        if self._window_from < 0 or not 0 <= place < len(self._window):
            self._window_from = max(0, number - 4)
            self._window = self.index.rows(self._window_from, self.page_rows + 8)
            place = number - self._window_from
        return self._window[place] if place < len(self._window) else None

    def changed(self) -> None:
        """Keys came or went: stay on the same key, and keep it at the same height of the screen."""
        self._window_from = -1
        if self._at is not None and self.index.row_count:
            now = self.index.nearest_row(*self._at)
            by = now - self.cursor
            if by:
                top = self.scroll_offset.y + by
                self.set_reactive(LineList.cursor, now)
                super().changed()
                self.scroll_to(y=max(0, top), animate=False, immediate=True, force=True)
                self._moved()
                return
        super().changed()
        self._moved()

    @property
    def current(self) -> Row | None:
        """The row under the cursor."""
        return self.row_at(self.cursor)

    def _moved(self) -> None:
        row = self.current
        at = (row.path, row.branch) if row is not None else None
        if at != self._at or row is None:
            self._at = at
            self.post_message(self.AtKey(row))

    def watch_cursor(self, old: int, new: int) -> None:
        """Remember the key, not the number."""
        super().watch_cursor(old, new)
        self._moved()

    def goto(self, path: bytes, branch: bool = False) -> bool:
        """Open what is above a key and stand on it; False when there is no such key."""
        if not self.index.flat:
            self.index.reveal(path, branch)
        row = self.index.row_of(path, branch)
        if row is None:
            return False
        self._at = None
        self._window_from = -1
        super().changed()
        self.cursor = row
        top, page = self.scroll_offset.y, self.page_rows
        if not top + 1 < row < top + page - 2:
            self.scroll_to(y=max(0, row - page // 2), animate=False, immediate=True, force=True)
        self._moved()
        return True

    def show_index(self, index: KeyIndex) -> None:
        """Show another index (a filtered one, or all again), on the same key where possible."""
        self.index = index
        self._window_from = -1
        self.changed()
        self.keep_in_sight()

    # --- painting ---------------------------------------------------------------------------------

    def paint_row(self, number: int, width: int) -> Line:
        """Indent, fold mark, name; on branches the number of keys at the right."""
        self.rows_painted += 1
        line = self.line()
        row = self.row_at(number)
        if row is None:
            return line
        line.add("  " * row.depth)
        if not row.branch:
            label = printable(row.label) if row.label else "(empty name)"
            line.add("• " if row.path in self.marked else "  ", "mark")
            return line.add(label, "text" if row.label else "dim")
        line.add("▾ " if row.open else "▸ ", "dim").add(printable(row.label), "branch")
        tail = words.short_count(row.keys)
        return line.to(width - len(tail) - 1).add(tail, "dim")

    # --- keys -------------------------------------------------------------------------------------

    def _fold(self, row: Row, is_open: bool) -> None:
        if self.index.set_open(row.path, is_open):
            self.changed()

    def action_open(self) -> None:
        """Open a branch, or step into an open one."""
        row = self.current
        if row is None or not row.branch:
            return
        if row.open:
            self.action_move(1)
        else:
            self._fold(row, True)

    def action_close(self) -> None:
        """Close a branch, or step out to the one above."""
        row = self.current
        if row is None or self.index.flat:
            return
        if row.branch and row.open:
            self._fold(row, False)
            return
        above = self.index.parent_of(row.path, row.branch)
        place = self.index.row_of(above, True) if above else None
        if place is not None:
            self.cursor = place

    def action_fold(self) -> None:
        """Open or close."""
        row = self.current
        if row is not None and row.branch:
            self._fold(row, not row.open)

    def action_choose(self) -> None:
        """Enter on a branch opens or closes it; on a key it is for the screen."""
        row = self.current
        if row is not None and row.branch:
            self._fold(row, not row.open)
            return
        super().action_choose()
