"""Plans on a real cluster, and what was done lately, which a watch tells on any of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Sequence

from kvorum.client import Client, CompactedError, Event, KeyValue, PermissionDeniedError
from kvorum.client.plan import Outcome, Step, as_they_are, carry_out, living
from kvorum.client.planning import Deed

from kvorum_tui.live.errors import translated
from kvorum_tui.session.plans import Found

NEAR = 500  # Revisions that are looked through first for what was done lately,
FAR = 32_000  # and how far back at most: each costs its values, twice.
QUIET_S = 0.5  # A watch of a part of the keys that says nothing for so long has caught up.


class LivePlans:
    """A :class:`kvorum_tui.session.plans.Plans` over a client."""

    def __init__(self, client: Callable[[], Client]) -> None:
        self._client = client

    async def read(
        self,
        keys: Sequence[bytes] = (),
        prefixes: Sequence[bytes] = (),
        *,
        values: bool = True,
        limit: int = 0,
        told: Callable[[int], None] = lambda read: None,
    ) -> Found:
        """Prefixes page by page at one revision, single keys by the hundred."""
        client = self._client()
        found: dict[bytes, KeyValue] = {}
        with translated():
            head = (await client.range(b"\0", limit=1, keys_only=True)).header
            for prefix in sorted(prefixes, key=len):
                pages = client.pages(
                    prefix, prefix=True, keys_only=not values, revision=head.revision
                )
                async for page in pages:
                    found.update((kv.key, kv) for kv in page.kvs)
                    told(len(found))
                    if limit and len(found) > limit:
                        return Found((), head.revision, head.cluster_id, more=True)
            single = [key for key in keys if key not in found]
            found.update(await as_they_are(client, single))
        records = tuple(found[key] for key in sorted(found))
        return Found(
            records, head.revision, head.cluster_id, more=bool(limit and len(records) > limit)
        )

    async def now(self, keys: Sequence[bytes]) -> dict[bytes, KeyValue]:
        """A hundred at once."""
        with translated():
            return await as_they_are(self._client(), keys)

    async def living(self, leases: Collection[int]) -> frozenset[int]:
        """Each is asked."""
        with translated():
            return await living(self._client(), sorted(leases))

    async def carry_out(
        self,
        steps: Sequence[Step],
        told: Callable[[int], None],
        wrote: Callable[[Sequence[Step], int], None],
        stopped: Callable[[], bool],
    ) -> Outcome:
        """By the engine that the headless verbs use."""

        async def all_steps() -> AsyncGenerator[Step, None]:
            for step in steps:
                yield step

        with translated():
            return await carry_out(self._client(), all_steps(), told, wrote=wrote, stopped=stopped)

    async def deeds(self, revision: int, prefix: bytes = b"") -> tuple[Deed, ...]:
        """A watch from there on brings them first."""
        with translated():
            found = [
                deed
                for deed in await self._changes(revision, revision, prefix)
                if deed.revision == revision
            ]
        return tuple(found)

    async def recent(self, key: bytes, prefix: bool, limit: int) -> tuple[Deed, ...]:
        """A little way back, then further until it is enough."""
        with translated():
            newest = (await self._client().range(b"\0", limit=1, keys_only=True)).header.revision
            span = NEAR
            while True:
                first = max(2, newest - span)
                try:
                    deeds = await self._changes(first, newest, key, prefix)
                except CompactedError as error:
                    first = error.compact_revision
                    deeds = await self._changes(first, newest, key, prefix)
                    span = FAR
                if len(deeds) >= limit or first <= 2 or span >= FAR:
                    return tuple(reversed(deeds))
                span *= 8

    async def _changes(self, first: int, last: int, key: bytes, prefix: bool = True) -> list[Deed]:
        """What was done from one revision to another, both included, oldest first."""
        if first > last:
            return []
        try:
            found = await self._watched(first, last, b"", True, None)
        except PermissionDeniedError:
            found = await self._watched(first, last, key, prefix, QUIET_S)
        return [d for d in found if (d.key.startswith(key) if prefix else d.key == key)]

    async def _watched(
        self, first: int, last: int, key: bytes, prefix: bool, quiet_s: float | None
    ) -> list[Deed]:
        """Every revision has a change, so a watch of all keys has caught up when it has seen the
        last one; of a part of them silence has to do.
        """
        found: list[Deed] = []
        async with self._client().watch(
            key, prefix=prefix, start_revision=first, prev_kv=True
        ) as watch:
            while not found or found[-1].revision < last:
                try:
                    async with asyncio.timeout(quiet_s):
                        batch = await watch.next_batch()
                except TimeoutError:
                    break
                found += [_deed(event) for event in batch.events]
        return [deed for deed in found if deed.revision <= last]


def _deed(event: Event) -> Deed:
    kv = event.kv
    if event.type == "PUT":
        lost = event.prev_kv is None and kv.version > 1
        return Deed(kv.mod_revision, kv.key, event.prev_kv, kv, lost)
    return Deed(kv.mod_revision, kv.key, event.prev_kv, None, event.prev_kv is None)
