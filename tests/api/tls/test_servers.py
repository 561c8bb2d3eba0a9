"""What clients and members think of servers: a certificate that is not good ends the try, with a
text that says why; and the certificate's name is who calls.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from api.tls.member import MemberThread
from grpclib.client import UnaryUnaryMethod
from kvorum.client import TLS, Client, ConnectError
from kvorum.config_tls import TlsConfig
from kvorum.errors import ConfigError
from kvorum.http2.server import KvorumServer
from kvorum.server.dial import BROKEN, channel_to
from kvorum.server.exchange import MEMBERS_PATH
from kvorum.server.listener import Listener, bind
from kvorum.server.tls import TlsPort
from kvorum.urls import parse_urls
from kvorum_proto import etcdserverpb as pb
from kvorum_proto.kvorum import v1
from support.authority import CLIENT_ONLY, DAY, Authority, Identity
from unit.client.fakes import FakeMember, header

RANGE = "/etcdserverpb.KV/Range"
Served = Callable[[Authority, Path], Identity]

SERVERS: dict[str, tuple[Served, str]] = {
    "expired": (
        lambda a, f: a.issue("server", ends=-timedelta(hours=1)),
        "certificate has expired",
    ),
    "not yet valid": (lambda a, f: a.issue("server", begins=DAY), "certificate is not yet valid"),
    "another address": (
        lambda a, f: a.issue("server", hosts=("192.0.2.7",)),
        "IP address mismatch",
    ),
    "another name": (lambda a, f: a.issue("server", hosts=("example.org",)), "mismatch"),
    "no name at all": (lambda a, f: a.issue("server", cn="127.0.0.1", hosts=()), "mismatch"),
    "foreign authority": (
        lambda a, f: Authority(f / "foreign", "foreign").issue("server"),
        "unable to get local issuer certificate",
    ),
    "self-signed": (
        lambda a, f: a.issue("server", self_signed=True),
        "self-signed certificate",
    ),
    "a client's certificate": (
        lambda a, f: a.issue("server", uses=CLIENT_ONLY),
        "unsuitable certificate purpose",
    ),
}


def answering() -> FakeMember:
    """A member that answers ranges with nothing."""
    member = FakeMember()
    member.unary[RANGE] = lambda _: pb.RangeResponse(header=header(5))
    return member


async def with_server(
    config: TlsConfig, folder: Path, use: Callable[[int], object], url: str = "https://127.0.0.1:0"
) -> None:
    """Serve with these certificates while ``use(port)`` runs."""
    urls = parse_urls(url)
    sockets = bind(urls)
    port = TlsPort(config, folder, urls)
    listener = Listener(
        sockets, KvorumServer([answering()]), asyncio.Protocol, tls=port, secure=sockets
    )
    await listener.start()
    try:
        work = use(0 if urls[0].is_unix else listener.ports[0])
        assert asyncio.iscoroutine(work)
        await work
    finally:
        await listener.stop(0.1)


async def read(endpoint: str, tls: TLS) -> int:
    async with Client(endpoint, tls=tls, dial_timeout_s=30.0, timeout_s=30.0) as client:
        # A member's own client says at once what is wrong, instead of trying again.
        return (await client.member(endpoint).get("a")).header.revision


def config_of(shown: Identity) -> TlsConfig:
    return TlsConfig(cert_file=shown.cert, key_file=shown.key)


@pytest.mark.parametrize("case", SERVERS)
def test_a_client_refuses_the_server(tmp_path: Path, case: str) -> None:
    made, why = SERVERS[case]
    authority = Authority(tmp_path / "good")
    shown = made(authority, tmp_path)

    async def use(port: int) -> None:
        endpoint = f"https://127.0.0.1:{port}"
        with pytest.raises(ConnectError, match=why):
            await read(endpoint, TLS(authority.file))
        # Who asks not to look gets in.
        assert await read(endpoint, TLS(insecure_skip_verify=True)) == 5

    asyncio.run(with_server(config_of(shown), tmp_path, use))


@pytest.mark.parametrize("case", SERVERS)
def test_a_member_refuses_the_member_it_dials(tmp_path: Path, case: str) -> None:
    made, why = SERVERS[case]
    authority = Authority(tmp_path / "good")
    shown = made(authority, tmp_path)
    own = authority.issue("own")
    dialler = TlsPort(
        TlsConfig("peer", own.cert, own.key, trusted_ca_file=authority.file), tmp_path
    )
    dialler.check(listens=True, dials=True)

    async def use(port: int) -> None:
        channel = channel_to(f"https://127.0.0.1:{port}", dialler)
        method = UnaryUnaryMethod(
            channel, MEMBERS_PATH, v1.PeerMembersRequest, v1.PeerMembersResponse
        )
        with pytest.raises(BROKEN) as caught:
            await method(v1.PeerMembersRequest())
        assert why in str(caught.value)
        channel.close()

    asyncio.run(with_server(config_of(shown), tmp_path, use))


def test_a_member_refuses_a_member_of_another_name(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    shown, own = authority.issue("server", cn="guest"), authority.issue("own", cn="member")
    config = TlsConfig(
        "peer", own.cert, own.key, trusted_ca_file=authority.file, allowed_cn="member"
    )

    async def use(port: int) -> None:
        channel = channel_to(f"https://127.0.0.1:{port}", TlsPort(config, tmp_path))
        with pytest.raises(ConnectionError, match="client certificate authentication failed"):
            await channel.__connect__()

    asyncio.run(with_server(config_of(shown), tmp_path, use))


def test_a_server_that_speaks_plainly_is_refused(tmp_path: Path) -> None:
    authority = Authority(tmp_path)

    async def main() -> None:
        sockets = bind(parse_urls("http://127.0.0.1:0"))
        listener = Listener(sockets, KvorumServer([answering()]), asyncio.Protocol)
        await listener.start()
        with pytest.raises(ConnectError, match="cannot connect"):
            await read(f"https://127.0.0.1:{listener.ports[0]}", TLS(authority.file))
        assert await read(f"http://127.0.0.1:{listener.ports[0]}", TLS(authority.file)) == 5
        await listener.stop(0.1)

    asyncio.run(main())


def test_another_name_can_be_asked_for(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    shown = authority.issue("server", hosts=("store.example.org",))

    async def use(port: int) -> None:
        endpoint = f"https://127.0.0.1:{port}"
        assert await read(endpoint, TLS(authority.file, server_name="store.example.org")) == 5
        with pytest.raises(ConnectError, match="mismatch"):
            await read(endpoint, TLS(authority.file, server_name="shop.example.org"))

    asyncio.run(with_server(config_of(shown), tmp_path, use))


def test_sockets_in_the_file_system_speak_tls_too(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    shown = authority.issue("server")
    url = f"unixs://{tmp_path}/socket"

    async def use(port: int) -> None:
        assert await read(url, TLS(authority.file)) == 5

    asyncio.run(with_server(config_of(shown), tmp_path, use, url))


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_client_takes_new_certificates_for_new_connections(tmp_path: Path, loop: str) -> None:
    uvloop = pytest.importorskip("uvloop")
    authority = Authority(tmp_path / "good")
    shown = authority.issue("server")
    served = TlsConfig(cert_file=shown.cert, key_file=shown.key, trusted_ca_file=authority.file)
    mine = authority.issue("mine", ends=-DAY / 2)

    async def use(port: int) -> None:
        tls = TLS(authority.file, mine.cert, mine.key)
        endpoint = f"https://127.0.0.1:{port}"
        async with Client(endpoint, tls=tls, timeout_s=30.0, dial_timeout_s=30.0) as client:
            with pytest.raises(ConnectError, match=r"(?i)expired"):
                await client.member(endpoint).get("a")
            authority.issue("mine")
            assert (await client.member(endpoint).get("a")).header.revision == 5

    work = with_server(served, tmp_path, use)
    if loop == "uvloop":
        uvloop.run(work)
    else:
        asyncio.run(work)


def test_who_calls_is_in_the_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "good")
    server = authority.issue("server")
    root, guest = authority.issue("root"), authority.issue("guest")
    flags = [
        f"--cert-file={server.cert}",
        f"--key-file={server.key}",
        "--client-cert-auth",
        f"--trusted-ca-file={authority.file}",
        "--bcrypt-cost=4",
    ]

    async def use(url: str) -> None:
        as_root = TLS(authority.file, root.cert, root.key)
        as_guest = TLS(authority.file, guest.cert, guest.key)
        async with (
            Client(url, tls=as_root) as boss,
            Client(url, tls=as_guest) as visitor,
            Client(url, tls=as_guest, user="root", password="secret") as both,
        ):
            await boss.auth.user_add("root", "secret")
            await boss.auth.role_add("root")
            await boss.auth.grant_role("root", "root")
            await boss.auth.user_add("guest", no_password=True)
            await boss.auth.role_add("reader")
            await boss.auth.grant_permission("reader", "READ", "open/", prefix=True)
            await boss.auth.grant_role("guest", "reader")
            await boss.auth.enable()
            await boss.put("open/door", "1")
            assert (await visitor.get("open/door")).value == b"1"
            with pytest.raises(Exception, match="permission denied"):
                await visitor.put("open/door", "2")
            # A token says more than a certificate.
            await both.put("open/door", "3")

    with MemberThread(tmp_path / "data", flags, peers="http") as member:
        asyncio.run(use(member.url))


def test_files_that_are_wrong_are_named(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    shown, other = authority.issue("server"), authority.issue("other")
    assert TLS(authority.file, shown.cert, shown.key).context().verify_mode is ssl.CERT_REQUIRED
    for tls, text in (
        (TLS(tmp_path / "none"), f"open {tmp_path}/none: no such file or directory"),
        (TLS(authority.file, shown.cert, other.key), "does not match the public key"),
        (TLS(shown.key), "holds no PEM certificate"),
    ):
        with pytest.raises(ConfigError, match=text):
            tls.context()
