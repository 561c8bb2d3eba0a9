"""Transactions: decide, check, run.

All compares of the whole path, those of nested transactions too, are evaluated on the state before
the transaction. That picks the operations that will run; these, and only these, are then checked
for what the state could refuse: puts first, ranges second, as etcd does. After that nothing can
fail, so running needs no way back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from kvorum.errors import Condition
from kvorum.machine import operations as ops
from kvorum.machine.change import Change
from kvorum.machine.keyspace import Keyspace
from kvorum.machine.leases import LeaseTable
from kvorum.machine.operations import Compare, DeleteRange, Operation, Put, Range, Txn
from kvorum.machine.record import scan
from kvorum.machine.results import HistoricalRange, RangeResult, Response, TxnResult


class Path(NamedTuple):
    """The branch that a transaction takes: its operations, and the path of each that is itself a
    transaction.
    """

    succeeded: bool
    operations: tuple[Operation, ...]
    nested: tuple[Path | None, ...]


def decide(keyspace: Keyspace, txn: Txn) -> Path:
    """Evaluate the compares, down the whole path."""
    succeeded = all(_holds(keyspace, compare) for compare in txn.compare)
    branch = txn.success if succeeded else txn.failure
    operations = tuple([op for op in branch if op is not None])
    nested = tuple([decide(keyspace, op) if isinstance(op, Txn) else None for op in operations])
    return Path(succeeded, operations, nested)


def refusal(
    path: Path, keyspace: Keyspace, leases: LeaseTable, revision: int, compacted: int
) -> Condition | None:
    """What the state before the transaction says against one of the chosen operations."""
    for op in _chosen(path):
        if isinstance(op, Put):
            refused = put_refusal_in_txn(op, keyspace, leases)
            if refused is not None:
                return refused
    for op in _chosen(path):
        if isinstance(op, Range) and op.revision:
            # Unlike a plain range's, a negative revision here is an old one: refused once below the
            # compact revision.
            if op.revision > revision:
                return Condition.FUTURE_REVISION
            if op.revision < compacted:
                return Condition.COMPACTED
    return None


def put_refusal(put: Put, keyspace: Keyspace, leases: LeaseTable) -> Condition | None:
    """Why a put alone cannot be done: the lease is asked for first."""
    if put.lease and put.lease not in leases:
        return Condition.LEASE_NOT_FOUND
    if (put.ignore_value or put.ignore_lease) and put.key not in keyspace.frames:
        return Condition.KEY_NOT_FOUND
    return None


def put_refusal_in_txn(put: Put, keyspace: Keyspace, leases: LeaseTable) -> Condition | None:
    """Why a put cannot be part of a transaction: the same reasons, but the key is asked for first,
    as in etcd.
    """
    if (put.ignore_value or put.ignore_lease) and put.key not in keyspace.frames:
        return Condition.KEY_NOT_FOUND
    if put.lease and put.lease not in leases:
        return Condition.LEASE_NOT_FOUND
    return None


def run(change: Change, path: Path, outer: bool = True) -> TxnResult:
    """Execute a decided and checked path. A nested result has revision 0, as its header has."""
    responses: list[Response] = []
    for op, nested in zip(path.operations, path.nested, strict=True):
        if isinstance(op, Put):
            responses.append(change.put(op))
        elif isinstance(op, Range):
            responses.append(change.range(op))
        elif isinstance(op, DeleteRange):
            responses.append(change.delete(op))
        else:
            assert nested is not None, "an operation is one of four, and what is none was left out"
            responses.append(run(change, nested, outer=False))
    return TxnResult(change.revision if outer else 0, path.succeeded, tuple(responses))


def is_read_only(txn: Txn) -> bool:
    """Whether both branches hold only ranges: such a transaction needs no log entry. A nested one
    disqualifies.
    """
    return all(isinstance(op, Range) for op in (*txn.success, *txn.failure))


def all_serializable(txn: Txn) -> bool:
    """Whether a read-only transaction may be answered without a quorum: it has ranges, and all of
    them say so.

    etcd says yes to one without any operation, whose compares then see possibly stale state; here
    it takes the safe way.
    """
    branches = (*txn.success, *txn.failure)
    return bool(branches) and all(isinstance(op, Range) and op.serializable for op in branches)


def historical_ranges(result: TxnResult) -> Iterator[HistoricalRange]:
    """The ranges in a result that the history must still answer, in order, nested ones included."""
    for response in result.responses:
        if isinstance(response, HistoricalRange):
            yield response
        elif isinstance(response, TxnResult):
            yield from historical_ranges(response)


def fill_historical(result: TxnResult, answers: Iterator[RangeResult]) -> TxnResult:
    """The result with each such range replaced by the next answer, in the same order."""
    filled: list[Response] = []
    for response in result.responses:
        if isinstance(response, HistoricalRange):
            filled.append(next(answers))
        elif isinstance(response, TxnResult):
            filled.append(fill_historical(response, answers))
        else:
            filled.append(response)
    return result._replace(responses=tuple(filled))


def _chosen(path: Path) -> Iterator[Operation]:
    for op, nested in zip(path.operations, path.nested, strict=True):
        if nested is not None:
            yield from _chosen(nested)
        else:
            yield op


def _holds(keyspace: Keyspace, compare: Compare) -> bool:
    """Whether a compare holds for its key, or for every key of its range.

    A missing key compares as all zeroes, except that no comparison with the value of nothing holds.
    """
    keys = keyspace.keys(compare.key, compare.range_end)
    if not keys:
        return compare.target != ops.COMPARE_VALUE and _meets(compare, 0)
    return all(_meets(compare, _field(compare.target, keyspace.frames[key])) for key in keys)


def _field(target: int, frame: bytes) -> int | bytes | None:
    """The field that a compare target names; None for a target that names none."""
    _, _, create, mod, version, value_start, value_end, lease = scan(frame)
    if target == ops.COMPARE_VALUE:
        return frame[value_start:value_end]
    numbers = {
        ops.COMPARE_VERSION: version,
        ops.COMPARE_CREATE: create,
        ops.COMPARE_MOD: mod,
        ops.COMPARE_LEASE: lease,
    }
    return numbers.get(target)


def _meets(compare: Compare, stored: int | bytes | None) -> bool:
    """Stored against given. An unknown target compares as equal, an unknown result always holds:
    etcd's way.
    """
    sign = 0
    if compare.target in _TARGETS and stored is not None:
        sign = _order(stored, compare.operand)
    if compare.result == ops.EQUAL:
        return sign == 0
    if compare.result == ops.GREATER:
        return sign > 0
    if compare.result == ops.LESS:
        return sign < 0
    if compare.result == ops.NOT_EQUAL:
        return sign != 0
    return True


def _order(stored: int | bytes, operand: int | bytes) -> int:
    """-1, 0 or 1. An operand of the wrong kind counts as the zero of the right one."""
    if isinstance(stored, bytes):
        given = operand if isinstance(operand, bytes) else b""
        return (stored > given) - (stored < given)
    number = operand if isinstance(operand, int) else 0
    return (stored > number) - (stored < number)


_TARGETS = frozenset(
    {
        ops.COMPARE_VERSION,
        ops.COMPARE_CREATE,
        ops.COMPARE_MOD,
        ops.COMPARE_VALUE,
        ops.COMPARE_LEASE,
    }
)
