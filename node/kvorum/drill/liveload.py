"""Clients, lease holders, lockers and watchers of a real cluster, through :mod:`kvorum.client`.

Each is one coroutine with a client of its own, so that one that hangs holds up no other. Whatever
they ask, and whatever they are told or not told, is recorded with the time before and after.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence

from kvorum.check import records as r
from kvorum.client import Client
from kvorum.client.errors import (
    ClientError,
    CompactedError,
    LeaseNotFoundError,
    UnknownOutcome,
)
from kvorum.client.ops import Delete, Get, Key, Put, Txn
from kvorum.client.types import (
    DeleteResult,
    Event,
    Header,
    KeyValue,
    PutResult,
    RangeResult,
    TxnResult,
)
from kvorum.drill.access import Access
from kvorum.drill.plan import Plan
from kvorum.drill.recorder import Call, Recorder
from kvorum.drill.scenario import Load

CALL_S = 2.0  # A client's patience.
_DIAL_S = 0.5
_REST_S = 0.2  # After a watch or a lock that failed.
_LOCK_HELD_S = 0.2
_LEASE_FROM, _LOCK_FROM, WATCH_FROM = 1000, 3000, 5000

Result = RangeResult | PutResult | DeleteResult | TxnResult


class Crowd:
    """Everybody who uses the cluster during a drill.

    Args:
        prefix: of every key; ``member``: a member's name by its id, for the recording.
    """

    def __init__(
        self,
        endpoints: Sequence[str],
        access: Access,
        load: Load,
        recorder: Recorder,
        prefix: bytes,
        rng: random.Random,
        member: Callable[[int], str],
    ) -> None:
        self.endpoints = list(endpoints)
        self.recorder = recorder
        self.prefix = prefix
        self._access = access
        self._load = load
        self._rng = rng
        self._member = member
        self._writers: list[asyncio.Task[None]] = []
        self._watchers: list[asyncio.Task[None]] = []
        self._stopped = asyncio.Event()
        self.seen_revisions: dict[int, int] = {}

    def start(self, first_revision: int) -> None:
        """Let everybody begin; watchers at ``first_revision``."""
        load = self._load
        writers = [self._registers(n + 1) for n in range(load.clients)]
        writers += [self._lease(_LEASE_FROM + n) for n in range(load.leases)]
        writers += [self._lock(_LOCK_FROM + n) for n in range(load.locks)]
        self._writers = [asyncio.create_task(writer) for writer in writers]
        watchers = [self._watch(WATCH_FROM + n, first_revision) for n in range(load.watchers)]
        self._watchers = [asyncio.create_task(watcher) for watcher in watchers]

    def watching(self) -> range:
        """The numbers of the watchers."""
        return range(WATCH_FROM, WATCH_FROM + self._load.watchers)

    async def stop_writers(self) -> None:
        """Let every request under way end, and begin no other."""
        self._stopped.set()
        await _ended(self._writers)

    async def stop(self) -> None:
        """End everybody. Watchers end here, wherever they are."""
        await self.stop_writers()
        for watcher in self._watchers:
            watcher.cancel()
        await _ended(self._watchers)

    def client(self) -> Client:
        """A client with a drill's patience."""
        rng = random.Random(self._rng.getrandbits(64))
        return self._access.client(self.endpoints, CALL_S, _DIAL_S, rng)

    async def _rest(self, seconds: float) -> None:
        """Sleep, but not beyond the end."""
        try:
            async with asyncio.timeout(seconds):
                await self._stopped.wait()
        except TimeoutError:
            return

    # --- registers --------------------------------------------------------------------------------

    async def _registers(self, number: int) -> None:
        plan = Plan(number, random.Random(self._rng.getrandbits(64)), self.prefix, self._load.keys)
        async with self.client() as client:
            while not self._stopped.is_set():
                request = plan.next()
                made = await self.call(number, client, request)
                if made is not None:
                    plan.learn(request, _answer(made), made.header.revision)
                await self._rest(plan.pause_s(self._load.rate, self._load.clients))

    async def call(self, number: int, client: Client, request: r.Request) -> Result | None:
        """One recorded request; None when it brought no answer."""
        call = self.recorder.call(number, request)
        try:
            result = await _ask(client, request)
        except ClientError as error:
            self.refused(call, error)
            return None
        self.told(call, _answer(result), result.header)
        return result

    def told(self, call: Call, answer: r.Answer, header: Header) -> None:
        """Record an answer."""
        member = self._member(header.member_id)
        self.recorder.answered(call, answer, header.revision, header.raft_term, member)

    def refused(self, call: Call, error: ClientError) -> None:
        """Record that there is no answer."""
        words = error.condition.name if error.condition else f"{error.code.name}: {error.message}"
        self.recorder.gave_up(call, words, isinstance(error, UnknownOutcome))

    # --- leases and locks -------------------------------------------------------------------------

    async def _lease(self, number: int) -> None:
        ttl_s, lease = self._load.lease_ttl_s, 0
        key = self.prefix + b"leased/%d" % number
        async with self.client() as client:
            while not self._stopped.is_set():
                if lease == 0:
                    lease = await self._grant(client, number, ttl_s)
                    value = b"%d.%d" % (number, lease)
                    if lease:
                        await self.call(number, client, r.Put(key, value, lease))
                else:
                    lease = await self._renew(client, number, lease)
                await self._rest(ttl_s / 3)

    async def _grant(self, client: Client, number: int, ttl_s: int) -> int:
        call = self.recorder.call(number, r.Grant(ttl_s))
        try:
            grant = await client.leases.grant(ttl_s)
        except ClientError as error:
            self.refused(call, error)
            return 0
        self.told(call, r.LeaseAnswer(grant.ttl_s, grant.ttl_s, grant.id), grant.header)
        return grant.id

    async def _renew(self, client: Client, number: int, lease: int) -> int:
        """The lease, or 0 when it is gone."""
        call = self.recorder.call(number, r.Renew(lease))
        try:
            left_s = await client.leases.keep_alive_once(lease)
        except LeaseNotFoundError:
            left_s = 0
        except ClientError as error:
            self.refused(call, error)
            return lease
        self.recorder.answered(call, r.LeaseAnswer(left_s, 0, lease), 0)
        return lease if left_s else 0

    async def _lock(self, number: int) -> None:
        name = self.prefix + b"lock"
        async with self.client() as client:
            while not self._stopped.is_set():
                call = self.recorder.call(number, r.Other("lock"))
                lock = client.lock(name, ttl_s=self._load.lease_ttl_s, wait_s=CALL_S)
                try:
                    async with lock:
                        since = self.recorder.now()
                        fence = lock.token
                        await self._held(lock.lost)
                        until = self.recorder.now()
                    self.recorder.history.add(r.Hold(name, number, call.at, since, until, fence))
                except ClientError as error:
                    self.refused(call, error)
                await self._rest(_REST_S)

    async def _held(self, lost: asyncio.Event) -> None:
        try:
            async with asyncio.timeout(_LOCK_HELD_S):
                await lost.wait()
        except TimeoutError:
            return

    # --- watches ----------------------------------------------------------------------------------

    async def _watch(self, number: int, first: int) -> None:
        """Follow every key of the drill for good, from ``first`` on."""
        while True:
            watch_id = self.recorder.id()
            call = self.recorder.call(number, r.Other("watch"))
            end = self.prefix[:-1] + bytes([self.prefix[-1] + 1])
            self.recorder.history.add(
                r.Watch(watch_id, number, call.at, self.prefix, end, first, prev_kv=True)
            )
            async with self.client() as client:
                try:
                    first = await self._follow(client, number, watch_id, first)
                except CompactedError as error:
                    lost = error.compact_revision
                    seen = r.Seen(watch_id, self.recorder.now(), canceled=True)
                    self.recorder.history.add(seen._replace(compact_revision=lost))
                    first = max(first, lost)
                except ClientError as error:
                    self.recorder.history.add(r.Seen(watch_id, self.recorder.now(), canceled=True))
                    self.refused(call, error)
                    first = self.seen_revisions.get(number, first - 1) + 1
            await asyncio.sleep(_REST_S)

    async def _follow(self, client: Client, number: int, watch_id: int, first: int) -> int:
        """Record what a watch brings until it ends; it only ends with an error."""
        async with client.watch(
            self.prefix, prefix=True, start_revision=first, prev_kv=True
        ) as watch:
            await watch.started()
            self.recorder.history.add(r.Seen(watch_id, self.recorder.now(), created=True))
            async for batch in watch.batches():
                events = tuple(recorded(event) for event in batch.events)
                now = self.recorder.now()
                self.recorder.history.add(r.Seen(watch_id, now, batch.header.revision, events))
                self.seen_revisions[number] = batch.revision
                first = batch.revision + 1
        return first


