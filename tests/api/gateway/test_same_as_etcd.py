"""The same requests, byte for byte, to kvorum and to a real etcd: equal documents.

The two stores go through the same history, so revisions agree. What differs on purpose is written
down in this module: identities (cluster, member, term, lease ids that the server chose), and
``DIFFERENCES``, each with its reason. Debian's etcd 3.4.23 speaks the first generation of the
gateway; kvorum's answers are a union of both (contract page "wire", section 4).
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest
from api.gateway.raw import send
from support.clusters import wait_until

_IDENTITIES = frozenset({"cluster_id", "member_id", "raft_term"})


class Case(NamedTuple):
    """A request; of a stream that does not end by itself, how many documents are read."""

    path: str
    body: str
    documents: int = 0


# In their order: later ones see what earlier ones wrote.
SCRIPT = [
    # Keys.
    Case("/v3/kv/put", '{"key":"YQ==","value":"MQ=="}'),
    Case("/v3/kv/put", '{"key":"YQ==","value":"Mg==","prev_kv":true}'),
    Case("/v3/kv/put", '{"key":"YQ==","value":"Mw==","prevKv":true,"unknown":[{}]}'),
    Case("/v3/kv/put", '{"key":"YQ==","value":null,"lease":null}'),
    Case("/v3/kv/put", '{"key":"YQ==","value":"","ignore_value":false,"lease":"0"}'),
    Case("/v3/kv/put", '{"value":"MQ=="}'),
    Case("/v3/kv/put", '{"key":"YQ==","ignore_value":true,"value":"MQ=="}'),
    Case("/v3/kv/put", '{"key":"bm8=","ignore_value":true}'),
    Case("/v3/kv/put", '{"key":"YQ==","lease":"77"}'),
    Case("/v3/kv/put", '{"key":"Yi8x","value":"eA=="}'),
    Case("/v3/kv/put", '{"key":"Yi8y","value":"eQ=="}'),
    Case("/v3/kv/put", '{"key":"Yi8z","value":"eg=="}'),
    Case("/v3/kv/put", '{"key":"//4=","value":"/+8="}'),
    Case("/v3/kv/range", '{"key":"YQ=="}'),
    Case("/v3/kv/range", '{"key":"//4="}'),
    Case("/v3/kv/range", '{"key":"bm8="}'),
    Case("/v3/kv/range", '{"key":"Yi8=","range_end":"YjA="}'),
    Case("/v3/kv/range", '{"key":"Yi8=","rangeEnd":"YjA=","limit":"2"}'),
    Case("/v3/kv/range", '{"key":"Yi8=","range_end":"YjA=","limit":2,"keysOnly":true}'),
    Case("/v3/kv/range", '{"key":"Yi8=","range_end":"YjA=","count_only":true}'),
    Case("/v3/kv/range", '{"key":"Yi8=","range_end":"YjA=","sort_order":"DESCEND"}'),
    Case("/v3/kv/range", '{"key":"Yi8=","range_end":"YjA=","sort_order":2,"sort_target":4}'),
    Case("/v3/kv/range", '{"key":"Yi8=","range_end":"YjA=","sort_target":"MOD","sort_order":1}'),
    Case("/v3/kv/range", '{"key":"YQ==","revision":"2","serializable":true}'),
    Case("/v3/kv/range", '{"key":"YQ==","revision":99}'),
    Case("/v3/kv/range", '{"key":"AA==","range_end":"AA==","min_mod_revision":"6"}'),
    Case("/v3beta/kv/range", '{"key":"YQ=="}'),
    Case("/v3/kv/range", ""),
    Case("/v3/kv/range", "null"),
    Case("/v3/kv/range", '{"key":"YQ=="} trailing'),
    # Transactions.
    Case(
        "/v3/kv/txn",
        '{"compare":[{"target":"CREATE","create_revision":"0","key":"dA=="}],'
        '"success":[{"request_put":{"key":"dA==","value":"MQ=="}}],'
        '"failure":[{"request_range":{"key":"dA=="}}]}',
    ),
    Case(
        "/v3/kv/txn",
        '{"compare":[{"target":"CREATE","create_revision":"0","key":"dA=="}],'
        '"success":[{"request_put":{"key":"dA==","value":"MQ=="}}],'
        '"failure":[{"request_range":{"key":"dA=="}}]}',
    ),
    Case(
        "/v3/kv/txn",
        '{"compare":[{"result":"EQUAL","target":3,"key":"dA==","value":"bm8="}],'
        '"failure":[{"requestTxn":{"compare":[{"result":1,"target":"VERSION","key":"dA==",'
        '"version":0}],"success":[{"requestPut":{"key":"dQ==","value":"MQ==","prevKv":true}},'
        '{"request_delete_range":{"key":"dA==","prev_kv":true}}]}}]}',
    ),
    Case("/v3/kv/txn", "{}"),
    Case("/v3/kv/txn", '{"success":[{}]}'),
    Case(
        "/v3/kv/txn",
        '{"success":[{"request_put":{"key":"ZA=="}},{"request_put":{"key":"ZA=="}}]}',
    ),
    # Deletions and compaction.
    Case("/v3/kv/deleterange", '{"key":"bm8="}'),
    Case("/v3/kv/deleterange", '{"key":"Yi8=","range_end":"YjA=","prev_kv":true}'),
    Case("/v3/kv/compaction", '{"revision":"4"}'),
    Case("/v3/kv/compaction", '{"revision":"4"}'),
    Case("/v3/kv/range", '{"key":"YQ==","revision":"2"}'),
    # Leases.
    Case("/v3/lease/grant", '{"TTL":600,"ID":77}'),
    Case("/v3/lease/grant", '{"TTL":"600","ID":"77"}'),
    Case("/v3/lease/grant", '{"TTL":9000000001}'),
    Case("/v3/kv/put", '{"key":"bA==","value":"MQ==","lease":"77"}'),
    Case("/v3/kv/range", '{"key":"bA=="}'),
    Case("/v3/lease/leases", "{}"),
    Case("/v3/kv/lease/leases", ""),
    Case("/v3/lease/keepalive", '{"ID":"77"}'),
    Case("/v3/lease/keepalive", '{"ID":77}{"ID":"5"}\n{"ID":77}'),
    Case("/v3/lease/keepalive", '{"ID":5}'),
    Case("/v3/lease/keepalive", ""),
    Case("/v3/lease/timetolive", '{"ID":"5","keys":true}'),
    Case("/v3/kv/lease/timetolive", '{"ID":5}'),
    Case("/v3/kv/lease/revoke", '{"ID":"77"}'),
    Case("/v3/lease/revoke", '{"ID":"77"}'),
    Case("/v3/kv/range", '{"key":"bA=="}'),
    # Watches of the past, which is settled.
    Case("/v3/watch", '{"create_request":{"key":"dA==","start_revision":"5"}}', 2),
    Case("/v3/watch", '{"createRequest":{"key":"dA==","startRevision":5,"prevKv":true}}', 2),
    Case(
        "/v3/watch",
        '{"create_request":{"key":"dA==","start_revision":"5","filters":["NOPUT"]}}',
        2,
    ),
    Case("/v3/watch", '{"create_request":{"key":"dA==","start_revision":"1"}}', 2),
    Case("/v3/watch", '{"create_request":{"key":"eA=="}}{"cancel_request":{"watch_id":"0"}}', 2),
    Case("/v3/watch", '{"create_request":{"key":"eA==","watch_id":7}} {"progress_request":{}}', 1),
    Case("/v3/watch", '{"create_request":{"key":"Yg==","range_end":"YQ=="}}', 1),
    Case("/v3/watch", '{"create_request":{"watch_id":"3"}}', 1),
    # What is no request.
    Case("/v3/kv/range", "[]"),
    Case("/v3/kv/range", '"x"'),
    Case("/v3/kv/range", '{"key":'),
    Case("/v3/kv/range", '{"key":5}'),
    Case("/v3/kv/range", '{"key":"Y!=="}'),
    Case("/v3/kv/range", '{"key":"YQ==","limit":"x"}'),
    Case("/v3/kv/range", '{"key":"YQ==","limit":1.5}'),
    Case("/v3/kv/range", '{"key":"YQ==","limit":"9223372036854775808"}'),
    Case("/v3/kv/range", '{"key":"YQ==","serializable":"true"}'),
    Case("/v3/kv/range", '{"key":"YQ==","sort_order":"NOPE"}'),
    Case("/v3/kv/put", '{"key":"a\xff=="}'),
]  # fmt: skip

# What both refuse with one status and code, each in its own words: they are the JSON reader's.
_JSON_READER = frozenset(case for case in SCRIPT[-11:])


def exchange(url: str, case: Case) -> tuple[int, dict[str, str], list[Any]]:
    """What was answered: status, headers that matter, documents."""
    with send(url, "POST", case.path, case.body.encode("latin-1")) as answer:
        if case.documents:
            stream = answer.documents()
            documents = [next(stream) for _ in range(case.documents)]
        elif answer.is_chunked and answer.status == 200:
            documents = list(answer.documents())
        else:
            body = answer.body()
            documents = [json.loads(body)] if body else []
        kind = answer.headers["content-type"]
        return answer.status, {"content-type": kind}, [plain(each) for each in documents]


def plain(value: Any) -> Any:
    """Without identities."""
    if isinstance(value, list):
        return [plain(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {key: plain(each) for key, each in value.items() if key not in _IDENTITIES}


# Requests whose answers differ, with what each says and why.
class Difference(NamedTuple):
    """A request that is answered otherwise on purpose."""

    method: str
    path: str
    body: str
    etcd: tuple[int, Any]
    kvorum: tuple[int, Any]
    reason: str


def told(message: str, code: int) -> dict[str, Any]:
    return {"error": message, "message": message, "code": code}


DIFFERENCES = [
    Difference(
        "GET", "/v3/kv/range", "",
        (405, "Method Not Allowed\n"),
        (405, told("Method Not Allowed", 12)),
        "the second generation answers JSON; kvorum keeps the first's status and answers JSON",
    ),
    Difference(
        "POST", "/v3/nope", "{}",
        (404, "Not Found\n"),
        (404, told("Not Found", 5)),
        "as above",
    ),
    Difference(
        "POST", "/v3/kv/range/", "{}",
        (404, "Not Found\n"),
        (404, told("Not Found", 5)),
        "as above",
    ),
    Difference(
        "POST", "/v3/maintenance/transfer-leadership", '{"targetID":"5"}',
        (412, told("etcdserver: bad leader transferee", 9)),
        (400, told("etcdserver: bad leader transferee", 9)),
        "only Debian's 3.4 has 412 for code 9",
    ),
    Difference(
        "POST", "/v3/kv/range", '{"key":"YQ"}',
        (400, told("illegal base64 data at input byte 0", 3)),
        (200, None),
        "unpadded base64 is read, as by the second generation",
    ),
    Difference(
        "POST", "/v3/kv/range", '{"key":"YQ==","sort_order":7}',
        (200, None),
        (400, told("etcdserver: invalid sort option", 3)),
        "unknown sort orders are refused since 3.6",
    ),
    Difference(
        "POST", "/v3/kv/range", '{"key":"YQ==","limit":1e0}',
        (400, told("json: cannot unmarshal number 1e0 into Go value of type int64", 3)),
        (200, None),
        "whole numbers are read however they are written, as by the second generation",
    ),
    Difference(
        "POST", "/v3/watch", "xyz",
        (500, told("invalid character 'x' looking for beginning of value", 2)),
        (400, told("a JSON object is expected", 3)),
        "the second generation says nothing at all; a wrong request is the client's",
    ),
    Difference(
        "POST", "/v3/maintenance/hashkv", "{}",
        (404, "Not Found\n"),
        (200, None),
        "3.4.23 has the route under another name",
    ),
    Difference(
        "POST", "/v3/maintenance/alarm", "{}",
        (200, {}),
        (200, {"header": {}}),
        "answers to Alarm have a header since 3.5",
    ),
    Difference(
        "GET", "/health", "",
        (200, {"health": "true"}),
        (200, {"health": "true", "reason": ""}),
        "since 3.5",
    ),
    Difference("GET", "/livez", "", (404, "404 page not found\n"), (200, "ok\n"), "since 3.4.29"),
    Difference(
        "GET", "/version", "",
        (200, {"etcdserver": "3.4.23", "etcdcluster": "3.4.0"}),
        (200, {"etcdserver": "3.5.30", "etcdcluster": "3.5.0"}),
        "the version kvorum follows",
    ),
]  # fmt: skip


def test_the_same_script_gets_the_same_documents(kvorum_url: str, etcd_url: str) -> None:
    for case in SCRIPT:
        theirs = exchange(etcd_url, case)
        ours = exchange(kvorum_url, case)
        if case in _JSON_READER:
            assert ours[0] == theirs[0] == 400, case
            assert ours[2][0]["code"] == theirs[2][0]["code"] == 3, case
            assert ours[2][0].keys() == theirs[2][0].keys(), case
        else:
            assert without_412(ours) == without_412(theirs), case


def body_of(url: str) -> bytes:
    """The page that tells versions."""
    with send(url, "GET", "/version") as answer:
        return answer.body()


def without_412(answer: tuple[int, dict[str, str], list[Any]]) -> Any:
    """Debian's 3.4 has 412 for code 9, all others 400."""
    status, headers, documents = answer
    return 400 if status == 412 else status, headers, documents


