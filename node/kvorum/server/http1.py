"""HTTP/1.1 connections: aiohttp's, which give a client all the time it likes for a request's head.

Whoever sends a byte of a header now and then would keep a connection, its buffers and its task for
ever, and as many of them as there are ports. Here the head of a request must be whole some seconds
after its first byte. A connection between two requests may rest for longer, and bodies are for
whoever reads them to bound (:mod:`kvorum.api.gateway.calls`).
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import StreamReader, web

from kvorum.limits import HTTP1_HEAD_S


class HttpConnection(web.RequestHandler):
    """One connection.

    Args:
        server: what serves its requests.
        head_s: how long the head of a request may take.
        options: aiohttp's.
    """

    def __init__(self, server: web.Server, *, head_s: float = HTTP1_HEAD_S, **options: Any) -> None:
        self._head_loop = asyncio.get_running_loop()
        super().__init__(server, loop=self._head_loop, **options)
        self._head_s = head_s
        self._timer: asyncio.TimerHandle | None = None
        self._answered = 0
        self._last_body: StreamReader | None = None

    def data_received(self, data: bytes) -> None:
        """Bytes came: of a head, unless a request is under way."""
        heads = self._request_count
        super().data_received(data)
        if self._request_count != heads:
            self._stop_timer()
        elif self._timer is None and self._awaits_head:
            self._timer = self._head_loop.call_later(self._head_s, self._too_slow)

    @property
    def _awaits_head(self) -> bool:
        """Whether all requests are answered, and nothing of their bodies is still to come."""
        if self._request_count != self._answered:
            return False
        return self._last_body is None or self._last_body.is_eof()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer; after it comes another head."""
        try:
            return await super().finish_response(request, resp, start_time)
        finally:
            self._answered += 1
            self._last_body = request.content

    def _too_slow(self) -> None:
        self._timer = None
        if self._awaits_head:
            self.force_close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection is gone."""
        self._stop_timer()
        super().connection_lost(exc)
