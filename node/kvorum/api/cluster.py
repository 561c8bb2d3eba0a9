"""etcdserverpb.Cluster: who is in the cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from kvorum_proto import etcdserverpb as pb
from kvorum_proto.wire import field_bytes, field_varint

from kvorum.api import reconfig
from kvorum.api.guards import Who
from kvorum.api.headers import Headers
from kvorum.errors import Condition, KvorumError
from kvorum.machine.checks import normal_urls
from kvorum.machine.members import Member
from kvorum.machine.operations import (
    MemberAdd,
    MemberChange,
    MemberPromote,
    MemberRemove,
    MemberUpdate,
)
from kvorum.machine.results import MembersResult
from kvorum.server.identity import member_id

if TYPE_CHECKING:
    from kvorum.server.runtime import Node


class Cluster:
    """The member table, and its changes.

    A change waits for its quorum as long as the caller does (etcd sets no bound of its own), except
    the promotion of a learner. Headers of this service carry no revision (semantics page, section
    0.1).
    """

    service = "etcdserverpb.Cluster"

    def __init__(self, node: Node, headers: Headers) -> None:
        self._node = node
        self._headers = headers
        self.unary = {
            "MemberList": self.member_list,
            "MemberAdd": self.member_add,
            "MemberRemove": self.member_remove,
            "MemberUpdate": self.member_update,
            "MemberPromote": self.member_promote,
        }

    async def member_list(self, request: pb.MemberListRequest, who: Who) -> bytes:
        """All members by id; linearizable if the caller wants that."""
        if request.linearizable:
            await self._node.barrier()
        return self._answer(self._node.members())

    async def member_add(self, request: pb.MemberAddRequest, who: Who) -> bytes:
        """Add a voter or a learner, which then has to be started."""
        node = self._node
        urls = normal_urls(tuple(request.peer_urls))
        if not urls:
            raise KvorumError(Condition.MEMBER_BAD_URLS)
        learner = request.is_learner
        self._refuse(reconfig.refuse_add, learner=learner)
        id_ = member_id(urls, at_s=node.wall.now_ms() // 1000)
        added = Member(id_, "", urls, (), learner)
        change = MemberAdd(id_, urls, learner, node.config.max_learners)
        members = await self._change(change, who)
        return self._answer(members, field_bytes(2, member_bytes(added)), field=3)

    async def member_remove(self, request: pb.MemberRemoveRequest, who: Who) -> bytes:
        """Remove a member for good."""
        self._refuse(reconfig.refuse_remove, id_=request.id)
        return self._answer(await self._change(MemberRemove(request.id), who))

    async def member_update(self, request: pb.MemberUpdateRequest, who: Who) -> bytes:
        """Give a member other peer URLs."""
        urls = tuple(request.peer_urls)
        if not normal_urls(urls):
            raise KvorumError(Condition.MEMBER_BAD_URLS)
        return self._answer(await self._change(MemberUpdate(request.id, urls), who))

    async def member_promote(self, request: pb.MemberPromoteRequest, who: Who) -> bytes:
        """Make a learner that holds nearly all of the leader's log a voter."""
        node = self._node
        member = node.machine.members.get(request.id)
        if node.config.strict_reconfig and member is not None and member.is_learner:
            refused = reconfig.refuse_promote(node.members())
            if refused is not None:
                raise KvorumError(refused)
        timeout_s = node.config.request_timeout_s
        return self._answer(await self._change(MemberPromote(request.id), who, timeout_s))

    def _refuse(self, rule: Callable[..., Condition | None], **about: object) -> None:
        """KvorumError when strict checks are on and this one says so."""
        node = self._node
        if not node.config.strict_reconfig:
            return
        refused = rule(node.members(), node.member_id, node.peers.connected_s, **about)
        if refused is not None:
            raise KvorumError(refused)

    async def _change(
        self, change: MemberChange, who: Who, timeout_s: float | None = None
    ) -> tuple[Member, ...]:
        """The table right after the change."""
        done = await self._node.change_members(change, who(), timeout_s=timeout_s)
        assert isinstance(done.value, MembersResult)
        return done.value.members

    def _answer(self, members: Iterable[Member], between: bytes = b"", field: int = 2) -> bytes:
        """Header, what stands between, and the members by id in this field."""
        return b"".join(
            (
                self._headers.field(0, self._node.term),
                between,
                *[field_bytes(field, member_bytes(member)) for member in members],
            )
        )


def member_bytes(member: Member) -> bytes:
    """An etcdserverpb.Member."""
    return b"".join(
        (
            field_varint(1, member.id),
            field_bytes(2, member.name.encode()) if member.name else b"",
            *(field_bytes(3, url.encode()) for url in member.peer_urls),
            *(field_bytes(4, url.encode()) for url in member.client_urls),
            field_varint(5, int(member.is_learner)),
        )
    )
