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
        """The line. Tabs that others bring stand there as far as there is room; the one in front
        takes the room of the others' names.
        """
        line = self.line()
        gap = " " if width >= ROOMY else ""
        shown, room, brief = [], width - 1, False
        for tab in TABS:
            room -= len(gap) + 1 + len(tab.key) + len(tab.title) + (1 if tab.key else 0)
            if tab.key or room >= 0 or tab.name == self.tab:
                shown.append(tab)
                brief = brief or (room < 0 and not tab.key)
            else:
                room += len(gap) + 1 + len(tab.title)
        after = " "
        for tab in shown:
            click = {"@click": f"app.do('tab_{tab.name}')"}
            front = tab.name == self.tab
            line.add(after + gap if not front else (after if gap else "") + "[", "accent")
            name = "" if brief and tab.key else tab.title
            line.add(tab.key, "accent", click)
            text = f" {name}" if tab.key and name else name
            line.add(text, "bold" if front else "dim", click)
            after = "]" if front else " "
        return line.add(after, "accent")
