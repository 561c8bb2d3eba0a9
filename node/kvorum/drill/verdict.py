"""The verdict: figures out of a recording and what the runner saw, and whether they will do.

Safety comes first and cannot be negotiated: it is :mod:`kvorum.check` that judges the recording.
Then come the scenario's own expectations.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from kvorum.check import records as r
from kvorum.drill.facts import Facts
from kvorum.drill.judging import Violation
from kvorum.drill.recorder import NS, acknowledged_writes
from kvorum.drill.scenario import Expect, Scenario

FORMAT = 1
_SHOWN = 5  # Violations told in full; all of them are counted.


@dataclass(frozen=True)
class Figures:
    """What was measured. Times in seconds; None: there was nothing to measure.

    ``write_stall_s``: the longest time without an acknowledged write, from the clients' beginning
    until writes flow after the last fault; ``read_stall_s`` the same of linearizable reads.
    ``new_leader_s``: the longest of ``new_leaders_s``, which has, for each step that took the
    leader away, the time until another led, None where none ever did. ``write_p50_ms``,
    ``write_p99_ms``: how long acknowledged writes took. ``stale_reads`` to ``other_violations``:
    what the checkers found.
    """

    length_s: float
    operations: int
    acknowledged: int
    failed: int
    unknown: int
    writes: int
    writes_per_s: float
    write_p50_ms: float | None
    write_p99_ms: float | None
    write_stall_s: float | None
    read_stall_s: float | None
    new_leader_s: float | None
    new_leaders_s: tuple[float | None, ...]
    leader_changes: int
    terms: int
    converge_s: float | None
    faults: int
    faults_bitten: int
    watch_events: int
    stale_reads: int
    lost_acknowledgements: int
    watch_gaps: int
    wrong_answers: int
    other_violations: int
    digests_equal: bool


@dataclass(frozen=True)
class Finding:
    """One thing that was demanded, and how it went."""

    name: str
    ok: bool
    text: str


@dataclass(frozen=True)
class Verdict:
    """How a run ended. ``passed``: every finding is good."""

    drill: str
    stage: str
    seed: int
    passed: bool
    figures: Figures
    findings: tuple[Finding, ...]
    violations: tuple[Violation, ...]

    def as_json(self) -> dict[str, Any]:
        """For machines; the format is stable."""
        return {"format": FORMAT, **asdict(self)}


def judge(
    scenario: Scenario,
    stage: str,
    seed: int,
    facts: Facts,
    history: r.History,
    violations: tuple[Violation, ...],
) -> Verdict:
    """The verdict on a run. ``violations``: what the checkers found in its recording."""
    figures = _figures(facts, history, violations)
    findings = tuple(_findings(scenario, facts, figures, violations))
    passed = all(finding.ok for finding in findings)
    return Verdict(scenario.name, stage, seed, passed, figures, findings, violations)


def _figures(facts: Facts, history: r.History, violations: tuple[Violation, ...]) -> Figures:
    operations = history.operations
    writes = acknowledged_writes(history)
    kinds = [violation.kind for violation in violations]
    took = [seconds for seconds in facts.new_leader_s if seconds is not None]
    last_s = max((o.returned for o in operations), default=0) / NS
    length_s = facts.ended_s or last_s
    return Figures(
        length_s=round(length_s, 3),
        operations=len(operations),
        acknowledged=sum(o.acknowledged for o in operations),
        failed=sum(o.refused for o in operations),
        unknown=sum(o.unknown for o in operations),
        writes=len(writes),
        writes_per_s=round(len(writes) / length_s, 1) if length_s else 0.0,
        write_p50_ms=_percentile_ms(writes, 0.50),
        write_p99_ms=_percentile_ms(writes, 0.99),
        write_stall_s=_stall_s(writes, facts, last_s),
        read_stall_s=_stall_s(_reads(history), facts, last_s),
        new_leader_s=round(max(took), 3) if took else None,
        new_leaders_s=tuple(None if s is None else round(s, 3) for s in facts.new_leader_s),
        leader_changes=max(0, len(facts.leaders) - 1),
        terms=facts.last_term - facts.first_term,
        converge_s=None if facts.converged_s is None else round(facts.converged_s, 3),
        faults=facts.injected,
        faults_bitten=facts.bitten,
        watch_events=sum(len(seen.events) for seen in history.seen),
        stale_reads=kinds.count("stale_read"),
        lost_acknowledgements=kinds.count("lost_acknowledgement"),
        watch_gaps=kinds.count("watch"),
        wrong_answers=kinds.count("wrong_answer"),
        other_violations=kinds.count(""),
        digests_equal=not facts.silent and len(set(facts.digests.values())) == 1,
    )


def _reads(history: r.History) -> list[r.Operation]:
    """Linearizable reads that were answered, in the order of their answers."""
    found = [
        o
        for o in history.operations
        if o.acknowledged and isinstance(o.request, r.Range) and not o.request.serializable
    ]
    return sorted(found, key=lambda operation: operation.returned)


def longest_gap(
    answered: list[r.Operation], facts: Facts, end_s: float
) -> tuple[float, float] | None:
    """The longest time between two answers, as (since, until) in seconds: from the beginning up to
    the first answer after all faults; where none came any more, up to the end of the run.
    """
    if not answered:
        return None
    until_s = facts.healed_s or facts.ended_s
    before, longest = 0, (0, 0)
    for operation in answered:
        longest = max(longest, (before, operation.returned), key=_length)
        before = operation.returned
        if before / NS > until_s:
            break
    else:
        longest = max(longest, (before, int((facts.finished_s or end_s) * NS)), key=_length)
    return longest[0] / NS, longest[1] / NS


def _length(gap: tuple[int, int]) -> int:
    return gap[1] - gap[0]


def _stall_s(answered: list[r.Operation], facts: Facts, end_s: float) -> float | None:
    gap = longest_gap(answered, facts, end_s)
    return None if gap is None else round(gap[1] - gap[0], 3)


def _percentile_ms(answered: list[r.Operation], share: float) -> float | None:
    took = sorted(operation.returned - operation.called for operation in answered)
    if not took:
        return None
    return round(took[min(len(took) - 1, int(len(took) * share))] / 1e6, 2)


def _findings(
    scenario: Scenario, facts: Facts, figures: Figures, violations: tuple[Violation, ...]
) -> list[Finding]:
    found = [*_safety(violations), _digests(facts, figures.digests_equal)]
    if facts.broken:
        found.append(Finding("stage", False, facts.broken))
    bad = facts.failed_steps
    shown = "; ".join(bad) if bad else f"{figures.faults_bitten} of {figures.faults} faults bit"
    found.append(Finding("steps", not bad, shown))
    return found + _expected(scenario.expect, facts, figures)


def _safety(violations: tuple[Violation, ...]) -> list[Finding]:
    found = []
    titles = {
        "lost_acknowledgement": "acknowledged writes that are lost",
        "stale_read": "stale reads",
        "watch": "gaps, repeats or disorder in watches",
        "wrong_answer": "answers that are wrong",
        "": "other violations",
    }
    for kind, title in titles.items():
        some = [violation for violation in violations if violation.kind == kind]
        texts = [violation.text for violation in some[:_SHOWN]]
        shown = "; ".join([f"{len(some)} {title}", *texts])
        found.append(Finding(kind or "order", not some, shown))
    return found


def _digests(facts: Facts, equal: bool) -> Finding:
    told = ", ".join(
        f"{name} {one.digest & 0xFFFFFFFFFFFFFFFF:x} at {one.position}"
        for name, one in facts.digests.items()
    )
    text = "equal on all members" if equal else told or "nobody tells any"
    if facts.silent:
        text += f"; none from {', '.join(facts.silent)}"
    return Finding("digests", equal, text)


def _expected(expect: Expect, facts: Facts, figures: Figures) -> list[Finding]:
    found = [
        _most("converge_within_s", expect.converge_within_s, figures.converge_s, " s"),
        _least("writes_min", expect.writes_min, figures.writes),
    ]
    if expect.new_leader_within_s is not None:
        never = None in facts.new_leader_s or not facts.new_leader_s
        took = None if never else figures.new_leader_s
        found.append(_most("new_leader_within_s", expect.new_leader_within_s, took, " s"))
    if expect.write_stall_s_max is not None:
        stall_s = figures.write_stall_s
        found.append(_most("write_stall_s_max", expect.write_stall_s_max, stall_s, " s"))
    if expect.leader_stays:
        stayed = figures.leader_changes == 0
        names = " then ".join(name for _, name, _ in facts.leaders)
        found.append(Finding("leader_stays", stayed, f"leaders: {names}"))
    for name, value in (
        ("unknown_max", figures.unknown),
        ("failed_max", figures.failed),
        ("terms_max", figures.terms),
    ):
        bound = getattr(expect, name)
        if bound is not None:
            found.append(_most(name, bound, value, ""))
    return found


def _most(name: str, bound: float, value: float | None, unit: str) -> Finding:
    ok = value is not None and value <= bound
    shown = "never" if value is None else f"{value:g}{unit}"
    return Finding(name, ok, f"{shown} (at most {bound:g}{unit})")


def _least(name: str, bound: int, value: int) -> Finding:
    return Finding(name, value >= bound, f"{value} (at least {bound})")
