"""TLS of a node's ports: what is shown to others, and who is believed.

The certificates are read again when their files change (:mod:`kvorum.certs`). OpenSSL checks
chains, dates and key usage during the handshake; what etcd checks besides, once the handshake is
done, is here: revoked serials, the name a certificate must have, and whether a peer comes from an
address that its certificate names (contract page "server", section 2; etcd's own listener decides
where that page is silent).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import time
from collections.abc import Iterable
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from kvorum.certs import Watched, load_identity, require_checked_client_side, trust
from kvorum.ciphers import version_of
from kvorum.config_tls import TlsConfig
from kvorum.errors import ConfigError
from kvorum.limits import TLS_REFUSALS_TOLD, TLS_REFUSALS_WINDOW_S, TLS_RESOLVE_TIMEOUT_S
from kvorum.urls import Url

log = logging.getLogger(__name__)

# gRPC clients offer h2 alone and get it; who offers both (browsers, curl) wants pages, and pages
# are served over HTTP/1.1 here.
_ALPN = ["http/1.1", "h2"]
# What the inner object of Python before 3.13 calls the binary encoding (_ssl.ENCODING_DER).
_DER = 2
_NAME_REFUSED = "client certificate authentication failed"


class TlsPort:
    """The TLS side of the client port, or of the peer port.

    Args:
        config: what the node was told.
        data_dir: where a self-signed certificate is kept.
        urls: what the port listens on; a self-signed certificate names their hosts.

    Raises ConfigError, from :meth:`check` and at first use, when a file is wrong.
    """

    def __init__(self, config: TlsConfig, data_dir: Path, urls: Iterable[Url] = ()) -> None:
        self._config = config
        self._cert, self._key = config.cert_file, config.key_file
        self._made_here = config.auto and config.cert_file is None
        if self._made_here and any(url.is_secure for url in urls):
            hosts = [url.host for url in urls]
            # Imported where needed: what is behind it costs every node's start otherwise.
            from kvorum.server.selfsigned import self_signed

            folder = data_dir / "fixtures" / config.kind
            self._cert, self._key = self_signed(folder, hosts, config.validity_years)
        self._dial_cert = config.dial_cert_file or self._cert
        self._dial_key = config.dial_key_file or self._key
        ca = config.trusted_ca_file
        self._server = Watched((self._cert, self._key, ca), self._make_server)
        self._dial = Watched((self._dial_cert, self._dial_key, ca), self._make_dial)
        self._revoked = Watched((config.crl_file,), self._read_revoked)

    def check(self, *, listens: bool, dials: bool) -> None:
        """Read every file that will be needed. ConfigError for what is wrong with one."""
        if listens:
            self._server.get()
            self._revoked.get()
        if dials:
            self._dial.get()

    # --- contexts ---------------------------------------------------------------------------------

    def server_context(self) -> ssl.SSLContext:
        """For a connection that was just accepted."""
        return self._server.get()

    def dial_context(self) -> ssl.SSLContext:
        """For a connection about to be made to another member."""
        return self._dial.get()

    def _make_server(self) -> ssl.SSLContext:
        config = self._config
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._common(context)
        context.set_alpn_protocols(_ALPN)
        context.options |= ssl.OP_NO_RENEGOTIATION
        assert self._cert is not None and self._key is not None, "checked with the configuration"
        load_identity(context, self._cert, self._key)
        if config.wants_client_cert:
            assert config.trusted_ca_file is not None, "checked with the configuration"
            trust(context, config.trusted_ca_file)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def _make_dial(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._common(context)
        context.set_alpn_protocols(["h2"])
        # Self-signed certificates are different on every member: there is nothing to check.
        require_checked_client_side(context, checked=not self._made_here)
        if self._config.trusted_ca_file is not None:
            trust(context, self._config.trusted_ca_file)
        else:
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        if self._dial_cert is not None and self._dial_key is not None:
            load_identity(context, self._dial_cert, self._dial_key)
        return context

    def _common(self, context: ssl.SSLContext) -> None:
        config = self._config
        low, high = version_of(config.min_version), version_of(config.max_version)
        context.minimum_version = low or ssl.TLSVersion.TLSv1_2
        if config.newest_only:
            context.minimum_version = ssl.TLSVersion.TLSv1_3
        if high is not None:
            context.maximum_version = high
        if config.ciphers:
            try:
                context.set_ciphers(":".join(config.ciphers))
            except ssl.SSLError:
                raise ConfigError(
                    "--cipher-suites: this machine's OpenSSL has none of "
                    + ", ".join(config.ciphers)
                ) from None

    # --- after the handshake ----------------------------------------------------------------------

    async def refusal(self, connection: Any, host: str) -> str:
        """Why the certificate shown by who connected from ``host`` will not do; empty when it will.

        ``connection`` is the transport's ``ssl_object``; ``host`` is empty for a Unix socket.
        """
        shown = connection.getpeercert()
        if not shown:
            # Nobody asked for one, or the handshake would have ended.
            return ""
        if self._config.crl_file is not None:
            revoked = self._revoked.get()
            for serial in chain_serials(connection):
                if serial in revoked:
                    return f"transport: certificate serial {serial:x} revoked"
        if not self._name_allowed(shown):
            return _NAME_REFUSED
        if self._config.skip_client_san or not host:
            return ""
        return await address_refusal(shown, host)

    def dial_refusal(self, connection: Any) -> str:
        """Why the member that was dialled will not do although its chain and name are good."""
        shown = connection.getpeercert()
        return "" if not shown or self._name_allowed(shown) else _NAME_REFUSED

    def _name_allowed(self, shown: dict[str, Any]) -> bool:
        config = self._config
        if config.allowed_cn:
            return common_name(shown) == config.allowed_cn
        if config.allowed_hostname:
            return names_host(shown, config.allowed_hostname)
        return True

    def _read_revoked(self) -> frozenset[int]:
        file = self._config.crl_file
        if file is None:
            return frozenset()
        from cryptography import x509

        try:
            data = file.read_bytes()
            begin = b"-----BEGIN X509 CRL-----"
            if begin in data:
                parts = [begin + part for part in data.split(begin)[1:]]
                lists = [x509.load_pem_x509_crl(part) for part in parts]
            else:
                lists = [x509.load_der_x509_crl(data)]
        except (OSError, ValueError) as error:
            raise ConfigError(f"revocation list {file}: {error}") from None
        return frozenset(revoked.serial_number for one in lists for revoked in one)


def chain_serials(connection: Any) -> list[int]:
    """Serial numbers of the certificates that the other side sent, its own first."""
    from cryptography import x509

    # Public from Python 3.13 on, where it gives bytes; the same method of the inner object before.
    public = getattr(connection, "get_unverified_chain", None)
    chain = public() if public is not None else connection._sslobj.get_unverified_chain()
    der = [part if isinstance(part, bytes) else part.public_bytes(_DER) for part in chain]
    return [x509.load_der_x509_certificate(part).serial_number for part in der]


def common_name(shown: dict[str, Any]) -> str:
    """The subject's common name in what ``getpeercert`` gives, or empty; of several the last, as Go
    has it.
    """
    names = [
        value for part in shown.get("subject", ()) for kind, value in part if kind == "commonName"
    ]
    return str(names[-1]) if names else ""


def names_host(shown: dict[str, Any], host: str) -> bool:
    """Whether a certificate is for a host, by its alternative names alone, as Go decides it."""
    names = shown.get("subjectAltName", ())
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        wanted = host.lower().rstrip(".").split(".")
        return any(
            kind == "DNS" and _matches(name.lower().rstrip(".").split("."), wanted)
            for kind, name in names
        )
    return str(address) in _addresses(names)


def _addresses(names: Iterable[tuple[str, str]]) -> list[str]:
    """The addresses among a certificate's names, as they are usually written; what is none is
    passed over.
    """
    found = []
    for kind, name in names:
        if kind == "IP Address":
            with contextlib.suppress(ValueError):
                found.append(str(ip_address(name)))
    return found


def _matches(pattern: list[str], host: list[str]) -> bool:
    """A name of a certificate, whose first label may stand for any one label."""
    if len(pattern) != len(host) or not all(host):
        return False
    return pattern[1:] == host[1:] and pattern[0] in ("*", host[0])


async def address_refusal(shown: dict[str, Any], host: str) -> str:
    """etcd's check of a peer: a certificate that names addresses or hosts must name the one that
    the connection comes from. Names are resolved, within a bound of time.
    """
    names = shown.get("subjectAltName", ())
    addresses = [name for kind, name in names if kind == "IP Address"]
    hosts = [name for kind, name in names if kind == "DNS"]
    if (addresses and names_host(shown, host)) or not (addresses or hosts):
        return ""
    if not hosts:
        return f"x509: certificate is valid for {', '.join(addresses)}, not {host}"
    try:
        async with asyncio.timeout(TLS_RESOLVE_TIMEOUT_S):
            for name in hosts:
                if await _stands_for(name, host):
                    return ""
    except TimeoutError:
        log.debug("the names of a peer's certificate cannot be resolved in time")
    return f'tls: "{host}" does not match any of DNSNames {hosts}'


async def _stands_for(name: str, host: str) -> bool:
    """Whether a name of a certificate resolves to an address; a wildcard is looked up from the
    address.
    """
    loop = asyncio.get_running_loop()
    try:
        if name.startswith("*."):
            found, _ = await loop.getnameinfo((host, 0), socket.NI_NAMEREQD)
            return _matches(name.lower().split("."), found.lower().split("."))
        infos = await loop.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        # Nobody has that name, or nobody can have it.
        return False
    return any(ip_address(str(info[4][0])) == ip_address(host) for info in infos)


class Refusals:
    """Log lines about connections that were turned away, bounded in rate: anybody can connect."""

    def __init__(self, port: str) -> None:
        self._port = port
        self._window_ends = 0.0
        self._told = 0
        self._untold = 0

    def tell(self, remote: object, error: str) -> None:
        """One more. In each window some are told one by one, and the rest as a number."""
        now = time.monotonic()
        if now >= self._window_ends:
            if self._untold:
                log.warning(
                    "rejected more connections", extra={"port": self._port, "count": self._untold}
                )
            self._window_ends, self._told, self._untold = now + TLS_REFUSALS_WINDOW_S, 0, 0
        if self._told >= TLS_REFUSALS_TOLD:
            self._untold += 1
            return
        self._told += 1
        log.warning(
            f"rejected connection on {self._port} endpoint",
            extra={"remote-addr": _shown(remote), "error": error},
        )


def _shown(remote: object) -> str:
    return f"{remote[0]}:{remote[1]}" if isinstance(remote, tuple) else str(remote or "unix")
