"""A run into files of the user's choice: JSON for machines, SVG to look at, text to read."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kvorum_tui.model.drill_run import DrillRun
from kvorum_tui.model.drill_score import scores
from kvorum_tui.model.drill_svg import timeline_svg

FORMAT = 1
SUFFIXES = (".json", ".svg", ".txt")


def export(run: DrillRun, path: Path) -> list[Path]:
    """Write the one form that ``path`` names by its suffix, or else all three beside each other.
    Returns what was written. Raises OSError.
    """
    if path.suffix in SUFFIXES:
        paths = [path]
    else:
        paths = [path.with_name(path.name + suffix) for suffix in SUFFIXES]
    for one in paths:
        one.write_text(_FORMS[one.suffix](run), encoding="utf-8")
    return paths


def as_json(run: DrillRun) -> dict[str, Any]:
    """Everything about a run that the screen shows; the format is stable."""
    return {
        "format": FORMAT,
        "drill": run.scenario.name,
        "stage": run.stage,
        "seed": run.seed,
        "state": run.state,
        "members": list(run.members),
        "folder": run.folder,
        "moments": [asdict(moment) for moment in run.moments],
        "faults": [asdict(bar) for bar in run.bars],
        "leaders": [asdict(reign) for reign in run.reigns],
        "samples": [asdict(sample) for sample in run.samples],
        "verdict": {key: value for key, value in run.verdict.items() if key != "t"},
    }


def _json(run: DrillRun) -> str:
    return json.dumps(as_json(run), indent=1) + "\n"


def report_text(run: DrillRun) -> str:
    """The report that the run's folder keeps; of a run without a verdict, what is known."""
    kept = Path(run.folder) / "report.txt"
    if run.verdict and kept.is_file():
        return kept.read_text("utf-8")
    lines = [f"{run.scenario.name} on {run.where}, seed {run.seed}: {run.state}", run.error, ""]
    signs = {True: "ok", False: "FAILED", None: ""}
    lines += [f"  {s.label:<24} {s.value:<12} {s.demand:<8} {signs[s.ok]}" for s in scores(run)]
    lines += ["", *(f"{m.at_s:8.2f} s {m.kind:<7} {m.text}" for m in run.moments), ""]
    return "\n".join(lines)


_FORMS = {".json": _json, ".svg": timeline_svg, ".txt": report_text}
