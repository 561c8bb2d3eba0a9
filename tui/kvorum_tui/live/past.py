"""The past of a real cluster: from its nodes where they tell it, else from a mirror.

Both keep it in the same form, a table ``history`` in DuckDB; so both are asked the same questions,
a node through its Inspect service, the mirror in this process.

Long because each question is answered in both ways, side by side.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, TypeVar

from kvorum.client import Client, ClientError, CompactedError, Unsupported, key_range
from kvorum.client.inspect import Inspect
from kvorum.errors import Code
from kvorum_proto.kvorum import v1

from kvorum_tui.live.past_figures import ALL, PAGE, PastFigures, alive, blob, translated
from kvorum_tui.live.past_mirror import MirrorKeeper
from kvorum_tui.live.records import event_of_row, record_of
from kvorum_tui.live.reports import change_of
from kvorum_tui.model.records import KeyEvent, KeyLife, KeyRecord
from kvorum_tui.session import SessionError
from kvorum_tui.session.past import (
    Bounds,
    PastStatus,
    QueryBatch,
    StatePage,
)

if TYPE_CHECKING:
    from kvorum.client.living_mirror import LivingMirror
    from kvorum.history.streaming import Part

    from kvorum_tui.live import LiveSession

T = TypeVar("T")
PROBE_S = 3.0
ANSWER_S = 20.0  # A member that says nothing for this long is not asked further.
AWAY = frozenset({Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED})


class LivePast(PastFigures):
    """A :class:`kvorum_tui.session.past.Past` over a session's client."""

    def __init__(self, session: LiveSession) -> None:
        self._session = session
        self._of_nodes: bool | None = None
        self._keeper: MirrorKeeper | None = None
        self._answered = ""

    # --- who answers ------------------------------------------------------------------------------

    @property
    def _client(self) -> Client:
        return self._session.client

    @property
    def keeper(self) -> MirrorKeeper:
        """Who keeps the mirror; there is none as long as nobody asks."""
        if self._keeper is None:
            self._keeper = MirrorKeeper(self._client, self._session.access.user)
        return self._keeper

    @property
    def status(self) -> PastStatus:
        """Where answers come from."""
        if self._of_nodes is None:
            return PastStatus()
        return PastStatus("nodes") if self._of_nodes else self.keeper.status

    async def told_by_nodes(self) -> bool:
        """Whether the nodes answer themselves."""
        if self._of_nodes is None:
            with translated():
                try:
                    async for _ in self._of_any(lambda i: i.history(ALL, limit=1, timeout_s=5)):
                        break
                    self._of_nodes = True
                except Unsupported:
                    self._of_nodes = False
        return self._of_nodes

    async def _of_any(
        self, ask: Callable[[Inspect], AsyncGenerator[T, None]]
    ) -> AsyncGenerator[T, None]:
        """The answer of the first member that gives one; the last one that did is asked first."""
        endpoints = sorted(self._client.endpoints, key=lambda each: each != self._answered)
        failed: ClientError | SessionError | None = None
        for endpoint in endpoints:
            told = False
            try:
                async with aclosing(ask(self._client.member(endpoint).inspect)) as parts:
                    while (part := await _in_time(parts, endpoint)) is not None:
                        told = True
                        self._answered = endpoint
                        yield part
                return
            except ClientError as error:
                if told or error.code not in AWAY:
                    raise
                failed = failed or error
            except Silent as error:
                if told:
                    raise
                failed = failed or error
        raise failed or SessionError("no member is known")

    async def _mirror(self) -> LivingMirror:
        return await self.keeper.ready()

    async def _ask(self, sql: str) -> list[tuple[Any, ...]]:
        """A question of ours, to whoever answers."""
        if not await self.told_by_nodes():
            return await (await self._mirror()).ask(sql)
        rows: list[tuple[Any, ...]] = []
        async for batch in self._query_nodes(sql, 0, 0):
            rows += batch.rows
        return rows

    # --- questions --------------------------------------------------------------------------------

    async def bounds(self) -> Bounds:
        """How far back one can look."""
        nodes = await self.told_by_nodes()
        with translated():
            if not nodes:
                return await self._bounds_of_mirror()
            newest, compacted = 1, 0
            # What is compacted is known at once here, and a moment later in the history.
            async for told in self._of_any(_statistics_once):
                newest, compacted = told.revision, max(0, told.compact_revision)
            oldest = max(1, compacted)
            at_ms = await self._node_clock(oldest)
            newest_at = await self._node_clock(newest)
        return Bounds(oldest, newest, at_ms, newest_at, compacted)

    async def oldest(self) -> int:
        """What is compacted; where a mirror is open, what that has forgotten."""
        nodes = await self.told_by_nodes()
        with translated():
            if nodes:
                async for told in self._of_any(_statistics_once):
                    return max(1, told.compact_revision)
            readable = await self._readable()
            if readable is None:
                return 0
            if readable == ALL and await self.keeper.resume():
                return max(1, (await self.keeper.opened()).loaded.oldest)
            try:
                await self._client.get(readable, revision=1)
                return 1
            except CompactedError:
                pass  # By how much, only a watch is told.
            try:
                async with (
                    asyncio.timeout(PROBE_S),
                    self._client.watch(readable, start_revision=1) as watch,
                ):
                    await watch.next_batch()
            except CompactedError as error:
                return error.compact_revision
            except TimeoutError:
                pass
            return 0

    async def _readable(self) -> bytes | None:
        """A key that this user may read: any where he may read all, else the first one that his
        roles name; None when they name none.
        """
        allowed = await self._session.ranges.allowed()
        if allowed.everything:
            return ALL
        return allowed.spans[0][0] if allowed.spans else None

    async def _node_clock(self, revision: int) -> int:
        """When a revision was written; of one whose rows are forgotten, the next one's."""
        async for batch in self._of_any(
            lambda i: i.history(ALL, ALL, from_revision=revision, limit=1)
        ):
            if batch.revisions:
                return batch.revisions[0].at_ms
        return 0

    async def _bounds_of_mirror(self) -> Bounds:
        mirror = await self._mirror()
        loaded = mirror.loaded
        rows = await mirror.ask(
            'SELECT arg_max(epoch_ms("at"), revision) FROM history WHERE revision <= $newest',
            {"newest": loaded.revision},
        )
        oldest = max(1, loaded.oldest)
        at_ms = await self._mirror_clock(mirror, oldest)
        gaps = tuple((gap.first, gap.last - 1) for gap in mirror.gaps if gap.last > gap.first)
        compacted = mirror.gaps[-1].last if mirror.gaps else loaded.oldest
        newest_at = rows[0][0] or 0
        return Bounds(
            oldest,
            max(loaded.revision, 1),
            at_ms,
            newest_at,
            compacted,
            gaps,
            seen=True,
        )

    async def _mirror_clock(self, mirror: LivingMirror, revision: int) -> int:
        found = await mirror.ask(
            'SELECT max(epoch_ms("at")) FROM history WHERE revision = $revision',
            {"revision": revision},
        )
        return max(0, found[0][0] or 0)

    async def history(
        self, key: bytes, from_revision: int = 0, to_revision: int = 0, limit: int = 2_000
    ) -> KeyLife:
        """The newest changes of a key."""
        from collections import deque

        events: deque[KeyEvent] = deque(maxlen=limit)
        compacted = 0
        if await self.told_by_nodes():
            with translated():
                async for batch in self._of_any(
                    lambda i: i.history(key, from_revision=from_revision, to_revision=to_revision)
                ):
                    compacted = max(0, batch.compact_revision)
                    events.extend(change_of(revision) for revision in batch.revisions)
            return KeyLife(tuple(events), compacted)
        async for rows in self._rows(key, b"", from_revision, to_revision):
            events.extend(rows)
        return KeyLife(tuple(events), (await self._mirror()).loaded.oldest)

    async def get(self, key: bytes, revision: int) -> KeyRecord | None:
        """A key as it was."""
        with translated():
            try:
                found = (await self._client.get(key, revision=revision)).kv
                return None if found is None else record_of(found)
            except CompactedError:
                if await self.told_by_nodes() or not await self._remembers(revision):
                    raise
                state = await self._remembered(key, key + b"\0", b"", revision, 1, True)
                return state[0] if state else None

    async def state(
        self, prefix: bytes, revision: int, values: bool = True, page: int = 1_000
    ) -> AsyncIterator[StatePage]:
        """Everything under a prefix, page by page; what etcd has compacted, as the mirror
        remembers it.
        """
        with translated():
            try:
                seen = 0
                async for found in self._client.pages(
                    prefix,
                    prefix=True,
                    page_size=page,
                    revision=revision,
                    keys_only=not values,
                    timeout_s=30,
                ):
                    total = seen + found.count
                    seen += len(found.kvs)
                    records = tuple(map(record_of, found.kvs))
                    yield StatePage(records, revision or found.header.revision, found.more, total)
                return
            except CompactedError:
                if seen or await self.told_by_nodes() or not await self._remembers(revision):
                    raise
            start, end = key_range(prefix, prefix=True)
            total = await self._remembered_count(start, end, revision)
            after = b""
            while True:
                part = await self._remembered(start, end, after, revision, page, values)
                seen += len(part)
                yield StatePage(tuple(part), revision, seen < total, total)
                if seen >= total or not part:
                    return
                after = part[-1].key

    async def _remembers(self, revision: int) -> bool:
        """Whether the mirror knows the store at a revision. Raises SessionError for a gap."""
        mirror = await self._mirror()
        for gap in mirror.gaps:
            if gap.first <= revision < gap.last:
                text = f"revisions {gap.first:,} to {gap.last - 1:,} are not known: they were "
                raise SessionError(text + "compacted while no terminal was open")
        return mirror.loaded.oldest <= revision <= mirror.loaded.revision

    async def _remembered_count(self, start: bytes, end: bytes, revision: int) -> int:
        sql = f"SELECT count(*) FROM ({alive(start, end, revision)})"
        return int((await (await self._mirror()).ask(sql))[0][0])

    async def _remembered(
        self, start: bytes, end: bytes, after: bytes, revision: int, limit: int, values: bool
    ) -> list[KeyRecord]:
        value = "h.value" if values else "''::BLOB"
        sql = (
            f"SELECT h.key, {value}, h.create_revision, h.revision, h.version, h.lease "
            f"FROM history AS h JOIN ({alive(start, end, revision)}) AS alive "
            "ON h.key = alive.key AND h.revision = alive.newest "
            f"WHERE h.key > {blob(after)} ORDER BY h.key LIMIT {limit:d}"
        )
        return [KeyRecord(*row) for row in await (await self._mirror()).ask(sql)]

    async def changes(
        self, prefix: bytes, from_revision: int, to_revision: int = 0, limit: int = 0
    ) -> AsyncIterator[tuple[KeyEvent, ...]]:
        """Every change under a prefix, oldest first."""
        start, end = key_range(prefix, prefix=True)
        if await self.told_by_nodes():
            with translated():
                async for batch in self._of_any(
                    lambda i: i.history(
                        start,
                        end,
                        from_revision=from_revision,
                        to_revision=to_revision,
                        limit=limit,
                    )
                ):
                    if batch.revisions:
                        yield tuple(change_of(revision) for revision in batch.revisions)
            return
        left = limit
        async for events in self._rows(start, end, from_revision, to_revision):
            yield tuple(events[: left or None])
            if limit:
                left -= len(events)
                if left <= 0:
                    return

    async def _rows(
        self, start: bytes, end: bytes, first: int, last: int
    ) -> AsyncGenerator[list[KeyEvent], None]:
        """Changes that the mirror knows, in pages."""
        from kvorum.history.pages import Question

        with translated():
            mirror = await self._mirror()
            page: list[KeyEvent] = []
            async with aclosing(mirror.history(Question(start, end, first, last))) as rows:
                async for row in rows:
                    page.append(event_of_row(row))
                    if len(page) == PAGE:
                        yield page
                        page = []
            if page:
                yield page

    # --- people's SQL -----------------------------------------------------------------------------

    async def query(
        self, sql: str, max_rows: int = 0, timeout_s: float = 0, revision: int = 0
    ) -> AsyncGenerator[QueryBatch, None]:
        """Read-only SQL."""
        ask = self._query_nodes if await self.told_by_nodes() else self._query_mirror
        with translated():
            async with aclosing(ask(sql, max_rows, timeout_s, revision)) as batches:
                async for batch in batches:
                    yield batch

    async def _query_nodes(
        self, sql: str, max_rows: int, timeout_s: float, revision: int = 0
    ) -> AsyncGenerator[QueryBatch, None]:
        columns: tuple[tuple[str, str], ...] = ()
        millis = max(1, int(timeout_s * 1000)) if timeout_s else 0
        parts: AsyncGenerator[v1.QueryRows, None] = self._of_any(
            lambda i: i.query(sql, max_rows=max_rows, timeout_ms=millis, revision=revision)
        )
        async with aclosing(parts):
            async for part in parts:
                columns = columns or tuple((c.name, c.type) for c in part.columns)
                rows = await _beside(decoded, part.rows_json)
                yield QueryBatch(columns, rows, part.truncated)

    async def _query_mirror(
        self, sql: str, max_rows: int, timeout_s: float, revision: int = 0
    ) -> AsyncGenerator[QueryBatch, None]:
        from kvorum.client.mirror_query import ask_mirror

        mirror = await self._mirror()
        parts = ask_mirror(
            mirror,
            self._client,
            sql,
            max_rows=max_rows,
            timeout_s=timeout_s,
            revision=revision,
        )
        async with aclosing(batches_of(parts)) as batches:
            async for batch in batches:
                yield batch

    async def stop(self) -> None:
        """No longer fill the mirror."""
        if self._keeper is not None:
            await self._keeper.stop()

    async def close(self) -> None:
        """Let go of the mirror."""
        if self._keeper is not None:
            await self._keeper.close()
            self._keeper = None


