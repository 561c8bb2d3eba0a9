"""Auth on three real nodes: on and off under traffic, across restarts, with signed tokens."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kvorum import Client
from kvorum.client import AuthError, ClientError, PermissionDeniedError
from kvorum.errors import Condition
from support.clusters import ClusterHandle, make_spec, wait_until
from unit.server.jwtkeys import write_keys

PASSWORD = "a-password-of-root"
# How a write may end while users come and go; everything else is a fault.
EXPECTED = frozenset(
    {
        Condition.USER_EMPTY,
        Condition.INVALID_AUTH_TOKEN,
        Condition.AUTH_OLD_REVISION,
        Condition.AUTH_FAILED,
        Condition.PERMISSION_DENIED,
    }
)

Start = Callable[..., ClusterHandle]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts three nodes with flags."""
    handles: list[ClusterHandle] = []

    def begin(*flags: str) -> ClusterHandle:
        spec = make_spec(tmp_path, 3, flags=["--bcrypt-cost=4", *flags])
        handles.append(ClusterHandle(spec, tmp_path))
        return handles[0].start()

    yield begin
    for handle in handles:
        handle.end()


def again(cluster: ClusterHandle, name: str) -> None:
    """Kill a node and start it; returns when it has a leader and serves. (Its status, which tells
    more, is for users.)
    """

    def well() -> bool:
        try:
            with urllib.request.urlopen(cluster.endpoint(name) + "/health", timeout=60) as answer:
                return bool(json.loads(answer.read())["health"] == "true")
        except OSError:
            return False

    cluster.kill9(name)
    cluster.restart(name, wait=False)
    wait_until(well, f"{name} well again")


async def people(client: Client) -> None:
    """root, and a writer of ``w/``."""
    await client.auth.user_add("root", PASSWORD)
    await client.auth.grant_role("root", "root")
    await add_writer(client)
    await client.auth.role_add("writer")
    await client.auth.grant_permission("writer", "READWRITE", "w/", prefix=True)
    await client.auth.grant_role("writer", "writer")


async def add_writer(client: Client) -> None:
    await client.auth.user_add("writer", "a-password-of-writer")


class Traffic:
    """Writers that put one key after another, and what became of each."""

    def __init__(self) -> None:
        self.acknowledged: set[bytes] = set()
        self.refused: set[bytes] = set()
        self.seen: set[Condition] = set()
        self.others: list[str] = []
        self._ends = False

    async def write(self, name: str, client: Client) -> None:
        """Until the end."""
        for number in itertools.count():
            if self._ends:
                return
            key = f"w/{name}/{number}".encode()
            try:
                await client.put(key, key)
                self.acknowledged.add(key)
            except ClientError as error:
                self.refused.add(key)
                if error.condition in EXPECTED:
                    self.seen.add(error.condition)
                else:
                    self.others.append(repr(error))

    async def passes(self, count: int) -> None:
        """Wait until so many more writes have ended."""
        goal = len(self.acknowledged) + len(self.refused) + count
        async with asyncio.timeout(60):
            while len(self.acknowledged) + len(self.refused) < goal:
                await asyncio.sleep(0.005)

    def end(self) -> None:
        """No further writes."""
        self._ends = True


async def turmoil(root: Client, traffic: Traffic) -> None:
    """Everything that changes who may write, with writes in between."""
    auth = root.auth
    for _ in range(2):
        await auth.enable()
        await traffic.passes(60)
        await auth.revoke_role("writer", "writer")
        await traffic.passes(60)
        await auth.grant_role("writer", "writer")
        await traffic.passes(60)
        await auth.revoke_permission("writer", "w/", prefix=True)
        await traffic.passes(60)
        await auth.grant_permission("writer", "READWRITE", "w/", prefix=True)
        await traffic.passes(60)
        await auth.user_change_password("writer", "another-password")
        await traffic.passes(60)
        await auth.user_change_password("writer", "a-password-of-writer")
        await traffic.passes(60)
        await auth.user_delete("writer")
        await traffic.passes(60)
        await add_writer(root)
        await auth.grant_role("writer", "writer")
        await traffic.passes(60)
        await auth.disable()
        await traffic.passes(60)


def test_users_change_under_traffic(start: Start) -> None:
    cluster = start()
    traffic = Traffic()

    async def scenario() -> None:
        clients: list[Client] = []

        def client(endpoint: str, *names: str) -> Client:
            user, password = names or (None, None)
            clients.append(Client(endpoint, user=user, password=password, timeout_s=20.0))
            return clients[-1]

        one, two, three = cluster.endpoints
        root = client(one, "root", PASSWORD)
        await people(root)
        credentials = ("writer", "a-password-of-writer")
        writers = {
            "known1": client(one, *credentials),
            "known2": client(two, *credentials),
            "known3": client(three, *credentials),
            "nobody2": client(two),
        }
        tasks = [asyncio.ensure_future(traffic.write(*each)) for each in writers.items()]
        try:
            await turmoil(root, traffic)
        finally:
            traffic.end()
            await asyncio.gather(*tasks)
        for endpoint in cluster.endpoints:
            keys = {kv.key for kv in (await client(endpoint).get_prefix("w/")).kvs}
            assert traffic.acknowledged <= keys
            # Whoever was refused was refused: nothing of it came true.
            assert not traffic.refused & keys
        for each in clients:
            await each.aclose()

    asyncio.run(scenario())
    assert traffic.others == []
    # All that the changes can lead to was met but what the client heals by itself.
    assert {
        Condition.USER_EMPTY,
        Condition.PERMISSION_DENIED,
        Condition.AUTH_FAILED,
    } <= traffic.seen
    assert len(traffic.acknowledged) > 100


