"""Lock and Election through the JSON gateway: the same documents as from a real etcd."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from api.gateway.raw import PATIENCE_S, Answer, send
from api.gateway.test_same_as_etcd import Case, exchange, plain
from support.clusters import wait_until


def b64(text: bytes) -> str:
    """Bytes as JSON has them."""
    return base64.b64encode(text).decode()


def body(**fields: Any) -> str:
    """A document; bytes in base64."""
    return json.dumps({k: b64(v) if isinstance(v, bytes) else v for k, v in fields.items()})


LEADER = {"name": b64(b"e"), "key": b64(b"e/11"), "rev": "3", "lease": "17"}
SCRIPT = [
    Case("/v3/lease/grant", body(TTL=600, ID=17)),
    Case("/v3/lease/grant", body(TTL=600, ID=18)),
    Case("/v3/lock/lock", body(name=b"lk", lease="17")),
    Case("/v3/lock/lock", body(name=b"lk", lease=17)),
    Case("/v3/lock/lock", body(name=b"lk", lease="999")),
    Case("/v3/lock/lock", '{"name":5}'),
    Case("/v3/election/campaign", body(name=b"e", lease="17", value=b"one")),
    Case("/v3/election/leader", body(name=b"e")),
    Case("/v3/election/leader", body(name=b"nobody")),
    Case("/v3/election/leader", "{}"),
    Case("/v3/election/proclaim", body(leader=LEADER, value=b"two")),
    Case("/v3/election/proclaim", body(leader={**LEADER, "rev": "1"}, value=b"two")),
    Case("/v3/election/proclaim", "{}"),
    Case("/v3/election/observe", body(name=b"e"), 1),
    Case("/v3/election/resign", "{}"),
    Case("/v3/election/resign", body(leader=LEADER)),
    Case("/v3beta/election/leader", body(name=b"e")),
    Case("/v3/lock/unlock", body(key=b"lk/11")),
    Case("/v3/lock/unlock", body(key=b"lk/11")),
    Case("/v3/lock/unlock", "{}"),
]  # fmt: skip
# The words are the JSON reader's; see test_same_as_etcd.
_JSON_READER = SCRIPT[5]


def test_the_same_script_gets_the_same_documents(kvorum_url: str, etcd_url: str) -> None:
    for case in SCRIPT:
        theirs, ours = exchange(etcd_url, case), exchange(kvorum_url, case)
        if case is _JSON_READER:
            assert ours[0] == theirs[0] == 400
            assert ours[2][0]["code"] == theirs[2][0]["code"] == 3
        else:
            assert ours == theirs, case


def key_count(url: str, prefix: bytes) -> int:
    """Keys under a prefix that ends with a slash."""
    request = body(key=prefix, range_end=prefix[:-1] + b"0", count_only=True)
    [document] = exchange(url, Case("/v3/kv/range", request))[2]
    return int(document.get("count", 0))


def begin(url: str, path: str, text: str) -> socket.socket:
    """Ask, without waiting for the head of an answer that may take long."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    sock = socket.create_connection((host, int(port)), timeout=PATIENCE_S)
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(text)}\r\n\r\n"
    sock.sendall((head + text).encode())
    return sock


def contended(url: str) -> Iterator[Any]:
    """A lock that is waited for; and an observer who was there before the first leader."""
    for lease in (33, 34):
        exchange(url, Case("/v3/lease/grant", body(TTL=600, ID=lease)))
    exchange(url, Case("/v3/lock/lock", body(name=b"q", lease=33)))
    with ThreadPoolExecutor(max_workers=1) as pool:
        waiting = pool.submit(exchange, url, Case("/v3/lock/lock", body(name=b"q", lease=34)))
        wait_until(lambda: key_count(url, b"q/") == 2, "a second key")
        exchange(url, Case("/v3/lock/unlock", body(key=b"q/21")))
        yield waiting.result()
    observing = begin(url, "/v3/election/observe", body(name=b"later"))
    candidate = body(name=b"later", lease=33, value=b"one")
    [won] = exchange(url, Case("/v3/election/campaign", candidate))[2]
    with Answer(observing) as answer:
        documents = answer.documents()
        yield plain(next(documents))
        leader = won["leader"]
        exchange(url, Case("/v3/election/proclaim", body(leader=leader, value=b"two")))
        yield plain(next(documents))
    # Who hangs up while waiting leaves no key.
    with begin(url, "/v3/lock/lock", body(name=b"q", lease=33)):
        wait_until(lambda: key_count(url, b"q/") == 2, "a key behind the holder's")
    wait_until(lambda: key_count(url, b"q/") == 1, "no key of one who is gone")


def test_waiting_and_observing(kvorum_url: str, etcd_url: str) -> None:
    assert list(contended(kvorum_url)) == list(contended(etcd_url))


def hurried(url: str) -> tuple[int, Any]:
    """A lock that is waited for no longer than a header says."""
    for lease in (49, 50):
        exchange(url, Case("/v3/lease/grant", body(TTL=600, ID=lease)))
    exchange(url, Case("/v3/lock/lock", body(name=b"short", lease=49)))
    text = body(name=b"short", lease=50).encode()
    with send(url, "POST", "/v3/lock/lock", text, {"Grpc-Timeout": "300m"}) as answer:
        told = answer.status, answer.json()
    wait_until(lambda: key_count(url, b"short/") == 1, "no key of one who is gone")
    return told


def test_a_deadline(kvorum_url: str, etcd_url: str) -> None:
    text = "context deadline exceeded"
    told = (504, {"error": text, "message": text, "code": 4})
    assert hurried(kvorum_url) == told
    assert hurried(etcd_url) == told
