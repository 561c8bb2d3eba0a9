"""What a replica has done since its start, counted as etcd counts it for its metrics.

Plain numbers that only ever grow, next to the state and no part of it: a member that restarts
counts from zero. Commands are counted where they are applied, so every member counts every write;
ranges where they are answered.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

from kvorum.machine import commands as c
from kvorum.machine.events import PUT
from kvorum.machine.results import (
    Applied,
    CompactResult,
    DeleteResult,
    HistoricalRange,
    LeaseExpireResult,
    LeaseGrantResult,
    LeaseRevokeResult,
    PutResult,
    RangeResult,
    Refused,
    TxnResult,
)

# Upper bounds of the buckets of granted TTLs in etcd's histogram: 1 s to 97 days.
TTL_BOUNDS_S = tuple(1 << n for n in range(24))


@dataclass(frozen=True, slots=True)
class Totals:
    """A tally at one moment; see :class:`Tally`."""

    puts: int
    put_bytes: int
    deletes: int
    ranges: int
    txns: int
    compactions: int
    leases_granted: int
    leases_renewed: int
    leases_revoked: int
    leases_ended: int
    promotions: int
    reads_late: int
    reads_failed: int
    ttl_counts: tuple[int, ...]
    ttl_sum_s: int


class Tally:
    """Counts of one replica.

    ``puts``, ``deletes`` and ``ranges`` are operations, those within transactions included;
    ``txns`` transactions of more than one operation. ``leases_ended`` were found to be over by this
    node as the leader, ``promotions`` are of learners while it led. ``reads_late`` are rounds of
    ReadIndex that had to be asked again, ``reads_failed`` reads that got no answer in time.
    """

    __slots__ = (
        "compactions",
        "deletes",
        "leases_ended",
        "leases_granted",
        "leases_renewed",
        "leases_revoked",
        "promotions",
        "put_bytes",
        "puts",
        "ranges",
        "reads_failed",
        "reads_late",
        "ttl_counts",
        "ttl_sum_s",
        "txns",
    )

    def __init__(self) -> None:
        self.puts = self.put_bytes = self.deletes = self.ranges = self.txns = 0
        self.compactions = self.promotions = 0
        self.leases_granted = self.leases_renewed = self.leases_revoked = self.leases_ended = 0
        self.reads_late = self.reads_failed = 0
        self.ttl_counts = [0] * (len(TTL_BOUNDS_S) + 1)
        self.ttl_sum_s = 0

    def applied(self, command: c.Command, applied: Applied, leading: bool) -> None:
        """A command took effect, or was refused."""
        result = applied.result
        kind = type(result)
        if kind is PutResult:
            assert isinstance(command, c.Put)
            self.puts += 1
            value = command.value if not command.ignore_value else applied.events[0].record.value
            self.put_bytes += len(command.key) + len(value)
        elif isinstance(result, DeleteResult):
            self.deletes += 1
        elif isinstance(result, TxnResult):
            self._txn(result)
            for event in applied.events:
                if event.kind == PUT:
                    self.puts += 1
                    self.put_bytes += len(event.key) + len(event.record.value)
        elif isinstance(result, LeaseGrantResult):
            self.leases_granted += 1
            self.ttl_counts[bisect_left(TTL_BOUNDS_S, result.ttl_s)] += 1
            self.ttl_sum_s += result.ttl_s
        elif isinstance(result, LeaseRevokeResult):
            self.leases_revoked += 1
            self.deletes += result.deleted
        elif isinstance(result, LeaseExpireResult):
            self.leases_revoked += len(result.revoked)
            self.deletes += result.deleted
        elif kind is CompactResult:
            self.compactions += 1
        elif leading and type(command) is c.MemberPromote and kind is not Refused:
            self.promotions += 1

    def _txn(self, result: TxnResult) -> None:
        self.txns += len(result.responses) > 1
        for response in result.responses:
            if isinstance(response, TxnResult):
                self._txn(response)
            elif isinstance(response, DeleteResult):
                self.deletes += 1
            elif not isinstance(response, PutResult):
                self.ranges += 1

    def answered(self, result: RangeResult | HistoricalRange | TxnResult | Refused) -> None:
        """A read was answered, or handed on to the history."""
        if isinstance(result, TxnResult):
            self._txn(result)
        elif not isinstance(result, Refused):
            self.ranges += 1

    def read(self) -> Totals:
        """The counts now."""
        return Totals(
            puts=self.puts,
            put_bytes=self.put_bytes,
            deletes=self.deletes,
            ranges=self.ranges,
            txns=self.txns,
            compactions=self.compactions,
            leases_granted=self.leases_granted,
            leases_renewed=self.leases_renewed,
            leases_revoked=self.leases_revoked,
            leases_ended=self.leases_ended,
            promotions=self.promotions,
            reads_late=self.reads_late,
            reads_failed=self.reads_failed,
            ttl_counts=tuple(self.ttl_counts),
            ttl_sum_s=self.ttl_sum_s,
        )
