"""The past of a recording, up to the moment at which one looks; SQL sees the whole file."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import duckdb
from kvorum.history.pages import START, Page, Question, page
from kvorum.history.query import Given, Query
from kvorum.history.streaming import parts
from kvorum.limits import QUERY_BYTES, QUERY_BYTES_TOLD, QUERY_ROWS, QUERY_TIMEOUT_S

from kvorum_tui.live.past import LivePast, batches_of
from kvorum_tui.live.records import event_of_row
from kvorum_tui.model.records import KeyEvent, KeyLife, KeyRecord
from kvorum_tui.session.past import Bounds, PastStatus, QueryBatch, StatePage
from kvorum_tui.session.ranges import span_of

if TYPE_CHECKING:
    from kvorum_tui.recording.session import RecordingSession

PAGE = 1_000


class RecordedPast(LivePast):
    """A :class:`kvorum_tui.session.past.Past` that asks the file in place of a cluster."""

    def __init__(self, session: RecordingSession) -> None:
        self._recording = session
        self._of_nodes = False
        self._keeper = None

    @property
    def status(self) -> PastStatus:
        """The file."""
        opened, head = self._recording.opened, self._recording.head
        size = opened.path.stat().st_size if self._recording.is_open else 0
        return PastStatus(
            "mirror",
            str(opened.shown),
            revision=head.revision,
            newest=head.revision,
            size_bytes=size,
        )

    async def told_by_nodes(self) -> bool:
        """No node is asked."""
        return False

    async def _ask(self, sql: str) -> list[tuple[Any, ...]]:
        return await self._recording.tape.ask(sql)

    # --- questions --------------------------------------------------------------------------------

    async def oldest(self) -> int:
        """The first revision at which the store is known as a whole."""
        return max(1, self._recording.head.compacted)

    async def bounds(self) -> Bounds:
        """From the beginning of the recording to the moment."""
        session = self._recording
        moment, head = session.tape.moment, session.head
        oldest = await self.oldest()
        seen = head.kind != "history"
        return Bounds(
            oldest,
            max(moment.revision, 1),
            session.tape.playback.time_of(oldest) if head.kind == "recording" else 0,
            moment.at_ms if head.kind == "recording" else await self.clock_of(moment.revision),
            head.compacted,
            await self._gaps(),
            seen=seen,
        )

    async def _gaps(self) -> tuple[tuple[int, int], ...]:
        if self._recording.head.kind == "history":
            return ()
        rows = await self._ask("SELECT revision, until FROM marks WHERE what = 'gap' ORDER BY 1")
        return tuple((first, last) for first, last in rows)

    async def history(
        self, key: bytes, from_revision: int = 0, to_revision: int = 0, limit: int = 2_000
    ) -> KeyLife:
        """The newest changes of a key."""
        events: deque[KeyEvent] = deque(maxlen=limit)
        async for rows in self._rows(key, b"", from_revision, to_revision):
            events.extend(rows)
        return KeyLife(tuple(events), self._recording.head.compacted)

    async def get(self, key: bytes, revision: int) -> KeyRecord | None:
        """A key as it was."""
        return await self._recording.get(key, revision)

    async def state(
        self, prefix: bytes, revision: int, values: bool = True, page: int = PAGE
    ) -> AsyncIterator[StatePage]:
        """Everything under a prefix."""
        ranges, span = self._recording.ranges, span_of(prefix)
        if values:
            async for found in ranges.values(span, revision):
                yield StatePage(found.records, found.revision, found.more, found.total)
            return
        async for bare in ranges.bare(span, revision):
            yield StatePage(bare.records, bare.revision, bare.more, bare.total)

    async def _rows(
        self, start: bytes, end: bytes, first: int, last: int
    ) -> AsyncGenerator[list[KeyEvent], None]:
        question = Question(start, end, first, last)
        after, more = START, True
        tape = self._recording.tape
        revision = tape.revision

        def read(cursor: duckdb.DuckDBPyConnection) -> Page:
            return page(cursor, question, after, PAGE)

        while more:
            found = await tape.with_cursor(read, revision)
            if found.rows:
                after = (found.rows[-1].revision, found.rows[-1].sub)
                yield list(map(event_of_row, found.rows))
            more = found.more

    # --- people's SQL -----------------------------------------------------------------------------

    async def _query_mirror(
        self, sql: str, max_rows: int, timeout_s: float, revision: int = 0
    ) -> AsyncGenerator[QueryBatch, None]:
        """Over the whole file; the view ``keys`` is that of the moment."""
        tape = self._recording.tape
        query = Query(
            sql,
            max_rows=max_rows or QUERY_ROWS,
            timeout_s=timeout_s or QUERY_TIMEOUT_S,
            max_bytes=QUERY_BYTES_TOLD if max_rows > QUERY_ROWS else QUERY_BYTES,
            revision=revision or tape.revision,
            given=await self._given(),
        )
        found = parts(query, lambda asked: asyncio.to_thread(tape.query, asked))
        async with aclosing(batches_of(found)) as batches:
            async for batch in batches:
                yield batch

    async def _given(self) -> Given:
        leases, _ = await self._recording.leases(10_000)
        members = await self._recording.member_table()
        return Given(
            [(lease.id, lease.granted_s, lease.remaining_s) for lease in leases],
            [(m.id, m.name, m.client_urls, m.peer_urls, m.learner) for m in members],
        )

    async def close(self) -> None:
        """The session closes the file."""
