"""kvorum.v1.Faults: the node's fault gate, for drills. Only where ``--enable-faults`` was given,
only from loopback."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvorum_proto.kvorum import v1

if TYPE_CHECKING:
    from kvorum.api.guards import Who
    from kvorum.server.runtime import Node


class Faults:
    """Inject, lift and list faults of this node."""

    service = "kvorum.v1.Faults"

    def __init__(self, node: Node) -> None:
        self._gate = node.faults
        self.unary = {"Inject": self.inject, "Lift": self.lift, "List": self.list}

    async def inject(self, request: v1.InjectRequest, who: Who) -> v1.InjectResponse:
        """Begin a fault that ends by itself after ``duration_ms``."""
        return v1.InjectResponse(id=self._gate.inject(request))

    async def lift(self, request: v1.LiftRequest, who: Who) -> v1.LiftResponse:
        """End one fault, or all."""
        return v1.LiftResponse(lifted=self._gate.lift(request.id))

    async def list(self, request: v1.ListFaultsRequest, who: Who) -> v1.ListFaultsResponse:
        """What is broken on purpose right now, and for how long."""
        return v1.ListFaultsResponse(
            faults=[
                v1.FaultState(id=fault_id, fault=fault, remaining_ms=remaining_ms)
                for fault_id, fault, remaining_ms in self._gate.list()
            ]
        )
