"""The client: the door to a cluster, and to each of its members on its own."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Self

from kvorum.client.caller import Caller
from kvorum.client.cluster import Cluster
from kvorum.client.connection import TLS
from kvorum.client.dialler import Dialler, TunnelError
from kvorum.client.endpoints import Picker, parse_endpoint, parse_endpoints
from kvorum.client.errors import ConnectError
from kvorum.client.observe import Listener
from kvorum.client.pool import Pool, RpcRecord
from kvorum.client.session import Session
from kvorum.client.tunnel import Tunnel
from kvorum.errors import Code
from kvorum.limits import TUNNEL_DIAL_S

if TYPE_CHECKING:
    from kvorum.client.faults import Faults
    from kvorum.client.inspect import Inspect


class MemberClient(Session):
    """The same calls, on one given member and no other. Made by :meth:`Client.member`, closed
    with its client.
    """

    @property
    def endpoint(self) -> str:
        """The member's endpoint."""
        return self.endpoints[0]

    @property
    def inspect(self) -> Inspect:
        """What a kvorum member tells beyond etcd's API; a real etcd raises ``Unsupported``."""
        from kvorum.client.inspect import Inspect  # Its messages cost 40 ms that few clients need.

        return Inspect(self._caller)

    @property
    def faults(self) -> Faults:
        """The faults that a kvorum member can inflict on itself; a real etcd raises
        ``Unsupported``.
        """
        from kvorum.client.faults import Faults

        return Faults(self._caller)


class Client(Session):
    """A client of a cluster that speaks etcd's v3 API.

    ::

        async with Client(["http://127.0.0.1:2379"]) as client:
            await client.put("a", "1")
            print((await client.get("a")).value)

    ``endpoints``: any of the members; calls go to one of them as long as it works, and then to
    the next. ``user`` and ``password``: the token is got when first needed, and again when the
    server refuses it. ``tls``: for ``https`` endpoints. ``read_only``: every call that could
    change something raises ``ReadOnlyError`` before anything is sent. ``timeout_s``: bound of
    every call, sent along as its deadline. ``dial_timeout_s``: bound of connecting.
    ``require_leader``: members that know no leader refuse at once. ``spread``: go round the
    endpoints call by call. ``on_rpc``: told of every try of every call. ``rng``: where jitter
    and the first endpoint come from. ``tunnel``: how the members are reached where this machine
    cannot reach them itself; then ``dial_timeout_s`` is 10 s at least, and entering the client
    logs in.

    Raises :class:`kvorum.errors.ConfigError` when an endpoint or a file is wrong. Use it in one
    event loop only.
    """

    def __init__(
        self,
        endpoints: str | Sequence[str] = ("http://127.0.0.1:2379",),
        *,
        user: str | None = None,
        password: str | None = None,
        tls: TLS | None = None,
        read_only: bool = False,
        timeout_s: float = 5.0,
        dial_timeout_s: float = 2.0,
        require_leader: bool = False,
        spread: bool = False,
        on_rpc: Callable[[RpcRecord], None] | None = None,
        rng: random.Random | None = None,
        tunnel: Tunnel | None = None,
    ) -> None:
        parsed = parse_endpoints(endpoints, tls=tls is not None)
        self._rng = rng or random.Random()
        self._pool = Pool(
            tls=tls,
            user=user,
            password=password,
            read_only=read_only,
            timeout_s=timeout_s,
            dial_timeout_s=dial_timeout_s if tunnel is None else max(dial_timeout_s, TUNNEL_DIAL_S),
            require_leader=require_leader,
            on_rpc=on_rpc,
            rng=self._rng,
            tunnel=tunnel,
        )
        super().__init__(Caller(self._pool, Picker(parsed, self._rng, spread=spread)))
        self._members: dict[str, MemberClient] = {}

    async def __aenter__(self) -> Self:
        """Raises :class:`kvorum.client.errors.ConnectError` where there is a tunnel and nobody
        gets through it.
        """
        if self._pool.dialler is not None:
            try:
                await self._pool.dialler.prepare()
            except BaseException as error:
                await self.aclose()
                if isinstance(error, TunnelError):
                    raise ConnectError(str(error), code=Code.UNAVAILABLE) from error
                raise
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End every watch, stop renewing every lease, close every connection."""
        await self._close_streams()
        for member in self._members.values():
            await member._close_streams()
        await self._pool.aclose()

    @property
    def cluster(self) -> Cluster:
        """The members: who they are, how each of them is, changing them."""
        return Cluster(self, self._caller)

    @property
    def read_only(self) -> bool:
        """Whether calls that could change something are refused."""
        return self._pool.read_only

    @read_only.setter
    def read_only(self, value: bool) -> None:
        """From the next call on."""
        self._pool.read_only = value

    @property
    def dialler(self) -> Dialler | None:
        """What opens connections where there is a tunnel."""
        return self._pool.dialler

    @property
    def has_token(self) -> bool:
        """Whether calls go out with a token: somebody has logged in, and auth was on then."""
        return self._pool.token is not None

    @property
    def needs_no_login(self) -> bool:
        """Whether credentials were tried and the server said that auth is off."""
        return self._pool.may_login and self._pool.login_done and not self.has_token

    def observe(self, listener: Listener) -> Callable[[], None]:
        """Tell ``listener`` of every try of every call from now on, its members' included, with
        what was sent and answered; see :mod:`kvorum.client.observe`. Returns what ends that.
        """
        return self._pool.listeners.add(listener)

    def member(self, endpoint: str) -> MemberClient:
        """The same calls on one member only, over the same connection, token and observer.

        They are not patient: when the member cannot be reached they say so at once.
        """
        parsed = parse_endpoint(endpoint, tls=self._pool.tls is not None)
        found = self._members.get(str(parsed))
        if found is None:
            picker = Picker([parsed], self._rng, shuffle=False)
            caller = Caller(self._pool, picker, patient=False)
            found = self._members[str(parsed)] = MemberClient(caller)
        return found
