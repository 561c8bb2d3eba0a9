"""Messages of google.protobuf made from the descriptors, and the gateway's routes.

The client of this test shares no code with the server under test: another protobuf runtime, another
HTTP/2.
"""

from __future__ import annotations

import base64
from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf.message import Message
from kvorum_proto.descriptors import descriptor_set

ROUTES = {
    "KV/Range": "/v3/kv/range",
    "KV/Put": "/v3/kv/put",
    "KV/DeleteRange": "/v3/kv/deleterange",
    "KV/Txn": "/v3/kv/txn",
    "KV/Compact": "/v3/kv/compaction",
    "Lease/LeaseGrant": "/v3/lease/grant",
    "Lease/LeaseRevoke": "/v3/lease/revoke",
    "Lease/LeaseKeepAlive": "/v3/lease/keepalive",
    "Lease/LeaseTimeToLive": "/v3/lease/timetolive",
    "Lease/LeaseLeases": "/v3/lease/leases",
    "Cluster/MemberAdd": "/v3/cluster/member/add",
    "Cluster/MemberRemove": "/v3/cluster/member/remove",
    "Cluster/MemberUpdate": "/v3/cluster/member/update",
    "Cluster/MemberList": "/v3/cluster/member/list",
    "Cluster/MemberPromote": "/v3/cluster/member/promote",
    "Maintenance/Alarm": "/v3/maintenance/alarm",
    "Maintenance/HashKV": "/v3/maintenance/hashkv",
    "Maintenance/Hash": "/v3/maintenance/hash",
    "Maintenance/Defragment": "/v3/maintenance/defragment",
    "Maintenance/Status": "/v3/maintenance/status",
    "Maintenance/MoveLeader": "/v3/maintenance/transfer-leadership",
    "Auth/AuthEnable": "/v3/auth/enable",
    "Auth/AuthDisable": "/v3/auth/disable",
    "Auth/AuthStatus": "/v3/auth/status",
    "Auth/Authenticate": "/v3/auth/authenticate",
    "Auth/UserAdd": "/v3/auth/user/add",
    "Auth/UserGet": "/v3/auth/user/get",
    "Auth/UserList": "/v3/auth/user/list",
    "Auth/UserDelete": "/v3/auth/user/delete",
    "Auth/UserChangePassword": "/v3/auth/user/changepw",
    "Auth/UserGrantRole": "/v3/auth/user/grant",
    "Auth/UserRevokeRole": "/v3/auth/user/revoke",
    "Auth/RoleAdd": "/v3/auth/role/add",
    "Auth/RoleGet": "/v3/auth/role/get",
    "Auth/RoleList": "/v3/auth/role/list",
    "Auth/RoleDelete": "/v3/auth/role/delete",
    "Auth/RoleGrantPermission": "/v3/auth/role/grant",
    "Auth/RoleRevokePermission": "/v3/auth/role/revoke",
}


@cache
def _pool() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(descriptor_set()).file:
        pool.Add(file)
    return pool


def path_of(kind: str) -> str:
    """What stands in the ``:path`` of a gRPC call."""
    service = kind.partition("/")[0]
    return f"/{kind}" if "." in service else f"/etcdserverpb.{kind}"


@cache
def _classes(kind: str) -> tuple[Any, Any]:
    service, _, method = path_of(kind)[1:].partition("/")
    found = _pool().FindServiceByName(service).methods_by_name[method]
    get = message_factory.GetMessageClass
    return get(found.input_type), get(found.output_type)


def request_of(kind: str, fields: dict[str, Any]) -> Message:
    """A request message."""
    message: Message = _classes(kind)[0](**fields)
    return message


def plain_response(kind: str, data: bytes) -> Any:
    """A response in the form of JSON: what the gateway would say, with the protos' own names."""
    message = _classes(kind)[1].FromString(data)
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


def json_request(fields: Any) -> Any:
    """A request as JSON with the protos' names, numbers as numbers, bytes in base64."""
    if isinstance(fields, dict):
        return {name: json_request(value) for name, value in fields.items()}
    if isinstance(fields, list):
        return [json_request(value) for value in fields]
    return base64.b64encode(fields).decode() if isinstance(fields, bytes) else fields


def camel_request(kind: str, fields: dict[str, Any]) -> Any:
    """A request as protobuf itself writes JSON: lower camel case, strings for 64 bits, names."""
    return json_format.MessageToDict(request_of(kind, fields))
