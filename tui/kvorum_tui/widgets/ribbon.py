"""The event ribbon: a strip of the last minutes, and what happened, one line each, newest at the
foot.
"""

from __future__ import annotations

import time
from itertools import groupby

from kvorum_tui.model import words
from kvorum_tui.model.ribbon import GROUPS, KINDS, Ribbon, RibbonEvent
from kvorum_tui.widgets.paint import Line, LineList, Painted

STRIP_S = 600


class RibbonList(LineList):
    """Events with their clock time and revision, a letter and a colour for the kind."""

    def __init__(self, ribbon: Ribbon, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.ribbon = ribbon
        self.group = "all"
        self.text = ""
        self.shown: list[RibbonEvent] = []
        self._seen = 0

    @property
    def current(self) -> RibbonEvent | None:
        """The chosen event."""
        return self.shown[self.cursor] if self.cursor < len(self.shown) else None

    @property
    def filtered(self) -> str:
        """The filter in words; empty without one."""
        parts = [self.group] if self.group != "all" else []
        return " ".join([*parts, *([f"“{self.text}”"] if self.text else [])])

    def next_group(self) -> str:
        """Show another group of events; returns its name."""
        names = list(GROUPS)
        self.filter(names[(names.index(self.group) + 1) % len(names)], self.text)
        return self.group

    def filter(self, group: str, text: str) -> None:
        """Show only these."""
        self.group, self.text = group, text
        self.shown = self.ribbon.of(group, text)
        self.changed()
        self.cursor = max(0, len(self.shown) - 1)
        self.keep_in_sight()

    def row_count(self) -> int:
        """Events shown."""
        return len(self.shown)

    def empty_text(self) -> list[tuple[str, str]]:
        """Nothing yet."""
        if self.filtered:
            return [(f"no event of {self.filtered}", "dim"), ("esc shows all", "dim")]
        return [("nothing has happened yet", "dim")]

    def arrived(self) -> None:
        """Follow the end, unless the user looks at something older."""
        if self.ribbon.total == self._seen:
            return
        at, at_end = self.current, self.cursor >= len(self.shown) - 1
        self._seen = self.ribbon.total
        self.shown = self.ribbon.of(self.group, self.text)
        self.changed()
        if at_end:
            self.cursor = max(0, len(self.shown) - 1)
        elif at is not None and at in self.shown:
            self.set_reactive(LineList.cursor, self.shown.index(at))
        self.keep_in_sight()

    def paint_row(self, number: int, width: int) -> Line:
        """One event."""
        event = self.shown[number]
        letter, ink = KINDS[event.kind]
        clock = time.strftime("%H:%M:%S", time.localtime(event.at)) + f".{int(event.at * 10) % 10}"
        line = self.line().add(clock + " ", "dim")
        if width >= 70:
            revision = f"rev {event.revision:,}" if event.revision else "rev ?"
            line.cell(revision, 12, "dim")
        return line.add(letter + " ", ink).add(event.text, ink)


class RibbonStrip(Painted):
    """The last minutes in one line: a letter where something happened."""

    DEFAULT_CSS = "RibbonStrip { height: 1; background: $surface; }"

    def __init__(self, ribbon: Ribbon, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.ribbon = ribbon
        self.now = 0.0
        self.group = "all"

    def refresh_at(self, wall: float) -> None:
        """Show the picture of this second of the wall clock."""
        if int(wall) != int(self.now):
            self.now = wall
            self.refresh()

    def paint(self, y: int, width: int) -> Line:
        """``10 min ago ····L··x··· now``."""
        line = self.line().add(f" {words.span(STRIP_S)} ago ", "dim")
        cells = max(8, width - line.width - 5)
        kinds = self.ribbon.strip(self.now, STRIP_S, cells, self.group)
        for kind, run in groupby(kinds):
            letter, ink = KINDS[kind] if kind else ("─", "faint")
            line.add(letter * len(list(run)), ink)
        return line.add(" now", "dim")
