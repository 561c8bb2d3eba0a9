"""Requests to commands, results to bytes (contract pages "wire" and "semantics").

A result's frames are KeyValues with the tag of field 2 in front, which is where RangeResponse and
PutResponse have them; a DeleteRangeResponse has them in field 3, so there the tag is another byte.
"""

from __future__ import annotations

from kvorum_proto import etcdserverpb as pb
from kvorum_proto.wire import field_bytes, field_varint

from kvorum.machine import commands
from kvorum.machine.operations import COMPARE_VALUE
from kvorum.machine.results import (
    DeleteResult,
    HistoricalRange,
    PutResult,
    RangeResult,
    TxnResult,
)

_PREV_KVS = b"\x1a"  # Tag of DeleteRangeResponse.prev_kvs.

# --- requests -------------------------------------------------------------------------------------


def range_query(request: pb.RangeRequest) -> commands.Range:
    """A RangeRequest."""
    return commands.Range(
        request.key,
        request.range_end,
        request.limit,
        request.revision,
        int(request.sort_order),
        int(request.sort_target),
        request.serializable,
        request.keys_only,
        request.count_only,
        request.min_mod_revision,
        request.max_mod_revision,
        request.min_create_revision,
        request.max_create_revision,
    )


def put_command(request: pb.PutRequest) -> commands.Put:
    """A PutRequest."""
    return commands.Put(
        request.key,
        request.value,
        request.lease,
        request.prev_kv,
        request.ignore_value,
        request.ignore_lease,
    )


def delete_command(request: pb.DeleteRangeRequest) -> commands.DeleteRange:
    """A DeleteRangeRequest."""
    return commands.DeleteRange(request.key, request.range_end, request.prev_kv)


def txn_command(request: pb.TxnRequest) -> commands.Txn:
    """A TxnRequest; an operation without a member becomes None, which the checks refuse."""
    return commands.Txn(
        tuple(_compare(compare) for compare in request.compare),
        tuple(_operation(op) for op in request.success),
        tuple(_operation(op) for op in request.failure),
    )


def _operation(op: pb.RequestOp) -> commands.Operation | None:
    if op.request_range is not None:
        return range_query(op.request_range)
    if op.request_put is not None:
        return put_command(op.request_put)
    if op.request_delete_range is not None:
        return delete_command(op.request_delete_range)
    if op.request_txn is not None:
        return txn_command(op.request_txn)
    return None


def _compare(compare: pb.Compare) -> commands.Compare:
    """The operand is the member that the target names; any other one counts as zero or empty."""
    target = int(compare.target)
    if target == COMPARE_VALUE:
        operand: int | bytes = compare.value or b""
    else:
        by_target = (
            compare.version,
            compare.create_revision,
            compare.mod_revision,
            None,
            compare.lease,
        )
        operand = (by_target[target] if 0 <= target < len(by_target) else 0) or 0
    return commands.Compare(compare.key, target, int(compare.result), operand, compare.range_end)


# --- answers --------------------------------------------------------------------------------------


def range_body(result: RangeResult) -> bytes:
    """A RangeResponse without its header."""
    more = b"\x18\x01" if result.more else b""
    return b"".join((*result.frames, more, field_varint(4, result.count)))


def put_body(result: PutResult) -> bytes:
    """A PutResponse without its header."""
    return result.prev_frame or b""


def delete_body(result: DeleteResult) -> bytes:
    """A DeleteRangeResponse without its header."""
    parts = [field_varint(2, result.deleted)]
    for frame in result.prev_frames:
        parts += (_PREV_KVS, frame[1:])
    return b"".join(parts)


def txn_body(result: TxnResult) -> bytes:
    """A TxnResponse without its header.

    Inner headers carry a revision only; a nested transaction's is there but empty (semantics page,
    section 0.1).
    """
    succeeded = b"\x10\x01" if result.succeeded else b""
    return succeeded + b"".join(field_bytes(3, _response_op(part)) for part in result.responses)


def _response_op(
    part: RangeResult | PutResult | DeleteResult | TxnResult | HistoricalRange,
) -> bytes:
    if isinstance(part, RangeResult):
        return field_bytes(1, _inner_header(part.revision) + range_body(part))
    if isinstance(part, PutResult):
        return field_bytes(2, _inner_header(part.revision) + put_body(part))
    if isinstance(part, DeleteResult):
        return field_bytes(3, _inner_header(part.revision) + delete_body(part))
    assert isinstance(part, TxnResult), "the replica fills holes before it answers"
    return field_bytes(4, _inner_header(0) + txn_body(part))


def _inner_header(revision: int) -> bytes:
    return field_bytes(1, field_varint(3, revision))
