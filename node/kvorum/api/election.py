"""v3electionpb.Election: leaders by name, and who follows them (semantics page, section 11)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

from kvorum_proto import v3electionpb as pb
from kvorum_proto.wire import field_bytes, field_varint

from kvorum.api.behalf import Answer, Behalf, plainly, unclassified
from kvorum.api.guards import ServerStream, Who
from kvorum.api.headers import Headers
from kvorum.api.queueing import Place, oldest_of, records_of, still_created_at
from kvorum.errors import KvorumError
from kvorum.machine.commands import DeleteRange, Put, Txn
from kvorum.machine.events import DELETE, PUT, Event
from kvorum.machine.record import parse
from kvorum.machine.results import RangeResult

if TYPE_CHECKING:
    from kvorum.server.runtime import Node

_NOT_LEADER = "election: not leader"
_NO_LEADER = "election: no leader"
_NO_LEADER_GIVEN = '"leader" field must be provided'


class Election:
    """Elections by name; a leader is whose key is the oldest under it."""

    service = "v3electionpb.Election"

    def __init__(self, node: Node, headers: Headers) -> None:
        self._node = node
        self._headers = headers
        self.unary = {
            "Campaign": self.campaign,
            "Proclaim": self.proclaim,
            "Leader": self.leader,
            "Resign": self.resign,
        }
        self.streams = {"Observe": self.observe}

    async def campaign(self, request: pb.CampaignRequest, who: Who) -> bytes:
        """Wait to be elected; the header is that of the first step, as in etcd."""
        with plainly():
            behalf = Behalf(self._node, who)
            lease = await behalf.session(request.lease)
            place = Place(behalf, request.name, lease)
            answer = await place.take(request.value)
            if not answer.succeeded:
                await self._restate(behalf, place, answer, request.value, lease)
            if await place.wait_first(answer) is None:
                # etcd would say "elected" to a candidate that is no longer there.
                raise unclassified(_NOT_LEADER)
            key = (
                field_bytes(1, request.name)
                + field_bytes(2, place.key)
                + field_varint(3, place.revision)
                + field_varint(4, lease)
            )
            return self._headers.field(answer.revision, answer.term) + field_bytes(2, key)

    async def _restate(
        self, behalf: Behalf, place: Place, answer: Answer, value: bytes, lease: int
    ) -> None:
        """A candidate that was there already says another thing now."""
        if records_of(answer.parts[0])[0].value == value:
            return
        try:
            await self._proclaim(behalf, place.key, place.revision, value, lease)
        except KvorumError:
            place.give_up()
            raise

    async def proclaim(self, request: pb.ProclaimRequest, who: Who) -> bytes:
        """A leader's new value."""
        leader = request.leader
        if leader is None:
            raise unclassified(_NO_LEADER_GIVEN)
        with plainly():
            behalf = Behalf(self._node, who)
            lease = await behalf.session(leader.lease)
            answer = await self._proclaim(behalf, leader.key, leader.rev, request.value, lease)
            return self._headers.field(answer.revision, answer.term)

    async def _proclaim(
        self, behalf: Behalf, key: bytes, revision: int, value: bytes, lease: int
    ) -> Answer:
        statement = Txn((still_created_at(key, revision),), (Put(key, value, lease),))
        answer = await behalf.transact(statement)
        if not answer.succeeded:
            raise unclassified(_NOT_LEADER)
        return answer

    async def leader(self, request: pb.LeaderRequest, who: Who) -> bytes:
        """Who leads now."""
        with plainly():
            answer, frame = await self._first(Behalf(self._node, who), request.name)
            if not frame:
                raise unclassified(_NO_LEADER)
            return self._headers.field(answer.revision, answer.term) + frame

    async def _first(self, behalf: Behalf, name: bytes) -> tuple[Answer, bytes]:
        """The leader's key as field 2 of an answer, empty where nobody leads."""
        answer = await behalf.read(oldest_of(name))
        part = answer.parts[0]
        assert isinstance(part, RangeResult)
        return answer, part.frames[0] if part.frames else b""

    async def resign(self, request: pb.ResignRequest, who: Who) -> bytes:
        """Lead no longer. Whoever does not lead any more has resigned already."""
        leader = request.leader
        if leader is None:
            raise unclassified(_NO_LEADER_GIVEN)
        with plainly():
            own = Txn((still_created_at(leader.key, leader.rev),), (DeleteRange(leader.key),))
            answer = await Behalf(self._node, who).transact(own)
            return self._headers.field(answer.revision, answer.term)

    # --- observers --------------------------------------------------------------------------------

    async def observe(self, stream: ServerStream, who: Who) -> None:
        """The leader now, each of its values, and the next leader when it is gone; without a
        leader, the first that comes.
        """
        request = await stream.recv_message()
        if request is None:
            return
        with plainly():
            behalf = Behalf(self._node, who)
            told = (b"", 0)  # Key and revision of what was sent last.
            while True:
                answer, frame = await self._first(behalf, request.name)
                revision, term = answer.revision, answer.term
                if not frame:
                    found = await self._arrival(behalf, request.name, revision + 1)
                    if found is None:
                        continue
                    frame, revision, term = found.frame, found.revision, self._node.term
                record = parse(frame)
                if told != (record.key, record.mod_revision):
                    await self._tell(stream, frame, revision, term)
                    told = (record.key, record.mod_revision)
                values = _until_deleted(behalf, record.key, revision + 1)
                async with aclosing(values):
                    async for event in values:
                        await self._tell(stream, event.frame, event.revision, self._node.term)
                        told = (event.key, event.revision)

    async def _arrival(self, behalf: Behalf, name: bytes, revision: int) -> Event | None:
        """The first put under a name; None when it is necessary to look again."""
        queue = oldest_of(name)
        events = behalf.events(queue.key, queue.range_end, revision)
        async with aclosing(events):
            async for batch in events:
                for event in batch:
                    if event.kind == PUT:
                        return event
        return None

    async def _tell(self, stream: ServerStream, frame: bytes, revision: int, term: int) -> None:
        await stream.send_message(self._headers.field(revision, term) + frame)


async def _until_deleted(behalf: Behalf, key: bytes, revision: int) -> AsyncGenerator[Event]:
    """Puts to a key until it is deleted, or until it is necessary to look again."""
    events = behalf.events(key, b"", revision)
    async with aclosing(events):
        async for batch in events:
            for event in batch:
                if event.kind == DELETE:
                    return
                yield event
