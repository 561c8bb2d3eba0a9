"""A second, naive judge of who may do what: permissions as sets of single keys.

Every key that could tell two ranges apart is in `UNIVERSE`: with bounds of at most two bytes, drawn
from a few, a stretch that was not granted begins at a bound or at a key's successor, so with three
bytes. It shares nothing with the code under test but the commands' types.
"""

from __future__ import annotations

from functools import cache
from itertools import product
from random import Random
from typing import Any

from kvorum.machine import auth_ops as ops
from kvorum.machine.leases import LeaseTable
from kvorum.machine.operations import DeleteRange, LeaseGrant, LeaseRevoke, Put, Range, Txn
from kvorum.machine.permissions import Permission
from unit.machine.workload import ENDS, KEYS

LETTERS = b"\0abcdez\xff"
UNIVERSE = sorted(bytes(word) for size in (1, 2, 3) for word in product(LETTERS, repeat=size))
USERS = ("root", "u", "v", "w")
ROLES = ("root", "p", "q", "r")


@cache
def within(key: bytes, end: bytes) -> frozenset[bytes]:
    """The keys of a range that a request or a permission spells."""
    if not end:
        return frozenset([key])
    return frozenset(k for k in UNIVERSE if k >= key and (end == b"\0" or k < end))


class Naive:
    """Users and roles as dicts; `do` gives the name of the condition, or None."""

    def __init__(self) -> None:
        self.users: dict[str, set[str]] = {}
        self.no_password: set[str] = set()
        self.roles: dict[str, dict[tuple[bytes, bytes], int]] = {}
        self.on = False
        self.revision = 1

    def do(self, change: Any) -> str | None:
        """Make a change, whoever asks."""
        before = (self.on, repr(self.users), repr(self.roles), set(self.no_password))
        refused: str | None = getattr(self, "_" + type(change).__name__)(*change)
        if refused is None:
            now = (self.on, repr(self.users), repr(self.roles), set(self.no_password))
            passwords = isinstance(change, ops.UserChangePassword)
            enabled = isinstance(change, ops.AuthEnable)
            self.revision += (now != before and not enabled) or passwords
        return refused

    def root_only(self, user: str, revision: int) -> str | None:
        """What stands against a change by this caller."""
        if not self.on:
            return None
        if not user or not revision:
            return "USER_EMPTY"
        return None if "root" in self.users.get(user, ()) else "PERMISSION_DENIED"

    def judge(self, user: str, revision: int, command: Any, leases: LeaseTable) -> str | None:
        """What stands against a command or a read by this caller."""
        if not self.on:
            return None
        if isinstance(command, LeaseGrant | LeaseRevoke):
            if not user or not revision:
                return "USER_EMPTY"
            if user not in self.users:
                return "PERMISSION_DENIED"
        touched = self._touched(command, leases)
        if not touched:
            return None
        if not user or not revision:
            return "USER_EMPTY"
        if revision < self.revision:
            return "AUTH_OLD_REVISION"
        if user not in self.users:
            return "PERMISSION_DENIED"
        if "root" in self.users[user]:
            return None
        fine = all(self._may(user, *one) for one in touched)
        return None if fine else "PERMISSION_DENIED"

    def _touched(self, command: Any, leases: LeaseTable) -> list[tuple[bool, bytes, bytes]]:
        match command:
            case Put():
                found = [(True, command.key, b"")]
                lease = leases.get(command.lease)
                found += [(True, key, b"") for key in (lease.keys if lease else ())]
                return found + [(False, command.key, b"")] * command.prev_kv
            case DeleteRange():
                found = [(True, command.key, command.range_end)]
                return found + [(False, command.key, command.range_end)] * command.prev_kv
            case Range():
                return [(False, command.key, command.range_end)]
            case LeaseRevoke():
                lease = leases.get(command.id)
                return [(True, key, b"") for key in (lease.keys if lease else ())]
            case Txn():
                found = [(False, c.key, c.range_end) for c in command.compare]
                for op in (*command.success, *command.failure):
                    found += self._touched(op, leases)
                return found
        return []

    def _may(self, user: str, writes: bool, key: bytes, end: bytes) -> bool:
        kinds = (1, 2) if writes else (0, 2)
        granted: set[bytes] = set()
        for role in self.users[user]:
            for (start, stop), kind in self.roles.get(role, {}).items():
                if kind in kinds:
                    granted |= within(start, stop)
        wanted = within(key, end)
        if wanted:
            return wanted <= granted
        # No key at all between these bounds: they must lie inside one granted stretch.
        gaps = [k for k in UNIVERSE if k <= key and k not in granted]
        below = [k for k in UNIVERSE if k < end and (not gaps or k > gaps[-1])]
        return bool(below)

    def _AuthEnable(self) -> str | None:
        if not self.on:
            if "root" not in self.users:
                return "ROOT_USER_NOT_EXIST"
            if "root" not in self.users["root"]:
                return "ROOT_ROLE_NOT_EXIST"
            self.on = True
        return None

    def _AuthDisable(self) -> str | None:
        self.on = False
        return None

    def _UserAdd(self, name: str, password: bytes, no_password: bool) -> str | None:
        if name in self.users:
            return "USER_EXIST"
        self.users[name] = set()
        if no_password:
            self.no_password.add(name)
        return None

    def _UserDelete(self, name: str) -> str | None:
        if self.on and name == "root":
            return "INVALID_AUTH_MANAGEMENT"
        if name not in self.users:
            return "USER_NOT_FOUND"
        del self.users[name]
        self.no_password.discard(name)
        return None

    def _UserChangePassword(self, name: str, password: bytes) -> str | None:
        return None if name in self.users else "USER_NOT_FOUND"

    def _UserGrantRole(self, name: str, role: str) -> str | None:
        if name not in self.users:
            return "USER_NOT_FOUND"
        if role != "root" and role not in self.roles:
            return "ROLE_NOT_FOUND"
        self.users[name] = {*self.users[name], role}
        return None

    def _UserRevokeRole(self, name: str, role: str) -> str | None:
        if self.on and name == role == "root":
            return "INVALID_AUTH_MANAGEMENT"
        if name not in self.users:
            return "USER_NOT_FOUND"
        if role not in self.users[name]:
            return "ROLE_NOT_GRANTED"
        self.users[name] = self.users[name] - {role}
        return None

    def _RoleAdd(self, name: str) -> str | None:
        if name in self.roles:
            return "ROLE_EXIST"
        self.roles[name] = {}
        return None

    def _RoleDelete(self, name: str) -> str | None:
        if self.on and name == "root":
            return "INVALID_AUTH_MANAGEMENT"
        if name not in self.roles:
            return "ROLE_NOT_FOUND"
        del self.roles[name]
        self.users = {user: roles - {name} for user, roles in self.users.items()}
        return None

    def _RoleGrantPermission(self, role: str, permission: Permission) -> str | None:
        kind, key, end = permission
        if not key or not within(key, end):
            return "INVALID_AUTH_MANAGEMENT"
        if role not in self.roles:
            return "ROLE_NOT_FOUND"
        self.roles[role][key, end] = kind
        return None

    def _RoleRevokePermission(self, role: str, key: bytes, end: bytes) -> str | None:
        if role not in self.roles:
            return "ROLE_NOT_FOUND"
        return None if self.roles[role].pop((key, end), None) is not None else _NOT_GRANTED


