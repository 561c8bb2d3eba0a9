"""How far a drill is, for the operator who waits: one line that moves on a terminal, and now and
then a line elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kvorum.cli.progress import MovingLine

if TYPE_CHECKING:
    from kvorum.drill.facts import Progress

_AFTER_S, _ELSEWHERE_S = 0.2, 5.0


class Meter:
    """Says things on standard error; ``quiet``: says nothing."""

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._line = MovingLine(after_s=_AFTER_S, elsewhere_s=_ELSEWHERE_S)

    def say(self, text: str) -> None:
        """A line that stays."""
        if not self._quiet:
            self.clear()
            click.echo(text, err=True)

    def progress(self, progress: Progress) -> None:
        """Where the run is, a few times a second at most."""
        if not self._quiet:
            self._line.tell(progress_line(progress))

    def clear(self) -> None:
        """Leave no trace of the line that moves."""
        self._line.clear()


def progress_line(progress: Progress) -> str:
    """One line for people."""
    where = f"{progress.at_s:.1f} of {progress.length_s:g} s"
    leader = f"{progress.leader} leads term {progress.term}" if progress.leader else "no leader"
    counts = f"{progress.acknowledged} acknowledged, {progress.failed} failed"
    parts = [where] if progress.phase == "steps" else [progress.phase]
    parts += [f"{counts}, {progress.unknown} unknown", leader, *progress.faults]
    return " · ".join(parts)
