"""v3lockpb.Lock: a lock that the server waits for (semantics page, section 11)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvorum_proto import v3lockpb as pb
from kvorum_proto.wire import field_bytes

from kvorum.api.behalf import Behalf, plainly, unclassified
from kvorum.api.guards import Who
from kvorum.api.headers import Headers
from kvorum.api.queueing import Place
from kvorum.machine.commands import DeleteRange

if TYPE_CHECKING:
    from kvorum.server.runtime import Node

_SESSION_EXPIRED = "mutex: session is expired"


class Lock:
    """Locks by name; whoever holds one is known by its lease."""

    service = "v3lockpb.Lock"

    def __init__(self, node: Node, headers: Headers) -> None:
        self._node = node
        self._headers = headers
        self.unary = {"Lock": self.lock, "Unlock": self.unlock}

    async def lock(self, request: pb.LockRequest, who: Who) -> bytes:
        """Wait for the lock, for as long as the client does; the answer's key stands for holding
        it.
        """
        with plainly():
            behalf = Behalf(self._node, who)
            place = Place(behalf, request.name, await behalf.session(request.lease))
            held = await place.wait_first(await place.take(b""))
            if held is None:
                raise unclassified(_SESSION_EXPIRED)
            return self._headers.field(held.revision, held.term) + field_bytes(2, place.key)

    async def unlock(self, request: pb.UnlockRequest, who: Who) -> bytes:
        """Delete the key, whoever put it there."""
        with plainly():
            revision, term = await Behalf(self._node, who).delete(DeleteRange(request.key))
            return self._headers.field(revision, term)
