"""What is asked of one member over a connection of its own: its certificate, without and with one
that is wrong.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from datetime import timedelta
from pathlib import Path

import pytest
from kvorum.client import TLS, Client
from kvorum_tui.live.checks import LiveChecks
from kvorum_tui.session import SessionError
from kvorum_tui.session.checks import Certificate
from support.authority import Authority, Identity


def no_client() -> Client:
    raise AssertionError("a certificate needs no client")


async def shown_by(server: Identity, tls: TLS | None) -> Certificate | None:
    """What the session tells of a server that has this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.cert, server.key)

    def let_go(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    listening = await asyncio.start_server(let_go, "127.0.0.1", 0, ssl=context)
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        return await LiveChecks(no_client, tls).certificate(f"https://127.0.0.1:{port}")


def test_a_certificate_with_its_end(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server = authority.issue("server", cn="n1", ends=timedelta(days=9))
    told = asyncio.run(shown_by(server, TLS(ca_cert=authority.file)))
    assert told is not None
    assert "n1" in told.subject and "test authority" in told.issuer
    assert 8.9 < (told.until - time.time()) / 86_400 <= 9.1
    unchecked = asyncio.run(shown_by(server, TLS(insecure_skip_verify=True)))
    assert unchecked == told


def test_what_cannot_be_read_says_why(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "a")
    other = Authority(tmp_path / "b")
    over = authority.issue("over", begins=timedelta(days=-2), ends=timedelta(days=-1))
    with pytest.raises(SessionError, match="expired"):
        asyncio.run(shown_by(over, TLS(ca_cert=authority.file)))
    with pytest.raises(SessionError, match="TLS handshake"):
        asyncio.run(shown_by(authority.issue("server"), TLS(ca_cert=other.file)))
    with pytest.raises(SessionError, match=r"gone\.pem"):
        asyncio.run(shown_by(over, TLS(ca_cert=tmp_path / "gone.pem")))
    assert asyncio.run(LiveChecks(no_client, None).certificate("http://127.0.0.1:1")) is None
