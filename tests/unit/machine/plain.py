"""The machine's results as plain tuples, to compare them with those of another implementation."""

from __future__ import annotations

from typing import Any

from kvorum.machine.record import Record
from kvorum.machine.results import (
    CompactResult,
    DeleteResult,
    LeaseExpireResult,
    LeaseGrantResult,
    LeaseRevokeResult,
    PutResult,
    RangeResult,
    Refused,
    TxnResult,
)


def row(record: Record) -> tuple[Any, ...]:
    """A record in the model's order of fields."""
    return (
        record.key,
        record.value,
        record.create_revision,
        record.mod_revision,
        record.version,
        record.lease,
    )


def plain(result: Any) -> Any:
    """A result without its types."""
    match result:
        case Refused():
            return ("refused", result.condition.name)
        case RangeResult():
            rows = [row(record) for record in result.records]
            return ("range", result.revision, result.count, result.more, rows)
        case PutResult():
            return ("put", result.revision, row(result.prev) if result.prev else None)
        case DeleteResult():
            rows = [row(record) for record in result.prev_kvs]
            return ("deleted", result.revision, result.deleted, rows)
        case TxnResult():
            inner = [plain(response) for response in result.responses]
            return ("txn", result.revision, result.succeeded, inner)
        case CompactResult():
            return ("compacted", result.compact_revision)
        case LeaseGrantResult():
            return ("granted", result.id)
        case LeaseRevokeResult():
            return ("revoked", result.deleted)
        case LeaseExpireResult():
            return ("expired", result.deleted)
    raise AssertionError(result)
