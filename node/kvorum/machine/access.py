"""What a command touches: the ranges of keys it must be allowed to read and to write.

Told before anything is decided: of a transaction all compares and both branches count, down to the
innermost, because which branch runs is itself something that a caller could learn (CVE-2026-33343
was a branch that was not looked at). ``prev_kv`` reads. A lease that a key is hung on can kill all
other keys on it, so whoever hangs a key on it must be allowed to write those; whoever revokes it
likewise.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from kvorum import limits
from kvorum.machine.leases import Lease, LeaseTable
from kvorum.machine.operations import (
    Command,
    DeleteRange,
    Operation,
    Put,
    Range,
    Txn,
)
from kvorum.machine.permissions import Coverage


class Need(NamedTuple):
    """A range, as a request spells it, and whether it is written or read."""

    writes: bool
    key: bytes
    range_end: bytes = b""


class LeaseNeed(NamedTuple):
    """All keys on a lease, and whether they are written or read."""

    writes: bool
    lease: Lease


class LeaseVerdicts:
    """How far each user's rights on the keys of leases were looked at, and found to suffice.

    A user who hangs ten thousand keys on one lease would have all of them looked at with each of
    its puts; this leaves the ones that came since. Good for one auth revision.
    """

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen: dict[tuple[str, int, bool], tuple[Lease, int]] = {}

    def clear(self) -> None:
        """Rights have changed."""
        self._seen.clear()

    def suffices(self, coverage: Coverage, user: str, need: LeaseNeed) -> bool:
        """Whether the user's ``coverage``, that of reading or of writing, holds all keys."""
        lease = need.lease
        place = (user, lease.id, need.writes)
        seen = self._seen.get(place)
        # A lease may have ended and another one have its id: then nothing was looked at yet.
        known = seen[1] if seen is not None and seen[0] is lease else 0
        # Keys that came since are the last ones; if some left again, a few are looked at twice.
        fresh = islice(reversed(lease.keys), lease.attachments - known)
        if not all(coverage.covers(key) for key in fresh):
            return False
        if len(self._seen) >= limits.AUTH_LEASE_VERDICTS:
            self._seen.clear()
        self._seen[place] = (lease, lease.attachments)
        return True


def needs_of(command: Command | Range, leases: LeaseTable) -> Iterator[Need | LeaseNeed]:
    """All keys that a command names; nothing for one that names none. (The revocation of a lease
    names a lease: see :func:`lease_needs`.)
    """
    if isinstance(command, Put | DeleteRange | Range | Txn):
        yield from _of_operation(command, leases)


def lease_needs(lease: Lease | None, writes: bool) -> Iterator[LeaseNeed]:
    """The keys on a lease, if there is one and there are any."""
    if lease is not None and lease.keys:
        yield LeaseNeed(writes, lease)


def _of_operation(op: Operation, leases: LeaseTable) -> Iterator[Need | LeaseNeed]:
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


def _of_txn(txn: Txn, leases: LeaseTable) -> Iterator[Need | LeaseNeed]:
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
