"""Trace points: one event for every change of state that someone may want to follow.

A member given a `trace` function calls it with a TraceEvent at each such change, after it has been
made. Tests record them as text, the simulator hashes them, the terminal can show them. Without a
function nothing is built.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum, StrEnum
from typing import NamedTuple


class TraceKind(StrEnum):
    """What changed."""

    ROLE = "role"
    TERM = "term"
    LEADER = "leader"
    VOTE = "vote"
    ELECTION = "election"  # the count moved: won, lost, or a campaign was held back
    APPEND = "append"
    TRUNCATE = "truncate"
    COMMIT = "commit"
    STABLE = "stable"
    CONF = "conf"
    SNAPSHOT = "snapshot"
    COMPACT = "compact"
    PROGRESS = "progress"
    READ = "read"
    TRANSFER = "transfer"
    DROP = "drop"  # a message or proposal was set aside, and why


class TraceEvent(NamedTuple):
    """One change at one member; `facts` are named values in the order they read best."""

    member: int
    kind: TraceKind
    facts: Mapping[str, object]


Trace = Callable[[TraceEvent], None]


def render(event: TraceEvent) -> str:
    """The event in one line, without the member: `role was=follower now=leader`."""
    return " ".join([str(event.kind), *(f"{k}={_plain(v)}" for k, v in event.facts.items())])


def _plain(value: object) -> str:
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple | list):
        return "(" + ",".join(_plain(item) for item in value) + ")"
    return str(value)
