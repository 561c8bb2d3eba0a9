"""One drill from file to verdict, with everything kept in a run folder.

The folder of a run: ``scenario.toml`` as it was read, ``history.ndjson`` (the recording, for
``kvorum check``), ``timeline.json``, ``verdict.json``, ``report.txt``, and below ``cluster/`` the
data and logs of the drill's own cluster.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from kvorum.check import records as r
from kvorum.check.lines import encode_line
from kvorum.client import TLS
from kvorum.drill.judging import violations
from kvorum.drill.report import report
from kvorum.drill.runner import Facts, Moment, Runner
from kvorum.drill.scenario import Scenario
from kvorum.drill.stage import Stage
from kvorum.drill.verdict import Verdict, judge
from kvorum.errors import ConfigError


def quiet(moment: Moment) -> None:
    """The default listener: says nothing."""


def make_stage(
    scenario: Scenario,
    kind: str,
    seed: int,
    folder: Path,
    stopping: threading.Event,
    endpoints: Sequence[str] = (),
    tls: TLS | None = None,
) -> Stage:
    """The stage of that kind. Raises ConfigError with the reason where it cannot run the drill."""
    why = scenario.refusal(kind)
    if why:
        raise ConfigError(why)
    if kind == "sim":
        if endpoints:
            raise ConfigError("stage sim has no endpoints; leave --endpoints away")
        # Half a second that drills on processes need not spend.
        from kvorum.drill.simulated import SimStage

        return SimStage(scenario, seed)
    from kvorum.drill.processes import ProcessStage, refusal_of_given

    if endpoints and (why := refusal_of_given(scenario, kind)):
        raise ConfigError(why)
    return ProcessStage(kind, scenario, seed, folder / "cluster", stopping, endpoints, tls)


async def run_drill(
    scenario: Scenario,
    stage: Stage,
    seed: int,
    folder: Path,
    stopping: threading.Event,
    say: Callable[[Moment], None] = quiet,
) -> Verdict:
    """Run, judge, keep. Raises :class:`kvorum.drill.runner.Stopped` when it was interrupted (what
    was recorded until then is kept) and StageError when the cluster does not start.
    """
    (folder / "scenario.toml").write_text(scenario.text, encoding="utf-8")
    runner = Runner(scenario, stage, seed, say, stopping)
    try:
        facts = await runner.run()
    finally:
        history = stage.recorder.history
        history.run = _run(scenario, stage, seed)
        _keep(folder, runner.facts, history)
    verdict = judge(scenario, stage.kind, seed, facts, history, violations(history))
    text = json.dumps(verdict.as_json(), indent=2) + "\n"
    (folder / "verdict.json").write_text(text, encoding="utf-8")
    (folder / "report.txt").write_text(report(scenario, verdict, facts), encoding="utf-8")
    return verdict


def _run(scenario: Scenario, stage: Stage, seed: int) -> r.Run:
    """The recording's first line. Locks write keys that no recorded operation wrote."""
    names = stage.view().names
    closed = scenario.load.locks == 0 and stage.own
    skews = [step.percent for step in scenario.steps if step.do == "skew"]
    rate = 100 + int(max([0.0, *skews]))
    return r.Run(scenario.name, stage.kind, seed, closed, rate, members=names)


def _keep(folder: Path, facts: Facts, history: r.History) -> None:
    with (folder / "history.ndjson").open("w", encoding="utf-8") as out:
        for line in history.lines():
            out.write(encode_line(line) + "\n")
    moments = [asdict(moment) for moment in facts.moments]
    (folder / "timeline.json").write_text(json.dumps(moments, indent=1) + "\n", encoding="utf-8")
