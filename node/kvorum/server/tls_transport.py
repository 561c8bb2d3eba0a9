"""TLS over an accepted connection, by OpenSSL over memory.

The event loops' own TLS closes a connection whose handshake failed without the alert that tells the
other side why, cannot take another context for each connection when it accepts them, and uvloop's
does not always notice a failure before the other side gives up. Here the same ``ssl.SSLObject`` is
driven by hand, alike on every loop: encrypted bytes in, plain bytes to the protocol, and back.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, cast

from kvorum.limits import CLOSE_LINGER_S, TLS_HANDSHAKE_TIMEOUT_S, TLS_READ_BYTES

_HANDSHAKE_RECORD = 0x16
_NOT_TLS = "tls: first record does not look like a TLS handshake"
# What Go's server says; whoever forgot the "s" of https reads it.
_TOLD_HTTP = (
    b"HTTP/1.0 400 Bad Request\r\nConnection: close\r\n\r\n"
    b"Client sent an HTTP request to an HTTPS server.\n"
)


class HandshakeError(Exception):
    """A handshake that did not end well; the text says why."""


class TlsTransport(asyncio.Transport):
    """The plain side of one TLS connection.

    Args:
        raw: the accepted connection.
        context: makes the certificates to use.
        on_done: called once, with this transport and None when the handshake is over, or with what
            ended it. Until :meth:`attach` gives a protocol, nothing more is read.
    """

    def __init__(
        self,
        raw: asyncio.Transport,
        context: ssl.SSLContext,
        on_done: Callable[[TlsTransport, Exception | None], None],
    ) -> None:
        super().__init__()
        self._raw = raw
        self._context = context
        self._on_done = on_done
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._ssl = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._protocol: asyncio.Protocol | None = None
        self._shaken = False
        self._told = False
        self._first = b""
        self._closing = False
        self._paused = False
        self._raw_reads = True
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(TLS_HANDSHAKE_TIMEOUT_S, self._too_slow)
        raw.set_protocol(_RawSide(self))

    # --- the handshake ----------------------------------------------------------------------------

    def _shake(self) -> None:
        try:
            self._ssl.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
        except ssl.SSLError as error:
            # With the alert, if OpenSSL made one.
            self._flush()
            self._give_up(HandshakeError(_reason(error)))
        else:
            self._flush()
            self._shaken = True
            self._sync()
            self._tell(None)

    def _too_slow(self) -> None:
        self._give_up(HandshakeError(f"no handshake within {TLS_HANDSHAKE_TIMEOUT_S:g} s"))

    def _give_up(self, error: HandshakeError) -> None:
        self._closing = True
        self._raw.close()
        # Whoever does not even take the alert is not waited for.
        self._loop.call_later(CLOSE_LINGER_S, self._raw.abort)
        self._tell(error)

    def _tell(self, error: Exception | None) -> None:
        self._timer.cancel()
        if not self._told:
            self._told = True
            self._on_done(self, error)

    def _refuse_plain(self) -> None:
        if self._first[:1].isalpha() and self._first != b"PRI ":
            self._raw.write(_TOLD_HTTP)
        self._give_up(HandshakeError(_NOT_TLS))

    def attach(self, protocol: asyncio.Protocol) -> None:
        """Who speaks over this connection. Its ``connection_made`` is the caller's to call."""
        self._protocol = protocol
        self._sync()
        self._loop.call_soon(self._read)

    # --- from the network -------------------------------------------------------------------------

    def encrypted(self, data: bytes) -> None:
        """Bytes came."""
        if self._closing:
            return
        if not self._first:
            self._first = data[:4]
        self._incoming.write(data)
        if self._wanted:
            self._advance()
        else:
            # uvloop begins to read after ``connection_made``, whoever paused it in there.
            self._raw.pause_reading()

    def _advance(self) -> None:
        """Do what can be done with what has come."""
        if self._shaken:
            self._read()
        elif self._first and self._first[0] != _HANDSHAKE_RECORD:
            self._refuse_plain()
        elif self._first:
            self._shake()

    def _read(self) -> None:
        try:
            while self._protocol is not None and not self._paused and not self._closing:
                data = self._ssl.read(TLS_READ_BYTES)
                if not data:
                    self._ended()
                    break
                self._protocol.data_received(data)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self._ended()
        except ssl.SSLError:
            self._flush()
            self.abort()
            return
        self._flush()

    def _ended(self) -> None:
        """The other side says that it sends no more; with TLS that is the end of both ways."""
        if self._protocol is not None:
            self._protocol.eof_received()
        self.close()

    def lost(self, error: Exception | None) -> None:
        """The connection is gone."""
        self._closing = True
        self._tell(error or HandshakeError("EOF"))
        if self._protocol is not None:
            self._protocol.connection_lost(error)

    def throttle(self, full: bool) -> None:
        """The way out is full, or has room again."""
        if self._protocol is not None:
            if full:
                self._protocol.pause_writing()
            else:
                self._protocol.resume_writing()

    # --- what protocols use -----------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Encrypt and send."""
        if self._closing or not data:
            return
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._ssl.write(rest) :]
        except ssl.SSLError:
            self.abort()
            return
        self._flush()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._raw.write(self._outgoing.read())

    def close(self) -> None:
        """Say goodbye and close, once what was written has left."""
        if self._closing:
            return
        self._closing = True
        try:
            self._ssl.unwrap()
        except ssl.SSLError:
            # It wants the other side's goodbye; nobody waits for that.
            pass
        self._flush()
        self._raw.close()

    def abort(self) -> None:
        """Close at once."""
        self._closing = True
        self._raw.abort()

    def is_closing(self) -> bool:
        """Whether it is closed or about to be."""
        return self._closing or self._raw.is_closing()

    def pause_reading(self) -> None:
        """Deliver nothing, and let the other side wait."""
        self._paused = True
        self._sync()

    def resume_reading(self) -> None:
        """Deliver again."""
        self._paused = False
        self._sync()
        self._loop.call_soon(self._resumed)

    def _resumed(self) -> None:
        if self._wanted and not self._closing:
            self._advance()

    def is_reading(self) -> bool:
        """Whether bytes are delivered."""
        return not self._paused

    @property
    def _wanted(self) -> bool:
        """Whether somebody takes what comes: the handshake, and then a protocol."""
        return not self._paused and (not self._shaken or self._protocol is not None)

    def _sync(self) -> None:
        """Read from the network unless told to pause, or nobody takes what would come."""
        wanted = self._wanted
        if wanted == self._raw_reads or self._raw.is_closing():
            return
        self._raw_reads = wanted
        if wanted:
            self._raw.resume_reading()
        else:
            self._raw.pause_reading()

    def get_write_buffer_size(self) -> int:
        """Bytes that have not reached the kernel."""
        return self._raw.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """When the way out counts as full."""
        self._raw.set_write_buffer_limits(high, low)

    def can_write_eof(self) -> bool:
        """TLS has no half-closed connections."""
        return False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Another protocol takes over."""
        self._protocol = cast(asyncio.Protocol, protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Who speaks over this connection."""
        assert self._protocol is not None, "asked by the protocol itself"
        return self._protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Facts about the connection, named as asyncio names them."""
        if name == "ssl_object":
            return self._ssl
        if name == "sslcontext":
            return self._context
        if name == "peercert":
            return self._ssl.getpeercert()
        if name == "cipher":
            return self._ssl.cipher()
        return self._raw.get_extra_info(name, default)


class _RawSide(asyncio.Protocol):
    """What the accepted connection's events do."""

    def __init__(self, tls: TlsTransport) -> None:
        self._tls = tls

    def data_received(self, data: bytes) -> None:
        self._tls.encrypted(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._tls.lost(exc)

    def pause_writing(self) -> None:
        self._tls.throttle(True)

    def resume_writing(self) -> None:
        self._tls.throttle(False)


def _reason(error: ssl.SSLError) -> str:
    """What OpenSSL says, for people."""
    why = str(error.reason or "handshake failed").lower().replace("_", " ")
    if isinstance(error, ssl.SSLCertVerificationError):
        why = f"{why}: {error.verify_message}"
    return f"tls: {why}"
