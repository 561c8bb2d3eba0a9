"""A lock that at most one holder has at a time.

::

    async with client.lock("/locks/report", ttl_s=10) as lock:
        await client.txn().if_(lock.owned).then(Put("report", "...")).commit()

A holder that is cut off or paused may not notice at once that its lease has run out. Whatever it
writes must therefore be fenced: by the condition ``lock.owned`` inside a transaction, or by
``lock.token`` where the thing protected lies outside the store (it grows with every holder;
refuse what carries a smaller one).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from kvorum.client.errors import ClientError
from kvorum.client.lease import Lease
from kvorum.client.ops import Compare
from kvorum.client.queueing import OwnershipLost, Place
from kvorum.client.types import Key, to_bytes
from kvorum.errors import Code

if TYPE_CHECKING:
    from kvorum.client.session import Session


class LockNotAcquired(ClientError):
    """Somebody else holds the lock, and it was not to be waited for any longer."""


class Lock:
    """A lock to be entered with ``async with``. Its lease is kept alive while it is held and
    revoked afterwards.

    ``wait_s``: how long to wait for it (None: as long as it takes; 0: not at all).
    """

    def __init__(
        self, session: Session, name: Key, *, ttl_s: int, wait_s: float | None, value: Key = b""
    ) -> None:
        self._session = session
        self._name = to_bytes(name)
        self._wait_s = wait_s
        self._value = to_bytes(value)
        self._lease = Lease(session.leases, session.lease_stream, ttl_s)
        self._place: Place | None = None

    async def __aenter__(self) -> Self:
        await self.acquire()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.release()

    async def acquire(self) -> None:
        """Get the lock. Raises :class:`LockNotAcquired`, :class:`OwnershipLost` or another
        ``ClientError``.
        """
        await self._lease.start()
        place = Place(self._session, self._name, self._lease)
        try:
            await place.take(self._value)
            if self._wait_s == 0:
                if not await place.is_first():
                    raise self._not_acquired("is held by another")
            else:
                async with asyncio.timeout(self._wait_s):
                    await place.wait_first()
        except TimeoutError:
            await self._lease.stop()
            raise self._not_acquired(f"was not free within {self._wait_s} s") from None
        except BaseException:
            await self._lease.stop()  # Takes the place in the queue with it.
            raise
        self._place = place

    def _not_acquired(self, why: str) -> LockNotAcquired:
        name = self._name.decode(errors="replace")
        return LockNotAcquired(f"the lock {name} {why}", code=Code.FAILED_PRECONDITION)

    async def release(self) -> None:
        """Give the lock back. Out of reach of the cluster, it comes free when the lease expires."""
        await self._lease.stop()

    @property
    def _held(self) -> Place:
        if self._place is None:
            raise RuntimeError("the lock is not held: enter it with `async with`")
        return self._place

    @property
    def key(self) -> bytes:
        """The key that stands for this holder."""
        return self._held.key

    @property
    def token(self) -> int:
        """The fencing token: larger for each holder after this one."""
        return self._held.revision

    @property
    def owned(self) -> Compare:
        """A condition for transactions: the lock is still held."""
        return self._held.owned

    @property
    def lost(self) -> asyncio.Event:
        """Set when the lock can no longer be relied on."""
        return self._lease.lost


__all__ = ["Lock", "LockNotAcquired", "OwnershipLost"]
