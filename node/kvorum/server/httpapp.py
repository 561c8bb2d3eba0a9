"""The HTTP/1.1 side of the ports: what monitors and people ask (contract page "wire", sections 4
to 6).

Services of the client port may add routes of their own: the JSON gateway does. Around all of them
stand etcd's rules for the port: which hosts and origins may ask, and that OPTIONS is answered
anywhere.
"""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import sys
from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Middleware

from kvorum import ETCD_VERSION
from kvorum.server import health
from kvorum.server.health import Check
from kvorum.server.http1 import HttpConnection
from kvorum.server.metrics import CONTENT_TYPE, Metrics, open_files_limit
from kvorum.server.runtime import Node
from kvorum.server.statistics import resident_bytes

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Ongoing = dict[int, asyncio.Future[None]]

_TEXT = {"X-Content-Type-Options": "nosniff", "Content-Type": "text/plain; charset=utf-8"}
_METHODS = "POST, GET, OPTIONS, PUT, DELETE"
_HEADERS = "accept, content-type, authorization"
_WRONG_HOST = (
    'this node does not answer for host "{host}": name it in --host-whitelist, or use TLS\n'
)

# Requests under way that a stop waits for, by their identity.
ONGOING: web.AppKey[Ongoing] = web.AppKey("ongoing", dict)


def client_app(
    node: Node, metrics: Metrics, routes: Iterable[web.AbstractRouteDef] = ()
) -> web.Application:
    """What the client port answers over HTTP/1.1. ``routes`` are those of its services."""
    pages = _Pages(node, metrics)
    app = _app(pages.client() | pages.monitored(), [_access(node), _counted])
    app.add_routes(routes)
    app.on_response_prepare.append(_allow_origins(node))
    return app


def metrics_app(node: Node, metrics: Metrics) -> web.Application:
    """What listeners for monitors answer."""
    return _app(_Pages(node, metrics).monitored(), [])


def peer_app(node: Node) -> web.Application:
    """What the peer port answers over HTTP/1.1."""
    return _app(_Pages(node, None).peer(), [])


def runner_of(app: web.Application) -> web.AppRunner:
    """What serves an app's requests. A client that goes away takes its request with it, as it does
    a gRPC call.
    """
    return web.AppRunner(app, handle_signals=False, handler_cancellation=True)


def connections_of(runner: web.AppRunner) -> Callable[[], HttpConnection]:
    """Makes the protocol for each connection of a runner that is set up. What clients get wrong is
    answered and not logged.
    """
    assert runner.server is not None, "set up"
    return functools.partial(HttpConnection, runner.server, access_log=None, logger=_log)


class _OwnFaults(logging.Filter):
    """Lets pass what is not a client's fault: each of those would be a traceback in the log."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.exc_info is None or not isinstance(record.exc_info[1], HttpProcessingError)


_log = logging.getLogger("kvorum.http")
_log.addFilter(_OwnFaults())


class GrpcOnly(asyncio.Protocol):
    """What HTTP/1.1 meets on the client URLs when it has URLs of its own: the end."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say nothing, as gRPC's own server does."""
        transport.close()


def _app(pages: dict[str, Handler], middlewares: Iterable[Middleware]) -> web.Application:
    app = web.Application(middlewares=[*middlewares, _plain_errors])
    app[ONGOING] = {}
    for path, handler in pages.items():
        # Prometheus's handler, which etcd serves, takes any method.
        app.router.add_route("*", path, handler if path == "/metrics" else _only_get(handler))
    return app


def _only_get(handler: Handler) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        if request.method != "GET":
            headers = {**_TEXT, "Allow": "GET"}
            return web.Response(status=405, body=b"Method Not Allowed\n", headers=headers)
        return await handler(request)

    return handle


# --- around every request -------------------------------------------------------------------------


@web.middleware
async def _plain_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Errors in the plain form of etcd's HTTP server."""
    try:
        return await handler(request)
    except web.HTTPNotFound:
        return web.Response(status=404, body=b"404 page not found\n", headers=_TEXT)


