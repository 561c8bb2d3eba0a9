"""A mirror of a cluster's history that lasts and stays current: one file a cluster, taken up again
where it ended, following the cluster as long as somebody holds it open.

What it knows, the cluster may have compacted long ago: a mirror forgets by its own bounds, of size
and of age. When it was away for so long that the cluster has compacted what comes next, it takes
the keys as they are at the compacted revision and notes the gap in its table ``gaps``: within it
only the outcome is known.

A change that is seen as it happens is given this machine's clock at that moment. It is not when it
was written (no etcd tells that), but close; changes that were read later have none.

::

    async with LivingMirror(client, path) as mirror:
        await mirror.start(cluster_id)
        following = asyncio.create_task(mirror.follow())
        await mirror.caught_up()
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import duckdb

from kvorum.client.errors import CompactedError
from kvorum.client.history_mirror import HistoryMirror, HistoryTooLarge, Loaded, row_of, rows_of
from kvorum.errors import Code
from kvorum.history.copying import remove_history
from kvorum.history.database import ForeignHistory, HistoryDatabase, log_path, read_progress
from kvorum.history.probe import open_history
from kvorum.history.query import QueryRunner
from kvorum.history.rows import DELETE, Batch, Identity, Row
from kvorum.history.writer import Durable, HistoryWriter
from kvorum.limits import LIVING_MIRROR_AGE_S, LIVING_MIRROR_BYTES

if TYPE_CHECKING:
    from kvorum.client.session import Session

_ALL_KEYS: Final = b"\0"
_END: Final = b"\0"
_KNOWN_AT_ONCE: Final = 2_000  # Keys of the mirror compared with the cluster's in one go.
_SIZE_LOOKS: Final = 16  # The file's size is looked at so often while as much as its bound comes.


class Gap(NamedTuple):
    """Revisions, both included, of which only the outcome is known."""

    first: int
    last: int


class Claim:
    """Who may write a file: the first that asks, until it lets go or ends."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def on(cls, path: Path) -> Claim | None:
        """Claim a file; None when another process (or this one) has claimed it already.

        Raises OSError when its folder cannot be written.
        """
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = path.with_name(path.name + ".lock")
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return cls(descriptor)

    def release(self) -> None:
        """Let go."""
        os.close(self._descriptor)


