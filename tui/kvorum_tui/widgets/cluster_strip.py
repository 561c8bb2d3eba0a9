"""The clusters that are open, by name and colour; nothing while there is only one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kvorum_tui.widgets.paint import Line, Painted


@dataclass(frozen=True, slots=True)
class Entry:
    """One cluster in the strip."""

    title: str
    colour: str
    read_only: bool
    front: bool


class ClusterStrip(Painted):
    """One line, clickable; the cluster in front stands in brackets."""

    DEFAULT_CSS = """
    ClusterStrip { height: 1; background: $panel; display: none; }
    ClusterStrip.on { display: block; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.entries: Sequence[Entry] = ()

    def show(self, entries: Sequence[Entry]) -> None:
        """Show these clusters."""
        self.entries = entries
        self.set_class(len(entries) > 1, "on")
        self.refresh()

    def paint(self, y: int, width: int) -> Line:
        """The line."""
        line = self.line().add(" clusters ", "dim")
        for number, entry in enumerate(self.entries):
            click = {"@click": f"app.show_cluster({number})"}
            line.add("[" if entry.front else " ", "accent")
            if entry.colour:
                line.add(f" {entry.title} ", f"context-{entry.colour}", click)
            else:
                line.add(entry.title, "bold" if entry.front else "dim", click)
            line.add(" RO" if entry.read_only else "", "warn")
            line.add("]" if entry.front else " ", "accent")
        return line