_NOT_GRANTED = "PERMISSION_NOT_GRANTED"


class AuthWorkload:
    """Draws changes of users and roles over a handful of names."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def permission(self) -> Permission:
        """A permission, now and then one that cannot be."""
        pick = self._random
        return Permission(pick.choice((0, 1, 2, 2)), pick.choice((*KEYS, b"")), pick.choice(ENDS))

    def change(self) -> Any:
        """Anything; grants more often than what takes away."""
        pick = self._random
        user, role, draw = pick.choice(USERS), pick.choice(ROLES), pick.random()
        if draw < 0.35:
            return ops.RoleGrantPermission(role, self.permission())
        if draw < 0.55:
            return ops.UserGrantRole(user, pick.choice(ROLES[1:]))
        if draw < 0.65:
            return ops.UserAdd(user, b"hash", pick.random() < 0.2)
        if draw < 0.75:
            return ops.RoleAdd(role)
        permission = self.permission()
        rare = (
            ops.UserDelete(user),
            ops.UserChangePassword(user, b"other"),
            ops.UserRevokeRole(user, role),
            ops.UserGrantRole("root", "root"),
            ops.RoleDelete(role),
            ops.RoleRevokePermission(role, permission.key, permission.range_end),
            ops.AuthEnable(),
            ops.AuthEnable(),
            ops.AuthDisable() if pick.random() < 0.2 else ops.AuthEnable(),
        )
        return pick.choice(rare)
