"""Every word of drills that the simulated stage has, once; and what shows that it bit."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path

from cluster.drillwords import able, every_word, moments
from kvorum.check.lines import read_history
from kvorum.drill.session import make_stage, run_drill
from kvorum.drill.simulated import SimStage
from kvorum.drill.words import WORDS


def test_every_word_bites_in_simulation(tmp_path: Path) -> None:
    scenario = every_word("sim")
    assert {step.do for step in scenario.steps} == able("sim")
    stopping = threading.Event()
    stage = make_stage(scenario, "sim", 3, tmp_path, stopping)
    assert isinstance(stage, SimStage)
    verdict = asyncio.run(run_drill(scenario, stage, 3, tmp_path, stopping))
    assert [f"{f.name}: {f.text}" for f in verdict.findings if not f.ok] == []
    figures = json.loads((tmp_path / "verdict.json").read_text())["figures"]
    assert figures["faults"] == figures["faults_bitten"] >= 16
    history = read_history((tmp_path / "history.ndjson").read_text().splitlines())
    lasted = {fault.kind for fault in history.faults if fault.until > fault.at}
    assert lasted >= {word for word in able("sim") if WORDS[word].fault} | {"kill", "fail_fsync"}
    for what in ("network.cut", "network.lost"):
        assert stage._world.coverage[what] > 0
    proofs = " ".join(moments(tmp_path, "proof"))
    for words in ("takes no input", "dead", "ticks at 1.2", "leads after", "booted", "compacted"):
        assert words in proofs
