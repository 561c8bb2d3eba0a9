"""Every method of etcd's services has a route, and every error a status."""

from __future__ import annotations

import json

import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from kvorum.api.gateway.replies import HTTP_STATUS, failure, last_chunk
from kvorum.api.gateway.routes import ROUTES
from kvorum.errors import Condition
from kvorum_proto.services import METHODS, SERVICES

WITH_ROUTES = (
    "etcdserverpb.KV",
    "etcdserverpb.Watch",
    "etcdserverpb.Lease",
    "etcdserverpb.Cluster",
    "etcdserverpb.Maintenance",
    "etcdserverpb.Auth",
    "v3lockpb.Lock",
    "v3electionpb.Election",
)


def test_every_method_of_etcd_has_a_route_and_no_other() -> None:
    methods = {method.path for name in WITH_ROUTES for method in SERVICES[name]}
    assert set(ROUTES.values()) == methods
    assert set(ROUTES.values()) <= set(METHODS)
    assert len(ROUTES) == len(methods) + 3  # The aliases under /v3/kv/lease/.


# Contract page "errors", section 1.
STATUSES = {
    0: 200, 1: 499, 2: 500, 3: 400, 4: 504, 5: 404, 6: 409, 7: 403, 8: 429, 9: 400, 10: 409,
    11: 400, 12: 501, 13: 500, 14: 503, 15: 500, 16: 401,
}  # fmt: skip


def test_every_code_has_its_status() -> None:
    assert {status.value: code for status, code in HTTP_STATUS.items()} == STATUSES


@pytest.mark.parametrize("condition", list(Condition), ids=lambda c: c.name)
def test_errors_have_what_every_client_reads(condition: Condition) -> None:
    error = GRPCError(Status(int(condition.code)), condition.message)
    response = failure(error)
    status = STATUSES[int(condition.code)]
    assert response.status == status
    body = response.body
    assert isinstance(body, bytes)
    assert json.loads(body) == {
        "error": condition.message,
        "message": condition.message,
        "code": int(condition.code),
    }
    chunk = last_chunk(error)
    assert chunk.endswith(b"}\n")
    inner = json.loads(chunk)["error"]
    assert inner.pop("http_status") == response.reason or status == 499
    assert inner == {
        "code": int(condition.code),
        "grpc_code": int(condition.code),
        "http_code": status,
        "message": condition.message,
    }
