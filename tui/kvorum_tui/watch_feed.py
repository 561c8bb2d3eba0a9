"""A watch pane's feeds: one watch into a buffer, from now or from an old revision; the same watch
through every member; and what a watch would have shown up to a revision of the past.

``tell`` is called for every batch: whoever paints decides how often that is worth a frame.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from kvorum_tui.feeds import Clock, forever
from kvorum_tui.model.records import KeyEvent, WatchBatch
from kvorum_tui.model.watch_buffer import Entry, Gap, WatchBuffer
from kvorum_tui.model.watch_skew import SkewTable
from kvorum_tui.session import Session, SessionError

SLICE_EVENTS = 500  # Events taken in between two turns of the event loop: some milliseconds.
PAST_REVISIONS = 20_000  # How far before the revision looked at the past is read.

Listener = Callable[[Sequence[Entry]], None]


def gap_of(batch: WatchBatch) -> Gap:
    """The row for what a batch says is not there."""
    if batch.rewound:
        return Gap(batch.gap_to, f"wound to revision {batch.gap_to:,}", "mark")
    text = f"compacted: nothing is kept before revision {batch.gap_to:,}"
    return Gap(batch.gap_to, text)


@dataclass(eq=False, slots=True)
class WatchFeed:
    """One pane's watch: from a revision, or from now on, into a buffer. ``heard`` gets every entry
    before the buffer does (continuous saving, hooks).
    """

    session: Session
    buffer: WatchBuffer
    key: bytes
    prefix: bool
    start_revision: int
    clock: Clock
    tell: Callable[[], object]
    heard: Listener = lambda entries: None
    error: SessionError | None = field(default=None, init=False)
    broken: int = field(default=0, init=False)
    live_from: int = field(default=0, init=False)

    async def run(self) -> None:
        """Until cancelled. After a break it goes on at the revision behind the last one taken in:
        nothing is missed, and nothing comes twice.
        """
        await forever(self._follow, self._failed)

    async def _follow(self) -> None:
        async for batch in self.session.watch(self.key, self.prefix, self.start_revision):
            self.error = None
            if not self.live_from:
                self.live_from = batch.revision
            if batch.gap_to:
                self._take([gap_of(batch)])
                self.start_revision = batch.gap_to + batch.rewound
            for start in range(0, len(batch.events), SLICE_EVENTS):
                self._take(batch.events[start : start + SLICE_EVENTS])
                await asyncio.sleep(0)
            if batch.events:
                # Only now: a batch holds whole revisions, a slice of it may not.
                self.start_revision = batch.events[-1].revision + 1
            elif not self.start_revision:
                self.start_revision = batch.revision + 1
            self.tell()
            await asyncio.sleep(0)

    def _take(self, entries: Sequence[Entry]) -> None:
        self.heard(entries)
        self.buffer.add(entries, self.clock())
        self.tell()

    def _failed(self, error: SessionError) -> None:
        self.broken += self.error is None
        self.error = error
        self.tell()


@dataclass(eq=False, slots=True)
class PastFeed:
    """What a watch would have shown up to a revision, into a buffer."""

    session: Session
    buffer: WatchBuffer
    key: bytes
    prefix: bool
    revision: int
    clock: Clock
    tell: Callable[[], object]
    error: SessionError | None = field(default=None, init=False)
    reading: bool = field(default=True, init=False)

    async def run(self) -> None:
        """Until the revision is passed, or cancelled: of a prefix nobody says that it is quiet."""
        await forever(self._read, self._failed)

    async def _read(self) -> None:
        start = max(1, self.revision - PAST_REVISIONS, self.buffer.last_revision + 1)
        if start > 1 and not self.buffer.total:
            self.buffer.add([Gap(start, f"what was before {start:,} is not read", "mark")], 0.0)
        async for batch in self.session.watch(self.key, self.prefix, start):
            self.error = None
            if batch.gap_to and batch.gap_to <= self.revision:
                self.buffer.add([gap_of(batch)], self.clock())
            events: list[KeyEvent] = [e for e in batch.events if e.revision <= self.revision]
            for begin in range(0, len(events), SLICE_EVENTS):
                self.buffer.add(events[begin : begin + SLICE_EVENTS], self.clock())
                await asyncio.sleep(0)
            self.tell()
            if len(events) < len(batch.events):
                break
        self.reading = False
        self.tell()
        await asyncio.Event().wait()  # Nothing more can come; whoever started it ends it.

    def _failed(self, error: SessionError) -> None:
        self.error = error
        self.tell()


@dataclass(eq=False, slots=True)
class MembersFeed:
    """The same watch through each of some members, into a table of arrivals."""

    session: Session
    table: SkewTable
    key: bytes
    prefix: bool
    clock: Clock
    tell: Callable[[], object]

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            for member in self.table.columns:
                group.create_task(self._member(member), name=f"watch through {member}")

    async def _member(self, member: str) -> None:
        start = 0

        async def follow() -> None:
            nonlocal start
            batches = self.session.watch(self.key, self.prefix, start, member=member)
            async for batch in batches:
                now = self.clock()
                if batch.gap_to:
                    self.table.gap(member, batch.gap_to)
                    start = batch.gap_to
                elif not batch.events:
                    self.table.started(member, batch.revision)
                    start = start or batch.revision + 1
                for begin in range(0, len(batch.events), SLICE_EVENTS):
                    self.table.add(member, batch.events[begin : begin + SLICE_EVENTS], now)
                    await asyncio.sleep(0)
                if batch.events:
                    start = batch.events[-1].revision + 1
                self.tell()
                await asyncio.sleep(0)

        def failed(error: SessionError) -> None:
            self.table.failed(member, error.code or error.message)
            self.tell()

        await forever(follow, failed)
