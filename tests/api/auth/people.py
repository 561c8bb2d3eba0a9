"""Users for tests: root, a reader of ``r/``, a writer of ``w/``, one with no rights at all."""

from __future__ import annotations

from typing import Any

import pytest
from api.node.hands import LocalCluster
from grpclib.exceptions import GRPCError
from kvorum_proto import authpb
from kvorum_proto import etcdserverpb as pb

KV, LEASE, CLUSTER = "/etcdserverpb.KV/", "/etcdserverpb.Lease/", "/etcdserverpb.Cluster/"
AUTH, MAINTENANCE = "/etcdserverpb.Auth/", "/etcdserverpb.Maintenance/"
WATCH = "/etcdserverpb.Watch/Watch"
READ, WRITE, READWRITE = (
    authpb.PermissionType(0),
    authpb.PermissionType(1),
    authpb.PermissionType(2),
)

EMPTY = (3, "etcdserver: user name is empty")
DENIED = (7, "etcdserver: permission denied")
BAD_TOKEN = (16, "etcdserver: invalid auth token")
OLD = (3, "etcdserver: revision of auth store is old")
FAILED = (3, "etcdserver: authentication failed, invalid user ID or password")

# Cheap hashes: how dear they are is tested where they are made.
FAST = {"bcrypt_cost": 4}


class Person:
    """Somebody who calls: a name's token, or whatever else is sent as one."""

    def __init__(self, local: LocalCluster, token: str | None = None) -> None:
        self.local = local
        self.token = token

    @property
    def metadata(self) -> dict[str, str]:
        """What a call of this person carries."""
        return {} if self.token is None else {"token": self.token}

    async def call(self, path: str, request: Any, *, on: int = 0) -> Any:
        """A unary call. GRPCError for a refusal."""
        return await self.local.call(path, request, on=on, metadata=self.metadata)

    async def refused(self, path: str, request: Any, *, on: int = 0) -> tuple[int, str]:
        """How a unary call is refused."""
        with pytest.raises(GRPCError) as caught:
            await self.call(path, request, on=on)
        return caught.value.status.value, caught.value.message or ""

    async def get(self, key: bytes, **options: Any) -> list[bytes]:
        """Values read."""
        on = options.pop("on", 0)
        answer = await self.call(KV + "Range", pb.RangeRequest(key=key, **options), on=on)
        return [kv.value for kv in answer.kvs]

    async def put(self, key: bytes, value: bytes = b"", **options: Any) -> Any:
        """A put."""
        on = options.pop("on", 0)
        return await self.call(KV + "Put", pb.PutRequest(key=key, value=value, **options), on=on)


async def login(local: LocalCluster, name: str, password: str = "", *, on: int = 0) -> Person:
    """A person with a fresh token. Passwords are names unless given."""
    request = pb.AuthenticateRequest(name=name, password=password or name)
    answer = await local.call(AUTH + "Authenticate", request, on=on)
    return Person(local, answer.token)


async def settle(local: LocalCluster) -> Person:
    """Make the users and turn auth on; returns root."""
    nobody = Person(local)
    for name in ("root", "reader", "writer", "guest"):
        await nobody.call(AUTH + "UserAdd", pb.AuthUserAddRequest(name=name, password=name))
    await allow(nobody, "reader", READ, b"r/", b"r0")
    await allow(nobody, "writer", WRITE, b"w/", b"w0")
    await nobody.call(AUTH + "UserGrantRole", pb.AuthUserGrantRoleRequest(user="root", role="root"))
    await nobody.put(b"r/a", b"1")
    await nobody.put(b"secret", b"x")
    await nobody.call(AUTH + "AuthEnable", pb.AuthEnableRequest())
    return await login(local, "root")


async def allow(
    root: Person, user: str, kind: authpb.PermissionType, key: bytes, end: bytes = b""
) -> None:
    """Let a user do something by a role of the same name, made when it is missing."""
    try:
        await root.call(AUTH + "RoleAdd", pb.AuthRoleAddRequest(name=user))
        grant = pb.AuthUserGrantRoleRequest(user=user, role=user)
        await root.call(AUTH + "UserGrantRole", grant)
    except GRPCError as error:
        assert error.message == "etcdserver: role name already exists"
    perm = authpb.Permission(perm_type=kind, key=key, range_end=end)
    request = pb.AuthRoleGrantPermissionRequest(name=user, perm=perm)
    await root.call(AUTH + "RoleGrantPermission", request)
