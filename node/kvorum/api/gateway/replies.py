"""What the gateway says when a call fails: the union of what its releases' clients read (contract
pages "wire", section 4, and "errors", section 1)."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from aiohttp import web

from kvorum.errors import Code

HEADERS = {"Content-Type": "application/json", "Grpc-Metadata-Content-Type": "application/grpc"}
_CLIENT_CLOSED = 499

HTTP_STATUS = {
    Code.OK: 200,
    Code.CANCELLED: _CLIENT_CLOSED,
    Code.UNKNOWN: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.DATA_LOSS: 500,
    Code.UNAUTHENTICATED: 401,
}


class CallError(Exception):
    """The end of a call: a gRPC code and its message."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = Code(code)
        self.message = message


def dump(document: Any) -> bytes:
    """A JSON document as bytes, without needless space."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def failure(error: CallError, *, status: int = 0) -> web.Response:
    """The response to a call that failed before its first message. ``status`` overrides the
    table's.
    """
    body = {"error": error.message, "message": error.message, "code": int(error.code)}
    return web.Response(
        status=status or HTTP_STATUS[error.code], body=dump(body), headers=HEADERS
    )


def last_chunk(error: CallError) -> bytes:
    """The last chunk of a stream that failed after its first message."""
    status = HTTP_STATUS[error.code]
    phrase = "" if status == _CLIENT_CLOSED else HTTPStatus(status).phrase
    inner = {
        "grpc_code": int(error.code),
        "http_code": status,
        "message": error.message,
        "http_status": phrase,
        "code": int(error.code),
    }
    return dump({"error": inner}) + b"\n"
