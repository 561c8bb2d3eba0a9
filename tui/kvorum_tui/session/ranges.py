"""Reading whole ranges, page by page: a part of the session, ``session.ranges``.

A range is ``(low, high)``: keys from ``low`` on, before ``high``; an empty ``high`` has no end. So
the whole store is ``(b"", b"")``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Protocol

from kvorum_tui.model.records import KeyPage, KeyRecord, WatchBatch

Span = tuple[bytes, bytes]
EVERYTHING: Span = (b"", b"")


def span_of(prefix: bytes) -> Span:
    """The range of all keys that start with a prefix."""
    end = prefix.rstrip(b"\xff")
    return prefix, end[:-1] + bytes([end[-1] + 1]) if end else b""


def holds(span: Span, key: bytes) -> bool:
    """Whether a key lies in a range."""
    return span[0] <= key and (not span[1] or key < span[1])


def joined(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Ranges in order, those that touch or overlap made one."""
    out: list[Span] = []
    for low, high in sorted(spans):
        if out and (not out[-1][1] or low <= out[-1][1]):
            last = out[-1]
            if last[1] and (not high or high > last[1]):
                out[-1] = (last[0], high)
        else:
            out.append((low, high))
    return tuple(out)


@dataclass(frozen=True, slots=True)
class ValuePage:
    """A page of keys with their values, read at one pinned revision. ``total``: keys in all
    pages.
    """

    records: tuple[KeyRecord, ...]
    revision: int
    more: bool
    total: int


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a user may read: the ranges of the roles, by name. ``everything`` for root, and where
    there are no users.
    """

    user: str = ""
    roles: tuple[str, ...] = ()
    spans: tuple[Span, ...] = ()
    everything: bool = False


class Ranges(Protocol):
    """Every method raises :class:`kvorum_tui.session.SessionError` and nothing else. Pages become
    smaller by themselves when a server finds the answer too large.
    """

    def keys(self, span: Span, revision: int = 0) -> AsyncIterator[KeyPage]:
        """Keys only, at a revision (0: that of the first page). The first page is small, so that
        there is something to see at once. At least one page.
        """

    def values(self, span: Span, revision: int = 0) -> AsyncIterator[ValuePage]:
        """Keys with their values, in the same way."""

    def follow(self, span: Span, start_revision: int) -> AsyncIterator[WatchBatch]:
        """Changes in a range without previous values, as ``Session.watch`` tells them."""

    async def allowed(self) -> Allowed:
        """What the roles of the user who is logged in allow to read; a user may always ask this of
        himself.
        """
