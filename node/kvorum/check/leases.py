"""Leases and locks: nothing ends before its time, everything ends in one revision, nobody holds
what another one holds.

A lease that was renewed by a call at time t lives at least until t plus its TTL, by the fastest
clock a member had, whatever happens to leaders meanwhile. Whoever sees it gone earlier, and nobody
having revoked it, has seen a broken promise. That it goes *late* is only held against a cluster in
which nothing is broken, and only when the run says how much later is too late.

Locks are judged by their fence, the create revision of the holder's key: two holders never share
one, a later asker never has an older one, and a second holder may begin only when the first one's
lease can have ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from kvorum.check.evidence import Evidence
from kvorum.check.model import Store
from kvorum.check.order import Cause
from kvorum.check.realtime import is_linearizable
from kvorum.check.records import (
    DELETE,
    NEVER,
    Grant,
    History,
    Hold,
    LeaseAnswer,
    Operation,
    Put,
    RangeAnswer,
    Renew,
    Revoke,
    TimeLeft,
)
from kvorum.check.verdict import Findings

_S = 1_000_000_000
_MS = 1_000_000


@dataclass
class _Lease:
    """What is known of one lease."""

    id: int
    ttl_s: int = 0
    # (called, returned, operation) of its grant and of every renewal that was answered.
    lives: list[tuple[int, int, int]] = field(default_factory=list)
    revoked_from: int = 1 << 62  # The first call of a revocation.
    # (moment, operation or -1, revision or 0, what) at which it was surely gone.
    gone: list[tuple[int, int, int, str]] = field(default_factory=list)


def check_leases(
    history: History,
    evidence: Evidence,
    store: Store,
    causes: dict[int, Cause],
    findings: Findings,
) -> int:
    """Judge every lease; returns how many there were."""
    leases = _gather(history)
    _deaths(leases, evidence, store, causes, findings)
    rate = max(history.run.clock_rate_percent, 100)
    for number in sorted(leases):
        lease = leases[number]
        _early(lease, rate, findings)
        _back(lease, findings)
    _times_left(history, leases, rate, findings)
    if history.run.expiry_slack_ms:
        _late(history, leases, findings)
    return len(leases)


def _gather(history: History) -> dict[int, _Lease]:
    leases: dict[int, _Lease] = {}
    for op in history.operations:
        request, answer = op.request, op.answer
        if isinstance(request, Grant) and isinstance(answer, LeaseAnswer):
            lease = leases.setdefault(answer.lease, _Lease(answer.lease))
            lease.ttl_s = answer.ttl_s
            lease.lives.append((op.called, op.returned, op.id))
        elif isinstance(request, Revoke) and not op.refused and request.lease in leases:
            lease = leases[request.lease]
            lease.revoked_from = min(lease.revoked_from, op.called)
        elif isinstance(request, Renew | TimeLeft) and isinstance(answer, LeaseAnswer):
            _asked(leases.setdefault(request.lease, _Lease(request.lease)), op, answer)
        elif isinstance(request, Put) and op.error == "LEASE_NOT_FOUND":
            lease = leases.setdefault(request.lease, _Lease(request.lease))
            lease.gone.append((op.returned, op.id, 0, "a put was told that there is no lease"))
    for expiry in history.expiries:
        if expiry.lease in leases:
            who = expiry.member or "a member"
            leases[expiry.lease].gone.append((expiry.at, -1, 0, f"{who} ended it"))
    return leases


def _asked(lease: _Lease, op: Operation, answer: LeaseAnswer) -> None:
    renewal = isinstance(op.request, Renew)
    if answer.ttl_s > 0 and renewal:
        lease.lives.append((op.called, op.returned, op.id))
        lease.ttl_s = lease.ttl_s or answer.ttl_s
    elif (renewal and answer.ttl_s <= 0) or answer.ttl_s < 0:
        lease.gone.append((op.returned, op.id, 0, "it was answered as gone"))


def _deaths(
    leases: dict[int, _Lease],
    evidence: Evidence,
    store: Store,
    causes: dict[int, Cause],
    findings: Findings,
) -> None:
    """Revisions in which a lease's keys died by themselves; they must all have died together."""
    for revision in sorted(store.events):
        cause = causes.get(revision, Cause())
        if cause.operation >= 0:
            continue
        events = store.events[revision]
        owners = {event.prev.lease for event in events if event.kind == DELETE and event.prev}
        for number in sorted(owners - {0}):
            lease = leases.setdefault(number, _Lease(number))
            known, who = evidence.known_by(revision)
            if who and cause.lease:
                lease.gone.append((known, -1, revision, f"{who} knew of revision {revision}"))
            left = [k for k in store.select(b"\0", b"\0") if _leased(store, k, revision, number)]
            if left and not cause.lease:
                findings.add(
                    "lease_keys",
                    f"keys of lease {number:x} died as revision {revision}, but {left[0]!r} of the "
                    f"same lease lived on",
                    revisions=(revision,),
                )


