"""The kept history of a whole cluster in a local DuckDB file, so that it can be asked with SQL.

A kvorum member answers such questions itself (:mod:`kvorum.client.inspect`); a real etcd does not,
so its history is read here: the keys as they were at the compacted revision, then every change
since, by a watch. Every revision of etcd has at least one change, so a watch of all keys has caught
up when it has seen the revision that the cluster was at; of a single prefix that could not be told.

What etcd does not tell stays empty: when a change was made, by whom, and through which member. The
changes before the compacted revision are gone; of a key that was written before it, the last
version is there.

::

    async with HistoryMirror(client, path) as mirror:
        await mirror.load()
        print(mirror.query(Query("SELECT count(*) FROM events")).rows)
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from kvorum.client.errors import ClientError, CompactedError
from kvorum.client.types import Event, KeyValue
from kvorum.errors import Code
from kvorum.history.copying import remove_history
from kvorum.history.database import HistoryDatabase
from kvorum.history.pages import START, Page, Question
from kvorum.history.pages import page as read_page
from kvorum.history.query import Query, QueryResult, QueryRunner
from kvorum.history.rows import DELETE, PUT, Batch, Identity, Row
from kvorum.history.writer import Durable, HistoryWriter
from kvorum.limits import HISTORY_MIRROR_BYTES, HISTORY_MIRROR_LOADS

if TYPE_CHECKING:
    from kvorum.client.session import Session

_FEW = 500  # Events that are rows within two milliseconds.
_LINK = """
    UPDATE history SET prev_revision = found.before
    FROM (
        SELECT revision AS at, sub AS place,
            lag(revision) OVER (PARTITION BY key ORDER BY revision) AS before
        FROM history
        QUALIFY prev_revision = 0 AND version <> 1 AND before IS NOT NULL
    ) AS found
    WHERE history.revision = found.at AND history.sub = found.place
