"""Round trips N x N: rows from, columns to; the first row is from this terminal. A sign says how
far a figure is from the others.
"""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.reactive import reactive

from kvorum_tui.model import words
from kvorum_tui.model.cluster_model import ClusterModel, MemberState
from kvorum_tui.model.latency import HERE, Spread, deviation, mark
from kvorum_tui.widgets.paint import Line, Painted, inks_for

NAME_CELLS = 10
CELL_MAX, CELL_MIN = 10, 5
SHOWN = ("newest", "p50", "p99", "p999")
NOT_TOLD = "etcd tells round trips between members only by /metrics, which does not answer here"


class LatencyMatrix(Painted, can_focus=True):
    """The cursor picks a way; the last lines say how it was spread."""

    DEFAULT_CSS = "LatencyMatrix { height: auto; min-height: 3; background: $surface; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "step(-1, 0)", "up", show=False),
        Binding("down", "step(1, 0)", "down", show=False),
        Binding("left", "step(0, -1)", "left", show=False),
        Binding("right", "step(0, 1)", "right", show=False),
    ]
    row = reactive(0)
    column = reactive(0)
    shown = reactive("p50")

    def __init__(self, model: ClusterModel, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.model = model
        self.now = 0.0
        self._height = 0
        self._spreads: dict[tuple[int, int], Spread] = {}
        self._as_of = -1

    def refresh_at(self, now: float) -> None:
        """Show the picture of this moment; figures are of this second."""
        self.now = now
        if int(now) != self._as_of:
            self._as_of = int(now)
            ids = [m.id for m in self.model.rows() if m.id]
            self._spreads = self.model.latency.spreads(ids)
        height = len(self.model.order) + 5
        if height != self._height:
            self._height = height
            self.styles.height = height
        self.refresh()

    def next_figure(self) -> str:
        """Show another figure of each way; returns its name."""
        self.shown = SHOWN[(SHOWN.index(self.shown) + 1) % len(SHOWN)]
        return self.shown

    def action_step(self, down: int, right: int) -> None:
        """Move the cursor."""
        size = len(self.model.order)
        if size:
            self.row = (self.row + down) % (size + 1)
            self.column = (self.column + right) % size

    def on_click(self, event: events.Click) -> None:
        """Put the cursor under the mouse."""
        row, column = event.y - 1, (event.x - NAME_CELLS - 1) // (self._cells() + 1)
        size = len(self.model.order)
        if 0 <= row <= size and 0 <= column < size:
            self.row, self.column = row, column

    def _cells(self) -> int:
        """How wide a column is, so that all fit."""
        room = (self.content_size.width or CELL_MAX) - NAME_CELLS - 1
        return max(CELL_MIN, min(CELL_MAX, room // max(1, len(self.model.order)) - 1))

    def paint(self, y: int, width: int) -> Line:
        """Line ``y``: heading, a row from here, a row a member, what the cursor's way was like."""
        line = self.line()
        members, cells = self.model.rows(), self._cells()
        if y == 0:
            line.cell(f"{self.shown}, ms", NAME_CELLS, "head")
            for member in members:
                line.cell(f"→ {member.name}", cells, "bold")
            return line
        number = y - 1
        if number > len(members):
            return self._tell(line, number - len(members) - 1, width)
        source = members[number - 1] if number else None
        if source is None:
            line.cell("here", NAME_CELLS, "dim")
        else:
            ink = "bold" if source.fresh(self.now) else "gone"
            line.cell(source.name, NAME_CELLS, ink)
        usual = self._values()
        for place, target in enumerate(members):
            text, ink = self._cell(source, target, usual)
            if (number, place) == (self.row, self.column):
                style = inks_for(self)["cursor" if self.has_focus else "cursor-off"]
                line.styled(f"{text:<{cells}}", style).add(" ")
            else:
                line.cell(text, cells, ink)
        return line

    def _value(self, source: int, target: int) -> float | None:
        spread = self._spreads.get((source, target))
        return getattr(spread, self.shown) if spread is not None else None

    def _values(self) -> tuple[list[float], list[float]]:
        """The figures shown from here, and those between members: the two are not of a kind."""
        ids = [m.id for m in self.model.rows() if m.id]
        here = [self._value(HERE, target) for target in ids]
        peers = [self._value(a, b) for a in ids for b in ids if a != b]
        return [v for v in here if v is not None], [v for v in peers if v is not None]

    def _cell(
        self,
        source: MemberState | None,
        target: MemberState,
        usual: tuple[list[float], list[float]],
    ) -> tuple[str, str]:
        if source is target:
            return "—", "faint"
        if source is not None and source.report is not None and source.report.peers is None:
            return "–", "faint"
        value = self._value(source.id if source is not None else HERE, target.id)
        if value is None:
            return "?", "faint"
        sign, ink = mark(deviation(value, usual[source is not None]))
        ends = [target] if source is None else [source, target]
        if not all(end.fresh(self.now) for end in ends):
            return f"{_short(value)} x", "stale"
        return f"{_short(value)} {sign}".rstrip(), ink

    def _tell(self, line: Line, number: int, width: int) -> Line:
        members = self.model.rows()
        if not members:
            return line
        source = members[self.row - 1] if 0 < self.row <= len(members) else None
        target = members[min(self.column, len(members) - 1)]
        if source is target:
            text = "a member's way to itself is not measured"
            return line.cell(text, width - 1, "dim") if number == 0 else line
        spread = self._spreads.get((source.id if source is not None else HERE, target.id))
        name = source.name if source is not None else "here"
        if spread is None:
            told = source is None or source.report is None or source.report.peers is not None
            text = f"{name} → {target.name}: " + ("nothing measured yet" if told else NOT_TOLD)
            return line.cell(text, width - 1, "dim") if number == 0 else line
        if number == 0:
            line.add(f"{name} → {target.name}: ", "head").add(f"p50 {words.millis(spread.p50)} ")
            return line.add(f"p99 {words.millis(spread.p99)} p999 {words.millis(spread.p999)}")
        if number == 1:
            few = ", so p999 is the highest" if spread.samples < 1_000 else ""
            since = words.span(self.now - spread.since)
            text = f"{words.plural(spread.samples, 'sample')} in {since}{few}"
            return line.cell(f"{text} · ! ‼ high for this cluster, ↓ low", width - 1, "dim")
        return line


def _short(ms: float) -> str:
    return f"{ms:.2f}" if ms < 10 else f"{ms:.1f}" if ms < 100 else f"{ms:.0f}"
