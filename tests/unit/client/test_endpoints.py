"""Endpoints: reading them, choosing among them, keeping away from those that fail."""

from __future__ import annotations

import random

import pytest
from kvorum.client.endpoints import (
    Endpoint,
    Picker,
    backoff_s,
    parse_endpoint,
    parse_endpoints,
)
from kvorum.errors import ConfigError
from kvorum.limits import CLIENT_BACKOFF_MAX_S, CLIENT_BACKOFF_MIN_S


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("127.0.0.1:2379", "http://127.0.0.1:2379"),
        ("http://host", "http://host:2379"),
        ("https://host:1", "https://host:1"),
        ("http://[::1]:2379/", "http://[::1]:2379"),
        ("unix:///run/kvorum.sock", "unix:///run/kvorum.sock"),
        ("unixs:///run/kvorum.sock", "unixs:///run/kvorum.sock"),
        ("  localhost:1  ", "http://localhost:1"),
    ],
)
def test_an_endpoint_is_read(text: str, shown: str) -> None:
    assert str(parse_endpoint(text)) == shown
    assert parse_endpoint(shown) == parse_endpoint(text)


def test_tls_decides_only_without_a_scheme() -> None:
    assert parse_endpoint("a:1", tls=True).tls
    assert not parse_endpoint("http://a:1", tls=True).tls


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "empty"),
        ("ftp://a:1", "scheme"),
        ("http://:1", "no host"),
        ("http://a:99999", "port"),
        ("http://a:0", "port"),
        ("http://a:b", "port"),
        ("http://a:1/path", "only a host"),
        ("http://u@a:1", "only a host"),
        ("unix://", "socket path"),
    ],
)
def test_a_wrong_endpoint_is_explained(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        parse_endpoint(text)


def test_a_list_keeps_each_once() -> None:
    found = parse_endpoints("a:1,b:1,http://a:1")
    assert found == (Endpoint(False, "a", 1), Endpoint(False, "b", 1))
    with pytest.raises(ConfigError, match="no endpoint"):
        parse_endpoints([])


def picker(*, spread: bool = False) -> Picker:
    return Picker(parse_endpoints("a:1,b:1,c:1"), random.Random(1), spread=spread, shuffle=False)


def test_it_stays_while_it_works() -> None:
    found = picker()
    assert [found.pick(float(at)).host for at in range(3)] == ["a", "a", "a"]


def test_it_goes_on_when_one_fails_and_comes_not_back_by_itself() -> None:
    found = picker()
    found.failed(found.pick(0.0), 0.0)
    assert found.pick(0.0).host == "b"
    assert found.pick(100.0).host == "b"


def test_spread_goes_round() -> None:
    found = picker(spread=True)
    assert sorted(found.pick(0.0).host for _ in range(3)) == ["a", "b", "c"]


def test_when_all_have_failed_the_one_whose_wait_ends_first_is_taken() -> None:
    found = picker()
    for endpoint in found.endpoints:
        found.failed(endpoint, 0.0)
    for _ in range(5):
        found.failed(found.endpoints[0], 0.0)
    chosen = found.pick(0.0)
    assert chosen != found.endpoints[0]
    assert 0 < found.wait_s(chosen, 0.0) <= CLIENT_BACKOFF_MIN_S * 1.2


def test_success_forgives() -> None:
    found = picker()
    first = found.endpoints[0]
    found.failed(first, 0.0)
    found.succeeded(first)
    assert found.wait_s(first, 0.0) == 0.0


def test_the_wait_doubles_is_bounded_and_varies() -> None:
    rng = random.Random(7)
    waits = [backoff_s(failures, rng) for failures in range(1, 30)]
    assert waits[0] <= CLIENT_BACKOFF_MIN_S * 1.2
    assert waits[3] > waits[0] * 3
    assert max(waits) <= CLIENT_BACKOFF_MAX_S * 1.2
    assert len({round(wait, 9) for wait in waits[-5:]}) == 5


def test_a_new_list_keeps_what_is_known() -> None:
    found = picker()
    found.failed(found.endpoints[0], 0.0)
    found.replace(parse_endpoints("c:1,a:1"))
    assert found.pick(0.0).host == "c"
    assert found.wait_s(parse_endpoint("a:1"), 0.0) > 0
