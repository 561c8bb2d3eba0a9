"""Pages for monitors: health and its parts, metrics, and the port's rules of hosts and origins."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from kvorum import ETCD_CLUSTER_VERSION, ETCD_VERSION, Client
from kvorum.client.errors import Unsupported
from kvorum.machine.commands import AlarmSet
from kvorum.urls import parse_urls
from support.ports import free_ports
from unit.server.members import Cluster, with_cluster

LIVEZ = ("serializable_read",)
READYZ = ("data_corruption", "serializable_read", "linearizable_read", "non_learner")
NOSPACE, CORRUPT = 1, 2
ACTIVATE, DEACTIVATE = 1, 2

Fetch = Callable[..., Awaitable[tuple[int, str, dict[str, str]]]]


def with_pages(
    directory: Path, test: Callable[[Cluster, Fetch], Awaitable[None]], **changes: Any
) -> None:
    """Run a test on a node and its client port."""

    async def run(c: Cluster) -> None:
        base = f"http://127.0.0.1:{c.client_ports[0]}"
        async with aiohttp.ClientSession() as session:

            async def fetch(
                path: str, method: str = "GET", **headers: str
            ) -> tuple[int, str, dict[str, str]]:
                url = path if path.startswith("http") else base + path
                async with session.request(method, url, headers=headers) as answer:
                    found = {name.lower(): value for name, value in answer.headers.items()}
                    return answer.status, await answer.text(), found

            await test(c, fetch)

    with_cluster(directory, 1, run, **changes)


def lines(*names: str) -> str:
    return "".join(f"[+]{name} ok\n" for name in names)


def test_livez_and_readyz(tmp_path: Path) -> None:
    async def test(c: Cluster, fetch: Fetch) -> None:
        for path, names in (("/livez", LIVEZ), ("/readyz", READYZ)):
            status, text, headers = await fetch(path)
            assert (status, text) == (200, "ok\n")
            assert headers["content-type"] == "text/plain; charset=utf-8"
            assert headers["x-content-type-options"] == "nosniff"
            assert (await fetch(path + "?verbose"))[:2] == (200, lines(*names) + "ok\n")
            for name in names:
                told = await fetch(f"{path}/{name}?verbose")
                assert told[:2] == (200, lines(name) + "ok\n")
            assert (await fetch(path + "/nothing"))[0] == 404
            assert (await fetch(path, "POST"))[0] == 405
        told = await fetch("/readyz?verbose&exclude=non_learner&exclude=linearizable_read")
        assert told[1] == lines(*READYZ[:2]) + "ok\n"
        assert (await fetch("/livez/data_corruption"))[0] == 404

    with_pages(tmp_path, test)


def test_alarms_in_health_and_readyz(tmp_path: Path) -> None:
    async def test(c: Cluster, fetch: Fetch) -> None:
        node = c.node(0)

        async def alarm(action: int, kind: int) -> None:
            await node.propose(AlarmSet(action, node.member_id, kind))

        await alarm(ACTIVATE, NOSPACE)
        assert (await fetch("/health"))[0] == 503
        assert (await fetch("/readyz"))[0] == 200
        await alarm(ACTIVATE, CORRUPT)
        status, text, _ = await fetch("/readyz")
        assert (status, text) == (
            503,
            "[-]data_corruption failed: alarm activated: CORRUPT\n" + lines(*READYZ[1:]),
        )
        assert (await fetch("/readyz/data_corruption"))[0] == 503
        assert (await fetch("/readyz?exclude=data_corruption"))[0] == 200
        assert (await fetch("/livez"))[0] == 200
        assert (await fetch("/health?exclude=NOSPACE"))[:2] == (
            503,
            '{"health":"false","reason":"ALARM CORRUPT"}\n',
        )
        assert (await fetch("/health?exclude=NOSPACE&exclude=CORRUPT"))[0] == 200
        await alarm(DEACTIVATE, CORRUPT)
        assert (await fetch("/readyz"))[0] == 200
        text = (await fetch("/metrics"))[1]
        for line in (
            "etcd_server_health_success 1.0",
            "etcd_server_health_failures 2.0",
            'etcd_server_healthcheck{name="data_corruption",type="readyz"} 1.0',
            'etcd_server_healthchecks_total{name="data_corruption",status="error",type="readyz"} '
            "2.0",
        ):
            assert line in text.splitlines()

    with_pages(tmp_path, test)


def test_without_a_quorum_a_node_lives_and_is_not_ready(tmp_path: Path) -> None:
    async def run(c: Cluster) -> None:
        follower = (await c.leader() + 1) % 3
        for number in range(3):
            if number != follower:
                await c.stop(number)
        while c.node(follower).leader:
            await asyncio.sleep(0.02)
        base = f"http://127.0.0.1:{c.client_ports[follower]}"
        async with aiohttp.ClientSession() as session:
            async with session.get(base + "/livez") as answer:
                assert answer.status == 200
            async with session.get(base + "/readyz") as answer:
                assert answer.status == 503
                text = await answer.text()
        assert "[+]serializable_read ok\n" in text
        assert "[-]linearizable_read failed: etcdserver: request timed out" in text

    with_cluster(tmp_path, 3, run)


def test_vars(tmp_path: Path) -> None:
    async def test(c: Cluster, fetch: Fetch) -> None:
        status, text, headers = await fetch("/debug/vars")
        told = json.loads(text)
        assert (status, headers["content-type"]) == (200, "application/json")
        assert told["raft.status"]["raftState"] == "leader"
        assert told["raft.status"]["id"] == f"{c.node(0).member_id:x}"
        assert told["memstats"]["Sys"] > 0

    with_pages(tmp_path, test)


ALLOWED = {
    "access-control-allow-methods": "POST, GET, OPTIONS, PUT, DELETE",
    "access-control-allow-headers": "accept, content-type, authorization",
}
HERE, THERE = "https://here.example", "https://there.example"


@pytest.mark.parametrize(
    ("cors", "origin", "allowed"),
    [
        (("*",), None, "*"),
        (("*",), HERE, "*"),
        ((HERE,), HERE, HERE),
        ((HERE,), THERE, None),
        ((HERE,), None, None),
    ],
)
def test_origins(
    tmp_path: Path, cors: tuple[str, ...], origin: str | None, allowed: str | None
) -> None:
    expected = {**ALLOWED, "access-control-allow-origin": allowed} if allowed else {}
    asked = {"Origin": origin} if origin else {}

    async def test(c: Cluster, fetch: Fetch) -> None:
        for path, method, status in (
            ("/health", "GET", 200),
            ("/v3/kv/range", "OPTIONS", 200),
            ("/anything", "OPTIONS", 200),
            ("/v3/maintenance/status", "POST", 200),
            ("/v3/kv/range", "POST", 400),
            ("/nothing", "GET", 404),
        ):
            found, _, headers = await fetch(path, method, **asked)
            assert found == status
            told = {k: v for k, v in headers.items() if k.startswith("access-control")}
            assert told == expected

    with_pages(tmp_path, test, cors=cors)


def test_only_hosts_on_the_list_are_answered(tmp_path: Path) -> None:
    async def test(c: Cluster, fetch: Fetch) -> None:
        for host, status in (("good.example", 200), ("good.example:2379", 200), ("[::1]:9", 200)):
            assert (await fetch("/health", Host=host))[0] == status
        for path, method in (("/health", "GET"), ("/v3/kv/range", "POST"), ("/x", "OPTIONS")):
            status, text, _ = await fetch(path, method, Host="evil.example")
            assert status == 421
            assert "evil.example" in text

    with_pages(tmp_path, test, host_whitelist=("good.example", "::1"))


def test_listeners_for_monitors_have_their_pages_only(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"

    async def test(c: Cluster, fetch: Fetch) -> None:
        for path in ("/health", "/livez", "/readyz", "/metrics"):
            assert (await fetch(url + path))[0] == 200
        for path in ("/version", "/v3/kv/range", "/debug/vars", "/members"):
            assert (await fetch(url + path))[0] == 404

    with_pages(tmp_path, test, listen_metrics_urls=parse_urls(url))


def test_a_stop_lets_requests_finish_and_ends_streams(tmp_path: Path) -> None:
    async def run(c: Cluster) -> None:
        base = f"http://127.0.0.1:{c.client_ports[0]}"
        async with aiohttp.ClientSession() as session:
            create = {"create_request": {"key": "YQ=="}}
            async with session.post(base + "/v3/watch", json=create) as watch:
                assert b"created" in await watch.content.readline()
                # The disk is slow: the put is under way when the stop begins.
                c.node(0).gate.fsync_delay_s = 0.3
                asking = session.post(base + "/v3/kv/put", json={"key": "YQ==", "value": "MQ=="})
                put = asyncio.ensure_future(asking)
                clients = c.member(0)._listeners[1]
                while not clients._ongoing:
                    await asyncio.sleep(0.005)
                await c.stop(0)
                answer = await put
                assert answer.status == 200
                # What the watch saw of it was sent before its connection ended.
                with pytest.raises(aiohttp.ClientError):
                    await watch.content.read()

    with_cluster(tmp_path, 1, run)


def test_the_cluster_version_is_a_number_from_the_first_answer_on(tmp_path: Path) -> None:
    """Patroni reads it as numbers and ends with an exception on anything else."""

    async def run(c: Cluster) -> None:
        async with aiohttp.ClientSession() as session:
            for port in c.client_ports:
                async with session.get(f"http://127.0.0.1:{port}/version") as answer:
                    told = await answer.json()
                assert told == {"etcdserver": ETCD_VERSION, "etcdcluster": ETCD_CLUSTER_VERSION}

    with_cluster(tmp_path, 3, run)


def test_http_on_urls_of_its_own(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    apart = f"http://127.0.0.1:{port}"

    async def test(c: Cluster, fetch: Fetch) -> None:
        for page in ("/version", "/health", "/livez", "/metrics", "/debug/vars"):
            assert (await fetch(apart + page))[0] == 200
        assert (await fetch(apart + "/v3/kv/range", "POST"))[0] == 400
        # The client URL speaks gRPC and nothing else; the other one HTTP and nothing else.
        with pytest.raises(aiohttp.ClientError):
            await fetch("/version")
        async with Client(f"127.0.0.1:{c.client_ports[0]}") as client:
            assert (await client.put("a", "1")).header.revision == 2
        async with Client(f"127.0.0.1:{port}") as client:
            with pytest.raises(Unsupported):
                await client.get("a")

    with_pages(tmp_path, test, listen_client_http_urls=parse_urls(apart))
