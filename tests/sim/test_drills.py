"""Shipped drills on the simulated stage, and lies in their recordings."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from kvorum.check import records as r
from kvorum.check.lines import encode_line, read_history
from kvorum.drill.judging import violations
from kvorum.drill.places import drill_names, find_drill
from kvorum.drill.runner import Facts, Moment, Stopped
from kvorum.drill.scenario import Scenario, parse_scenario, read_scenario
from kvorum.drill.session import make_stage, run_drill
from kvorum.drill.stage import Digest
from kvorum.drill.verdict import Verdict, judge
from kvorum.errors import ConfigError

SHIPPED = [read_scenario(find_drill(name)) for name in drill_names()]
HERE = [scenario.name for scenario in SHIPPED if "sim" in scenario.stages]
ELSEWHERE = [scenario.name for scenario in SHIPPED if "sim" not in scenario.stages]

SHORT = """
name = "short"
title = "A leader dies, a link is cut"
learn = "Nothing."
length_s = 6
[[step]]
at_s = 1
do = "kill"
target = "leader"
for_s = 2
[[step]]
when = "new_leader"
after_s = 0.5
do = "isolate"
target = "leader"
for_s = 1
"""


def scenario_of(text: str) -> Scenario:
    return parse_scenario(text, Path("test.toml"))


def run(
    scenario: Scenario,
    folder: Path,
    seed: int = 1,
    say: Callable[[Moment], None] = lambda moment: None,
    stopping: threading.Event | None = None,
) -> Verdict:
    stopping = stopping or threading.Event()
    folder.mkdir(parents=True, exist_ok=True)
    stage = make_stage(scenario, "sim", seed, folder, stopping)
    return asyncio.run(run_drill(scenario, stage, seed, folder, stopping, say))


def failures(verdict: Verdict) -> list[str]:
    return [f"{f.name}: {f.text}" for f in verdict.findings if not f.ok]


@pytest.mark.parametrize("name", HERE)
def test_a_shipped_drill_passes_in_simulation(name: str, tmp_path: Path) -> None:
    verdict = run(read_scenario(find_drill(name)), tmp_path)
    assert failures(verdict) == []
    assert verdict.figures.faults_bitten == verdict.figures.faults
    assert verdict.figures.watch_events > 0


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_drill_that_needs_processes_is_refused(name: str, tmp_path: Path) -> None:
    scenario = read_scenario(find_drill(name))
    with pytest.raises(ConfigError, match=r"is refused on stage sim: .*; use --stage live"):
        make_stage(scenario, "sim", 1, tmp_path, threading.Event())


@pytest.mark.parametrize(
    ("name", "stage", "word"),
    [
        ("leader-killed", "live", "kill"),
        ("member-replaced", "live", "kill"),
        ("leader-partitioned", "etcd", "isolate"),
        ("leader-paused", "etcd", "pause"),
        ("rolling-restart", "live", "restart"),
    ],
)
def test_other_peoples_processes_are_left_alone(
    name: str, stage: str, word: str, tmp_path: Path
) -> None:
    scenario = read_scenario(find_drill(name))
    given = ("http://127.0.0.1:1",)
    with pytest.raises(ConfigError, match=f"{word} is refused: this cluster's processes are not"):
        make_stage(scenario, stage, 1, tmp_path, threading.Event(), given)
    assert make_stage(
        read_scenario(find_drill("leader-transfer")), stage, 1, tmp_path, threading.Event(), given
    )


def test_a_run_folder_holds_everything(tmp_path: Path) -> None:
    verdict = run(scenario_of(SHORT), tmp_path)
    assert verdict.passed, failures(verdict)
    kept = json.loads((tmp_path / "verdict.json").read_text())
    assert kept == json.loads(json.dumps(verdict.as_json()))
    assert kept["figures"]["faults"] == 2
    assert "A leader dies, a link is cut" in (tmp_path / "report.txt").read_text()
    assert (tmp_path / "scenario.toml").read_text() == SHORT
    kinds = [moment["kind"] for moment in json.loads((tmp_path / "timeline.json").read_text())]
    assert kinds.count("step") == kinds.count("proof") == 2
    history = read_history((tmp_path / "history.ndjson").read_text().splitlines())
    assert [fault.kind for fault in history.faults] == ["kill", "isolate"]
    assert all(fault.until > fault.at for fault in history.faults)
    assert len(history.dumps) == 3
    assert violations(history) == ()


def test_the_same_seed_records_the_same(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        run(scenario_of(SHORT), folder, seed=7)
    assert (one / "history.ndjson").read_bytes() == (other / "history.ndjson").read_bytes()
    assert (one / "verdict.json").read_bytes() == (other / "verdict.json").read_bytes()


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("recorded")
    run(scenario_of(SHORT), folder)
    return (folder / "history.ndjson").read_text().splitlines()


def kinds_of(history: r.History) -> set[str]:
    lines = [encode_line(line) for line in history.lines()]
    return {violation.kind for violation in violations(read_history(lines))}


def test_a_lost_acknowledgement_is_found(recorded: list[str]) -> None:
    history = read_history(recorded)
    assert violations(history) == ()
    puts = [o for o in history.operations if isinstance(o.request, r.Put) and o.acknowledged]
    last = puts[-1].revision
    # All members and watchers end before the newest acknowledged put, which they never had.
    history.applied = [a for a in history.applied if a.revision < last]
    history.dumps = [d._replace(last=last - 1) for d in history.dumps]
    history.seen = [s for s in history.seen if all(e.kv.mod < last for e in s.events)]
    history.digests, history.quiet = [], None
    assert "lost_acknowledgement" in kinds_of(history)
    good = Facts(converged_s=0.1, digests={"n1": Digest(9, 1), "n2": Digest(9, 1)})
    for found, passed in (((), True), (violations(history), False)):
        verdict = judge(scenario_of(SHORT), "sim", 1, good, history, found)
        assert verdict.passed is passed
    assert verdict.figures.lost_acknowledgements > 0
    assert "acknowledged writes that are lost" in failures(verdict)[0]


def test_a_stale_read_is_found(recorded: list[str]) -> None:
    history = read_history(recorded)
    reads = [
        (place, operation)
        for place, operation in enumerate(history.operations)
        if isinstance(operation.request, r.Range) and operation.acknowledged
    ]
    place, last = reads[-1]
    old = next(o for _, o in reads if o.request == last.request)
    history.operations[place] = last._replace(answer=old.answer, revision=old.revision)
    assert "stale_read" in kinds_of(history)


def test_a_gap_in_a_watch_is_found(recorded: list[str]) -> None:
    history = read_history(recorded)
    told = [place for place, seen in enumerate(history.seen) if seen.events]
    del history.seen[told[len(told) // 2]]
    assert kinds_of(history) == {"watch"}


LIE = """
name = "lie"
title = "Demands what cannot be"
learn = "Nothing."
length_s = 4
[[step]]
at_s = 1
do = "kill"
target = "leader"
for_s = 1
[expect]
leader_stays = true
write_stall_s_max = 0.05
writes_min = 100000
terms_max = 0
"""


def test_every_demand_can_fail(tmp_path: Path) -> None:
    verdict = run(scenario_of(LIE), tmp_path)
    assert not verdict.passed
    assert [f.name for f in verdict.findings if not f.ok] == [
        "writes_min",
        "write_stall_s_max",
        "leader_stays",
        "terms_max",
    ]


def test_a_condition_that_never_holds_fails_its_step(tmp_path: Path) -> None:
    text = SHORT.replace('when = "new_leader"', 'when = "no_leader"').replace(
        "at_s = 1", "at_s = 0"
    )
    text = text.replace('do = "kill"\ntarget = "leader"', 'do = "kill"\ntarget = "follower"')
    verdict = run(scenario_of(text), tmp_path)
    assert [f.name for f in verdict.findings if not f.ok] == ["steps"]
    assert "its condition (no_leader) never held" in failures(verdict)[0]


def test_an_interrupted_drill_keeps_its_recording(tmp_path: Path) -> None:
    stopping = threading.Event()

    def stop_at_the_first_step(moment: Moment) -> None:
        if moment.kind == "proof":
            stopping.set()

    with pytest.raises(Stopped):
        run(scenario_of(SHORT), tmp_path, say=stop_at_the_first_step, stopping=stopping)
    history = read_history((tmp_path / "history.ndjson").read_text().splitlines())
    assert [fault.kind for fault in history.faults] == ["kill"]
    assert not (tmp_path / "verdict.json").exists()


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("rejoin_member", "n2 runs; only a dead one can rejoin"),
        ("corrupt_wal", "n2 runs; only a dead one's log is damaged"),
    ],
)
def test_what_needs_a_dead_member_says_so(word: str, why: str, tmp_path: Path) -> None:
    text = SHORT.replace(
        'do = "isolate"\ntarget = "leader"\nfor_s = 1', f'do = "{word}"\ntarget = "n2"'
    )
    text = text.replace('do = "kill"\ntarget = "leader"', 'do = "kill"\ntarget = "n1"')
    verdict = run(
        scenario_of(text.replace('when = "new_leader"\nafter_s = 0.5', "at_s = 4")), tmp_path
    )
    assert [f.name for f in verdict.findings if not f.ok] == ["steps"]
    assert why in failures(verdict)[0]


MEMBERS = """
name = "members"
title = "Everything about members"
learn = "Nothing."
length_s = 16
[[step]]
at_s = 1
do = "add_member"
learner = true
[[step]]
at_s = 3
do = "remove_member"
target = "leader"
[[step]]
when = "new_leader"
after_s = 1
do = "kill"
target = "n4"
[[step]]
when = "dead"
after_s = 0.5
do = "rejoin_member"
target = "n4"
[[step]]
when = "write"
after_s = 1
do = "isolate"
target = "n4"
for_s = 2
"""


def test_members_keep_their_names_when_they_rejoin(tmp_path: Path) -> None:
    verdict = run(scenario_of(MEMBERS), tmp_path)
    assert failures(verdict) == []
    moments = json.loads((tmp_path / "timeline.json").read_text())
    said = [moment["text"] for moment in moments]
    assert any(text.startswith("n4 added as a learner, votes after") for text in said)
    assert "n4 back under a new id, and voting" in said
    history = read_history((tmp_path / "history.ndjson").read_text().splitlines())
    assert "n4" in {dump.member for dump in history.dumps} and len(history.dumps) == 3
