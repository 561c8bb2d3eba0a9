"""Which methods a node answers: everything the protos name, built or not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from grpclib.const import Handler
from kvorum_proto.rpc import Method
from kvorum_proto.services import SERVICES

from kvorum.api.auth import Auth
from kvorum.api.cluster import Cluster
from kvorum.api.election import Election
from kvorum.api.faults import Faults
from kvorum.api.gateway.routes import Gateway
from kvorum.api.guards import FAULTS, Guards
from kvorum.api.headers import Headers
from kvorum.api.health import Health
from kvorum.api.inspect import Inspect
from kvorum.api.kv import KV
from kvorum.api.lease import Lease
from kvorum.api.lock import Lock
from kvorum.api.maintenance import Maintenance
from kvorum.api.reflection import Reflection
from kvorum.api.watch import Watch

if TYPE_CHECKING:
    from kvorum.server.runtime import Node

_PEER_ONLY = frozenset({"kvorum.v1.Peer"})


class _Mapped:
    """What grpclib's Server takes: an object with a mapping of paths to handlers."""

    def __init__(self, handlers: dict[str, Handler]) -> None:
        self._handlers = handlers

    def __mapping__(self) -> dict[str, Handler]:
        return self._handlers


def client_services(node: Node) -> list[_Mapped | Gateway]:
    """The services of the client port, and the gateway to them. Faults are there only where they
    are enabled.
    """
    headers = Headers(node.cluster_id, node.member_id)
    built: list[Any] = [
        KV(node, headers),
        Watch(node, headers),
        Lease(node, headers),
        Lock(node, headers),
        Election(node, headers),
        Cluster(node, headers),
        Maintenance(node, headers),
        Auth(node, headers),
        Health(),
        Reflection("grpc.reflection.v1"),
        Reflection("grpc.reflection.v1alpha"),
        Inspect(node),
    ]
    if node.config.enable_faults:
        built.append(Faults(node))
    guards = Guards(node)
    by_service = {service.service: service for service in built}
    mapped: list[_Mapped | Gateway] = [Gateway(node)]
    for name, methods in SERVICES.items():
        if name in _PEER_ONLY or (name == FAULTS and name not in by_service):
            continue
        mapped.append(_Mapped(_handlers(guards, methods, by_service.get(name))))
    return mapped


def _handlers(guards: Guards, methods: Iterable[Method], service: Any) -> dict[str, Handler]:
    unary = getattr(service, "unary", {})
    streams = getattr(service, "streams", {})
    handlers = {}
    for method in methods:
        if method.name in unary:
            handlers[method.path] = guards.unary(method, unary[method.name])
        elif method.name in streams:
            handlers[method.path] = guards.stream(method, streams[method.name])
        else:
            handlers[method.path] = guards.unimplemented(method)
    return handlers
