"""Ranges of a real cluster, page by page, by the client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from kvorum.client import Client, ClientError, CompactedError, KeyValue
from kvorum.errors import Code

from kvorum_tui.live.errors import translated
from kvorum_tui.model.records import KeyEvent, KeyPage, KeyRecord, WatchBatch
from kvorum_tui.session.ranges import EVERYTHING, Allowed, Span, ValuePage, joined

FIRST_PAGE = 400  # Keys of the first page: a screen is full of them at once.
KEYS_PAGE = 2_500  # Decoding that many takes less than ten milliseconds.
VALUES_PAGE = 500
CALL_S = 10.0
WITHOUT_QUORUM = frozenset({Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED})
READS = frozenset({"READ", "READWRITE"})


class LiveRanges:
    """A :class:`kvorum_tui.session.ranges.Ranges` over :class:`kvorum.client.Client`."""

    def __init__(self, client: Callable[[], Client], user: str | None) -> None:
        self._client = client
        self._user = user or ""

    async def keys(self, span: Span, revision: int = 0) -> AsyncIterator[KeyPage]:
        """A small page, then large ones."""
        async for kvs, at, more, total in self._pages(span, revision, True):
            yield KeyPage(tuple(kv.key for kv in kvs), at, more, total)

    async def values(self, span: Span, revision: int = 0) -> AsyncIterator[ValuePage]:
        """Pages of about a megabyte at most."""
        async for kvs, at, more, total in self._pages(span, revision, False):
            yield ValuePage(tuple(map(_record, kvs)), at, more, total)

    async def _pages(
        self, span: Span, revision: int, keys_only: bool
    ) -> AsyncIterator[tuple[tuple[KeyValue, ...], int, bool, int]]:
        """Pages at one revision; from one member where no quorum answers the first of them."""
        low, high = span
        page, alone, seen = FIRST_PAGE if keys_only else VALUES_PAGE, False, 0
        while True:
            with translated():
                try:
                    stream = self._client().pages(
                        low,
                        high or None,
                        from_key=not high,
                        limit=FIRST_PAGE if page == FIRST_PAGE else 0,
                        page_size=page,
                        keys_only=keys_only,
                        revision=revision,
                        serializable=alone,
                        timeout_s=CALL_S,
                    )
                    more = False
                    async for found in stream:
                        revision = revision or found.header.revision
                        total = seen + found.count
                        seen += len(found.kvs)
                        more = found.more
                        if found.kvs:
                            low = found.kvs[-1].key + b"\0"
                        yield found.kvs, revision, more, total
                except ClientError as error:
                    if error.code not in WITHOUT_QUORUM or alone:
                        raise
                    alone = True
                    continue
            if not more:
                return
            page = KEYS_PAGE

    async def follow(self, span: Span, start_revision: int) -> AsyncIterator[WatchBatch]:
        """A watch that steps over compacted history and says so."""
        low, high = span
        start = start_revision
        with translated():
            while True:
                watch = self._client().watch(
                    low,
                    high or None,
                    from_key=not high,
                    start_revision=start,
                    require_leader=True,
                )
                try:
                    yield WatchBatch(max(0, await watch.started() - 1))
                    async for batch in watch.batches():
                        events = tuple(
                            KeyEvent(
                                "put" if event.type == "PUT" else "delete",
                                event.kv.key,
                                event.kv.value,
                                event.kv.mod_revision,
                                event.kv.create_revision,
                                event.kv.version,
                                event.kv.lease,
                            )
                            for event in batch.events
                        )
                        yield WatchBatch(batch.revision, events)
                    return
                except CompactedError as error:
                    if error.compact_revision <= start:
                        raise
                    start = error.compact_revision
                    yield WatchBatch(start, gap_to=start)
                finally:
                    watch.close()

    async def allowed(self) -> Allowed:
        """The user's roles, and what each of them allows."""
        if not self._user:
            return Allowed(everything=True)
        auth = self._client().auth
        with translated():
            roles = await auth.user_roles(self._user)
            if "root" in roles:
                return Allowed(self._user, roles, (EVERYTHING,), True)
            spans: list[Span] = []
            for role in roles:
                for permission in await auth.role_permissions(role):
                    if permission.kind in READS:
                        low, high = permission.key, permission.range_end
                        if low == b"\0" or high == b"\0":
                            low = b"" if low == b"\0" else low
                            high = b"" if high == b"\0" else high
                        elif not high:
                            high = low + b"\0"
                        spans.append((low, high))
        found = joined(spans)
        return Allowed(self._user, roles, found, found == (EVERYTHING,))


def _record(kv: KeyValue) -> KeyRecord:
    return KeyRecord(kv.key, kv.value, kv.create_revision, kv.mod_revision, kv.version, kv.lease)
