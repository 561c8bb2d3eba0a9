"""URLs of members, read the way etcd reads them and refused in its words."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import urlsplit


class Url(NamedTuple):
    """One endpoint. ``text`` is what was written; it is what identity is computed from."""

    text: str
    scheme: str
    host: str
    port: int
    # Path of the socket of a unix:// URL, else empty.
    path: str = ""

    @property
    def is_unix(self) -> bool:
        """Whether this names a socket in the file system."""
        return self.scheme in ("unix", "unixs")

    @property
    def is_secure(self) -> bool:
        """Whether it is spoken to over TLS."""
        return self.scheme in ("https", "unixs")


def parse_url(text: str) -> Url:
    """One URL of the form http://host:port. ValueError with etcd's sentence otherwise."""
    text = text.strip()
    if text[:1].isdigit() and ":" in text.partition("/")[0]:
        # Go's words for an address without a scheme.
        raise ValueError(f'parse "{text}": first path segment in URL cannot contain colon')
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https", "unix", "unixs"):
        raise ValueError(f"URL scheme must be http, https, unix, or unixs: {text}")
    if parts.scheme in ("unix", "unixs"):
        return Url(text, parts.scheme, "", 0, parts.netloc + parts.path)
    try:
        port = parts.port
    except ValueError:
        port = None
    if port is None:
        raise ValueError(f'URL address does not have the form "host:port": {text}')
    if parts.path:
        raise ValueError(f"URL must not contain a path: {text}")
    return Url(text, parts.scheme, parts.hostname or "", port)


def parse_urls(text: str) -> tuple[Url, ...]:
    """A comma separated list of URLs, in etcd's order: sorted by text. ValueError for any bad
    one. No text, no URLs."""
    parts = text.split(",") if text.strip() else ()
    return tuple(sorted((parse_url(part) for part in parts), key=lambda url: url.text))


def is_bindable(url: Url) -> bool:
    """Whether a listener may be opened on it: an address or ``localhost``, not a name that may
    resolve to anything."""
    if url.is_unix or url.host == "localhost":
        return True
    try:
        ipaddress.ip_address(url.host.partition("%")[0])
    except ValueError:
        return False
    return True


def is_unspecified(url: Url) -> bool:
    """Whether the host means every interface (0.0.0.0 or ::)."""
    try:
        return ipaddress.ip_address(url.host).is_unspecified
    except ValueError:
        return False


def with_host(url: Url, host: str) -> Url:
    """The same endpoint on another host."""
    shown = f"[{host}]" if ":" in host else host
    return Url(f"{url.scheme}://{shown}:{url.port}", url.scheme, host, url.port)


def resolved(urls: Iterable[Url]) -> list[str]:
    """The URLs with their hosts resolved to addresses, sorted; a host that does not resolve stays
    as it is written."""
    found = []
    for url in urls:
        if url.is_unix:
            found.append(url.text)
            continue
        try:
            infos = socket.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
            host = sorted(str(info[4][0]) for info in infos)[0]
        except OSError:
            host = url.host
        found.append(with_host(url, host).text)
    return sorted(found)


def default_host() -> str:
    """The address other machines reach this one by (of the default route), or empty when there is
    none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # A datagram socket "connects" without sending anything; the kernel picks the route's
            # own address.
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return ""


def plain_address(host: str) -> str:
    """An address as its owner knows it: sockets for both families show IPv4's as part of IPv6's."""
    try:
        mapped = ipaddress.IPv6Address(host).ipv4_mapped
    except ValueError:
        return host
    return host if mapped is None else str(mapped)
