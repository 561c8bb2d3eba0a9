"""The fault gate as the faults service sees it: the wire's values in, the wire's values out."""

from __future__ import annotations

from grpclib.const import Status
from grpclib.exceptions import GRPCError
from kvorum_proto.kvorum import v1

from kvorum.failpoints import parse
from kvorum.server.faults import (
    ClockFault,
    Direction,
    FailpointFault,
    Fault,
    FaultGate,
    LinkFault,
    PauseFault,
    SlowFsyncFault,
)

_DIRECTIONS = {
    v1.Direction.BOTH: Direction.BOTH,
    v1.Direction.INBOUND: Direction.INBOUND,
    v1.Direction.OUTBOUND: Direction.OUTBOUND,
}
_WIRE_DIRECTIONS = {direction: number for number, direction in _DIRECTIONS.items()}


class FaultDesk:
    """Stands before a gate."""

    def __init__(self, gate: FaultGate) -> None:
        self._gate = gate

    def inject(self, request: v1.InjectRequest) -> int:
        """Put a fault into force; returns its id. GRPCError INVALID_ARGUMENT for what cannot be."""
        try:
            return self._gate.inject(fault_of(request), request.duration_ms)
        except ValueError as exc:
            raise GRPCError(Status.INVALID_ARGUMENT, f"kvorum: {exc}") from None

    def lift(self, id_: int) -> int:
        """End one fault, or all for 0; returns how many ended."""
        return self._gate.lift(id_)

    def list(self) -> list[tuple[int, v1.InjectRequest, int]]:
        """The faults in force as (id, request, remaining milliseconds), oldest first."""
        return [
            (active.id, request_of(active.fault, active.remaining_ms), active.remaining_ms)
            for active in self._gate.list()
        ]


def fault_of(request: v1.InjectRequest) -> Fault:
    """The fault a request names. ValueError when it names none."""
    if request.link is not None:
        link = request.link
        direction = _DIRECTIONS.get(link.direction)
        if direction is None:
            raise ValueError(f"no such direction: {int(link.direction)}")
        return LinkFault(link.peer, direction, link.delay_ms, link.jitter_ms, link.loss_ppm)
    if request.pause is not None:
        return PauseFault()
    if request.slow_fsync is not None:
        return SlowFsyncFault(request.slow_fsync.delay_ms)
    if request.clock is not None:
        return ClockFault(request.clock.rate_ppm, request.clock.jump_ms)
    if request.failpoint is not None:
        terms = parse(request.failpoint.terms)
        if not terms:
            raise ValueError("the request names no failpoint")
        return FailpointFault(terms)
    raise ValueError("the request names no fault")


def request_of(fault: Fault, duration_ms: int) -> v1.InjectRequest:
    """The request that would inject this fault for so long."""
    if isinstance(fault, LinkFault):
        link = v1.LinkFault(
            peer=fault.peer,
            direction=_WIRE_DIRECTIONS[fault.direction],
            delay_ms=fault.delay_ms,
            jitter_ms=fault.jitter_ms,
            loss_ppm=fault.loss_ppm,
        )
        return v1.InjectRequest(duration_ms=duration_ms, link=link)
    if isinstance(fault, PauseFault):
        return v1.InjectRequest(duration_ms=duration_ms, pause=v1.PauseFault())
    if isinstance(fault, SlowFsyncFault):
        slow = v1.SlowFsyncFault(delay_ms=fault.delay_ms)
        return v1.InjectRequest(duration_ms=duration_ms, slow_fsync=slow)
    if isinstance(fault, FailpointFault):
        failpoint = v1.FailpointFault(terms=fault.text)
        return v1.InjectRequest(duration_ms=duration_ms, failpoint=failpoint)
    clock = v1.ClockFault(rate_ppm=fault.rate_ppm, jump_ms=fault.jump_ms)
    return v1.InjectRequest(duration_ms=duration_ms, clock=clock)
