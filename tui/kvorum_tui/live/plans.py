"""Plans on a real cluster, and what was done lately, which a watch tells on any of them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Collection, Sequence

from kvorum.client import Client, KeyValue
from kvorum.client.deeds import deeds_of, recent_deeds
from kvorum.client.plan import Outcome, Step, as_they_are, carry_out, living
from kvorum.client.planning import Deed

from kvorum_tui.live.errors import translated
from kvorum_tui.session.plans import Found


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
            # Asked of what will be read: somebody may be allowed to read nothing else.
            one = next(iter((*prefixes, *keys)), b"")
            whole = not one or one in prefixes
            head = (await client.range(one, prefix=whole, limit=1, keys_only=True)).header
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

    async def cluster(self) -> int:
        """The member table's head tells."""
        with translated():
            return (await self._client().cluster.members(linearizable=False)).header.cluster_id

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
        """Told by a watch."""
        with translated():
            return tuple(await deeds_of(self._client(), revision, prefix))

    async def recent(self, key: bytes, prefix: bool, limit: int) -> tuple[Deed, ...]:
        """Told by a watch."""
        with translated():
            return tuple(await recent_deeds(self._client(), key, prefix, limit))
