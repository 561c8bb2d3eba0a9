"""The editor for SQL: colours of our own, and a list of what may stand where the cursor is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.cells import cell_len
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Offset
from textual.widget import Widget

from kvorum_tui.model.sql_complete import Candidate, Completion, complete
from kvorum_tui.model.sql_text import line_and_column
from kvorum_tui.model.sql_words import colours
from kvorum_tui.widgets.json_area import HIGHLIGHT_MAX_BYTES, JsonArea
from kvorum_tui.widgets.paint import Line, LineList

SHOWN = 8
WIDEST = 60
LETTERS = {"view": "V", "column": "c", "function": "ƒ", "keyword": "k", "key": "/", "variable": "$"}


class Candidates(LineList, can_focus=False):
    """What may stand here. Never has the focus: the editor moves its cursor."""

    DEFAULT_CSS = """
    Candidates {
        position: absolute; layer: popup; background: $panel; display: none; height: auto;
        width: 40; scrollbar-size-vertical: 1;
    }
    """

    def __init__(self) -> None:
        super().__init__(id="candidates")
        self.found: tuple[Candidate, ...] = ()

    def show(self, found: tuple[Candidate, ...]) -> None:
        """Show these, the first one chosen."""
        self.found = found
        self.display = bool(found)
        if not found:
            return
        widest = max(cell_len(c.text) + cell_len(c.about) for c in found[:SHOWN]) + 8
        self.styles.width = min(WIDEST, max(24, widest))
        self.styles.height = min(SHOWN, len(found))
        self.cursor = 0
        self.scroll_to(0, 0, animate=False, immediate=True)
        self.changed()

    def row_count(self) -> int:
        """Candidates."""
        return len(self.found)

    def paint_row(self, number: int, width: int) -> Line:
        """What it is, its text, what it is for."""
        candidate = self.found[number]
        line = self.line().add(f" {LETTERS[candidate.kind]} ", "accent").add(candidate.text)
        return line.add("  ").add(candidate.about, "dim")


class SqlArea(JsonArea):
    """A text area for SQL. Tab and Enter take the chosen candidate, Escape closes the list."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+@,ctrl+space", "complete", "complete", show=False),
    ]

    def __init__(self, text: str, prefixes: Callable[[str], Sequence[str]]) -> None:
        super().__init__(text, id="sql-text", tab_behavior="focus", show_line_numbers=True)
        self.prefixes = prefixes
        self.popup = Candidates()
        self.popup.has_cursor = True
        self._start = 0
        self._by_hand = False

    def _build_highlight_map(self) -> None:
        """Colours of the whole text at once: strings and comments go over lines."""
        self._line_cache.clear()
        highlights = self._highlights
        highlights.clear()
        if len(self.text) > HIGHLIGHT_MAX_BYTES:
            return
        for number, spans in enumerate(colours(self.plain)):
            if spans:
                text = self.document.get_line(number)
                highlights[number] = [
                    (len(text[:start].encode()), len(text[:end].encode()), style)
                    for start, end, style in spans
                ]

    # --- completion -------------------------------------------------------------------------------

    @property
    def offset_now(self) -> int:
        """Where the cursor stands in the text."""
        row, column = self.cursor_location
        return sum(len(line) + 1 for line in self.document.lines[:row]) + column

    @property
    def plain(self) -> str:
        """The text; lines end in a newline alone."""
        return "\n".join(self.document.lines)

    def move_to(self, offset: int) -> None:
        """Put the cursor somewhere in the text."""
        self.move_cursor(line_and_column(self.plain, offset))

    @property
    def completing(self) -> bool:
        """Whether the list is open."""
        return bool(self.popup.display)

    def close(self) -> None:
        """Close the list."""
        self.popup.show(())

    def action_complete(self) -> None:
        """Asked for: everything that may stand here."""
        self.offer(forced=True)

    def offer(self, forced: bool = False) -> None:
        """Show what may stand here."""
        found = complete(self.plain, self.offset_now, self.prefixes, forced)
        self._start = found.start
        self._show(found)

    def _show(self, found: Completion) -> None:
        self.popup.show(found.candidates)
        pane = self.popup.parent
        if not found.candidates or not isinstance(pane, Widget):
            return
        origin = pane.region.offset
        spot = self.cursor_screen_offset - origin
        height = min(SHOWN, len(found.candidates))
        room = pane.region.height - spot.y - 1
        y = spot.y + 1 if room >= height else max(0, spot.y - height)
        back = self.offset_now - self._start
        width = self.popup.styles.width
        cells = int(width.value) if width is not None else WIDEST
        x = max(0, min(spot.x - back - 3, pane.region.width - cells))
        self.popup.styles.offset = Offset(x, y)

    def take(self) -> None:
        """Put the chosen candidate in."""
        if self.popup.cursor >= len(self.popup.found):
            return
        candidate = self.popup.found[self.popup.cursor]
        text = candidate.text
        if candidate.kind == "function":
            text = text.partition("(")[0] + "("
        start = line_and_column(self.plain, self._start)
        self.close()
        self.replace(text, start, self.cursor_location, maintain_selection_offset=False)
        self.move_to(self._start + len(text))
        if candidate.kind == "key":
            self.offer()

    async def _on_key(self, event: events.Key) -> None:
        """Keys of the list first."""
        if self.completing and event.key in ("tab", "enter", "escape"):
            event.stop()
            event.prevent_default()
            if event.key == "escape":
                self.close()
            else:
                self.take()
            return
        self._by_hand = event.is_printable or event.key == "backspace"
        await super()._on_key(event)

    def on_text_area_changed(self) -> None:
        """Typing opens the list, and narrows it; what the app writes does not."""
        if self._by_hand:
            self._by_hand = False
            self._typed()

    def _typed(self) -> None:
        before = self.plain[: self.offset_now][-1:]
        if before.isalnum() or before in ("_", ".", "/", "'") or self._behind_from():
            self.offer()
        else:
            self.close()

    def _behind_from(self) -> bool:
        before = self.plain[: self.offset_now].lower()
        return before.endswith(("from ", "join "))

    def action_cursor_up(self, select: bool = False) -> None:
        """In the list, while it is open."""
        if self.completing:
            self.popup.action_move(-1)
        else:
            super().action_cursor_up(select)

    def action_cursor_down(self, select: bool = False) -> None:
        """In the list, while it is open."""
        if self.completing:
            self.popup.action_move(1)
        else:
            super().action_cursor_down(select)

    def on_blur(self) -> None:
        """The list goes with the focus."""
        self.close()
