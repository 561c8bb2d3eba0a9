"""What is refused before a command is proposed, in etcd's order (contract page "semantics", section
4).

These checks look at the request alone. What depends on the state (leases, revisions, alarms,
members) is checked where it is decided: at apply, by every member alike.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import NamedTuple
from urllib.parse import urlsplit

from kvorum import limits
from kvorum.errors import Condition
from kvorum.machine.auth_ops import RoleGrantPermission
from kvorum.machine.operations import (
    Command,
    DeleteRange,
    MemberAdd,
    MemberPromote,
    MemberRemove,
    MemberUpdate,
    Operation,
    Put,
    Range,
    Txn,
)

_FROM_KEY = b"\0"


class CommandLimits(NamedTuple):
    """The proposer's settings that a command is held against."""

    max_txn_ops: int = limits.MAX_TXN_OPS


def validate(command: Command | Range, bounds: CommandLimits | None = None) -> Condition | None:
    """The condition that refuses ``command``, or None when it may be proposed (or, for a read,
    answered).
    """
    bounds = bounds or CommandLimits()
    if isinstance(command, Put):
        return _check_put(command)
    if isinstance(command, Range):
        return _check_range(command)
    if isinstance(command, DeleteRange):
        return None if command.key else Condition.KEY_NOT_PROVIDED
    if isinstance(command, Txn):
        return _check_whole_txn(command, bounds.max_txn_ops)
    if isinstance(command, MemberAdd | MemberUpdate) and not normal_urls(command.peer_urls):
        return Condition.MEMBER_BAD_URLS
    if isinstance(command, MemberRemove | MemberUpdate | MemberPromote) and not command.id:
        # Nobody has it, and raft has no configuration with it.
        return Condition.MEMBER_NOT_FOUND
    if isinstance(command, RoleGrantPermission) and command.permission is None:
        return Condition.PERMISSION_NOT_GIVEN
    return None


def normal_urls(urls: tuple[str, ...]) -> tuple[str, ...]:
    """Peer URLs, sorted, or () when there are none or one of them is not etcd's form of a peer URL.

    The form: ``http`` or ``https`` with host and port and no path, or ``unix`` or ``unixs`` with a
    path.
    """
    for url in urls:
        try:
            parts = urlsplit(url)
            if parts.scheme in ("unix", "unixs"):
                if not parts.netloc and not parts.path:
                    return ()
                continue
            port = parts.port
        except ValueError:
            return ()
        if parts.scheme not in ("http", "https") or port is None or not parts.hostname:
            return ()
        if parts.path or parts.query or parts.fragment or parts.username is not None:
            return ()
    return tuple(sorted(urls))


def _check_put(put: Put) -> Condition | None:
    if not put.key:
        return Condition.KEY_NOT_PROVIDED
    if put.ignore_value and put.value:
        return Condition.VALUE_PROVIDED
    if put.ignore_lease and put.lease:
        return Condition.LEASE_PROVIDED
    return None


def _check_range(query: Range) -> Condition | None:
    if not query.key:
        return Condition.KEY_NOT_PROVIDED
    if not 0 <= query.sort_order <= 2 or not 0 <= query.sort_target <= 4:
        return Condition.INVALID_SORT_OPTION
    return None


def _check_whole_txn(txn: Txn, max_txn_ops: int) -> Condition | None:
    refused = _check_txn(txn, max_txn_ops, 1)
    if refused is not None:
        return refused
    if _operations(txn) > limits.MAX_TXN_TOTAL_OPS:
        return Condition.TOO_MANY_OPS
    return Condition.DUPLICATE_KEY if _conflicts(txn) else None


def _operations(txn: Txn) -> int:
    """Operations on all levels, both branches."""
    nested = (op for op in (*txn.success, *txn.failure) if isinstance(op, Txn))
    return len(txn.success) + len(txn.failure) + sum(map(_operations, nested))


def _check_txn(txn: Txn, allowance: int, depth: int) -> Condition | None:
    """A nested transaction may use what its parent's own level left over."""
    size = max(len(txn.compare), len(txn.success), len(txn.failure))
    if size > allowance or depth > limits.MAX_TXN_DEPTH:
        return Condition.TOO_MANY_OPS
    if not all(compare.key for compare in txn.compare):
        return Condition.KEY_NOT_PROVIDED
    for op in (*txn.success, *txn.failure):
        refused = _check_operation(op, allowance - size, depth)
        if refused is not None:
            return refused
    return None


