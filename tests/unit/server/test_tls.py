"""TLS of a node's ports: rotation, agreed protocols, self-signed certificates, revocation, holds;
on asyncio's loop and on uvloop.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from kvorum.certs import Watched
from kvorum.config_tls import TlsConfig
from kvorum.errors import ConfigError
from kvorum.http2.server import KvorumServer
from kvorum.server import tls as tls_module
from kvorum.server.listener import PREFACE, Listener, bind
from kvorum.server.selfsigned import self_signed
from kvorum.server.tls import Refusals, TlsPort, address_refusal, common_name, names_host
from kvorum.urls import parse_urls
from support.authority import DAY, Authority, Identity

PATIENCE_S = 20.0
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

    def __init__(self, config: TlsConfig, folder: Path, http: type[Echo] = Echo) -> None:
        self.echoes: list[Echo] = []
        urls = parse_urls("https://127.0.0.1:0")
        self.sockets = bind(urls)
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


def test_something_made_from_files_is_made_again_only_when_they_change(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("1")
    old = 1_000_000_000_000_000_000
    os.utime(file, ns=(old, old))
    made: list[str] = []

    def make() -> str:
        text = file.read_text()
        made.append(text)
        if text == "bad":
            raise ConfigError("bad")
        return text

    watched = Watched((file, None), make)
    assert [watched.get() for _ in range(3)] == ["1"] * 3
    assert made == ["1"]
    file.write_text("bad")
    os.utime(file, ns=(old + 1, old + 1))
    assert [watched.get() for _ in range(3)] == ["1"] * 3
    assert made == ["1", "bad"]
    file.write_text("2")
    os.utime(file, ns=(old + 2, old + 2))
    assert [watched.get() for _ in range(3)] == ["2"] * 3
    assert made == ["1", "bad", "2"]
    # So new that it may change within one tick of the clock: looked at every time.
    file.write_text("3")
    assert [watched.get() for _ in range(2)] == ["3"] * 2
    assert made[3:] in (["3"], ["3", "3"])


def test_something_that_cannot_be_made_at_first_is_an_error(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    shown, other = authority.issue("server"), authority.issue("other")
    nowhere = tmp_path / "nowhere"
    good = config_of(shown)
    for config, text in (
        (replace(good, key_file=other.key), "does not match the public key of certificate"),
        (replace(good, cert_file=nowhere), f"open {nowhere}: no such file or directory"),
        (replace(good, cert_file=shown.key), "not a PEM certificate and an unencrypted PEM key"),
        (replace(good, trusted_ca_file=nowhere), f"open {nowhere}: no such file or directory"),
        (replace(good, trusted_ca_file=shown.key), "holds no PEM certificate"),
        (replace(good, crl_file=nowhere), f"revocation list {nowhere}: "),
        (replace(good, crl_file=shown.cert), f"revocation list {shown.cert}: "),
        (replace(good, ciphers=("RC4-SHA",)), "this machine's OpenSSL has none of RC4-SHA"),
    ):
        with pytest.raises(ConfigError) as caught:
            TlsPort(config, tmp_path).check(listens=True, dials=False)
        assert text in str(caught.value)


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


def test_a_self_signed_certificate_that_ran_out_is_replaced(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    old = authority.issue("cert", ends=-DAY / 2)
    folder = tmp_path / "fixtures"
    folder.mkdir()
    (folder / "cert.pem").write_bytes(old.cert.read_bytes())
    (folder / "key.pem").write_bytes(old.key.read_bytes())
    cert, _ = self_signed(folder, ["::1", "host.example"], 1)
    made = x509.load_pem_x509_certificate(cert.read_bytes())
    assert made.serial_number != old.serial
    with pytest.raises(ConfigError, match="cannot keep a self-signed certificate"):
        self_signed(cert / "below", [], 1)


def test_no_certificate_is_made_for_plain_urls(tmp_path: Path) -> None:
    TlsPort(TlsConfig(auto=True), tmp_path, parse_urls("http://127.0.0.1:1"))
    assert list(tmp_path.iterdir()) == []


# --- names ----------------------------------------------------------------------------------------


def shown_for(*names: tuple[str, str]) -> dict[str, Any]:
    """What getpeercert gives for a certificate with these alternative names."""
    return {"subject": ((("commonName", "x.example"),),), "subjectAltName": names}


@pytest.mark.parametrize(
    ("names", "host", "fits"),
    [
        ((("DNS", "a.example"),), "a.example", True),
        ((("DNS", "A.Example"),), "a.EXAMPLE.", True),
        ((("DNS", "*.example"),), "a.example", True),
        ((("DNS", "*.example"),), "a.b.example", False),
        ((("DNS", "*.example"),), "example", False),
        ((("DNS", "a*.example"),), "ab.example", False),
        ((("DNS", "127.0.0.1"),), "127.0.0.1", False),
        ((("IP Address", "127.0.0.1"),), "127.0.0.1", True),
        ((("IP Address", "0:0:0:0:0:0:0:1"),), "::1", True),
        ((("IP Address", "127.0.0.1"),), "127.0.0.2", False),
        # The common name is no host name, as in Go.
        ((), "x.example", False),
    ],
)
def test_names_of_certificates(names: tuple[tuple[str, str], ...], host: str, fits: bool) -> None:
    assert names_host(shown_for(*names), host) is fits


@pytest.mark.parametrize(
    ("names", "refusal"),
    [
        ((), ""),
        ((("IP Address", "127.0.0.1"),), ""),
        ((("DNS", "localhost"),), ""),
        ((("IP Address", "192.0.2.1"), ("DNS", "localhost")), ""),
        ((("IP Address", "192.0.2.1"),), "x509: certificate is valid for 192.0.2.1, not 127.0.0.1"),
        (
            (("DNS", "nowhere.invalid"), ("DNS", "*.nowhere.invalid")),
            'tls: "127.0.0.1" does not match any of DNSNames '
            "['nowhere.invalid', '*.nowhere.invalid']",
        ),
    ],
)
def test_addresses_of_peers(names: tuple[tuple[str, str], ...], refusal: str) -> None:
    assert asyncio.run(address_refusal(shown_for(*names), "127.0.0.1")) == refusal


# --- the log --------------------------------------------------------------------------------------


def test_refusals_are_told_within_bounds(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = [100.0]
    monkeypatch.setattr(tls_module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(tls_module, "TLS_REFUSALS_TOLD", 3)
    refusals = Refusals("peer")
    for number in range(50):
        refusals.tell(("192.0.2.1", number), "no")
    assert len(caplog.records) == 3
    first = caplog.records[0]
    assert first.message == "rejected connection on peer endpoint"
    assert first.__dict__["remote-addr"] == "192.0.2.1:0"
    now[0] += tls_module.TLS_REFUSALS_WINDOW_S
    refusals.tell("", "no")
    assert [r.message for r in caplog.records[3:]] == [
        "rejected more connections",
        "rejected connection on peer endpoint",
    ]
    assert caplog.records[3].__dict__["count"] == 47
