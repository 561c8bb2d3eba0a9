"""The terminal in a browser: textual-serve behind a token, on this machine alone.

textual-serve starts one terminal a visitor and asks nobody who they are. Before it stands a gate:
the token that is in the printed address, once, becomes a cookie; everything else is refused. A page
of another origin cannot use the cookie, nor can a name that somebody else's DNS points here.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import socket
from collections.abc import Awaitable, Callable

from aiohttp import web
from textual_serve.app_service import AppService
from textual_serve.server import Server, to_int

COOKIE = "kvorum-terminal"
WIDTH, HEIGHT = 80, 24
HEARTBEAT_S = 15.0
STOP_S = 3.0
VISITORS_MAX = 8  # Each is a process of some 100 MB.
LOOPBACK = ("127.0.0.1", "::1", "localhost")
POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-inline';"
    " img-src 'self' data:; font-src 'self' data:; connect-src 'self' ws://127.0.0.1:*"
    " ws://localhost:*; frame-ancestors 'none'"
)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Gate:
    """Who may come in, and how many at once."""

    def __init__(self, token: str, port: int) -> None:
        self.token = token
        self.hosts = {f"{host}:{port}" for host in ("127.0.0.1", "[::1]", "localhost")}
        self.visitors = 0

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse, or take the token for a cookie, or let through."""
        if request.host not in self.hosts:
            raise web.HTTPForbidden(text=f"{request.host} is not where this terminal lives\n")
        origin = request.headers.get("Origin")
        if origin is not None and origin.split("://")[-1] not in self.hosts:
            raise web.HTTPForbidden(text="another site's page may not open this terminal\n")
        given = request.query.get("token", "")
        if given and self._is(given):
            answer = web.Response(status=302, headers={"Location": request.path})
            answer.set_cookie(COOKIE, self.token, httponly=True, samesite="Strict")
            return answer
        if not self._is(request.cookies.get(COOKIE, "")):
            raise web.HTTPForbidden(text="use the address with the token, as it was printed\n")
        if request.path != "/ws":
            return await handler(request)
        if self.visitors >= VISITORS_MAX:
            raise web.HTTPServiceUnavailable(text=f"{VISITORS_MAX} terminals are open already\n")
        self.visitors += 1
        try:
            return await handler(request)
        finally:
            self.visitors -= 1

    def _is(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self.token.encode())


class Visitor(AppService):
    """One visitor's terminal. It is asked to end when its page is closed, and made to when it does
    not: it may be asking a question that nobody will answer.
    """

    async def stop(self) -> None:
        """End the process, whatever it does."""
        process = self._process
        if process is None:
            return

        def kill() -> None:
            if process.returncode is None:
                process.kill()

        last = asyncio.get_running_loop().call_later(STOP_S, kill)
        try:
            await super().stop()
            await process.wait()
        finally:
            last.cancel()


class Terminals(Server):
    """textual-serve's server with our gate before it."""

    def __init__(self, command: str, host: str, port: int, title: str, gate: Gate) -> None:
        super().__init__(command, host=host, port=port, title=title)
        self.gate = gate

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """One visitor, from the first byte to the end of the process."""
        page = web.WebSocketResponse(heartbeat=HEARTBEAT_S)
        await page.prepare(request)

        async def close() -> None:
            await page.close()

        visitor = Visitor(
            self.command,
            write_bytes=page.send_bytes,
            write_str=page.send_str,
            close=close,
            download_manager=self.download_manager,
        )
        size = request.query
        try:
            await visitor.start(
                to_int(size.get("width", ""), WIDTH), to_int(size.get("height", ""), HEIGHT)
            )
            await self._process_messages(page, visitor)
        finally:
            await visitor.stop()
            await page.close()
        return page

    async def make_app(self) -> web.Application:
        """Their application, gated; nothing in its pages is loaded from elsewhere."""
        app = await self._make_app()
        app.on_startup.clear()  # It would print its own banner.
        app.middlewares.append(self.gate.middleware)
        app.on_response_prepare.append(_policy)
        return app


async def _policy(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["Referrer-Policy"] = "no-referrer"


def listener(host: str, port: int) -> socket.socket:
    """A listening socket on this machine. Raises ``ValueError`` for any other host, ``OSError``
    when the port is taken.
    """
    if host not in LOOPBACK:
        raise ValueError(
            f"{host} is not on this machine; use 127.0.0.1 and, from elsewhere, ssh -L"
        )
    family = socket.AF_INET6 if host == "::1" else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
    except OSError:
        made.close()
        raise
    return made


async def serve(
    command: str,
    sock: socket.socket,
    title: str,
    token: str | None,
    ready: Callable[[str], None],
    stop: asyncio.Event,
) -> None:
    """Serve until ``stop``; ``ready`` is told the address with its token."""
    host, port = sock.getsockname()[:2]
    place = f"[{host}]" if ":" in host else host
    gate = Gate(token or secrets.token_urlsafe(24), port)
    server = Terminals(command, place, port, title, gate)
    runner = web.AppRunner(await server.make_app(), access_log=None)
    await runner.setup()
    try:
        await web.SockSite(runner, sock).start()
        ready(f"http://{place}:{port}/?token={gate.token}")
        await stop.wait()
    finally:
        await runner.cleanup()
