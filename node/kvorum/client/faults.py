"""Faults that a kvorum member inflicts on itself, for drills.

Messages are those of ``kvorum_proto.kvorum.v1``. A member without ``--enable-faults``, and any
real etcd, raises ``Unsupported`` or ``PermissionDeniedError``.
"""

from __future__ import annotations

from kvorum_proto.kvorum import v1

from kvorum.client.caller import Caller
from kvorum.client.methods import method

_INJECT = method("/kvorum.v1.Faults/Inject")
_LIFT = method("/kvorum.v1.Faults/Lift")
_LIST = method("/kvorum.v1.Faults/List")

Fault = v1.LinkFault | v1.PauseFault | v1.SlowFsyncFault | v1.ClockFault | v1.FailpointFault


class Faults:
    """The fault calls of one member. Each raises a :class:`kvorum.client.errors.ClientError`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def inject(self, fault: Fault, *, duration_ms: int) -> int:
        """Begin a fault that ends by itself after ``duration_ms``. Returns its id."""
        request = v1.InjectRequest(duration_ms=duration_ms)
        match fault:
            case v1.LinkFault():
                request.link = fault
            case v1.PauseFault():
                request.pause = fault
            case v1.SlowFsyncFault():
                request.slow_fsync = fault
            case v1.ClockFault():
                request.clock = fault
            case v1.FailpointFault():
                request.failpoint = fault
        return (await self._caller.call(_INJECT, request, v1.InjectResponse)).id

    async def lift(self, id: int = 0) -> int:
        """End one fault, or with 0 all of them. Returns how many were ended."""
        return (await self._caller.call(_LIFT, v1.LiftRequest(id=id), v1.LiftResponse)).lifted

    async def list(self) -> tuple[v1.FaultState, ...]:
        """The faults that are active."""
        reply = await self._caller.call(_LIST, v1.ListFaultsRequest(), v1.ListFaultsResponse)
        return tuple(reply.faults)
