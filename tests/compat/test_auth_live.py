"""What etcd itself does where its documentation is silent, asked of real etcd and of kvorum alike:
watches that are open when rights change, certificates as users, tokens that both have signed.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from compat.real_etcd import RELEASES, find_release
from kvorum import Client
from kvorum.client import TLS, AuthError, PermissionDeniedError
from support.authority import Authority, Identity
from support.clusters import wait_until
from support.ports import free_ports
from unit.server.jwtkeys import write_keys

STOP_S = 20.0
PROGRAMS = ("kvorum", *RELEASES)


def command_of(program: str) -> list[str]:
    """How a node of it is started."""
    if program == "kvorum":
        return [sys.executable, "-m", "kvorum", "serve"]
    return [find_release(program).etcd]


class Server:
    """One node, alone; any program, since they take the same flags."""

    def __init__(
        self, program: str, directory: Path, flags: Sequence[str], context: ssl.SSLContext | None
    ) -> None:
        client, peer = free_ports(2)
        scheme = "http" if context is None else "https"
        self.endpoint = f"{scheme}://127.0.0.1:{client}"
        self._context = context
        directory.mkdir()
        peer_url = f"http://127.0.0.1:{peer}"
        self._log = directory / "log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *command_of(program),
                    "--name=n",
                    f"--data-dir={directory / 'data'}",
                    f"--listen-client-urls={self.endpoint}",
                    f"--advertise-client-urls={self.endpoint}",
                    f"--listen-peer-urls={peer_url}",
                    f"--initial-advertise-peer-urls={peer_url}",
                    f"--initial-cluster=n={peer_url}",
                    "--bcrypt-cost=4",
                    "--heartbeat-interval=50",
                    "--election-timeout=500",
                    *flags,
                ],
                stdout=log,
                stderr=log,
            )

    def ready(self) -> Server:
        """Wait until it is well."""
        wait_until(self._well, f"a node that is well: {self._log}")
        return self

    def _well(self) -> bool:
        assert self._process.poll() is None, self._log.read_text()
        try:
            code, body = self.http("/health")
        except OSError:
            return False
        return code == 200 and json.loads(body)["health"] == "true"

    def http(
        self,
        path: str,
        document: Any = None,
        context: ssl.SSLContext | None = None,
        **headers: str,
    ) -> tuple[int, str]:
        """Status and text of a page, or of a call through the gateway."""
        data = None if document is None else json.dumps(document).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.endpoint + path, data, named)
        try:
            with urllib.request.urlopen(
                request, timeout=10, context=context or self._context
            ) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def stop(self) -> None:
        """SIGTERM, and wait."""
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_S)


Start = Callable[..., Server]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts nodes: ``start(program, *flags, context=...)``."""
    servers: list[Server] = []

    def begin(program: str, *flags: str, context: ssl.SSLContext | None = None) -> Server:
        directory = tmp_path / f"node{len(servers)}"
        servers.append(Server(program, directory, flags, context))
        return servers[-1].ready()

    yield begin
    for server in servers:
        server.stop()


async def people(client: Client) -> None:
    """root, and a reader of ``r/``; auth is on then."""
    for name in ("root", "reader"):
        await client.auth.user_add(name, name)
        await client.auth.role_add(name)
    await client.auth.grant_permission("reader", "READ", "r/", prefix=True)
    await client.auth.grant_role("root", "root")
    await client.auth.grant_role("reader", "reader")
    await client.put("r/a", "1")
    await client.put("secret", "x")
    await client.auth.enable()


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_open_watch_outlives_what_allowed_it(program: str, start: Start) -> None:
    endpoint = start(program).endpoint

    async def scenario() -> None:
        async with (
            Client(endpoint) as nobody,
            Client(endpoint, user="reader", password="reader") as reader,
            Client(endpoint, user="root", password="root") as root,
            nobody.watch("secret") as of_nobody,
        ):
            await people(nobody)
            assert (await anext(of_nobody)).value == b"x"
            async with reader.watch("r/", prefix=True) as watch:
                await watch.started()
                steps = (
                    root.auth.revoke_permission("reader", "r/", prefix=True),
                    root.auth.revoke_role("reader", "reader"),
                    root.auth.role_delete("reader"),
                    root.auth.user_change_password("reader", "other"),
                    root.auth.user_delete("reader"),
                )
                async with asyncio.timeout(60):
                    for number, step in enumerate(steps):
                        await step
                        await root.put("r/a", str(number))
                        # As if nothing had happened.
                        assert (await anext(watch)).value == str(number).encode()
                        await root.put("secret", str(number))
                        assert (await anext(of_nobody)).value == str(number).encode()
                # A new one is judged. (3.5.1 has another word for nobody than all others.)
                with pytest.raises((AuthError, PermissionDeniedError)):
                    await nobody.watch("secret").started()

    asyncio.run(scenario())


