"""The schema itself: numbers, paths and names that clients of etcd depend on; descriptors; tables.

The numbers stand here once more on purpose, written down by hand: the sources and everything
generated from them could drift together.
"""

from __future__ import annotations

import re

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from kvorum_proto import descriptors, schema
from kvorum_proto.jsonnames import camel_name, full_name, json_names, proto_names
from kvorum_proto.services import METHODS, SERVICES
from unit.proto.samples import CLASSES, TWINS

FIELDS = {
    "etcdserverpb.Compare": {"version": 4, "value": 7, "lease": 8, "range_end": 64},
    "etcdserverpb.WatchResponse": {"cancel_reason": 6, "fragment": 7, "events": 11},
    "etcdserverpb.WatchCreateRequest": {"filters": 5, "watch_id": 7, "fragment": 8},
    "etcdserverpb.ResponseHeader": {"cluster_id": 1, "member_id": 2, "revision": 3, "raft_term": 4},
    "etcdserverpb.RangeRequest": {"sort_order": 5, "count_only": 9, "max_create_revision": 13},
    "etcdserverpb.PutRequest": {"lease": 3, "prev_kv": 4, "ignore_value": 5, "ignore_lease": 6},
    "etcdserverpb.RequestOp": {"request_range": 1, "request_put": 2, "request_txn": 4},
    "etcdserverpb.LeaseGrantRequest": {"TTL": 1, "ID": 2},
    "etcdserverpb.LeaseGrantResponse": {"ID": 2, "TTL": 3, "error": 4},
    "etcdserverpb.LeaseTimeToLiveResponse": {"grantedTTL": 4, "keys": 5},
    "etcdserverpb.LeaseCheckpoint": {"ID": 1, "remaining_TTL": 2},
    "etcdserverpb.Member": {"ID": 1, "peerURLs": 3, "clientURLs": 4, "isLearner": 5},
    "etcdserverpb.StatusResponse": {"dbSizeInUse": 9, "storageVersion": 11, "downgradeInfo": 13},
    "etcdserverpb.HashKVResponse": {"hash": 2, "compact_revision": 3, "hash_revision": 4},
    "etcdserverpb.SnapshotResponse": {"remaining_bytes": 2, "blob": 3, "version": 4},
    "etcdserverpb.MoveLeaderRequest": {"targetID": 1},
    "etcdserverpb.AuthUserAddRequest": {"options": 3, "hashedPassword": 4},
    "mvccpb.KeyValue": {"create_revision": 2, "version": 4, "value": 5, "lease": 6},
    "mvccpb.Event": {"type": 1, "kv": 2, "prev_kv": 3},
    "authpb.Permission": {"permType": 1, "key": 2, "range_end": 3},
    "v3electionpb.LeaderKey": {"name": 1, "key": 2, "rev": 3, "lease": 4},
    "v3lockpb.LockRequest": {"name": 1, "lease": 2},
    "grpc.health.v1.HealthCheckResponse": {"status": 1},
    "grpc.reflection.v1.ServerReflectionRequest": {"file_by_filename": 3, "list_services": 7},
}

UNARY = {
    "etcdserverpb.KV": "Range Put DeleteRange Txn Compact",
    "etcdserverpb.Lease": "LeaseGrant LeaseRevoke LeaseTimeToLive LeaseLeases",
    "etcdserverpb.Cluster": "MemberAdd MemberRemove MemberUpdate MemberList MemberPromote",
    "etcdserverpb.Maintenance": "Alarm Status Defragment Hash HashKV MoveLeader Downgrade",
    "etcdserverpb.Auth": "AuthEnable AuthDisable AuthStatus Authenticate UserAdd UserGet UserList "
    "UserDelete UserChangePassword UserGrantRole UserRevokeRole RoleAdd RoleGet RoleList "
    "RoleDelete RoleGrantPermission RoleRevokePermission",
    "v3lockpb.Lock": "Lock Unlock",
    "v3electionpb.Election": "Campaign Proclaim Leader Resign",
    "grpc.health.v1.Health": "Check",
}

STREAMS = {
    "/etcdserverpb.Watch/Watch": (True, True),
    "/etcdserverpb.Lease/LeaseKeepAlive": (True, True),
    "/etcdserverpb.Maintenance/Snapshot": (False, True),
    "/v3electionpb.Election/Observe": (False, True),
    "/grpc.health.v1.Health/Watch": (False, True),
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": (True, True),
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": (True, True),
}

