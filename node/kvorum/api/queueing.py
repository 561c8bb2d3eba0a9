"""A place in a queue, as etcd's recipes have it: a key ``<name>/<lease in hex>`` for everybody who
wants to be first, and first is whose key was created first (semantics page, section 11).

Whoever waits watches one key only, the one before its own, so that a departure wakes one waiter and
not all of them.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from kvorum.api.behalf import Answer, Behalf
from kvorum.errors import KvorumError
from kvorum.limits import PLACE_RELEASE_S
from kvorum.machine.commands import Compare, DeleteRange, Put, Range, Txn
from kvorum.machine.operations import (
    COMPARE_CREATE,
    EQUAL,
    SORT_ASCEND,
    SORT_DESCEND,
    TARGET_CREATE,
)
from kvorum.machine.record import Record
from kvorum.machine.results import RangeResult, Response


def oldest_of(name: bytes) -> Range:
    """Who is first in a queue."""
    return Range(*_queue_of(name), limit=1, sort_order=SORT_ASCEND, sort_target=TARGET_CREATE)


def _queue_of(name: bytes) -> tuple[bytes, bytes]:
    """The keys of a queue, from the first to behind the last: '0' follows '/'."""
    return name + b"/", name + b"0"


def still_created_at(key: bytes, revision: int) -> Compare:
    """The condition that a key is the one that was created then; at 0, that there is none."""
    return Compare(key, COMPARE_CREATE, EQUAL, revision)


def records_of(part: Response) -> list[Record]:
    """The keys in a range's part of an answer."""
    assert isinstance(part, RangeResult)
    return part.records


class Place:
    """One caller's place in a queue.

    Args:
        behalf: the node in the caller's name.
        name: the queue.
        lease: the place ends with it.
    """

    def __init__(self, behalf: Behalf, name: bytes, lease: int) -> None:
        self._behalf = behalf
        self._name = name
        self._lease = lease
        self.key = name + b"/%s%x" % (b"-" if lease < 0 else b"", abs(lease))
        self.revision = 0
        """The revision that created the key; known once the place is taken."""

    async def take(self, value: bytes) -> Answer:
        """Create the key, or find it there already: a lease has one place, however often it asks.

        The last part of the answer tells who is first; of the one before, see ``succeeded``. Raises
        KvorumError. Whoever is cancelled here leaves no key behind.
        """
        claim = Txn(
            (still_created_at(self.key, 0),),
            (Put(self.key, value, self._lease), oldest_of(self._name)),
            (Range(self.key), oldest_of(self._name)),
        )
        claiming = asyncio.ensure_future(self._behalf.transact(claim))
        try:
            answer = await asyncio.shield(claiming)
        except asyncio.CancelledError:
            self._behalf.in_background(self._undo(claiming), "a place nobody waits for any more")
            raise
        if answer.succeeded:
            self.revision = answer.revision
        else:
            self.revision = records_of(answer.parts[0])[0].create_revision
        return answer

    async def _undo(self, claiming: asyncio.Future[Answer]) -> None:
        answer = await claiming
        if answer.succeeded:
            self.revision = answer.revision
            await self._delete()

    async def wait_first(self) -> Answer | None:
        """Wait until all that came before are gone; for as long as that takes. The answer tells
        when it was so; None when by then the place itself is gone.

        Raises KvorumError. A place that fails to become the first, or whose caller leaves, is given
        up.
        """
        try:
            return await self._wait_first()
        except (KvorumError, asyncio.CancelledError):
            self.give_up()
            raise

    async def _wait_first(self) -> Answer | None:
        before = Range(
            *_queue_of(self._name),
            limit=1,
            sort_order=SORT_DESCEND,
            sort_target=TARGET_CREATE,
            keys_only=True,
            max_create_revision=self.revision - 1,
        )
        while True:
            answer = await self._behalf.read(before, Range(self.key, keys_only=True))
            ahead, own = (records_of(part) for part in answer.parts)
            if not ahead:
                kept = any(record.create_revision == self.revision for record in own)
                return answer if kept else None
            await self._departure(ahead[0].key, answer.revision)

    async def _departure(self, key: bytes, revision: int) -> None:
        """Returns when a key that was there at a revision is deleted, or when a compaction makes it
        necessary to look again.
        """
        events = self._behalf.events(key, b"", revision + 1, deletions_only=True)
        async with aclosing(events):
            async for _ in events:
                return

    def give_up(self) -> None:
        """Delete the key, in the background."""
        self._behalf.in_background(self._delete(), "a place given up")

    async def _delete(self) -> None:
        """Without a leader this waits longer than a request: a key left behind would hold up the
        queue for as long as its lease is kept alive.
        """
        own = Txn((still_created_at(self.key, self.revision),), (DeleteRange(self.key),))
        await self._behalf.transact(own, timeout_s=PLACE_RELEASE_S)
