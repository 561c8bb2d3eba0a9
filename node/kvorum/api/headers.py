"""The ResponseHeader every answer opens with: as bytes, or as a message for the rarer ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvorum_proto.etcdserverpb import ResponseHeader
from kvorum_proto.wire import field_bytes, field_varint

if TYPE_CHECKING:
    from kvorum.server.runtime import Node


class Headers:
    """Encodes headers of one member; the newest is remembered, because answers come in bursts of
    one revision."""

    def __init__(self, cluster_id: int, member_id: int) -> None:
        self._ids = field_varint(1, cluster_id) + field_varint(2, member_id)
        self._last_key = (-1, -1)
        self._last = b""

    def field(self, revision: int, term: int) -> bytes:
        """Field 1 of a response: the header with this revision (0 is left out, as on the wire) and
        term."""
        key = (revision, term)
        if key != self._last_key:
            body = self._ids + field_varint(3, revision) + field_varint(4, term)
            self._last = field_bytes(1, body)
            self._last_key = key
        return self._last


def header_of(node: Node) -> ResponseHeader:
    """The header of a node at this moment."""
    return ResponseHeader(
        cluster_id=node.cluster_id,
        member_id=node.member_id,
        revision=node.machine.revision,
        raft_term=node.term,
    )
