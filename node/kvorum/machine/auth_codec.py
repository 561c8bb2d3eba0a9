"""The bytes of the operations on users and roles: their part of ``codec``'s table of kinds.

Names and passwords are strings and bytes behind their length; a permission is type i32, key, range
end.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Any, Final

from kvorum.machine import auth_ops as ops
from kvorum.machine.operations import CommandError
from kvorum.machine.packing import Reader, write_blob
from kvorum.machine.permissions import Permission

_TYPE = Struct("<i")


def write_permission(permission: Permission, out: list[bytes]) -> None:
    """A permission; raises struct.error for a type that is no int32."""
    out.append(_TYPE.pack(permission.type))
    write_blob(permission.key, out)
    write_blob(permission.range_end, out)


def read_permission(r: Reader) -> Permission:
    """A permission, of any type."""
    (kind,) = r.fields(_TYPE)
    return Permission(kind, r.blob(), r.blob())


def _write_nothing(c: ops.AuthEnable | ops.AuthDisable, out: list[bytes]) -> None:
    """These two are their kind alone."""


def _write_name(c: ops.UserDelete | ops.RoleAdd | ops.RoleDelete, out: list[bytes]) -> None:
    write_blob(c.name.encode(), out)


def _write_add(c: ops.UserAdd, out: list[bytes]) -> None:
    write_blob(c.name.encode(), out)
    write_blob(c.password, out)
    out.append(b"\1" if c.no_password else b"\0")


def _write_password(c: ops.UserChangePassword, out: list[bytes]) -> None:
    write_blob(c.name.encode(), out)
    write_blob(c.password, out)


def _write_membership(c: ops.UserGrantRole | ops.UserRevokeRole, out: list[bytes]) -> None:
    write_blob(c.name.encode(), out)
    write_blob(c.role.encode(), out)


def _write_grant(c: ops.RoleGrantPermission, out: list[bytes]) -> None:
    if c.permission is None:
        raise CommandError("a grant without a permission")
    write_blob(c.role.encode(), out)
    write_permission(c.permission, out)


def _write_revoke(c: ops.RoleRevokePermission, out: list[bytes]) -> None:
    write_blob(c.role.encode(), out)
    write_blob(c.key, out)
    write_blob(c.range_end, out)


def _write_authenticate(c: ops.Authenticate, out: list[bytes]) -> None:
    write_blob(c.name.encode(), out)
    write_blob(c.prefix.encode(), out)


# Numbers are for ever, as all of the codec's.
AUTH_TABLE: Final[
    tuple[tuple[int, type, Callable[[Any, list[bytes]], None], Callable[[Reader, int], Any]], ...]
] = (
    (18, ops.AuthEnable, _write_nothing, lambda r, _: ops.AuthEnable()),
    (19, ops.AuthDisable, _write_nothing, lambda r, _: ops.AuthDisable()),
    (20, ops.UserAdd, _write_add, lambda r, _: ops.UserAdd(r.text(), r.blob(), r.flag())),
    (21, ops.UserDelete, _write_name, lambda r, _: ops.UserDelete(r.text())),
    (
        22,
        ops.UserChangePassword,
        _write_password,
        lambda r, _: ops.UserChangePassword(r.text(), r.blob()),
    ),
    (23, ops.UserGrantRole, _write_membership, lambda r, _: ops.UserGrantRole(r.text(), r.text())),
    (
        24,
        ops.UserRevokeRole,
        _write_membership,
        lambda r, _: ops.UserRevokeRole(r.text(), r.text()),
    ),
    (25, ops.RoleAdd, _write_name, lambda r, _: ops.RoleAdd(r.text())),
    (26, ops.RoleDelete, _write_name, lambda r, _: ops.RoleDelete(r.text())),
    (
        27,
        ops.RoleGrantPermission,
        _write_grant,
        lambda r, _: ops.RoleGrantPermission(r.text(), read_permission(r)),
    ),
    (
        28,
        ops.RoleRevokePermission,
        _write_revoke,
        lambda r, _: ops.RoleRevokePermission(r.text(), r.blob(), r.blob()),
    ),
    (
        29,
        ops.Authenticate,
        _write_authenticate,
        lambda r, _: ops.Authenticate(r.text(), r.text()),
    ),
)
