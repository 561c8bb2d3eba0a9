"""Bad requests over HTTP/1.1: bytes, and the status that they are answered with.

Every row goes to a node of ours and to a real etcd; ``etcd`` says where that answers otherwise (0:
not at all). aiohttp is stricter than Go where a request could be read in two ways, which is what
smuggling lives on.
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass

import pytest

BODY = b'{"key":"aw=="}'
RANGE = b"POST /v3/kv/range HTTP/1.1"
CHUNKED = b"Transfer-Encoding: chunked"
IN_CHUNKS = b"e\r\n" + BODY + b"\r\n0\r\n\r\n"
PATIENCE_S = 60.0


@dataclass(frozen=True)
class Row:
    """What is sent, the status here, and on etcd 3.4.23 where it is another."""

    name: str
    data: bytes
    status: int
    etcd: int | None = None


def req(line: bytes, *more: bytes, body: bytes = b"", host: bytes = b"Host: localhost") -> bytes:
    return b"\r\n".join([line, host, b"Connection: close", *more, b"", b""]) + body


def post(body: bytes, *more: bytes, path: bytes = b"/v3/kv/range") -> bytes:
    length = b"Content-Length: %d" % len(body)
    return req(b"POST " + path + b" HTTP/1.1", length, *more, body=body)


def ask(url: str, data: bytes) -> bytes:
    """Everything that is answered until the other side closes."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    out = b""
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as sock:
        try:
            sock.sendall(data)
            while more := sock.recv(65536):
                out += more
        except ConnectionError:
            # Closed before all was read.
            return out
    return out


def status(answer: bytes) -> int:
    """The first status that is final; 0 without any."""
    return next((s for s in map(int, re.findall(rb"HTTP/\d.\d (\d+)", answer)) if s >= 200), 0)


