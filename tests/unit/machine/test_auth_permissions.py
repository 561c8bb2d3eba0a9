"""Unions of ranges against sets of single keys, and what is cached of them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kvorum import limits
from kvorum.errors import Condition
from kvorum.machine import auth_ops as ops
from kvorum.machine.auth import ANONYMOUS, Auth, Caller
from kvorum.machine.leases import LeaseTable
from kvorum.machine.operations import LeaseGrant
from kvorum.machine.permissions import READ, READWRITE, WRITE, Coverage, Permission, unite
from unit.machine.auth_model import LETTERS, UNIVERSE, within

BOUND = st.lists(st.sampled_from(sorted(LETTERS)), max_size=2).map(bytes)
KEY = st.lists(st.sampled_from(sorted(LETTERS)), min_size=1, max_size=2).map(bytes)
VALID = st.builds(Permission, st.integers(0, 2), KEY, BOUND).filter(lambda p: p.valid)


@given(st.lists(VALID, max_size=6), KEY, BOUND)
@settings(max_examples=600, deadline=None)
def test_covers_is_containment_of_keys(
    permissions: list[Permission], key: bytes, end: bytes
) -> None:
    rights = unite(permissions)
    wanted = within(key, end)
    for coverage, kinds in ((rights.read, (0, 2)), (rights.write, (1, 2))):
        granted: set[bytes] = set()
        for permission in permissions:
            if permission.type in kinds:
                granted |= within(permission.key, permission.range_end)
        if wanted:
            assert coverage.covers(key, end) == (wanted <= granted)
        else:  # Between these bounds there is no key; it takes more than the keys around them.
            around = {k for k in UNIVERSE if end <= k <= key}
            assert not coverage.covers(key, end) or around <= granted


@given(st.lists(VALID, max_size=8))
@settings(max_examples=200, deadline=None)
def test_order_does_not_matter_and_stretches_do_not_touch(permissions: list[Permission]) -> None:
    one, other = unite(permissions), unite(list(reversed(permissions)))
    for key in UNIVERSE:
        assert one.read.covers(key) == other.read.covers(key)
    assert len(one.read) == len(other.read) <= len(permissions)


@given(st.builds(Permission, st.integers(-3, 9), BOUND, BOUND))
def test_valid_is_having_a_key(permission: Permission) -> None:
    can = bool(permission.key) and bool(within(permission.key, permission.range_end))
    assert permission.valid == can


def test_long_ranges_of_many_grants_are_one_search() -> None:
    touching = [Permission(READ, b"%05d" % n, b"%05d" % (n + 1)) for n in range(2000)]
    rights = unite(touching)
    assert len(rights.read) == 1
    assert rights.read.covers(b"00000", b"02000")
    assert not rights.read.covers(b"00000", b"02000\0")
    apart = unite(touching[:1000] + touching[1001:])
    assert len(apart.read) == 2
    assert not apart.read.covers(b"00000", b"02000")


def test_nothing_covers_nothing() -> None:
    assert not Coverage().covers(b"a")
    assert not Coverage().covers(b"\0", b"\0")
    assert not Coverage().covers(b"b", b"a")


def opened() -> Auth:
    """Auth that is on, with a user u of role r."""
    auth = Auth()
    for change in (
        ops.UserAdd("root", b"hash"),
        ops.UserGrantRole("root", "root"),
        ops.UserAdd("u", b"hash"),
        ops.RoleAdd("r"),
        ops.UserGrantRole("u", "r"),
        ops.AuthEnable(),
    ):
        assert auth.accounts.apply(change) is None
    return auth


@pytest.mark.parametrize(
    "taking",
    [
        ops.RoleRevokePermission("r", b"k", b""),
        ops.RoleDelete("r"),
        ops.UserRevokeRole("u", "r"),
        ops.RoleGrantPermission("r", Permission(WRITE, b"k")),
        ops.UserDelete("u"),
    ],
)
def test_what_is_taken_away_is_gone_at_once(taking: ops.AuthChange) -> None:
    """Cached rights do not outlive any change that could matter."""
    auth = opened()
    assert auth.check_read(auth.caller("u"), b"k") is Condition.PERMISSION_DENIED
    auth.apply(ops.RoleGrantPermission("r", Permission(READWRITE, b"k")))
    for _ in range(2):
        assert auth.check_read(auth.caller("u"), b"k") is None
    before = auth.caller("u")
    auth.apply(taking)
    assert auth.check_read(before, b"k") is Condition.AUTH_OLD_REVISION
    assert auth.check_current(before) is Condition.AUTH_OLD_REVISION
    assert auth.check_read(auth.caller("u"), b"k") is Condition.PERMISSION_DENIED


def test_users_who_do_not_exist_fill_no_cache() -> None:
    auth = opened()
    for n in range(100):
        caller = auth.caller(f"stranger{n}")
        assert auth.check_read(caller, b"k") is Condition.PERMISSION_DENIED
    assert len(auth._cache) == 0


def test_nobody_is_nobody() -> None:
    auth = opened()
    assert auth.caller("") == ANONYMOUS
    for caller in (ANONYMOUS, Caller("", auth.revision), Caller("root", 0)):
        assert auth.check_read(caller, b"k") is Condition.USER_EMPTY
        assert auth.check_root(caller) is Condition.USER_EMPTY
        assert auth.check_user(caller) is Condition.USER_EMPTY


def test_secrets_stay_out_of_repr() -> None:
    """What is printed of anything that holds a password or a token holds neither."""
    auth = opened()
    auth.apply(ops.UserAdd("x", b"SECRET"))
    given = auth.authenticate(ops.Authenticate("x", "SECRET"), 9)
    shown = [
        ops.UserAdd("x", b"SECRET"),
        ops.UserChangePassword("x", b"SECRET"),
        ops.Authenticate("x", "SECRET"),
        auth.accounts.state(),
        auth.login("x"),
        given,
    ]
    for thing in shown:
        assert "SECRET" not in repr(thing)
        assert "SECRET" not in str(thing)
        assert "'x'" in repr(thing) or "Login" in repr(thing)


class LeaseTest:
    """A user who may write "a" to "m", and a lease."""

    def __init__(self) -> None:
        self.auth = opened()
        self.leases = LeaseTable()
        self.auth.apply(ops.RoleGrantPermission("r", Permission(READWRITE, b"a", b"m")))
        self.grant()

    def grant(self) -> None:
        self.leases.grant(LeaseGrant(1, 60))

    def refusal(self, user: str = "u") -> Condition | None:
        return self.auth.check_lease_write(self.auth.caller(user), self.leases.get(1))


def test_keys_that_come_to_a_lease_are_looked_at() -> None:
    test = LeaseTest()
    for key in (b"b", b"c", b"d"):
        test.leases.attach(1, key)
        assert test.refusal() is None
    test.leases.attach(1, b"x")
    for _ in range(2):
        assert test.refusal() is Condition.PERMISSION_DENIED
        assert test.refusal("root") is None
    test.leases.detach(1, b"x")
    assert test.refusal() is None
    test.leases.detach(1, b"b")
    test.leases.attach(1, b"x")
    test.leases.attach(1, b"b")
    test.leases.detach(1, b"d")
    assert test.refusal() is Condition.PERMISSION_DENIED


def test_another_lease_of_the_same_id_is_another_lease() -> None:
    test = LeaseTest()
    for n in range(5):
        test.leases.attach(1, b"b%d" % n)
    assert test.refusal() is None
    for n in range(5):
        test.leases.detach(1, b"b%d" % n)
    test.leases.remove(1)
    test.grant()
    test.leases.attach(1, b"x")
    assert test.refusal() is Condition.PERMISSION_DENIED


def test_reading_and_writing_a_lease_are_two_things_and_so_are_users() -> None:
    test = LeaseTest()
    test.auth.apply(ops.RoleGrantPermission("r", Permission(READ, b"x")))
    test.auth.apply(ops.UserAdd("v", b"hash"))
    test.leases.attach(1, b"x")
    lease = test.leases.get(1)
    assert lease is not None
    for _ in range(2):
        assert test.auth.check_lease_read(test.auth.caller("u"), [lease]) is None
        assert test.refusal() is Condition.PERMISSION_DENIED
        refused = test.auth.check_lease_read(test.auth.caller("v"), [lease])
        assert refused is Condition.PERMISSION_DENIED


def test_a_lease_verdict_does_not_outlive_the_permission() -> None:
    test = LeaseTest()
    test.leases.attach(1, b"b")
    assert test.refusal() is None
    test.auth.apply(ops.RoleRevokePermission("r", b"a", b"m"))
    assert test.refusal() is Condition.PERMISSION_DENIED


def test_each_key_of_a_lease_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    test, looked, covers = LeaseTest(), [], Coverage.covers

    def counting(self: Coverage, key: bytes, range_end: bytes = b"") -> bool:
        looked.append(key)
        return covers(self, key, range_end)

    monkeypatch.setattr(Coverage, "covers", counting)
    for n in range(500):
        test.leases.attach(1, b"b%d" % n)
        assert test.refusal() is None
    assert len(looked) == 500


def test_lease_verdicts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "AUTH_LEASE_VERDICTS", 10)
    test = LeaseTest()
    for n in range(2, 60):
        test.leases.grant(LeaseGrant(n, 60))
        test.leases.attach(n, b"b%d" % n)
        for _ in range(2):
            lease = test.leases.get(n)
            assert test.auth.check_lease_write(test.auth.caller("u"), lease) is None
        assert len(test.auth._lease_verdicts._seen) <= 10
