"""Users and roles, and what each operation on them does: the replicated table behind ``auth``.

Etcd's rules (contract page "semantics", section 10) with those of its latest releases where
releases differ. Every change makes the next auth revision, by which tokens, entries in flight and
cached rights are known to be stale. What changes nothing makes none: enabling, a role or permission
that was granted already.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from kvorum.errors import Condition
from kvorum.machine import auth_ops as ops
from kvorum.machine.auth_ops import AuthChange
from kvorum.machine.permissions import Permission

ROOT: Final = "root"  # The user that must exist, and the role that may do everything.
FIRST_REVISION: Final = 1


class User(NamedTuple):
    """A user. ``password`` is what the proposer made of it; ``roles`` are sorted."""

    name: str
    password: bytes = b""
    no_password: bool = False
    roles: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"User(name={self.name!r}, no_password={self.no_password}, roles={self.roles})"


class Role(NamedTuple):
    """A role. Permissions are in order of their keys; those of one key as they were granted."""

    name: str
    permissions: tuple[Permission, ...] = ()


class AuthState(NamedTuple):
    """All of it as a value, for an image. Users and roles are sorted by name."""

    enabled: bool = False
    revision: int = FIRST_REVISION
    users: tuple[User, ...] = ()
    roles: tuple[Role, ...] = ()


class Accounts:
    """Users and roles by name. ``enabled`` and ``revision`` may be read by anybody."""

    __slots__ = ("_roles", "_users", "enabled", "revision")

    def __init__(self, state: AuthState | None = None) -> None:
        state = state or AuthState()
        self.enabled = state.enabled
        self.revision = state.revision
        self._users = {user.name: user for user in state.users}
        self._roles = {role.name: role for role in state.roles}

    def state(self) -> AuthState:
        """This instant."""
        return AuthState(self.enabled, self.revision, self.users(), self.roles())

    def user(self, name: str) -> User | None:
        """The user, or None."""
        return self._users.get(name)

    def role(self, name: str) -> Role | None:
        """The role, or None."""
        return self._roles.get(name)

    def users(self) -> tuple[User, ...]:
        """Users sorted by name."""
        return tuple([self._users[name] for name in sorted(self._users)])

    def roles(self) -> tuple[Role, ...]:
        """Roles sorted by name."""
        return tuple([self._roles[name] for name in sorted(self._roles)])

    def apply(self, change: AuthChange) -> Condition | None:
        """Make the change, or refuse it. Who may make it is not asked here."""
        return _CHANGES[type(change)](self, change)

    # --- on and off -------------------------------------------------------------------------------

    def _enable(self, change: ops.AuthEnable) -> Condition | None:
        if self.enabled:
            return None
        root = self._users.get(ROOT)
        if root is None:
            return Condition.ROOT_USER_NOT_EXIST
        if ROOT not in root.roles:
            return Condition.ROOT_ROLE_NOT_EXIST
        self.enabled = True
        return None

    def _disable(self, change: ops.AuthDisable) -> Condition | None:
        if self.enabled:
            self.enabled = False
            self.revision += 1
        return None

    # --- users ------------------------------------------------------------------------------------

    def _add_user(self, change: ops.UserAdd) -> Condition | None:
        if not change.name:
            return Condition.USER_EMPTY
        if change.name in self._users:
            return Condition.USER_EXIST
        password = b"" if change.no_password else change.password
        self._keep_user(User(change.name, password, change.no_password))
        return None

    def _delete_user(self, change: ops.UserDelete) -> Condition | None:
        if self.enabled and change.name == ROOT:
            return Condition.INVALID_AUTH_MANAGEMENT
        if change.name not in self._users:
            return Condition.USER_NOT_FOUND
        del self._users[change.name]
        self.revision += 1
        return None

    def _change_password(self, change: ops.UserChangePassword) -> Condition | None:
        user = self._users.get(change.name)
        if user is None:
            return Condition.USER_NOT_FOUND
        password = b"" if user.no_password else change.password
        self._keep_user(user._replace(password=password))
        return None

    def _grant_role(self, change: ops.UserGrantRole) -> Condition | None:
        """The root role needs no role object."""
        user = self._users.get(change.name)
        if user is None:
            return Condition.USER_NOT_FOUND
        if change.role != ROOT and change.role not in self._roles:
            return Condition.ROLE_NOT_FOUND
        if change.role in user.roles:
            return None
        self._keep_user(user._replace(roles=tuple(sorted((*user.roles, change.role)))))
        return None

    def _revoke_role(self, change: ops.UserRevokeRole) -> Condition | None:
        if self.enabled and change.name == ROOT and change.role == ROOT:
            return Condition.INVALID_AUTH_MANAGEMENT
        user = self._users.get(change.name)
        if user is None:
            return Condition.USER_NOT_FOUND
        if change.role not in user.roles:
            return Condition.ROLE_NOT_GRANTED
        self._keep_user(_without(user, change.role))
        return None

    def _keep_user(self, user: User) -> None:
        self._users[user.name] = user
        self.revision += 1

    # --- roles ------------------------------------------------------------------------------------

    def _add_role(self, change: ops.RoleAdd) -> Condition | None:
        if not change.name:
            return Condition.ROLE_EMPTY
        if change.name in self._roles:
            return Condition.ROLE_EXIST
        self._keep_role(Role(change.name))
        return None

    def _delete_role(self, change: ops.RoleDelete) -> Condition | None:
        """One revision, however many users lose the role."""
        if self.enabled and change.name == ROOT:
            return Condition.INVALID_AUTH_MANAGEMENT
        if change.name not in self._roles:
            return Condition.ROLE_NOT_FOUND
        del self._roles[change.name]
        for user in self.users():
            if change.name in user.roles:
                self._users[user.name] = _without(user, change.name)
        self.revision += 1
        return None

    def _grant_permission(self, change: ops.RoleGrantPermission) -> Condition | None:
        permission = change.permission
        assert permission is not None, "a grant without one has no form in the log"
        if not permission.valid:
            return Condition.INVALID_AUTH_MANAGEMENT
        role = self._roles.get(change.role)
        if role is None:
            return Condition.ROLE_NOT_FOUND
        held = list(role.permissions)
        if permission in held:
            return None
        at = _find(held, permission.key, permission.range_end)
        if at is None:
            held.insert(bisect_right(held, permission.key, key=_key), permission)
        else:
            held[at] = permission
        self._keep_role(Role(role.name, tuple(held)))
        return None

    def _revoke_permission(self, change: ops.RoleRevokePermission) -> Condition | None:
        role = self._roles.get(change.role)
        if role is None:
            return Condition.ROLE_NOT_FOUND
        held = list(role.permissions)
        at = _find(held, change.key, change.range_end)
        if at is None:
            return Condition.PERMISSION_NOT_GRANTED
        del held[at]
        self._keep_role(Role(role.name, tuple(held)))
        return None

    def _keep_role(self, role: Role) -> None:
        self._roles[role.name] = role
        self.revision += 1


def _without(user: User, role: str) -> User:
    return user._replace(roles=tuple([held for held in user.roles if held != role]))


def _find(held: Iterable[Permission], key: bytes, range_end: bytes) -> int | None:
    """Where the permission for exactly this range stands."""
    for at, permission in enumerate(held):
        if permission.key == key and permission.range_end == range_end:
            return at
    return None


def _key(permission: Permission) -> bytes:
    return permission.key


_CHANGES: dict[type, Callable[[Accounts, Any], Condition | None]] = {
    ops.AuthEnable: Accounts._enable,
    ops.AuthDisable: Accounts._disable,
    ops.UserAdd: Accounts._add_user,
    ops.UserDelete: Accounts._delete_user,
    ops.UserChangePassword: Accounts._change_password,
    ops.UserGrantRole: Accounts._grant_role,
    ops.UserRevokeRole: Accounts._revoke_role,
    ops.RoleAdd: Accounts._add_role,
    ops.RoleDelete: Accounts._delete_role,
    ops.RoleGrantPermission: Accounts._grant_permission,
    ops.RoleRevokePermission: Accounts._revoke_permission,
}
