"""A line that counts, on standard error, while something long is under way."""

from __future__ import annotations

import sys
import time

_REDRAW_S = 0.2


class Progress:
    """A line on standard error that counts, when somebody is there to see it."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._shown = sys.stderr.isatty()
        self._next_s = 0.0
        self.count = 0

    def add(self, more: int) -> None:
        """Count on."""
        self.count += more
        now_s = time.monotonic()
        if self._shown and now_s >= self._next_s:
            self._next_s = now_s + _REDRAW_S
            sys.stderr.write(f"\r{self.count:,} {self._what}")
            sys.stderr.flush()

    def end(self) -> None:
        """Leave the line."""
        if self._shown and self.count:
            sys.stderr.write(f"\r{self.count:,} {self._what}\n")
