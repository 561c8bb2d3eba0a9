"""Which RPCs only read.

One table decides two things: what a client opened with ``read_only=True`` may send, and what may be
sent again when the fate of the first try is not known. A method that is not in the table counts as
changing something, so a new one is refused and never repeated until somebody lists it here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from betterproto2 import Message
from kvorum_proto import etcdserverpb as pb
from kvorum_proto.rpc import Method
from kvorum_proto.services import METHODS

_Test = Callable[[Message], bool]


def _always(request: Message) -> bool:
    return True


def _reading_txn(request: Message) -> bool:
    """Both branches hold ranges only, nested ones included."""
    assert isinstance(request, pb.TxnRequest)
    return all(_reading_op(op) for op in (*request.success, *request.failure))


def _reading_op(op: pb.RequestOp) -> bool:
    if op.request_txn is not None:
        return _reading_txn(op.request_txn)
    return op.request_range is not None


def _alarm_list(request: Message) -> bool:
    assert isinstance(request, pb.AlarmRequest)
    return request.action == pb.AlarmAction.GET


def _downgrade_question(request: Message) -> bool:
    assert isinstance(request, pb.DowngradeRequest)
    return request.action == pb.DowngradeAction.VALIDATE


def _table(service: str, names: Iterable[str]) -> dict[str, _Test]:
    return {f"/{service}/{name}": _always for name in names}


READING: dict[str, _Test] = {
    **_table("etcdserverpb.KV", ["Range"]),
    "/etcdserverpb.KV/Txn": _reading_txn,
    **_table("etcdserverpb.Watch", ["Watch"]),
    # LeaseKeepAlive is not here: it lengthens the life of keys.
    **_table("etcdserverpb.Lease", ["LeaseTimeToLive", "LeaseLeases"]),
    **_table("etcdserverpb.Cluster", ["MemberList"]),
    **_table("etcdserverpb.Maintenance", ["Status", "Hash", "HashKV", "Snapshot"]),
    "/etcdserverpb.Maintenance/Alarm": _alarm_list,
    "/etcdserverpb.Maintenance/Downgrade": _downgrade_question,
    # Authenticate makes a token and nothing else; without it a read-only user could not log in.
    **_table(
        "etcdserverpb.Auth",
        ["Authenticate", "AuthStatus", "UserGet", "UserList", "RoleGet", "RoleList"],
    ),
    **_table("v3electionpb.Election", ["Leader", "Observe"]),
    **_table("grpc.health.v1.Health", ["Check", "Watch"]),
    **_table("grpc.reflection.v1.ServerReflection", ["ServerReflectionInfo"]),
    **_table("grpc.reflection.v1alpha.ServerReflection", ["ServerReflectionInfo"]),
    **_table("kvorum.v1.Inspect", ["Statistics", "Log", "History", "Query"]),
    **_table("kvorum.v1.Faults", ["List"]),
}
"""Path -> whether this very request only reads."""


def method(path: str) -> Method:
    """The method with this path, for instance ``/etcdserverpb.KV/Range``."""
    return METHODS[path]


def only_reads(called: Method, request: Message | None) -> bool:
    """Whether the call can change nothing. For a stream, ``request`` is None and the method alone
    decides.
    """
    test = READING.get(called.path)
    if test is None:
        return False
    return test is _always if request is None else test(request)
