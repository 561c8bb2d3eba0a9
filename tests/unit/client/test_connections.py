"""Connections: TLS, Unix sockets, members that fall silent, many calls at once."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from grpclib.config import Configuration
from grpclib.server import Server
from kvorum.client import TLS, Client, ConnectError
from kvorum.errors import ConfigError
from kvorum_proto import etcdserverpb as pb
from kvorum_proto.codec import Codec
from unit.client.fakes import FakeMember, Relay, bound_socket, header, members, put_event, until
from unit.client.watch_calls import Call, serve

RANGE = "/etcdserverpb.KV/Range"


def answering() -> FakeMember:
    """A member that answers ranges with nothing."""
    member = FakeMember()
    member.unary[RANGE] = lambda _: pb.RangeResponse(header=header(5))
    return member


class Certificates:
    """A CA, a server's certificate for 127.0.0.1 and a client's, as files."""

    def __init__(self, directory: Path) -> None:
        self.ca = trustme.CA()
        self.server = self.ca.issue_cert("127.0.0.1")
        client = self.ca.issue_cert("client@example.org")
        self.ca_file = directory / "ca.pem"
        self.cert_file = directory / "client.pem"
        self.key_file = directory / "client.key"
        self.ca.cert_pem.write_to_path(str(self.ca_file))
        client.private_key_pem.write_to_path(str(self.key_file))
        for blob in client.cert_chain_pems:
            blob.write_to_path(str(self.cert_file), append=True)

    def context(self, *, client_certificate: bool) -> ssl.SSLContext:
        """The server's side."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.set_alpn_protocols(["h2"])
        self.server.configure_cert(context)
        if client_certificate:
            context.verify_mode = ssl.CERT_REQUIRED
            self.ca.configure_trust(context)
        return context


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Certificates]:
    """Made once: keys take time."""
    yield Certificates(tmp_path_factory.mktemp("certificates"))


async def ask(
    certificates: Certificates, tls: TLS | None, *, client_certificate: bool = False
) -> None:
    """One read from a member behind TLS."""
    sock = bound_socket()
    server = Server([answering()], codec=Codec())
    context = certificates.context(client_certificate=client_certificate)
    await server.start(sock=sock, ssl=context)
    try:
        endpoint = f"https://127.0.0.1:{sock.getsockname()[1]}"
        async with Client(endpoint, tls=tls, dial_timeout_s=1.0) as client:
            assert (await client.get("a")).header.revision == 5
    finally:
        server.close()
        await server.wait_closed()


def test_tls_with_the_right_authority(certificates: Certificates) -> None:
    asyncio.run(ask(certificates, TLS(ca_cert=certificates.ca_file)))
    asyncio.run(ask(certificates, TLS(insecure_skip_verify=True)))


def test_tls_with_a_client_certificate(certificates: Certificates) -> None:
    tls = TLS(certificates.ca_file, certificates.cert_file, certificates.key_file)
    asyncio.run(ask(certificates, tls, client_certificate=True))


def test_tls_that_does_not_fit_is_a_connect_error(certificates: Certificates) -> None:
    with pytest.raises(ConnectError, match="certificate verify failed"):
        asyncio.run(ask(certificates, None))
    wrong_name = TLS(certificates.ca_file, server_name="elsewhere.example.org")
    with pytest.raises(ConnectError, match="certificate verify failed"):
        asyncio.run(ask(certificates, wrong_name))
    with pytest.raises(ConnectError):
        asyncio.run(ask(certificates, TLS(certificates.ca_file), client_certificate=True))