class LivingMirror(HistoryMirror):
    """A mirror in ``path`` that is kept. Entered with ``async with``, then :meth:`start`.

    Args:
        session: who reads; with auth on, it must be allowed to read every key.
        max_bytes: what the file may hold; beyond it the older half of the changes is forgotten.
        max_age_s: changes that are known to be older are forgotten at the start.
        told: called now and then while loading.
        wall: seconds since 1970.
    """

    def __init__(
        self,
        session: Session,
        path: Path,
        *,
        max_bytes: int = LIVING_MIRROR_BYTES,
        max_age_s: float = LIVING_MIRROR_AGE_S,
        told: Callable[[Loaded], None] = lambda loaded: None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(session, path, max_bytes=max_bytes, told=told)
        self._max_age_s = max_age_s
        self._wall = wall
        self._grown = asyncio.Event()
        self._unlooked = 0
        self.gaps: tuple[Gap, ...] = ()
        self.aside: Path | None = None
        """Where a damaged file went at the start; the history begins anew then."""

    @property
    def database(self) -> HistoryDatabase:
        """The file, from :meth:`start` on."""
        return self._database

    @property
    def used_bytes(self) -> int:
        """What of the file is in use."""
        return max(0, self._database.size_bytes() - self._database.free_bytes)

    # --- coming and going -------------------------------------------------------------------------

    async def start(self) -> Loaded:
        """Take the file up where it ended, or begin one. Raises ClientError, duckdb.Error,
        OSError.
        """
        head = (await self._session.range(_ALL_KEYS, _END, limit=1, keys_only=True)).header
        oldest, revision, rows = await asyncio.to_thread(
            self._take_up, Identity(head.cluster_id, 0), head.revision
        )
        self.loaded = Loaded(oldest, revision, head.revision, rows)
        return self.loaded

    def _take_up(self, identity: Identity, newest: int) -> tuple[int, int, int]:
        try:
            opened = open_history(self._path, identity)
        except ForeignHistory:
            remove_history(self._path)
            opened = open_history(self._path, identity)
        self._database, self.aside = opened.database, opened.aside
        try:
            found = self._tidy(newest)
        except BaseException:
            self._database.close()
            raise
        self._writer = HistoryWriter(self._database, self._durable, self._failed)
        if found[0]:
            self._writer.compact(found[0])
        self._runner = QueryRunner(self._writer, self._path.with_name(self._path.name + ".query"))
        return found

    def _tidy(self, newest: int) -> tuple[int, int, int]:
        """Away with what broke off, and with what is too old: (oldest, newest known, rows)."""
        with self._database.using() as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS gaps (first BIGINT, last BIGINT)")
            progress = read_progress(connection)
            revision = progress.revision
            if revision > newest:
                # The cluster was set back (restored from a backup, say): another history now.
                for table in ("history", "progress", "compaction", "gaps"):
                    connection.execute(f"DELETE FROM {table}")
                revision = 0
            connection.execute("DELETE FROM history WHERE revision > ?", [revision])
            cutoff = int((self._wall() - self._max_age_s) * 1000)
            stale, rows = connection.execute(
                'SELECT max(revision) FILTER (epoch_ms("at") BETWEEN 1 AND ?), count(*) '
                "FROM history",
                [cutoff],
            ).fetchall()[0]
            oldest = max(0, progress.compact_revision if revision else 0, stale or 0)
            self.gaps = _gaps(connection)
            return oldest, revision, rows

    # --- following --------------------------------------------------------------------------------

    async def caught_up(self) -> None:
        """Wait until everything is there that was written before this call. Raises ClientError;
        :meth:`follow` must be running.
        """
        head = (await self._session.range(_ALL_KEYS, _END, limit=1, keys_only=True)).header
        self.loaded = self.loaded._replace(newest=max(self.loaded.newest, head.revision))
        while self.loaded.revision < max(head.revision, 1) and head.revision > 1:
            self._grown.clear()
            await self._grown.wait()
        await asyncio.wrap_future(self._writer.flush())

    async def follow(self) -> None:
        """Read what is missing, then what comes, until cancelled. Raises ClientError; what is
        there stays, and another call goes on.
        """
        head = (await self._session.range(_ALL_KEYS, _END, limit=1, keys_only=True)).header
        read_late = head.revision  # Of what is not newer than this, nobody has seen when it came.
        self.loaded = self.loaded._replace(newest=max(self.loaded.newest, read_late))
        while True:
            try:
                if self.loaded.revision < read_late > 1:
                    await self._load_changes(self.loaded.revision + 1, read_late)
                self._grown.set()
                watch = self._session.watch(
                    _ALL_KEYS, _END, start_revision=self.loaded.revision + 1, prev_kv=True
                )
                async with watch:
                    while True:
                        batch = await watch.next_batch()
                        if not batch.events:
                            continue
                        rows = await rows_of(batch.events, int(self._wall() * 1000))
                        await self._append(rows, batch.events[-1].revision)
                        self._grown.set()
            except CompactedError as error:
                if error.compact_revision <= self.loaded.revision:
                    raise
                await self._bridge(error.compact_revision)
                self._grown.set()

    async def _bridge(self, compacted: int) -> None:
        """Go on at a compacted revision: its keys, and what went since the last known revision."""
        before = self.loaded.revision
        rows: list[Row] = []
        seen: dict[int, int] = {}
        async with aclosing(self._known(before)) as known:
            async for kv, old in _paired(self._session, compacted, known):
                if kv is None:
                    revision = compacted
                elif old is not None and kv.mod_revision <= before:
                    continue
                else:
                    revision = kv.mod_revision
                sub = seen[revision] = seen.get(revision, -1) + 1
                if kv is not None:
                    rows.append(row_of(kv, sub, old[1] if old else 0))
                elif old is not None:
                    rows.append(Row(compacted, sub, DELETE, old[0], b"", 0, 0, 0, old[1], 0, 0, ""))
                if len(rows) >= _KNOWN_AT_ONCE:
                    # Only the last of them may say that all is there.
                    await self._append(rows, before)
                    rows = []
        await self._append(rows, compacted)
        await asyncio.wrap_future(self._writer.flush())
        if before:
            await asyncio.to_thread(self._note, Gap(before + 1, compacted))
        else:
            await asyncio.wrap_future(self._writer.compact(compacted))
            self.loaded = self.loaded._replace(oldest=compacted)

    async def _known(self, revision: int) -> AsyncGenerator[tuple[bytes, int], None]:
        """The mirror's keys in order, with their mod revisions."""
        await asyncio.wrap_future(self._writer.flush())
        after = b""
        while revision:
            found = await asyncio.to_thread(self._known_page, revision, after)
            for key, mod_revision in found:
                yield key, mod_revision
            if len(found) < _KNOWN_AT_ONCE:
                return
            after = found[-1][0]

    def _known_page(self, revision: int, after: bytes) -> list[tuple[bytes, int]]:
        with self._database.using() as connection:
            return connection.execute(
                "SELECT key, max(revision) FROM history WHERE revision <= ? AND key > ? "
                "GROUP BY key HAVING arg_max(type, revision) = 0 ORDER BY key LIMIT ?",
                [revision, after, _KNOWN_AT_ONCE],
            ).fetchall()

    def _durable(self, durable: Durable) -> None:
        super()._durable(durable)
        # DuckDB makes its log anew after each checkpoint, for everybody to read.
        with suppress(FileNotFoundError):
            log_path(self._path).chmod(0o600)

    def _note(self, gap: Gap) -> None:
        with self._database.using() as connection:
            connection.execute("INSERT INTO gaps VALUES (?, ?)", list(gap))
            self.gaps = _gaps(connection)

    # --- bounds -----------------------------------------------------------------------------------

    async def _append(self, rows: Sequence[Row], revision: int) -> None:
        while True:
            self._room.clear()
            if self._writer.append(Batch(rows, 0, 0, revision)):
                break
            await self._room.wait()
        self._unlooked += sum(len(row.key) + len(row.value) for row in rows)
        self.loaded = self.loaded._replace(
            revision=max(revision, self.loaded.revision),
            newest=max(revision, self.loaded.newest),
            rows=self.loaded.rows + len(rows),
        )
        if self._unlooked * _SIZE_LOOKS > self._max_bytes:
            self._unlooked = 0
            await self._bound()
        self._told(self.loaded)

    async def _bound(self) -> None:
        """Forget the older half of the changes when the file has become too large."""
        await asyncio.wrap_future(self._writer.flush())
        if self.used_bytes <= self._max_bytes:
            return
        middle = await asyncio.to_thread(self._middle)
        forgotten = await asyncio.wrap_future(self._writer.compact(middle))
        await asyncio.wrap_future(self._writer.checkpoint())
        oldest = max(middle, self.loaded.oldest)
        self.loaded = self.loaded._replace(oldest=oldest, rows=self.loaded.rows - forgotten)
        if self.used_bytes > self._max_bytes and not forgotten:
            text = f"the cluster's keys alone take more than {self._max_bytes >> 20} MiB"
            raise HistoryTooLarge(text, code=Code.RESOURCE_EXHAUSTED)

    def _middle(self) -> int:
        with self._database.using() as connection:
            found = connection.execute("SELECT quantile_disc(revision, 0.5) FROM history")
            return int(found.fetchall()[0][0] or 0)

    async def ask(self, sql: str, values: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Our own SQL over what is committed, beside the event loop; stopped when cancelled. For
        people's SQL there is :meth:`query`.
        """
        running: list[duckdb.DuckDBPyConnection] = []

        def run() -> list[tuple[Any, ...]]:
            with self._database.using() as connection:
                running.append(connection)
                return connection.execute(sql, values or {}).fetchall()

        try:
            return await asyncio.to_thread(run)
        except asyncio.CancelledError:
            for connection in running:
                connection.interrupt()
            raise


async def _paired(
    session: Session, revision: int, known: AsyncGenerator[tuple[bytes, int], None]
) -> AsyncGenerator[tuple[Any, tuple[bytes, int] | None], None]:
    """The cluster's keys at a revision beside the known ones, by key; None where there is none."""
    old = await anext(known, None)
    async for page in session.pages(_ALL_KEYS, from_key=True, revision=revision):
        for kv in page.kvs:
            while old is not None and old[0] < kv.key:
                yield None, old
                old = await anext(known, None)
            if old is not None and old[0] == kv.key:
                yield kv, old
                old = await anext(known, None)
            else:
                yield kv, None
    while old is not None:
        yield None, old
        old = await anext(known, None)


def _gaps(connection: duckdb.DuckDBPyConnection) -> tuple[Gap, ...]:
    found = connection.execute("SELECT first, last FROM gaps ORDER BY first").fetchall()
    return tuple(Gap(*row) for row in found)