def _check_operation(op: Operation | None, allowance: int, depth: int) -> Condition | None:
    if op is None:
        return Condition.KEY_NOT_FOUND
    if isinstance(op, Range):
        return _check_range(op)
    if isinstance(op, Put):
        return _check_put(op)
    if isinstance(op, DeleteRange):
        return None if op.key else Condition.KEY_NOT_PROVIDED
    return _check_txn(op, allowance, depth + 1)


# --- keys that one branch may change only once ----------------------------------------------------


class _Footprint:
    """Keys put and ranges deleted by a part of a branch.

    ``starts`` and ``ends`` are disjoint half-open intervals in order; an end of None is the end of
    all keys.
    """

    __slots__ = ("_sorted", "ends", "puts", "starts")

    def __init__(self) -> None:
        self.puts: set[bytes] = set()
        self._sorted: list[bytes] = []
        self.starts: list[bytes] = []
        self.ends: list[bytes | None] = []

    def put(self, key: bytes) -> bool:
        """Note a put; False when the key was put or deleted already."""
        if key in self.puts or self.deletes(key):
            return False
        self.puts.add(key)
        return True

    def deletes(self, key: bytes) -> bool:
        at = bisect_right(self.starts, key) - 1
        if at < 0:
            return False
        end = self.ends[at]
        return end is None or key < end

    def delete(self, op: DeleteRange) -> None:
        if not op.range_end:
            self._insert(op.key, op.key + b"\0")
        elif op.range_end == _FROM_KEY:
            self._insert(op.key, None)
        elif op.key < op.range_end:
            self._insert(op.key, op.range_end)

    def _insert(self, start: bytes, end: bytes | None) -> None:
        """Merge one interval in: replace all it touches by their union."""
        low = bisect_left(self.starts, start)
        if low:
            before = self.ends[low - 1]
            if before is None or before >= start:
                low -= 1
                start = self.starts[low]
        high = len(self.starts) if end is None else bisect_right(self.starts, end)
        if high > low:
            last = self.ends[high - 1]
            end = None if last is None or end is None else max(last, end)
        self.starts[low:high] = [start]
        self.ends[low:high] = [end]

    def clashes(self, other: _Footprint) -> bool:
        """Whether running both would change a key twice (two deletes of one key are one change)."""
        if not self.puts.isdisjoint(other.puts):
            return True
        return self._covers_put_of(other) or other._covers_put_of(self)

    def _covers_put_of(self, other: _Footprint) -> bool:
        if not self.starts or not other.puts:
            return False
        puts = other.sorted_puts()
        for start, end in zip(self.starts, self.ends, strict=True):
            at = bisect_left(puts, start)
            if at < len(puts) and (end is None or puts[at] < end):
                return True
        return False

    def sorted_puts(self) -> list[bytes]:
        """The puts in key order; sorted again only after the set has grown."""
        if len(self._sorted) != len(self.puts):
            self._sorted = sorted(self.puts)
        return self._sorted

    def add(self, other: _Footprint) -> None:
        """Take the other's footprint over; it must not be used afterwards."""
        small, large = sorted((self.puts, other.puts), key=len)
        large |= small
        self.puts = large
        for start, end in zip(other.starts, other.ends, strict=True):
            self._insert(start, end)


def _conflicts(txn: Txn) -> bool:
    return _branch_footprint(txn.success) is None or _branch_footprint(txn.failure) is None


def _branch_footprint(branch: tuple[Operation | None, ...]) -> _Footprint | None:
    """What a branch may change, or None when some key could be changed twice by one run of it.

    Its own operations are one part, each nested transaction another; the two branches of a nested
    transaction exclude one another, so they are both added but not held against each other.
    """
    whole = _Footprint()
    for op in branch:
        if isinstance(op, DeleteRange):
            whole.delete(op)
    for op in branch:
        if isinstance(op, Put) and not whole.put(op.key):
            return None
    for op in branch:
        if not isinstance(op, Txn):
            continue
        then, other = _branch_footprint(op.success), _branch_footprint(op.failure)
        if then is None or other is None or whole.clashes(then) or whole.clashes(other):
            return None
        whole.add(then)
        whole.add(other)
    return whole
