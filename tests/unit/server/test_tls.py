"""TLS of a node's ports: rotation, agreed protocols, self-signed certificates, revocation, holds;
on asyncio's loop and on uvloop.

Long because every test wants the same port, with the same authority and clients, on both loops.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from kvorum.config_tls import TlsConfig
from kvorum.errors import ConfigError
from kvorum.http2.server import KvorumServer
from kvorum.server.listener import PREFACE, Listener, bind
from kvorum.server.tls import TlsPort, address_refusal, common_name, names_host
from kvorum.urls import parse_urls
from support.authority import Authority, Identity

PATIENCE_S = 60.0
Test = Callable[[], Coroutine[Any, Any, None]]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, None]], None]:
    """Runs a coroutine on each kind of loop, with a bound."""

    def runner(work: Coroutine[Any, Any, None]) -> None:
        bounded = asyncio.wait_for(work, PATIENCE_S)
        if request.param == "uvloop":
            pytest.importorskip("uvloop").run(bounded)
        else:
            asyncio.run(bounded)

    return runner


class Echo(asyncio.Protocol):
    """The HTTP/1.1 side of these tests: says what it hears, and notes how it ends."""

    def __init__(self) -> None:
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(b"heard " + data)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.ended.set_result(exc)


class Door:
    """A listener with TLS, and who came over HTTP/1.1."""

    def __init__(
        self,
        config: TlsConfig,
        folder: Path,
        http: type[Echo] = Echo,
        sockets: list[socket.socket] | None = None,
    ) -> None:
        self.echoes: list[Echo] = []
        urls = parse_urls("https://127.0.0.1:0")
        self.sockets = bind(urls) if sockets is None else sockets
        self.tls = TlsPort(config, folder, urls)
        self.tls.check(listens=True, dials=False)

        def accepted() -> Echo:
            self.echoes.append(http())
            return self.echoes[-1]

        self.listener = Listener(
            self.sockets, KvorumServer([]), accepted, tls=self.tls, secure=self.sockets
        )

    async def __aenter__(self) -> Door:
        await self.listener.start()
        (self.port,) = self.listener.ports
        return self

    async def __aexit__(self, *what: object) -> None:
        await self.listener.stop(0.1)

    async def connect(
        self, authority: Authority | None, shown: Identity | None = None, alpn: str = ""
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if authority is not None:
            made.load_verify_locations(authority.file)
        else:
            made.check_hostname = False
            made.verify_mode = ssl.CERT_NONE
        if alpn:
            made.set_alpn_protocols(alpn.split(","))
        if shown is not None:
            made.load_cert_chain(shown.cert, shown.key)
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=made)


def config_of(shown: Identity, **more: Any) -> TlsConfig:
    return TlsConfig(cert_file=shown.cert, key_file=shown.key, **more)


async def shown_serial(door: Door, authority: Authority) -> int:
    """The serial number of the certificate that a new connection is shown."""
    _, writer = await door.connect(authority)
    der = writer.get_extra_info("ssl_object").getpeercert(True)
    writer.close()
    return x509.load_der_x509_certificate(der).serial_number


# --- what is spoken -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offered", "agreed", "first", "answer"),
    [
        ("h2", "h2", PREFACE, b"\x00\x00"),
        ("", None, PREFACE, b"\x00\x00"),
        ("http/1.1", "http/1.1", b"GET /", b"heard GET /"),
        ("", None, b"GET /", b"heard GET /"),
        # Browsers and curl offer both; what they want is pages.
        ("h2,http/1.1", "http/1.1", b"GET /", b"heard GET /"),
        ("grpc-exp,h2", "h2", PREFACE, b"\x00\x00"),
    ],
)
def test_what_both_sides_agreed_on_decides(
    tmp_path: Path,
    run: Callable[[Coroutine[Any, Any, None]], None],
    offered: str,
    agreed: str | None,
    first: bytes,
    answer: bytes,
) -> None:
    authority = Authority(tmp_path)

    async def main() -> None:
        async with Door(config_of(authority.issue("server")), tmp_path) as door:
            reader, writer = await door.connect(authority, alpn=offered)
            assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == agreed
            writer.write(first)
            assert await reader.readexactly(len(answer)) == answer
            writer.close()

    run(main())


def test_much_both_ways_and_a_proper_end(
    tmp_path: Path, run: Callable[[Coroutine[Any, Any, None]], None]
) -> None:
    authority = Authority(tmp_path)
    big = os.urandom(3_000_000)

    class Back(Echo):
        """Gives everything back once, and then closes."""

        def __init__(self) -> None:
            super().__init__()
            self.got = bytearray()

        def data_received(self, data: bytes) -> None:
            self.got += data
            if len(self.got) == len(big):
                self.transport.write(bytes(self.got))
                self.transport.close()

    def there_and_back(port: int) -> bytes:
        made = ssl.create_default_context(cafile=authority.file)
        made.set_alpn_protocols(["http/1.1"])
        with (
            socket.create_connection(("127.0.0.1", port), PATIENCE_S) as raw,
            made.wrap_socket(raw, server_hostname="127.0.0.1") as secure,
        ):
            secure.sendall(big)
            return b"".join(iter(lambda: secure.recv(65536), b""))

    async def main() -> None:
        async with Door(config_of(authority.issue("server")), tmp_path, Back) as door:
            assert await asyncio.to_thread(there_and_back, door.port) == big
            assert await door.echoes[0].ended is None
            # And the other way round: the client says goodbye.
            _, writer = await door.connect(authority, alpn="http/1.1")
            writer.close()
            await writer.wait_closed()
            while len(door.echoes) < 2:
                await asyncio.sleep(0.01)
            assert await door.echoes[1].ended is None

    run(main())


def test_facts_about_the_connection(
    tmp_path: Path, run: Callable[[Coroutine[Any, Any, None]], None]
) -> None:
    authority = Authority(tmp_path)
    server, client = authority.issue("server"), authority.issue("client", cn="mary")
    config = config_of(server, trusted_ca_file=authority.file)

    async def main() -> None:
        async with Door(config, tmp_path) as door:
            reader, writer = await door.connect(authority, client, alpn="http/1.1")
            writer.write(b"x")
            await reader.readexactly(7)
            transport = door.echoes[0].transport
            assert common_name(transport.get_extra_info("peercert")) == "mary"
            assert common_name(transport.get_extra_info("ssl_object").getpeercert()) == "mary"
            assert isinstance(transport.get_extra_info("sslcontext"), ssl.SSLContext)
            assert transport.get_extra_info("cipher")[1].startswith("TLSv1")
            assert transport.get_extra_info("peername")[0] == "127.0.0.1"
            assert not transport.can_write_eof()
            writer.close()

    run(main())


def test_a_hold_stops_connections_old_and_new(
    tmp_path: Path, run: Callable[[Coroutine[Any, Any, None]], None]
) -> None:
    authority = Authority(tmp_path)

    async def main() -> None:
        async with Door(config_of(authority.issue("server")), tmp_path) as door:
            reader, writer = await door.connect(authority, alpn="http/1.1")
            writer.write(b"a")
            assert await reader.readexactly(7) == b"heard a"
            door.listener.hold()
            writer.write(b"b")
            another = asyncio.ensure_future(door.connect(authority, alpn="http/1.1"))
            done, _ = await asyncio.wait([another], timeout=0.2)
            assert not done, "a handshake went on while the listener was held"
            assert len(door.echoes) == 1
            door.listener.release()
            assert await reader.readexactly(7) == b"heard b"
            new_reader, new_writer = await another
            new_writer.write(b"c")
            assert await new_reader.readexactly(7) == b"heard c"
            writer.close()
            new_writer.close()

    run(main())


# --- files that change ----------------------------------------------------------------------------


def test_certificates_are_read_again_for_each_connection(
    tmp_path: Path,
    run: Callable[[Coroutine[Any, Any, None]], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    authority = Authority(tmp_path)
    first = authority.issue("server")
    caplog.set_level(logging.INFO)

    async def main() -> None:
        async with Door(config_of(first), tmp_path) as door:
            reader, writer = await door.connect(authority, alpn="http/1.1")
            assert await shown_serial(door, authority) == first.serial
            second = authority.issue("server")
            assert await shown_serial(door, authority) == second.serial
            assert "read changed certificates" in caplog.text
            # Half a rotation: the key is there, its certificate not yet.
            kept = second.cert.read_bytes()
            third = authority.issue("server")
            new = third.cert.read_bytes()
            third.cert.write_bytes(kept)
            assert await shown_serial(door, authority) == second.serial
            kept_for = [str(getattr(record, "error", "")) for record in caplog.records]
            assert any("does not match the public key" in reason for reason in kept_for)
            third.cert.write_bytes(new)
            assert await shown_serial(door, authority) == third.serial
            # Nonsense, and a file that is gone: the last good one stays.
            third.cert.write_text("nonsense")
            assert await shown_serial(door, authority) == third.serial
            third.cert.unlink()
            assert await shown_serial(door, authority) == third.serial
            # Who was connected all the time never noticed.
            writer.write(b"x")
            assert await reader.readexactly(7) == b"heard x"
            writer.close()

    run(main())


def test_authorities_and_revocation_lists_are_read_again_too(
    tmp_path: Path, run: Callable[[Coroutine[Any, Any, None]], None]
) -> None:
    authority, other = Authority(tmp_path / "a"), Authority(tmp_path / "b", "other")
    server, client = authority.issue("server"), authority.issue("client")
    stranger = other.issue("stranger")
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(authority.file.read_bytes())
    crl = authority.revoke(tmp_path / "crl", pem=False)

    async def served(door: Door, shown: Identity) -> bool:
        try:
            reader, writer = await door.connect(authority, shown, alpn="http/1.1")
            writer.write(b"x")
            answer = await reader.read(7)
            writer.close()
        except (ssl.SSLError, ConnectionError):
            return False
        return answer == b"heard x"

    async def main() -> None:
        config = config_of(server, trusted_ca_file=trusted, crl_file=crl)
        async with Door(config, tmp_path) as door:
            assert [await served(door, x) for x in (client, stranger)] == [True, False]
            trusted.write_bytes(authority.file.read_bytes() + other.file.read_bytes())
            assert [await served(door, x) for x in (client, stranger)] == [True, True]
            trusted.write_bytes(other.file.read_bytes())
            assert [await served(door, x) for x in (client, stranger)] == [False, True]
            trusted.write_bytes(authority.file.read_bytes())
            authority.revoke(crl, client.serial)
            assert not await served(door, client)
            # A list that cannot be read leaves the one before in force.
            crl.write_text("nonsense")
            assert not await served(door, client)
            authority.revoke(crl)
            assert await served(door, client)

    run(main())


# --- self-signed certificates ---------------------------------------------------------------------


def test_a_self_signed_certificate_is_made_once(
    tmp_path: Path, run: Callable[[Coroutine[Any, Any, None]], None]
) -> None:
    async def main() -> None:
        config = TlsConfig(auto=True, validity_years=2)
        async with Door(config, tmp_path) as door:
            reader, writer = await door.connect(None, alpn="http/1.1")
            writer.write(b"x")
            assert await reader.readexactly(7) == b"heard x"
            writer.close()

    run(main())
    folder = tmp_path / "fixtures" / "client"
    cert, key = folder / "cert.pem", folder / "key.pem"
    assert (key.stat().st_mode & 0o777, folder.stat().st_mode & 0o777) == (0o600, 0o700)
    made = x509.load_pem_x509_certificate(cert.read_bytes())
    assert (made.not_valid_after_utc - made.not_valid_before_utc).days == 730
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "localhost" in names.get_values_for_type(x509.DNSName)
    assert "127.0.0.1" in map(str, names.get_values_for_type(x509.IPAddress))
    before = cert.read_bytes()
    TlsPort(TlsConfig(auto=True), tmp_path, parse_urls("https://127.0.0.1:1"))
    assert cert.read_bytes() == before


def test_names_that_nobody_can_have_are_refused_like_those_that_nobody_has() -> None:
    for name in ("a" * 64 + ".example", "a..example", "x" * 300):
        shown = {"subjectAltName": (("DNS", name), ("IP Address", "<invalid>"))}
        refusal = asyncio.run(address_refusal(shown, "127.0.0.1"))
        assert refusal == f"tls: \"127.0.0.1\" does not match any of DNSNames ['{name}']"


def test_addresses_of_a_certificate() -> None:
    names = ("<invalid>", "127.0.0.1", "0:0:0:0:0:0:0:1")
    shown = {"subjectAltName": tuple(("IP Address", name) for name in names)}
    assert names_host(shown, "127.0.0.1") and names_host(shown, "[::1]")
    assert not names_host(shown, "127.0.0.2")


def test_the_last_of_several_common_names_counts() -> None:
    shown = {"subject": ((("commonName", "a"),), (("commonName", "b"),))}
    assert common_name(shown) == "b"
    assert common_name({}) == ""


def test_a_certificate_that_cannot_be_judged_is_refused(
    run: Callable[[Coroutine[Any, Any, None]], None],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fails(connection: Any, host: str) -> str:
        raise KeyError("of all things")

    authority = Authority(tmp_path)

    async def main() -> None:
        async with Door(config_of(authority.issue("server")), tmp_path) as door:
            door.tls.refusal = fails  # type: ignore[method-assign]  # In the place of a real one.
            reader, writer = await door.connect(authority)
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
            writer.close()
            assert door.echoes == [] and not door.listener._handshakes

    run(main())
    assert any("rejected connection" in line.message for line in caplog.records)


def test_ipv4_through_a_socket_for_both_families(
    run: Callable[[Coroutine[Any, Any, None]], None], tmp_path: Path
) -> None:
    asked: list[str] = []

    async def noted(connection: Any, host: str) -> str:
        asked.append(host)
        return ""

    authority = Authority(tmp_path)

    async def main() -> None:
        try:
            sockets = bind(parse_urls("https://[::]:0"))
        except ConfigError:
            pytest.skip("this machine has no IPv6")
        async with Door(config_of(authority.issue("server")), tmp_path, sockets=sockets) as door:
            door.tls.refusal = noted  # type: ignore[method-assign]  # In the place of a real one.
            reader, writer = await door.connect(authority)
            writer.write(b"GET")
            assert await reader.readexactly(9) == b"heard GET"
            writer.close()

    run(main())
    assert asked == ["127.0.0.1"]
