"""What Patroni asks of the gateway, in its order and with its rules (contract page "clients",
section 7): a leader key on a lease, kept by nested transactions, and a watch cut where it likes.
"""

from __future__ import annotations

import json
import threading
from base64 import b64encode
from typing import Any

from api.gateway.raw import Answer, post, send
from support.clusters import wait_until


def b64(text: str) -> str:
    return b64encode(text.encode()).decode()


LEADER, MEMBERS = b64("/service/batman/leader"), b64("/service/batman/members/a")
# Patroni raises the last byte below 0xff and keeps the length.
PREFIX, PREFIX_END = b64("/service/batman/"), b64("/service/batman0")


class Patroni:
    """The client's own rules: a header in every answer, one cluster, terms that never go down."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.cluster_id = ""
        self.term = 0

    def call(self, method: str, document: dict[str, Any]) -> dict[str, Any]:
        """A call that succeeds."""
        status, answer = post(self.url, f"/v3{method}", document)
        assert status == 200, answer
        return self.checked(answer)

    def checked(self, answer: dict[str, Any]) -> dict[str, Any]:
        """The answer, its header obeyed."""
        header = answer.get("result", answer)["header"]
        assert isinstance(header["cluster_id"], str)
        assert self.cluster_id in ("", header["cluster_id"])
        self.cluster_id = header["cluster_id"]
        assert int(header["raft_term"]) >= self.term
        self.term = int(header["raft_term"])
        return answer

    def attempt(self, lease: str) -> dict[str, Any]:
        """Take the leader key if nobody has it."""
        put = {"request_put": {"key": LEADER, "value": b64("a"), "lease": lease}}
        compare = {"target": "CREATE", "create_revision": "0", "key": LEADER}
        return self.call("/kv/txn", {"compare": [compare], "success": [put]})

    def update(self, lease: str, value: str = "a") -> dict[str, Any]:
        """Keep the key: put it where it is ours, take it where it is gone."""
        put = {"request_put": {"key": LEADER, "value": b64(value), "lease": lease}}
        gone = {"target": "CREATE", "create_revision": "0", "key": LEADER}
        ours = {"target": "VALUE", "value": b64(value), "key": LEADER}
        again = {"request_txn": {"compare": [gone], "success": [put]}}
        return self.call("/kv/txn", {"compare": [ours], "success": [put], "failure": [again]})


def versions(url: str) -> dict[str, str]:
    """What /version tells."""
    with send(url, "GET", "/version") as answer:
        found: dict[str, str] = answer.json()
        return found


def test_a_leader_is_elected_and_kept(kvorum_url: str) -> None:
    patroni = Patroni(kvorum_url)
    # Until the members have agreed on it, the cluster's version is no number.
    wait_until(lambda: versions(kvorum_url)["etcdcluster"] != "not_decided", "a cluster version")
    assert [int(x) for told in versions(kvorum_url).values() for x in told.split(".")]
    members = patroni.call("/cluster/member/list", {})["members"]
    assert [url for member in members for url in member["clientURLs"]] == [kvorum_url]

    lease = patroni.call("/lease/grant", {"TTL": 600})["ID"]
    assert isinstance(lease, str)
    taken = patroni.attempt(lease)
    assert taken["succeeded"] is True
    assert "succeeded" not in patroni.attempt(lease)

    # The outer revision of a transaction is the one its put made.
    found = patroni.call(
        "/kv/range", {"key": PREFIX, "range_end": PREFIX_END, "serializable": True}
    )
    (leader,) = found["kvs"]
    assert leader["mod_revision"] == taken["header"]["revision"]
    assert leader["lease"] == lease

    kept = patroni.update(lease)
    assert kept["succeeded"] is True
    patroni.call("/kv/deleterange", {"key": LEADER})
    retaken = patroni.update(lease)
    assert "succeeded" not in retaken
    assert retaken["responses"][0]["response_txn"]["succeeded"] is True
    lost = patroni.update(lease, "b")
    assert not lost["responses"][0].get("response_txn", {}).get("succeeded")

    # By the revision that was read.
    revision = retaken["header"]["revision"]
    compare = {"target": "MOD", "mod_revision": revision, "key": LEADER}
    delete = {"request_delete_range": {"key": LEADER}}
    ended = patroni.call("/kv/txn", {"compare": [compare], "success": [delete]})
    assert ended["succeeded"] is True
    assert patroni.call("/lease/revoke", {"ID": lease})["header"]


def test_the_lease_is_renewed_by_a_stream_that_ends(kvorum_url: str) -> None:
    patroni = Patroni(kvorum_url)
    lease = patroni.call("/lease/grant", {"TTL": 600})["ID"]
    with send(kvorum_url, "POST", "/v3/lease/keepalive", {"ID": lease}) as answer:
        assert answer.is_chunked
        (renewed,) = answer.documents()
        assert patroni.checked(renewed)["result"]["TTL"] == "600"
    patroni.call("/lease/revoke", {"ID": lease})
    with send(kvorum_url, "POST", "/v3/lease/keepalive", {"ID": lease}) as answer:
        (renewed,) = answer.documents()
        assert not renewed["result"].get("TTL")
    put = {"key": MEMBERS, "value": b64("{}"), "lease": lease}
    status, told = post(kvorum_url, "/v3/kv/put", put)
    assert status == 404
    assert told == {
        "error": "etcdserver: requested lease not found",
        "message": "etcdserver: requested lease not found",
        "code": 5,
    }
    status, told = post(kvorum_url, "/v3/kv/txn", {"success": [{"request_put": put}]})
    assert (status, told["code"]) == (404, 5)


def follow(answer: Answer, wanted: int) -> list[dict[str, Any]]:
    """Read events as Patroni does: whatever chunks bring is joined, and documents are cut at
    lines.
    """
    events: list[dict[str, Any]] = []
    left = b""
    for chunk in answer.chunks():
        left += chunk
        *lines, left = left.split(b"\n")
        for line in lines:
            result = json.loads(line)["result"]
            assert not result.get("canceled")
            events += result.get("events", ())
        if len(events) >= wanted:
            return events
    raise AssertionError("the stream ended")


def test_the_watch_begins_where_the_reading_ended(kvorum_url: str) -> None:
    patroni = Patroni(kvorum_url)
    patroni.call("/kv/put", {"key": MEMBERS, "value": b64("1")})
    asked = {"key": PREFIX, "range_end": PREFIX_END, "serializable": True}
    revision = patroni.call("/kv/range", asked)["header"]["revision"]
    create = {"key": PREFIX, "range_end": PREFIX_END, "start_revision": revision, "filters": []}
    with send(kvorum_url, "POST", "/v3/watch", {"create_request": create}) as answer:
        assert answer.status == 200
        assert answer.is_chunked

        def write() -> None:
            patroni.call("/kv/put", {"key": MEMBERS, "value": b64("2")})
            patroni.call("/kv/deleterange", {"key": MEMBERS})

        writer = threading.Thread(target=write)
        writer.start()
        events = follow(answer, 3)
        writer.join()
    # That revision's own event comes again; a deletion has its key and revision too.
    assert [event.get("type", "PUT") for event in events] == ["PUT", "PUT", "DELETE"]
    assert [event["kv"]["key"] for event in events] == [MEMBERS] * 3
    first = int(revision)
    assert [int(event["kv"]["mod_revision"]) for event in events] == [first, first + 1, first + 2]
    assert "version" not in events[2]["kv"]