def test_wrong_tls_files_are_named(certificates: Certificates, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        TLS(ca_cert=tmp_path / "nowhere").context()
    with pytest.raises(ConfigError, match="go together"):
        TLS(cert=certificates.cert_file).context()
    with pytest.raises(ConfigError, match=r"client\.pem"):
        TLS(cert=certificates.cert_file, key=certificates.ca_file).context()


def test_a_plain_client_at_a_tls_port_sends_nothing(certificates: Certificates) -> None:
    async def scenario() -> None:
        sock = bound_socket()
        member = answering()
        server = Server([member], codec=Codec())
        await server.start(sock=sock, ssl=certificates.context(client_certificate=False))
        endpoint = f"http://127.0.0.1:{sock.getsockname()[1]}"
        async with Client(endpoint, dial_timeout_s=0.3) as client:
            with pytest.raises(ConnectError):
                await client.put("a", "1")
        server.close()
        await server.wait_closed()
        assert member.metadata == []

    asyncio.run(scenario())


def test_a_unix_socket(tmp_path: Path) -> None:
    async def scenario() -> None:
        server = Server([answering()], codec=Codec())
        path = tmp_path / "s"
        await server.start(path=str(path))
        async with Client(f"unix://{path}") as client:
            assert (await client.get("a")).header.revision == 5
        server.close()
        await server.wait_closed()

    asyncio.run(scenario())


def test_a_watch_leaves_a_member_that_falls_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing breaks and nothing comes: only unanswered pings tell."""
    quick = Configuration(
        _keepalive_time=0.1,
        _keepalive_timeout=0.2,
        _http2_max_pings_without_data=0,
        _http2_min_sent_ping_interval_without_data=0.05,
    )
    monkeypatch.setattr("kvorum.client.connection._CONFIGURATION", quick)

    async def scenario() -> None:
        async with members(2) as (one, two), Relay(one.endpoint) as relay:

            async def silent(call: Call) -> None:
                await call.created(0)
                await call.stay()

            async def lively(call: Call) -> None:
                await call.created(0)
                await call.send(0, put_event(b"a", 11))
                await call.stay()

            serve(one, silent)
            serve(two, lively)
            async with Client([relay.endpoint, two.endpoint], dial_timeout_s=0.2) as client:
                client._caller.picker._at = 0
                async with client.watch("a") as watch:
                    assert watch.statistics().endpoint == relay.endpoint
                    relay.stop()
                    async with asyncio.timeout(20):
                        assert (await anext(watch)).revision == 11
                    assert watch.statistics().endpoint == two.endpoint

    asyncio.run(scenario())


def test_an_idle_watch_on_a_lively_member_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = Configuration(
        _keepalive_time=0.02,
        _keepalive_timeout=5.0,
        _http2_max_pings_without_data=0,
        _http2_min_sent_ping_interval_without_data=0.01,
    )
    monkeypatch.setattr("kvorum.client.connection._CONFIGURATION", quick)

    async def scenario() -> None:
        async with members() as (one,), Client(one.endpoint) as client:
            go = asyncio.Event()

            async def idle(call: Call) -> None:
                await call.created(0)
                await go.wait()
                await call.send(0, put_event(b"a", 11))
                await call.stay()

            opened = serve(one, idle)
            async with client.watch("a") as watch:
                protocol = client._caller.pool.connection(
                    client._caller.picker.endpoints[0]
                )._channel._protocol
                assert protocol is not None
                # Several pings have been sent and answered before anything else happens.
                first = protocol.connection.last_ping_sent
                await until(lambda: protocol.connection.last_ping_sent not in (None, first))
                go.set()
                assert (await anext(watch)).revision == 11
            assert opened == [0]

    asyncio.run(scenario())


def test_many_calls_at_once_share_one_connection() -> None:
    async def scenario() -> None:
        async with members() as (one,), Relay(one.endpoint) as relay:
            one.unary[RANGE] = lambda _: pb.RangeResponse(header=header(5))
            async with Client(relay.endpoint, dial_timeout_s=30, timeout_s=60) as client:
                await asyncio.gather(*(client.get(f"k{n}") for n in range(300)))
            assert relay.connections == 1
            assert len(one.seen) == 300

    asyncio.run(scenario())
