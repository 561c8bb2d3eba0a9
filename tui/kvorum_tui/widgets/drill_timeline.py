"""A drill over time: a row a member with its faults and reigns, the rate of writes, the steps.

Letters say what colours say: a fault's bar begins with its letter, a reign with L and the term,
a dead process is x, and a time without any acknowledged write is an underscore.
"""

from __future__ import annotations

import math

from kvorum_tui.model.drill_run import HARD, LETTERS, Bar, DrillRun
from kvorum_tui.widgets.paint import Line, Painted

NAME_CELLS = 7
BLOCKS = "▁▂▃▄▅▆▇█"
SIGNS = {"step": (">", "warn"), "lift": ("<", "good"), "leader": ("*", "accent")}
SIGNS |= {"failed": ("!", "bad")}
TICKS_S = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600)
TICK_CELLS = 14  # A mark and some air.
MORE_ROWS = 3  # Axis, writes, steps.


class DrillTimeline(Painted):
    """The picture of one run."""

    DEFAULT_CSS = "DrillTimeline { height: auto; background: $surface; }"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.run: DrillRun | None = None
        self._state: tuple[object, ...] = ()

    def show(self, run: DrillRun | None) -> None:
        """Show a run as it is now."""
        state = (run, run.changes if run else 0)
        if state == self._state:
            return
        self._state, self.run = state, run
        members = len(run.members) if run else 0
        self.styles.height = max(3, members) + MORE_ROWS
        self.refresh()

    def paint(self, y: int, width: int) -> Line:
        """Axis, members, writes, steps."""
        line, run = self.line(), self.run
        if run is None:
            return line
        cells = max(10, width - NAME_CELLS - 1)
        if y == 0:
            return self._axis(run, line, cells)
        if y <= len(run.members):
            return self._member(run, line, run.members[y - 1], cells)
        place = y - max(3, len(run.members))
        if place == 1:
            return self._writes(run, line, cells)
        return self._steps(run, line, cells) if place == 2 else line

    def _axis(self, run: DrillRun, line: Line, cells: int) -> Line:
        line.cell("", NAME_CELLS - 1)
        end = f" {run.length_s:.3g} s"
        room = cells - len(end)
        text = [" "] * room
        step = next((s for s in TICKS_S if run.length_s / s <= cells / TICK_CELLS), TICKS_S[-1])
        for number in range(int(run.length_s / step) + 1):
            mark = f"{number * step:g}"
            first = int(number * step / run.length_s * cells)
            if first + len(mark) <= room:
                text[first : first + len(mark)] = mark
        return line.add("".join(text) + end, "dim")

    def _span(self, run: DrillRun, cell: int, cells: int) -> tuple[float, float]:
        step = run.length_s / cells
        return cell * step, (cell + 1) * step

    def _member(self, run: DrillRun, line: Line, name: str, cells: int) -> Line:
        """Faults cover reigns, and death both."""
        leads = bool(run.reigns) and run.reigns[-1].leader == name and not run.over
        line.cell(name, NAME_CELLS - 1, "good" if leads else "bold")
        bars = _bars(run, name, cells)
        before: object = None
        since = 0
        for cell in range(cells):
            begin, end = self._span(run, cell, cells)
            if begin > run.now_s:
                line.add("·", "faint")
                continue
            bar, dead = bars[cell], run.down_at(name, end)
            reign = run.reign_at(end)
            shown: object = bar or ("down" if dead else reign)
            since = since + 1 if shown is before else 0
            before = shown
            if bar is not None:
                fill = "x" if dead else "▓" if bar.do in HARD else "▒"
                ink = "bad" if bar.do in HARD else "warn"
                line.add(fill if since else LETTERS.get(bar.do, "?"), ink)
            elif dead:
                line.add("x", "bad")
            elif reign is not None and reign.leader == name:
                label = f"L{reign.term}"
                line.add(label[since] if since < len(label) else "━", f"term{reign.term % 8}")
            else:
                line.add("─", "faint")
        return line

    def _writes(self, run: DrillRun, line: Line, cells: int) -> Line:
        line.cell("wr/s", NAME_CELLS - 1, "dim")
        top = max(1.0, run.rate_max)
        for cell in range(cells):
            rate = run.rate_at(*self._span(run, cell, cells))
            if rate is None:
                line.add(" ")
            elif rate <= 0:
                line.add("_", "bad")
            else:
                line.add(BLOCKS[min(7, int(rate / top * 7.999))], "primary")
        return line

    def _steps(self, run: DrillRun, line: Line, cells: int) -> Line:
        line.cell("steps", NAME_CELLS - 1, "dim")
        row: list[tuple[str, str]] = [(" ", "text")] * cells
        for moment in run.moments:
            if moment.kind in SIGNS:
                cell = min(cells - 1, int(moment.at_s / run.length_s * cells))
                row[cell] = SIGNS[moment.kind]
        for sign, ink in row:
            line.add(sign, ink)
        return line


def _bars(run: DrillRun, name: str, cells: int) -> list[Bar | None]:
    """The fault of a member in each cell; the gravest where there are several."""
    found: list[Bar | None] = [None] * cells
    for bar in run.bars:
        if name not in bar.members:
            continue
        end_s = run.now_s if bar.end_s is None else bar.end_s
        first = min(cells - 1, int(bar.begin_s / run.length_s * cells))
        last = min(cells - 1, max(first, math.ceil(end_s / run.length_s * cells) - 1))
        for cell in range(first, last + 1):
            other = found[cell]
            if other is None or other.do not in HARD or bar.do in HARD:
                found[cell] = bar
    return found


def legend(run: DrillRun) -> str:
    """What the letters of this run's faults mean, the newest kinds last."""
    kinds = dict.fromkeys(bar.do for bar in run.bars)
    parts = [f"{LETTERS.get(do, '?')} {do.replace('_', ' ')}" for do in kinds]
    return " · ".join(["L3 leads term 3", *parts, "_ no write"])