ROWS = [
    Row("fine", post(BODY), 200),
    Row("get", req(b"GET /v3/kv/range HTTP/1.1"), 405),
    Row("put", req(b"PUT /v3/kv/range HTTP/1.1", b"Content-Length: 0"), 405),
    Row("bad json", post(b"{"), 400),
    Row("array", post(b"[]"), 400),
    Row("string", post(b'"x"'), 400),
    Row("number", post(b"5"), 400),
    Row("nul", post(b"\0"), 400),
    Row("bad b64", post(b'{"key":"a"}'), 400),
    Row("bad b64 2", post(b'{"key":"!!!!"}'), 400),
    Row("key number", post(b'{"key":5}'), 400),
    Row("limit text", post(b'{"key":"aw==","limit":"x"}'), 400),
    Row("limit float", post(b'{"key":"aw==","limit":1.5}'), 400),
    Row("limit huge", post(b'{"key":"aw==","limit":"99999999999999999999"}'), 400),
    Row("enum bad", post(b'{"key":"aw==","sort_order":"NOPE"}'), 400),
    Row("bool str", post(b'{"key":"aw==","serializable":"yes"}'), 400),
    Row("deep", post(b'{"a":' * 5000 + b"1" + b"}" * 5000), 400),
    Row("deep arr", post(b"[" * 100000), 400),
    Row("not utf8", post(b'{"key":"\xff"}'), 400),
    Row("empty", post(b""), 400),
    Row("null", post(b"null"), 400),
    Row("two docs", post(BODY + BODY), 200),
    Row("trailing", post(BODY + b"x"), 200),
    Row("dup", post(b'{"key":"aw==","key":"ag=="}'), 200),
    Row("unknown path", req(b"POST /v3/nope HTTP/1.1", b"Content-Length: 0"), 404),
    Row("slash", post(BODY, path=b"/v3/kv/range/"), 404),
    Row("alpha", post(BODY, path=b"/v3alpha/kv/range"), 404),
    Row("dotdot", post(BODY, path=b"/v3/kv/../kv/range"), 404, etcd=301),
    Row("double", post(BODY, path=b"//v3/kv/range"), 404, etcd=301),
    Row("absolute", post(BODY, path=b"http://localhost/v3/kv/range"), 200),
    Row("v2", req(b"GET /v2/keys HTTP/1.1"), 404),
    Row("cl bad", req(RANGE, b"Content-Length: x", body=BODY), 400),
    Row("cl neg", req(RANGE, b"Content-Length: -1", body=BODY), 400),
    Row("cl two", req(RANGE, b"Content-Length: 14", b"Content-Length: 13", body=BODY), 400),
    Row("cl plus", req(RANGE, b"Content-Length: +14", body=BODY), 400),
    Row("cl te", req(RANGE, b"Content-Length: 14", CHUNKED, body=IN_CHUNKS), 400, etcd=200),
    Row("te bad", req(RANGE, b"Transfer-Encoding: nope", body=BODY), 400, etcd=501),
    Row(
        "te x,chunked",
        req(RANGE, b"Transfer-Encoding: gzip, chunked", body=IN_CHUNKS),
        200,
        etcd=501,
    ),
    Row("chunk size bad", req(RANGE, CHUNKED, body=b"zz\r\n" + BODY), 400),
    Row("chunk lie", req(RANGE, CHUNKED, body=b"3\r\n" + BODY + b"\r\n0\r\n\r\n"), 400),
    Row("chunked", req(RANGE, CHUNKED, body=IN_CHUNKS), 200),
    Row("no host", req(RANGE, b"Content-Length: 14", body=BODY, host=b"X: y"), 400),
    Row("bad version", req(b"GET /version HTTP/9.9"), 400, etcd=0),
    Row("no version", b"GET /version\r\n\r\n", 200, etcd=0),
    Row("lf", b"GET /version HTTP/1.1\nHost: x\nConnection: close\n\n", 400, etcd=200),
    Row("space name", req(b"GET /version HTTP/1.1", b"A b: c"), 400),
    Row("space colon", req(b"GET /version HTTP/1.1", b"Foo : c"), 400),
    Row("nul header", req(b"GET /version HTTP/1.1", b"Foo: a\0b"), 400),
    Row("fold", req(b"GET /version HTTP/1.1", b"Foo: a\r\n b"), 400, etcd=200),
    Row("long header", req(b"GET /version HTTP/1.1", b"Foo: " + b"a" * 100000), 400, etcd=200),
    Row("long line", req(b"GET /" + b"a" * 100000 + b" HTTP/1.1"), 400, etcd=0),
    Row(
        "many headers",
        req(b"GET /version HTTP/1.1", *[b"H%d: x" % i for i in range(5000)]),
        400,
        etcd=200,
    ),
    Row("garbage", b"\x01\x02\x03\r\n\r\n", 400, etcd=0),
    Row("method odd", req(b"FOO /version HTTP/1.1"), 400, etcd=405),
    Row("post version", req(b"POST /version HTTP/1.1", b"Content-Length: 0"), 405),
    Row("post health", req(b"POST /health HTTP/1.1", b"Content-Length: 0"), 405),
    Row(
        "pipeline", b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n" + req(b"GET /version HTTP/1.1"), 200
    ),
    Row("expect", post(BODY, b"Expect: 100-continue"), 200),
    Row(
        "upgrade", req(b"GET /version HTTP/1.1", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk"), 200
    ),
    Row("huge body", post(b'{"key":"' + b"A" * 4_500_000 + b'"}'), 429),
    Row("timeout bad", post(BODY, b"Grpc-Timeout: x"), 400),
    Row("timeout 0", post(BODY, b"Grpc-Timeout: 0n"), 504, etcd=200),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name.replace(" ", "-"))
def test_how_it_is_answered_here(row: Row, kvorum_url: str) -> None:
    assert status(ask(kvorum_url, row.data)) == row.status
    assert status(ask(kvorum_url, post(BODY))) == 200


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name.replace(" ", "-"))
def test_how_it_is_answered_by_etcd(row: Row, etcd_url: str) -> None:
    assert status(ask(etcd_url, row.data)) == (row.status if row.etcd is None else row.etcd)


def test_smuggled_requests_are_never_answered(kvorum_url: str) -> None:
    inner = req(b"GET /version HTTP/1.1")
    chunks = b"0\r\n\r\n"
    both = req(RANGE, b"Content-Length: %d" % len(chunks), CHUNKED, body=chunks + inner)
    twice = req(RANGE, b"Content-Length: 2", b"Content-Length: 1", body=b"{}" + inner)
    for data in (both, twice):
        answer = ask(kvorum_url, data)
        assert status(answer) == 400
        assert answer.count(b"HTTP/1.") == 1
        assert b"etcdserver" not in answer
