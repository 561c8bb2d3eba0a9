"""What a drill does to processes: kill, pause, start, damage their files; each seen to bite.

A paused process has a watchdog beside it that lets it go on after its time, so that no crash of the
drill leaves it standing.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable, Sequence

from kvorum.cluster.rundir import ClusterError
from kvorum.cluster.supervisor import NodeView, Supervisor
from kvorum.drill.damage import flip_a_bit
from kvorum.drill.stage import Fault, StageError

NOT_OURS = "this cluster's processes are not the drill's; leave --endpoints away"
_WATCHDOG_LATE_S = 1.0
_LOOK_S = 0.02
_DIES_S = 30.0  # A log is synced with the next write, or with the next tick that has news.


class Deeds:
    """The processes of one supervisor; None: they are somebody else's, and nothing is done.
    ``anew``: told who was started or woken up.
    """

    def __init__(
        self, supervisor: Supervisor | None, anew: Callable[[Sequence[str]], None]
    ) -> None:
        self._supervisor = supervisor
        self._anew = anew
        self._watchdogs: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def ours(self) -> bool:
        """Whether anything can be done."""
        return self._supervisor is not None

    def states(self) -> dict[str, str] | None:
        """running, paused or dead, by name; None where the processes are somebody else's."""
        if self._supervisor is None:
            return None
        if self._supervisor.state is None:
            return {}
        states = self._supervisor.states()
        return {name: "dead" if state == "removed" else state for name, state in states.items()}

    def state(self, name: str) -> str:
        """One process's; dead when there is none of that name."""
        states = self.states()
        return "running" if states is None else states.get(name, "dead")

    async def view(self, name: str) -> NodeView:
        """What the supervisor knows of one. Raises StageError."""
        if self._supervisor is None:
            raise StageError(NOT_OURS)
        # In a thread: the supervisor does one thing at a time, and the event loop, where clients
        # and proxies live, may not wait for it.
        for view in await asyncio.to_thread(self._supervisor.nodes):
            if view.name == name:
                return view
        raise StageError(f"{name} is no process of this drill")

    async def kill(self, names: Sequence[str]) -> str:
        """SIGKILL; the proof is that they are dead."""
        for name in names:
            await self._do("kill", name)
        alive = [name for name in names if self.state(name) != "dead"]
        if alive:
            raise StageError(f"{' and '.join(alive)} lives on after SIGKILL")
        return f"{' and '.join(names)} dead"

    async def ended(self, names: Sequence[str]) -> str:
        """Wait until they have ended by themselves; the proof is how. Raises StageError when they
        live on.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + _DIES_S
        while alive := [name for name in names if self.state(name) != "dead"]:
            if loop.time() > end:
                raise StageError(f"{' and '.join(alive)} lives on after {_DIES_S:g} s")
            await asyncio.sleep(_LOOK_S)
        return ", ".join([f"{name} {(await self.view(name)).ending}" for name in names])

    async def pause(self, fault: Fault) -> str:
        """SIGSTOP, with a watchdog each; the proof is that they stand still."""
        for name in fault.names:
            pid = (await self.view(name)).pid
            await self._do("pause", name)
            self._watchdogs[name] = _watchdog(pid, fault.step.for_s + _WATCHDOG_LATE_S)
        moving = [name for name in fault.names if self.state(name) != "paused"]
        if moving:
            raise StageError(f"{' and '.join(moving)} did not stop at SIGSTOP")
        return f"{' and '.join(fault.names)} stopped"

    async def resume(self, name: str) -> None:
        """SIGCONT, and no watchdog any more."""
        watchdog = self._watchdogs.pop(name, None)
        if watchdog is not None:
            watchdog.kill()
            watchdog.wait()
        if self.state(name) == "paused":
            await self._do("resume", name)
            self._anew([name])

    async def resume_all(self) -> None:
        """Nobody stands still any more."""
        for name in list(self._watchdogs):
            await self.resume(name)

    async def restart(self, names: Sequence[str]) -> str:
        """Start them; one that runs is ended first."""
        for name in names:
            await self._start(name)
        return f"{' and '.join(names)} started again"

    async def start_dead(self, names: Sequence[str]) -> None:
        """Start those of them that do not run."""
        for name in names:
            if self.ours and self.state(name) == "dead":
                await self._start(name)

    async def corrupt(self, names: Sequence[str]) -> str:
        """Flip a bit in each one's log; they must be dead."""
        told = []
        for name in names:
            view = await self.view(name)
            if self.state(name) != "dead":
                raise StageError(f"{name} runs; kill it first")
            flipped = await asyncio.to_thread(flip_a_bit, view.data_dir / "member" / "wal")
            told.append(f"{name}: {flipped}")
        return "; ".join(told)

    async def _start(self, name: str) -> None:
        await self._do("restart", name)
        self._anew([name])

    async def _do(self, deed: str, name: str) -> None:
        if self._supervisor is None:
            raise StageError(NOT_OURS)
        try:
            await asyncio.to_thread(getattr(self._supervisor, deed), name)
        except ClusterError as error:
            raise StageError(str(error)) from error


def _watchdog(pid: int, after_s: float) -> subprocess.Popen[bytes]:
    """A process of its own that lets ``pid`` go on, also when the drill is no more."""
    return subprocess.Popen(
        ["sh", "-c", f"sleep {after_s:.2f}; kill -CONT {pid}"],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
