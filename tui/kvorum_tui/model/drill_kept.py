"""An earlier run read back from its folder, as if its process told it once more."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kvorum.check import records as r
from kvorum.check.lines import LineError, decode_line
from kvorum.drill.runs import VERDICT_FILE, RunSummary
from kvorum.drill.scenario import read_scenario
from kvorum.errors import ConfigError

from kvorum_tui.model.drill_choice import WORDS
from kvorum_tui.model.drill_run import DrillRun

SAMPLE_S = 0.25
NS = 1_000_000_000
_LED = re.compile(r"(\S+) leads term (\d+)")
# The rest of a recording, most of it what watchers saw, makes no picture.
_WANTED = ('{"run"', '{"op"', '{"fault"')
_WRITES = (r.Put, r.Delete, r.Txn)

Told = dict[str, Any]


def kept_run(summary: RunSummary, here: str) -> DrillRun:
    """The run of a folder; ``here``: what a run on the connected cluster says it ran on.

    Raises ConfigError where what is needed is not there, or is damaged.
    """
    folder = summary.folder
    scenario = read_scenario(folder / "scenario.toml")
    where = f"{summary.cluster or WORDS[summary.stage]}, run {folder.name.split('-')[0]}"
    run = DrillRun(scenario, summary.stage, summary.seed, where, summary.cluster == here)
    try:
        moments = json.loads((folder / "timeline.json").read_text("utf-8"))
        lines = list(_lines(folder / "history.ndjson"))
        verdict = _verdict(folder)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{folder}: cannot be read back: {error}") from error
    run.take({"t": "opening", "folder": str(folder)})
    heads = [line for line in lines if isinstance(line, r.Run)]
    run.take({"t": "ready", "members": list(heads[0].members) if heads else []})
    told: list[Told] = [{"t": "moment", **moment} for moment in moments]
    faults = [line for line in lines if isinstance(line, r.Fault)]
    told += [one for number, fault in enumerate(faults) for one in _fault(number, fault)]
    told += _samples([line for line in lines if isinstance(line, r.Operation)], faults, moments)
    for one in sorted(told, key=lambda one: float(one["at_s"])):
        run.take(one)
    run.take({"t": "verdict", "folder": str(folder), **verdict} if verdict else {"t": "stopped"})
    return run


def _verdict(folder: Path) -> Told:
    path = folder / VERDICT_FILE
    found: Told = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return found


def _lines(path: Path) -> Iterator[r.Line]:
    with path.open(encoding="utf-8") as source:
        for number, text in enumerate(source, 1):
            if text.startswith(_WANTED):
                try:
                    yield decode_line(text, number)
                except LineError as error:
                    raise ValueError(str(error)) from error


def _fault(number: int, fault: r.Fault) -> Iterator[Told]:
    """Its beginning and its end; what did not last was no fault on the timeline."""
    if fault.until == fault.at:
        return
    names = [name for name in fault.target.split(",") if name]
    told = {"id": number, "do": fault.kind, "words": fault.detail, "members": names}
    for_s = 0.0 if fault.until == r.NEVER else (fault.until - fault.at) / NS
    yield {"t": "fault", "at_s": fault.at / NS, "for_s": for_s, **told}
    if fault.until != r.NEVER:
        yield {"t": "lifted", "at_s": fault.until / NS, "id": number}


def _samples(
    operations: list[r.Operation], faults: list[r.Fault], moments: list[Mapping[str, Any]]
) -> Iterator[Told]:
    """The counts every quarter of a second, and who led and who was dead at that time."""
    ends = sorted(((max(o.returned, o.called), o) for o in operations), key=lambda end: end[0])
    reigns = [
        (float(m["at_s"]), found[1], int(found[2]))
        for m in moments
        if m["kind"] == "leader" and (found := _LED.match(m["text"]))
    ]
    counts = {"writes": 0, "acknowledged": 0, "failed": 0, "unknown": 0}
    last_s = max([0.0, *(float(m["at_s"]) for m in moments)])
    place, at_s = 0, 0.0
    while at_s <= last_s:
        while place < len(ends) and ends[place][0] <= at_s * NS:
            operation = ends[place][1]
            counts["acknowledged"] += operation.acknowledged
            counts["failed"] += operation.refused
            counts["unknown"] += operation.unknown
            counts["writes"] += operation.acknowledged and isinstance(operation.request, _WRITES)
            place += 1
        led = [(name, term) for since_s, name, term in reigns if since_s <= at_s]
        leader, term = led[-1] if led else (None, 0)
        down = [
            name
            for fault in faults
            if fault.kind == "kill" and fault.at <= at_s * NS < fault.until
            for name in fault.target.split(",")
        ]
        told = {"t": "sample", "at_s": at_s, "leader": leader, "term": term, "down": down}
        yield told | counts
        at_s += SAMPLE_S