class Silent(SessionError):
    """A member that is connected and does not answer."""


async def _in_time(parts: AsyncGenerator[T, None], endpoint: str) -> T | None:
    """The next part; None at the end."""
    try:
        async with asyncio.timeout(ANSWER_S):
            return await anext(parts, None)
    except TimeoutError:
        raise Silent(f"silent for {ANSWER_S:.0f} s", endpoint, "Inspect") from None


async def _statistics_once(inspect: Inspect) -> AsyncGenerator[v1.NodeStatistics, None]:
    yield await inspect.statistics_once()


async def batches_of(parts: AsyncGenerator[Part, None]) -> AsyncGenerator[QueryBatch, None]:
    """An answer of DuckDB's in this process, decoded. Raises SessionError for a query that cannot
    be run, or was ended.
    """
    from kvorum.history.query import QueryRefused, QueryStopped

    try:
        async with aclosing(parts):
            async for part in parts:
                rows = await _beside(decoded, part.rows_json)
                columns = tuple((column.name, column.type) for column in part.columns)
                yield QueryBatch(columns, rows, part.truncated)
    except QueryRefused as error:
        raise SessionError(str(error), rpc="SQL", code="INVALID_ARGUMENT") from error
    except QueryStopped as error:
        raise SessionError(str(error), rpc="SQL", code="CANCELLED") from error


def decoded(lines: list[str]) -> tuple[tuple[Any, ...], ...]:
    """Rows of an answer, with bytes as bytes."""
    return tuple(tuple(json.loads(line, object_hook=_bytes_back)) for line in lines)


def _bytes_back(value: dict[str, Any]) -> Any:
    encoded = value.get("bytes")
    if len(value) == 1 and isinstance(encoded, str):
        return base64.b64decode(encoded)
    return value


def _beside(work: Callable[[list[str]], T], lines: list[str]) -> Awaitable[T]:
    """Decode a batch beside the event loop."""
    return asyncio.to_thread(work, lines)
