"""The pages that members serve beside the API, over HTTP/1.1, and the certificates they show."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from kvorum.client.connection import TLS
from kvorum.client.dialler import Dialler

HTTP_S = 3.0
TUNNEL_S = 10.0  # Behind a tunnel a connection of its own takes longer.
PAGE_BYTES = 4 << 20

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def page(
    endpoint: str, path: str, tls: TLS | None = None, dialler: Dialler | None = None
) -> tuple[Mapping[str, str], str]:
    """A member's page: its headers, their names in small letters, and its text. Raises OSError,
    TimeoutError or ValueError (an answer that is no page).
    """
    async with asyncio.timeout(HTTP_S if dialler is None else TUNNEL_S):
        async with _connected(endpoint, tls, dialler, "http/1.1") as (reader, writer):
            host = urlsplit(endpoint).netloc or "localhost"
            writer.write(
                f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
            )
            await writer.drain()
            data = bytearray()
            while chunk := await reader.read(65_536):
                data += chunk
                if len(data) > PAGE_BYTES:
                    raise ValueError(f"{path} is longer than {PAGE_BYTES >> 20} MiB")
    head, _, body = bytes(data).partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    if " 200" not in first:
        raise ValueError(f"{path}: {first or 'no answer'}")
    headers = {name.lower(): value.strip() for name, _, value in (s.partition(":") for s in lines)}
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = _unchunked(body)
    return headers, body.decode("utf-8", "replace")


async def shown_certificate(
    endpoint: str, tls: TLS | None = None, dialler: Dialler | None = None
) -> bytes | None:
    """The certificate that a member shows, from a handshake of its own; None where there is none.
    Raises OSError, TimeoutError or ValueError.
    """
    async with asyncio.timeout(HTTP_S if dialler is None else TUNNEL_S):
        async with _connected(endpoint, tls, dialler, "h2") as (_, writer):
            shown = writer.get_extra_info("ssl_object")
            return shown.getpeercert(binary_form=True) if shown is not None else None


@asynccontextmanager
async def _connected(
    endpoint: str, tls: TLS | None, dialler: Dialler | None, protocol: str
) -> AsyncIterator[Streams]:
    parts = urlsplit(endpoint)
    context = None
    if parts.scheme == "https":
        context = (tls or TLS()).context()
        context.set_alpn_protocols([protocol])
    if not parts.hostname or not parts.port:
        raise ValueError("no address for HTTP")
    name = (tls.server_name if tls is not None else None) or parts.hostname
    if dialler is None:
        reader, writer = await _straight(parts.hostname, parts.port, context, name)
        try:
            yield reader, writer
        finally:
            writer.close()
        return
    reader, writer, line = await dialler.streams(parts.hostname, parts.port, context, name)
    try:
        yield reader, writer
    finally:
        writer.close()
        line.hang_up()


async def _straight(host: str, port: int, context: ssl.SSLContext | None, name: str) -> Streams:
    return await asyncio.open_connection(
        host, port, ssl=context, server_hostname=name if context is not None else None
    )


def _unchunked(data: bytes) -> bytes:
    out = b""
    while data:
        size, _, rest = data.partition(b"\r\n")
        length = int(size.split(b";")[0] or b"0", 16)
        if not length:
            break
        out += rest[:length]
        data = rest[length + 2 :]
    return out
