"""Pages of the client and the peer port beside two releases of etcd: status, body and the headers
that matter, byte for byte where nothing is an identity.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from api.gateway.raw import post, send
from compat.real_etcd import RELEASES, find_release
from kvorum import ETCD_CLUSTER_VERSION, ETCD_VERSION
from support.clusters import ClusterHandle, make_spec, wait_until

HEADERS = ("content-type", "x-content-type-options", "allow")
PAGES = [
    ("GET", "/health"),
    ("GET", "/health?exclude=NOSPACE"),
    ("GET", "/health?exclude=NOSPACE,CORRUPT"),
    ("GET", "/health?exclude=NOSPACE&exclude=CORRUPT"),
    ("GET", "/health?exclude=FOO"),
    ("POST", "/health"),
    ("PUT", "/version"),
    ("GET", "/version/"),
    ("GET", "/metrics/"),
    ("GET", "/debug/pprof/"),
    ("GET", "/v2/keys"),
    ("GET", "/members"),
    ("GET", "/"),
]
PEER_PAGES = [("GET", "/health"), ("GET", "/metrics"), ("GET", "/v3/kv/range"), ("GET", "/")]


def alone(directory: Any, program: str) -> ClusterHandle:
    return ClusterHandle(make_spec(directory, 1, program=program), directory).start()


@pytest.fixture(scope="module")
def kvorum(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterHandle]:
    cluster = alone(tmp_path_factory.mktemp("kvorum"), "kvorum")
    yield cluster
    cluster.end()


@pytest.fixture(scope="module", params=RELEASES)
def etcd(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ClusterHandle]:
    cluster = alone(tmp_path_factory.mktemp("etcd"), find_release(request.param).etcd)
    yield cluster
    cluster.end()


def page(url: str, method: str, path: str) -> tuple[int, dict[str, str], bytes]:
    with send(url, method, path) as answer:
        headers = {name: answer.headers[name] for name in HEADERS if name in answer.headers}
        # 3.4 tells no reason.
        body = answer.body().replace(b',"reason":""', b"")
        for reason in (b"ALARM NOSPACE", b"ALARM CORRUPT"):
            body = body.replace(b',"reason":"' + reason + b'"', b"")
        return answer.status, headers, body


def alarm(cluster: ClusterHandle, action: str, kind: str) -> None:
    url = cluster.endpoints[0]
    member = post(url, "/v3/cluster/member/list", {})[1]["members"][0]["ID"]
    body = {"action": action, "memberID": member, "alarm": kind}
    assert post(url, "/v3/maintenance/alarm", body)[0] == 200


def same(kvorum: ClusterHandle, etcd: ClusterHandle) -> None:
    for method, path in PAGES:
        ours = page(kvorum.endpoints[0], method, path)
        assert ours == page(etcd.endpoints[0], method, path), (method, path)


def test_pages_of_the_client_port(kvorum: ClusterHandle, etcd: ClusterHandle) -> None:
    same(kvorum, etcd)
    raised = ("NOSPACE", "CORRUPT")
    try:
        for kind in raised:
            for cluster in (kvorum, etcd):
                alarm(cluster, "ACTIVATE", kind)
            same(kvorum, etcd)
    finally:
        for kind in raised:
            alarm(kvorum, "DEACTIVATE", kind)


def test_pages_of_the_peer_port(kvorum: ClusterHandle, etcd: ClusterHandle) -> None:
    def peer_url(cluster: ClusterHandle) -> str:
        members = post(cluster.endpoints[0], "/v3/cluster/member/list", {})[1]["members"]
        url: str = members[0]["peerURLs"][0]
        return url

    ours, theirs = peer_url(kvorum), peer_url(etcd)
    for method, path in PEER_PAGES:
        assert page(ours, method, path) == page(theirs, method, path), path
    told = []
    for url in (ours, theirs):
        with send(url, "GET", "/members") as answer:
            (member,) = answer.json()
            told.append((answer.status, answer.headers["content-type"], list(member)))
            assert int(answer.headers["x-etcd-cluster-id"], 16) > 0
            assert isinstance(member["id"], int)
    assert told[0] == told[1]
    with send(ours, "GET", "/version") as answer:
        assert answer.json() == {"etcdserver": ETCD_VERSION, "etcdcluster": ETCD_CLUSTER_VERSION}


def test_version_and_vars_have_the_same_keys(kvorum: ClusterHandle, etcd: ClusterHandle) -> None:
    def keys(url: str, path: str) -> tuple[str, set[str]]:
        with send(url, "GET", path) as answer:
            return answer.headers["content-type"], set(answer.json())

    def decided() -> bool:
        with send(etcd.endpoints[0], "GET", "/version") as answer:
            return answer.json()["etcdcluster"] != "not_decided"

    wait_until(decided, "etcd's cluster version")
    ours, theirs = (keys(c.endpoints[0], "/version") for c in (kvorum, etcd))
    assert ours == theirs
    ours, theirs = (keys(c.endpoints[0], "/debug/vars") for c in (kvorum, etcd))
    assert ours[0].startswith("application/json")
    assert theirs[1] == ours[1]