def _leased(store: Store, key: bytes, revision: int, lease: int) -> bool:
    kv = store.at(key, revision)
    return kv is not None and kv.lease == lease


def _early(lease: _Lease, rate: int, findings: Findings) -> None:
    """Nobody may have seen it gone before the time it was promised."""
    for at, op, revision, what in lease.gone:
        if at >= lease.revoked_from:
            continue
        for called, _, renewed_by in lease.lives:
            promised = called + lease.ttl_s * _S * 100 // rate
            if called <= at < promised:
                findings.add(
                    "lease_early",
                    f"lease {lease.id:x} of {lease.ttl_s} s was gone {(promised - at) / _S:.3f} s "
                    f"before its time: operation {renewed_by} had renewed it, and {what}",
                    (renewed_by, op) if op >= 0 else (renewed_by,),
                    revisions=(revision,) if revision else (),
                )
                return


def _back(lease: _Lease, findings: Findings) -> None:
    """What is gone is not renewed."""
    if not lease.gone:
        return
    at, op, revision, what = min(lease.gone)
    for called, _, renewed_by in lease.lives:
        if called > at:
            findings.add(
                "lease_back",
                f"operation {renewed_by} renewed lease {lease.id:x} after it was gone ({what})",
                (op, renewed_by) if op >= 0 else (renewed_by,),
                revisions=(revision,) if revision else (),
            )
            return


