"""A lease's time to live as a bar."""

from __future__ import annotations

from kvorum_tui.model import words
from kvorum_tui.model.lease_table import SOON_S, LeaseRow
from kvorum_tui.widgets.paint import Line

EIGHTHS = " ▏▎▍▌▋▊▉█"
TIME_CELLS = 11  # What stands behind the bar.
OLD_S = 10.0  # An answer older than this is said to be.


def ttl_bar(line: Line, row: LeaseRow, now: float, width: int) -> Line:
    """Append a bar of ``width`` cells and the time left; the last seconds stand out by sign and
    colour. ``~`` is a time that was not asked for lately: somebody may have renewed the lease.
    """
    if not row.told:
        return line.cell("asking…", width + TIME_CELLS - 1, "dim")
    remaining = row.remaining(now)
    old = now - row.asked_at > OLD_S
    ink = "bad" if remaining <= SOON_S else "warn" if row.share(now) < 0.34 else "good"
    eighths = round(row.share(now) * width * 8)
    bar = "█" * (eighths // 8) + (EIGHTHS[eighths % 8] if eighths % 8 else "")
    line.add(f"{bar:<{width}}", "stale" if old else ink)
    sign = "~" if old else "!" if remaining <= SOON_S else " "
    return line.add(f" {words.clock(remaining):>8}{sign} ", "stale" if old else ink)
