"""Watchers over many connections, writes at a pace, and the judge over all of it."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from kvorum.check import records as r
from kvorum.check.judge import judge
from kvorum.check.lines import encode_line
from kvorum.client import Client
from kvorum.client.errors import ClientError, UnknownOutcome
from kvorum.drill.liveload import recorded
from support.clusters import ClusterHandle

from release.gate import State

_UNDER_WAY = 400  # Writes at once; a cluster that is slower than the pace sets its own.
_CALL_S = 10.0
_CAUGHT_UP_S = 60.0
_NS = 1_000_000_000


class WatchLoad:
    """One recorded run on a cluster.

    ``latencies_ms``: of every event at every watcher, from the moment its write was asked for.
    """

    def __init__(self, cluster: ClusterHandle, prefix: str = "w/") -> None:
        self._endpoints = cluster.endpoints
        self.history = r.History(run=r.Run("watches", "live", members=tuple(cluster.names)))
        self.prefix = prefix.encode()
        self.latencies_ms: list[float] = []
        self.watchers: list[Watching] = []
        self._clients: list[Client] = []
        self._numbers = itertools.count(1)
        self._called: dict[bytes, int] = {}
        self.last_revision: dict[bytes, int] = {}  # Of each key's newest acknowledged write.

    async def __aenter__(self) -> WatchLoad:
        return self

    async def __aexit__(self, *_: object) -> None:
        for watcher in self.watchers:
            watcher.task.cancel()
        await asyncio.gather(*(w.task for w in self.watchers), return_exceptions=True)
        for client in self._clients:
            await client.aclose()

    def connect(self, number: int = -1) -> Client:
        """A connection of its own to one member (the next one for the next number), or to any."""
        some = self._endpoints
        if number >= 0:
            some = [some[number % len(some)]]
        client = Client(some, timeout_s=_CALL_S)
        self._clients.append(client)
        return client

    async def watch(
        self, client: Client, key: bytes, prefix: bool = False, start: int = 0
    ) -> Watching:
        """One more watcher, begun when this returns."""
        watcher = Watching(self, client, next(self._numbers), key, prefix, start)
        self.watchers.append(watcher)
        await watcher.begun()
        return watcher

    def heard(self, event: r.Event) -> None:
        """An event has come to a watcher."""
        called = self._called.get(event.kv.value)
        if called is not None:
            self.latencies_ms.append((time.monotonic_ns() - called) / 1e6)

    async def write(self, client: Client, key: bytes) -> None:
        """One recorded write of a value that nobody else writes."""
        id_, called = next(self._numbers), time.monotonic_ns()
        value = b"%d" % id_
        self._called[value] = called
        made = r.Operation(id_, 0, called, r.Put(key, value))
        try:
            done = await client.put(key, value)
        except UnknownOutcome as error:
            self.history.add(made._replace(error=str(error), unknown=True))
        except ClientError as error:
            self.history.add(made._replace(returned=time.monotonic_ns(), error=str(error)))
        else:
            revision = done.header.revision
            self.last_revision[key] = max(revision, self.last_revision.get(key, 0))
            returned, answer = time.monotonic_ns(), r.PutAnswer()
            self.history.add(made._replace(returned=returned, answer=answer, revision=revision))

    async def paced(
        self, keys: Sequence[bytes], per_s: float, number: int, over: Callable[[], bool]
    ) -> float:
        """Writes at a pace that does not wait for answers, as long as not too many are under way.
        Returns how many a second it came to.
        """
        clients = [self.connect(n) for n in range(6)]
        began_s = time.monotonic()
        under_way: set[asyncio.Task[None]] = set()
        done = 0
        for done, key in enumerate(_round(keys, number), 1):
            await asyncio.sleep(max(0.0, began_s + done / per_s - time.monotonic()))
            if len(under_way) >= _UNDER_WAY:
                await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
            task = asyncio.create_task(self.write(clients[done % 6], key))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            if over():
                break
        if under_way:
            await asyncio.wait(set(under_way))
        return done / (time.monotonic() - began_s)

    async def finish(self, state: State, folder: Path) -> None:
        """Wait until every watcher has what it was promised, then judge; a violation is told, with
        the recording in ``folder``.
        """
        deadline = time.monotonic() + _CAUGHT_UP_S
        while not all(map(self._caught_up, self.watchers)) and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        newest = max(self.last_revision.values(), default=0)
        self.history.quiet = r.Quiet(time.monotonic_ns(), newest)
        verdict = await asyncio.to_thread(judge, self.history)
        state.add("watch_events", verdict.figures.events)
        state.add("writes", verdict.figures.acknowledged)
        assert not self.broken(), self.broken()[:3]
        if not verdict.ok:
            with (folder / "history.ndjson").open("w", encoding="utf-8") as out:
                out.writelines(encode_line(line) + "\n" for line in self.history.lines())
            told = "; ".join(f"{found.rule}: {found.text}" for found in verdict.findings[:3])
            state.violation(told, f"kvorum check {folder}", folder)

    def broken(self) -> list[str]:
        """What watchers died of."""
        dead = [w for w in self.watchers if w.task.done() and not w.task.cancelled()]
        return [f"watcher {w.id}: {w.task.exception()!r}" for w in dead if w.task.exception()]

    def _caught_up(self, watcher: Watching) -> bool:
        if watcher.ended:
            return True
        if watcher.prefix:
            return watcher.revision >= max(self.last_revision.values(), default=0)
        return watcher.revision >= self.last_revision.get(watcher.key, 0)


class Watching:
    """One watcher and its recording."""

    def __init__(
        self, load: WatchLoad, client: Client, id_: int, key: bytes, prefix: bool, start: int
    ) -> None:
        self._load = load
        self._client = client
        self.id = id_
        self.key = key
        self.prefix = prefix
        self.start = start
        self.revision = start - 1
        self.revisions: list[int] = []  # Of all its events.
        self.ended = False
        self._started = asyncio.Event()
        self.task = asyncio.create_task(self._run())

    async def begun(self) -> None:
        """Wait until the member has it. Raises what it died of."""
        waiting = asyncio.create_task(self._started.wait())
        await asyncio.wait([waiting, self.task], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self.task.done():
            self.task.result()

    async def stop(self) -> int:
        """End it; returns the revision to go on from."""
        self.ended = True
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        self._load.history.add(r.Seen(self.id, time.monotonic_ns(), canceled=True))
        return self.revision + 1

    async def _run(self) -> None:
        history = self._load.history
        end = self.key[:-1] + bytes([self.key[-1] + 1]) if self.prefix else b""
        called = time.monotonic_ns()
        watch = self._client.watch(
            self.key, prefix=self.prefix, start_revision=self.start, prev_kv=True
        )
        async with watch:
            first = await watch.started()
            self.revision = max(self.revision, first - 1)
            history.add(r.Watch(self.id, self.id, called, self.key, end, first, prev_kv=True))
            history.add(r.Seen(self.id, time.monotonic_ns(), created=True))
            self._started.set()
            async for batch in watch.batches():
                events = tuple(recorded(event) for event in batch.events)
                now = time.monotonic_ns()
                history.add(r.Seen(self.id, now, batch.header.revision, events))
                self.revision = batch.revision
                for event in events:
                    self.revisions.append(event.kv.mod)
                    self._load.heard(event)


def _round(keys: Sequence[bytes], number: int) -> Iterator[bytes]:
    return itertools.islice(itertools.cycle(keys), number)
