"""How much of the machine other programs took while something was measured.

Seconds that a boot takes say nothing about it while a compiler runs beside it. So a measurement
says what share of the processors went elsewhere meanwhile, by the kernel's own account (Linux), and
the slice decides which ones count.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

_TICKS_S = os.sysconf("SC_CLK_TCK")
# Of the first line of /proc/stat: user, nice, system, (idle, iowait,) irq, softirq, steal.
_BUSY = (1, 2, 3, 6, 7, 8)
# Of /proc/PID/stat behind the name: utime, stime, cutime, cstime.
_TIMES = slice(11, 15)


class Others:
    """Begins now. ``own`` are processes that were not there yet, and whose work is not others'."""

    def __init__(self) -> None:
        self._began_s = time.monotonic()
        self._own_s = time.process_time()
        self._busy_s = _busy_s()

    def share(self, own: Iterable[int]) -> float:
        """What others took since then, as a share of all processors; 0 where nobody can tell."""
        wall_s = time.monotonic() - self._began_s
        own_s = time.process_time() - self._own_s + sum(map(process_s, own))
        taken_s = _busy_s() - self._busy_s - own_s
        return max(0.0, taken_s / (wall_s * (os.cpu_count() or 1)))


def _busy_s() -> float:
    try:
        figures = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()
    except FileNotFoundError:
        return 0.0
    return sum(int(figures[place]) for place in _BUSY) / _TICKS_S


def process_s(pid: int) -> float:
    """Processor seconds of a process and of its children that have ended."""
    try:
        said = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return 0.0
    return sum(map(int, said.rpartition(")")[2].split()[_TIMES])) / _TICKS_S
