"""The supervisor as the terminal's node control: the same deeds, as coroutines by member name.

The deeds block for milliseconds up to a node's stop time, so they run in a thread; what goes
wrong is an ``OSError``, as the terminal expects of whoever hands it a control.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from kvorum.cluster.rundir import ClusterError
from kvorum.cluster.supervisor import NodeView, Supervisor


class SupervisorControl:
    """Satisfies the terminal's ``NodeControl`` protocol for the nodes of one supervisor."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    async def nodes(self) -> list[str]:
        """The names of all nodes, running or not."""
        return [view.name for view in await self._views()]

    async def is_alive(self, name: str) -> bool:
        """Whether the node's process runs (a paused one does)."""
        return any(v.name == name and v.state in ("running", "paused") for v in await self._views())

    async def pause(self, name: str) -> None:
        """Stop the process where it stands (SIGSTOP)."""
        await self._do(self._supervisor.pause, name)

    async def resume(self, name: str) -> None:
        """Let a paused process go on (SIGCONT)."""
        await self._do(self._supervisor.resume, name)

    async def kill(self, name: str) -> None:
        """End the process at once, without warning (SIGKILL)."""
        await self._do(self._supervisor.kill, name)

    async def restart(self, name: str) -> None:
        """Start the node again on its own data; a running one is ended first."""
        await self._do(self._supervisor.restart, name)

    async def _views(self) -> list[NodeView]:
        return await asyncio.to_thread(self._supervisor.nodes)

    async def _do(self, deed: Callable[[str], None], name: str) -> None:
        try:
            await asyncio.to_thread(deed, name)
        except ClusterError as error:
            raise OSError(str(error)) from error
