"""The tabs, by number."""

from __future__ import annotations

from kvorum_tui.actions import TABS
from kvorum_tui.widgets.paint import Line, Painted


class TabBar(Painted):
    """One line: the tab in front stands out by brackets and colour."""

    DEFAULT_CSS = "TabBar { height: 1; background: $surface; }"

    def __init__(self) -> None:
        super().__init__()
        self.tab = TABS[0][0]

    def show_tab(self, tab: str) -> None:
        """Another tab is in front."""
        self.tab = tab
        self.refresh()

    def paint(self, y: int, width: int) -> Line:
        """The line."""
        line = self.line().add(" ")
        for number, (tab, title) in enumerate(TABS, 1):
            click = {"@click": f"app.do('tab_{tab}')"}
            front = tab == self.tab
            line.add("[" if front else " ", "accent")
            line.add(str(number), "accent", click).add(
                f" {title}", "bold" if front else "dim", click
            )
            line.add("]" if front else " ", "accent").add(" ")
        return line
