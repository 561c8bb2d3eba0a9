"""The HTTP/1.1 side of the ports: what monitors and people ask (contract page "wire", sections 5,
6).

The JSON gateway joins these applications as further routes.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

from aiohttp import web

from kvorum import ETCD_VERSION
from kvorum.errors import KvorumError
from kvorum.machine.commands import Range
from kvorum.server.runtime import Node

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
NodeHandler = Callable[[Node, web.Request], Awaitable[web.StreamResponse]]

_TEXT = {"X-Content-Type-Options": "nosniff", "Content-Type": "text/plain; charset=utf-8"}
_ALARM_NAMES = {1: "NOSPACE", 2: "CORRUPT"}


def client_app(node: Node) -> web.Application:
    """What the client port answers over HTTP/1.1."""
    return _app(node, {"/version": _version, "/health": _health})


def peer_app(node: Node) -> web.Application:
    """What the peer port answers over HTTP/1.1."""
    return _app(node, {"/version": _version, "/members": _members})


def _app(node: Node, routes: dict[str, NodeHandler]) -> web.Application:
    app = web.Application(middlewares=[_plain_errors])
    for path, handler in routes.items():
        app.router.add_route("*", path, _on(node, handler))
    return app


def _on(node: Node, handler: NodeHandler) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return _refused_method(request) or await handler(node, request)

    return handle


@web.middleware
async def _plain_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Errors in the plain form of etcd's HTTP server."""
    try:
        return await handler(request)
    except web.HTTPNotFound:
        return web.Response(status=404, body=b"404 page not found\n", headers=_TEXT)


def _refused_method(request: web.Request) -> web.Response | None:
    if request.method == "GET":
        return None
    headers = {**_TEXT, "Allow": "GET"}
    return web.Response(status=405, body=b"Method Not Allowed\n", headers=headers)


async def _version(node: Node, request: web.Request) -> web.Response:
    told = {
        "etcdserver": ETCD_VERSION,
        "etcdcluster": node.machine.cluster_version or "not_decided",
    }
    body = json.dumps(told, separators=(",", ":"))
    return web.Response(text=body, content_type="application/json")


async def _health(node: Node, request: web.Request) -> web.Response:
    excluded = frozenset(request.query.getall("exclude", []))
    serializable = request.query.get("serializable") == "true"
    reason = await _ailment(node, excluded, serializable)
    body = json.dumps(
        {"health": "false" if reason else "true", "reason": reason}, separators=(",", ":")
    )
    return web.Response(status=503 if reason else 200, body=body.encode(), headers=_TEXT)


async def _ailment(node: Node, excluded: frozenset[str], serializable: bool) -> str:
    """What is wrong with the node, empty when nothing is; in etcd's order and words."""
    for alarm in node.machine.alarms.all():
        name = _ALARM_NAMES.get(alarm.alarm, "UNKNOWN")
        if name not in excluded:
            return f"ALARM {name}"
    if not serializable and not node.leader:
        return "RAFT NO LEADER"
    try:
        await node.read(Range(b"health", limit=1), linearizable=not serializable)
    except KvorumError as exc:
        return f"RANGE ERROR:{exc.condition.message}"
    return ""


async def _members(node: Node, request: web.Request) -> web.Response:
    told = []
    for member in node.members():
        entry: dict[str, object] = {"id": member.id, "peerURLs": list(member.peer_urls)}
        if member.is_learner:
            entry["isLearner"] = True
        entry["name"] = member.name
        entry["clientURLs"] = list(member.client_urls)
        told.append(entry)
    return web.Response(
        text=json.dumps(told, separators=(",", ":")) + "\n",
        content_type="application/json",
        headers={"X-Etcd-Cluster-ID": f"{node.cluster_id:x}"},
    )
