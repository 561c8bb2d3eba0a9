"""The event ribbon: what happened to the cluster, one line each, newest at the foot."""

from __future__ import annotations

import time

from kvorum_tui.model.ribbon import KINDS, Ribbon
from kvorum_tui.widgets.paint import Line, LineList


class RibbonList(LineList):
    """Events with their clock time, a letter and a colour for the kind."""

    def __init__(self, ribbon: Ribbon, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.ribbon = ribbon
        self._seen = 0

    def row_count(self) -> int:
        """Events kept."""
        return len(self.ribbon.events)

    def empty_text(self) -> list[tuple[str, str]]:
        """Nothing yet."""
        return [("nothing has happened yet", "dim")]

    def arrived(self) -> None:
        """Follow the end, unless the user looks at something older."""
        grown = self.ribbon.total - self._seen
        if not grown:
            return
        at_end = self.cursor >= self.row_count() - grown - 1
        self._seen = self.ribbon.total
        self.changed()
        if at_end:
            self.cursor = self.row_count() - 1
            self.keep_in_sight()

    def paint_row(self, number: int, width: int) -> Line:
        """One event."""
        event = self.ribbon.events[number]
        letter, ink = KINDS[event.kind]
        clock = time.strftime("%H:%M:%S", time.localtime(event.at)) + f".{int(event.at * 10) % 10}"
        return self.line().add(clock + " ", "dim").add(letter + " ", ink).add(event.text, ink)
