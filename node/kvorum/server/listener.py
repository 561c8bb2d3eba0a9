"""One port, two protocols: gRPC over HTTP/2, and HTTP/1.1 for everything people type into curl.

The first bytes of a connection decide, as etcd's own multiplexer does it: the HTTP/2 preface goes
to grpclib, anything else to aiohttp's protocol on the same accepted transport. A client that is
slow to send them costs one timer. Sockets are bound before anything else starts, so that a taken
port is the first thing a wrong configuration says; they answer when the node is ready.

On a socket of an ``https`` URL a TLS handshake comes first, with the certificates of that moment.
What the two sides agreed on (ALPN) then decides, and the first bytes only where they agreed on
nothing. Whoever speaks plain text to such a socket, or TLS to a plain one, is closed at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import socket
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import cast
from weakref import WeakSet

from kvorum.errors import ConfigError
from kvorum.http2.server import KvorumServer
from kvorum.limits import (
    SNIFF_TIMEOUT_S,
    TLS_HANDSHAKES,
)
from kvorum.server.tls import Refusals, TlsPort
from kvorum.server.tls_transport import TlsTransport
from kvorum.urls import Url, plain_address

log = logging.getLogger(__name__)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_BACKLOG = 1024
# How a TLS connection begins: a record of the handshake, of some version 3.
_CLIENT_HELLO = b"\x16\x03"

ProtocolFactory = Callable[[], asyncio.Protocol]


class _Sniffer(asyncio.Protocol):
    """Holds a connection until its first bytes say what it speaks."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._seen = b""
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports offer the interface without its class.
        accepted = cast(asyncio.Transport, transport)
        self._listener.made(accepted)
        self.begin(accepted)

    def begin(self, transport: asyncio.Transport) -> None:
        """The connection is ready for what it will speak."""
        self._transport = transport
        agreed = transport.get_extra_info("ssl_object")
        spoken = agreed.selected_alpn_protocol() if agreed is not None else None
        if spoken is not None:
            self._become(self._listener.grpc() if spoken == "h2" else self._listener.http())
            return
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(SNIFF_TIMEOUT_S, transport.abort)

    def data_received(self, data: bytes) -> None:
        self._seen += data
        self._look()

    def _look(self) -> None:
        known = self._seen[: len(PREFACE)]
        if not PREFACE.startswith(known):
            if self._seen.startswith(_CLIENT_HELLO):
                self._refuse_hello()
            else:
                self._become(self._listener.http())
        elif len(known) == len(PREFACE):
            self._become(self._listener.grpc())

    def _refuse_hello(self) -> None:
        assert self._transport is not None
        self._stop_timer()
        remote = self._transport.get_extra_info("peername")
        self._listener.refusals.tell(remote, "TLS was spoken to a port without TLS")
        self._transport.abort()

    def _become(self, protocol: asyncio.Protocol) -> None:
        assert self._transport is not None
        self._stop_timer()
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        if self._seen:
            protocol.data_received(self._seen)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_timer()


