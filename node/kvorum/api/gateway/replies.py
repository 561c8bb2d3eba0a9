"""What the gateway says when a call fails: the union of what its releases' clients read (contract
pages "wire", section 4, and "errors", section 1)."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from aiohttp import web
from grpclib.const import Status
from grpclib.exceptions import GRPCError

HEADERS = {"Content-Type": "application/json", "Grpc-Metadata-Content-Type": "application/grpc"}
PLAIN = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}
_CLIENT_CLOSED = 499

HTTP_STATUS = {
    Status.OK: 200,
    Status.CANCELLED: _CLIENT_CLOSED,
    Status.UNKNOWN: 500,
    Status.INVALID_ARGUMENT: 400,
    Status.DEADLINE_EXCEEDED: 504,
    Status.NOT_FOUND: 404,
    Status.ALREADY_EXISTS: 409,
    Status.PERMISSION_DENIED: 403,
    Status.RESOURCE_EXHAUSTED: 429,
    Status.FAILED_PRECONDITION: 400,
    Status.ABORTED: 409,
    Status.OUT_OF_RANGE: 400,
    Status.UNIMPLEMENTED: 501,
    Status.INTERNAL: 500,
    Status.UNAVAILABLE: 503,
    Status.DATA_LOSS: 500,
    Status.UNAUTHENTICATED: 401,
}


def dump(document: Any) -> bytes:
    """A JSON document as bytes, without needless space."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def failure(error: GRPCError, *, status: int = 0) -> web.Response:
    """The response to a call that failed before its first message. ``status`` takes the place of
    the table's.
    """
    return web.Response(
        status=status or HTTP_STATUS[error.status], body=failure_body(error), headers=HEADERS
    )


def failure_body(error: GRPCError) -> bytes:
    """What that response says."""
    message = error.message or ""
    return dump({"error": message, "message": message, "code": error.status.value})


def last_chunk(error: GRPCError) -> bytes:
    """The last chunk of a stream that failed after its first message."""
    status = HTTP_STATUS[error.status]
    inner = {
        "grpc_code": error.status.value,
        "http_code": status,
        "message": error.message or "",
        # Go's table of statuses has no words for this one.
        "http_status": "" if status == _CLIENT_CLOSED else HTTPStatus(status).phrase,
        "code": error.status.value,
    }
    return dump({"error": inner}) + b"\n"
