"""The key browser: a :class:`KeyIndex` on the line API, any number of keys."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from kvorum_tui.model import words
from kvorum_tui.model.decode import printable
from kvorum_tui.model.key_index import KeyIndex, Row
from kvorum_tui.widgets.paint import Line, LineList

COUNT_CELLS = 6
SIZE_CELLS = 9
RATE_CELLS = 7
BAR_CELLS = 6
NAME_CELLS = 20  # Columns come only where a name still has this much room.
EIGHTHS = " ▏▎▍▌▋▊▉█"


@dataclass(frozen=True, slots=True)
class Figures:
    """What stands behind a branch. ``size`` is None where nobody has measured; ``exact``: nothing
    was written since. ``share``: of what is above it, by the measure that is sorted by.
    """

    keys: int
    gone: int = 0
    size: int | None = None
    exact: bool = True
    per_minute: int = 0
    marked: int = 0
    share: float = 0.0


def bar(share: float, cells: int) -> str:
    """A bar of at most ``cells``, by eighths of a cell; anything above nothing shows."""
    eighths = min(cells * 8, max(1 if share > 0 else 0, round(share * cells * 8)))
    text = "█" * (eighths // 8) + (EIGHTHS[eighths % 8] if eighths % 8 else "")
    return text.ljust(cells)


class KeyTree(LineList):
    """Keys as a tree of prefixes or a flat list. The cursor stays on its key while keys come and go
    around it.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right", "open", "open", show=False),
        Binding("left", "close", "close", show=False),
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
        self.is_marked: Callable[[bytes], bool] = lambda key: False
        self.is_gone: Callable[[bytes], bool] = lambda key: False
        self.figures: Callable[[Row], Figures] = lambda row: Figures(row.keys)
        self.marking = False  # Whether anything is marked.
        self.columns: frozenset[str] = frozenset()  # Of "size", "rate" and "bar".
        self.lit: re.Pattern[str] | None = None  # What a filter found stands out.
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

    def show_index(self, index: KeyIndex, *, top: bool = False) -> None:
        """Show another index (a filtered one, or all again), on the same key where possible; or on
        its first one.
        """
        self.index = index
        if top and index.row_count:
            self._at = (index.rows(0, 1)[0].path, False)
        self._window_from = -1
        self.changed()
        self.keep_in_sight()

    # --- painting ---------------------------------------------------------------------------------

    def paint_row(self, number: int, width: int) -> Line:
        """Mark, indent, fold mark, name; on branches the figures at the right."""
        self.rows_painted += 1
        line = self.line()
        row = self.row_at(number)
        if row is None:
            return line
        if not row.branch:
            return self._paint_key(line, row)
        told = self.figures(row)
        if self.marking:
            line.add(
                ("● " if told.marked >= row.keys else "◐ ") if told.marked else "  ", "mark-on"
            )
        line.add("  " * row.depth)
        line.add("▾ " if row.open else "▸ ", "dim").add(printable(row.label), "branch")
        return self._paint_figures(line, told, width)

    def _paint_key(self, line: Line, row: Row) -> Line:
        if self.marking:
            line.add("● " if self.is_marked(row.path) else "  ", "mark-on")
        line.add("  " * row.depth)
        gone = self.is_gone(row.path)
        line.add("~ " if gone else "" if self.index.flat else "  ", "dim")
        if not row.label:
            return line.add("(empty name)", "dim")
        label = printable(row.label)
        found = self.lit.search(label) if self.lit is not None else None
        if found is None or gone:
            return line.add(label, "gone" if gone else "text")
        start, end = found.span()
        return line.add(label[:start]).add(label[start:end], "mark").add(label[end:])

    def _paint_figures(self, line: Line, told: Figures, width: int) -> Line:
        """Columns from the right; those that find no room stay away."""
        cells: list[tuple[str, str]] = []
        room = width - NAME_CELLS - COUNT_CELLS
        keys = words.short_count(told.keys) + (
            f" ~{words.short_count(told.gone)}" if told.gone else ""
        )
        cells.append((keys.rjust(COUNT_CELLS), "dim"))
        if "size" in self.columns and room >= SIZE_CELLS:
            room -= SIZE_CELLS
            text = "" if told.size is None else ("" if told.exact else "≈") + words.size(told.size)
            cells.append((text.rjust(SIZE_CELLS), "dim"))
        if "bar" in self.columns and room >= BAR_CELLS + 1:
            room -= BAR_CELLS + 1
            cells.append((" " + bar(told.share, BAR_CELLS), "primary"))
        if "rate" in self.columns and room >= RATE_CELLS:
            room -= RATE_CELLS
            text = f"{words.short_count(told.per_minute)}/m" if told.per_minute else ""
            cells.append((text.rjust(RATE_CELLS), "accent"))
        line.to(width - sum(len(text) for text, _ in cells) - 1)
        for text, ink in cells:
            line.add(text, ink)
        return line

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

    def action_choose(self) -> None:
        """Enter on a branch opens or closes it; on a key it is for the screen."""
        row = self.current
        if row is not None and row.branch:
            self._fold(row, not row.open)
            return
        super().action_choose()

    def on_click(self, event: events.Click) -> None:
        """The cursor goes there; a click on the fold mark opens or closes."""
        number = event.y + self.scroll_offset.y
        row = self.row_at(number)
        if row is None:
            return
        self.cursor = number
        fold = 2 * row.depth + (2 if self.marking else 0)
        if event.chain == 2 or (row.branch and fold <= event.x < fold + 2):
            self.action_choose()