@web.middleware
async def _counted(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Notes the request among those under way."""
    done = asyncio.get_running_loop().create_future()
    ongoing = request.app[ONGOING]
    ongoing[id(request)] = done
    try:
        return await handler(request)
    finally:
        ongoing.pop(id(request), None)
        if not done.done():
            done.set_result(None)


def never_ends_by_itself(request: web.Request) -> None:
    """The request is answered by a stream: nobody who stops waits for it."""
    request.app[ONGOING].pop(id(request), None)


def _access(node: Node) -> Middleware:
    """Hosts and methods, before anything is looked up."""
    hosts = frozenset(node.config.host_whitelist)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if "*" not in hosts and not request.secure:
            host = _host_name(request.host)
            if host not in hosts:
                body = _WRONG_HOST.format(host=host).encode()
                return web.Response(status=421, body=body, headers=_TEXT)
        if request.method == "OPTIONS":
            return web.Response()
        return await handler(request)

    return middleware


def _host_name(host: str) -> str:
    """A Host header without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _allow_origins(node: Node) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """Tells browsers which origins may read answers, on every answer."""
    origins = frozenset(node.config.cors)

    async def prepare(request: web.Request, response: web.StreamResponse) -> None:
        origin = "*" if "*" in origins else request.headers.get("Origin", "")
        if origin == "*" or origin in origins:
            response.headers["Access-Control-Allow-Methods"] = _METHODS
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Allow-Headers"] = _HEADERS

    return prepare


# --- the pages ------------------------------------------------------------------------------------


def _json(body: object, *, end: str = "", headers: dict[str, str] | None = None) -> web.Response:
    text = json.dumps(body, separators=(",", ":")) + end
    return web.Response(body=text.encode(), content_type="application/json", headers=headers)


class _Pages:
    """What is answered at which path."""

    def __init__(self, node: Node, metrics: Metrics | None) -> None:
        self._node = node
        self._metrics = metrics

    def client(self) -> dict[str, Handler]:
        """Pages of the client port alone."""
        return {"/version": self._version, "/debug/vars": self._vars}

    def monitored(self) -> dict[str, Handler]:
        """Pages that monitors' listeners have too."""
        assert self._metrics is not None, "these pages count and tell"
        pages = _Monitored(self._node, self._metrics)
        out: dict[str, Handler] = {"/health": pages.health, "/metrics": pages.text}
        for kind, checks in (("livez", health.LIVEZ), ("readyz", health.READYZ)):
            out[f"/{kind}"] = pages.examination(kind, checks)
            for name, check in checks.items():
                out[f"/{kind}/{name}"] = pages.examination(kind, {name: check})
        return out

    def peer(self) -> dict[str, Handler]:
        """Pages of the peer port."""
        return {"/version": self._version, "/members": self._members}

    async def _version(self, request: web.Request) -> web.Response:
        cluster = self._node.machine.cluster_version or "not_decided"
        return _json({"etcdserver": ETCD_VERSION, "etcdcluster": cluster})

    async def _vars(self, request: web.Request) -> web.Response:
        s = self._node.statistics()
        raft = {
            "id": f"{s.member_id:x}",
            "term": s.term,
            "vote": f"{s.vote:x}",
            "commit": s.commit,
            "lead": f"{s.leader:x}",
            "raftState": s.role,
            "applied": s.applied,
        }
        told = {
            "cmdline": sys.argv,
            "file_descriptor_limit": open_files_limit(),
            "memstats": {"Sys": resident_bytes()},
            "raft.status": raft,
        }
        return _json(told, end="\n")

    async def _members(self, request: web.Request) -> web.Response:
        told = []
        for member in self._node.members():
            entry: dict[str, object] = {"id": member.id, "peerURLs": list(member.peer_urls)}
            if member.is_learner:
                entry["isLearner"] = True
            entry["name"] = member.name
            entry["clientURLs"] = list(member.client_urls)
            told.append(entry)
        headers = {"X-Etcd-Cluster-ID": f"{self._node.cluster_id:x}"}
        return _json(told, end="\n", headers=headers)


class _Monitored:
    """Health and metrics."""

    def __init__(self, node: Node, metrics: Metrics) -> None:
        self._node = node
        self._metrics = metrics

    async def text(self, request: web.Request) -> web.Response:
        """/metrics."""
        headers = {"Content-Type": CONTENT_TYPE}
        return web.Response(body=self._metrics.render(), headers=headers)

    async def health(self, request: web.Request) -> web.Response:
        """/health, with alarms to exclude, or of this member alone."""
        excluded = frozenset(request.query.getall("exclude", []))
        serializable = request.query.get("serializable") == "true"
        reason = await health.ailment(self._node, excluded, serializable)
        counts = self._metrics.health
        if reason:
            counts.failed += 1
        else:
            counts.succeeded += 1
        told = {"health": "false" if reason else "true", "reason": reason}
        body = json.dumps(told, separators=(",", ":")).encode()
        if reason:
            return web.Response(status=503, body=body + b"\n", headers=_TEXT)
        return web.Response(body=body, content_type="text/plain", charset="utf-8")

    def examination(self, kind: str, checks: dict[str, Check]) -> Handler:
        """/livez or /readyz, or one of their checks."""

        async def page(request: web.Request) -> web.Response:
            excluded = frozenset(request.query.getall("exclude", []))
            wanted = {name: check for name, check in checks.items() if name not in excluded}
            well, lines = await health.examine(self._node, kind, wanted, self._metrics.health)
            if not well:
                return web.Response(status=503, body=lines.encode(), headers=_TEXT)
            told = lines if "verbose" in request.query else ""
            return web.Response(body=f"{told}ok\n".encode(), headers=_TEXT)

        return page
