"""Where in time somebody wants to go, from what was typed: a revision, a clock, a distance."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from datetime import datetime, timedelta

HINT = "a revision, -50, a clock as 14:02 or 11-23 14:02, -10m, oldest, now"
_SPANS = {"s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400}
_CLOCK = re.compile(r"(?:(?:(\d{4})-)?(\d{1,2})-(\d{1,2})[ T])?(\d{1,2}):(\d{2})(?::(\d{2}))?")


@dataclass(frozen=True, slots=True)
class Place:
    """One of them is set; ``at_ms`` is milliseconds since 1970. ``edge``: "oldest" or "now"."""

    revision: int = 0
    at_ms: int = 0
    edge: str = ""


def parse_place(text: str, now_ms: int, here: int, newest: int) -> Place | str:
    """A place, or what is wrong. ``here``: the revision looked at, 0 for ``newest``."""
    text = text.strip().replace(",", "").removeprefix("@")
    if text.lower() in ("now", "end", "newest"):
        return Place(edge="now")
    if text.lower() in ("oldest", "home", "first"):
        return Place(edge="oldest")
    if re.fullmatch(r"\d+", text):
        return Place(revision=int(text)) if int(text) else Place(edge="now")
    if re.fullmatch(r"[+-]\d+", text):
        return Place(revision=max(1, (here or newest) + int(text)))
    distance = re.fullmatch(r"-((?:\d+\s*(?:min|s|m|h|d)\s*)+)(?:ago)?", text)
    if distance:
        seconds = sum(
            int(n) * _SPANS[unit] for n, unit in re.findall(r"(\d+)\s*(min|s|m|h|d)", distance[1])
        )
        return Place(at_ms=max(1, now_ms - seconds * 1000))
    return _clock(text, now_ms)


def _clock(text: str, now_ms: int) -> Place | str:
    found = _CLOCK.fullmatch(text)
    if found is None:
        return HINT
    year, month, day, hour, minute, second = found.groups()
    now = datetime.fromtimestamp(now_ms / 1000)
    try:
        at = now.replace(
            year=int(year or now.year),
            month=int(month or now.month),
            day=int(day or now.day),
            hour=int(hour),
            minute=int(minute),
            second=int(second or 0),
            microsecond=0,
        )
    except ValueError as error:
        return str(error)
    if at > now and not month:
        at -= timedelta(days=1)  # Of today and still to come: yesterday was meant.
    if second is None:
        at += timedelta(seconds=59)  # All of that minute.
    return Place(at_ms=max(1, int(at.timestamp() * 1000) + 999))


def clock_text(at_ms: int, now_ms: int = 0) -> str:
    """A wall-clock time: of today by the second, of other days with its date."""
    if at_ms <= 0:
        return ""
    at = time.localtime(at_ms / 1000)
    today = time.localtime(now_ms / 1000 if now_ms else time.time())
    same = (at.tm_year, at.tm_yday) == (today.tm_year, today.tm_yday)
    return time.strftime("%H:%M:%S" if same else "%m-%d %H:%M", at)
