"""One connection to one member: bytes out, bytes in, and whether a request may have reached the
server.

The node's own channel does the work, with its bounds on what the other side may send
(:mod:`kvorum.http2`). Three things are added:

- a connection counts as made only when the server's HTTP/2 settings have arrived, so that a paused
  process, whose kernel still accepts connections, is found out before a request is sent to it;
- every failure says whether the request can have been seen by the server (:attr:`Failure.sent`),
  which decides whether a write may be tried elsewhere;
- grpclib cancels the task that waits when a deadline passes or a connection breaks. Each unary call
  therefore runs in a task of its own, so that the caller's own cancellation (``asyncio.timeout``,
  task groups) stays its own.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from grpclib.client import Stream
from grpclib.config import Configuration
from grpclib.const import Cardinality
from grpclib.encoding.base import CodecBase
from grpclib.exceptions import GRPCError, StreamTerminatedError
from grpclib.protocol import H2Protocol
from h2.events import RemoteSettingsChanged

from kvorum.certs import Watched, load_identity, require_checked_client_side, trust
from kvorum.client.dialler import Dialler, Line
from kvorum.client.endpoints import Endpoint
from kvorum.errors import Code, ConfigError
from kvorum.http2.protocol import KvorumProtocol
from kvorum.http2.server import KvorumChannel
from kvorum.limits import (
    CLIENT_CONNECTION_WINDOW_BYTES,
    CLIENT_PING_S,
    CLIENT_PING_TIMEOUT_S,
    CLIENT_STREAM_WINDOW_BYTES,
)

T = TypeVar("T")
Metadata = list[tuple[str, str]]

_REFUSED_STREAM = "error_code: 7"  # RFC 9113: the server did nothing with the stream.
_CONFIGURATION = Configuration(
    _keepalive_time=CLIENT_PING_S,
    _keepalive_timeout=CLIENT_PING_TIMEOUT_S,
    _http2_max_pings_without_data=0,
    _http2_min_sent_ping_interval_without_data=CLIENT_PING_S / 2,
    http2_connection_window_size=CLIENT_CONNECTION_WINDOW_BYTES,
    http2_stream_window_size=CLIENT_STREAM_WINDOW_BYTES,
)


class Failure(Exception):
    """A call that did not come to an answer.

    ``sent`` is False when the server surely never saw the request; ``lost`` says that the
    connection failed rather than that the server answered with a status.
    """

    def __init__(self, code: Code, message: str, *, sent: bool, lost: bool) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.sent = sent
        self.lost = lost


@dataclass(frozen=True)
class TLS:
    """Files for ``https`` endpoints, in PEM.

    ``ca_cert`` checks the server (None: the system's authorities), ``cert`` and ``key`` show who
    the client is. ``server_name`` replaces the endpoint's host in the check;
    ``insecure_skip_verify`` leaves the check out.
    """

    ca_cert: Path | str | None = None
    cert: Path | str | None = None
    key: Path | str | None = None
    server_name: str | None = None
    insecure_skip_verify: bool = False

    def context(self) -> ssl.SSLContext:
        """The context for a connection, from the files as they are now. Raises
        :class:`kvorum.errors.ConfigError` naming the file that is wrong.
        """
        if (self.cert is None) != (self.key is None):
            raise ConfigError("a client certificate and its key go together: give both or neither")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["h2"])
        require_checked_client_side(context, checked=not self.insecure_skip_verify)
        if self.ca_cert is not None:
            trust(context, self.ca_cert)
        else:
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        if self.cert is not None and self.key is not None:
            load_identity(context, self.cert, self.key)
        return context

    def watched(self) -> Watched[ssl.SSLContext]:
        """Contexts for connections made from now on: the files are read again when they change."""
        return Watched((self.ca_cert, self.cert, self.key), self.context)


class _Bytes(CodecBase):
    """Messages are encoded and decoded one layer up, where their sizes are of interest."""

    __content_subtype__ = "proto"

    def encode(self, message: Any, message_type: Any) -> bytes:
        assert isinstance(message, bytes)
        return message

    def decode(self, data: bytes, message_type: Any) -> Any:
        return bytes(data)


class _Protocol(KvorumProtocol):
    """Tells when the server's settings have come, or the connection went before."""

    line: Line | None = None  # What it runs on, where it is not a connection of our own.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.settled: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        process = self.processor.process_remote_settings_changed

        def settle(event: RemoteSettingsChanged) -> None:
            if not self.settled.done():
                self.settled.set_result(True)
            process(event)

        self.processor.processors[RemoteSettingsChanged] = settle

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self.lost_by = exc
        if self.line is not None:
            self.line.hang_up()
        if not self.settled.done():
            self.settled.set_result(False)


class _Channel(KvorumChannel):
    protocol_class = _Protocol
    contexts: Watched[ssl.SSLContext] | None = None
    dialler: Dialler | None = None

    async def _create_connection(self) -> H2Protocol:
        if self.contexts is not None:
            self._ssl = self.contexts.get()
        if self.dialler is not None:
            return await self._through(self.dialler)
        protocol = await super()._create_connection()
        assert isinstance(protocol, _Protocol)
        return await _settled(protocol)

    async def _through(self, dialler: Dialler) -> H2Protocol:
        """A connection that a program makes. Raises ``OSError`` with its last words."""
        line = await dialler.dial(self._host, self._port)
        try:
            name = self._config.ssl_target_name_override or self._host
            _, made = await self._loop.create_unix_connection(
                self._protocol_factory,
                sock=line.sock,
                ssl=self._ssl,
                server_hostname=name if self._ssl is not None else None,
            )
            protocol = cast(_Protocol, made)
            protocol.line = line
            await _settled(protocol)
        except ssl.SSLError:
            line.hang_up()
            raise
        except OSError as error:
            failure = await line.failure(str(error))
            line.hang_up()
            raise failure from error
        except BaseException:
            line.hang_up()
            raise
        line.works()
        return protocol


async def _settled(protocol: _Protocol) -> _Protocol:
    """The same, once the server has spoken."""
    try:
        settled = await protocol.settled
    except asyncio.CancelledError:
        protocol.processor.close()
        raise
    if not settled:
        # With TLS 1.3 a server's refusal of our certificate comes after the handshake.
        why = f": {protocol.lost_by}" if isinstance(protocol.lost_by, ssl.SSLError) else ""
        text = f"the server closed the connection before it said anything{why}"
        raise ConnectionResetError(text)
    return protocol


async def isolated(work: Coroutine[Any, Any, T]) -> T:
    """Await ``work`` in a task of its own; the caller's cancellation reaches it and is never lost
    in it.
    """
    me = asyncio.current_task()
    assert me is not None
    before = me.cancelling()
    task = asyncio.get_running_loop().create_task(work)
    try:
        result = await task
    except Exception as error:
        if me.cancelling() > before:
            raise asyncio.CancelledError from error
        raise
    if me.cancelling() > before:
        raise asyncio.CancelledError
    return result


class Connection:
    """The connection to one endpoint. It connects when first needed and again after it broke."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        contexts: Watched[ssl.SSLContext] | None,
        server_name: str | None,
        dialler: Dialler | None = None,
    ) -> None:
        self.endpoint = endpoint
        config = _CONFIGURATION
        if server_name is None and endpoint.tls and endpoint.path:
            server_name = "localhost"  # A socket in the file system has no other name.
        if server_name is not None:
            config = Configuration(**{**vars(config), "ssl_target_name_override": server_name})
        where: dict[str, Any] = {"host": endpoint.host, "port": endpoint.port}
        if endpoint.path:
            where = {"path": endpoint.path}
        context = contexts.get() if contexts is not None else None
        self._channel = _Channel(codec=_Bytes(), ssl=context, config=config, **where)
        self._channel.contexts = contexts
        self._channel.dialler = dialler

    async def connect(self, timeout_s: float) -> None:
        """Make sure there is a connection. Raises :class:`Failure` (not sent) after ``timeout_s``
        at the latest.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._channel.__connect__()
        except TimeoutError:
            text = f"no connection within {timeout_s:.3g} s"
        except (OSError, ssl.SSLError) as error:
            text = f"cannot connect: {_why(error)}"
        else:
            return
        raise Failure(Code.UNAVAILABLE, text, sent=False, lost=True)

    async def unary(
        self, path: str, payload: bytes, *, timeout_s: float, metadata: Metadata
    ) -> bytes:
        """One request, one reply. Raises :class:`Failure`."""
        return await isolated(self._unary(path, payload, timeout_s, metadata))

    async def _unary(
        self, path: str, payload: bytes, timeout_s: float, metadata: Metadata
    ) -> bytes:
        sent = False
        try:
            async with self._request(path, Cardinality.UNARY_UNARY, timeout_s, metadata) as stream:
                await stream.send_request()
                sent = True
                await stream.send_message(payload, end=True)
                reply = await stream.recv_message()
        except Exception as error:
            raise _failure(error, sent) from error
        if reply is None:
            raise Failure(Code.INTERNAL, "the reply holds no message", sent=True, lost=False)
        return reply

    def stream(self, path: str, *, timeout_s: float | None, metadata: Metadata) -> Duplex:
        """A call on which both sides may send any number of messages."""
        return Duplex(self._request(path, Cardinality.STREAM_STREAM, timeout_s, metadata))

    def _request(
        self, path: str, cardinality: Cardinality, timeout_s: float | None, metadata: Metadata
    ) -> Stream[bytes, bytes]:
        return self._channel.request(
            path, cardinality, bytes, bytes, timeout=timeout_s, metadata=metadata
        )

    def close(self) -> None:
        """Close; calls under way fail as lost."""
        self._channel.close()


class Duplex:
    """One streaming call. Sending and receiving may each have a task; neither may be shared."""

    def __init__(self, stream: Stream[bytes, bytes]) -> None:
        self._stream = stream
        self._entered = False
        self._open = False

    async def open(self) -> None:
        """Send the call's head. Raises :class:`Failure`, as do the other methods."""
        try:
            await self._stream.__aenter__()
            self._entered = True
            await self._stream.send_request()
            self._open = True
        except Exception as error:
            raise _failure(error, sent=False) from error

    async def send(self, payload: bytes, *, end: bool = False) -> None:
        """Send one message; ``end`` says that no other follows."""
        try:
            await self._stream.send_message(payload, end=end)
        except Exception as error:
            raise _failure(error, sent=True) from error

    async def receive(self) -> bytes | None:
        """The next message, or None when the server ended the call without an error."""
        try:
            payload = await self._stream.recv_message()
            if payload is None:
                await self._status(StreamTerminatedError("the server ended the stream"))
            return payload
        except StreamTerminatedError as error:
            try:
                await self._status(error)
            except GRPCError as status:
                raise _failure(status, sent=True) from None
            raise _failure(error, sent=True) from error
        except Exception as error:
            raise _failure(error, sent=True) from error

    async def _status(self, error: StreamTerminatedError) -> None:
        """Leave the call, raising the status if the server has sent one that is not OK.

        The server may end a call that the client has not ended, and then reset it; grpclib looks
        for a status behind a reset only here.
        """
        if self._entered:
            self._entered = False
            await self._stream.__aexit__(StreamTerminatedError, error, None)

    async def close(self) -> None:
        """Give the call up; harmless when it is over."""
        if self._entered:
            self._entered = False
            error = asyncio.CancelledError()
            await self._stream.__aexit__(asyncio.CancelledError, error, None)


def _why(error: OSError) -> str:
    """Why no connection was made, in words where the system's would say a number."""
    text = str(error)
    if isinstance(error, socket.gaierror):
        return f"no address is known for this name ({error.strerror})"
    # Several addresses of one name are told as one text.
    if isinstance(error, ConnectionRefusedError) or f"[Errno {errno.ECONNREFUSED}]" in text:
        return "connection refused, nothing listens there"
    return text


def _failure(error: Exception, sent: bool) -> Failure:
    """What grpclib raised, as a :class:`Failure`."""
    if isinstance(error, GRPCError):
        code, text = Code(error.status.value), error.message or ""
        return Failure(code, text, sent=sent, lost=False)
    if isinstance(error, TimeoutError):
        text = "context deadline exceeded"
        return Failure(Code.DEADLINE_EXCEEDED, text, sent=sent, lost=True)
    if isinstance(error, StreamTerminatedError):
        text = f"connection lost: {error}"
        return Failure(Code.UNAVAILABLE, text, sent=sent and _REFUSED_STREAM not in text, lost=True)
    # OSError, h2's and grpclib's ProtocolError, a reply cut short: the connection is of no use any
    # more.
    text = f"connection lost: {error or type(error).__name__}"
    return Failure(Code.UNAVAILABLE, text, sent=sent, lost=True)
