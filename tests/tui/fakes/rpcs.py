"""The calls of the cluster in memory: tests say what the log is to see."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING

from kvorum.client.methods import method, only_reads
from kvorum_proto.codec import decode
from kvorum_tui.model.rpc_log import RpcMoment
from kvorum_tui.session import ReadOnly
from kvorum_tui.session.rpcs import Told

if TYPE_CHECKING:
    from betterproto2 import Message
    from tui.fake_session import FakeSession


class FakeRpcs:
    """Of one FakeSession; ``answer`` is what a call made again brings."""

    def __init__(self, session: FakeSession) -> None:
        self.session = session
        self.told: list[Told] = []
        self.ids = count(1)
        self.answer = b""
        self.flags: tuple[str, ...] = ()

    def listen(self, told: Told) -> Callable[[], None]:
        self.told.append(told)
        return lambda: self.told.remove(told)

    def moment(self, moment: RpcMoment) -> None:
        """Something happened."""
        for told in self.told:
            told(moment)

    def call(
        self,
        path: str,
        request: Message,
        reply: Message | None = None,
        *,
        member: int = 1,
        ms: float = 1.0,
        code: str = "OK",
        message: str = "",
    ) -> None:
        """A unary call was made."""
        self.moment(
            RpcMoment(
                next(self.ids),
                "call",
                1_700_000_000.0,
                f"http://n{member}:2379",
                path,
                ms / 1000,
                bytes(request),
                bytes(reply) if reply is not None else b"",
                code,
                message,
                only_reads(method(path), request),
            )
        )

    async def again(self, endpoint: str, path: str, request: bytes) -> bytes:
        called = method(path)
        if self.session.read_only_flag and not only_reads(called, decode(called.request, request)):
            raise ReadOnly("the session is read-only")
        self.session.calls.append(("again", endpoint, path, request))
        return self.answer
