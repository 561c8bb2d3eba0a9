"""The members of a cluster: who they are, how each of them is, and changing them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvorum_proto import etcdserverpb as pb

from kvorum.client.caller import Caller
from kvorum.client.endpoints import parse_endpoint
from kvorum.client.errors import ClientError
from kvorum.client.maintenance import HashKV, MemberStatus
from kvorum.client.methods import method
from kvorum.client.types import Header, header_of
from kvorum.errors import Code, Condition, ConfigError

if TYPE_CHECKING:
    from kvorum.client.client import Client

_LIST = method("/etcdserverpb.Cluster/MemberList")
_ADD = method("/etcdserverpb.Cluster/MemberAdd")
_REMOVE = method("/etcdserverpb.Cluster/MemberRemove")
_UPDATE = method("/etcdserverpb.Cluster/MemberUpdate")
_PROMOTE = method("/etcdserverpb.Cluster/MemberPromote")


@dataclass(frozen=True, slots=True)
class Member:
    """One entry of the member table. A member that never started has neither name nor client
    URLs.
    """

    id: int
    name: str
    peer_urls: tuple[str, ...]
    client_urls: tuple[str, ...]
    is_learner: bool

    @property
    def started(self) -> bool:
        """Whether it has ever joined."""
        return bool(self.name)


@dataclass(frozen=True, slots=True)
class Members:
    """The member table, as the answering member has it."""

    header: Header
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class MemberRow:
    """One member as seen from here: its status, or why there is none.

    ``member`` is None when no member table could be read or it does not hold the member behind
    the endpoint.
    """

    endpoint: str
    member: Member | None
    status: MemberStatus | None
    error: ClientError | None


class Cluster:
    """The calls about members. Each raises a :class:`kvorum.client.errors.ClientError`."""

    def __init__(self, client: Client, caller: Caller) -> None:
        self._client = client
        self._caller = caller

    async def members(
        self, *, linearizable: bool = True, timeout_s: float | None = None
    ) -> Members:
        """The member table; ``linearizable=False`` takes one member's word for it and needs no
        quorum.
        """
        request = pb.MemberListRequest(linearizable=linearizable)
        reply = await self._caller.call(_LIST, request, pb.MemberListResponse, timeout_s=timeout_s)
        return _members(reply.header, reply.members)

    async def add(
        self, peer_urls: Sequence[str], *, learner: bool = False
    ) -> tuple[Member, Members]:
        """Add a member, which then has to be started. Returns it and the new table."""
        request = pb.MemberAddRequest(peer_urls=list(peer_urls), is_learner=learner)
        reply = await self._caller.call(_ADD, request, pb.MemberAddResponse)
        assert reply.member is not None
        return _member(reply.member), _members(reply.header, reply.members)

    async def remove(self, id: int) -> Members:
        """Remove a member for good."""
        request = pb.MemberRemoveRequest(id=id)
        reply = await self._caller.call(_REMOVE, request, pb.MemberRemoveResponse)
        return _members(reply.header, reply.members)

    async def update(self, id: int, peer_urls: Sequence[str]) -> Members:
        """Give a member other peer URLs."""
        request = pb.MemberUpdateRequest(id=id, peer_urls=list(peer_urls))
        reply = await self._caller.call(_UPDATE, request, pb.MemberUpdateResponse)
        return _members(reply.header, reply.members)

    async def promote(self, id: int) -> Members:
        """Make a learner that has caught up a voter."""
        request = pb.MemberPromoteRequest(id=id)
        reply = await self._caller.call(_PROMOTE, request, pb.MemberPromoteResponse)
        return _members(reply.header, reply.members)

    async def statuses(self, *, timeout_s: float = 2.0) -> tuple[MemberRow, ...]:
        """Every member at once, each with its own time limit; none holds up the others.

        Asked are the client's endpoints, and the client URLs of members that none of them led
        to. A member that does not answer stays as a row with its error.
        """
        asked = await asyncio.gather(
            *(self._row(endpoint, timeout_s) for endpoint in self._client.endpoints)
        )
        table = await self._table(asked, timeout_s)
        seen = {row.status.member_id for row in asked if row.status is not None}
        tried = set(self._client.endpoints)
        missing = [
            (member, endpoint)
            for member in table.values()
            if member.id not in seen and (endpoint := _first_new(member, tried))
        ]
        more = await asyncio.gather(*(self._row(endpoint, timeout_s) for _, endpoint in missing))
        by_url = {url: member for member in table.values() for url in _urls(member)}
        rows = []
        for row in (*asked, *more):
            member = table.get(row.status.member_id) if row.status else by_url.get(row.endpoint)
            rows.append(MemberRow(row.endpoint, member, row.status, row.error))
        return tuple(rows)

    async def _row(self, endpoint: str, timeout_s: float) -> MemberRow:
        try:
            status = await self._client.member(endpoint).maintenance.status(timeout_s=timeout_s)
        except ClientError as error:
            return MemberRow(endpoint, None, None, error)
        return MemberRow(endpoint, None, status, None)

    async def _table(self, rows: Sequence[MemberRow], timeout_s: float) -> dict[int, Member]:
        """The member table from any member that answered; empty when none gives it."""
        for row in rows:
            if row.status is None or row.status.is_learner:
                continue
            cluster = Cluster(self._client, self._client.member(row.endpoint)._caller)
            try:
                found = await cluster.members(linearizable=False, timeout_s=timeout_s)
            except ClientError:
                continue  # The status rows stand without it; a user may not be allowed to see it.
            return {member.id: member for member in found.members}
        return {}

    async def move_leader(self, target_id: int, *, timeout_s: float = 10.0) -> None:
        """Find the leader and let it hand over to ``target_id``.

        Raises ``ClientError`` with etcd's "not leader" when no member that answers leads.
        """
        for row in await self.statuses():
            if row.status is not None and row.status.is_leader:
                maintenance = self._client.member(row.endpoint).maintenance
                await maintenance.move_leader(target_id, timeout_s=timeout_s)
                return
        raise ClientError(Condition.NOT_LEADER.message, code=Code.FAILED_PRECONDITION)

    async def hashes(
        self, revision: int = 0, *, timeout_s: float = 10.0
    ) -> dict[str, HashKV | ClientError]:
        """Every endpoint's hash at one revision; 0 takes the newest of the member that is
        furthest behind.
        """
        rows = [row for row in await self.statuses() if row.status is not None]
        if revision == 0 and rows:
            revision = min(row.status.header.revision for row in rows if row.status is not None)
        endpoints = [row.endpoint for row in rows]
        answers = await asyncio.gather(
            *(
                self._client.member(endpoint).maintenance.hash_kv(revision, timeout_s=timeout_s)
                for endpoint in endpoints
            ),
            return_exceptions=True,
        )
        found: dict[str, HashKV | ClientError] = {}
        for endpoint, answer in zip(endpoints, answers, strict=True):
            if isinstance(answer, BaseException) and not isinstance(answer, ClientError):
                raise answer
            found[endpoint] = answer
        return found

    async def sync(self) -> tuple[str, ...]:
        """Take the started voters' client URLs for the client's endpoints. Returns them.

        The present endpoints stay when the table holds no URL that can be used.
        """
        found = await self.members()
        urls = [
            url
            for member in found.members
            if member.started and not member.is_learner
            for url in _urls(member)
        ]
        if urls:
            self._caller.picker.replace([parse_endpoint(url) for url in urls])
        return self._client.endpoints


def _urls(member: Member) -> list[str]:
    """Its client URLs that can be used, in the client's own spelling."""
    urls = []
    for url in member.client_urls:
        try:
            urls.append(str(parse_endpoint(url)))
        except ConfigError:
            continue  # Members may advertise what this client cannot speak.
    return urls


def _first_new(member: Member, tried: set[str]) -> str:
    return next((url for url in _urls(member) if url not in tried), "")


def _member(message: pb.Member) -> Member:
    return Member(
        message.id,
        message.name,
        tuple(message.peer_urls),
        tuple(message.client_urls),
        message.is_learner,
    )


def _members(header: pb.ResponseHeader | None, members: Sequence[pb.Member]) -> Members:
    return Members(header_of(header), tuple(_member(member) for member in members))
