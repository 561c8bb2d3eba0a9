"""Users, roles and permissions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from kvorum_proto import authpb
from kvorum_proto import etcdserverpb as pb
from kvorum_proto.rpc import Method

from kvorum.client.caller import Caller
from kvorum.client.methods import method
from kvorum.client.types import Key, key_range

PermissionKind = Literal["READ", "WRITE", "READWRITE"]


@dataclass(frozen=True, slots=True)
class Permission:
    """What a role may do with a key, or with the keys of a range."""

    kind: str
    key: bytes
    range_end: bytes


@dataclass(frozen=True, slots=True)
class AuthStatus:
    """Whether auth is on, and the revision of its store."""

    enabled: bool
    revision: int


class Auth:
    """The auth calls, as root. Each raises a :class:`kvorum.client.errors.ClientError`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def enable(self) -> None:
        """Turn auth on; needs a user root with the role root."""
        await self._caller.call(
            _method("AuthEnable"), pb.AuthEnableRequest(), pb.AuthEnableResponse
        )

    async def disable(self) -> None:
        """Turn auth off."""
        await self._caller.call(
            _method("AuthDisable"), pb.AuthDisableRequest(), pb.AuthDisableResponse
        )

    async def status(self) -> AuthStatus:
        """Whether auth is on. etcd 3.4 does not know this call and raises ``Unsupported``."""
        reply = await self._caller.call(
            _method("AuthStatus"), pb.AuthStatusRequest(), pb.AuthStatusResponse
        )
        return AuthStatus(reply.enabled, reply.auth_revision)

    async def user_add(self, name: str, password: str = "", *, no_password: bool = False) -> None:
        """Add a user; with ``no_password`` one that only a certificate can be."""
        request = pb.AuthUserAddRequest(
            name=name, password=password, options=authpb.UserAddOptions(no_password=no_password)
        )
        await self._caller.call(_method("UserAdd"), request, pb.AuthUserAddResponse)

    async def user_delete(self, name: str) -> None:
        """Delete a user."""
        request = pb.AuthUserDeleteRequest(name=name)
        await self._caller.call(_method("UserDelete"), request, pb.AuthUserDeleteResponse)

    async def user_change_password(self, name: str, password: str) -> None:
        """Give a user another password."""
        request = pb.AuthUserChangePasswordRequest(name=name, password=password)
        await self._caller.call(
            _method("UserChangePassword"), request, pb.AuthUserChangePasswordResponse
        )

    async def user_roles(self, name: str) -> tuple[str, ...]:
        """The roles of a user."""
        request = pb.AuthUserGetRequest(name=name)
        reply = await self._caller.call(_method("UserGet"), request, pb.AuthUserGetResponse)
        return tuple(reply.roles)

    async def users(self) -> tuple[str, ...]:
        """Every user's name."""
        reply = await self._caller.call(
            _method("UserList"), pb.AuthUserListRequest(), pb.AuthUserListResponse
        )
        return tuple(reply.users)

    async def grant_role(self, user: str, role: str) -> None:
        """Give a user a role."""
        request = pb.AuthUserGrantRoleRequest(user=user, role=role)
        await self._caller.call(_method("UserGrantRole"), request, pb.AuthUserGrantRoleResponse)

    async def revoke_role(self, user: str, role: str) -> None:
        """Take a role from a user."""
        request = pb.AuthUserRevokeRoleRequest(name=user, role=role)
        await self._caller.call(_method("UserRevokeRole"), request, pb.AuthUserRevokeRoleResponse)

    async def role_add(self, name: str) -> None:
        """Add a role without permissions."""
        request = pb.AuthRoleAddRequest(name=name)
        await self._caller.call(_method("RoleAdd"), request, pb.AuthRoleAddResponse)

    async def role_delete(self, name: str) -> None:
        """Delete a role and take it from every user."""
        request = pb.AuthRoleDeleteRequest(role=name)
        await self._caller.call(_method("RoleDelete"), request, pb.AuthRoleDeleteResponse)

    async def role_permissions(self, name: str) -> tuple[Permission, ...]:
        """What a role may do."""
        request = pb.AuthRoleGetRequest(role=name)
        reply = await self._caller.call(_method("RoleGet"), request, pb.AuthRoleGetResponse)
        return tuple(
            Permission(perm.perm_type.name or str(int(perm.perm_type)), perm.key, perm.range_end)
            for perm in reply.perm
        )

    async def roles(self) -> tuple[str, ...]:
        """Every role's name."""
        reply = await self._caller.call(
            _method("RoleList"), pb.AuthRoleListRequest(), pb.AuthRoleListResponse
        )
        return tuple(reply.roles)

    async def grant_permission(
        self,
        role: str,
        kind: PermissionKind,
        key: Key,
        range_end: Key | None = None,
        *,
        prefix: bool = False,
    ) -> None:
        """Let a role do something with a key, a range or a prefix."""
        start, end = key_range(key, range_end, prefix=prefix)
        perm = authpb.Permission(perm_type=authpb.PermissionType[kind], key=start, range_end=end)
        request = pb.AuthRoleGrantPermissionRequest(name=role, perm=perm)
        await self._caller.call(
            _method("RoleGrantPermission"), request, pb.AuthRoleGrantPermissionResponse
        )

    async def revoke_permission(
        self, role: str, key: Key, range_end: Key | None = None, *, prefix: bool = False
    ) -> None:
        """Take back a permission; key and range must be the ones it was given for."""
        start, end = key_range(key, range_end, prefix=prefix)
        request = pb.AuthRoleRevokePermissionRequest(role=role, key=start, range_end=end)
        await self._caller.call(
            _method("RoleRevokePermission"), request, pb.AuthRoleRevokePermissionResponse
        )


def _method(name: str) -> Method:
    return method(f"/etcdserverpb.Auth/{name}")
