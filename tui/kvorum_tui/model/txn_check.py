"""What a server would refuse in a transaction, found before it is sent: too many operations, keys
that are missing, and a key that is written twice (contract page "semantics", section 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from kvorum.client.ops import Delete, Get, Op, Put, Txn
from kvorum.client.types import key_range, to_bytes

from kvorum_tui.model.decode import printable

MAX_OPS = 128  # etcd's --max-txn-ops where nobody has changed it; kvorum has the same.


@dataclass
class _Writes:
    """What the branches gone through write."""

    puts: set[bytes] = field(default_factory=set)
    deleted: list[tuple[bytes, bytes]] = field(default_factory=list)

    def deletes(self, key: bytes) -> bool:
        return any(_within(key, start, end) for start, end in self.deleted)


def problems(txn: Txn, max_ops: int = MAX_OPS) -> list[str]:
    """Why a server would refuse it; empty when it would not."""
    found: list[str] = []
    _check_counts(txn, max_ops, found)
    _check_keys(txn, found)
    for branch in (txn.then, txn.else_):
        _check_writes(branch, found)
    if not txn.then and not txn.else_:
        found.append("it does nothing: there is no operation")
    return list(dict.fromkeys(found))


def writes(txn: Txn) -> bool:
    """Whether it could change anything."""
    return any(
        isinstance(op, (Put, Delete)) or (isinstance(op, Txn) and writes(op))
        for op in (*txn.then, *txn.else_)
    )


def _check_counts(txn: Txn, left: int, found: list[str]) -> None:
    parts = (("conditions", txn.compares), ("Then", txn.then), ("Else", txn.else_))
    for name, items in parts:
        if len(items) > left:
            found.append(f"{name}: {len(items)} are more than the {left} that a server takes")
    left -= max(len(items) for _, items in parts)
    for op in (*txn.then, *txn.else_):
        if isinstance(op, Txn):
            _check_counts(op, left, found)


def _check_keys(txn: Txn, found: list[str]) -> None:
    if any(not compare.key for compare in txn.compares):
        found.append("a condition has no key")
    for op in (*txn.then, *txn.else_):
        if isinstance(op, Txn):
            _check_keys(op, found)
        elif not to_bytes(op.key) and not (isinstance(op, (Get, Delete)) and _whole(op)):
            found.append("an operation has no key")
        if isinstance(op, Put) and op.ignore_value and to_bytes(op.value):
            found.append(f"{_named(op.key)}: keeps its value and has one")
        if isinstance(op, Put) and op.ignore_lease and op.lease:
            found.append(f"{_named(op.key)}: keeps its lease and has one")


def _whole(op: Get | Delete) -> bool:
    return op.prefix or op.from_key


def _check_writes(branch: Sequence[Op], found: list[str]) -> _Writes:
    """What a branch writes; a key that is put twice, or put and deleted, is told."""
    seen = _Writes()
    for op in branch:
        if isinstance(op, Delete):
            seen.deleted.append(
                key_range(op.key, op.range_end, prefix=op.prefix, from_key=op.from_key)
            )
    for op in branch:
        if not isinstance(op, Txn):
            continue
        # Only one of the two branches runs, so they may write the same.
        both = [_check_writes(part, found) for part in (op.then, op.else_)]
        for key in sorted(both[0].puts | both[1].puts):
            _put(key, seen, found)
        for part in both:
            for start, end in part.deleted:
                twice = [key for key in sorted(seen.puts) if _within(key, start, end)]
                found += [_twice(key) for key in twice if key not in part.puts | both[0].puts]
        for part in both:
            seen.deleted += part.deleted
    for op in branch:
        if isinstance(op, Put):
            _put(to_bytes(op.key), seen, found)
    return seen


def _put(key: bytes, seen: _Writes, found: list[str]) -> None:
    if key in seen.puts or seen.deletes(key):
        found.append(_twice(key))
    seen.puts.add(key)


def _twice(key: bytes) -> str:
    return f"{printable(key)} is written twice in one branch"


def _named(key: bytes | str) -> str:
    return printable(to_bytes(key))


def _within(key: bytes, start: bytes, end: bytes) -> bool:
    """etcd's ranges: no end is one key, an end of one zero byte is everything behind the start."""
    if not end:
        return key == start
    return key >= start and (end == b"\0" or key < end)
