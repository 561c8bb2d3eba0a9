"""The tabs, by number."""

from __future__ import annotations

from kvorum_tui.actions import TABS
from kvorum_tui.widgets.paint import Line, Painted

ROOMY = 90  # Columns from which each tab has blanks around it.


class TabBar(Painted):
    """One line: the tab in front stands out by brackets and colour."""

    DEFAULT_CSS = "TabBar { height: 1; background: $surface; }"

    def __init__(self) -> None:
        super().__init__()
        self.tab = TABS[0].name

    def show_tab(self, tab: str) -> None:
        """Another tab is in front."""
        self.tab = tab
        self.refresh()

    def paint(self, y: int, width: int) -> Line:
        """The line."""
        line = self.line()
        gap = " " if width >= ROOMY else ""
        after = " "
        for tab in TABS:
            click = {"@click": f"app.do('tab_{tab.name}')"}
            front = tab.name == self.tab
            line.add(after + gap if not front else (after if gap else "") + "[", "accent")
            line.add(tab.key, "accent", click)
            line.add(f" {tab.title}", "bold" if front else "dim", click)
            after = "]" if front else " "
        return line.add(after, "accent")
