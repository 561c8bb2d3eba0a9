"""Members behind a bastion, reached through ssh or another program."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme
from grpclib.server import Server
from kvorum.client import TLS, Client, ConnectError, Tunnel, dialler
from kvorum.client.contexts import Context, check_context
from kvorum.client.tunnel import tunnel_of
from kvorum.client.web import page, shown_certificate
from kvorum.errors import ConfigError
from kvorum_proto import etcdserverpb as pb
from kvorum_proto.codec import Codec
from support.fake_ssh import FakeSsh, runs
from unit.client.fakes import FakeMember, bound_socket, header, unused_endpoint

RANGE = "/etcdserverpb.KV/Range"
SSH = Tunnel(ssh="ops@bastion:2222")


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSsh:
    """ssh, to a place that alone knows where ``a.inner`` and ``b.inner`` are."""
    made = FakeSsh(tmp_path, {"a.inner": "127.0.0.1", "b.inner": "127.0.0.1"})
    monkeypatch.setenv("PATH", made.path)
    return made


@asynccontextmanager
async def member(name: str, revision: int) -> AsyncIterator[str]:
    """A member that answers ranges with this revision; its address as the other side knows it."""
    found = FakeMember()
    found.unary[RANGE] = lambda _: pb.RangeResponse(header=header(revision))
    await found.start()
    try:
        yield f"http://{name}:{urlsplit(found.endpoint).port}"
    finally:
        await found.stop()


async def revision(client: Client, endpoint: str) -> int:
    """Asks one member."""
    return (await client.member(endpoint).get("a")).header.revision


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("bastion", ["--", "bastion"]),
        ("ops@bastion", ["--", "ops@bastion"]),
        ("ops@bastion:2222", ["-p", "2222", "--", "ops@bastion"]),
        ("ssh://ops@bastion:2222", ["-p", "2222", "--", "ops@bastion"]),
        ("ops@[fd00::1]:2222", ["-p", "2222", "--", "ops@fd00::1"]),
        ("[::1]", ["--", "::1"]),
    ],
)
def test_where_ssh_logs_in(text: str, words: list[str]) -> None:
    assert Tunnel(ssh=text).destination == words


@pytest.mark.parametrize(
    "text", ["-oProxyCommand=x", "ops@-x", "a b", "a:b", "a:99999", "ops@", "::1", "a;b c"]
)
def test_what_is_no_place_to_log_in(text: str) -> None:
    with pytest.raises(ConfigError, match="no place to log in"):
        Tunnel(ssh=text)


def test_a_proxy_command_gets_hosts_that_are_hosts() -> None:
    tunnel = Tunnel(proxy_command="nc -N '{host}' {port}")
    assert tunnel.arguments("10.0.0.1", 2379) == ["nc", "-N", "10.0.0.1", "2379"]
    assert Tunnel(proxy_command="x {host}:{port}").arguments("a", 1) == ["x", "a:1"]
    for host in ("-e/bin/sh", "a b", "$(x)", ""):
        with pytest.raises(ConfigError, match="no name of a host"):
            tunnel.arguments(host, 1)
        with pytest.raises(ConfigError, match="no name of a host"):
            SSH.stdio(host, 1)
    assert SSH.stdio("fd00::1", 2379) == "[fd00::1]:2379"
    with pytest.raises(ConfigError, match="proxy_command"):
        Tunnel(proxy_command="nc '{host}")
    with pytest.raises(ConfigError, match="one of them"):
        Tunnel(ssh="a", proxy_command="b")
    assert tunnel_of("", None) is None


def test_a_context_behind_a_tunnel_is_not_on_this_machine() -> None:
    here = Context("here", ("http://127.0.0.1:2379",))
    assert not here.guarded
    assert here.tunnel is None
    behind = Context("behind", here.endpoints, ssh="bastion")
    assert behind.guarded
    assert behind.way == " through ssh bastion"
    assert not Context("behind", here.endpoints, ssh="bastion", read_only=False).guarded
    with pytest.raises(ConfigError, match="no socket files"):
        check_context(Context("x", ("unix:///s",), ssh="bastion"), "x")
    with pytest.raises(ConfigError, match="x: give ssh or proxy_command"):
        check_context(Context("x", here.endpoints, ssh="a", proxy_command="b"), "x")


def test_all_members_share_one_login(fake: FakeSsh) -> None:
    async def scenario() -> None:
        async with (
            member("a.inner", 5) as a,
            member("b.inner", 6) as b,
            Client([a, b], tunnel=SSH) as client,
            Client(a, tunnel=SSH) as other,  # A second client of this process logs in no more.
        ):
            asked = (revision(client, a), revision(client, b), revision(other, a))
            assert await asyncio.gather(*asked) == [5, 6, 5]
            assert (await client.get("a")).header.revision in (5, 6)

    asyncio.run(scenario())
    calls = fake.calls()
    assert len(fake.masters()) == 1
    assert not any(call.get("own") for call in calls)
    assert all("-oBatchMode=yes" in call["args"] for call in calls)
    assert all(call["args"][-4:] == ["-p", "2222", "--", "ops@bastion"] for call in calls)
    fake.await_end()


def test_a_refused_login_is_told_with_ssh_s_last_words_and_not_repeated_at_once(
    fake: FakeSsh, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts: list[str] = []
    start = dialler.Spoken.start

    async def counted(arguments: list[str], *more: int) -> dialler.Spoken:
        starts.append(" ".join(arguments))
        return await start(arguments, *more)

    monkeypatch.setattr(dialler.Spoken, "start", counted)
    monkeypatch.setattr(dialler, "TUNNEL_BACKOFF_MIN_S", 1000.0)
    monkeypatch.setattr(dialler, "TUNNEL_BACKOFF_MAX_S", 1000.0)
    words = "ops@bastion: Permission denied (publickey)."
    fake.deny(words)

    async def scenario() -> None:
        async with member("a.inner", 5) as a:
            with pytest.raises(ConnectError) as raised:
                async with Client(a, tunnel=SSH):
                    pass
            assert raised.value.message == f"ssh ops@bastion:2222: {words}"
            # Without entering it, the first call finds out.
            client = Client(a, tunnel=SSH, timeout_s=0.5)
            for _ in range(3):
                with pytest.raises(ConnectError, match="Permission denied"):
                    await revision(client, a)
            await client.aclose()

    asyncio.run(scenario())
    # Each client of its own asks once; three calls of one client are one login.
    assert sum("-M" in text for text in starts) == 2


def test_after_a_pause_a_login_is_tried_again(
    fake: FakeSsh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialler, "TUNNEL_BACKOFF_MIN_S", 0.0)
    fake.deny("Host key verification failed.")

    async def scenario() -> None:
        async with member("a.inner", 5) as a:
            client = Client(a, tunnel=SSH)
            with pytest.raises(ConnectError, match="Host key verification failed"):
                await revision(client, a)
            fake.deny()
            assert await revision(client, a) == 5
            await client.aclose()

    asyncio.run(scenario())
    fake.await_end()


def test_a_broken_master_is_started_again(fake: FakeSsh) -> None:
    async def scenario() -> None:
        async with (
            member("a.inner", 5) as a,
            member("b.inner", 6) as b,
            Client([a, b], tunnel=SSH) as client,
        ):
            assert await revision(client, a) == 5
            os.kill(fake.masters()[0], signal.SIGKILL)  # Its socket file stays behind.
            while runs(fake.masters()[0]):
                await asyncio.sleep(0.01)
            assert await revision(client, b) == 6
            assert len(fake.masters()) == 2

    asyncio.run(scenario())
    fake.await_end()


def test_what_the_other_side_cannot_reach(fake: FakeSsh) -> None:
    async def scenario() -> None:
        port = urlsplit(unused_endpoint()).port
        async with Client(f"http://a.inner:{port}", tunnel=SSH) as client:
            with pytest.raises(ConnectError, match=r"ssh ops@bastion:2222: connect failed: Conn"):
                await revision(client, f"http://a.inner:{port}")
            with pytest.raises(ConnectError, match="Name or service not known"):
                await revision(client, "http://c.inner:2379")
            with pytest.raises(ConnectError, match="no name of a host"):
                await revision(client, "http://-oProxyCommand=x:2379")

    asyncio.run(scenario())
    fake.await_end()


def test_logins_that_ssh_s_own_configuration_shares_stay_its_own(fake: FakeSsh) -> None:
    fake.config("controlpath /somewhere/%C")

    async def scenario() -> None:
        async with member("a.inner", 5) as a, Client(a, tunnel=SSH) as client:
            assert await revision(client, a) == 5

    asyncio.run(scenario())
    assert not fake.masters()
    assert not any("-S" in call["args"] for call in fake.calls())
    fake.await_end()


def test_no_ssh_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    async def scenario() -> None:
        with pytest.raises(ConnectError, match="ssh cannot be started"):
            async with Client("http://a.inner:1", tunnel=SSH):
                pass

    asyncio.run(scenario())


def test_tls_names_are_those_of_the_endpoint(fake: FakeSsh) -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["h2"])
    authority.issue_cert("a.inner").configure_cert(context)
    ca_file = fake.folder / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))

    async def scenario() -> None:
        answering = FakeMember()
        answering.unary[RANGE] = lambda _: pb.RangeResponse(header=header(5))
        sock = bound_socket()
        port = sock.getsockname()[1]
        server = Server([answering], codec=Codec())
        await server.start(sock=sock, ssl=context)
        tls = TLS(ca_cert=ca_file)
        async with Client(f"https://a.inner:{port}", tls=tls, tunnel=SSH) as client:
            assert await revision(client, f"https://a.inner:{port}") == 5
            with pytest.raises(ConnectError, match="certificate verify failed"):
                await revision(client, f"https://b.inner:{port}")
            shown = await shown_certificate(f"https://a.inner:{port}", tls, client.dialler)
            assert shown is not None
        server.close()
        await server.wait_closed()

    asyncio.run(scenario())
    fake.await_end()


async def served(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> tuple[asyncio.Server, int]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


def test_pages_come_through_it_too(fake: FakeSsh) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nX-A: 1\r\n\r\n" + b"x" * 300_000)
        writer.close()

    async def scenario() -> None:
        server, port = await served(answer)
        async with server, Client(f"http://a.inner:{port}", tunnel=SSH) as client:
            headers, text = await page(f"http://a.inner:{port}", "/", None, client.dialler)
            assert (headers["x-a"], len(text)) == ("1", 300_000)

    asyncio.run(scenario())
    fake.await_end()


PROXY = """
import os, signal, socket, sys, threading
signal.signal(signal.SIGTERM, signal.SIG_IGN)  # One that has to be killed.
print("about to connect to", sys.argv[1], file=sys.stderr)
if sys.argv[1] == "b.inner":
    sys.exit("exec: no such pod")
far = socket.create_connection(("127.0.0.1", int(sys.argv[2])))
open(sys.argv[3], "w").write(str(os.getpid()))
def copy(read, write):
    while data := read(65536):
        while data:
            data = data[write(data):]
threading.Thread(target=copy, args=(lambda n: os.read(0, n), far.send), daemon=True).start()
try:
    copy(far.recv, lambda data: os.write(1, data))
except OSError:
    pass
threading.Event().wait(120)
"""


def test_any_program_that_connects(tmp_path: Path) -> None:
    script, told = tmp_path / "proxy.py", tmp_path / "pid"
    script.write_text(PROXY)
    tunnel = Tunnel(proxy_command=f"{sys.executable} -IS {script} {{host}} {{port}} {told}")

    async def scenario() -> None:
        async with member("a.inner", 5) as a, Client(a, tunnel=tunnel) as client:
            assert await revision(client, a) == 5
            assert await revision(client, a) == 5
            with pytest.raises(ConnectError, match="exec: no such pod"):
                await revision(client, "http://b.inner:1")

    asyncio.run(scenario())
    with pytest.raises(ProcessLookupError):  # It has ended before the client was closed.
        os.kill(int(told.read_text()), 0)
