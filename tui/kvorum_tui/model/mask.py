"""Hiding values while somebody looks over one's shoulder.

One switch for the whole terminal: everything that turns a value into text to look at asks it. Keys,
sizes and revisions stay. What is copied or exported is copied as it is: one asked for it.
"""

from __future__ import annotations

MASK = "••••••"


class _Switch:
    on = False


def hidden() -> bool:
    """Whether values are hidden now."""
    return _Switch.on


def hide(on: bool) -> None:
    """Hide values from now on, or show them again."""
    _Switch.on = on


def masked(size: int) -> str:
    """What stands in place of a value of so many bytes; its length is no secret."""
    return f"{MASK} ({size:,} bytes)"
