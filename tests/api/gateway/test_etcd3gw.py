"""etcd3gw, OpenStack's client of the gateway, unchanged against a node, and against a real etcd."""

from __future__ import annotations

import threading
from base64 import b64encode
from queue import Queue
from typing import Any

import pytest
from etcd3gw.client import Etcd3Client
from etcd3gw.exceptions import Etcd3Exception
from etcd3gw.lock import Lock

PATIENCE_S = 30.0


@pytest.fixture(params=["kvorum_url", "etcd_url"])
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def client(url: str) -> Etcd3Client:
    host, _, port = url.removeprefix("http://").partition(":")
    return Etcd3Client(host=host, port=int(port), timeout=PATIENCE_S)


def test_keys(client: Etcd3Client) -> None:
    assert client.api_path == "/v3/"
    assert client.put("gw/a", "1")
    assert client.put("gw/b", "2")
    assert client.get("gw/a") == [b"1"]
    assert client.get("gw/none") == []
    found = client.get_prefix("gw/", sort_order="descend", sort_target="key")
    assert [(value, about["key"]) for value, about in found] == [(b"2", b"gw/b"), (b"1", b"gw/a")]
    assert client.create("gw/c", "3") is True
    assert client.create("gw/c", "4") is False
    assert client.replace("gw/c", "3", "5") is True
    assert client.replace("gw/c", "3", "6") is False
    assert client.delete("gw/c") is True
    assert client.delete("gw/c") is False
    assert client.delete_prefix("gw/") is True
    assert client.get_prefix("gw/") == []


def test_transactions(client: Etcd3Client) -> None:
    key = b64encode(b"gwt").decode()
    answer = client.transaction(
        {
            "compare": [{"key": key, "result": "EQUAL", "target": "CREATE", "create_revision": 0}],
            "success": [{"request_put": {"key": key, "value": key}}],
            "failure": [{"request_range": {"key": key}}],
        }
    )
    assert answer["succeeded"] is True
    assert int(answer["header"]["revision"]) > 1
    assert client.delete("gwt") is True


def test_leases(client: Etcd3Client) -> None:
    lease = client.lease(ttl=600)
    assert client.put("gwl/a", "1", lease=lease)
    assert lease.keys() == [b"gwl/a"]
    assert 0 < lease.ttl() <= 600
    assert lease.refresh() == 600
    assert lease.revoke() is True
    assert client.get("gwl/a") == []
    assert lease.refresh() == -1
    assert lease.ttl() == -1
    with pytest.raises(Etcd3Exception):
        lease.revoke()


def test_locks(client: Etcd3Client) -> None:
    first, second = Lock("gw", ttl=600, client=client), Lock("gw", ttl=600, client=client)
    assert first.acquire() is True
    assert first.is_acquired()
    assert second.acquire() is False
    assert first.refresh() == 600
    assert first.release() is True
    assert second.acquire() is True
    with client.lock("other", ttl=600) as held:
        assert held.is_acquired()
    assert second.release() is True


def test_watches(client: Etcd3Client) -> None:
    events: Queue[dict[str, Any]] = Queue()

    def listen() -> None:
        stream, cancel = client.watch_prefix("gww/")
        cancels.append(cancel)
        watching.set()
        for event in stream:
            events.put(event)

    watching, cancels = threading.Event(), list[Any]()
    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    assert watching.wait(PATIENCE_S)
    # The stream is made in another thread: writes go on until the first is seen.
    written = 0
    while events.empty():
        client.put("gww/a", str(written))
        written += 1
    client.put("gww/b", "last")
    client.delete("gww/b")
    seen = [events.get(timeout=PATIENCE_S)]
    while seen[-1].get("type") != "DELETE":
        seen.append(events.get(timeout=PATIENCE_S))
    cancels[0]()
    listener.join(PATIENCE_S)
    assert not listener.is_alive()
    assert seen[-2]["kv"]["key"] == b"gww/b"
    assert seen[-2]["kv"]["value"] == b"last"
    revisions = [int(event["kv"]["mod_revision"]) for event in seen]
    assert revisions == list(range(revisions[0], revisions[0] + len(revisions)))


def test_the_cluster(client: Etcd3Client, url: str) -> None:
    status = client.status()
    assert status["leader"] == status["header"]["member_id"]
    (member,) = client.members()
    assert member["clientURLs"] == [url]
