"""How far a drill is, for the operator who waits: one line that moves on a terminal, and now and
then a line elsewhere.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from kvorum.drill.facts import Progress

_TERMINAL_S, _ELSEWHERE_S = 0.2, 5.0


class Meter:
    """Says things on standard error; ``quiet``: says nothing."""

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._moves = sys.stderr.isatty()
        self._every_s = _TERMINAL_S if self._moves else _ELSEWHERE_S
        self._next = time.monotonic() + self._every_s
        self._wide = 0

    def say(self, text: str) -> None:
        """A line that stays."""
        if not self._quiet:
            self.clear()
            click.echo(text, err=True)

    def progress(self, progress: Progress) -> None:
        """Where the run is, a few times a second at most."""
        now = time.monotonic()
        if self._quiet or now < self._next:
            return
        self._next = now + self._every_s
        text = progress_line(progress)
        if self._moves:
            self._wide = max(self._wide, len(text))
            click.echo(f"\r{text:<{self._wide}}", nl=False, err=True)
        else:
            click.echo(text, err=True)

    def clear(self) -> None:
        """Leave no trace of the line that moves."""
        if self._wide:
            click.echo(f"\r{'':<{self._wide}}\r", nl=False, err=True)
            self._wide = 0


def progress_line(progress: Progress) -> str:
    """One line for people."""
    where = f"{progress.at_s:.1f} of {progress.length_s:g} s"
    leader = f"{progress.leader} leads term {progress.term}" if progress.leader else "no leader"
    counts = f"{progress.acknowledged} acknowledged, {progress.failed} failed"
    parts = [where] if progress.phase == "steps" else [progress.phase]
    parts += [f"{counts}, {progress.unknown} unknown", leader, *progress.faults]
    return " · ".join(parts)
