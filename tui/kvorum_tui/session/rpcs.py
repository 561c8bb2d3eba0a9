"""``session.rpcs``: the session's own RPCs, as they happen, and one of them made again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from kvorum_tui.model.rpc_log import RpcMoment

Told = Callable[[RpcMoment], None]


class Rpcs(Protocol):
    """What the terminal sends and gets. Errors are :class:`kvorum_tui.session.SessionError`."""

    def listen(self, told: Told) -> Callable[[], None]:
        """Call ``told``, in the event loop, for every call and every message of a stream from now
        on. Returns what ends that.
        """

    @property
    def flags(self) -> tuple[str, ...]:
        """Options that a command line needs beside ``--endpoints``; never a password."""

    async def again(self, endpoint: str, path: str, request: bytes) -> bytes:
        """Send a unary request once more, to the member it went to; the answer on the wire without
        its secrets.
        """
