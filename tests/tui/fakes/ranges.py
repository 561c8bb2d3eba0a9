"""Ranges of a cluster in memory; also as they were at a revision."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from kvorum_tui.model.records import KeyPage, KeyRecord, WatchBatch
from kvorum_tui.session import SessionError
from kvorum_tui.session.ranges import EVERYTHING, Allowed, Span, ValuePage, holds

if TYPE_CHECKING:
    from tui.fake_session import FakeSession


class FakeRanges:
    """``allowed_spans``: None may read everything, otherwise these ranges only. ``page``: keys of a
    page. ``read``: the ranges that were read. ``hold``: pages of values after the first wait for
    it.
    """

    def __init__(self, session: FakeSession) -> None:
        self.session = session
        self.allowed_spans: tuple[Span, ...] | None = None
        self.roles_told = True
        self.page = 2_000
        self.read: list[tuple[str, Span, int]] = []
        self.fail: SessionError | None = None
        self.hold: asyncio.Event | None = None

    def _may(self, span: Span) -> None:
        wrong = self.fail or self.session.fail
        if wrong is not None:
            raise wrong
        if self.allowed_spans is None:
            return
        for low, high in self.allowed_spans:
            if low <= span[0] and (not high or (span[1] and span[1] <= high)):
                return
        raise SessionError("etcdserver: permission denied", "n1", "KV/Range", "PERMISSION_DENIED")

    def _records(self, span: Span, revision: int) -> list[KeyRecord]:
        if revision and revision < self.session.compacted:
            text = "etcdserver: mvcc: required revision has been compacted"
            raise SessionError(text, "n1", "KV/Range", "OUT_OF_RANGE")
        state = self.session.state_at(revision) if revision else self.session.store
        return [state[key] for key in sorted(state) if holds(span, key)]

    async def keys(self, span: Span, revision: int = 0) -> AsyncIterator[KeyPage]:
        self._may(span)
        self.read.append(("keys", span, revision))
        found = self._records(span, revision)
        at = revision or self.session.revision
        for start in range(0, max(1, len(found)), self.page):
            part = tuple(record.key for record in found[start : start + self.page])
            yield KeyPage(part, at, start + self.page < len(found), len(found))

    async def values(self, span: Span, revision: int = 0) -> AsyncIterator[ValuePage]:
        self._may(span)
        self.read.append(("values", span, revision))
        found = self._records(span, revision)
        at = revision or self.session.revision
        for start in range(0, max(1, len(found)), self.page):
            if start and self.hold is not None:
                await self.hold.wait()
            part = tuple(found[start : start + self.page])
            yield ValuePage(part, at, start + self.page < len(found), len(found))

    async def follow(self, span: Span, start_revision: int) -> AsyncIterator[WatchBatch]:
        self._may(span)
        async for batch in self.session.watch(b"", True, start_revision):
            events = tuple(event for event in batch.events if holds(span, event.key))
            if events or not batch.events:
                yield WatchBatch(batch.revision, events, batch.gap_to)

    async def allowed(self) -> Allowed:
        if self.allowed_spans is None:
            return Allowed(everything=True)
        if not self.roles_told:
            raise SessionError(
                "etcdserver: permission denied", "n1", "Auth/UserGet", "PERMISSION_DENIED"
            )
        everything = self.allowed_spans == (EVERYTHING,)
        return Allowed("ann", ("reader",), self.allowed_spans, everything)
