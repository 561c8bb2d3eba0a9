"""A place in a queue, as etcd's recipes have it: a key ``<name>/<lease in hex>`` for everybody who
wants to be first, and first is whose key was created first (semantics page, section 11).

Whoever waits watches one key only, the one before its own, so that a departure wakes one waiter and
not all of them.

Who stands ahead is read from this member's own state. That is enough: it holds the place itself, so
also everything created before it, and what is deleted here is deleted for good. Only whether the
place is still there, when its turn has come, must be asked of the cluster.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from kvorum.api.behalf import Answer, Behalf
from kvorum.errors import Condition, KvorumError
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


def _all_of(name: bytes) -> Range:
    """How many stand in a queue; and a question only to whom may read all of it."""
    return Range(*_queue_of(name), count_only=True)


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
        self._alone = False

    async def take(self, value: bytes) -> Answer:
        """Create the key, or find it there already: a lease has one place, however often it asks.

        The first part of the answer is the key as it was found, unless it ``succeeded``. Raises
        KvorumError. Whoever is cancelled here leaves no key behind.
        """
        claim = Txn(
            (still_created_at(self.key, 0),),
            (Put(self.key, value, self._lease), _all_of(self._name)),
            (Range(self.key), _all_of(self._name)),
        )
        claiming = asyncio.ensure_future(self._behalf.transact(claim))
        try:
            answer = await asyncio.shield(claiming)
        except asyncio.CancelledError:
            name = "a place nobody waits for any more"
            self._behalf.in_background(lambda: self._undo(claiming), name)
            raise
        if answer.succeeded:
            self.revision = answer.revision
        else:
            self.revision = records_of(answer.parts[0])[0].create_revision
        everybody = answer.parts[-1]
        assert isinstance(everybody, RangeResult)
        self._alone = everybody.count == 1
        return answer

    async def _undo(self, claiming: asyncio.Future[Answer]) -> None:
        answer = await claiming
        if answer.succeeded:
            self.revision = answer.revision
            await self._delete()

    async def wait_first(self, taken: Answer) -> Answer | None:
        """Wait until all that came before are gone; for as long as that takes. The answer tells
        when it was so, and is the one of :meth:`take` for whom did not have to wait; None when by
        then the place itself is gone.

        Raises KvorumError. A place that fails to become the first, or whose caller leaves, is given
        up.
        """
        if self._alone:
            return taken
        try:
            return await self._wait_first(taken)
        except KvorumError as error:
            if error.condition is Condition.STOPPED:
                # A node that stops waits for this call, and for nothing in its background.
                await self._behalf.quietly(self._delete, "a place on a node that stops")
            else:
                self.give_up()
            raise
        except asyncio.CancelledError:
            self.give_up()
            raise

    async def _wait_first(self, taken: Answer) -> Answer | None:
        before = Range(
            *_queue_of(self._name),
            limit=1,
            sort_order=SORT_DESCEND,
            sort_target=TARGET_CREATE,
            keys_only=True,
            max_create_revision=self.revision - 1,
        )
        has_waited = False
        while True:
            answer = await self._behalf.read(before, linearizable=False)
            ahead = records_of(answer.parts[0])
            if not ahead:
                break
            has_waited = True
            await self._departure(ahead[0].key, answer.revision)
        if not has_waited:
            return taken
        answer = await self._behalf.read(Range(self.key, keys_only=True))
        own = records_of(answer.parts[0])
        return answer if any(kv.create_revision == self.revision for kv in own) else None

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
        self._behalf.in_background(self._delete, "a place given up")

    async def _delete(self) -> None:
        """A key left behind would hold up the queue for as long as its lease is kept alive."""
        own = Txn((still_created_at(self.key, self.revision),), (DeleteRange(self.key),))
        await self._behalf.take_back(own)
