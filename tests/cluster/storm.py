"""Writers and a watcher on a real cluster while it is broken, and what they must have seen.

Each writer owns its keys and writes counted values, one at a time; a write is acknowledged, refused
for certain, or of unknown fate. The watcher starts at the first revision and must see every change
once, in order. Everything is bounded in time and number.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from kvorum.client import Client
from kvorum.client.errors import ClientError, UnknownOutcome

_PREFIX = b"storm/"
_CALM_S = 60.0


@dataclass
class Written:
    """What the writers know: revision of each acknowledged write, and those of unknown fate."""

    acknowledged: dict[bytes, int] = field(default_factory=dict)
    unknown: set[bytes] = field(default_factory=set)
    refused: set[bytes] = field(default_factory=set)
    longest_stall_s: float = 0.0


@dataclass
class Seen:
    """What the watcher saw, in order: (revision, value)."""

    events: list[tuple[int, bytes]] = field(default_factory=list)


class Storm:
    """A workload on ``endpoints`` that goes on while the test does its worst."""

    def __init__(self, endpoints: Sequence[str], writers: int = 4) -> None:
        self._endpoints = list(endpoints)
        self._writers = writers
        self._stop = asyncio.Event()
        self._written_out = asyncio.Event()
        self.written = Written()
        self.seen = Seen()
        self.first_revision = 0

    async def run(self, worst: Callable[[Storm], Awaitable[None]]) -> None:
        """Write and watch while ``worst`` happens, then check everything."""
        async with Client(self._endpoints) as client:
            self.first_revision = (await client.put("storm-begins", "x")).header.revision + 1
        writers = [asyncio.create_task(self._write(n)) for n in range(self._writers)]
        watcher = asyncio.create_task(self._watch())
        try:
            await worst(self)
        finally:
            self._stop.set()
            async with asyncio.timeout(_CALM_S):
                await asyncio.gather(*writers)
                # Only now is the last acknowledged revision known.
                self._written_out.set()
                await watcher
        await self._judge()

    def members_are(self, endpoints: Sequence[str]) -> None:
        """The members changed: in the end these are asked whether they hold everything."""
        self._endpoints = list(endpoints)

    async def writes(self, more: int, timeout_s: float = _CALM_S) -> None:
        """Wait until ``more`` further writes were acknowledged."""
        goal = len(self.written.acknowledged) + more
        async with asyncio.timeout(timeout_s):
            while len(self.written.acknowledged) < goal:
                await asyncio.sleep(0.02)

    async def _write(self, number: int) -> None:
        async with Client(self._endpoints, timeout_s=3.0) as client:
            count = 0
            last = time.monotonic()
            while not self._stop.is_set():
                count += 1
                value = b"%d.%d" % (number, count)
                try:
                    done = await client.put(_PREFIX + b"%d" % number, value)
                except UnknownOutcome:
                    self.written.unknown.add(value)
                except ClientError:
                    self.written.refused.add(value)
                    await asyncio.sleep(0.05)
                else:
                    self.written.acknowledged[value] = done.header.revision
                    now = time.monotonic()
                    stall_s, last = now - last, now
                    self.written.longest_stall_s = max(self.written.longest_stall_s, stall_s)

    async def _watch(self) -> None:
        async with Client(self._endpoints) as client:
            watch = client.watch(_PREFIX, prefix=True, start_revision=self.first_revision)
            async with watch:
                while not (self._written_out.is_set() and self._complete()):
                    try:
                        async with asyncio.timeout(0.5):
                            batch = await watch.next_batch()
                    except TimeoutError:
                        continue
                    for event in batch.events:
                        self.seen.events.append((event.kv.mod_revision, event.kv.value))

    def _complete(self) -> bool:
        seen = self.seen.events[-1][0] if self.seen.events else 0
        return seen >= max(self.written.acknowledged.values(), default=0)

    async def _judge(self) -> None:
        written, events = self.written, self.seen.events
        revisions = [revision for revision, _ in events]
        assert revisions == sorted(set(revisions)), "the watcher saw a revision twice or back"
        seen = {value: revision for revision, value in events}
        assert len(seen) == len(events), "the watcher saw a change twice"
        for value, revision in written.acknowledged.items():
            assert seen.get(value) == revision, f"acknowledged {value!r} at {revision} is lost"
        for value in written.refused:
            assert value not in seen, f"{value!r} was refused for certain and is there"
        for value in seen:
            assert value in written.acknowledged or value in written.unknown, value
        for number in range(self._writers):
            mine = [r for value, r in seen.items() if value.startswith(b"%d." % number)]
            counts = [int(value.split(b".")[1]) for value in seen if value[:2] == b"%d." % number]
            assert counts == sorted(counts), "one writer's writes changed places"
            assert mine == sorted(mine)
        await self._same_everywhere(seen)

    async def _same_everywhere(self, seen: dict[bytes, int]) -> None:
        """Every member, asked for itself, has the newest value of every writer."""
        newest: dict[bytes, tuple[int, bytes]] = {}
        for value, revision in seen.items():
            key = _PREFIX + value.split(b".")[0]
            newest[key] = max(newest.get(key, (0, b"")), (revision, value))
        async with Client(self._endpoints) as client:
            for endpoint in self._endpoints:
                found = await client.member(endpoint).get_prefix(_PREFIX)
                held = {kv.key: (kv.mod_revision, kv.value) for kv in found.kvs}
                assert held == newest, f"{endpoint} holds {held}"
