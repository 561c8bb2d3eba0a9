"""One HTTP request as one call of a gRPC method's handler.

The handler gets a stream in memory: what it receives is read from the request's body, what it sends
is written to the response. A call with one answer is written when it is known; an answer that is a
stream is written chunk by chunk, each message a document of its own, and its status waits for the
first message, so that an early error is an HTTP error. A client that goes away cancels its call:
the HTTP server does that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from aiohttp import ClientError, HttpVersion11, web
from betterproto2 import Message
from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError, StreamTerminatedError
from grpclib.metadata import Deadline, decode_timeout
from grpclib.protocol import Peer
from kvorum_proto.codec import decode, encode
from multidict import MultiDict

from kvorum.api.gateway.documents import Objects, first_value
from kvorum.api.gateway.forms import FormError, from_json, to_json
from kvorum.api.gateway.replies import HEADERS, dump, failure, last_chunk
from kvorum.limits import GATEWAY_BODY_S, GATEWAY_INLINE_BYTES

T = TypeVar("T")

_FORWARDED = "grpc-metadata-"
_BEARER = "bearer "
_STREAMED_REQUESTS = (Cardinality.STREAM_UNARY, Cardinality.STREAM_STREAM)


@dataclass(frozen=True)
class Bounds:
    """How much a client may send, in bytes: of a message, and of the JSON that stands for one."""

    message_bytes: int
    body_bytes: int


class Call:
    """What every stream in memory tells its handler about the caller. GRPCError for a timeout
    nobody can read.
    """

    def __init__(self, request: web.Request) -> None:
        self.metadata = metadata_of(request)
        self.deadline = _deadline_of(request)
        transport = request.transport
        if transport is None:
            raise StreamTerminatedError("the client has gone")
        self.peer = Peer(transport)

    async def run(self, handler: Handler) -> None:
        """The handler's work, within the deadline. Raises GRPCError, StreamTerminatedError."""
        remaining_s = self.deadline.time_remaining() if self.deadline is not None else None
        try:
            async with asyncio.timeout(remaining_s):
                await handler.func(self)
        except TimeoutError:
            raise GRPCError(Status.DEADLINE_EXCEEDED, "context deadline exceeded") from None


def metadata_of(request: web.Request) -> MultiDict[str]:
    """The metadata of a call, as the gateway of etcd forwards it."""
    metadata: MultiDict[str] = MultiDict()
    # Marks a call as one that came through the gateway (contract page "wire", section 1).
    metadata["grpcgateway-accept"] = request.headers.get("Accept", "")
    for name, value in request.headers.items():
        key = name.lower()
        if key == "authorization":
            bare = value[len(_BEARER) :] if value.lower().startswith(_BEARER) else value
            metadata.add(key, bare.strip())
        elif key == "token":
            metadata.add(key, value)
        elif key.startswith(_FORWARDED):
            metadata.add(key[len(_FORWARDED) :], value)
    return metadata


def _deadline_of(request: web.Request) -> Deadline | None:
    timeout = request.headers.get("Grpc-Timeout")
    if timeout is None:
        return None
    try:
        return Deadline.from_timeout(decode_timeout(timeout))
    except ValueError:
        raise GRPCError(Status.INVALID_ARGUMENT, f"invalid grpc-timeout: {timeout[:64]}") from None


# --- one answer -----------------------------------------------------------------------------------


class _OneAnswer(Call):
    """One request in, one answer out."""

    def __init__(self, request: web.Request, message: Message) -> None:
        super().__init__(request)
        self._message: Message | None = message
        self.answer: Any = b""

    async def recv_message(self) -> Message | None:
        """The request; None from then on."""
        message, self._message = self._message, None
        return message

    async def send_message(self, message: Any) -> None:
        """Keeps the answer."""
        self.answer = message


async def answer(request: web.Request, handler: Handler, bounds: Bounds) -> web.StreamResponse:
    """Serve a method with one request and one answer."""
    try:
        body = await _body(request, bounds.body_bytes)
        message = await read_message(handler.request_type, body, bounds)
        call = _OneAnswer(request, message)
        await call.run(handler)
        document = await write_document(handler.reply_type, call.answer)
    except GRPCError as error:
        return failure(error)
    except StreamTerminatedError:
        return web.Response(status=499)
    return web.Response(body=document, headers=HEADERS)


# --- a stream of answers --------------------------------------------------------------------------


