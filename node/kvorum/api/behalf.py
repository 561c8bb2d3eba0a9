"""What services that are built on others ask of the node in a caller's name.

Lock and Election are recipes on keys, leases and watches. Whatever they read and write here is
checked as if the caller had sent it, at the moment it is sent: a caller that loses a permission
while it waits in a queue is refused at its next step.

Etcd serves the two services through a client of its own, which strips every status of its code:
:func:`plainly` has the same effect.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from grpclib.const import Status
from grpclib.exceptions import GRPCError

from kvorum.api.rules import Who, read_as
from kvorum.errors import Condition, KvorumError
from kvorum.limits import SERVICE_LEASE_TTL_S, TAKE_BACK_S
from kvorum.machine.auth import Caller
from kvorum.machine.commands import Command, LeaseGrant, Range, Txn
from kvorum.machine.events import Event
from kvorum.machine.results import DeleteResult, LeaseGrantResult, Response, TxnResult
from kvorum.replica.effects import Canceled, Created, Deliver, Events
from kvorum.replica.requests import WatchSpec

if TYPE_CHECKING:
    from kvorum.server.runtime import Node

log = logging.getLogger(__name__)

# These keep their codes: the first two are the caller's own doing, and at the third a client may
# turn to another member, as it does when the connection breaks.
_WITH_CODE = (Condition.DEADLINE_EXCEEDED, Condition.CANCELED, Condition.STOPPED)


@contextmanager
def plainly() -> Iterator[None]:
    """Refusals within leave as code 2 with etcd's plain text (contract page "errors", 2.6)."""
    try:
        yield
    except KvorumError as error:
        if error.condition in _WITH_CODE:
            raise
        raise unclassified(error.condition.message) from None


def unclassified(message: str) -> GRPCError:
    """An error of these services: code 2 and a text."""
    return GRPCError(Status.UNKNOWN, message)


class Answer(NamedTuple):
    """A transaction's outcome with what a response header says of it."""

    succeeded: bool
    parts: tuple[Response, ...]
    revision: int
    term: int


class Behalf:
    """The node, as one caller may use it."""

    def __init__(self, node: Node, who: Who) -> None:
        self._node = node
        self._who = who
        self._known: Caller | None = None

    async def transact(self, txn: Txn) -> Answer:
        """A transaction that may write. Raises KvorumError."""
        self._known = self._who()
        done = await self._node.propose(txn, self._known)
        return _answer(done.value, done.stamp.term)

    async def take_back(self, txn: Txn) -> None:
        """Undo what was done before, also after the token of the caller has ended meanwhile, and
        across elections. Raises KvorumError.
        """
        try:
            caller = self._who()
        except KvorumError:
            if self._known is None:
                raise
            caller = self._known
        await self._node.propose(txn, caller, timeout_s=TAKE_BACK_S)

    async def delete(self, command: Command) -> tuple[int, int]:
        """A deletion; revision and term for the header. Raises KvorumError."""
        done = await self._node.propose(command, self._who())
        assert isinstance(done.value, DeleteResult)
        return done.value.revision, done.stamp.term

    async def read(self, *queries: Range, linearizable: bool = True) -> Answer:
        """Several ranges at one revision. Raises KvorumError.

        Reading changes nothing, so that a change of leaders in its middle is no reason to fail: it
        is asked again, and each asking has a deadline.
        """
        txn = Txn((), queries)
        while True:
            try:
                done = await read_as(self._node, txn, self._who, linearizable=linearizable)
            except KvorumError as error:
                if error.condition is not Condition.LEADER_CHANGED:
                    raise
            else:
                return _answer(done.value, done.stamp.term)

    async def session(self, lease: int) -> int:
        """The lease to work with: the caller's own, kept alive once, or for 0 a new one that
        nobody keeps alive. Raises KvorumError.
        """
        if lease:
            self.in_background(lambda: self._renew(lease), "lease renewed for a service")
            return lease
        done = await self._node.propose(LeaseGrant(0, SERVICE_LEASE_TTL_S), self._who())
        assert isinstance(done.value, LeaseGrantResult)
        return done.value.id

    async def _renew(self, lease: int) -> None:
        """Whether there is such a lease, and whether the caller may use it, the transaction that
        follows will say.
        """
        machine = self._node.machine
        if machine.auth.check_lease_write(self._who(), machine.leases.get(lease)) is None:
            await self._node.lease_ask((lease,), renew=True)

    def in_background(self, work: Callable[[], Awaitable[object]], name: str) -> None:
        """Do something that nobody waits for, and whose refusal changes nothing but the log."""
        self._node.crash.spawn(self.quietly(work, name), name)

    async def quietly(self, work: Callable[[], Awaitable[object]], name: str) -> None:
        """Do something whose refusal changes nothing but the log."""
        try:
            await work()
        except KvorumError as error:
            log.info("%s: %s", name, error)

    async def events(
        self, key: bytes, range_end: bytes, start_revision: int, *, deletions_only: bool = False
    ) -> AsyncGenerator[tuple[Event, ...]]:
        """Events as they come, those of one message at a time; ends when a compaction has overtaken
        the watch. The keys must be readable to the caller, which a read before has shown.

        Raises KvorumError STOPPED when the node is about to stop: what is waited for is another
        client's doing, and may take for ever.
        """
        arrived: deque[Deliver] = deque()
        ready = asyncio.Event()

        def take(delivery: Deliver) -> None:
            arrived.append(delivery)
            ready.set()

        node = self._node
        watching = node.open_watch_stream(take)
        watching.create(WatchSpec(key, range_end, start_revision, no_put=deletions_only))
        stay = node.on_leave(ready.set)
        try:
            while True:
                if node.is_leaving:
                    raise KvorumError(Condition.STOPPED)
                await ready.wait()
                ready.clear()
                while arrived:
                    delivery = arrived.popleft()
                    for item in delivery.items:
                        if isinstance(item, Canceled):
                            return
                        if isinstance(item, Created):
                            assert not item.refused, item.refused
                        elif isinstance(item, Events):
                            yield item.events
                    watching.taken(delivery.size_bytes)
        finally:
            stay()
            watching.close()


def _answer(result: object, term: int) -> Answer:
    assert isinstance(result, TxnResult)
    return Answer(result.succeeded, result.responses, result.revision, term)