async def _ended(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Wait for tasks; what one of them died of is raised, unless it was cancelled."""
    for task in await _all(tasks):
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error


async def _all(tasks: Sequence[asyncio.Task[None]]) -> Sequence[asyncio.Task[None]]:
    if tasks:
        await asyncio.wait(tasks)
    return tasks


async def _ask(client: Client, request: r.Request) -> Result:
    match request:
        case r.Put(key, value, lease):
            return await client.put(key, value, lease=lease)
        case r.Delete(key):
            return await client.delete(key)
        case r.Range(key):
            return await client.range(key)
        case r.Txn():
            guard = request.compare[0]
            txn = Txn(
                (Key(guard.key).mod_revision == guard.number,),
                tuple(_op(part) for part in request.success),
                tuple(_op(part) for part in request.failure),
            )
            return await client.commit(txn)
    raise ValueError(f"no client of a drill asks that: {request}")


def _op(request: r.Request) -> Put | Get | Delete:
    match request:
        case r.Put(key, value, lease):
            return Put(key, value, lease=lease)
        case r.Delete(key):
            return Delete(key)
        case r.Range(key):
            return Get(key)
    raise ValueError(f"no transaction of a drill holds that: {request}")


def kept(kv: KeyValue) -> r.Kv:
    """A key-value as it is recorded."""
    return r.Kv(*kv)


def recorded(event: Event) -> r.Event:
    """An event as it is recorded."""
    return r.Event(event.type, kept(event.kv), kept(event.prev_kv) if event.prev_kv else None)


def _answer(result: Result) -> r.Answer:
    match result:
        case PutResult():
            return r.PutAnswer()
        case DeleteResult():
            return r.DeleteAnswer(result.deleted)
        case RangeResult():
            return r.RangeAnswer(tuple(kept(kv) for kv in result.kvs), result.count, result.more)
    return r.TxnAnswer(result.succeeded, tuple(_answer(part) for part in result.responses))
