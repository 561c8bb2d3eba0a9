"""Bad requests over gRPC, sent as bytes to a node of ours and to a real etcd.

Every row is sent on a connection of its own and ends as its line says, on real etcd too, save where
the row says how etcd differs; those differences are on purpose. A healthy client is served on
beside it.
"""

from __future__ import annotations

import pytest
from api.negative import cases_framing, cases_headers, cases_messages
from api.negative.case import KV, PUT, Case, head
from api.negative.rawgrpc import RawCalls, call, frame
from kvorum_proto.etcdserverpb import PutRequest

CASES = [*cases_framing.CASES, *cases_headers.CASES, *cases_messages.CASES]


def by_name(case: Case) -> str:
    return case.name.replace(" ", "-")


def test_the_table_is_long_enough() -> None:
    bad = [case for case in CASES if not case.expected.startswith("0")]
    assert len(bad) >= 100
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.fixture(scope="module")
def healthy(kvorum_url: str) -> RawCalls:
    """A client that lives through everything the others do."""
    return RawCalls(kvorum_url)


@pytest.mark.parametrize("case", CASES, ids=by_name)
def test_how_it_ends_here(case: Case, kvorum_url: str, healthy: RawCalls) -> None:
    assert call(kvorum_url, case.headers, case.body) == case.expected
    stream = healthy.begin(head())
    healthy.data(stream, frame(PUT))
    assert healthy.outcome(stream) == "0"


@pytest.mark.parametrize("case", [case for case in CASES if case.etcd_ways], ids=by_name)
def test_how_it_ends_on_etcd(case: Case, etcd_url: str) -> None:
    assert call(etcd_url, case.headers, case.body) in case.etcd_ways


def test_bad_calls_hurt_nobody_on_their_own_connection(kvorum_url: str) -> None:
    # All on one connection that has a call open from before: only what breaks HTTP/2 itself or
    # its header compression may end a connection, and nothing in the table does.
    connection = RawCalls(kvorum_url)
    waiting = connection.begin(head())
    for case in CASES:
        stream = connection.begin(case.headers)
        connection.data(stream, case.body)
        assert connection.outcome(stream) == case.expected, case.name
    connection.data(waiting, frame(PUT))
    assert connection.outcome(waiting) == "0"
    connection.close()


@pytest.mark.parametrize(("size", "outcome"), [(1_572_864, 3), (1_572_764, 0)])
def test_the_largest_value(size: int, outcome: int, kvorum_url: str, etcd_url: str) -> None:
    body = frame(bytes(PutRequest(key=b"k", value=bytes(size))))
    expected = "0" if not outcome else "3 etcdserver: request is too large"
    for url in (kvorum_url, etcd_url):
        assert call(url, head(), body) == expected


@pytest.mark.parametrize(("ops", "expected"), [(128, "0"), (129, "too many")])
def test_the_longest_transaction(ops: int, expected: str, kvorum_url: str, etcd_url: str) -> None:
    # Of a key that nobody writes: the answer holds it 128 times.
    one = b"\x12\x05\x0a\x03\x0a\x01\x7f"
    told = "3 etcdserver: too many operations in txn request" if expected != "0" else "0"
    for url in (kvorum_url, etcd_url):
        assert call(url, head(f"{KV}/Txn"), frame(one * ops)) == told
