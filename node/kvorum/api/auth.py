"""etcdserverpb.Auth: users, roles, and the way from a password to a token (semantics page, section
10).

Changes go through the log and are judged when they are applied. Questions are answered from this
member's state after a ReadIndex, and judged by that state. Passwords are hashed and compared beside
the loop (``server.passwords``); none of them, no hash and no token is ever written to a log.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from grpclib.const import Status
from grpclib.exceptions import GRPCError
from kvorum_proto import authpb
from kvorum_proto import etcdserverpb as pb

from kvorum.api.headers import Headers, header_of
from kvorum.api.rules import Who, require
from kvorum.errors import Condition, KvorumError
from kvorum.limits import AUTH_STALE_LOGINS
from kvorum.machine import auth_ops as ops
from kvorum.machine.auth import Auth as Users
from kvorum.machine.auth import Caller, Login
from kvorum.machine.permissions import Permission
from kvorum.machine.results import AuthenticateResult
from kvorum.server.passwords import given_hash
from kvorum.server.tokens import IssuingError, new_prefix

if TYPE_CHECKING:
    from kvorum.server.runtime import Node

log = logging.getLogger("kvorum.api")


class Auth:
    """Turning auth on and off, users, roles, and logging in."""

    service = "etcdserverpb.Auth"

    def __init__(self, node: Node, headers: Headers) -> None:
        self._node = node
        self._headers = headers
        self.unary = {
            "AuthEnable": self.enable,
            "AuthDisable": self.disable,
            "AuthStatus": self.status,
            "Authenticate": self.authenticate,
            "UserAdd": self.user_add,
            "UserGet": self.user_get,
            "UserList": self.user_list,
            "UserDelete": self.user_delete,
            "UserChangePassword": self.user_change_password,
            "UserGrantRole": self.user_grant_role,
            "UserRevokeRole": self.user_revoke_role,
            "RoleAdd": self.role_add,
            "RoleGet": self.role_get,
            "RoleList": self.role_list,
            "RoleDelete": self.role_delete,
            "RoleGrantPermission": self.role_grant_permission,
            "RoleRevokePermission": self.role_revoke_permission,
        }

    # --- on and off -------------------------------------------------------------------------------

    async def enable(self, request: pb.AuthEnableRequest, who: Who) -> bytes:
        """Check permissions from now on; needs a user root with the role root."""
        return await self._change(ops.AuthEnable(), who)

    async def disable(self, request: pb.AuthDisableRequest, who: Who) -> bytes:
        """Check nothing any more."""
        return await self._change(ops.AuthDisable(), who)

    async def status(self, request: pb.AuthStatusRequest, who: Who) -> pb.AuthStatusResponse:
        """Whether auth is on, and its revision."""
        users = await self._current()
        require(users.check_root(who()))
        return pb.AuthStatusResponse(
            header=header_of(self._node), enabled=users.enabled, auth_revision=users.revision
        )

    # --- logging in -------------------------------------------------------------------------------

    async def authenticate(
        self, request: pb.AuthenticateRequest, who: Who
    ) -> pb.AuthenticateResponse:
        """A token for a name and its password.

        The password is compared here, with what the state holds, and the entry is good only under
        the auth revision of the comparison; when users have changed in between it is made again.
        """
        node = self._node
        try:
            node.tokens.check_issuing()
        except IssuingError as error:
            raise GRPCError(Status.UNKNOWN, str(error)) from None
        await node.barrier()
        for _ in range(AUTH_STALE_LOGINS):
            login = await self._compare(request.name, request.password.encode())
            command = ops.Authenticate(request.name, new_prefix())
            try:
                done = await node.propose(command, Caller(request.name, login.auth_revision))
            except KvorumError as error:
                if error.condition is Condition.AUTH_OLD_REVISION:
                    continue
                raise
            assert isinstance(done.value, AuthenticateResult)
            token = node.tokens.issue(done.value)
            return pb.AuthenticateResponse(header=header_of(self._node), token=token)
        raise KvorumError(Condition.AUTH_OLD_REVISION)

    async def _compare(self, name: str, password: bytes) -> Login:
        """The user's login if the password is right. Raises KvorumError."""
        node = self._node
        login = node.machine.auth.login(name)
        if isinstance(login, Login):
            right = await node.passwords.matches(password, login.password)
        elif login is Condition.AUTH_FAILED:
            right = await node.passwords.matches(password, None)
        else:
            raise KvorumError(login)
        if not right:
            log.warning("invalid authentication was requested", extra={"user": name})
            raise KvorumError(Condition.AUTH_FAILED)
        assert isinstance(login, Login), "nobody's password is never right"
        return login

    # --- users ------------------------------------------------------------------------------------

    async def user_add(self, request: pb.AuthUserAddRequest, who: Who) -> bytes:
        """Create a user; one without a password can only be shown by a certificate."""
        if request.options is not None and request.options.no_password:
            return await self._change(ops.UserAdd(request.name, b"", True), who)
        hashed = await self._hash(request.password, request.hashed_password, who)
        return await self._change(ops.UserAdd(request.name, hashed), who)

    async def user_get(self, request: pb.AuthUserGetRequest, who: Who) -> pb.AuthUserGetResponse:
        """A user's roles, told to root and to the user."""
        users = await self._current()
        require(users.check_user_get(who(), request.name))
        roles = users.roles_of(request.name)
        if isinstance(roles, Condition):
            raise KvorumError(roles)
        return pb.AuthUserGetResponse(header=header_of(self._node), roles=list(roles))

    async def user_list(self, request: pb.AuthUserListRequest, who: Who) -> pb.AuthUserListResponse:
        """All users' names, sorted."""
        users = await self._current()
        require(users.check_root(who()))
        return pb.AuthUserListResponse(header=header_of(self._node), users=list(users.user_names()))

    async def user_delete(self, request: pb.AuthUserDeleteRequest, who: Who) -> bytes:
        """Remove a user and its tokens."""
        return await self._change(ops.UserDelete(request.name), who)

    async def user_change_password(
        self, request: pb.AuthUserChangePasswordRequest, who: Who
    ) -> bytes:
        """Replace a password; the user's tokens end."""
        hashed = await self._hash(request.password, request.hashed_password, who)
        return await self._change(ops.UserChangePassword(request.name, hashed), who)

    async def user_grant_role(self, request: pb.AuthUserGrantRoleRequest, who: Who) -> bytes:
        """Give a user a role."""
        return await self._change(ops.UserGrantRole(request.user, request.role), who)

    async def user_revoke_role(self, request: pb.AuthUserRevokeRoleRequest, who: Who) -> bytes:
        """Take a role from a user."""
        return await self._change(ops.UserRevokeRole(request.name, request.role), who)

    # --- roles ------------------------------------------------------------------------------------

    async def role_add(self, request: pb.AuthRoleAddRequest, who: Who) -> bytes:
        """Create a role without permissions."""
        return await self._change(ops.RoleAdd(request.name), who)

    async def role_get(self, request: pb.AuthRoleGetRequest, who: Who) -> pb.AuthRoleGetResponse:
        """A role's permissions, told to root and to whoever has the role."""
        users = await self._current()
        require(users.check_role_get(who(), request.role))
        permissions = users.permissions_of(request.role)
        if isinstance(permissions, Condition):
            raise KvorumError(permissions)
        return pb.AuthRoleGetResponse(
            header=header_of(self._node),
            perm=[
                authpb.Permission(
                    perm_type=authpb.PermissionType(held.type),
                    key=held.key,
                    range_end=held.range_end,
                )
                for held in permissions
            ],
        )

    async def role_list(self, request: pb.AuthRoleListRequest, who: Who) -> pb.AuthRoleListResponse:
        """All roles' names, sorted."""
        users = await self._current()
        require(users.check_root(who()))
        return pb.AuthRoleListResponse(header=header_of(self._node), roles=list(users.role_names()))

    async def role_delete(self, request: pb.AuthRoleDeleteRequest, who: Who) -> bytes:
        """Remove a role, from all users too."""
        return await self._change(ops.RoleDelete(request.role), who)

    async def role_grant_permission(
        self, request: pb.AuthRoleGrantPermissionRequest, who: Who
    ) -> bytes:
        """Let a role touch a range of keys."""
        given = request.perm
        permission = (
            None if given is None else Permission(int(given.perm_type), given.key, given.range_end)
        )
        return await self._change(ops.RoleGrantPermission(request.name, permission), who)

    async def role_revoke_permission(
        self, request: pb.AuthRoleRevokePermissionRequest, who: Who
    ) -> bytes:
        """Take back what was granted for exactly this range."""
        command = ops.RoleRevokePermission(request.role, request.key, request.range_end)
        return await self._change(command, who)

    # --- parts ------------------------------------------------------------------------------------

    async def _change(self, change: ops.AuthChange, who: Who) -> bytes:
        """Agree on a change; every answer is a header and nothing else."""
        done = await self._node.propose(change, who())
        return self._headers.field(done.stamp.revision, done.stamp.term)

    async def _current(self) -> Users:
        """The users and roles of a state no older than the request."""
        await self._node.barrier()
        return self._node.machine.auth

    async def _hash(self, password: str, hashed: str, who: Who) -> bytes:
        """What is kept of a password; ``hashed`` counts where no password is given.

        Hashing is expensive: unlike etcd's, it is done for nobody who would be refused.
        """
        users = self._node.machine.auth
        if users.check_root(who()) is not None:
            users = await self._current()
            require(users.check_root(who()))
        try:
            if hashed and not password:
                return given_hash(hashed)
            return await self._node.passwords.hash(password.encode())
        except ValueError as error:
            # As etcd tells what has no entry in its table.
            raise GRPCError(Status.UNKNOWN, str(error)) from None
