"""Painting on the line API: a line builder that speaks in inks, a widget of few lines, and a list
of many.
"""

from __future__ import annotations

import textwrap
from functools import lru_cache
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widget import Widget

from kvorum_tui.theme import inks_of

_INKS: dict[str, dict[str, Style]] = {}


def inks_for(widget: Widget) -> dict[str, Style]:
    """The inks of the theme that the app shows now."""
    theme = widget.app.current_theme
    inks = _INKS.get(theme.name)
    if inks is None:
        inks = _INKS[theme.name] = inks_of(theme)
    return inks


@lru_cache(maxsize=64)
def parsed(spec: str) -> Style:
    """A rich style, parsed once."""
    return Style.parse(spec)


class Line:
    """One line under construction: text by ink, padded by cells (not characters)."""

    __slots__ = ("_inks", "segments", "width")

    def __init__(self, inks: dict[str, Style]) -> None:
        self._inks = inks
        self.segments: list[Segment] = []
        self.width = 0

    def add(self, text: str, ink: str = "text", meta: dict[str, str] | None = None) -> Line:
        """Append text; ``meta`` makes it clickable (``{"@click": ...}``)."""
        if text:
            style = self._inks[ink]
            if meta:
                style += Style.from_meta(meta)
            self.segments.append(Segment(text, style))
            self.width += cell_len(text)
        return self

    def styled(self, text: str, style: Style) -> Line:
        """Append text in a style of its own."""
        if text:
            self.segments.append(Segment(text, style))
            self.width += cell_len(text)
        return self

    def cell(self, text: str, width: int, ink: str = "text", right: bool = False) -> Line:
        """Append text in a column of exactly ``width`` cells and one blank; too long ends in an
        ellipsis.
        """
        if width <= 0:
            return self
        if cell_len(text) > width:
            text = set_cell_size(text, width - 1).rstrip() + "…"
        blank = " " * (width - cell_len(text))
        if right:
            return self.add(blank).add(text, ink).add(" ")
        return self.add(text, ink).add(blank + " ")

    def to(self, column: int) -> Line:
        """Pad with blanks up to a column."""
        return self.add(" " * max(0, column - self.width))

    def strip(self, width: int, base: Style, over: Style | None = None) -> Strip:
        """The finished line: cut or padded to ``width``; ``over`` wins over every ink."""
        strip = Strip(self.segments, self.width).adjust_cell_length(width)
        if over is not None:
            strip = Strip(
                list(Segment.apply_style(strip, None, over)),
                strip.cell_length,
            )
        return strip.apply_style(base)


class Painted(Widget):
    """A widget of few lines. Subclasses say what stands on line ``y``."""

    _seen: list[list[Segment]] | None = None

    def paint(self, y: int, width: int) -> Line:
        """The line ``y`` of the content."""
        return self.line()

    def line(self) -> Line:
        """An empty line in the current inks."""
        return Line(inks_for(self))

    def refresh_changed(self) -> None:
        """Refresh if any line is another than when this was called last. For what is looked at on
        every tick and seldom changes: nothing is sent to the terminal, which may be far away.
        """
        width = self.content_size.width
        seen = [self.paint(y, width).segments for y in range(self.content_size.height)]
        if seen != self._seen:
            self._seen = seen
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """Textual's entry."""
        width = self.content_size.width or self.size.width
        return self.paint(y, width).strip(width, self.rich_style)


