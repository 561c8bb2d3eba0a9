"""A lease's time to live as a bar."""

from __future__ import annotations

from kvorum_tui.model import words
from kvorum_tui.model.lease_table import SOON_S, LeaseRow
from kvorum_tui.widgets.paint import Line

EIGHTHS = " ▏▎▍▌▋▊▉█"


def ttl_bar(line: Line, row: LeaseRow, now: float, width: int) -> Line:
    """Append a bar of ``width`` cells and the time left; the last seconds stand out by sign and
    colour.
    """
    remaining = row.remaining(now)
    ink = "bad" if remaining <= SOON_S else "warn" if row.share(now) < 0.34 else "good"
    eighths = round(row.share(now) * width * 8)
    bar = "█" * (eighths // 8) + (EIGHTHS[eighths % 8] if eighths % 8 else "")
    line.add(f"{bar:<{width}}", ink)
    sign = "!" if remaining <= SOON_S else " "
    return line.add(f" {words.clock(remaining):>8}{sign} ", ink)
