"""The table of simple tokens: what it remembers, for how long, and how much at most."""

from __future__ import annotations

import pytest
from kvorum import limits
from kvorum.errors import Condition, KvorumError
from kvorum.machine import auth_ops as ops
from kvorum.machine.auth import ANONYMOUS, Auth, Caller, TokenGiven, TokensEnded
from kvorum.server import tokens as module
from kvorum.server.tokens import SimpleTokens, established


class Clock:
    """Time as the test tells it."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def users(*names: str) -> Auth:
    """Auth that is on, with users."""
    auth = Auth()
    for name in ("root", *names):
        auth.apply(ops.UserAdd(name, b""))
    auth.apply(ops.UserGrantRole("root", "root"))
    auth.apply(ops.AuthEnable())
    return auth


def test_a_token_means_its_user_under_the_newest_revision() -> None:
    auth, table = users("a"), SimpleTokens(300, Clock())
    table.changed(TokenGiven("a", "t.1"))
    assert table.caller("t.1", auth) == Caller("a", auth.revision)
    auth.apply(ops.RoleAdd("r"))
    assert table.caller("t.1", auth) == Caller("a", auth.revision)
    assert table.caller("t.2", auth) is None
    assert table.caller("", auth) is None


def test_each_use_gives_the_whole_time_again() -> None:
    auth, clock = users("a"), Clock()
    table = SimpleTokens(300, clock)
    table.changed(TokenGiven("a", "used.1"))
    table.changed(TokenGiven("a", "idle.2"))
    for _ in range(10):
        clock.now_s += 299
        assert table.caller("used.1", auth) is not None
    assert table.caller("idle.2", auth) is None
    clock.now_s += 300
    assert table.caller("used.1", auth) is None
    assert len(table) == 0


def test_what_ends_which_tokens() -> None:
    auth, table = users("a", "b"), SimpleTokens(300, Clock())
    for user, token in (("a", "x.1"), ("b", "y.2"), ("a", "z.3")):
        table.changed(TokenGiven(user, token))
    table.changed(TokensEnded("a"))
    assert [table.caller(token, auth) is None for token in ("x.1", "y.2", "z.3")] == [
        True,
        False,
        True,
    ]
    table.changed(TokensEnded("nobody"))
    assert len(table) == 1
    table.changed(TokensEnded(None))
    assert len(table) == 0


def test_ended_tokens_leave_with_the_next_that_is_given() -> None:
    clock = Clock()
    table = SimpleTokens(300, clock)
    for number in range(5):
        table.changed(TokenGiven("a", f"t.{number}"))
        clock.now_s += 100
    # Those of 500, 400 and 300 seconds ago have ended, nobody asked for them.
    table.changed(TokenGiven("a", "t.5"))
    assert len(table) == 3


def test_the_least_used_token_leaves_when_there_are_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert limits.AUTH_TOKENS == 100_000
    monkeypatch.setattr(module, "AUTH_TOKENS", 3)
    auth, table = users("a"), SimpleTokens(300, Clock())
    for number in range(3):
        table.changed(TokenGiven("a", f"t.{number}"))
    assert table.caller("t.0", auth) is not None
    table.changed(TokenGiven("a", "t.3"))
    alive = [number for number in range(4) if table.caller(f"t.{number}", auth) is not None]
    assert alive == [0, 2, 3]


@pytest.mark.parametrize(
    ("token", "index"),
    [
        ("abc.12", 12),
        ("known.7", 0),
        ("abc", 0),
        ("abc.", 0),
        ("abc.x", 0),
        ("abc.-1", 0),
        ("abc.1.2", 0),
        ("abc.\u0663", 0),
        ("abc.\u00b2", 0),
        ("abc." + "9" * 19, int("9" * 19)),
        ("abc." + "9" * 20, 0),
        (".5", 5),
    ],
)
def test_which_entry_a_token_waits_for(token: str, index: int) -> None:
    table = SimpleTokens(300, Clock())
    table.changed(TokenGiven("a", "known.7"))
    assert table.awaited(token) == index


def test_who_calls() -> None:
    auth, table = users("a"), SimpleTokens(300, Clock())
    table.changed(TokenGiven("a", "t.1"))
    revision = auth.revision
    assert established(table, auth, "t.1", None) == Caller("a", revision)
    # A token comes before a certificate, also a wrong one.
    assert established(table, auth, "t.1", "root") == Caller("a", revision)
    with pytest.raises(KvorumError) as caught:
        established(table, auth, "wrong", "root")
    assert caught.value.condition is Condition.INVALID_AUTH_TOKEN
    assert established(table, auth, None, "root") == Caller("root", revision)
    assert established(table, auth, None, "") == ANONYMOUS
    assert established(table, auth, None, None) == ANONYMOUS
    # With auth off nobody looks at either.
    off = Auth()
    assert established(table, off, "wrong", "root") == ANONYMOUS
