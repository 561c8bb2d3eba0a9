"""What the terminal may do to the nodes of an integrated cluster. Whoever runs the processes hands
such an object in.
"""

from __future__ import annotations

from typing import Protocol


class NodeControl(Protocol):
    """Processes of one cluster, by member name. Each call returns when the deed is done; errors are
    ``OSError``s.
    """

    async def nodes(self) -> list[str]:
        """The names of all nodes, running or not."""

    async def is_alive(self, name: str) -> bool:
        """Whether the node's process runs (a paused one does)."""

    async def pause(self, name: str) -> None:
        """Stop the process where it stands (SIGSTOP)."""

    async def resume(self, name: str) -> None:
        """Let a paused process go on."""

    async def kill(self, name: str) -> None:
        """End the process at once, without warning (SIGKILL)."""

    async def restart(self, name: str) -> None:
        """Start the node again on its own data; a running one is ended first."""
