"""The list of drills: name, where each can run, how long it takes."""

from __future__ import annotations

from collections.abc import Sequence

from kvorum.drill.scenario import Scenario

from kvorum_tui.widgets.paint import Line, LineList

# A letter a stage, in this order; a dot where a drill makes no sense there.
LETTERS = (("live", "L"), ("sim", "S"), ("etcd", "E"))
TAIL = 10


class DrillList(LineList):
    """Scenarios that match the filter."""

    headed = True

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.scenarios: Sequence[Scenario] = ()

    def show(self, scenarios: Sequence[Scenario]) -> None:
        """Show these; the cursor stays on its drill where that is still there."""
        chosen = self.current
        self.scenarios = scenarios
        names = [scenario.path for scenario in scenarios]
        self.cursor = names.index(chosen.path) if chosen and chosen.path in names else 0
        self.changed()

    @property
    def current(self) -> Scenario | None:
        """The chosen one."""
        return self.scenarios[self.cursor] if self.cursor < len(self.scenarios) else None

    def row_count(self) -> int:
        """Scenarios."""
        return len(self.scenarios)

    def empty_text(self) -> list[tuple[str, str]]:
        """Nothing matches."""
        return [("no drill matches; esc clears the filter", "dim")]

    def heading(self, width: int) -> Line:
        """Column names."""
        return (
            self.line()
            .add(" ")
            .cell("drill", width - TAIL - 2, "head")
            .add("LSE", "head")
            .add("  time", "head")
        )

    def paint_row(self, number: int, width: int) -> Line:
        """One drill."""
        scenario = self.scenarios[number]
        line = self.line().add(" ").cell(scenario.name, width - TAIL - 2)
        for stage, letter in LETTERS:
            able = stage in scenario.stages
            line.add(letter if able else "·", "accent" if able else "faint")
        return line.add(f"{scenario.length_s:>4g} s", "dim")
