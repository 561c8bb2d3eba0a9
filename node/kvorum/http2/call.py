"""One call on a server: its headers, its messages, its deadline, its end.

grpclib's own request handler answers in words of its own and writes a traceback to the log for
whatever a client does wrong. This one answers as etcd's gRPC does, byte for byte where clients can
see it, and logs nothing but this side's own faults. The stream that handlers see is grpclib's.
"""

from __future__ import annotations

import asyncio
import binascii
import logging
import re
from collections.abc import Iterable
from typing import Any

from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError
from grpclib.metadata import Deadline, decode_bin_value
from grpclib.server import Stream
from h2.exceptions import H2Error
from multidict import MultiDict

from kvorum.http2.protocol import CheckedStream

log = logging.getLogger(__name__)

Headers = Iterable[tuple[str, str]]

_PSEUDO = frozenset({":method", ":scheme", ":authority", ":path"})
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9a-z]+").fullmatch
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]").search
_TIMEOUT = re.compile(r"([+-]?[0-9]{1,8})([HMSmun])").fullmatch
_TIMEOUT_CHARACTERS = 9
_UNIT_S = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_NO_METADATA = frozenset({"te", "content-type", "content-length", "user-agent"})
_PREFIX_BYTES = 5
_UNARY_WORDS, _STREAM_WORDS = (
    "grpc: error unmarshalling request: ",
    "grpc: failed to unmarshal the received message ",
)


class MalformedError(Exception):
    """Headers that are no call: the stream is reset without an answer, as grpc-go does it."""


def call_fields(headers: Headers) -> dict[str, str]:
    """A call's headers by name. MalformedError when they are not what HTTP/2 and gRPC allow."""
    fields: dict[str, str] = {}
    is_pseudo = True
    for name, value in headers:
        if name[:1] == ":":
            if not is_pseudo or name in fields or name not in _PSEUDO:
                raise MalformedError(name)
        else:
            is_pseudo = False
            if _NAME(name) is None:
                raise MalformedError(name)
        if _CONTROL(value) is not None:
            raise MalformedError(name)
        fields[name] = value
    if fields.get(":method") != "POST":
        raise MalformedError(":method")
    kind = fields.get("content-type", "")
    if kind != "application/grpc" and not kind.startswith(
        ("application/grpc+", "application/grpc;")
    ):
        raise MalformedError("content-type")
    return fields


def deadline_of(fields: dict[str, str]) -> Deadline | None:
    """When the call's time is over. MalformedError for a ``grpc-timeout`` that is none."""
    text = fields.get("grpc-timeout")
    if text is None:
        return None
    match = _TIMEOUT(text)
    if match is None or len(text) > _TIMEOUT_CHARACTERS:
        raise MalformedError("grpc-timeout")
    return Deadline.from_timeout(max(0.0, int(match[1]) * _UNIT_S[match[2]]))


def metadata_of(headers: Headers) -> MultiDict[str | bytes]:
    """What handlers see of the headers. A binary value that is no base64 is left out."""
    metadata: MultiDict[str | bytes] = MultiDict()
    for name, value in headers:
        if name[:1] == ":" or name in _NO_METADATA or name.startswith("grpc-"):
            continue
        if name.endswith("-bin"):
            try:
                metadata.add(name, decode_bin_value(value.encode("latin-1")))
            except binascii.Error:
                continue
        else:
            metadata.add(name, value)
    return metadata


class Call(Stream[Any, Any]):
    """grpclib's server stream, reading messages with grpc-go's words for what is wrong."""

    _stream: CheckedStream

    async def recv_message(self) -> Any:
        """The next message; None when the client has sent all. GRPCError for what is no message."""
        stream, streaming = self._stream, self._cardinality.client_streaming
        prefix = await stream.buffer.read(_PREFIX_BYTES)
        if not prefix:
            if streaming or self._messages_received:
                return None
            raise GRPCError(Status.UNKNOWN, "EOF")
        size = stream.check_prefix(prefix) if len(prefix) == _PREFIX_BYTES else 1
        body = await stream.buffer.read(size)
        if len(body) < size:
            raise GRPCError(Status.INTERNAL if streaming else Status.UNKNOWN, "unexpected EOF")
        try:
            message = self._codec.decode(body, self._recv_type)
        except GRPCError as error:
            text = error.message or ""
            if text.startswith(_UNARY_WORDS) and self._is_stream:
                text = _STREAM_WORDS + text.removeprefix(_UNARY_WORDS)
            raise GRPCError(error.status, text) from None
        self._messages_received += 1
        return message

    @property
    def _is_stream(self) -> bool:
        return self._cardinality is not Cardinality.UNARY_UNARY


async def serve(method: Handler, call: Call, stream: CheckedStream) -> None:
    """Run a method's handler and send how it ended.

    Cancelled when the client gives the call up or goes; nobody is left to be answered then.
    """
    try:
        status, text = await _outcome(method, call)
        await _finish(call, stream, status, text)
    except (H2Error, ConnectionError):
        # The client has ended the stream or the connection meanwhile.
        log.debug("nobody takes the answer", exc_info=True)


async def _outcome(method: Handler, call: Call) -> tuple[Status, str | None]:
    deadline = call.deadline
    remaining_s = deadline.time_remaining() if deadline is not None else None
    try:
        if remaining_s is not None and remaining_s <= 0:
            raise TimeoutError
        async with asyncio.timeout(remaining_s):
            await method.func(call)
    except GRPCError as error:
        return error.status, error.message
    except TimeoutError:
        return Status.DEADLINE_EXCEEDED, "context deadline exceeded"
    except (H2Error, ConnectionError):
        raise
    except Exception:
        log.exception("%s failed", call._method_name)
        return Status.INTERNAL, "kvorum: internal error"
    if not call._cardinality.server_streaming and not call._send_message_done:
        log.error("%s ended without an answer", call._method_name)
        return Status.INTERNAL, "kvorum: internal error"
    return Status.OK, None


async def _finish(call: Call, stream: CheckedStream, status: Status, text: str | None) -> None:
    if not call._send_trailing_metadata_done and not call._cancel_done:
        await call.send_trailing_metadata(status=status, status_message=text)
    if stream.closable:
        # The client has not said that it is done; whatever it still says, nobody listens.
        stream.reset_nowait()
