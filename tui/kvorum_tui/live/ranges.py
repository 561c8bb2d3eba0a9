"""Ranges of a real cluster, page by page, by the client.

Every page of etcd costs what the rest of the range costs, because its answer counts that; on 3.4 it
is a second for a million keys, however few are asked for. So pages grow while they come slowly.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence

from kvorum.client import Client, ClientError, KeyValue
from kvorum.errors import Code

from kvorum_tui.live.errors import translated
from kvorum_tui.live.records import following, record_of
from kvorum_tui.model.records import KeyPage, WatchBatch
from kvorum_tui.session.ranges import EVERYTHING, Allowed, Span, ValuePage, joined

FIRST_PAGE = 400  # Keys of the first page: a screen is full of them at once.
KEYS_PAGE = 2_500  # Decoding that many takes less than ten milliseconds.
KEYS_PAGE_MAX = 25_000  # Where pages come slowly: a tenth of a second to decode.
VALUES_PAGE = 500
VALUES_PAGE_MAX = 8_000
VALUES_BYTES = 2 * 1024 * 1024  # Of one page.
SLOW_S = 0.25
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
            yield ValuePage(tuple(map(record_of, kvs)), at, more, total)

    async def _pages(
        self, span: Span, revision: int, keys_only: bool
    ) -> AsyncIterator[tuple[tuple[KeyValue, ...], int, bool, int]]:
        """Pages at one revision; from one member where no quorum answers the first of them."""
        low, high = span
        asked = FIRST_PAGE if keys_only else VALUES_PAGE
        most = KEYS_PAGE_MAX if keys_only else VALUES_PAGE_MAX
        alone, seen = False, 0
        while True:
            began = time.monotonic()
            with translated():
                try:
                    found = await self._client().range(
                        low,
                        high or None,
                        from_key=not high,
                        limit=asked,
                        keys_only=keys_only,
                        revision=revision,
                        serializable=alone,
                        timeout_s=CALL_S,
                    )
                except ClientError as error:
                    if error.code is Code.RESOURCE_EXHAUSTED and asked > 1:
                        asked = most = max(1, asked // 4)
                    elif error.code in WITHOUT_QUORUM and not alone:
                        alone = True
                    else:
                        raise
                    continue
            took = time.monotonic() - began
            revision = revision or found.header.revision
            total = seen + found.count
            seen += len(found.kvs)
            yield found.kvs, revision, found.more, total
            if not found.more or not found.kvs:
                return
            low = found.kvs[-1].key + b"\0"
            asked = min(most, _next_page(asked, found.kvs, keys_only, took > SLOW_S))

    def follow(self, span: Span, start_revision: int) -> AsyncIterator[WatchBatch]:
        """A watch that steps over compacted history and says so."""
        low, high = span
        return following(
            lambda revision: self._client().watch(
                low,
                high or None,
                from_key=not high,
                start_revision=revision,
                require_leader=True,
            ),
            start_revision,
        )

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


def _next_page(asked: int, kvs: Sequence[KeyValue], keys_only: bool, slow: bool) -> int:
    """How many keys to ask for next: more where pages come slowly, fewer where values are large."""
    if keys_only:
        return asked * 2 if slow else max(asked, KEYS_PAGE)
    weight = sum(len(kv.key) + len(kv.value) for kv in kvs) // len(kvs) + 1
    more = asked * 2 if slow else asked
    return max(1, min(more, VALUES_BYTES // weight))
