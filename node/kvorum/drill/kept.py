"""The folder of a run, and everything that is written into it.

- ``scenario.toml`` as it was read, ``run.json``: which drill, which stage, which seed, when
- ``history.ndjson``: the recording, for ``kvorum check``; it grows while the run lasts, and is
  written anew, in order and with the true ends of faults, when it is over
- ``log.txt``: what happened when; it grows as well. ``timeline.json``: the same for machines
- ``verdict.json``, ``report.txt``, ``timeline.svg``: how it went, for machines and people
- ``finding.svg``, ``finding.ndjson``: the shortest part that breaks a promise, if one was broken
- ``cluster/``: data and logs of the drill's own cluster

While the run lasts ``calls.ndjson`` has every request from its beginning. Of a killed runner it
tells what was under way (:mod:`kvorum.drill.recording` reads both), so that such a write is one of
unknown fate and no riddle.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path

from kvorum.check import records as r
from kvorum.check.lines import encode_line
from kvorum.check.part import shortest
from kvorum.check.timeline import render
from kvorum.check.verdict import Finding
from kvorum.drill.facts import Facts, Moment
from kvorum.drill.journal import Journal
from kvorum.drill.picture import timeline_svg
from kvorum.drill.recorder import Call
from kvorum.drill.recording import CALLS_FILE, HISTORY_FILE
from kvorum.drill.report import moment_line, report
from kvorum.drill.runs import RUN_FILE, VERDICT_FILE
from kvorum.drill.scenario import Scenario
from kvorum.drill.stage import Stage
from kvorum.drill.verdict import Verdict


class Kept:
    """Writes one run's folder. ``cluster``: what it runs on, in words. Raises OSError when it
    cannot.
    """

    def __init__(
        self, folder: Path, scenario: Scenario, stage: Stage, seed: int, cluster: str = ""
    ) -> None:
        self._folder = folder
        self._scenario = scenario
        self._stage = stage
        self._seed = seed
        _write(folder / "scenario.toml", scenario.text)
        head = {
            "drill": scenario.name,
            "stage": stage.kind,
            "seed": seed,
            "began_unix_s": round(time.time(), 3),
            "cluster": cluster,
        }
        _write(folder / RUN_FILE, json.dumps(head, indent=1) + "\n")
        # Calls first: what is seen of a request is never on disk without the request.
        paths = (folder / CALLS_FILE, folder / HISTORY_FILE)
        self._lines: Journal[r.Line | Call] = Journal(paths, _encoded)
        self._log: Journal[Moment] = Journal((folder / "log.txt",), lambda m: (0, moment_line(m)))
        self._begun = False
        stage.recorder.history.on_line = self._line
        stage.recorder.history.on_call = self._lines.add

    def _line(self, line: r.Line) -> None:
        if not self._begun:
            self._begun = True
            self._lines.add(self._run())
        self._lines.add(line)

    def moment(self, moment: Moment) -> None:
        """Something happened."""
        self._log.add(moment)

    def close(self, facts: Facts) -> None:
        """The run is over, however it went: write the recording whole."""
        history = self._stage.recorder.history
        history.on_line = history.on_call = None
        history.run = self._run()
        self._log.close()
        self._lines.close()
        draft = self._folder / (HISTORY_FILE + ".part")
        with draft.open("w", encoding="utf-8") as out:
            for line in history.lines():
                out.write(encode_line(line) + "\n")
        draft.replace(self._folder / HISTORY_FILE)
        (self._folder / CALLS_FILE).unlink()
        moments = [asdict(moment) for moment in facts.moments]
        _write(self._folder / "timeline.json", json.dumps(moments, indent=1) + "\n")

    def conclude(self, verdict: Verdict, facts: Facts, gravest: Finding | None) -> None:
        """Write the verdict, in every form. ``gravest``: what is drawn, if anything was found."""
        history, folder = self._stage.recorder.history, self._folder
        _write(folder / "timeline.svg", timeline_svg(history, facts, verdict))
        if gravest is not None:
            part = shortest(history, gravest)
            _write(folder / "finding.svg", render(part, gravest, self._scenario.name))
            lines = "".join(f"{encode_line(line)}\n" for line in part.lines())
            _write(folder / "finding.ndjson", lines)
        _write(folder / "report.txt", report(self._scenario, verdict, facts))
        # The last of all: a folder with a verdict is complete.
        _write(folder / VERDICT_FILE, json.dumps(verdict.as_json(), indent=2) + "\n")

    def _run(self) -> r.Run:
        """The recording's first line. Locks write keys that no recorded operation wrote."""
        scenario, stage = self._scenario, self._stage
        names = stage.view().names
        closed = scenario.load.locks == 0 and stage.own
        skews = [step.percent for step in scenario.steps if step.do == "skew"]
        rate = 100 + int(max([0.0, *skews]))
        return r.Run(scenario.name, stage.kind, self._seed, closed, rate, members=names)


def _encoded(item: r.Line | Call) -> tuple[int, str]:
    return (0, encode_line(item.operation)) if isinstance(item, Call) else (1, encode_line(item))


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