@pytest.mark.parametrize("case", DIFFERENCES, ids=lambda case: f"{case.method} {case.path}")
def test_differences_are_as_written_down(case: Difference, kvorum_url: str, etcd_url: str) -> None:
    if case.path == "/version":
        for url in (etcd_url, kvorum_url):
            wait_until(lambda url=url: b"not_decided" not in body_of(url), "a cluster version")
    for url, expected in ((etcd_url, case.etcd), (kvorum_url, case.kvorum)):
        with send(url, case.method, case.path, case.body.encode()) as answer:
            body = answer.body()
            assert answer.status == expected[0]
            if isinstance(expected[1], str):
                assert body.decode() == expected[1]
            elif expected[1] is not None:
                told_now = plain(json.loads(body))
                told_now.get("header", {}).pop("revision", None)
                assert told_now == expected[1]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/config"),
        ("GET", "/members"),
        ("GET", "/v2/keys/a"),
        ("POST", "/v3alpha/kv/range"),
        ("POST", "/version"),
        ("POST", "/health"),
        ("OPTIONS", "/v3/kv/range"),
        ("OPTIONS", "/nowhere"),
    ],
)
def test_other_pages_are_the_same(method: str, path: str, kvorum_url: str, etcd_url: str) -> None:
    answers = []
    for url in (etcd_url, kvorum_url):
        with send(url, method, path, b"{}") as answer:
            headers = {
                name: value
                for name, value in answer.headers.items()
                if name.startswith("access-control") or name in ("allow", "x-content-type-options")
            }
            answers.append((answer.status, headers, answer.body()))
    assert answers[0] == answers[1]
