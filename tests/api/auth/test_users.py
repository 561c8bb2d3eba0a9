"""The Auth methods themselves: what they answer, and with which words they refuse."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from typing import Any

import bcrypt
import pytest
from api.auth.people import AUTH, FAILED, FAST, READWRITE, Person, login, settle
from api.node.hands import LocalCluster, cluster
from grpclib.exceptions import GRPCError
from kvorum_proto import authpb
from kvorum_proto import etcdserverpb as pb

USER_NOT_FOUND = (9, "etcdserver: user name not found")
ROLE_NOT_FOUND = (9, "etcdserver: role name not found")
MANAGEMENT = (3, "etcdserver: invalid auth management")


def permission(key: bytes, end: bytes = b"") -> authpb.Permission:
    return authpb.Permission(perm_type=READWRITE, key=key, range_end=end)


REFUSALS: dict[str, tuple[str, Any, tuple[int, str]]] = {
    "add a user that is there": (
        "UserAdd",
        pb.AuthUserAddRequest(name="guest", password="x"),
        (9, "etcdserver: user name already exists"),
    ),
    "add a user without a name": (
        "UserAdd",
        pb.AuthUserAddRequest(password="x"),
        (3, "etcdserver: user name is empty"),
    ),
    "add a user with too long a password": (
        "UserAdd",
        pb.AuthUserAddRequest(name="long", password="é" * 37),
        (2, "bcrypt: password length exceeds 72 bytes"),
    ),
    "add a user with what is no hash": (
        "UserAdd",
        pb.AuthUserAddRequest(name="hash", hashed_password="cGxhaW4="),
        (2, "hashedPassword is not base64 of a bcrypt hash"),
    ),
    "delete a user that is not there": (
        "UserDelete",
        pb.AuthUserDeleteRequest(name="nobody"),
        USER_NOT_FOUND,
    ),
    "delete the user root": ("UserDelete", pb.AuthUserDeleteRequest(name="root"), MANAGEMENT),
    "a password for nobody": (
        "UserChangePassword",
        pb.AuthUserChangePasswordRequest(name="nobody", password="x"),
        USER_NOT_FOUND,
    ),
    "a role for nobody": (
        "UserGrantRole",
        pb.AuthUserGrantRoleRequest(user="nobody", role="reader"),
        USER_NOT_FOUND,
    ),
    "a role that is not there": (
        "UserGrantRole",
        pb.AuthUserGrantRoleRequest(user="guest", role="nothing"),
        ROLE_NOT_FOUND,
    ),
    "revoke a role that is not held": (
        "UserRevokeRole",
        pb.AuthUserRevokeRoleRequest(name="guest", role="reader"),
        (9, "etcdserver: role is not granted to the user"),
    ),
    "revoke a role of nobody": (
        "UserRevokeRole",
        pb.AuthUserRevokeRoleRequest(name="nobody", role="reader"),
        USER_NOT_FOUND,
    ),
    "revoke root of root": (
        "UserRevokeRole",
        pb.AuthUserRevokeRoleRequest(name="root", role="root"),
        MANAGEMENT,
    ),
    "a user that is not there": ("UserGet", pb.AuthUserGetRequest(name="nobody"), USER_NOT_FOUND),
    "add a role that is there": (
        "RoleAdd",
        pb.AuthRoleAddRequest(name="reader"),
        (9, "etcdserver: role name already exists"),
    ),
    "add a role without a name": (
        "RoleAdd",
        pb.AuthRoleAddRequest(),
        (3, "etcdserver: role name is empty"),
    ),
    "get a role that is not there": (
        "RoleGet",
        pb.AuthRoleGetRequest(role="nothing"),
        ROLE_NOT_FOUND,
    ),
    "delete a role that is not there": (
        "RoleDelete",
        pb.AuthRoleDeleteRequest(role="nothing"),
        ROLE_NOT_FOUND,
    ),
    "delete the role root": ("RoleDelete", pb.AuthRoleDeleteRequest(role="root"), MANAGEMENT),
    "grant without a permission": (
        "RoleGrantPermission",
        pb.AuthRoleGrantPermissionRequest(name="reader"),
        (3, "etcdserver: permission not given"),
    ),
    "grant to a role that is not there": (
        "RoleGrantPermission",
        pb.AuthRoleGrantPermissionRequest(name="nothing", perm=permission(b"a")),
        ROLE_NOT_FOUND,
    ),
    "grant on an empty key": (
        "RoleGrantPermission",
        pb.AuthRoleGrantPermissionRequest(name="reader", perm=permission(b"")),
        MANAGEMENT,
    ),
    "grant on a range that ends before it begins": (
        "RoleGrantPermission",
        pb.AuthRoleGrantPermissionRequest(name="reader", perm=permission(b"b", b"a")),
        MANAGEMENT,
    ),
    "revoke part of what was granted": (
        "RoleRevokePermission",
        pb.AuthRoleRevokePermissionRequest(role="reader", key=b"r/"),
        (9, "etcdserver: permission is not granted to the role"),
    ),
    "revoke from a role that is not there": (
        "RoleRevokePermission",
        pb.AuthRoleRevokePermissionRequest(role="nothing", key=b"r/"),
        ROLE_NOT_FOUND,
    ),
}


@pytest.fixture(scope="module")
def root() -> Iterator[tuple[asyncio.Runner, Person]]:
    """Root of one node, for all refusals."""
    with asyncio.Runner() as runner:
        opened = cluster(**FAST)
        local = runner.run(opened.__aenter__())
        try:
            yield runner, runner.run(settle(local))
        finally:
            runner.run(opened.__aexit__(None, None, None))


@pytest.mark.parametrize("case", REFUSALS)
def test_what_root_is_refused(root: tuple[asyncio.Runner, Person], case: str) -> None:
    runner, person = root
    name, request, words = REFUSALS[case]
    assert runner.run(person.refused(AUTH + name, request)) == words


def test_what_enabling_needs() -> None:
    async def main() -> None:
        async with cluster(**FAST) as local:
            nobody = Person(local)
            enable = AUTH + "AuthEnable", pb.AuthEnableRequest()
            assert await nobody.refused(*enable) == (9, "etcdserver: root user does not exist")
            add = pb.AuthUserAddRequest(name="root", password="root")
            await nobody.call(AUTH + "UserAdd", add)
            words = (9, "etcdserver: root user does not have root role")
            assert await nobody.refused(*enable) == words
            grant = pb.AuthUserGrantRoleRequest(user="root", role="root")
            await nobody.call(AUTH + "UserGrantRole", grant)
            answer = await nobody.call(*enable)
            assert (answer.header.revision, answer.header.raft_term > 0) == (1, True)
            person = await login(local, "root")
            await person.call(*enable)
            status = await person.call(AUTH + "AuthStatus", pb.AuthStatusRequest())
            # A user, a role: two changes after the first revision; enabling is none.
            assert (status.enabled, status.auth_revision) == (True, 3)
            await person.call(AUTH + "AuthDisable", pb.AuthDisableRequest())
            status = await nobody.call(AUTH + "AuthStatus", pb.AuthStatusRequest())
            assert (status.enabled, status.auth_revision) == (False, 4)

    asyncio.run(main())


async def can_login(local: LocalCluster, name: str, password: str) -> bool:
    request = pb.AuthenticateRequest(name=name, password=password)
    try:
        await local.call(AUTH + "Authenticate", request)
    except GRPCError as error:
        assert (error.status.value, error.message) == FAILED
        return False
    return True


def test_a_hash_that_is_brought_along_counts() -> None:
    async def main() -> None:
        async with cluster(**FAST) as local:
            root = await settle(local)
            hashed = base64.b64encode(bcrypt.hashpw(b"old", bcrypt.gensalt(4))).decode()
            add = pb.AuthUserAddRequest(name="moved", hashed_password=hashed)
            await root.call(AUTH + "UserAdd", add)
            assert await can_login(local, "moved", "old")
            assert not await can_login(local, "moved", "")
            # A password counts more than a hash, as etcd has it.
            both = pb.AuthUserChangePasswordRequest(
                name="moved", password="new", hashed_password=hashed
            )
            await root.call(AUTH + "UserChangePassword", both)
            assert await can_login(local, "moved", "new")
            assert not await can_login(local, "moved", "old")
            back = pb.AuthUserChangePasswordRequest(name="moved", hashed_password=hashed)
            await root.call(AUTH + "UserChangePassword", back)
            assert await can_login(local, "moved", "old")

    asyncio.run(main())


def test_an_empty_password_is_a_password() -> None:
    async def main() -> None:
        async with cluster(**FAST) as local:
            root = await settle(local)
            await root.call(AUTH + "UserAdd", pb.AuthUserAddRequest(name="open"))
            assert await can_login(local, "open", "")
            assert not await can_login(local, "open", "x")

    asyncio.run(main())


def test_answers_are_sorted_and_whole() -> None:
    async def main() -> None:
        async with cluster(3, **FAST) as local:
            root = await settle(local)
            for role in ("b", "a", "c"):
                await root.call(AUTH + "RoleAdd", pb.AuthRoleAddRequest(name=role))
                grant = pb.AuthUserGrantRoleRequest(user="guest", role=role)
                await root.call(AUTH + "UserGrantRole", grant)
            for key, end in ((b"k", b""), (b"a", b"c"), (b"k", b"\0")):
                request = pb.AuthRoleGrantPermissionRequest(name="a", perm=permission(key, end))
                await root.call(AUTH + "RoleGrantPermission", request)
            odd = authpb.Permission(perm_type=authpb.PermissionType(7), key=b"x")
            request = pb.AuthRoleGrantPermissionRequest(name="b", perm=odd)
            await root.call(AUTH + "RoleGrantPermission", request)
            for on in range(3):
                user = await root.call(AUTH + "UserGet", pb.AuthUserGetRequest(name="guest"), on=on)
                assert user.roles == ["a", "b", "c"]
                role = await root.call(AUTH + "RoleGet", pb.AuthRoleGetRequest(role="a"), on=on)
                assert [(x.key, x.range_end, int(x.perm_type)) for x in role.perm] == [
                    (b"a", b"c", 2),
                    (b"k", b"", 2),
                    (b"k", b"\0", 2),
                ]
                names = (await root.call(AUTH + "RoleList", pb.AuthRoleListRequest(), on=on)).roles
                assert names == ["a", "b", "c", "reader", "writer"]
                role = await root.call(AUTH + "RoleGet", pb.AuthRoleGetRequest(role="b"), on=on)
                assert [int(x.perm_type) for x in role.perm] == [7]
            await root.call(AUTH + "RoleAdd", pb.AuthRoleAddRequest(name="root"))
            role = await root.call(AUTH + "RoleGet", pb.AuthRoleGetRequest(role="root"))
            assert [(x.key, x.range_end, int(x.perm_type)) for x in role.perm] == [(b"", b"\0", 2)]

    asyncio.run(main())
