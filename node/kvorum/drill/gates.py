"""Faults that kvorum's own members inflict on themselves, through their faults service.

Each is given its duration, so that the member lifts it even if the drill is gone; each is looked
for in the member's own list right after, which is the proof that it bites.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from kvorum_proto.kvorum import v1

from kvorum.client import Client
from kvorum.client.errors import ClientError, ConnectError, UnknownOutcome
from kvorum.client.faults import Fault as NodeFault
from kvorum.drill.scenario import Step
from kvorum.drill.stage import Fault, StageError

_PPM = 1_000_000
_NO_ROOM = "wal_write_before=raise(ENOSPC)"
_BAD_DISK = "wal_sync_before=raise(EIO)"
_DEADLY_MS = 30_000  # Should the log rest for so long, the fault is over before it bites.

# Whose gate, and what it is given; several where any of them will do.
_Parts = tuple[tuple[str, NodeFault], ...]


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
        try:
            for parts in self._parts(fault):
                given.append(await self._give(parts, duration_ms))
        except StageError:
            await self.lift(fault)
            raise
        names = sorted({name for name, _ in given})
        return f"{len(given)} faults in force at {', '.join(names)}"

    async def _give(self, parts: _Parts, duration_ms: int) -> tuple[str, int]:
        """Give a fault to the first member that can take it; returns whom, and the fault's id."""
        refused = ""
        for name, wanted in parts:
            faults = self._client.member(self._urls()[name]).faults
            try:
                id_ = await faults.inject(wanted, duration_ms=duration_ms)
                active = await faults.list()
            except ConnectError as error:
                refused = refused or f"{name} does not take the fault: {error}"
                continue  # Dead or booting: the other end of a link can bend it as well.
            except ClientError as error:
                raise StageError(f"{name} does not take the fault: {error}") from error
            if all(state.id != id_ for state in active):
                raise StageError(f"{name} took the fault {id_} and does not list it")
            return name, id_
        raise StageError(refused)

    async def inject_deadly(self, fault: Fault) -> None:
        """Give every member a fault that ends its process, maybe before it has said that it took
        it: the proof is the end. Raises StageError when one refuses.
        """
        for name in fault.names:
            faults = self._client.member(self._urls()[name]).faults
            try:
                await faults.inject(_of_node(fault.step), duration_ms=_DEADLY_MS)
            except (ConnectError, UnknownOutcome):
                continue
            except ClientError as error:
                raise StageError(f"{name} does not take the fault: {error}") from error

    def _parts(self, fault: Fault) -> Iterator[_Parts]:
        """For each link or node: (whose gate, what), the second where the first is out of reach. A
        link is bent where it begins, or else where it ends.
        """
        ids = self._ids()
        for one, other in fault.links:
            yield (
                (one, _link(fault.step, ids[other], v1.Direction.OUTBOUND)),
                (other, _link(fault.step, ids[one], v1.Direction.INBOUND)),
            )
        if not fault.links:
            yield from (((name, _of_node(fault.step)),) for name in fault.names)

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


def _link(step: Step, peer: int, direction: v1.Direction) -> v1.LinkFault:
    bent = v1.LinkFault(peer=peer, direction=direction)
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
        case "disk_full":
            return v1.FailpointFault(terms=_NO_ROOM)
        case "fail_fsync":
            return v1.FailpointFault(terms=_BAD_DISK)
        case "stall":
            return v1.FailpointFault(terms=f"reply_before=delay({step.ms})")
        case "slow_history":
            return v1.FailpointFault(terms=f"history_commit_before=delay({step.ms})")
    raise StageError(f"a fault gate has no {step.do}")
