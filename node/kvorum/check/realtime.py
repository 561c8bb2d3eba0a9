"""Real time: what is asked after something was known must not be answered as if it were not.

One sweep over all calls and returns in order of time. Of two operations of which one returned
before the other was called, the other's revision must not be lower, and must be higher if it made
it. That, with the replay in revision order, is linearizability. Serializable reads may be stale,
yet they too prove that their revision is there; and the answers of one member never go back while
it runs.
"""

from __future__ import annotations

from kvorum.check import model
from kvorum.check.evidence import joined
from kvorum.check.records import (
    Compact,
    Delete,
    History,
    Operation,
    Put,
    Range,
    Revoke,
    Txn,
)
from kvorum.check.verdict import Findings

# Faults after which a member starts anew from its disk: what it had applied but not yet written may
# be applied again, so that its serializable answers may go back once.
RESTARTS = (
    "kill",
    "restart",
    "crash",
    "power",
    "replace",
    "remove",
    "corrupt",
    "disk_full",
    "exit",
)
_LINEARIZABLE = (Range, Put, Delete, Txn, Compact, Revoke)


def is_linearizable(operation: Operation) -> bool:
    """Whether an operation's answer must be of the moment."""
    request = operation.request
    if isinstance(request, Range):
        return not request.serializable
    if isinstance(request, Txn) and not model.may_change(request):
        ranges = [op for op in (*request.success, *request.failure) if isinstance(op, Range)]
        return not ranges or not all(op.serializable for op in ranges)
    return isinstance(request, _LINEARIZABLE)


def check_real_time(history: History, findings: Findings) -> None:
    """Hold every answer against what was known when it was asked for."""
    moments: list[tuple[int, int, int, int, Operation | None]] = []
    for place, operation in enumerate(history.operations):
        if operation.answer is not None and operation.revision > 0:
            moments.append((operation.called, 0, place, operation.revision, operation))
            moments.append((operation.returned, 1, place, operation.revision, operation))
    for seen, events in joined(history.seen):
        newest = max((event.kv.mod for event in events), default=0)
        if newest:
            moments.append((seen.at, 1, -1 - seen.watch, newest, None))
    moments.sort(key=lambda moment: moment[:3])
    newest, source = 0, 0
    for _, returns, place, revision, asked in moments:
        if returns:
            if revision > newest:
                newest, source = revision, place
            continue
        assert asked is not None
        made = bool(model.changes(asked.answer, asked.request))
        late = revision < newest or (made and revision == newest)
        if late and is_linearizable(asked):
            _stale(history, findings, asked, source, newest, made)


def _stale(
    history: History, findings: Findings, late: Operation, source: int, newest: int, made: bool
) -> None:
    """Name the pair: the last operation before it that proves it wrong, or a watch."""
    rule = "write_order" if made else "stale_read"
    proofs = [
        (op.returned, op.revision, op.id)
        for op in (history.operations if findings.has_room(rule) else ())
        if op.answer is not None
        and op.returned < late.called
        and op.revision > late.revision - made
        and op.id != late.id
    ]
    known = f"watch {-1 - source}"
    operations: tuple[int, ...] = (late.id,)
    watches: tuple[int, ...] = (-1 - source,)
    if proofs:
        _, newest, proof = max(proofs)
        known, operations, watches = f"operation {proof}", (proof, late.id), ()
    verb = "made" if made else "was answered at"
    findings.add(
        rule,
        f"operation {late.id} ({late.request}) {verb} revision {late.revision}, though {known} had "
        f"known of revision {newest} before it was called",
        operations,
        watches,
        (late.revision, newest),
    )


def check_members(history: History, findings: Findings) -> None:
    """The revisions that one member answers never go back between its starts, its terms never."""
    restarts: dict[str, list[int]] = {}
    for fault in history.faults:
        if fault.kind.startswith(RESTARTS):
            for member in fault.target.split(",") if fault.target else history.run.members:
                restarts.setdefault(member.strip(), []).append(fault.at)
    by_member: dict[str, list[tuple[int, int, int, Operation]]] = {}
    for place, op in enumerate(history.operations):
        if op.answer is not None and op.member and op.revision > 0:
            moments = by_member.setdefault(op.member, [])
            moments.append((op.called, 0, place, op))
            moments.append((op.returned, 1, place, op))
    for member in sorted(by_member):
        starts = sorted(restarts.get(member, []))
        _one_member(member, by_member[member], starts, findings)


def _one_member(
    member: str,
    moments: list[tuple[int, int, int, Operation]],
    starts: list[int],
    findings: Findings,
) -> None:
    newest: Operation | None = None
    term: Operation | None = None
    begun: dict[int, tuple[Operation | None, Operation | None, int]] = {}
    boot = 0
    for at, returns, place, op in sorted(moments, key=lambda moment: moment[:3]):
        while boot < len(starts) and starts[boot] <= at:
            boot, newest = boot + 1, None
        if not returns:
            begun[place] = (newest, term, boot)
            continue
        before, term_before, boot_before = begun.pop(place)
        if before is not None and boot_before == boot and op.revision < before.revision:
            findings.add(
                "member_went_back",
                f"{member} answered operation {op.id} at revision {op.revision}, after it had "
                f"answered operation {before.id} at {before.revision}",
                (before.id, op.id),
                revisions=(op.revision, before.revision),
            )
        if term_before is not None and 0 < op.term < term_before.term:
            findings.add(
                "term_went_back",
                f"{member} answered operation {op.id} in term {op.term}, after it had answered "
                f"operation {term_before.id} in term {term_before.term}",
                (term_before.id, op.id),
            )
        if newest is None or op.revision > newest.revision:
            newest = op
        if term is None or op.term > term.term:
            term = op


def check_digests(history: History, findings: Findings) -> None:
    """Members that hash the same revisions must come to the same hash."""
    known: dict[tuple[int, int], tuple[str, int]] = {}
    for digest in history.digests:
        at = (digest.revision, digest.compact_revision)
        member, value = known.setdefault(at, (digest.member, digest.value))
        if value != digest.value:
            findings.add(
                "members_differ",
                f"{member} and {digest.member} have different digests of revision "
                f"{digest.revision}: {value:x} and {digest.value:x}",
                revisions=(digest.revision,),
            )


def check_compactions(history: History, findings: Findings) -> None:
    """Below a compaction nothing is read any more, at and above it everything is."""
    done = sorted(
        (op.returned, op.request.revision, op.id)
        for op in history.operations
        if isinstance(op.request, Compact) and op.answer is not None
    )
    asked = [
        (op.called, op.request.revision)
        for op in history.operations
        if isinstance(op.request, Compact) and not op.refused
    ]
    for op in history.operations:
        request = op.request
        if not isinstance(request, Range) or request.revision <= 0 or op.unknown:
            continue
        if op.error == "COMPACTED":
            if not any(at <= op.returned and request.revision < r for at, r in asked):
                text = f"operation {op.id} was told that {request.revision} is compacted, though "
                findings.add("wrong_compaction", f"{text}nobody had asked for that", (op.id,))
        elif op.error == "FUTURE_REVISION":
            continue
        elif op.answer is not None and not request.serializable:
            for at, revision, by in done:
                if at < op.called and request.revision < revision:
                    findings.add(
                        "wrong_compaction",
                        f"operation {op.id} read revision {request.revision}, though operation "
                        f"{by} had compacted to {revision}",
                        (by, op.id),
                    )
                    break
