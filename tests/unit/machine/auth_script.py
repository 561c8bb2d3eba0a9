r"""The verbs of the machine scripts that concern users and roles.

    as NAME [rev=N]         who proposes and reads from here on; `as nobody` is nobody. The auth
                            revision is the newest unless it is given
    auth-enable             auth-disable                auth-status
    user-add NAME [PASSWORD] [no_password]              user-delete NAME
    user-password NAME PASSWORD                         user-grant NAME ROLE
    user-revoke NAME ROLE   users                       user-get NAME
    role-add NAME           role-delete NAME            roles         role-get NAME
    role-grant ROLE read|write|readwrite|N KEY [END]    role-grant ROLE nothing
    role-revoke ROLE KEY [END]
    login NAME              authenticate NAME PREFIX [rev=N]
    may read|write KEY [END]     may root|user|finish   may user-get NAME      may role-get ROLE
    may renew LEASE              may see LEASE,LEASE

With auth on, `get` and `txn read` are checked as the API does. Token changes that an entry leads to
stand below it.
"""

from __future__ import annotations

from typing import Any

from kvorum.errors import Condition
from kvorum.machine import auth_ops as ops
from kvorum.machine.apply import Machine
from kvorum.machine.auth import ANONYMOUS, Caller, TokenGiven, TokensEnded, token_change
from kvorum.machine.operations import Range, Txn
from kvorum.machine.permissions import Permission
from kvorum.machine.results import Refused, Result

TYPES = {"read": 0, "write": 1, "readwrite": 2}
_TYPE_NAMES = {number: name for name, number in TYPES.items()}


def as_bytes(word: str) -> bytes:
    """A word of a script as bytes."""
    return word.encode().decode("unicode_escape").encode("latin-1")


def as_text(data: bytes) -> str:
    """Bytes as a word of a script."""
    return data.decode("latin-1").encode("unicode_escape").decode() or '""'


def read_auth_command(words: list[str]) -> Any:
    """A command on users and roles, or None for another verb."""
    verb, rest = words[0], words[1:]
    match verb:
        case "auth-enable":
            return ops.AuthEnable()
        case "auth-disable":
            return ops.AuthDisable()
        case "user-add":
            plain = [word for word in rest if word != "no_password"]
            secret = plain[1].encode() if len(plain) > 1 else b""
            return ops.UserAdd(plain[0], secret, "no_password" in rest)
        case "user-delete":
            return ops.UserDelete(rest[0])
        case "user-password":
            return ops.UserChangePassword(rest[0], rest[1].encode())
        case "user-grant":
            return ops.UserGrantRole(rest[0], rest[1])
        case "user-revoke":
            return ops.UserRevokeRole(rest[0], rest[1])
        case "role-add":
            return ops.RoleAdd(rest[0])
        case "role-delete":
            return ops.RoleDelete(rest[0])
        case "role-grant":
            return ops.RoleGrantPermission(rest[0], read_permission(rest[1:]))
        case "role-revoke":
            return ops.RoleRevokePermission(rest[0], *map(as_bytes, rest[1:]))
    return None


def read_permission(words: list[str]) -> Permission | None:
    """`TYPE KEY [END]`, or `nothing`."""
    if words[0] == "nothing":
        return None
    kind = TYPES[words[0]] if words[0] in TYPES else int(words[0])
    return Permission(kind, *map(as_bytes, words[1:]))


def show_permission(permission: Permission) -> str:
    """As the script spells it."""
    end = f" {as_text(permission.range_end)}" if permission.range_end else ""
    name = _TYPE_NAMES.get(permission.type, str(permission.type))
    return f"{name} {as_text(permission.key)}{end}"


class AuthVerbs:
    """What a script needs for them beyond proposing: a caller, and the checks of reads."""

    _machine: Machine

    def __init__(self) -> None:
        self._user = ""
        self._auth_revision: int | None = None

    def say(self, line: str, indent: int = 1) -> None:
        """One line of the trace."""
        raise AssertionError("a script says it")

    def _propose(self, command: Any, caller: Caller | None = None) -> None:
        raise AssertionError("a script proposes")

    def _caller(self) -> Caller:
        if not self._user:
            return ANONYMOUS
        revision = self._auth_revision
        return Caller(self._user, self._machine.auth.revision if revision is None else revision)

    def _read_refusal(self, query: Range | Txn) -> Condition | None:
        auth = self._machine.auth
        if isinstance(query, Txn):
            return auth.check_txn(self._caller(), query, self._machine.leases)
        return auth.check_read(self._caller(), query.key, query.range_end)

    def _say_tokens(self, command: Any, result: Result | Refused) -> None:
        match token_change(command, result):
            case TokenGiven(user=user, token=token):
                self.say(f"token {token} is of {user}")
            case TokensEnded(user=user):
                self.say(f"tokens end: {user or 'all'}")

    def _do_as(self, name: str, *rest: str) -> None:
        self._user = "" if name == "nobody" else name
        self._auth_revision = int(rest[0].removeprefix("rev=")) if rest else None

    def _do_auth_status(self) -> None:
        auth = self._machine.auth
        self.say(f"{'on' if auth.enabled else 'off'}, auth revision {auth.revision}")

    def _do_users(self) -> None:
        self.say(" ".join(self._machine.auth.user_names()))

    def _do_roles(self) -> None:
        self.say(" ".join(self._machine.auth.role_names()))

    def _do_user_get(self, name: str) -> None:
        roles = self._machine.auth.roles_of(name)
        self.say(roles.name if isinstance(roles, Condition) else "roles: " + " ".join(roles))

    def _do_role_get(self, name: str) -> None:
        permissions = self._machine.auth.permissions_of(name)
        if isinstance(permissions, Condition):
            self.say(permissions.name)
            return
        for permission in permissions:
            self.say(show_permission(permission))
        self.say(f"{len(permissions)} permissions")

    def _do_login(self, name: str) -> None:
        login = self._machine.auth.login(name)
        if isinstance(login, Condition):
            self.say(login.name)
        else:
            self.say(f"compare with {login.password!r} at auth revision {login.auth_revision}")

    def _do_authenticate(self, name: str, prefix: str, *rest: str) -> None:
        auth = self._machine.auth
        revision = int(rest[0].removeprefix("rev=")) if rest else auth.revision
        self._propose(ops.Authenticate(name, prefix), Caller("", revision))

    def _do_may(self, what: str, *rest: str) -> None:
        auth, caller, leases = self._machine.auth, self._caller(), self._machine.leases
        match what:
            case "read":
                refused = auth.check_read(caller, *map(as_bytes, rest))
            case "write":
                refused = auth.check_write(caller, *map(as_bytes, rest))
            case "root":
                refused = auth.check_root(caller)
            case "user":
                refused = auth.check_user(caller)
            case "finish":
                refused = auth.check_current(caller)
            case "user-get":
                refused = auth.check_user_get(caller, rest[0])
            case "role-get":
                refused = auth.check_role_get(caller, rest[0])
            case "renew":
                refused = auth.check_lease_write(caller, leases.get(int(rest[0])))
            case _:
                assert what == "see", f"unknown question {what}"
                found = [leases.get(int(lease)) for lease in rest[0].split(",")]
                refused = auth.check_lease_read(caller, [one for one in found if one is not None])
        self.say("yes" if refused is None else refused.name)
