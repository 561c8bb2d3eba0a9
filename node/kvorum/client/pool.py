"""What the calls of one client share: connections, the auth token, the read-only switch, the
observer.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from betterproto2 import Message
from kvorum_proto.rpc import Method

from kvorum.certs import Watched
from kvorum.client.connection import TLS, Connection, Duplex, Failure, Metadata
from kvorum.client.dialler import Dialler, dialler_of
from kvorum.client.endpoints import Endpoint
from kvorum.client.errors import ClientError, ReadOnlyError
from kvorum.client.methods import only_reads
from kvorum.client.observe import Listeners, Observed, Phase, without_secrets
from kvorum.client.tunnel import Tunnel
from kvorum.errors import Code, Condition


class RpcRecord(NamedTuple):
    """One try of one call, for whoever watches the client at work.

    ``at_s`` is seconds since 1970. A stream gives one record when it opened (``duration_s`` 0) and
    one when it ended, with the bytes of all its messages.
    """

    at_s: float
    endpoint: str
    method: str
    duration_s: float
    request_bytes: int
    response_bytes: int
    code: Code
    message: str
    stream: bool = False
    ended: bool = True


@dataclass
class Pool:
    """What the calls of one client share."""

    tls: TLS | None
    user: str | None
    password: str | None
    read_only: bool
    timeout_s: float
    dial_timeout_s: float
    require_leader: bool
    on_rpc: Callable[[RpcRecord], None] | None
    rng: random.Random
    tunnel: Tunnel | None = None
    listeners: Listeners = field(default_factory=Listeners)
    _dialler: Dialler | None = None
    _connections: dict[Endpoint, Connection] = field(default_factory=dict)
    _contexts: Watched[ssl.SSLContext] | None = None
    _token: str | None = None
    _login_needed: bool = True
    _login: asyncio.Lock = field(default_factory=asyncio.Lock)

    def connection(self, endpoint: Endpoint) -> Connection:
        """The connection to an endpoint, made on first use."""
        found = self._connections.get(endpoint)
        if found is None:
            contexts = None
            if endpoint.tls:
                self._contexts = self._contexts or (self.tls or TLS()).watched()
                contexts = self._contexts
            name = self.tls.server_name if self.tls is not None else None
            found = Connection(
                endpoint, contexts=contexts, server_name=name, dialler=self._way_to(endpoint)
            )
            self._connections[endpoint] = found
        return found

    @property
    def dialler(self) -> Dialler | None:
        """What opens connections where there is a tunnel."""
        if self._dialler is None and self.tunnel is not None:
            self._dialler = dialler_of(self.tunnel)
        return self._dialler

    def _way_to(self, endpoint: Endpoint) -> Dialler | None:
        return None if endpoint.path else self.dialler  # A socket file is on this machine.

    async def aclose(self) -> None:
        """Close every connection, and the tunnel."""
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()
        dialler, self._dialler = self._dialler, None
        if dialler is not None:
            await dialler.aclose()

    def guard(self, called: Method, request: Message | None) -> bool:
        """Whether the call only reads. Raises :class:`ReadOnlyError` when only reading is allowed
        and it does not.
        """
        reads = only_reads(called, request)
        if self.read_only and not reads:
            text = f"{called.service}/{called.name} could change something; the client is read-only"
            raise ReadOnlyError(text, code=Code.PERMISSION_DENIED, rpc=called.path)
        return reads

    def metadata(self, require_leader: bool | None) -> Metadata:
        """What goes along with every call."""
        pairs = [] if self._token is None else [("token", self._token)]
        if self.require_leader if require_leader is None else require_leader:
            pairs.append(("hasleader", "true"))
        return pairs

    @property
    def may_login(self) -> bool:
        """Whether there are credentials."""
        return self.user is not None

    async def login(self, authenticate: Callable[[str, str], Awaitable[str]]) -> None:
        """Get a token if there are credentials and none is held; calls at the same time share one.

        ``authenticate`` is handed the name and the password and gives the token. On a server
        without auth every user may do everything: then there is no token, which is no error.
        """
        if self.user is None or not self._login_needed:
            return
        async with self._login:
            if not self._login_needed:
                return
            self._token = None
            try:
                self._token = await authenticate(self.user, self.password or "")
            except ClientError as error:
                if error.condition is not Condition.AUTH_NOT_ENABLED:
                    raise
            self._login_needed = False

    @property
    def login_done(self) -> bool:
        """Whether the credentials were tried, with or without a token to show for it."""
        return not self._login_needed

    def forget_token(self, token: str | None) -> None:
        """The server did not accept this token: get another before the next call."""
        if self._token == token:
            self._login_needed = True

    @property
    def token(self) -> str | None:
        """The token sent with calls, if there is one."""
        return self._token

    def observed(self, record: RpcRecord) -> None:
        """Tell the observer, if there is one."""
        if self.on_rpc is not None:
            self.on_rpc(record)


class ObservedStream:
    """A streaming call that tells the observer when it opened and when it ended, and listeners of
    its messages too.
    """

    def __init__(self, duplex: Duplex, pool: Pool, endpoint: Endpoint, called: Method) -> None:
        self._duplex = duplex
        self._pool = pool
        self._called = called
        self.endpoint = endpoint
        self._started_s = time.monotonic()
        self._id = pool.listeners.next_id()
        self._sent = 0
        self._received = 0
        self._ended = False

    async def open(self) -> None:
        """Send the call's head. This and the other methods raise :class:`Failure`."""
        try:
            await self._duplex.open()
        except Failure as failure:
            self._record(failure.code, failure.message, ended=True)
            raise
        self._record(Code.OK, "", ended=False)

    async def send(self, payload: bytes, *, end: bool = False) -> None:
        """Send one message; ``end`` says that no other follows."""
        await self._duplex.send(payload, end=end)
        self._sent += len(payload)
        if self._pool.listeners:
            self._tell("sent", request=without_secrets(self._called, payload))

    async def receive(self) -> bytes | None:
        """The next message, or None when the server ended the call without an error."""
        try:
            payload = await self._duplex.receive()
        except Failure as failure:
            self._record(failure.code, failure.message, ended=True)
            raise
        if payload is None:
            self._record(Code.OK, "", ended=True)
        else:
            self._received += len(payload)
            if self._pool.listeners:
                self._tell("received", reply=without_secrets(self._called, payload, reply=True))
        return payload

    async def close(self) -> None:
        """Give the call up; harmless when it is over."""
        try:
            await self._duplex.close()
        finally:
            self._record(Code.CANCELLED, "closed by the client", ended=True)

    def _record(self, code: Code, text: str, *, ended: bool) -> None:
        if self._ended:
            return
        self._ended = ended
        if self._pool.listeners:
            self._tell("end" if ended else "open", code=code, message=text)
        took_s = time.monotonic() - self._started_s if ended else 0.0
        self._pool.observed(
            RpcRecord(
                time.time() - took_s,
                str(self.endpoint),
                self._called.path,
                took_s,
                self._sent,
                self._received,
                code,
                text,
                stream=True,
                ended=ended,
            )
        )

    def _tell(self, phase: Phase, **more: Any) -> None:
        took_s = time.monotonic() - self._started_s
        self._pool.listeners.tell(
            Observed(
                self._id,
                phase,
                time.time() - took_s,
                str(self.endpoint),
                self._called.path,
                took_s,
                **more,
            )
        )
