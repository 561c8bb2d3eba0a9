"""The Drills tab's table of runs: one drill, a column a run, the best of each line marked."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from kvorum.drill.compare import Row, compare
from kvorum.drill.runs import RunSummary, list_runs
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical
from textual.content import Content
from textual.widget import Widget

from kvorum_tui.widgets.paint import Line, LineList

RUNS_SHOWN_MAX = 24  # Columns; older ones stay in their folders.
LABEL_CELLS = 26
COLUMN_CELLS = 14


def chosen_runs(runs: Sequence[RunSummary], name: str) -> list[RunSummary]:
    """A drill's runs as they are shown: the newest, then the newest of each other stage, then the
    rest by age.
    """
    mine = [run for run in runs if run.name == name]
    stages = dict.fromkeys(run.stage for run in mine)
    first = [next(run for run in mine if run.stage == stage) for stage in stages]
    return [*first, *(run for run in mine if run not in first)][:RUNS_SHOWN_MAX]


class RunTable(LineList):
    """The table. Left and right choose a run."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "column(-1)", "left", show=False),
        Binding("right", "column(1)", "right", show=False),
    ]
    headed = True
    has_cursor = True

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.runs: list[RunSummary] = []
        self.rows: list[Row] = []
        self.column = 0
        self.first = 0
        self.told: list[tuple[str, str]] = [("reading the runs …", "dim")]

    def show(self, runs: list[RunSummary]) -> None:
        """Show these."""
        self.runs = runs
        # Number and stage stand in the heading, the drill in the title.
        where = Row("", "cluster", "", tuple(run.cluster or "its own" for run in runs))
        self.rows = [where, *compare(runs)[2:]] if runs else []
        self.column = self.first = 0
        self.changed()

    @property
    def current(self) -> RunSummary | None:
        """The chosen run."""
        return self.runs[self.column] if self.column < len(self.runs) else None

    def row_count(self) -> int:
        """Figures."""
        return len(self.rows)

    def empty_text(self) -> list[tuple[str, str]]:
        """No run of this drill."""
        return self.told

    def action_column(self, by: int) -> None:
        """The next run."""
        self.column = max(0, min(len(self.runs) - 1, self.column + by))
        fit = self._fit(self.scrollable_content_region.width)
        self.first = min(self.column, max(self.first, self.column - fit + 1))
        self.refresh()

    def _fit(self, width: int) -> int:
        return max(1, (width - LABEL_CELLS - 2) // (COLUMN_CELLS + 1))

    def _shown(self, width: int) -> range:
        return range(self.first, min(len(self.runs), self.first + self._fit(width)))

    def heading(self, width: int) -> Line:
        """A run's number and stage."""
        more = len(self.runs) - self.first - self._fit(width)
        left = f"← {self.first}" if self.first else ""
        line = self.line().cell(f" {left}", LABEL_CELLS, "dim")
        for number in self._shown(width):
            chosen = number == self.column
            ink = "cursor" if chosen and self.has_focus else "head"
            line.cell(f"{'▸' * chosen}{self.runs[number].label}", COLUMN_CELLS, ink)
        return line.add(f"{more} →" if more > 0 else "", "dim")

    def paint_row(self, number: int, width: int) -> Line:
        """One figure of all runs."""
        row = self.rows[number]
        line = self.line().cell(f" {row.label}", LABEL_CELLS, "dim")
        for column in self._shown(width):
            value, best = row.values[column], column in row.best
            ink = {"FAILED": "bad", "passed": "good", "NO": "bad", "-": "faint"}.get(value, "text")
            if row.label == "when":
                value = value[5:16]
            line.cell(f"{value} ✓" if best else value, COLUMN_CELLS, "good" if best else ink)
        return line


class DrillCompareView(Container):
    """The table in a box."""

    DEFAULT_CSS = "DrillCompareView #runs-box { height: 100%; }"

    def __init__(self) -> None:
        super().__init__(id="view-runs")
        self.table = RunTable(id="runs")
        self.box = Vertical(self.table, classes="box", id="runs-box")

    def compose(self) -> ComposeResult:
        """One box."""
        yield self.box

    def first_focus(self) -> Widget:
        """The table."""
        return self.table

    async def load(self, name: str, directory: Path) -> None:
        """Read the runs of a drill, beside the screen: there may be hundreds."""
        runs = chosen_runs(await asyncio.to_thread(list_runs, directory), name)
        self.box.border_title = Content(f"Runs of {name}, the newest of each stage first")
        stages = {run.stage for run in runs}
        hint = "← → choose a run · enter its report · v its timeline"
        if runs and "etcd" not in stages:
            hint += " · none on etcd yet: E runs it there"
        self.box.border_subtitle = Content(hint)
        self.table.told = [(f"{name} has not been run yet: esc, then enter runs it", "dim")]
        self.table.show(runs)
