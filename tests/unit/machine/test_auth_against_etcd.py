"""The same changes and requests, by the same users, for the machine and for a real etcd.

What etcd 3.4 decides otherwise is left out: it accepts permissions without a key in them, mistakes
one of several permissions of one key for another, does not look into nested transactions nor at
``prev_kv`` and leases inside of any, and asks nobody who grants a lease. A request whose range can
hold no key it allows or denies by the shape of its tree, in no way that could be told by rule.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from kvorum.errors import BY_MESSAGE, Condition
from kvorum.machine import auth_ops as ops
from kvorum.machine.apply import Machine
from kvorum.machine.auth import CHANGES, Caller
from kvorum.machine.commands import Envelope, LeaseExpire, decode, encode, validate
from kvorum.machine.operations import Compact, DeleteRange, LeaseGrant, LeaseRevoke, Put, Range, Txn
from kvorum.machine.permissions import Permission
from kvorum.machine.results import Refused
from kvorum.machine.txn import is_read_only
from support.clusters import ClusterHandle
from unit.machine.auth_model import ROLES, USERS, AuthWorkload
from unit.machine.etcd import Etcd
from unit.machine.plain import plain
from unit.machine.test_auth_model import OPENING
from unit.machine.workload import Workload

COMMANDS = 1200
PASSWORDS = {b"hash": "first", b"other": "second"}
_TYPES = ("READ", "WRITE", "READWRITE")


def text(data: bytes) -> str:
    return b64encode(data).decode()


def request_of(change: Any) -> tuple[str, dict[str, Any]]:
    """Path and body for etcd's gateway."""
    match change:
        case ops.AuthEnable():
            return "auth/enable", {}
        case ops.AuthDisable():
            return "auth/disable", {}
        case ops.UserAdd(name, password, no_password):
            options = {"no_password": no_password}
            return "auth/user/add", {
                "name": name, "password": PASSWORDS[password], "options": options
            }  # fmt: skip
        case ops.UserDelete(name):
            return "auth/user/delete", {"name": name}
        case ops.UserChangePassword(name, password):
            return "auth/user/changepw", {"name": name, "password": PASSWORDS[password]}
        case ops.UserGrantRole(name, role):
            return "auth/user/grant", {"user": name, "role": role}
        case ops.UserRevokeRole(name, role):
            return "auth/user/revoke", {"name": name, "role": role}
        case ops.RoleAdd(name):
            return "auth/role/add", {"name": name}
        case ops.RoleDelete(name):
            return "auth/role/delete", {"role": name}
        case ops.RoleGrantPermission(role, permission):
            kind, key, end = permission
            given = {"permType": _TYPES[kind], "key": text(key), "range_end": text(end)}
            return "auth/role/grant", {"name": role, "perm": given}
        case ops.RoleRevokePermission(role, key, end):
            return "auth/role/revoke", {"role": role, "key": text(key), "range_end": text(end)}
    raise AssertionError(change)


def permission_of(told: dict[str, Any]) -> Permission:
    kind = _TYPES.index(told.get("permType", "READ"))
    return Permission(kind, b64decode(told["key"]), b64decode(told.get("range_end", "")))


def empty(key: bytes, range_end: bytes) -> bool:
    """Whether a range can hold no key."""
    return range_end not in (b"", b"\0") and range_end <= key


def is_shared(machine: Machine, command: Any) -> bool:
    """Whether both are to decide alike."""
    match command:
        case ops.RoleGrantPermission(role, permission):
            held = machine.auth.accounts.role(role)
            others = (
                [p.range_end for p in held.permissions if p.key == permission.key] if held else []
            )
            return permission.valid and (not others or others == [permission.range_end])
        case LeaseExpire():
            return False
        case LeaseGrant():
            return bool(command.id)
        case DeleteRange() | Range():
            return not empty(command.key, command.range_end)
        case Txn():
            branches = (*command.success, *command.failure)
            puts = [op for op in branches if isinstance(op, Put)]
            if any(isinstance(op, Txn) for op in branches):
                return False
            if any(put.prev_kv or put.lease for put in puts):
                return False
            ranged = [op for op in (*command.compare, *branches) if not isinstance(op, Put)]
            return not any(empty(op.key, op.range_end) for op in ranged)
    return True