class LineList(ScrollView, can_focus=True):
    """A list of any length: painted rows, a cursor, a fixed heading line, an empty state.

    A subclass says how many rows there are and how row ``n`` looks; it calls :meth:`changed` when
    that differs.
    """

    DEFAULT_CSS = """
    LineList {
        overflow-x: hidden; overflow-y: auto; background: $surface; scrollbar-size-vertical: 1;
    }
    LineList:focus { background: $surface; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "up", show=False),
        Binding("down", "move(1)", "down", show=False),
        Binding("pageup", "page(-1)", "page up", show=False),
        Binding("pagedown", "page(1)", "page down", show=False),
        Binding("home", "edge(0)", "first", show=False),
        Binding("end", "edge(1)", "last", show=False),
        Binding("enter", "choose", "open", show=False),
    ]

    cursor = reactive(0, repaint=False)
    has_cursor = True
    headed = False

    class Moved(Message):
        """The cursor stands on another row."""

        def __init__(self, source: LineList, row: int) -> None:
            super().__init__()
            self.source = source
            self.row = row

        @property
        def control(self) -> LineList:
            """The list."""
            return self.source

    class Chosen(Moved):
        """Enter, or a second click."""

    # --- for subclasses ---------------------------------------------------------------------------

    def row_count(self) -> int:
        """How many rows there are."""
        return 0

    def paint_row(self, number: int, width: int) -> Line:
        """Row ``number``."""
        return self.line()

    def heading(self, width: int) -> Line:
        """The fixed first line, where ``headed`` is set."""
        return self.line()

    def empty_text(self) -> list[tuple[str, str]]:
        """What to show instead of rows: (text, ink) a line. Says what to press."""
        return []

    def line(self) -> Line:
        """An empty line in the current inks."""
        return Line(inks_for(self))

    # --- the rest ---------------------------------------------------------------------------------

    def changed(self) -> None:
        """Rows came, went or look different."""
        height = self.row_count() + self.headed
        width = self.scrollable_content_region.width
        if self.virtual_size.height != height or self.virtual_size.width != width:
            self.virtual_size = Size(width, height)
        top = max(0, self.row_count() - 1)
        if self.cursor > top:
            self.cursor = top
        self.refresh()

    @property
    def page_rows(self) -> int:
        """Rows that fit."""
        return max(1, self.scrollable_content_region.height - self.headed)

    def render_line(self, y: int) -> Strip:
        """Textual's entry: line ``y`` of the visible part."""
        width = self.scrollable_content_region.width
        base = self.rich_style
        if self.headed and y == 0:
            return self.heading(width).strip(width, base)
        rows = self.row_count()
        number = y - self.headed + self.scroll_offset.y
        if not rows:
            texts = [
                (part, ink)
                for text, ink in self.empty_text()
                for part in textwrap.wrap(text, max(10, width - 4)) or [""]
            ]
            place = y - self.headed - 1
            line = self.line()
            if 0 <= place < len(texts):
                line.add("  ").add(*texts[place])
            return line.strip(width, base)
        if number >= rows:
            return Strip.blank(width, base)
        over = None
        if self.has_cursor and number == self.cursor:
            over = inks_for(self)["cursor" if self.has_focus else "cursor-off"]
        return self.paint_row(number, width).strip(width, base, over)

    def watch_cursor(self, old: int, new: int) -> None:
        """Repaint, keep the cursor in sight, tell."""
        self.refresh()
        if old != new:
            self.keep_in_sight()
            self.post_message(self.Moved(self, new))

    def keep_in_sight(self) -> None:
        """Scroll as little as needed to show the cursor."""
        top, page = self.scroll_offset.y, self.page_rows
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False, immediate=True, force=True)
        elif self.cursor >= top + page:
            self.scroll_to(y=self.cursor - page + 1, animate=False, immediate=True, force=True)

    def on_focus(self) -> None:
        """The cursor's look depends on the focus."""
        self.refresh()

    def on_blur(self) -> None:
        """The cursor's look depends on the focus."""
        self.refresh()

    def on_resize(self) -> None:
        """The rows' width is the widget's."""
        self.changed()
        if self.has_cursor:
            self.keep_in_sight()

    def action_move(self, by: int) -> None:
        """Cursor up or down."""
        if not self.has_cursor:
            self.scroll_relative(y=by, animate=False)
            return
        self.cursor = max(0, min(self.row_count() - 1, self.cursor + by))

    def action_page(self, by: int) -> None:
        """A page up or down."""
        self.action_move(by * max(1, self.page_rows - 1))

    def action_edge(self, last: int) -> None:
        """First or last row."""
        if not self.has_cursor:
            self.scroll_to(y=self.max_scroll_y if last else 0, animate=False)
            return
        self.cursor = max(0, self.row_count() - 1) if last else 0

    def action_choose(self) -> None:
        """Open the row."""
        if self.row_count():
            self.post_message(self.Chosen(self, self.cursor))

    def on_click(self, event: events.Click) -> None:
        """Put the cursor under the mouse; a second click opens."""
        number = event.y - self.headed + self.scroll_offset.y
        if not self.has_cursor or not 0 <= number < self.row_count() or event.y < self.headed:
            return
        self.cursor = number
        if event.chain == 2:
            self.action_choose()


class TextLines(LineList):
    """Prepared lines to read, with a horizontal scroll; no cursor."""

    DEFAULT_CSS = "TextLines { overflow-x: auto; scrollbar-size-horizontal: 1; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "sideways(-8)", "left", show=False),
        Binding("right", "sideways(8)", "right", show=False),
    ]
    has_cursor = False

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._lines: list[list[tuple[str, str]]] = []
        self._width = 0
        self._empty: list[tuple[str, str]] = []

    def show(self, lines: list[list[tuple[str, str]]], empty: str = "") -> None:
        """Show these lines, each a list of (text, ink)."""
        self._lines = lines
        self._empty = [(part, "dim") for part in empty.split("\n")] if empty else []
        self._width = max((sum(cell_len(text) for text, _ in line) for line in lines), default=0)
        self.scroll_to(0, 0, animate=False, immediate=True)
        self.changed()

    @property
    def shown_lines(self) -> list[list[tuple[str, str]]]:
        """What is shown."""
        return self._lines

    def plain(self) -> str:
        """All lines as text, for the clipboard."""
        return "\n".join("".join(text for text, _ in line) for line in self._lines)

    def row_count(self) -> int:
        """Lines."""
        return len(self._lines)

    def empty_text(self) -> list[tuple[str, str]]:
        """What the last :meth:`show` said."""
        return self._empty

    def changed(self) -> None:
        """As wide as the longest line."""
        self.virtual_size = Size(self._width, len(self._lines))
        self.refresh()

    def paint_row(self, number: int, width: int) -> Line:
        """One prepared line."""
        line = self.line()
        for text, ink in self._lines[number]:
            line.add(text, ink)
        return line

    def render_line(self, y: int) -> Strip:
        """The visible part of a line."""
        width = self.scrollable_content_region.width
        number = y + self.scroll_offset.y
        if not self._lines or number >= len(self._lines):
            return super().render_line(y)
        left = self.scroll_offset.x
        strip = self.paint_row(number, width).strip(max(self._width, left + width), self.rich_style)
        return strip.crop(left, left + width)

    def action_sideways(self, by: int) -> None:
        """Scroll left or right."""
        self.scroll_relative(x=by, animate=False)
