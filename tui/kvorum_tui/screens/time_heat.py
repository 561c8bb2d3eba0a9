"""The key space over time, as heat: a row a prefix, a column a stretch of revisions."""

from __future__ import annotations

from rich.style import Style
from textual.message import Message

from kvorum_tui.model import words
from kvorum_tui.model.time_heat import STEPS, HeatMap, heat
from kvorum_tui.widgets.paint import Line, LineList, parsed
from kvorum_tui.widgets.time_line import letters_only

RAMP = (
    "#14304a",
    "#17456b",
    "#1b5f8c",
    "#2a7f9e",
    "#4ba08f",
    "#86b86a",
    "#c9c24f",
    "#f0a541",
    "#f26f3b",
)
NAME_SHARE = 0.3
TOTAL_CELLS = 8


class HeatList(LineList):
    """Prefixes as rows. Two stretches share a cell: half blocks, each with its own colour; or
    letters, for who sees no colours.
    """

    headed = True

    class Entered(Message):
        """Enter on a prefix: look into it."""

        def __init__(self, prefix: bytes) -> None:
            super().__init__()
            self.prefix = prefix

    def __init__(self, model: HeatMap, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.model = model
        self.letters = False
        self.here = 0
        self.note: list[tuple[str, str]] = []
        self._hottest: dict[int, int] = {}

    def changed(self) -> None:
        """Another picture."""
        self._hottest = {}
        super().changed()

    @property
    def current(self) -> bytes | None:
        """The prefix under the cursor."""
        rows = self.model.rows
        return rows[self.cursor] if self.cursor < len(rows) else None

    def row_count(self) -> int:
        """Prefixes."""
        return len(self.model.rows)

    def empty_text(self) -> list[tuple[str, str]]:
        """Set by the screen."""
        return self.note

    def _room(self, width: int) -> tuple[int, int]:
        """Cells for names, and for the picture."""
        names = max(10, int(width * NAME_SHARE))
        return names, max(4, width - names - TOTAL_CELLS - 4)

    def heading(self, width: int) -> Line:
        """What the letters and colours mean, and where one stands."""
        names, room = self._room(width)
        model = self.model
        line = self.line().cell(f" {model.measure} by prefix", names, "head")
        span = model.last - model.first + 1
        here = (self.here - model.first) * room // max(1, span)
        for cell in range(room):
            line.add("v" if cell == min(room - 1, here) else " ", "mark")
        return line.add(" ").cell("all", TOTAL_CELLS, "head", right=True)

    def paint_row(self, number: int, width: int) -> Line:
        """One prefix."""
        names, room = self._room(width)
        model = self.model
        name = model.name(number)
        if len(name) > names - 1:
            name = "…" + name[2 - names :]
        line = self.line().cell(" " + name, names, "text")
        letters = self.letters or letters_only(self)
        fine = room if letters else 2 * room
        if fine not in self._hottest:
            self._hottest[fine] = model.hottest(fine)
        hottest = self._hottest[fine]
        weights = model.weights(number, fine)
        if letters:
            top = len(STEPS) - 1
            line.add("".join(STEPS[heat(weight, hottest, top)] for weight in weights), "primary")
        else:
            steps = [heat(weight, hottest, len(RAMP)) for weight in weights]
            for left, right in zip(steps[::2], steps[1::2], strict=True):
                _two(line, left, right)
        return line.add(" ").cell(words.short_count(model.total(number)), TOTAL_CELLS, right=True)

    def action_choose(self) -> None:
        """Look into the prefix."""
        if self.current:
            self.post_message(self.Entered(self.current))


def _two(line: Line, left: int, right: int) -> None:
    """Two stretches in one cell."""
    if not left and not right:
        line.add("·", "faint")
    elif left and right:
        line.styled("▌", parsed(f"{RAMP[left - 1]} on {RAMP[right - 1]}"))
    else:
        half = "▌" if left else "▐"
        line.styled(half, Style(color=RAMP[max(left, right) - 1]))
