"""The line of a playback, and the places that people type."""

from __future__ import annotations

import re
import time
from datetime import datetime, timedelta

from kvorum_tui.recording.playback import SPEEDS, Moment

_SPAN = re.compile(r"([+-])(\d+(?:\.\d+)?)(s|min|m|h)?")
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")
_SHARE = re.compile(r"(\d{1,3})%")
_SECONDS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3_600}


def clock_text(at_ms: int) -> str:
    """A moment of the day, as this machine writes it."""
    return time.strftime("%H:%M:%S", time.localtime(at_ms / 1000))


def day_text(at_ms: int) -> str:
    """The day."""
    return time.strftime("%Y-%m-%d", time.localtime(at_ms / 1000))


def speed_text(speed: float) -> str:
    """``2x``, ``1/4x``."""
    return f"{speed:g}x" if speed >= 1 else f"1/{1 / speed:g}x"


def next_speed(speed: float) -> int:
    """How many steps lead to the next one; back to the first after the last."""
    at = SPEEDS.index(speed)
    return 1 if at + 1 < len(SPEEDS) else -at


def place(moment: Moment, width: int) -> int:
    """Where the moment stands on a bar."""
    length = moment.end_ms - moment.begin_ms
    if length <= 0:
        return width - 1
    return min(width - 1, (moment.at_ms - moment.begin_ms) * width // length)


def time_at(moment: Moment, column: int, width: int) -> int:
    """The moment under a column of the bar."""
    length = moment.end_ms - moment.begin_ms
    return moment.begin_ms + length * column // max(1, width - 1)


def wanted_time(text: str, moment: Moment) -> int | None:
    """Where somebody wants to go: ``14:02:11``, ``+30s``, ``-2m``, ``50%``. None: it is none of
    them. A time of day is one of the recording, the first that fits.
    """
    text = text.strip()
    if found := _SPAN.fullmatch(text):
        seconds = float(found[2]) * _SECONDS[found[3] or ""]
        return moment.at_ms + int(seconds * (1000 if found[1] == "+" else -1000))
    if found := _SHARE.fullmatch(text):
        return moment.begin_ms + (moment.end_ms - moment.begin_ms) * int(found[1]) // 100
    if found := _CLOCK.fullmatch(text):
        hour, minute, second = int(found[1]), int(found[2]), int(found[3] or 0)
        if hour > 23 or minute > 59 or second > 59:
            return None
        begin = datetime.fromtimestamp(moment.begin_ms / 1000)
        wanted = begin.replace(hour=hour, minute=minute, second=second, microsecond=0)
        if wanted < begin.replace(microsecond=0):
            wanted += timedelta(days=1)
        return int(wanted.timestamp() * 1000)
    return None
