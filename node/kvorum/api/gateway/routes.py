"""Which path is which method (contract page "wire", section 2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from aiohttp import web
from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError
from grpclib.protocol import Peer

from kvorum.api.gateway import calls, sockets
from kvorum.api.gateway.replies import PLAIN, failure
from kvorum.api.guards import common_name
from kvorum.limits import GATEWAY_BODY_FACTOR, GRPC_OVERHEAD_BYTES
from kvorum.server.httpapp import never_ends_by_itself

if TYPE_CHECKING:
    from kvorum.server.runtime import Node

_KV, _LEASE, _CLUSTER = "/etcdserverpb.KV/", "/etcdserverpb.Lease/", "/etcdserverpb.Cluster/"
_MAINTENANCE, _AUTH = "/etcdserverpb.Maintenance/", "/etcdserverpb.Auth/"
_LOCK, _ELECTION = "/v3lockpb.Lock/", "/v3electionpb.Election/"

ROUTES: Mapping[str, str] = {
    "/v3/kv/range": _KV + "Range",
    "/v3/kv/put": _KV + "Put",
    "/v3/kv/deleterange": _KV + "DeleteRange",
    "/v3/kv/txn": _KV + "Txn",
    "/v3/kv/compaction": _KV + "Compact",
    "/v3/watch": "/etcdserverpb.Watch/Watch",
    "/v3/lease/grant": _LEASE + "LeaseGrant",
    "/v3/lease/revoke": _LEASE + "LeaseRevoke",
    "/v3/kv/lease/revoke": _LEASE + "LeaseRevoke",
    "/v3/lease/keepalive": _LEASE + "LeaseKeepAlive",
    "/v3/lease/timetolive": _LEASE + "LeaseTimeToLive",
    "/v3/kv/lease/timetolive": _LEASE + "LeaseTimeToLive",
    "/v3/lease/leases": _LEASE + "LeaseLeases",
    "/v3/kv/lease/leases": _LEASE + "LeaseLeases",
    "/v3/cluster/member/add": _CLUSTER + "MemberAdd",
    "/v3/cluster/member/remove": _CLUSTER + "MemberRemove",
    "/v3/cluster/member/update": _CLUSTER + "MemberUpdate",
    "/v3/cluster/member/list": _CLUSTER + "MemberList",
    "/v3/cluster/member/promote": _CLUSTER + "MemberPromote",
    "/v3/maintenance/alarm": _MAINTENANCE + "Alarm",
    "/v3/maintenance/status": _MAINTENANCE + "Status",
    "/v3/maintenance/defragment": _MAINTENANCE + "Defragment",
    "/v3/maintenance/hash": _MAINTENANCE + "Hash",
    "/v3/maintenance/hashkv": _MAINTENANCE + "HashKV",
    "/v3/maintenance/snapshot": _MAINTENANCE + "Snapshot",
    "/v3/maintenance/transfer-leadership": _MAINTENANCE + "MoveLeader",
    "/v3/maintenance/downgrade": _MAINTENANCE + "Downgrade",
    "/v3/auth/enable": _AUTH + "AuthEnable",
    "/v3/auth/disable": _AUTH + "AuthDisable",
    "/v3/auth/status": _AUTH + "AuthStatus",
    "/v3/auth/authenticate": _AUTH + "Authenticate",
    "/v3/auth/user/add": _AUTH + "UserAdd",
    "/v3/auth/user/get": _AUTH + "UserGet",
    "/v3/auth/user/list": _AUTH + "UserList",
    "/v3/auth/user/delete": _AUTH + "UserDelete",
    "/v3/auth/user/changepw": _AUTH + "UserChangePassword",
    "/v3/auth/user/grant": _AUTH + "UserGrantRole",
    "/v3/auth/user/revoke": _AUTH + "UserRevokeRole",
    "/v3/auth/role/add": _AUTH + "RoleAdd",
    "/v3/auth/role/get": _AUTH + "RoleGet",
    "/v3/auth/role/list": _AUTH + "RoleList",
    "/v3/auth/role/delete": _AUTH + "RoleDelete",
    "/v3/auth/role/grant": _AUTH + "RoleGrantPermission",
    "/v3/auth/role/revoke": _AUTH + "RoleRevokePermission",
    "/v3/lock/lock": _LOCK + "Lock",
    "/v3/lock/unlock": _LOCK + "Unlock",
    "/v3/election/campaign": _ELECTION + "Campaign",
    "/v3/election/proclaim": _ELECTION + "Proclaim",
    "/v3/election/leader": _ELECTION + "Leader",
    "/v3/election/observe": _ELECTION + "Observe",
    "/v3/election/resign": _ELECTION + "Resign",
}
_NAME_IGNORED = (
    b"CommonName of client sending a request against gateway will be ignored and not used as "
    b"expected"
)
_BETA, _STABLE = "/v3beta/", "/v3/"
_STREAMED_ANSWERS = (Cardinality.UNARY_STREAM, Cardinality.STREAM_STREAM)


class Gateway:
    """Stands among the services of a node: no gRPC method of its own, HTTP routes for theirs."""

    def __init__(self, node: Node) -> None:
        message_bytes = node.config.max_request_bytes + GRPC_OVERHEAD_BYTES
        self._bounds = calls.Bounds(message_bytes, GATEWAY_BODY_FACTOR * message_bytes)
        self._enabled = node.config.gateway
        self._node = node
        self._handlers: dict[str, Handler] = {}

    def __mapping__(self) -> Mapping[str, Handler]:
        return {}

    def http_routes(self, handlers: Mapping[str, Handler]) -> Iterable[web.AbstractRouteDef]:
        """Routes to the handlers of the client port; none where the gateway is turned off."""
        self._handlers = {
            path: handlers[method] for path, method in ROUTES.items() if method in handlers
        }
        if not self._enabled:
            return ()
        return [web.route("*", prefix + "{rest:.*}", self._serve) for prefix in (_STABLE, _BETA)]

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        if path.startswith(_BETA):
            path = _STABLE + path[len(_BETA) :]
        handler = self._handlers.get(path)
        if handler is None:
            return failure(GRPCError(Status.NOT_FOUND, "Not Found"))
        if self._node.config.client_tls.client_cert_auth and self._is_somebody(request):
            # A proxy's certificate must not stand for everybody behind it.
            return web.Response(status=400, body=_NAME_IGNORED + b"\n", headers=PLAIN)
        if sockets.wanted(request):
            never_ends_by_itself(request)
            return await sockets.serve(request, handler, self._bounds)
        if request.method != "POST":
            error = GRPCError(Status.UNIMPLEMENTED, "Method Not Allowed")
            return failure(error, status=405)
        if handler.cardinality in _STREAMED_ANSWERS:
            never_ends_by_itself(request)
            return await calls.stream(request, handler, self._bounds)
        return await calls.answer(request, handler, self._bounds)

    def _is_somebody(self, request: web.Request) -> bool:
        """Whether the connection's certificate names a user, while users count."""
        if not self._node.machine.auth.enabled or request.transport is None:
            return False
        return bool(common_name(Peer(request.transport)))