class _Answers(Call):
    """Requests from the body as they arrive, answers into chunks as they come."""

    def __init__(self, request: web.Request, handler: Handler, bounds: Bounds) -> None:
        super().__init__(request)
        self._request = request
        self._handler = handler
        self._bounds = bounds
        self._objects = Objects(bounds.body_bytes)
        self._ended = False
        self.response: web.StreamResponse | None = None

    async def recv_message(self) -> Message | None:
        """The next request; None when the body has ended."""
        if self._ended:
            return None
        if self._handler.cardinality not in _STREAMED_REQUESTS:
            self._ended = True
            body = await _body(self._request, self._bounds.body_bytes)
            return await read_message(self._handler.request_type, body, self._bounds)
        try:
            while (cut := self._objects.take()) is None:
                data = await _chunk(self._request)
                if not data:
                    self._ended = True
                    self._objects.end()
                    return None
                self._objects.feed(data)
        except FormError as error:
            raise GRPCError(Status.INVALID_ARGUMENT, str(error)) from None
        return await read_message(self._handler.request_type, cut, self._bounds)

    async def send_message(self, message: Any) -> None:
        """One answer: a message or its bytes."""
        await self._send(await write_document(self._handler.reply_type, message, in_stream=True))

    async def send_encoded(self, payloads: Iterable[bytes]) -> int:
        """Several answers; returns the bytes they have as messages."""
        sent = 0
        for payload in payloads:
            await self.send_message(payload)
            sent += len(payload)
        return sent

    async def fail(self, error: GRPCError) -> web.StreamResponse:
        """The end of a call that went wrong."""
        if self.response is None:
            return failure(error)
        await self._send(last_chunk(error))
        return self.response

    async def _send(self, chunk: bytes) -> None:
        try:
            if self.response is None:
                self.response = await self._begin()
            await self.response.write(chunk)
        except ConnectionError:
            raise StreamTerminatedError("the client has gone") from None

    async def _begin(self) -> web.StreamResponse:
        response = web.StreamResponse(headers=HEADERS)
        if self._request.version >= HttpVersion11:
            response.enable_chunked_encoding()
        await response.prepare(self._request)
        return response


async def stream(request: web.Request, handler: Handler, bounds: Bounds) -> web.StreamResponse:
    """Serve a method with a stream of answers."""
    try:
        call = _Answers(request, handler, bounds)
    except GRPCError as error:
        return failure(error)
    try:
        try:
            await call.run(handler)
        except GRPCError as error:
            return await call.fail(error)
    except StreamTerminatedError:
        # Nobody is left to be told.
        return call.response or web.Response(status=499)
    return call.response or web.Response(headers=HEADERS)


# --- bodies ---------------------------------------------------------------------------------------


async def _chunk(request: web.Request) -> bytes:
    """More of the body; empty at its end."""
    try:
        return await request.content.readany()
    except (ConnectionError, ClientError, web.RequestPayloadError):
        raise StreamTerminatedError("the body broke off") from None


async def _body(request: web.Request, limit_bytes: int) -> bytes:
    """All of the body. Raises GRPCError for one that is too large or takes too long."""
    parts, size = [], 0
    try:
        async with asyncio.timeout(GATEWAY_BODY_S):
            while data := await _chunk(request):
                size += len(data)
                if size > limit_bytes:
                    reason = f"http: request body larger than max ({limit_bytes} bytes)"
                    raise GRPCError(Status.RESOURCE_EXHAUSTED, reason)
                parts.append(data)
    except TimeoutError:
        reason = f"http: request body not complete within {GATEWAY_BODY_S:g} s"
        raise GRPCError(Status.DEADLINE_EXCEEDED, reason) from None
    return b"".join(parts)


async def read_message(cls: type[Message], body: bytes, bounds: Bounds) -> Message:
    """The message that a piece of JSON is."""
    try:
        message = await _aside(len(body), lambda: from_json(cls, first_value(body)))
    except FormError as error:
        raise GRPCError(Status.INVALID_ARGUMENT, str(error)) from None
    # JSON is never shorter than the message it stands for.
    if len(body) > bounds.message_bytes:
        size = len(encode(message))
        if size > bounds.message_bytes:
            raise GRPCError(
                Status.RESOURCE_EXHAUSTED,
                f"grpc: received message larger than max ({size} vs. {bounds.message_bytes})",
            )
    return message


async def write_document(cls: type[Message], message: Any, *, in_stream: bool = False) -> bytes:
    """The JSON of an answer; in a stream with its frame and a line's end."""

    def make() -> bytes:
        document = to_json(decode(cls, message) if type(message) is bytes else message)
        return dump({"result": document}) + b"\n" if in_stream else dump(document)

    return await _aside(len(message) if type(message) is bytes else 0, make)


async def _aside(size_bytes: int, work: Callable[[], T]) -> T:
    """The work's result; large work is done beside the loop, which has ticks to keep."""
    return work() if size_bytes <= GATEWAY_INLINE_BYTES else await asyncio.to_thread(work)
