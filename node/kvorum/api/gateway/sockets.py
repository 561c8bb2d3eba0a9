"""The gateway over WebSocket, as etcd's: what browsers need, which cannot read a response while
they still write its request.

Every text message of the client is one request, every answer one text message, with the frame it
has in a stream over HTTP. A token comes as a second sub-protocol, because browsers set no headers:
``Sec-WebSocket-Protocol: Bearer, TOKEN``. Leaving ends the call.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from aiohttp import WSMsgType, web
from betterproto2 import Message
from grpclib.const import Cardinality, Handler
from grpclib.exceptions import GRPCError, StreamTerminatedError

from kvorum.api.gateway import calls
from kvorum.api.gateway.calls import Bounds, Call
from kvorum.api.gateway.replies import failure_body, last_chunk

_BEARER = "Bearer"
_STREAMED_REQUESTS = (Cardinality.STREAM_UNARY, Cardinality.STREAM_STREAM)
_STREAMED_ANSWERS = (Cardinality.UNARY_STREAM, Cardinality.STREAM_STREAM)


def wanted(request: web.Request) -> bool:
    """Whether the client asks to speak WebSocket."""
    return request.headers.get("Upgrade", "").lower() == "websocket"


async def serve(request: web.Request, handler: Handler, bounds: Bounds) -> web.StreamResponse:
    """One call over one socket."""
    socket = web.WebSocketResponse(
        protocols=(_BEARER,), max_msg_size=bounds.body_bytes, compress=False
    )
    if not socket.can_prepare(request).ok:
        return web.Response(status=400, body=b"no WebSocket handshake\n")
    await socket.prepare(request)
    with contextlib.suppress(StreamTerminatedError):
        call = _SocketCall(request, socket, handler, bounds)
        try:
            await call.run(handler)
        except GRPCError as error:
            await call.tell(last_chunk(error) if call.has_begun else failure_body(error))
    await socket.close()
    return socket


class _SocketCall(Call):
    """The stream in memory that the handler gets."""

    def __init__(
        self, request: web.Request, socket: web.WebSocketResponse, handler: Handler, bounds: Bounds
    ) -> None:
        super().__init__(request)
        token = _token(request)
        if token:
            self.metadata["authorization"] = token
        self._socket = socket
        self._handler = handler
        self._bounds = bounds
        self._ended = False
        self.has_begun = False

    async def recv_message(self) -> Message | None:
        """The next request; None where the method takes one only."""
        if self._ended:
            return None
        self._ended = self._handler.cardinality not in _STREAMED_REQUESTS
        told = await self._socket.receive()
        if told.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
            raise StreamTerminatedError("the client has gone")
        data = told.data if isinstance(told.data, bytes) else told.data.encode()
        return await calls.read_message(self._handler.request_type, data, self._bounds)

    async def send_message(self, message: Message | bytes) -> None:
        """One answer: a message or its bytes."""
        streamed = self._handler.cardinality in _STREAMED_ANSWERS
        document = await calls.write_document(self._handler.reply_type, message, in_stream=streamed)
        self.has_begun = True
        await self.tell(document)

    async def send_encoded(self, payloads: Iterable[bytes]) -> int:
        """Several answers; returns the bytes they have as messages."""
        sent = 0
        for payload in payloads:
            await self.send_message(payload)
            sent += len(payload)
        return sent

    async def tell(self, document: bytes) -> None:
        """One text message."""
        try:
            await self._socket.send_str(document.decode().rstrip("\n"))
        except ConnectionError:
            raise StreamTerminatedError("the client has gone") from None


def _token(request: web.Request) -> str:
    """The token among the sub-protocols that the client offers."""
    offered = [x.strip() for x in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
    return offered[1] if len(offered) == 2 and offered[0] == _BEARER else ""
