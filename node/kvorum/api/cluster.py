"""etcdserverpb.Cluster: who is in the cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvorum_proto import etcdserverpb as pb
from kvorum_proto.wire import field_bytes, field_varint

from kvorum.api.guards import Who
from kvorum.api.headers import Headers
from kvorum.machine.members import Member

if TYPE_CHECKING:
    from kvorum.server.runtime import Node


class Cluster:
    """The member table."""

    service = "etcdserverpb.Cluster"

    def __init__(self, node: Node, headers: Headers) -> None:
        self._node = node
        self._headers = headers
        self.unary = {"MemberList": self.member_list}

    async def member_list(self, request: pb.MemberListRequest, who: Who) -> bytes:
        """All members by id; headers of this service carry no revision (semantics page, section
        0.1)."""
        if request.linearizable:
            await self._node.barrier()
        members = sorted(self._node.members(), key=lambda member: member.id)
        return self._headers.field(0, self._node.term) + b"".join(
            field_bytes(2, member_bytes(member)) for member in members
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
