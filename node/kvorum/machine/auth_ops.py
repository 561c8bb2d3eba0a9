"""What may be done to users, roles and auth itself: the log's operations, as immutable values.

A password arrives here as the bytes that are kept, a salted hash which the proposer made: hashing
takes tens of milliseconds on purpose and would stop every member's apply. Likewise the random part
of a token is drawn by the proposer, and whether a password is right was found out before
(``Authenticate``). Secrets stay out of ``repr``, so that no log and no traceback tells them.
"""

from __future__ import annotations

from typing import NamedTuple

from kvorum.machine.permissions import Permission


class AuthEnable(NamedTuple):
    """Check permissions from now on."""


class AuthDisable(NamedTuple):
    """Check nothing any more; tokens end."""


class Authenticate(NamedTuple):
    """Give a user a token, ``prefix`` and the entry's index.

    The proposer has compared the password with :meth:`kvorum.machine.auth.Auth.login`'s, and the
    envelope's ``auth_revision`` is that of the comparison: when users have changed since, the
    entry is refused and the comparison must be made again.
    """

    name: str
    prefix: str

    def __repr__(self) -> str:
        return f"Authenticate(name={self.name!r}, prefix=<{len(self.prefix)} characters>)"


class UserAdd(NamedTuple):
    """Create a user. One with ``no_password`` can only be shown by a certificate."""

    name: str
    password: bytes
    no_password: bool = False

    def __repr__(self) -> str:
        secret = f"<{len(self.password)} bytes>"
        return f"UserAdd(name={self.name!r}, password={secret}, no_password={self.no_password})"


class UserDelete(NamedTuple):
    """Remove a user; its tokens end."""

    name: str


class UserChangePassword(NamedTuple):
    """Replace a user's password; its tokens end. A user with no password keeps none."""

    name: str
    password: bytes

    def __repr__(self) -> str:
        secret = f"<{len(self.password)} bytes>"
        return f"UserChangePassword(name={self.name!r}, password={secret})"


class UserGrantRole(NamedTuple):
    """Give a user a role."""

    name: str
    role: str


class UserRevokeRole(NamedTuple):
    """Take a role from a user."""

    name: str
    role: str


class RoleAdd(NamedTuple):
    """Create a role without permissions."""

    name: str


class RoleDelete(NamedTuple):
    """Remove a role, from all users too."""

    name: str


class RoleGrantPermission(NamedTuple):
    """Let a role touch a range of keys; another type for the same range replaces the old one.

    A permission of None is a request without one: it can be refused (``validate``) but not encoded.
    """

    role: str
    permission: Permission | None


class RoleRevokePermission(NamedTuple):
    """Take back what was granted for exactly this key and range end."""

    role: str
    key: bytes
    range_end: bytes = b""


# What only root may do while auth is on.
AuthChange = (
    AuthEnable
    | AuthDisable
    | UserAdd
    | UserDelete
    | UserChangePassword
    | UserGrantRole
    | UserRevokeRole
    | RoleAdd
    | RoleDelete
    | RoleGrantPermission
    | RoleRevokePermission
)
