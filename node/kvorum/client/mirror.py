"""A local copy of a prefix that follows the cluster.

The first load reads pages at one pinned revision, then a watch goes on from the revision after
it, so the copy is at every moment the state of exactly one revision. When the cluster compacts
away what the copy has yet to read, it is loaded anew.

::

    async with client.mirror("/app/") as mirror:
        async for change in mirror:         # the copy moves while it is iterated over
            print(mirror.revision, len(mirror))
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from sortedcontainers import SortedDict

from kvorum.client.errors import ClientError, CompactedError
from kvorum.client.types import Event, Key, KeyValue, key_range, to_bytes
from kvorum.client.watch import Watch
from kvorum.errors import Code

if TYPE_CHECKING:
    from kvorum.client.session import Session

_LOADS = 5  # Loading that is overtaken by compaction this often will not succeed by repetition.


class MirrorTooLarge(ClientError):
    """The prefix holds more keys than the mirror was allowed to keep."""


@dataclass(frozen=True, slots=True)
class MirrorChange:
    """What changed the copy: events, or (``reset``) a new load, after which anything may be
    different.
    """

    revision: int
    events: tuple[Event, ...]
    reset: bool = False


class Mirror:
    """A copy of every key with a prefix. ``keys_only`` leaves the values out of the first load
    and of the copy.
    """

    def __init__(
        self, session: Session, prefix: Key, *, keys_only: bool = False, max_keys: int | None = None
    ) -> None:
        self._session = session
        self._prefix = to_bytes(prefix)
        self._keys_only = keys_only
        self._max_keys = max_keys
        self._keys: SortedDict = SortedDict()
        self._watch: Watch | None = None
        self.revision = 0

    async def __aenter__(self) -> Self:
        await self.load()
        return self

    async def __aexit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop following. The copy stays as it is."""
        if self._watch is not None:
            self._watch.close()

    async def load(self) -> None:
        """Read everything at one revision and begin to watch behind it."""
        self.close()
        for left in reversed(range(_LOADS)):
            try:
                await self._load_once()
            except CompactedError:
                if left == 0:
                    raise
                continue
            return

    async def _load_once(self) -> None:
        keys: SortedDict = SortedDict()
        revision = 0
        start, end = key_range(self._prefix, prefix=True)
        async for page in self._session.pages(start, end, keys_only=self._keys_only):
            revision = revision or page.header.revision
            if self._max_keys is not None and page.count + len(keys) > self._max_keys:
                text = f"{page.count + len(keys)} keys, at most {self._max_keys} are allowed"
                raise MirrorTooLarge(text, code=Code.RESOURCE_EXHAUSTED)
            keys.update((kv.key, kv) for kv in page.kvs)
        watch = self._session.watch(start, end, start_revision=revision + 1, progress=True)
        await watch.started()
        self._keys, self.revision, self._watch = keys, revision, watch

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> MirrorChange:
        """Take the next change into the copy and say what it was."""
        if self._watch is None:
            raise RuntimeError("the mirror is not loaded: enter it with `async with`")
        try:
            batch = await self._watch.next_batch()
        except CompactedError:
            await self.load()
            return MirrorChange(self.revision, (), reset=True)
        for event in batch.events:
            if event.type == "DELETE":
                self._keys.pop(event.key, None)
            else:
                kv = event.kv._replace(value=b"") if self._keys_only else event.kv
                self._keys[event.key] = kv
        if self._max_keys is not None and len(self._keys) > self._max_keys:
            text = f"more than the {self._max_keys} keys allowed"
            raise MirrorTooLarge(text, code=Code.RESOURCE_EXHAUSTED)
        self.revision = max(self.revision, batch.revision)
        return MirrorChange(batch.revision, batch.events)

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: Key) -> bool:
        return to_bytes(key) in self._keys

    def get(self, key: Key) -> KeyValue | None:
        """A key as the copy has it."""
        found: KeyValue | None = self._keys.get(to_bytes(key))
        return found

    def items(self, prefix: Key = b"") -> Iterator[KeyValue]:
        """The keys with a prefix, in order. The copy must not move meanwhile."""
        start, end = key_range(prefix, prefix=True)
        stop = None if end == b"\0" else end
        for key in self._keys.irange(start, stop, inclusive=(True, False)):
            yield self._keys[key]
