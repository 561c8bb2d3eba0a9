"""The scorecard of a drill: each figure beside what is demanded of it, green or red once known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kvorum_tui.model.drill_run import DrillRun

LATER = "at the end"


@dataclass(frozen=True, slots=True)
class Score:
    """One figure. ``ok``: None while nobody can say."""

    label: str
    value: str
    demand: str = ""
    ok: bool | None = None


def seconds(value: float | None) -> str:
    """A time, to the hundredth."""
    return "-" if value is None else f"{value:.2f} s"


def scores(run: DrillRun) -> list[Score]:
    """The card, in the order in which people ask."""
    figures: Mapping[str, Any] = run.verdict.get("figures", {})
    return list(_final(run, figures) if figures else _meanwhile(run))


def _at_most(bound: float | None, unit: str) -> str:
    return "" if bound is None else f"≤ {bound:g}{unit}"


def _meanwhile(run: DrillRun) -> Iterator[Score]:
    """What can be said while it runs: a bound that is passed already is red at once."""
    expect = run.scenario.expect
    took = max(run.new_leader_s, default=None)
    yield _bounded("time to new leader", took, expect.new_leader_within_s, " s")
    stall, now = run.stalls()
    value = f"{stall:.1f} s" + (f" ({now:.1f} now)" if now > 1 else "")
    red = expect.write_stall_s_max is not None and stall > expect.write_stall_s_max
    demand = _at_most(expect.write_stall_s_max, " s")
    yield Score("write stall", value, demand, False if red else None)
    later = "-" if run.over else LATER
    yield Score("time to converge", later, _at_most(expect.converge_within_s, " s"))
    last = run.samples[-1] if run.samples else None
    writes = last.writes if last else 0
    yield Score(
        "acked writes", str(writes), f"≥ {expect.writes_min}", writes >= expect.writes_min or None
    )
    yield _bounded("failed", last.failed if last else 0, expect.failed_max, "")
    yield _bounded("unknown", last.unknown if last else 0, expect.unknown_max, "")
    for label in ("stale reads", "lost acks", "watch gaps"):
        yield Score(label, later, "0")
    yield Score("digests", later, "equal")
    changes = max(0, len({(r.leader, r.term) for r in run.reigns if r.leader}) - 1)
    demand = "0" if expect.leader_stays else ""
    yield Score("leader changes", str(changes), demand, False if changes and demand else None)
    bitten = sum(moment.kind == "proof" for moment in run.moments)
    failed = sum(moment.kind == "failed" for moment in run.moments)
    yield Score(
        "steps done", f"{bitten} of {len(run.scenario.steps)}", "all", False if failed else None
    )


def _bounded(label: str, value: float | None, bound: float | None, unit: str) -> Score:
    shown = "-" if value is None else f"{value:.2f}{unit}" if unit else f"{value:g}"
    over = bound is not None and value is not None and value > bound
    return Score(label, shown, _at_most(bound, unit), False if over else None)


def _final(run: DrillRun, figures: Mapping[str, Any]) -> Iterator[Score]:
    """The verdict's figures; each demand with how it went."""
    expect = run.scenario.expect
    went = {finding["name"]: bool(finding["ok"]) for finding in run.verdict["findings"]}
    rows: list[tuple[str, str, str, str]] = [
        (
            "time to new leader",
            seconds(figures["new_leader_s"]),
            _at_most(expect.new_leader_within_s, " s"),
            "new_leader_within_s",
        ),
        (
            "write stall",
            seconds(figures["write_stall_s"]),
            _at_most(expect.write_stall_s_max, " s"),
            "write_stall_s_max",
        ),
        (
            "time to converge",
            seconds(figures["converge_s"]),
            _at_most(expect.converge_within_s, " s"),
            "converge_within_s",
        ),
        ("acked writes", str(figures["writes"]), f"≥ {expect.writes_min}", "writes_min"),
        ("failed", str(figures["failed"]), _at_most(expect.failed_max, ""), "failed_max"),
        ("unknown", str(figures["unknown"]), _at_most(expect.unknown_max, ""), "unknown_max"),
        ("stale reads", str(figures["stale_reads"]), "0", "stale_read"),
        (
            "lost acks",
            str(figures["lost_acknowledgements"]),
            "0",
            "lost_acknowledgement",
        ),
        ("watch gaps", str(figures["watch_gaps"]), "0", "watch"),
        ("digests", "equal" if figures["digests_equal"] else "NOT EQUAL", "equal", "digests"),
        (
            "leader changes",
            str(figures["leader_changes"]),
            "0" if expect.leader_stays else "",
            "leader_stays",
        ),
        (
            "faults that bit",
            f"{figures['faults_bitten']} of {figures['faults']}",
            "all",
            "steps",
        ),
    ]
    for label, value, demand, name in rows:
        yield Score(label, value, demand, went.get(name))
    shown = {row[3] for row in rows}
    for finding in run.verdict["findings"]:
        if finding["name"] not in shown:
            count, _, _ = finding["text"].partition(" ")
            value, demand = (count, "0") if count.isdigit() else (finding["text"], "")
            yield Score(finding["name"].replace("_", " "), value, demand, finding["ok"])
