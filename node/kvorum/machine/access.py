"""What a command touches: the ranges of keys it must be allowed to read and to write.

Told before anything is decided: of a transaction all compares and both branches count, down to the
innermost, because which branch runs is itself something that a caller could learn (CVE-2026-33343
was a branch that was not looked at). ``prev_kv`` reads. A lease that a key is hung on can kill all
other keys on it, so whoever hangs a key on it must be allowed to write those; whoever revokes it
likewise.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from kvorum.machine.leases import Lease, LeaseTable
from kvorum.machine.operations import (
    Command,
    DeleteRange,
    LeaseRevoke,
    Operation,
    Put,
    Range,
    Txn,
)


class Need(NamedTuple):
    """A range, as a request spells it, and whether it is written or read."""

    writes: bool
    key: bytes
    range_end: bytes = b""


def needs_of(command: Command | Range, leases: LeaseTable) -> Iterator[Need]:
    """All that a command touches; nothing for one that touches no keys."""
    if isinstance(command, Put | DeleteRange | Range | Txn):
        yield from _of_operation(command, leases)
    elif isinstance(command, LeaseRevoke):
        yield from lease_needs(leases.get(command.id), writes=True)


def lease_needs(lease: Lease | None, writes: bool) -> Iterator[Need]:
    """The keys on a lease, if there is one."""
    if lease is not None:
        for key in lease.keys:
            yield Need(writes, key)


def _of_operation(op: Operation, leases: LeaseTable) -> Iterator[Need]:
    if isinstance(op, Put):
        yield Need(True, op.key)
        if op.prev_kv:
            yield Need(False, op.key)
        if op.lease:
            yield from lease_needs(leases.get(op.lease), writes=True)
    elif isinstance(op, DeleteRange):
        yield Need(True, op.key, op.range_end)
        if op.prev_kv:
            yield Need(False, op.key, op.range_end)
    elif isinstance(op, Range):
        yield Need(False, op.key, op.range_end)
    else:
        yield from _of_txn(op, leases)


def _of_txn(txn: Txn, leases: LeaseTable) -> Iterator[Need]:
    """A stack and not recursion: nested generators would hand every need through all levels."""
    waiting: list[Iterable[Operation | None]] = [(txn,)]
    while waiting:
        for op in waiting.pop():
            if isinstance(op, Txn):
                for compare in op.compare:
                    yield Need(False, compare.key, compare.range_end)
                waiting += (op.success, op.failure)
            elif op is not None:
                yield from _of_operation(op, leases)
