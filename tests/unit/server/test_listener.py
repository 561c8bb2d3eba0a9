"""One port for gRPC and HTTP/1.1: who speaks what is decided by the first bytes."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from grpclib.client import UnaryUnaryMethod
from kvorum import limits
from kvorum.errors import Condition, ConfigError, KvorumError
from kvorum.http2.server import KvorumChannel
from kvorum.machine.commands import AlarmSet, Command, MemberPublish
from kvorum.server import listener as listening
from kvorum.server.listener import PREFACE, bind
from kvorum.server.runtime import Node
from kvorum.urls import parse_urls
from kvorum_proto.codec import Codec
from kvorum_proto.etcdserverpb import StatusRequest, StatusResponse
from kvorum_proto.kvorum import v1
from unit.server.members import Cluster, with_cluster


async def fetch(url: str, method: str = "GET") -> tuple[int, str, str, dict[str, str]]:
    async with aiohttp.ClientSession() as session, session.request(method, url) as answer:
        headers = {key.lower(): value for key, value in answer.headers.items()}
        return answer.status, await answer.text(), headers["content-type"], headers


def test_version_and_health(tmp_path: Path) -> None:
    async def test(c: Cluster) -> None:
        base = f"http://127.0.0.1:{c.client_ports[0]}"
        while not c.node(0).machine.cluster_version:
            await asyncio.sleep(0.02)
        code, body, kind, _ = await fetch(base + "/version")
        assert (code, kind.partition(";")[0]) == (200, "application/json")
        assert json.loads(body) == {"etcdserver": "3.5.30", "etcdcluster": "3.5.0"}
        code, body, kind, _ = await fetch(base + "/health")
        assert (code, body) == (200, '{"health":"true","reason":""}')
        assert kind == "text/plain; charset=utf-8"
        code, body, _, headers = await fetch(base + "/health", "POST")
        assert (code, body, headers["allow"]) == (405, "Method Not Allowed\n", "GET")
        code, body, _, headers = await fetch(base + "/members")
        assert (code, body) == (404, "404 page not found\n")
        assert headers["x-content-type-options"] == "nosniff"

    with_cluster(tmp_path, 1, test)


def test_health_says_what_is_wrong(tmp_path: Path) -> None:
    async def test(c: Cluster) -> None:
        base = f"http://127.0.0.1:{c.client_ports[0]}"
        node = c.node(0)
        await node.propose(AlarmSet(1, node.member_id, 1))
        assert (await fetch(base + "/health"))[:2] == (
            503,
            '{"health":"false","reason":"ALARM NOSPACE"}\n',
        )
        assert (await fetch(base + "/health?exclude=NOSPACE"))[0] == 200
        await node.propose(AlarmSet(2, node.member_id, 1))
        assert (await fetch(base + "/health"))[0] == 200

    with_cluster(tmp_path, 1, test)


def test_health_without_a_leader(tmp_path: Path) -> None:
    async def test(c: Cluster) -> None:
        follower = (await c.leader() + 1) % 3
        for number in range(3):
            if number != follower:
                await c.stop(number)
        while c.node(follower).leader:
            await asyncio.sleep(0.02)
        base = f"http://127.0.0.1:{c.client_ports[follower]}"
        assert (await fetch(base + "/health"))[:2] == (
            503,
            '{"health":"false","reason":"RAFT NO LEADER"}\n',
        )
        assert (await fetch(base + "/health?serializable=true"))[0] == 200

    with_cluster(tmp_path, 3, test)


def test_the_peer_port_tells_who_is_there(tmp_path: Path) -> None:
    async def test(c: Cluster) -> None:
        node = c.node(0)
        url = node.config.listen_peer_urls[0]
        code, body, _, headers = await fetch(url.text + "/members")
        assert code == 200
        assert headers["x-etcd-cluster-id"] == f"{node.cluster_id:x}"
        assert json.loads(body) == [
            {
                "id": node.member_id,
                "peerURLs": [url.text],
                "name": "n0",
                "clientURLs": [f"http://127.0.0.1:{c.client_ports[0]}"],
            }
        ]
        assert (await fetch(url.text + "/version"))[0] == 200
        channel = KvorumChannel("127.0.0.1", url.port, codec=Codec())
        ask = UnaryUnaryMethod(
            channel, "/kvorum.v1.Peer/Members", v1.PeerMembersRequest, v1.PeerMembersResponse
        )
        answer = await ask(v1.PeerMembersRequest())
        assert (answer.cluster_id, answer.member_id) == (node.cluster_id, node.member_id)
        assert [m.name for m in answer.members] == ["n0"]
        channel.close()

    with_cluster(tmp_path, 1, test)


def test_first_bytes_in_pieces(tmp_path: Path) -> None:
    async def test(c: Cluster) -> None:
        port = c.client_ports[0]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for byte in b"GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n":
            writer.write(bytes((byte,)))
            await writer.drain()
        assert b"etcdserver" in await reader.read()
        writer.close()
        # A preface in two pieces is HTTP/2; its answer begins with a SETTINGS frame.
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(PREFACE[:7])
        await writer.drain()
        writer.write(PREFACE[7:] + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00")
        head = await reader.readexactly(9)
        assert head[3] == 4
        writer.close()

    with_cluster(tmp_path, 1, test)


def test_a_client_that_says_nothing_is_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "SNIFF_TIMEOUT_S", 0.05)
    assert limits.SNIFF_TIMEOUT_S > 1

    async def test(c: Cluster) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", c.client_ports[0])
        writer.write(PREFACE[:5])
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()

    with_cluster(tmp_path, 1, test)


def test_clients_are_answered_only_when_the_member_is_published(tmp_path: Path) -> None:
    async def run() -> None:
        c = Cluster(tmp_path, 3)
        await c.start(0)
        channel = KvorumChannel("127.0.0.1", c.client_ports[0], codec=Codec())
        method = UnaryUnaryMethod(
            channel, "/etcdserverpb.Maintenance/Status", StatusRequest, StatusResponse
        )
        # The port takes the connection at once; the answer waits for a quorum.
        call = asyncio.ensure_future(method(StatusRequest()))
        done, _ = await asyncio.wait((call,), timeout=0.3)
        assert not done
        await c.start(1)
        assert (await call).leader != 0
        channel.close()
        await c.stop_all()
        assert c.crashes == []

    asyncio.run(run())


def test_a_publication_that_is_lost_is_soon_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forwarded over a link that is not up yet, say: a start waits half a second for it, not two
    election timeouts; then longer each time, for a cluster that is only slow.
    """
    waited: list[float] = []
    propose = Node.propose

    async def lossy(node: Node, command: Command, *others: Any, **named: Any) -> Any:
        if isinstance(command, MemberPublish) and len(waited) < 4:
            waited.append(named["timeout_s"])
            raise KvorumError(Condition.TIMEOUT)
        return await propose(node, command, *others, **named)

    monkeypatch.setattr(Node, "propose", lossy)

    async def test(c: Cluster) -> None:
        assert waited == [0.5, 1.0, 1.6, 1.6]

    with_cluster(tmp_path, 1, test, election_timeout_ms=800)


def test_localhost_and_ipv6_and_unix(tmp_path: Path) -> None:
    sockets = bind(parse_urls("http://localhost:0"))
    try:
        families = [sock.family for sock in sockets]
        assert families[0] == socket.AF_INET
        ports = {sock.getsockname()[1] for sock in sockets}
        assert len(ports) == 1
    finally:
        for sock in sockets:
            sock.close()
    path = tmp_path / "s"
    for _ in range(2):
        # The second time the file of the first is in the way, and means nothing.
        (sock,) = bind(parse_urls(f"unix://{path}"))
        sock.close()
    if socket.AF_INET6 in families:
        (sock,) = bind(parse_urls("http://[::1]:0"))
        assert sock.family == socket.AF_INET6
        sock.close()


def test_a_taken_port_is_named() -> None:
    (taken,) = bind(parse_urls("http://127.0.0.1:0"))
    port = taken.getsockname()[1]
    with pytest.raises(ConfigError) as caught:
        bind(parse_urls(f"http://127.0.0.1:{port}"))
    assert str(caught.value) == f"listen tcp 127.0.0.1:{port}: bind: address already in use"
    taken.close()
