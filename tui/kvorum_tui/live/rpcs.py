"""The session's own calls, told by the client as it makes them."""

from __future__ import annotations

from collections.abc import Callable

from kvorum.client import Client, Observed
from kvorum.client.methods import READING, method, only_reads
from kvorum.client.observe import without_secrets
from kvorum.drill.access import Access
from kvorum_proto.codec import decode, encode
from kvorum_proto.services import METHODS

from kvorum_tui.live.errors import translated
from kvorum_tui.model.rpc_log import RpcMoment
from kvorum_tui.session.rpcs import Told

AGAIN_S = 10.0


class LiveRpcs:
    """:class:`kvorum_tui.session.rpcs.Rpcs` over a client."""

    def __init__(self, client: Callable[[], Client], access: Callable[[], Access]) -> None:
        self._client = client
        self._access = access

    def listen(self, told: Told) -> Callable[[], None]:
        """Every call from now on."""
        return self._client().observe(lambda observed: told(_moment(observed)))

    @property
    def flags(self) -> tuple[str, ...]:
        """TLS files, and the user's name without the password."""
        access = self._access()
        user = (f"--user={access.user}",) if access.user else ()
        return (*user, *access.flags)

    async def again(self, endpoint: str, path: str, request: bytes) -> bytes:
        """Through the client, whose read-only mode holds here too."""
        called = method(path)
        with translated():
            caller = self._client().member(endpoint)._caller
            message = decode(called.request, request)
            reply = await caller.call(called, message, called.response, timeout_s=AGAIN_S)
        return without_secrets(called, encode(reply), reply=True)


def _reads(observed: Observed) -> bool:
    """Whether a call only reads; of a few methods their request has to be seen for that."""
    called = METHODS.get(observed.method)
    if called is None:
        return False
    if observed.phase != "call" or called.path not in READING:
        return only_reads(called, None)
    return only_reads(called, None) or only_reads(called, decode(called.request, observed.request))


def _moment(observed: Observed) -> RpcMoment:
    return RpcMoment(
        observed.id,
        observed.phase,
        observed.at_s,
        observed.endpoint,
        observed.method,
        observed.duration_s,
        observed.request,
        observed.reply,
        observed.code.name,
        observed.message,
        _reads(observed),
    )