class Both:
    """An etcd and a machine, and the tokens that etcd gave."""

    def __init__(self, etcd: Etcd) -> None:
        self.etcd = etcd
        self.machine = Machine()
        self.tokens: dict[str, str] = {}
        self.passwords: dict[str, str] = {}
        self.met: Counter[str] = Counter()

    def step(self, user: str, command: Any) -> None:
        """One command by one user ("" is nobody): the same outcome."""
        if validate(command) is not None or not is_shared(self.machine, command):
            return
        on = self.machine.auth.enabled
        if on and not user and isinstance(command, LeaseGrant | LeaseRevoke):
            return
        self.etcd.token = self.tokens.get(user, "")
        if type(command) in CHANGES:
            theirs = self.ask(*request_of(command))
            ours = self.ours(user, command)
            ours = ours if ours[0] == "refused" else ("done",)
        else:
            theirs, ours = self.etcd.do(command), self.ours(user, command)
        assert ours == theirs, (user, command)
        self.met[theirs[1] if theirs[0] == "refused" else theirs[0]] += 1
        if theirs[0] != "refused":
            self.follow(command)

    def ours(self, user: str, command: Any) -> Any:
        machine = self.machine
        caller = machine.auth.caller(user)
        if isinstance(command, Range) or (isinstance(command, Txn) and is_read_only(command)):
            refused = self.read_refusal(caller, command)
            return ("refused", refused.name) if refused else plain(machine.read(command))
        entry = decode(encode(Envelope(1, 2, 3, *caller, command)))
        applied = machine.apply(machine.applied_index + 1, 1, entry)
        if type(command) in CHANGES and not isinstance(applied.result, Refused):
            return ("done",)
        result = plain(applied.result)
        if isinstance(command, Compact | LeaseGrant | LeaseRevoke) and result[0] != "refused":
            return ("done", applied.revision)
        return result

    def read_refusal(self, caller: Caller, query: Range | Txn) -> Condition | None:
        auth = self.machine.auth
        if isinstance(query, Range):
            return auth.check_read(caller, query.key, query.range_end)
        return auth.check_txn(caller, query, self.machine.leases)

    def ask(self, path: str, body: dict[str, Any]) -> Any:
        answer = self.etcd.post(path, body)
        if "error" in answer:
            return ("refused", BY_MESSAGE[answer["error"]].name)
        return ("done",)

    def follow(self, command: Any) -> None:
        """Keep tokens and passwords as they are after a change."""
        match command:
            case ops.UserAdd(name, password) | ops.UserChangePassword(name, password):
                self.passwords[name] = PASSWORDS[password]
                self.tokens.pop(name, None)
                self.login(name)
            case ops.UserDelete(name):
                self.tokens.pop(name, None)
            case ops.AuthEnable():
                for name in USERS:
                    self.login(name)
            case ops.AuthDisable():
                self.tokens.clear()

    def login(self, name: str) -> None:
        """Authenticate with the right password and with a wrong one; the same outcome."""
        if self.machine.auth.enabled and name in self.tokens:
            return
        self.etcd.token = ""
        login = self.machine.auth.login(name)
        for password in ("wrong", self.passwords.get(name, "")):
            answer = self.etcd.post("auth/authenticate", {"name": name, "password": password})
            if isinstance(login, Condition):
                assert answer["error"] == login.message
            elif password == "wrong":
                assert answer["error"] == Condition.AUTH_FAILED.message
            else:
                prefix, _, index = answer["token"].partition(".")
                assert len(prefix) == 16 and index.isdigit()
                self.tokens[name] = answer["token"]
                given = self.ours_authenticate(name, prefix, login.auth_revision)
                assert given.partition(".")[0] == prefix

    def ours_authenticate(self, name: str, prefix: str, auth_revision: int) -> str:
        machine = self.machine
        entry = Envelope(1, 2, 3, "", auth_revision, ops.Authenticate(name, prefix))
        token: str = machine.apply(machine.applied_index + 1, 1, entry).result.token  # type: ignore[union-attr]  # it is one
        return token

    def look(self, user: str) -> None:
        """Lists, one user and one role, as this user sees them."""
        auth = self.machine.auth
        caller = auth.caller(user)
        self.etcd.token = self.tokens.get(user, "")
        users = self.etcd.post("auth/user/list", {})
        roles = self.etcd.post("auth/role/list", {})
        refused = auth.check_root(caller)
        if refused is not None:
            assert users["error"] == roles["error"] == refused.message
        else:
            assert tuple(users.get("users", ())) == auth.user_names()
            assert tuple(roles.get("roles", ())) == auth.role_names()
        for name in USERS:
            answer = self.etcd.post("auth/user/get", {"name": name})
            expected = auth.check_user_get(caller, name) or auth.roles_of(name)
            self.same(expected, answer, lambda told: tuple(told.get("roles", ())))
        for name in ROLES[1:]:
            answer = self.etcd.post("auth/role/get", {"role": name})
            held = auth.check_role_get(caller, name) or auth.permissions_of(name)
            self.same(held, answer, lambda told: tuple(map(permission_of, told.get("perm", ()))))

    @staticmethod
    def same(expected: Any, answer: dict[str, Any], read: Callable[[dict[str, Any]], Any]) -> None:
        if isinstance(expected, Condition):
            assert answer.get("error") == expected.message
        else:
            assert read(answer) == expected


@pytest.mark.parametrize("seed", range(2))
def test_same_decisions_as_etcd(seed: int, kvorum_cluster: Callable[..., ClusterHandle]) -> None:
    cluster = kvorum_cluster(1, program="etcd", flags=("--bcrypt-cost", "4"))
    both = Both(Etcd(cluster.endpoints[0]))
    random = Random(seed)
    changes, workload = AuthWorkload(random), Workload(random)
    for command in OPENING:
        both.step("", command)
    for number in range(COMMANDS):
        user = random.choice(("", *sorted(both.tokens), *sorted(both.tokens)))
        workload.revision = both.machine.revision
        draw = random.random()
        if draw < 0.35:
            root = "root" if "root" in both.tokens else ""
            both.step(root if random.random() < 0.8 else user, changes.change())
        elif draw < 0.5:
            both.step(user, random.choice((workload.range, workload.reading_txn))())
        else:
            both.step(user, workload.command())
        if number % 50 == 0:
            both.look(user if user in both.tokens else "")
            both.look("root" if "root" in both.tokens else "")
    both.etcd.close()
    wanted = ("done", "put", "range", "deleted", "txn", "PERMISSION_DENIED", "USER_EMPTY")
    assert min(both.met[kind] for kind in wanted) > 5, both.met
