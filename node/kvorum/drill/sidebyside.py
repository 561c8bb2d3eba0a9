"""A comparison of runs as a picture: a group of bars for each figure, a bar for each run."""

from __future__ import annotations

from collections.abc import Sequence

from kvorum.drill.chart import Chart
from kvorum.drill.compare import Row
from kvorum.drill.runs import RunSummary

_WIDTH, _LEFT, _RIGHT = 900, 240, 130
_BAR, _GAP = 18, 12
_RUNS_MAX = 12  # More bars in a group than one can tell apart.


def comparison_svg(runs: Sequence[RunSummary], rows: Sequence[Row]) -> str:
    """The picture of a comparison, as a whole SVG document; figures that are nowhere more than
    nothing are told in a line instead of empty bars.
    """
    shown = runs[:_RUNS_MAX]
    chart = Chart(_WIDTH)
    names = " and ".join(sorted({run.name for run in shown}))
    title = f"{names}: {len(runs)} runs side by side"
    chart.text(24, 28, title, "title")
    if len(runs) > _RUNS_MAX:
        chart.text(24, 46, f"only the first {_RUNS_MAX} are drawn", "soft")
    y = 62.0
    for run in shown:
        style = "good" if run.passed else "bad"
        chart.box(24, y - 11, 14, 12, run.stage, run.stage)
        chart.text(46, y, f"{run.label}, seed {run.seed}, {run.when:%Y-%m-%d %H:%M}: ")
        chart.text(520, y, run.word, style)
        y += 20
    y += 12
    empty = []
    for row in rows:
        if not row.key:
            continue
        if not any(row.numbers[: len(shown)]):
            empty.append(row.label)
            continue
        y = _group(chart, row, shown, y)
    if empty:
        chart.text(24, y + 12, f"nothing in any run: {', '.join(empty)}", "soft")
    return chart.document(y + 32, title)


def _group(chart: Chart, row: Row, runs: Sequence[RunSummary], y: float) -> float:
    """One figure's bars; returns where the next begins."""
    numbers = row.numbers[: len(runs)]
    most = max(number for number in numbers if number is not None)
    chart.text(24, y + 13, row.label)
    room = _WIDTH - _LEFT - _RIGHT
    for place, (number, run) in enumerate(zip(numbers, runs, strict=True)):
        width = 0.0 if number is None or not most else max(room * number / most, 1.0)
        value = row.values[place]
        if width:
            chart.box(_LEFT, y, width, _BAR - 3, f"{run.label}: {value}", run.stage)
        style = "good" if place in row.best else ""
        chart.text(_LEFT + width + 6, y + 12, value, style)
        y += _BAR
    return y + _GAP
