"""A real etcd behind its JSON gateway, in the words of the machine's commands."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from kvorum.errors import BY_MESSAGE
from kvorum.machine.operations import (
    Compact,
    Compare,
    DeleteRange,
    LeaseGrant,
    LeaseRevoke,
    Put,
    Range,
    Txn,
)

_PATHS = {
    Put: "kv/put",
    DeleteRange: "kv/deleterange",
    Range: "kv/range",
    Txn: "kv/txn",
    Compact: "kv/compaction",
    LeaseGrant: "lease/grant",
    LeaseRevoke: "lease/revoke",
}
_MEMBERS = {
    Put: "requestPut",
    DeleteRange: "requestDeleteRange",
    Range: "requestRange",
    Txn: "requestTxn",
}
_OPERANDS = ("version", "create_revision", "mod_revision", "value", "lease")  # By target.


class Etcd:
    """One connection; `do` gives results in the form of `plain`. `token` goes with all requests."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._connection = HTTPConnection(parts.hostname, parts.port, timeout=30)
        self.token = ""

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def do(self, command: Any) -> Any:
        """Run a command; its result as a plain tuple."""
        return _result(command, self.post(_PATHS[type(command)], _request(command)))

    def post(self, path: str, request: dict[str, Any]) -> dict[str, Any]:
        """Any call of the gateway; the answer as it comes."""
        headers = {"Authorization": self.token} if self.token else {}
        self._connection.request("POST", "/v3/" + path, json.dumps(request), headers)
        answer: dict[str, Any] = json.loads(self._connection.getresponse().read())
        return answer


def _text(data: bytes) -> str:
    return b64encode(data).decode()


def _request(command: Any) -> dict[str, Any]:
    match command:
        case Txn():
            return {
                "compare": [_compare(compare) for compare in command.compare],
                "success": [{_MEMBERS[type(op)]: _request(op)} for op in command.success],
                "failure": [{_MEMBERS[type(op)]: _request(op)} for op in command.failure],
            }
        case LeaseGrant():
            return {"ID": command.id, "TTL": command.ttl_s}
        case LeaseRevoke():
            return {"ID": command.id}
    fields = command._asdict().items()
    return {name: _text(value) if isinstance(value, bytes) else value for name, value in fields}


def _compare(compare: Compare) -> dict[str, Any]:
    operand = compare.operand
    return {
        "key": _text(compare.key),
        "range_end": _text(compare.range_end),
        "target": compare.target,
        "result": compare.result,
        _OPERANDS[compare.target]: _text(operand) if isinstance(operand, bytes) else operand,
    }


def _row(kv: dict[str, Any]) -> tuple[Any, ...]:
    numbers = ("create_revision", "mod_revision", "version", "lease")
    create, mod, version, lease = (int(kv.get(name, 0)) for name in numbers)
    return (b64decode(kv["key"]), b64decode(kv.get("value", "")), create, mod, version, lease)


def _result(command: Any, answer: dict[str, Any]) -> Any:
    if "error" in answer:
        return ("refused", BY_MESSAGE[answer["error"]].name)
    revision = int(answer.get("header", {}).get("revision", 0))
    match command:
        case Range():
            rows = [_row(kv) for kv in answer.get("kvs", [])]
            return ("range", revision, int(answer.get("count", 0)), answer.get("more", False), rows)
        case Put():
            return ("put", revision, _row(answer["prev_kv"]) if "prev_kv" in answer else None)
        case DeleteRange():
            rows = [_row(kv) for kv in answer.get("prev_kvs", [])]
            return ("deleted", revision, int(answer.get("deleted", 0)), rows)
        case Txn():
            good = answer.get("succeeded", False)
            responses = [next(iter(op.values())) for op in answer.get("responses", [])]
            branch = command.success if good else command.failure
            inner = [_result(op, one) for op, one in zip(branch, responses, strict=True)]
            return ("txn", revision, good, inner)
    return ("done", revision)