def _times_left(history: History, leases: dict[int, _Lease], rate: int, findings: Findings) -> None:
    for op in history.operations:
        if not isinstance(op.request, Renew | TimeLeft) or not isinstance(op.answer, LeaseAnswer):
            continue
        lease = leases[op.request.lease]
        ttl_s = op.answer.ttl_s
        if not lease.ttl_s or ttl_s <= 0:
            continue
        if isinstance(op.request, Renew):
            if ttl_s != lease.ttl_s:
                text = f"a renewal of lease {lease.id:x} was answered {ttl_s} s, not {lease.ttl_s}"
                findings.add("lease_ttl", f"operation {op.id}: {text}", (op.id,))
            continue
        if op.answer.granted_s != lease.ttl_s:
            text = f"lease {lease.id:x} was granted {lease.ttl_s} s, not {op.answer.granted_s}"
            findings.add("lease_ttl", f"operation {op.id}: {text}", (op.id,))
        sure = max((c for c, returned, _ in lease.lives if returned <= op.called), default=None)
        if sure is not None:
            least = lease.ttl_s - -(-(op.returned - sure) * rate // (100 * _S))
            if ttl_s < least:
                text = f"lease {lease.id:x} had {ttl_s} s left; it must have been {least} at least"
                findings.add("lease_ttl", f"operation {op.id}: {text}", (op.id,))


def _late(history: History, leases: dict[int, _Lease], findings: Findings) -> None:
    """Keys of a lease that are read long after its end, with nothing broken meanwhile."""
    slack = history.run.expiry_slack_ms * _MS
    for op in history.operations:
        if not isinstance(op.answer, RangeAnswer) or not is_linearizable(op):
            continue
        if getattr(op.request, "revision", 0):
            continue
        for kv in op.answer.kvs:
            lease = leases.get(kv.lease)
            if lease is None or not lease.lives or not lease.ttl_s:
                continue
            tries = _renewals(history, lease.id)
            since = max([*tries, *(returned for _, returned, _ in lease.lives)])
            since = max(
                [since, *(_over(f.at, f.until) for f in history.faults if f.at < op.called)]
            )
            if op.called > since + lease.ttl_s * _S + slack:
                findings.add(
                    "lease_late",
                    f"operation {op.id} read {kv.key!r} {(op.called - since) / _S:.1f} s after its "
                    f"lease {lease.id:x} of {lease.ttl_s} s was renewed, and nothing was broken",
                    (op.id,),
                )


def _renewals(history: History, lease: int) -> Iterator[int]:
    """When renewals of unknown fate can have happened last."""
    for op in history.operations:
        if isinstance(op.request, Renew) and op.request.lease == lease and op.unknown:
            yield max(op.called, op.returned) + 10 * _S


def _over(at: int, until: int) -> int:
    return 1 << 62 if until == NEVER else max(at, until)


def check_locks(history: History, findings: Findings) -> None:
    """Judge every lock by its fences."""
    leases = _gather(history)
    rate = max(history.run.clock_rate_percent, 100)
    by_lock: dict[bytes, list[Hold]] = {}
    for hold in history.holds:
        by_lock.setdefault(hold.lock, []).append(hold)
    for lock in sorted(by_lock):
        holds = sorted(by_lock[lock], key=lambda hold: (hold.revision, hold.since))
        for one, other in pairwise(holds):
            _two_holds(one, other, leases, rate, findings)
        _fence_order(lock, holds, findings)


def _two_holds(
    one: Hold, other: Hold, leases: dict[int, _Lease], rate: int, findings: Findings
) -> None:
    """Two holders that follow one another by their fences."""
    name = one.lock.decode(errors="replace")
    if one.revision == other.revision:
        text = f"clients {one.client} and {other.client} hold lock {name} by one fence"
        findings.add("lock_fence", f"{text}, {one.revision}", revisions=(one.revision,))
        return
    if one.until != NEVER and other.since >= one.until:
        return
    lease = leases.get(one.lease)
    if lease is None or not lease.ttl_s or other.since >= lease.revoked_from:
        return
    alive = [
        (called, op)
        for called, returned, op in lease.lives
        if returned <= other.since < called + lease.ttl_s * _S * 100 // rate
    ]
    if alive:
        findings.add(
            "lock_shared",
            f"client {other.client} got lock {name} by fence {other.revision} while client "
            f"{one.client} held it by {one.revision} under lease {one.lease:x}, renewed by "
            f"operation {alive[-1][1]}",
            (alive[-1][1],),
            revisions=(one.revision, other.revision),
        )


def _fence_order(lock: bytes, holds: list[Hold], findings: Findings) -> None:
    """Who asked after another one held the lock has the higher fence."""
    newest: Hold | None = None
    name = lock.decode(errors="replace")
    by_time = [(hold.since, 1, hold) for hold in holds] + [(hold.asked, 0, hold) for hold in holds]
    for _, got, hold in sorted(by_time, key=lambda moment: (moment[0], moment[1], moment[2])):
        if got:
            newest = hold if newest is None or hold.revision > newest.revision else newest
        elif newest is not None and hold.revision < newest.revision:
            findings.add(
                "lock_fence",
                f"client {hold.client} asked for lock {name} after client {newest.client} held it "
                f"by fence {newest.revision}, and got {hold.revision}",
                revisions=(hold.revision, newest.revision),
            )