async def token_of(endpoint: str) -> str:
    """A fresh token of root."""
    async with Client(endpoint, user="root", password=PASSWORD) as client:
        await client.get("w/a")
        assert client._pool.token is not None
        return client._pool.token


async def read_with(endpoint: str, token: str) -> Any:
    """A read with a token as it is: the value, or the condition that refuses it."""
    async with Client(endpoint) as client:
        client._pool._token = token
        try:
            return (await client.get("w/a")).value
        except (AuthError, PermissionDeniedError) as error:
            return error.condition


def test_tokens_and_restarts(start: Start) -> None:
    cluster = start("--log-level=debug")
    tokens: list[str] = []

    async def before() -> None:
        async with Client(cluster.endpoints) as client:
            await people(client)
            await client.put("w/a", "1")
            await client.auth.enable()
        tokens.extend([await token_of(endpoint) for endpoint in cluster.endpoints])
        for token, endpoint in itertools.product(tokens, cluster.endpoints):
            assert await read_with(endpoint, token) == b"1"

    async def after() -> None:
        restarted, *others = cluster.endpoints
        for token in tokens:
            # A member forgets its tokens when it ends; entries that it replays bring none back.
            assert await read_with(restarted, token) is Condition.INVALID_AUTH_TOKEN
            for endpoint in others:
                assert await read_with(endpoint, token) == b"1"
        # One that is given now is good everywhere, and the client gets it by itself.
        for endpoint in cluster.endpoints:
            assert await read_with(endpoint, await token_of(restarted)) == b"1"

    asyncio.run(before())
    again(cluster, "n1")
    asyncio.run(after())
    secrets = [PASSWORD, "a-password-of-writer", "$2a$", *tokens]
    secrets += [token.partition(".")[0] for token in tokens]
    for name in cluster.names:
        text = cluster.log(name)
        assert "restarted" in text or "raft" in text
        assert not [secret for secret in secrets if secret in text]
        view = cluster.view(name)
        for path in view.log.parent.rglob("*"):
            if path.is_file():
                data = path.read_bytes()
                assert PASSWORD.encode() not in data, path


def test_the_supervisor_sees_nodes_that_tell_their_status_to_users_only(start: Start) -> None:
    cluster = start()

    async def enable() -> None:
        async with Client(cluster.endpoints) as client:
            await people(client)
            await client.auth.enable()

    asyncio.run(enable())
    leader = cluster.leader()
    cluster.kill9(leader)
    assert cluster.leader(other_than=leader) != leader
    cluster.restart(leader)
    answers = cluster.supervisor.answers()
    assert all(answer is not None for answer in answers.values())
    assert len({answer.leader_id for answer in answers.values() if answer is not None}) == 1


def test_signed_tokens_of_one_cluster(start: Start, tmp_path: Path) -> None:
    private, public = write_keys(tmp_path, "ES256")
    option = f"jwt,pub-key={public},priv-key={private},sign-method=ES256,ttl=1h"
    cluster = start(f"--auth-token={option}")

    async def before() -> str:
        async with Client(cluster.endpoints) as client:
            await people(client)
            await client.put("w/a", "1")
            await client.auth.enable()
        return await token_of(cluster.endpoints[0])

    async def after(token: str) -> None:
        for endpoint in cluster.endpoints:
            assert await read_with(endpoint, token) == b"1"
        async with Client(cluster.endpoints, user="root", password=PASSWORD) as client:
            await client.auth.role_add("more")
            for endpoint in cluster.endpoints:
                await client.member(endpoint).get("w/a")
                assert await read_with(endpoint, token) is Condition.AUTH_OLD_REVISION
            forged = token[:-2] + ("AA" if token[-2:] != "AA" else "BB")
            assert await read_with(cluster.endpoints[0], forged) is Condition.INVALID_AUTH_TOKEN

    token = asyncio.run(before())
    assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+", token)
    again(cluster, "n2")
    asyncio.run(after(token))


def test_a_wrong_auth_token_option_is_named_at_the_start(tmp_path: Path) -> None:
    missing = tmp_path / "missing.pem"
    flags = [f"--auth-token=jwt,priv-key={missing},sign-method=RS256"]
    handle = ClusterHandle(make_spec(tmp_path, 1, flags=flags), tmp_path)
    try:
        with pytest.raises(Exception, match="n1"):
            handle.start()
        view = handle.view("n1")
        wait_until(lambda: handle.view("n1").state != "running", "the end of n1")
        assert f"--auth-token: cannot read {missing}: No such file" in view.log.read_text()
    finally:
        handle.end()
