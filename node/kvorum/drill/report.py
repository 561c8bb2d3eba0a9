"""A verdict for people: what was demanded, what was measured, what happened when."""

from __future__ import annotations

from kvorum.drill.facts import Facts, Moment
from kvorum.drill.scenario import Scenario
from kvorum.drill.verdict import Figures, Verdict

_SIGNS = {"step": ">", "proof": " ", "lift": "<", "leader": "*", "failed": "!", "note": " "}
_WIDTH = 22


def moment_line(moment: Moment) -> str:
    """One moment of the timeline."""
    return f"{moment.at_s:8.2f} s {_SIGNS[moment.kind]} {moment.text}"


def report(scenario: Scenario, verdict: Verdict, facts: Facts) -> str:
    """The whole report, as it is kept with the run."""
    head = f"{scenario.name} on stage {verdict.stage}, seed {verdict.seed}: {_word(verdict)}"
    parts = [head, scenario.title, "", *verdict_lines(verdict), "", "Figures"]
    parts += [f"  {name:<{_WIDTH}} {value}" for name, value in figure_lines(verdict.figures)]
    parts += ["", "Timeline (> step, < lifted, * leader, ! failed)"]
    parts += [moment_line(moment) for moment in facts.moments]
    parts += ["", "What it teaches", f"  {scenario.learn}", ""]
    return "\n".join(parts)


def verdict_lines(verdict: Verdict) -> list[str]:
    """What was demanded, each with how it went."""
    return [
        f"  {'ok    ' if finding.ok else 'FAILED'} {finding.name:<{_WIDTH}} {finding.text}"
        for finding in verdict.findings
    ]


def figure_lines(figures: Figures) -> list[tuple[str, str]]:
    """The figures in people's words."""
    return [
        ("operations", f"{figures.operations} ({figures.acknowledged} acknowledged)"),
        ("failed, unknown", f"{figures.failed}, {figures.unknown}"),
        ("writes", f"{figures.writes} ({figures.writes_per_s:g} a second)"),
        ("time to new leader", _leaders(figures)),
        ("write stall", _seconds(figures.write_stall_s)),
        ("read stall", _seconds(figures.read_stall_s)),
        ("write latency", _latency(figures)),
        ("time to converge", _seconds(figures.converge_s)),
        ("leader changes, terms", f"{figures.leader_changes}, {figures.terms}"),
        ("faults that bit", f"{figures.faults_bitten} of {figures.faults}"),
        ("watch events", str(figures.watch_events)),
        ("stale reads", str(figures.stale_reads)),
        ("lost acknowledgements", str(figures.lost_acknowledgements)),
        ("watch gaps", str(figures.watch_gaps)),
        ("wrong answers", str(figures.wrong_answers)),
        ("other violations", str(figures.other_violations)),
        ("digests", "equal" if figures.digests_equal else "NOT EQUAL"),
    ]


def _leaders(figures: Figures) -> str:
    """The longest, and each where there were several."""
    if len(figures.new_leaders_s) < 2:
        return "never" if None in figures.new_leaders_s else _seconds(figures.new_leader_s)
    each = ", ".join("never" if s is None else f"{s:.2f}" for s in figures.new_leaders_s)
    return f"{_seconds(figures.new_leader_s)} (each: {each})"


def _latency(figures: Figures) -> str:
    if figures.write_p50_ms is None:
        return "-"
    return f"p50 {figures.write_p50_ms:g} ms, p99 {figures.write_p99_ms:g} ms"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s"


def _word(verdict: Verdict) -> str:
    return "passed" if verdict.passed else "FAILED"