@pytest.mark.parametrize("program", PROGRAMS)
def test_tokens_through_the_gateway(program: str, start: Start) -> None:
    server = start(program)

    async def settled() -> None:
        async with Client(server.endpoint) as client:
            await people(client)

    def read(**headers: str) -> tuple[int, Any]:
        code, body = server.http("/v3/kv/range", {"key": "ci9h"}, **headers)
        answer = json.loads(body)
        return code, answer["error"] if "error" in answer else answer["kvs"][0]["value"]

    asyncio.run(settled())
    code, body = server.http("/v3/auth/authenticate", {"name": "reader", "password": "reader"})
    assert code == 200
    token = json.loads(body)["token"]
    assert read() == (400, "etcdserver: user name is empty")
    assert read(Authorization=token) == (200, "MQ==")
    assert read(Grpc_Metadata_Token=token) == (200, "MQ==")
    assert read(Grpc_Metadata_Authorization=token) == (200, "MQ==")
    bad = (401, "etcdserver: invalid auth token")
    assert read(Authorization="x") == bad
    assert read(Authorization=token, Grpc_Metadata_Token="x") == bad
    denied = server.http("/v3/kv/put", {"key": "ci9h"}, Authorization=token)
    assert (denied[0], json.loads(denied[1])["code"]) == (403, 7)
    if program == "kvorum":
        # What younger releases take, and what nobody else needs.
        assert read(Authorization=f"Bearer {token}") == (200, "MQ==")
        assert read(Token=token) == (200, "MQ==")


class Certificates:
    """An authority, the certificate of a server, and those of people."""

    def __init__(self, directory: Path) -> None:
        self.authority = Authority(directory)
        self.server = self.authority.issue("server", cn="server")
        self.people = {
            name: self.authority.issue(name, cn=name, hosts=())
            for name in ("root", "reader", "stranger")
        }

    @property
    def flags(self) -> list[str]:
        """What a node is told."""
        return [
            f"--cert-file={self.server.cert}",
            f"--key-file={self.server.key}",
            f"--trusted-ca-file={self.authority.file}",
            "--client-cert-auth",
        ]

    def tls(self, name: str) -> TLS:
        """For a client."""
        who = self.people[name]
        return TLS(ca_cert=self.authority.file, cert=who.cert, key=who.key)

    def context(self, name: str) -> ssl.SSLContext:
        """For a page."""
        who: Identity = self.people[name]
        context = ssl.create_default_context(cafile=self.authority.file)
        context.load_cert_chain(who.cert, who.key)
        return context


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_certificate_is_a_user(program: str, start: Start, tmp_path: Path) -> None:
    certificates = Certificates(tmp_path / "ca")
    server = start(program, *certificates.flags, context=certificates.context("reader"))
    said: list[tuple[int, str]] = []

    def page() -> tuple[int, str]:
        context = certificates.context("reader")
        return server.http("/v3/kv/range", {"key": "ci9h"}, context)

    async def scenario() -> None:
        def client(name: str, **more: str) -> Client:
            return Client(server.endpoint, tls=certificates.tls(name), **more)

        async with client("root") as root, client("reader") as reader, client("stranger") as no:
            assert page()[0] == 200
            await people(root)
            assert (await reader.get("r/a")).value == b"1"
            with pytest.raises(PermissionDeniedError):
                await reader.get("secret")
            with pytest.raises(PermissionDeniedError):
                await reader.put("r/a", "2")
            with pytest.raises(PermissionDeniedError):
                await no.get("r/a")
            assert (await root.get("secret")).value == b"x"
            # A password says more than a certificate.
            async with client("root", user="reader", password="reader") as both:
                with pytest.raises(PermissionDeniedError):
                    await both.get("secret")
            said.append(await asyncio.to_thread(page))
            await root.auth.disable()
            assert (await asyncio.to_thread(page))[0] == 200

    asyncio.run(scenario())
    words = (
        "CommonName of client sending a request against gateway will be ignored and not used as "
        "expected\n"
    )
    assert said == [(400, words)]


@pytest.mark.parametrize(
    ("release", "method"), list(zip(RELEASES, ("RS256", "ES384"), strict=True))
)
def test_tokens_that_one_signed_are_good_on_the_other(
    release: str, method: str, start: Start, tmp_path: Path
) -> None:
    private, public = write_keys(tmp_path, method)
    option = f"--auth-token=jwt,pub-key={public},priv-key={private},sign-method={method},ttl=5m"
    servers = [start(program, option) for program in (release, "kvorum")]

    async def scenario() -> None:
        tokens = []
        for server in servers:
            async with Client(server.endpoint) as client:
                await people(client)
            code, body = server.http("/v3/auth/authenticate", {"name": "root", "password": "root"})
            assert code == 200
            tokens.append(json.loads(body)["token"])
        for server in servers:
            for token in tokens:
                async with Client(server.endpoint) as client:
                    client._pool._token = token
                    assert (await client.get("secret")).value == b"x"

    asyncio.run(scenario())
