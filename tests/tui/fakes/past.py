"""The past of a cluster in memory: everything is in ``FakeSession.events``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kvorum_tui.model.records import KeyEvent, KeyLife, KeyRecord
from kvorum_tui.session import SessionError
from kvorum_tui.session.past import (
    Bounds,
    Bucket,
    Gone,
    HeatCell,
    PastStatus,
    QueryBatch,
    StatePage,
)

if TYPE_CHECKING:
    from tui.fake_session import FakeSession

EPOCH_MS = 1_000_000_000_000  # When revision 0 would have been written; each takes a second.


class FakePast:
    """What a test wants to see or provoke is a plain attribute. ``answers``: by SQL text, batches
    or an error; ``asked``: the SQL that was asked; ``hold``: a query waits for it behind each
    batch.
    """

    def __init__(self, session: FakeSession) -> None:
        self.session = session
        self.fail: SessionError | None = None
        self.remembers = False
        """Whether what is compacted is known here all the same, as a mirror may."""
        self.gate: asyncio.Event | None = None
        """Held until it is set: a mirror that fills."""
        self.gaps: tuple[tuple[int, int], ...] = ()
        self.answers: dict[str, list[QueryBatch] | SessionError] = {}
        self.asked: list[str] = []
        self.asked_at: list[int] = []
        self.hold: asyncio.Event | None = None
        self.stopped: list[str] = []
        self.told = PastStatus("nodes")

    @property
    def dated(self) -> bool:
        return self.session.kind == "kvorum"

    @property
    def status(self) -> PastStatus:
        return self.told if self.dated else replace(self.told, source="mirror", path="/data/mirror")

    def _may(self) -> None:
        if self.fail is not None:
            raise self.fail
        if self.session.fail is not None:
            raise self.session.fail

    def at_ms(self, revision: int) -> int:
        return EPOCH_MS + 1_000 * revision if self.dated else 0

    def _event(self, event: KeyEvent) -> KeyEvent:
        member = 2 if self.dated else 0
        return replace(event, at_ms=self.at_ms(event.revision), member=member, prev_value=None)

    def _events(self, prefix: bytes, first: int = 0, last: int = 0) -> list[KeyEvent]:
        return [
            self._event(event)
            for event in self.session.events
            if event.key.startswith(prefix)
            and event.revision >= max(first, 0 if self.remembers else self.session.compacted)
            and (not last or event.revision <= last)
        ]

    def _state(self, prefix: bytes, revision: int) -> dict[bytes, KeyRecord]:
        if revision < self.session.compacted:
            text = "etcdserver: mvcc: required revision has been compacted"
            raise SessionError(text, "n1", "KV/Range", "OUT_OF_RANGE")
        state: dict[bytes, KeyRecord] = {}
        for e in self.session.events:
            if e.revision > revision or not e.key.startswith(prefix):
                continue
            if e.kind == "put":
                state[e.key] = KeyRecord(
                    e.key, e.value, e.create_revision, e.revision, e.version, e.lease
                )
            else:
                state.pop(e.key, None)
        return state

    async def bounds(self) -> Bounds:
        if self.gate is not None:
            await self.gate.wait()
        self._may()
        oldest, newest = max(1, self.session.compacted), self.session.revision
        clocks = self.at_ms(oldest), self.at_ms(newest)
        return Bounds(oldest, newest, *clocks, self.session.compacted, self.gaps)

    async def oldest(self) -> int:
        self._may()
        return max(1, self.session.compacted)

    async def history(
        self, key: bytes, from_revision: int = 0, to_revision: int = 0, limit: int = 2_000
    ) -> KeyLife:
        self._may()
        found = [e for e in self._events(key, from_revision, to_revision) if e.key == key]
        return KeyLife(tuple(found[-limit:]), self.session.compacted)

    async def get(self, key: bytes, revision: int) -> KeyRecord | None:
        self._may()
        return self._state(b"", revision or self.session.revision).get(key)

    async def state(
        self, prefix: bytes, revision: int, values: bool = True, page: int = 1_000
    ) -> AsyncIterator[StatePage]:
        self._may()
        revision = revision or self.session.revision
        state = self._state(prefix, revision)
        records = [r if values else replace(r, value=b"") for _, r in sorted(state.items())]
        for at in range(0, max(1, len(records)), page):
            part = tuple(records[at : at + page])
            yield StatePage(part, revision, at + page < len(records), len(records))

    async def changes(
        self, prefix: bytes, from_revision: int, to_revision: int = 0, limit: int = 0
    ) -> AsyncIterator[tuple[KeyEvent, ...]]:
        self._may()
        found = self._events(prefix, from_revision, to_revision)[: limit or None]
        if found:
            yield tuple(found)

    async def deleted(self, prefix: bytes, since: int = 0) -> AsyncIterator[tuple[Gone, ...]]:
        self._may()
        gone: dict[bytes, Gone] = {}
        last: dict[bytes, int] = {}
        for e in map(self._event, self.session.events):
            if not e.key.startswith(prefix):
                continue
            if e.kind == "put":
                gone.pop(e.key, None)
                last[e.key] = e.revision
            elif e.revision >= self.session.compacted:
                old = last.get(e.key, 0) if e.revision > self.session.compacted else 0
                gone[e.key] = Gone(e.key, e.revision, old, e.at_ms, e.member, e.user)
        found = tuple(g for _, g in sorted(gone.items()) if g.revision >= since)
        if found:
            yield found

    async def clock_of(self, revision: int) -> int:
        self._may()
        return self.at_ms(revision)

    async def revision_at(self, at_ms: int) -> int:
        self._may()
        if not self.dated:
            return 0
        return max(0, min(self.session.revision, (at_ms - EPOCH_MS) // 1_000))

    async def density(
        self, prefix: bytes, first: int, last: int, buckets: int
    ) -> tuple[Bucket, ...]:
        self._may()
        width = max(1, -(-(last - first + 1) // max(1, buckets)))
        out = []
        for start in range(first, last + 1, width):
            end = min(last, start + width - 1)
            events = self._events(prefix, start, end)
            out.append(
                Bucket(
                    start,
                    end,
                    sum(e.kind == "put" for e in events),
                    sum(e.kind == "delete" for e in events),
                    sum(len(e.key) + len(e.value) for e in events),
                    self.at_ms(end),
                )
            )
        return tuple(out)

    async def heat(
        self, prefix: bytes, separator: bytes, first: int, last: int, columns: int, rows: int = 60
    ) -> tuple[HeatCell, ...]:
        self._may()
        width = max(1, -(-(last - first + 1) // max(1, columns)))
        cells: dict[tuple[bytes, int], HeatCell] = {}
        for e in self._events(prefix, first, last):
            cut = e.key.find(separator, len(prefix))
            part = e.key if cut < 0 else e.key[: cut + len(separator)]
            column = (e.revision - first) // width
            old = cells.get((part, column), HeatCell(part, column, 0, 0))
            size = old.size + len(e.key) + len(e.value)
            cells[part, column] = HeatCell(part, column, old.writes + 1, size)
        return tuple(cells.values())

    async def query(
        self, sql: str, max_rows: int = 0, timeout_s: float = 0, revision: int = 0
    ) -> AsyncGenerator[QueryBatch, None]:
        self._may()
        self.asked.append(sql)
        self.asked_at.append(revision)
        answer: Any = self.answers.get(sql, [QueryBatch((("n", "INTEGER"),), ((1,),))])
        if isinstance(answer, SessionError):
            raise answer
        try:
            for batch in answer:
                yield batch
                if self.hold is not None:
                    await self.hold.wait()
        except (GeneratorExit, asyncio.CancelledError):
            self.stopped.append(sql)
            raise

    async def stop(self) -> None:
        self.told = replace(self.told, filling=False)

    async def close(self) -> None:
        self.told = PastStatus()