"""
_ALL_KEYS = b"\0"
_END = b"\0"


class Loaded(NamedTuple):
    """How far loading has come. ``oldest`` is the compacted revision, 0 when nothing is compacted;
    ``revision`` goes up to ``newest``.
    """

    oldest: int
    revision: int
    newest: int
    rows: int


class HistoryTooLarge(ClientError):
    """The cluster keeps more history than the mirror may take on this disk."""


class HistoryMirror:
    """A mirror in ``path``; what is there already is replaced. Entered with ``async with``.

    Args:
        session: who reads; with auth on, it must be allowed to read every key.
        max_bytes: what the file may grow to.
        told: called now and then while loading.
    """

    def __init__(
        self,
        session: Session,
        path: Path,
        *,
        max_bytes: int = HISTORY_MIRROR_BYTES,
        told: Callable[[Loaded], None] = lambda loaded: None,
    ) -> None:
        self._session = session
        self._path = path
        self._max_bytes = max_bytes
        self._told = told
        self._room = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.loaded = Loaded(0, 0, 0, 0)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await asyncio.to_thread(self._close)

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    # --- loading ----------------------------------------------------------------------------------

    async def load(self) -> Loaded:
        """Read everything that was written before this call. Raises ClientError."""
        oldest = 0
        for left in reversed(range(HISTORY_MIRROR_LOADS)):
            try:
                return await self._load_from(oldest)
            except CompactedError as error:
                # The first time, nothing is lost by it: it tells how far the history goes back.
                # Later, compaction has overtaken the reading, and what came so far has a hole.
                if left == 0 or error.compact_revision <= oldest:
                    raise
                oldest = error.compact_revision
                await asyncio.to_thread(self._close)
        raise AssertionError("the last attempt returns or raises")

    async def _load_from(self, oldest: int) -> Loaded:
        head = (await self._session.range(_ALL_KEYS, _END, count_only=True)).header
        await asyncio.to_thread(self._open, Identity(head.cluster_id, 0))
        self.loaded = Loaded(oldest, oldest, head.revision, 0)
        if oldest:
            await self._load_base(oldest)
        if head.revision > max(1, oldest):
            await self._load_changes(oldest + 1, head.revision)
        await asyncio.wrap_future(self._writer.flush())
        if oldest:
            await asyncio.wrap_future(self._writer.compact(oldest))
        return self.loaded

    async def _load_base(self, revision: int) -> None:
        seen: Counter[int] = Counter()
        async for page in self._session.pages(_ALL_KEYS, from_key=True, revision=revision):
            rows = []
            for kv in page.kvs:
                rows.append(row_of(kv, seen[kv.mod_revision], 0))
                seen[kv.mod_revision] += 1
            await self._append(rows, revision)

    async def _load_changes(self, first: int, last: int) -> None:
        # Without the values before: they cost etcd six times as much as the changes themselves.
        async with self._session.watch(_ALL_KEYS, _END, start_revision=first) as watch:
            while self.loaded.revision < last:
                batch = await watch.next_batch()
                if batch.events:
                    rows = await rows_of(batch.events)
                    await self._append(rows, batch.events[-1].revision)
        await asyncio.wrap_future(self._writer.flush())
        await asyncio.to_thread(self._link)

    def _link(self) -> None:
        """Note what each change replaced, where it came without: the change of its key before."""
        with self._database.using() as connection:
            connection.execute(_LINK)

    async def _append(self, rows: Sequence[Row], revision: int) -> None:
        while True:
            self._room.clear()
            if self._writer.append(Batch(rows, 0, 0, revision)):
                break
            await self._room.wait()
        if self._database.size_bytes() > self._max_bytes:
            text = f"the cluster keeps more than {self._max_bytes >> 20} MiB of history"
            raise HistoryTooLarge(text, code=Code.RESOURCE_EXHAUSTED)
        self.loaded = self.loaded._replace(
            revision=max(revision, self.loaded.revision), rows=self.loaded.rows + len(rows)
        )
        self._told(self.loaded)

    # --- asking -----------------------------------------------------------------------------------

    async def query(self, query: Query) -> QueryResult:
        """Run it over what is loaded; a caller that goes away takes its query with it.

        Raises as :meth:`kvorum.history.query.QueryRunner.run`.
        """
        try:
            return await asyncio.to_thread(self._runner.run, query)
        finally:
            query.cancel()

    async def history(self, question: Question) -> AsyncGenerator[Row, None]:
        """The changes of a key or range that are known, oldest first."""
        after, more = START, True
        while more:
            page = await asyncio.to_thread(self._page, question, after)
            for row in page.rows:
                yield row
            more = page.more
            if more:
                after = (page.rows[-1].revision, page.rows[-1].sub)

    def _page(self, question: Question, after: tuple[int, int]) -> Page:
        with self._database.using() as connection:
            return read_page(connection, question, after)

    # --- the file ---------------------------------------------------------------------------------

    def _open(self, identity: Identity) -> None:
        remove_history(self._path)
        self._database = HistoryDatabase(self._path, identity)
        self._writer = HistoryWriter(self._database, self._durable, self._failed)
        self._runner = QueryRunner(self._writer, self._path.with_name(self._path.name + ".query"))

    def _durable(self, durable: Durable) -> None:
        # On the writer's thread.
        self._loop.call_soon_threadsafe(self._room.set)

    def _failed(self, error: BaseException) -> None:
        # On the writer's thread; the next append raises it.
        self._loop.call_soon_threadsafe(self._room.set)

    def _close(self) -> None:
        if not hasattr(self, "_runner"):
            return
        self._runner.close()
        self._writer.close()
        self._database.close()
        del self._runner


async def rows_of(events: Sequence[Event], at_ms: int = 0) -> list[Row]:
    """See :func:`changes_of`; many are taken apart beside the event loop."""
    if len(events) < _FEW:
        return changes_of(events, at_ms)
    return await asyncio.to_thread(changes_of, events, at_ms)


def changes_of(events: Sequence[Event], at_ms: int = 0) -> list[Row]:
    """Events of whole revisions as rows; ``at_ms``: when they were seen, 0 when nobody saw them
    come.
    """
    rows = []
    revision, sub = 0, 0
    for event in events:
        sub = sub + 1 if event.revision == revision else 0
        revision = event.revision
        before = event.prev_kv.mod_revision if event.prev_kv is not None else 0
        if event.type == "PUT":
            rows.append(row_of(event.kv, sub, before, at_ms))
        else:
            rows.append(Row(revision, sub, DELETE, event.key, b"", 0, 0, 0, before, at_ms, 0, ""))
    return rows


def row_of(kv: KeyValue, sub: int, before: int, at_ms: int = 0) -> Row:
    """A key as the row of its last change; ``before``: the revision of what it replaced."""
    return Row(
        kv.mod_revision,
        sub,
        PUT,
        kv.key,
        kv.value,
        kv.create_revision,
        kv.version,
        kv.lease,
        before,
        at_ms,
        0,
        "",
    )