IRREGULAR_MESSAGES = {
    # Where a method's messages are not called after it.
    "/etcdserverpb.KV/Compact": ("CompactionRequest", "CompactionResponse"),
    "/v3electionpb.Election/Observe": ("LeaderRequest", "LeaderResponse"),
    "/etcdserverpb.Maintenance/HashKV": ("HashKvRequest", "HashKvResponse"),
    "/grpc.health.v1.Health/Check": ("HealthCheckRequest", "HealthCheckResponse"),
    "/grpc.health.v1.Health/Watch": ("HealthCheckRequest", "HealthCheckResponse"),
}


@pytest.mark.parametrize("message", FIELDS)
def test_field_numbers(message: str) -> None:
    fields = TWINS[message].DESCRIPTOR.fields_by_name
    assert {name: fields[name].number for name in FIELDS[message]} == FIELDS[message]


def test_the_client_api_has_these_methods() -> None:
    expected = {
        f"/{service}/{name}": (False, False) for service in UNARY for name in UNARY[service].split()
    }
    expected |= STREAMS
    found = {
        path: (method.client_streaming, method.server_streaming)
        for path, method in METHODS.items()
        if not path.startswith("/kvorum.")
    }
    assert found == expected


def test_kvorums_own_services() -> None:
    own = {name for name in SERVICES if name.startswith("kvorum.")}
    assert own == {"kvorum.v1.Peer", "kvorum.v1.Inspect", "kvorum.v1.Faults"}


def test_methods_know_their_messages() -> None:
    for path, method in METHODS.items():
        short = re.sub("^(User|Role)", r"Auth\1", method.name)
        usual = f"{short}Request", f"{short}Response"
        names = method.request.__name__, method.response.__name__
        assert method.path == path
        assert method in SERVICES[method.service]
        if path.startswith("/etcd") or path in IRREGULAR_MESSAGES:
            assert names == IRREGULAR_MESSAGES.get(path, usual)
        assert full_name(method.request) in CLASSES
        assert full_name(method.response) in CLASSES


@pytest.mark.parametrize("name", CLASSES)
def test_fields_are_declared_in_the_order_of_their_numbers(name: str) -> None:
    """Encoders write in the order of declaration; the canonical order is that of the numbers."""
    numbers = [field.number for field in TWINS[name].DESCRIPTOR.fields]
    assert numbers == sorted(numbers)


@pytest.mark.parametrize("name", [name for name in CLASSES if not name.startswith("kinds.")])
def test_names_for_python_proto_and_json(name: str) -> None:
    cls, fields = CLASSES[name], TWINS[name].DESCRIPTOR.fields
    assert full_name(cls) == name
    assert list(proto_names(cls).values()) == [field.name for field in fields]
    for python, proto in proto_names(cls).items():
        assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*_?", python)
        assert json_names(cls)[proto] == python
        assert json_names(cls)[camel_name(proto)] == python
    assert [camel_name(field.name) for field in fields] == [field.json_name for field in fields]


def test_irregular_names() -> None:
    member = CLASSES["etcdserverpb.Member"]
    assert proto_names(member)["peer_urls"] == "peerURLs"
    checkpoint = CLASSES["etcdserverpb.LeaseCheckpoint"]
    assert proto_names(checkpoint) == {"id": "ID", "remaining_ttl": "remaining_TTL"}
    assert json_names(checkpoint)["remainingTTL"] == "remaining_ttl"


def test_descriptors_by_file() -> None:
    everything = FileDescriptorSet.FromString(descriptors.descriptor_set())
    assert [file.name for file in everything.file] == list(schema.FILES)
    for file in everything.file:
        found = FileDescriptorProto.FromString(descriptors.file_descriptor(file.name))
        assert found == file
        family = [
            FileDescriptorProto.FromString(each) for each in descriptors.with_imports(file.name)
        ]
        names = [each.name for each in family]
        assert names[0] == file.name
        assert len(set(names)) == len(names)
        assert all(needed in names for each in family for needed in each.dependency)
    with pytest.raises(KeyError):
        descriptors.file_descriptor("nope.proto")


def test_descriptors_by_symbol() -> None:
    assert descriptors.file_of("etcdserverpb.KV") == "etcd/rpc.proto"
    assert descriptors.file_of("etcdserverpb.KV.Range") == "etcd/rpc.proto"
    assert descriptors.file_of("etcdserverpb.Compare.CompareTarget") == "etcd/rpc_kv.proto"
    for name in set(CLASSES) - {"kinds.AllKinds"}:
        assert descriptors.file_of(name) == TWINS[name].DESCRIPTOR.file.name
    assert {descriptors.file_of(name) for name in SERVICES} <= set(schema.FILES)
    with pytest.raises(KeyError):
        descriptors.file_of("etcdserverpb.Nope")
