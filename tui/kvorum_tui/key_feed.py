"""Every key that one may read, page by page at one revision, then every change from there on; and
the same list as it was at a revision of the past.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection

from kvorum_tui.feeds import Clock, Pulse, forever
from kvorum_tui.model.key_index import KeyIndex
from kvorum_tui.model.key_rates import Rates
from kvorum_tui.model.records import KeyEvent, KeyPage
from kvorum_tui.session import Session, SessionError
from kvorum_tui.session.past import Past
from kvorum_tui.session.ranges import EVERYTHING, Allowed, Span

EXTEND_CHUNK = 500  # Keys put into the index in one turn of the event loop: a millisecond or so.
DENIED = "PERMISSION_DENIED"
COMPACTED = "OUT_OF_RANGE"

Heard = Callable[[KeyEvent, bool], object]


async def read_into(
    index: KeyIndex,
    pages: AsyncIterator[KeyPage],
    span: Span,
    keep: Collection[bytes],
    told: Callable[[KeyPage], object],
) -> None:
    """Makes a range of the index what the pages say, without a moment at which it is empty: keys
    that they do not name go, but those of ``keep``.
    """
    low: bytes | None = None
    async for page in pages:
        before = span[0] if low is None else low
        until = page.keys[-1] if page.more and page.keys else span[1] or None
        old = list(index.keys.irange(before, until, inclusive=(low is None, page.more)))
        if old:
            there = set(page.keys)
            for number, key in enumerate(old, 1):
                if key not in there and key not in keep:
                    index.delete(key)
                if number % EXTEND_CHUNK == 0:
                    await asyncio.sleep(0)
        for start in range(0, len(page.keys), EXTEND_CHUNK):
            index.extend(page.keys[start : start + EXTEND_CHUNK])
            told(page)
            await asyncio.sleep(0)
        told(page)
        if page.keys:
            low = page.keys[-1]


class KeysFeed:
    """Keeps the index of the live store current.

    ``spans``: the ranges that are read and watched, side by side. Who may not read everything gets
    those of his roles; where nobody tells them, ``denied`` says so and it waits for :meth:`use`.
    ``heard`` are told each change and whether the key was there before.
    """

    def __init__(
        self, session: Session, index: KeyIndex, clock: Clock, tell: Callable[[], object]
    ) -> None:
        self.session = session
        self.index = index
        self.clock = clock
        self.pulse = Pulse(tell)
        self.rates = Rates()
        self.spans: tuple[Span, ...] = (EVERYTHING,)
        self.allowed: Allowed | None = None
        self.denied: SessionError | None = None
        self.remembered: tuple[Span, ...] = ()  # Named by the user another time.
        self.keep: Collection[bytes] = ()
        self.heard: list[Heard] = []
        self.loading = True
        self.total = 0
        self.revision = 0
        self.error: SessionError | None = None
        self.touched: dict[bytes, KeyEvent] = {}
        self.live = False
        self._at: dict[Span, int] = {}
        self._given = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""

        async def step() -> None:
            if self.loading:
                await self._load()
            await self._follow()

        def failed(error: SessionError) -> None:
            self.error, self.live = error, False
            self.pulse.mark()

        await forever(step, failed)

    def use(self, spans: tuple[Span, ...]) -> None:
        """Read these ranges; what is not in them goes."""
        self.index.clear()
        self.spans, self.loading, self.denied = spans, True, None
        self._given.set()

    @property
    def everything(self) -> bool:
        """Whether it is the whole store."""
        return self.spans == (EVERYTHING,)

    def take_touched(self) -> dict[bytes, KeyEvent]:
        """The newest event of each key that changed since the last call."""
        touched, self.touched = self.touched, {}
        return touched

    # --- reading ----------------------------------------------------------------------------------

    async def _load(self) -> None:
        try:
            await self._read_all()
        except SessionError as error:
            if error.code != DENIED:
                raise
            await self._narrow(error)
            await self._read_all()
        self.loading = False
        self.pulse.mark()

    async def _read_all(self) -> None:
        """All ranges, at the revision of the first page of the first one."""
        revision = done = 0
        for span in self.spans:

            def told(page: KeyPage, done: int = done) -> None:
                self.revision, self.total, self.error = page.revision, done + page.total, None
                self.pulse.mark()

            pages = self.session.ranges.keys(span, revision)
            await read_into(self.index, pages, span, self.keep, told)
            revision, done = self.revision, self.total
        self._at = dict.fromkeys(self.spans, self.revision)

    async def _narrow(self, error: SessionError) -> None:
        """Not everything may be read: what the roles allow, or what somebody names."""
        if self.allowed is None:
            try:
                self.allowed = await self.session.ranges.allowed()
            except SessionError:
                self.allowed = Allowed()
            if self.allowed.spans and self.allowed.spans != self.spans:
                self.spans = self.allowed.spans
                return
            if self.remembered:
                self.spans = self.remembered
                return
        self.denied = error
        self._given.clear()
        self.pulse.mark()
        await self._given.wait()

    # --- following --------------------------------------------------------------------------------

    async def _follow(self) -> None:
        """A watch for each range; the first that ends ends them all."""
        waiting = set(self.spans)

        async def follow(span: Span) -> None:
            stream = self.session.ranges.follow(span, self._at.get(span, self.revision) + 1)
            async for batch in stream:
                waiting.discard(span)
                if not waiting:
                    self.live, self.error = True, None
                    self.rates.start(self.clock())
                if batch.gap_to:
                    self.loading = True
                    return
                for event in batch.events:
                    self._hear(event)
                if batch.events:
                    self._at[span] = batch.events[-1].revision
                    self.revision = max(self.revision, self._at[span])
                self.pulse.mark()
                await asyncio.sleep(0)

        tasks = [asyncio.create_task(follow(span)) for span in self.spans]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _hear(self, event: KeyEvent) -> None:
        if event.kind == "put":
            was_there = not self.index.insert(event.key)
        elif event.key in self.keep:
            was_there = True
        else:
            was_there = self.index.delete(event.key)
        self.total = len(self.index)
        self.touched[event.key] = event
        self.rates.add(self.index.branches_of(event.key), self.clock())
        for hear in self.heard:
            hear(event, was_there)


async def past_keys(session: Session, span: Span, revision: int) -> AsyncIterator[KeyPage]:
    """The keys of a range at a revision: from the cluster, or where it has compacted that, from
    what remembers more.
    """
    try:
        async for page in session.ranges.keys(span, revision):
            yield page
        return
    except SessionError as error:
        if error.code != COMPACTED:
            raise
    past: Past = session.past
    async for state in past.state(span[0], revision, values=False):
        keys = tuple(r.key for r in state.records if not span[1] or r.key < span[1])
        yield KeyPage(keys, revision, state.more, state.total)
