"""A run, or a comparison of runs, into files of the user's choice: JSON for machines, SVG to look
at, text to read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kvorum.drill.compare import compare, table_lines
from kvorum.drill.runs import RunSummary
from kvorum.drill.sidebyside import comparison_svg

from kvorum_tui.model.drill_run import DrillRun
from kvorum_tui.model.drill_score import scores

FORMAT = 1

Forms = Mapping[str, str]  # What a file of that suffix would hold.


def run_forms(run: DrillRun) -> Forms:
    """A run in every form that there is of it: the picture is drawn with the verdict."""
    forms = {".json": json.dumps(as_json(run), indent=1) + "\n", ".txt": report_text(run)}
    picture = Path(run.folder) / "timeline.svg"
    if run.verdict and picture.is_file():
        forms[".svg"] = picture.read_text("utf-8")
    return forms


def comparison_forms(runs: Sequence[RunSummary]) -> Forms:
    """Runs side by side."""
    rows = compare(runs)
    table = [{**asdict(row)} for row in rows]
    folders = [str(run.folder) for run in runs]
    return {
        ".json": json.dumps({"format": FORMAT, "runs": folders, "rows": table}, indent=1) + "\n",
        ".svg": comparison_svg(runs, rows),
        ".txt": "\n".join([*table_lines(rows), ""]),
    }


def write(forms: Forms, path: Path) -> list[Path]:
    """Write the one form that ``path`` names by its suffix, or else all of them beside each other.
    Returns what was written. Raises OSError.
    """
    if path.suffix in forms:
        path.write_text(forms[path.suffix], encoding="utf-8")
        return [path]
    paths = [path.with_name(path.name + suffix) for suffix in forms]
    for one in paths:
        one.write_text(forms[one.suffix], encoding="utf-8")
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
