"""The time line on the screen: how much was written when, what happened, where one stands. High in
the Time tab, one line above every tab while one looks at the past.
"""

from __future__ import annotations

from textual import events
from textual.message import Message
from textual.widget import Widget

from kvorum_tui.model import words
from kvorum_tui.model.time_line import KINDS, LEVELS, TimeLine
from kvorum_tui.model.time_place import clock_text
from kvorum_tui.widgets.paint import Line, Painted

BARS = " ▁▂▃▄▅▆▇█"
LETTERS = " .:-=+*#@"
HEIGHT = 4


def letters_only(widget: Widget) -> bool:
    """Whether bars are to be letters: the app draws with ASCII alone."""
    settings = getattr(widget.app, "settings", None)
    return settings is not None and bool(settings.ascii)


class TimeStrip(Painted):
    """The line with its bars. A click, or dragging, goes to a revision."""

    DEFAULT_CSS = "TimeStrip { height: 4; }"

    class Picked(Message):
        """The mouse points at a revision."""

        def __init__(self, revision: int) -> None:
            super().__init__()
            self.revision = revision

    def __init__(self, model: TimeLine, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.model = model
        self.at_ms = 0
        """When the revision looked at was written, where that is known."""
        self.note = ""
        self.clocks = (0, 0)
        """When the strip's ends were written."""
        self._dragging = False

    def paint(self, y: int, width: int) -> Line:
        """Two lines of bars, what happened, and the words."""
        low = self.size.height < HEIGHT
        part = y + low  # The upper line of bars is the first to go.
        if self.note and part == 1:
            return self.line().add(" " + self.note, "dim")
        if part < 2:
            return self._bars(part, width, low) if not self.note else self.line()
        return self._axis(width) if part == 2 else self._words(width)

    def _bars(self, y: int, width: int, low: bool) -> Line:
        line = self.line()
        bars = LETTERS if letters_only(self) else BARS
        levels = self.model.levels(width)
        if low or letters_only(self):
            if y == 0:
                return line
            return line.add("".join(bars[level] for level in levels), "primary")
        text = []
        for level in levels:
            eighths = 2 * level if level else 0
            high = eighths - LEVELS
            text.append(bars[max(0, high)] if y == 0 else bars[min(LEVELS, eighths)])
        return line.add("".join(text), "primary")

    def _axis(self, width: int) -> Line:
        line = self.line()
        signs = self.model.signs(width)
        marks = {self.model.column(r, width): name for name, r in self.model.marks.items()}
        here = min(width - 1, max(0, self.model.column(self.model.here, width)))
        dash = "-" if letters_only(self) else "─"
        for cell in range(width):
            if cell == here:
                line.add("^", "mark" if self.model.place else "good")
            elif cell in marks:
                line.add(marks[cell], "accent")
            elif cell in signs:
                letter, ink, _ = KINDS[signs[cell].kind]
                line.add(letter, ink)
            else:
                line.add(dash, "faint")
        return line

    def _words(self, width: int) -> Line:
        """The ends; between them the place, under its mark as far as there is room."""
        model = self.model
        left = f"{words.count(model.first)} {clock_text(self.clocks[0])}".strip()
        right = f"{clock_text(self.clocks[1])} {words.count(model.last)}".strip()
        here = min(width - 1, max(0, model.column(model.here, width)))
        middle = place_text(model, self.at_ms)
        room = width - len(left) - len(right) - 4
        if len(middle) > room:
            left = right = ""
            room = width
        at = max(len(left) + 2, min(here - len(middle) // 2, width - len(right) - len(middle) - 2))
        line = self.line().add(left, "dim").to(max(0, at))
        line.add(middle[: max(0, width)], "bold" if model.place else "good")
        return line.to(width - len(right)).add(right, "dim")

    # --- the mouse --------------------------------------------------------------------------------

    def _pick(self, x: int) -> None:
        width = self.content_size.width
        if width and not self.note:
            x = max(0, min(width - 1, x))
            self.post_message(self.Picked(self.model.revision_at(x, width)))

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Go there, and further while the button is held."""
        self._dragging = True
        self.capture_mouse()
        self._pick(event.x)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Dragging."""
        if self._dragging:
            self._pick(event.x)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """The wheel goes a cell back."""
        event.stop()
        self._wheel(-1)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """And forward."""
        event.stop()
        self._wheel(1)

    def _wheel(self, by: int) -> None:
        width = max(1, self.content_size.width)
        span = max(1, (self.model.last - self.model.first + 1) // width)
        if not self.note:
            self.post_message(self.Picked(self.model.here + by * span))

    def on_mouse_up(self, event: events.MouseUp) -> None:
        """Enough."""
        if self._dragging:
            self._dragging = False
            self.release_mouse()


def place_text(model: TimeLine, at_ms: int) -> str:
    """Where one stands, in words."""
    clock = clock_text(at_ms)
    parts = [f"rev {words.count(model.here)}"]
    if clock:
        parts.append(f"seen {clock}" if model.bounds.seen else clock)
    parts.append(f"{words.count(model.behind)} behind" if model.place else "now")
    return " · ".join(parts)


class TimeBanner(Painted):
    """One line above every tab while all of them look at the past."""

    DEFAULT_CSS = """
    TimeBanner { height: 1; background: $warning 25%; display: none; }
    TimeBanner.shown { display: block; }
    """

    def __init__(self, model: TimeLine) -> None:
        super().__init__()
        self.model = model
        self.at_ms = 0
        self.wanted = True
        """Off where the whole line is on the screen anyway."""

    def show(self, at_ms: int) -> None:
        """Where all tabs look."""
        self.at_ms = at_ms
        self.set_class(bool(self.model.place) and self.wanted, "shown")
        self.refresh()

    def paint(self, y: int, width: int) -> Line:
        """TIME, a strip, and the words."""
        line = self.line().add(" TIME ", "mark")
        text = f" {place_text(self.model, self.at_ms)} · writes off · "
        strip = min(40, width - line.width - len(text) - 8)
        if strip >= 8:
            bars = LETTERS if letters_only(self) else BARS
            here = min(strip - 1, max(0, self.model.column(self.model.here, strip)))
            for cell, level in enumerate(self.model.levels(strip)):
                on_here = cell == here
                line.add("^" if on_here else bars[level], "mark" if on_here else "dim")
        meta = {"@click": "do('travel')"}
        return line.add(text, "bold").add("T now", "accent", meta)
