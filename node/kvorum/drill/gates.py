"""Faults that kvorum's own members inflict on themselves, through their faults service.

Each is given its duration, so that the member lifts it even if the drill is gone; each is looked
for in the member's own list right after, which is the proof that it bites.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from kvorum_proto.kvorum import v1

from kvorum.client import Client
from kvorum.client.errors import ClientError
from kvorum.client.faults import Fault as NodeFault
from kvorum.drill.scenario import Step
from kvorum.drill.stage import Fault, StageError

_PPM = 1_000_000
_CALL_S = 3.0


class Gates:
    """The fault gates of all members.

    Args:
        client: asks them. urls, ids: by name, as they are now.
    """

    def __init__(
        self, client: Client, urls: Callable[[], dict[str, str]], ids: Callable[[], dict[str, int]]
    ) -> None:
        self._client = client
        self._urls = urls
        self._ids = ids
        self._given: dict[Fault, list[tuple[str, int]]] = {}

    async def inject(self, fault: Fault) -> str:
        """Give every member its part of a fault. Raises StageError when one does not take it."""
        given = self._given.setdefault(fault, [])
        duration_ms = max(1, int(fault.step.for_s * 1000))
        for name, wanted in self._parts(fault):
            faults = self._client.member(self._urls()[name]).faults
            try:
                id_ = await faults.inject(wanted, duration_ms=duration_ms)
                given.append((name, id_))
                active = await faults.list()
            except ClientError as error:
                await self.lift(fault)
                raise StageError(f"{name} does not take the fault: {error}") from error
            if all(state.id != id_ for state in active):
                raise StageError(f"{name} took the fault {id_} and does not list it")
        names = sorted({name for name, _ in given})
        return f"{len(given)} faults in force at {', '.join(names)}"

    def _parts(self, fault: Fault) -> Iterator[tuple[str, NodeFault]]:
        """(whose gate, what). A link is bent where it begins."""
        ids = self._ids()
        for one, other in fault.links:
            if other not in ids:
                raise StageError(f"the member id of {other} is not known yet")
            yield one, _link(fault.step, ids[other])
        if not fault.links:
            yield from ((name, _of_node(fault.step)) for name in fault.names)

    async def lift(self, fault: Fault) -> None:
        """End a fault early where it still is. A member out of reach ends it by itself."""
        for name, id_ in self._given.pop(fault, []):
            url = self._urls().get(name)
            if url is None:
                continue
            try:
                await self._client.member(url).faults.lift(id_)
            except ClientError:
                continue  # Dead or paused: its faults end with the process or by their own timer.

    async def lift_all(self) -> None:
        """End everything that was given."""
        for fault in list(self._given):
            await self.lift(fault)


def _link(step: Step, peer: int) -> v1.LinkFault:
    bent = v1.LinkFault(peer=peer, direction=v1.Direction.OUTBOUND)
    if step.do == "delay":
        bent.delay_ms, bent.jitter_ms = step.ms, step.jitter_ms
    elif step.do == "loss":
        bent.loss_ppm = int(step.percent / 100 * _PPM)
    return bent


def _of_node(step: Step) -> NodeFault:
    match step.do:
        case "pause":
            return v1.PauseFault()
        case "skew":
            return v1.ClockFault(rate_ppm=int(step.percent / 100 * _PPM))
        case "slow_fsync":
            return v1.SlowFsyncFault(delay_ms=step.ms)
    raise StageError(f"a fault gate has no {step.do}")
