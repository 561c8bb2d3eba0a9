"""Figures over the last minutes: a sparkline each, and one of them as a chart with axes."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.reactive import reactive

from kvorum_tui.model import words
from kvorum_tui.model.cluster_model import ClusterModel
from kvorum_tui.model.cluster_series import CHARTS, Chart, figure, folded, nice_top
from kvorum_tui.widgets.paint import Line, LineList, Painted

BLOCKS = " ▁▂▃▄▅▆▇█"
SPANS_S = (60, 300, 600)
NAME_CELLS = 18
VALUE_CELLS = 10
JOINED = {"leader": "the leader's", "max": "the highest of all members", "sum": "all members'"}


def spark(values: list[float | None], top: float) -> str:
    """One character a value, eight heights; a blank where nothing was told, a line where 0."""
    return "".join(
        " "
        if value is None
        else "▁"
        if value <= 0
        else BLOCKS[max(1, min(8, round(value / top * 8)))]
        for value in values
    )


class FigureList(LineList):
    """A line a figure: name, the last minutes, the newest value, the scale."""

    headed = True
    span_s = reactive(SPANS_S[0])

    def __init__(self, model: ClusterModel, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.model = model
        self.now = 0.0
        self.charts: list[Chart] = list(CHARTS)
        self._values: dict[str, list[float | None]] = {}
        self._as_of = (-1, 0)
        self.chosen_span = False  # until then the time shown grows with what is known

    def refresh_at(self, now: float) -> None:
        """Show the picture of this second: what can be told first."""
        if self._as_of == (int(now), self.span_s):
            return
        since = self.model.series.since()
        if not self.chosen_span and since is not None:
            known = now - since
            self.span_s = next((s for s in SPANS_S[:2] if known <= s), SPANS_S[1])
        self.now, self._as_of = now, (int(now), self.span_s)
        book = self.model.series
        at = self.current
        self.charts = sorted(CHARTS, key=lambda chart: bool(book.why_not(chart)))
        self.set_reactive(FigureList.cursor, self.charts.index(at))
        self._values = {c.name: book.cluster(c, now, self.span_s) for c in CHARTS}
        self.changed()

    @property
    def current(self) -> Chart:
        """The chosen figure."""
        return self.charts[min(self.cursor, len(self.charts) - 1)]

    def row_count(self) -> int:
        """Figures."""
        return len(self.charts)

    def heading(self, width: int) -> Line:
        """What the columns are."""
        line = self.line().add(" ").cell("figure", NAME_CELLS, "head")
        line.cell("now", VALUE_CELLS, "head", right=True)
        return line.add(f"last {words.span(self.span_s)}, scale 0 to", "head")

    def paint_row(self, number: int, width: int) -> Line:
        """One figure."""
        chart = self.charts[number]
        line = self.line().add(" ")
        why = self.model.series.why_not(chart)
        if why:
            return line.cell(chart.title, NAME_CELLS, "faint").cell(
                f"({why})", width - line.width - 1, "faint"
            )
        values = self._values.get(chart.name, [])
        newest, age = _newest(values)
        line.cell(chart.title, NAME_CELLS, "text")
        stale = age is not None and age > 5
        line.cell(figure(newest, chart.unit), VALUE_CELLS, "stale" if stale else "bold", right=True)
        top = nice_top(values, chart.unit)
        scale = f" {figure(top, chart.unit)}" + (f", {words.age(age or 0)}" if stale else "")
        cells = max(4, width - line.width - len(scale) - 1)
        return line.add(spark(folded(values, cells), top), "accent").add(scale, "dim")


class ChartView(Painted, can_focus=True):
    """One figure, large, with axes; below it each member's own."""

    DEFAULT_CSS = "ChartView { height: 1fr; min-height: 6; background: $surface; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "span(1)", "longer", show=False),
        Binding("right", "span(-1)", "shorter", show=False),
        Binding("up", "other(-1)", "figure before", show=False),
        Binding("down", "other(1)", "next figure", show=False),
    ]

    def __init__(self, model: ClusterModel, figures: FigureList) -> None:
        super().__init__(id="chart")
        self.model = model
        self.figures = figures
        self.now = 0.0
        self._columns: list[float | None] = []
        self._top = 1.0

    def refresh_at(self, now: float) -> None:
        """Show the picture of this moment."""
        self.now = now
        values = self.model.series.cluster(self.figures.current, now, self.figures.span_s)
        self._top = nice_top(values, self.figures.current.unit)
        self._columns = folded(values, max(8, self.content_size.width - VALUE_CELLS - 3))
        self.refresh()

    def action_span(self, by: int) -> None:
        """A longer or shorter time."""
        self.figures.chosen_span = True
        at = SPANS_S.index(self.figures.span_s) + by
        self.figures.span_s = SPANS_S[max(0, min(len(SPANS_S) - 1, at))]
        self.refresh_at(self.now)

    def action_other(self, by: int) -> None:
        """Another figure."""
        self.figures.cursor = max(0, min(len(self.figures.charts) - 1, self.figures.cursor + by))
        self.refresh_at(self.now)

    def paint(self, y: int, width: int) -> Line:
        """Title, the chart, its foot, the members."""
        members = self.model.rows()
        height = max(3, self.content_size.height - 3 - len(members))
        chart, line = self.figures.current, self.line()
        why = self.model.series.why_not(chart)
        if y == 0:
            line.add(chart.title, "bold").add(f"  {JOINED[chart.joined]}", "dim")
            newest, _ = _newest(self._columns)
            if not why:
                line.add(f"  {figure(newest, chart.unit)}", "accent")
            return line.add("   ↑↓ figure  ←→ time  esc list", "dim")
        if why:
            return line.add(f"  {why}", "dim") if y == 2 else line
        if y <= height:
            return self._bars(line, height - y, height, chart)
        if y == height + 1:
            line.cell("", VALUE_CELLS).add("└" + "─" * len(self._columns), "dim")
            return line
        if y == height + 2:
            text = f"{words.span(self.figures.span_s)} ago"
            line.cell("", VALUE_CELLS + 1).add(text, "dim")
            return line.to(VALUE_CELLS + 2 + len(self._columns) - 3).add("now", "dim")
        place = y - height - 3
        if place >= len(members):
            return line
        state = members[place]
        values = self.model.series.member(chart, state.endpoint, self.now, self.figures.span_s)
        newest, _ = _newest(values)
        line.cell(state.name, VALUE_CELLS, "text" if state.fresh(self.now) else "gone").add(" ")
        cells = max(4, width - line.width - 12)
        line.add(spark(folded(values, cells), self._top), "accent")
        return line.add(f" {figure(newest, chart.unit)}", "text")

    def _bars(self, line: Line, row: int, height: int, chart: Chart) -> Line:
        """One row of the chart; row 0 is the lowest."""
        label = ""
        if row == height - 1:
            label = figure(self._top, chart.unit)
        elif row == (height - 1) // 2 and height > 4:
            label = figure(self._top * (row + 1) / height, chart.unit)
        line.cell(label, VALUE_CELLS, "dim", right=True).add("│" if not label else "┤", "dim")
        cells = []
        for value in self._columns:
            filled = 0.0 if value is None else value / self._top * height - row
            if value is not None and row == 0 and value <= 0:
                cells.append("▁")
            else:
                cells.append(BLOCKS[max(0, min(8, round(filled * 8)))])
        return line.add("".join(cells), "accent")


def _newest(values: list[float | None]) -> tuple[float | None, int | None]:
    """The last value told and how many seconds ago that was."""
    for age, value in enumerate(reversed(values)):
        if value is not None:
            return value, age
    return None, None