class _Raw(asyncio.Protocol):
    """An accepted connection that TLS comes to."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._listener.secure(cast(asyncio.Transport, transport))


class Listener:
    """The listening sockets of one purpose (clients, or peers).

    Args:
        grpc: the server that HTTP/2 connections go to.
        http: makes a protocol for an HTTP/1.1 connection.
        ongoing: HTTP/1.1 requests under way that a stop gives time, one future each.
        tls: certificates of the ``secure`` ones among the sockets.
        purpose: for the log: client, peer or metrics.
    """

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        grpc: KvorumServer,
        http: ProtocolFactory,
        ongoing: Collection[asyncio.Future[None]] = (),
        *,
        tls: TlsPort | None = None,
        secure: Collection[socket.socket] = (),
        purpose: str = "client",
    ) -> None:
        self._sockets = tuple(sockets)
        self._server = grpc
        self.grpc: ProtocolFactory = grpc.protocol
        self.http = http
        self._ongoing = ongoing
        self._servers: list[asyncio.AbstractServer] = []
        # The loop keeps the open ones alive; who is gone is gone from here by itself.
        self._transports: WeakSet[asyncio.Transport] = WeakSet()
        self._held = False
        self._tls = tls
        self._secure = tuple(secure)
        self.refusals = Refusals(purpose)
        # Connections that are not let in yet, and who looks at their certificates.
        self._handshakes: dict[TlsTransport, asyncio.Task[None] | None] = {}

    async def start(self) -> None:
        """Accept connections."""
        loop = asyncio.get_running_loop()
        for sock in self._sockets:
            kind = _Raw if sock in self._secure else _Sniffer
            accept: ProtocolFactory = functools.partial(kind, self)
            try:
                if sock.family == socket.AF_UNIX:
                    server = await loop.create_unix_server(accept, sock=sock)
                else:
                    server = await loop.create_server(accept, sock=sock, backlog=_BACKLOG)
            except OSError as exc:
                raise ConfigError(f"listen {sock.getsockname()}: {exc}") from exc
            self._servers.append(server)

    @property
    def ports(self) -> tuple[int, ...]:
        """The TCP ports, as bound."""
        return tuple(s.getsockname()[1] for s in self._sockets if s.family != socket.AF_UNIX)

    def made(self, transport: asyncio.Transport) -> None:
        """A connection was accepted."""
        self._transports.add(transport)
        if self._held:
            transport.pause_reading()
            # uvloop begins to read after ``connection_made``, whoever paused it in there.
            asyncio.get_running_loop().call_soon(self._pause_again, transport)

    def _pause_again(self, transport: asyncio.Transport) -> None:
        if self._held and not transport.is_closing():
            transport.pause_reading()

    def secure(self, raw: asyncio.Transport) -> None:
        """A connection was accepted that TLS comes to, with the certificates of this moment."""
        remote = raw.get_extra_info("peername")
        refusal = ""
        if len(self._handshakes) >= TLS_HANDSHAKES:
            refusal = "too many handshakes at once"
        else:
            assert self._tls is not None, "given with the sockets"
            try:
                context = self._tls.server_context()
            except ConfigError as error:
                refusal = str(error)
        if refusal:
            self.refusals.tell(remote, refusal)
            raw.abort()
            return
        transport = TlsTransport(raw, context, self._shaken)
        self._handshakes[transport] = None
        self.made(transport)

    def _shaken(self, transport: TlsTransport, error: Exception | None) -> None:
        """A handshake is over."""
        if error is not None:
            self._handshakes.pop(transport, None)
            self.refusals.tell(transport.get_extra_info("peername"), str(error) or repr(error))
            return
        task = asyncio.get_running_loop().create_task(self._admit(transport))
        self._handshakes[transport] = task

    async def _admit(self, transport: TlsTransport) -> None:
        """Look at who it is; then let them speak."""
        remote = transport.get_extra_info("peername")
        host = plain_address(str(remote[0])) if isinstance(remote, tuple) else ""
        try:
            assert self._tls is not None, "given with the sockets"
            refusal = await self._tls.refusal(transport.get_extra_info("ssl_object"), host)
        except ConfigError as error:
            refusal = str(error)
        except Exception:
            # A certificate can hold anything; one that cannot be judged is no good.
            log.exception("a certificate cannot be judged")
            refusal = "internal error"
        finally:
            self._handshakes.pop(transport, None)
        if refusal:
            self.refusals.tell(remote, refusal)
            transport.abort()
        elif not transport.is_closing():
            sniffer = _Sniffer(self)
            transport.attach(sniffer)
            sniffer.begin(transport)

    def hold(self) -> None:
        """Hear nothing and say nothing until ``release``: a paused node."""
        self._held = True
        self._server.hold()
        for transport in tuple(self._transports):
            if not transport.is_closing():
                transport.pause_reading()

    def release(self) -> None:
        """End a hold."""
        if not self._held:
            return
        self._held = False
        self._server.release()
        for transport in tuple(self._transports):
            if not transport.is_closing():
                transport.resume_reading()

    async def stop(self, grace_s: float) -> None:
        """Accept no more; calls under way get ``grace_s`` to finish; then every connection ends."""
        for server in self._servers:
            server.close()
        if not self._servers:
            for sock in self._sockets:
                sock.close()
        await asyncio.gather(self._server.shut(grace_s), self._finish(grace_s))
        for task in tuple(self._handshakes.values()):
            if task is not None:
                task.cancel()
        for transport in tuple(self._transports):
            transport.abort()

    async def _finish(self, grace_s: float) -> None:
        if self._ongoing:
            await asyncio.wait(tuple(self._ongoing), timeout=grace_s)


def bind(
    urls: Iterable[Url], *, listen: bool = True, reuse_port: bool = False
) -> list[socket.socket]:
    """Bound sockets for listen URLs. ConfigError, in etcd's words, when one cannot be had.

    With ``listen`` the kernel takes connections from now on; they are answered after ``start``.
    """
    sockets: list[socket.socket] = []
    try:
        for url in urls:
            if url.is_unix:
                sockets.append(_bind_unix(url))
            else:
                sockets.extend(_bind_tcp(url, reuse_port))
        for sock in sockets:
            if listen:
                sock.listen(_BACKLOG)
    except OSError as exc:
        for sock in sockets:
            sock.close()
        reason = (os.strerror(exc.errno) if exc.errno else str(exc)).lower()
        raise ConfigError(f"listen tcp {url.host}:{url.port}: bind: {reason}") from exc
    return sockets


def _bind_tcp(url: Url, reuse_port: bool) -> list[socket.socket]:
    if url.host != "localhost":
        family = socket.AF_INET6 if ":" in url.host else socket.AF_INET
        return [_tcp(family, url.host, url.port, reuse_port)]
    first = _tcp(socket.AF_INET, "127.0.0.1", url.port, reuse_port)
    out = [first]
    # Where the machine has IPv6, localhost means both; where it has none, one is enough.
    with contextlib.suppress(OSError):
        out.append(_tcp(socket.AF_INET6, "::1", first.getsockname()[1], reuse_port))
    return out


def _tcp(family: socket.AddressFamily, host: str, port: int, reuse_port: bool) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            # "::" listens for both families, as Go's listener does.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(host != "::"))
        sock.setblocking(False)
        sock.bind((host, port))
    except BaseException:
        sock.close()
        raise
    return sock


def _bind_unix(url: Url) -> socket.socket:
    path = Path(url.path)
    # A socket file of a process that is gone is in the way and means nothing.
    with contextlib.suppress(FileNotFoundError):
        if path.is_socket():
            path.unlink()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.setblocking(False)
    sock.bind(url.path)
    return sock
