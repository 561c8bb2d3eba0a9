"""What a lock and an election share: a queue of keys under one name, each tied to a lease.

Whoever wants in creates ``<name>/<lease id in hex>`` with its lease; the key with the smallest
create revision is the owner, the others wait for the one just before them to go. The layout is
that of etcd's own Go client, so that both can be used on the same name.

Taking a place can be repeated: the key belongs to one lease only, and is created once or found
again.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from kvorum.client.errors import ClientError, UnknownOutcome
from kvorum.client.lease import Lease
from kvorum.client.ops import Compare, Delete, Get, Key, Put
from kvorum.client.types import PutResult, RangeResult
from kvorum.errors import Code

if TYPE_CHECKING:
    from kvorum.client.session import Session

_TRIES = 5  # A transaction of unknown fate is repeated over an election, not for ever.


class OwnershipLost(ClientError):
    """The lease behind a lock or a leadership is gone, or can no longer be relied on."""


class Place:
    """A place in the queue of ``name``. ``revision`` orders the places and is the owner's
    fencing token.
    """

    def __init__(self, session: Session, name: bytes, lease: Lease) -> None:
        self._session = session
        self._lease = lease
        self._prefix = name + b"/"
        self.key = self._prefix + f"{lease.id:x}".encode()
        self.revision = 0

    @property
    def owned(self) -> Compare:
        """A condition for transactions: this place is still ours."""
        return Key(self.key).create_revision == self.revision

    async def take(self, value: bytes) -> None:
        """Create the key, or find it if an earlier try has created it."""
        for left in reversed(range(_TRIES)):
            try:
                done = await (
                    self._session.txn()
                    .if_(Key(self.key).missing())
                    .then(Put(self.key, value, lease=self._lease.id))
                    .else_(Get(self.key))
                    .commit()
                )
            except UnknownOutcome:
                if left == 0 or self._lease.lost.is_set():
                    raise
                continue
            answer = done.responses[0]
            if isinstance(answer, PutResult):
                self.revision = done.header.revision
            elif isinstance(answer, RangeResult):
                self.revision = answer.kvs[0].create_revision
            return

    async def is_first(self) -> bool:
        """Whether nobody is before this place."""
        return await self._before() is None

    async def wait_first(self) -> None:
        """Wait until this is the oldest place. Raises :class:`OwnershipLost` when the lease goes
        meanwhile.
        """
        while (before := await self._before()) is not None:
            await self._gone(*before)
        mine = await self._session.get(self.key)
        if mine.kv is None or mine.kv.create_revision != self.revision:
            raise self.lost_error("its key is gone")

    async def _before(self) -> tuple[bytes, int] | None:
        """The place just before this one, and the revision at which it was there."""
        found = await self._session.range(
            self._prefix,
            prefix=True,
            sort_by="create",
            sort_order="descend",
            limit=1,
            max_create_revision=self.revision - 1,
            keys_only=True,
        )
        return (found.kvs[0].key, found.header.revision) if found.kvs else None

    async def _gone(self, key: bytes, seen_at: int) -> None:
        async def deleted() -> None:
            watch = self._session.watch(key, start_revision=seen_at + 1, no_put=True)
            async with watch:
                async for _ in watch:
                    return

        waiting = asyncio.create_task(deleted())
        losing = asyncio.create_task(self._lease.lost.wait())
        try:
            await asyncio.wait([waiting, losing], return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                waiting.result()
            elif losing.done():
                raise self.lost_error(self._lease.reason)
        finally:
            for task in (waiting, losing):
                task.cancel()
            await asyncio.wait([waiting, losing])

    def lost_error(self, reason: str) -> OwnershipLost:
        """The exception that says why the place is lost."""
        text = f"{self._prefix.decode(errors='replace')}: {reason}"
        return OwnershipLost(text, code=Code.FAILED_PRECONDITION)

    async def leave(self) -> None:
        """Delete the key if it is still ours. Can be repeated, so a try of unknown fate is."""
        for left in reversed(range(_TRIES)):
            try:
                await self._session.txn().if_(self.owned).then(Delete(self.key)).commit()
            except UnknownOutcome:
                if left == 0:
                    raise
                continue
            return
