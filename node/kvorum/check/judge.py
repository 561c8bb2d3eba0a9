"""The judge: everything that can be said about a history, in one verdict."""

from __future__ import annotations

from collections.abc import Callable

from kvorum.check.evidence import Evidence
from kvorum.check.leases import check_leases, check_locks
from kvorum.check.order import Replay
from kvorum.check.realtime import (
    check_compactions,
    check_digests,
    check_members,
    check_real_time,
)
from kvorum.check.records import History
from kvorum.check.verdict import Figures, Finding, Findings, Verdict
from kvorum.check.watches import NINE, Truth, check_watches

FINDINGS_PER_RULE = 20
_STRIDE = 512

# What can be found, the gravest first, and the promise that it breaks.
RULES: dict[str, str] = {
    "lost_write": "An acknowledged write is in the applied order.",
    "stale_read": "A linearizable read sees everything that was known before it was asked for.",
    "write_order": "A write comes after everything that was known before it was asked for.",
    "revision_shared": "No two writes make one revision.",
    "revision_missing": "Every revision that somebody knows of was made by somebody.",
    "unexplained": "Every revision is the work of a recorded operation or of a lease's end, once.",
    "wrong_answer": "A write is answered what it did.",
    "wrong_read": "A read is answered the state at its revision.",
    "members_differ": "Members that applied as much are equal.",
    "member_went_back": "A member's answers do not go back in revision while it runs.",
    "term_went_back": "A member's answers never go back in term.",
    "wrong_compaction": "What is compacted is refused, and nothing else.",
    **{f"watch_{name}": "The nine promises of a watch: " + name + "." for name in NINE},
    "watch_ahead": "A watcher is told nothing before it was asked for.",
    "watch_closed": "A watcher is told nothing before its creation or after its end.",
    "watch_compacted": "A watcher is only canceled for a compaction that is in its way.",
    "lease_early": "A lease does not end before its time.",
    "lease_back": "A lease that has ended stays so.",
    "lease_ttl": "A lease's times are told as they are.",
    "lease_keys": "A lease's keys die in one revision.",
    "lease_late": "In a healthy cluster a lease ends soon after its time.",
    "lock_fence": "Locks have fences that rise and are never shared.",
    "lock_shared": "A lock has one holder while his lease surely lives.",
    "undecided": "The history tells enough to be judged.",
}

_WEIGHT = {rule: place for place, rule in enumerate(RULES)}

Progress = Callable[[str, int, int], None]


def _silent(stage: str, done: int, total: int) -> None:
    """Progress that nobody looks at."""


def judge(history: History, progress: Progress = _silent) -> Verdict:
    """Everything that was promised, held against a history.

    Args:
        history: what was recorded. progress: called now and then with a stage's name, how far it
        is and how far it goes.
    """
    findings = Findings(FINDINGS_PER_RULE)
    evidence = Evidence(history, findings)
    replay = Replay(history, evidence, findings)
    for revision in replay.run():
        if not revision % _STRIDE:
            progress("revisions", revision, evidence.top)
    _beyond_dumps(evidence, findings)
    progress("real time", 0, 1)
    check_real_time(history, findings)
    check_members(history, findings)
    check_digests(history, findings)
    check_compactions(history, findings)
    progress("watches", 0, 1)
    truth = Truth.of(history, replay.store, replay.causes)
    events = check_watches(history, truth, findings)
    progress("leases", 0, 1)
    leases = check_leases(history, evidence, replay.store, replay.causes, findings)
    check_locks(history, findings)
    return Verdict(
        tuple(sorted(findings.found, key=_first)),
        _figures(history, evidence, replay, events, leases),
        replay.placed,
        findings.more,
    )


def _first(finding: Finding) -> tuple[int, int]:
    """The gravest rules come first, and of one rule the lowest revisions."""
    return (_WEIGHT[finding.rule], min(finding.revisions, default=1 << 62))


def _beyond_dumps(evidence: Evidence, findings: Findings) -> None:
    """Dumps are taken after the last operation: what is beyond them is lost."""
    for revision in sorted(evidence.writers):
        if 0 < evidence.last_dumped < revision:
            writer = evidence.writers[revision]
            findings.add(
                "lost_write",
                f"operation {writer.id} ({writer.request}) was acknowledged as revision {revision},"
                f" but the members end at {evidence.last_dumped}",
                (writer.id,),
                revisions=(revision,),
            )


def _figures(
    history: History, evidence: Evidence, replay: Replay, events: int, leases: int
) -> Figures:
    operations = history.operations
    readers = evidence.readers.values()
    return Figures(
        operations=len(operations),
        acknowledged=sum(op.acknowledged for op in operations),
        refused=sum(op.refused for op in operations),
        unknown=sum(op.unknown for op in operations),
        placed=len(replay.placed),
        reads=sum(map(len, readers)),
        revisions=len(replay.store.events),
        watches=len(history.watches),
        events=events,
        leases=leases,
        holds=len(history.holds),
        faults=len(history.faults),
        beyond_judgement=replay.beyond,
    )
