"""A line on standard error that is drawn over while something long is under way."""

from __future__ import annotations

import sys
import time

_REDRAW_S = 0.2


class MovingLine:
    """The last line of a terminal, a few times a second at most.

    Args:
        after_s: what is over sooner shows nothing.
        elsewhere_s: how often the text goes out as a line of its own where no line can be drawn
            over (a file, a pipe); None: never.
    """

    def __init__(self, after_s: float = 0.0, elsewhere_s: float | None = None) -> None:
        self._moves = sys.stderr.isatty()
        self._every_s = _REDRAW_S if self._moves else elsewhere_s
        self._next_s = time.monotonic() + (after_s if self._moves else elsewhere_s or 0.0)
        self._wide = 0

    def tell(self, text: str) -> None:
        """Show this, unless something was shown a moment ago."""
        now_s = time.monotonic()
        if self._every_s is None or now_s < self._next_s:
            return
        self._next_s = now_s + self._every_s
        if self._moves:
            sys.stderr.write(f"\r{text:<{self._wide}}")
            self._wide = max(self._wide, len(text))
        else:
            sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    def clear(self) -> None:
        """Leave no trace of the line that moves."""
        if self._wide:
            sys.stderr.write(f"\r{'':<{self._wide}}\r")
            sys.stderr.flush()
            self._wide = 0

    def leave(self, text: str) -> None:
        """Put this in its place, and leave it there; nothing where no line moves."""
        if self._moves:
            sys.stderr.write(f"\r{text:<{self._wide}}\n")
            self._wide = 0


class Progress:
    """A moving line that counts."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._line = MovingLine()
        self.count = 0

    def add(self, more: int) -> None:
        """Count on."""
        self.count += more
        self._line.tell(f"{self.count:,} {self._what}")

    def end(self) -> None:
        """Leave the line."""
        if self.count:
            self._line.leave(f"{self.count:,} {self._what}")
