"""Drills without a screen: what a run's lines become, where a drill can run, what it will do."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from kvorum.drill.preview import lasting
from kvorum.drill.processes import refusal_of_given
from kvorum.drill.runs import RunSummary
from kvorum.drill.words import WORDS
from kvorum.errors import ConfigError
from kvorum_tui.drill_export import run_forms, write
from kvorum_tui.model import drill_choice
from kvorum_tui.model.cluster_model import ClusterModel
from kvorum_tui.model.drill_choice import catalogue, first_able, matching, places
from kvorum_tui.model.drill_kept import kept_run
from kvorum_tui.model.drill_plan import Picture, plan_lines, planned
from kvorum_tui.model.drill_run import LETTERS, DrillRun
from kvorum_tui.model.drill_score import scores
from kvorum_tui.model.records import MemberReport
from tui.drill_parts import isolation, sample, shipped


def played() -> DrillRun:
    run = DrillRun(shipped("leader-partitioned"), "sim", 7, "simulated")
    for told in isolation():
        run.take(told)
    return run


def value(run: DrillRun, label: str) -> tuple[str, bool | None]:
    return next((score.value, score.ok) for score in scores(run) if score.label == label)


def test_faults_reigns_and_stalls() -> None:
    run = played()
    assert run.state == "running"
    assert [(bar.do, bar.begin_s, bar.end_s) for bar in run.bars] == [("isolate", 2.0, 6.0)]
    assert [(reign.leader, reign.term) for reign in run.reigns] == [("n1", 1), (None, 1), ("n2", 2)]
    assert run.new_leader_s == [1.4]
    assert run.stalls() == (pytest.approx(2.0), 0.0)
    assert run.rate_at(0.5, 1.0) == pytest.approx(40)
    assert run.rate_at(2.3, 3.0) == 0
    assert run.rate_at(90, 91) is None


def test_a_bound_that_is_passed_is_red_at_once() -> None:
    run = played()
    assert value(run, "time to new leader") == ("1.40 s", None)
    strict = replace(run.scenario.expect, new_leader_within_s=1.0, write_stall_s_max=1.0)
    run.scenario = replace(run.scenario, expect=strict)
    assert value(run, "time to new leader") == ("1.40 s", False)
    assert value(run, "write stall") == ("2.0 s", False)
    assert value(run, "stale reads") == ("at the end", None)


def test_a_kill_without_an_end_is_over_when_the_process_runs_again() -> None:
    run = DrillRun(shipped("all-killed"), "live", 7, "own cluster")
    run.take({"t": "ready", "members": ["n1", "n2", "n3"]})
    fault = {"t": "fault", "id": 1, "at_s": 3.0, "do": "kill", "words": "kill", "for_s": 0.0}
    run.take({**fault, "members": ["n1", "n2", "n3"]})
    run.take(sample(3.1, 10, None, 1, "n1", "n2", "n3"))
    assert run.active
    assert run.down_at("n2", 3.2)
    run.take(sample(5.0, 10, None, 1, "n2"))
    assert run.active
    run.take(sample(5.5, 10, None, 1))
    assert not run.active
    assert not run.down_at("n2", 5.6)


def test_a_run_that_broke_leaves_no_bar_open_and_says_why() -> None:
    run = played()
    fault = {"t": "fault", "id": 2, "at_s": 6.5, "do": "pause", "words": "pause", "for_s": 9.0}
    run.take({**fault, "members": ["n3"]})
    run.take({"t": "error", "text": "no leader"})
    assert (run.state, run.error, run.active) == ("broken", "no leader", [])


def test_every_fault_has_a_letter_of_its_own() -> None:
    faults = [name for name, word in WORDS.items() if word.fault or name == "kill"]
    assert set(faults) - set(LETTERS) == set()
    assert len(set(LETTERS.values())) == len(LETTERS)


def test_export(tmp_path: Path) -> None:
    run = played()
    run.take({"t": "stopped"})
    written = write(run_forms(run), tmp_path / "mine")
    assert [path.name for path in written] == ["mine.json", "mine.txt"]  # No verdict, no picture.
    table = json.loads(written[0].read_text())
    assert table["state"] == "stopped"
    assert table["faults"][0]["members"] == ["n1"]
    assert "time to new leader" in written[1].read_text()
    assert write(run_forms(run), tmp_path / "one.txt") == [tmp_path / "one.txt"]


def test_a_damaged_folder_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "scenario.toml").write_text(shipped("ring").text)
    when = datetime(2026, 1, 1, tzinfo=UTC)
    summary = RunSummary("ring", "sim", 1, when, None, {}, tmp_path)
    with pytest.raises(ConfigError, match=r"cannot be read back.*timeline\.json"):
        kept_run(summary, "")
    (tmp_path / "timeline.json").write_text("[]")
    (tmp_path / "history.ndjson").write_text('{"run":{"format":1,"members":["n1"]}}\n{"op":{}}\n')
    with pytest.raises(ConfigError, match="line 2"):
        kept_run(summary, "")


# --- where ----------------------------------------------------------------------------------------


def cluster(source: str = "kvorum", faults: bool = True, members: int = 3) -> ClusterModel:
    model = ClusterModel()
    for number in range(1, members + 1):
        role = "leader" if number == 1 else "follower"
        report = MemberReport(
            f"http://n{number}:2379",
            source,
            number,
            name=f"n{number}",
            version="3.5.30",
            role=role,
            leader=1,
            term=1,
            commit=10,
            applied=10,
            revision=5,
            faults_enabled=faults if source == "kvorum" else None,
        )
        model.report(report, 0.0)
    return model


def why(name: str, place: str, model: ClusterModel, read_only: str = "") -> str:
    found = places(shipped(name), model, read_only)
    return next(one.why_not for one in found if one.name == place)


def test_the_connected_cluster_takes_what_its_fault_service_can_do() -> None:
    assert why("leader-partitioned", "connected", cluster()) == ""
    assert "processes are not the drill's" in why("leader-killed", "connected", cluster())
    closed = why("leader-partitioned", "connected", cluster(faults=False))
    assert closed == "isolate: n1 was started without --enable-faults"
    assert why("leader-transfer", "connected", cluster(faults=False)) == ""
    assert "names n2" in why("flapping-link", "connected", cluster(members=1))
    assert why("leader-partitioned", "connected", ClusterModel()) == "no member has answered yet"


def test_what_needs_the_processes_is_what_the_stage_says() -> None:
    base = shipped("leader-partitioned")
    for kind, model in (("live", cluster()), ("etcd", cluster("etcd"))):
        for name, word in WORDS.items():
            step = replace(base.steps[0], do=name, targets=("leader",), to=())
            scenario = replace(base, steps=(step,), stages=(kind,))
            if kind in word.refused:
                continue
            found = places(scenario, model)[0].why_not
            assert bool(found) == bool(refusal_of_given(scenario, kind)), (kind, name, found)


def test_a_real_etcd_says_what_it_cannot_and_offers_the_others() -> None:
    real = cluster("etcd")
    assert "etcd has no fault service" in why("leader-partitioned", "connected", real)
    assert why("leader-transfer", "connected", real) == ""
    assert why("leader-partitioned", "sim", real) == ""
    assert why("disk-full", "etcd", real).startswith("disk_full is refused on stage etcd")


def test_read_only_keeps_the_connected_cluster_whole() -> None:
    reason = "read-only it is"
    assert why("leader-partitioned", "connected", cluster(), reason) == reason
    assert why("leader-partitioned", "sim", cluster(), reason) == ""


def test_no_etcd_binary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drill_choice.shutil, "which", lambda name: None)
    found = places(shipped("leader-killed"), cluster())
    assert found[3].why_not == "there is no etcd on PATH"
    assert first_able(found, shipped("leader-killed")) == "live"


# --- what -----------------------------------------------------------------------------------------


def text_of(name: str, **more: object) -> str:
    scenario = shipped(name)
    there = places(scenario, cluster())
    picture = replace(Picture(there, first_able(there, scenario)), **more)
    return "\n".join(
        "".join(text for text, _ in line) for line in plan_lines(scenario, picture, 90)
    )


def test_the_plan_of_every_drill_fits_its_box() -> None:
    scenarios, wrong = catalogue()
    assert not wrong
    assert len(scenarios) >= 15
    for scenario in scenarios:
        there = places(scenario, cluster())
        for width in (45, 90):
            picture = Picture(there, first_able(there, scenario))
            for line in plan_lines(scenario, picture, width):
                assert sum(len(text) for text, _ in line) <= width, (scenario.name, line)


def test_the_plan_tells_blast_radius_and_quorum() -> None:
    told = text_of("leader-partitioned", chosen="connected", leader="n3", nodes=5)
    assert "isolate leader (n3 now) for 6 s" in told
    assert "4 of 5 voters ✓ quorum" in told
    assert "the quorum is kept" in told
    assert "NO QUORUM" in text_of("quorum-lost")
    assert "8 times" in text_of("flapping-link")


def test_what_lasts_is_said() -> None:
    assert lasting(shipped("leader-removed")) == ["It removes a member, and nobody brings it back."]
    assert len(lasting(shipped("compaction-under-load"))) == 1
    assert lasting(shipped("leader-partitioned")) == []


def test_steps_on_conditions_are_placed_as_early_as_can_be() -> None:
    times = planned(shipped("leader-killed"))
    assert [(one.begin_s, one.end_s, one.sure) for one in times] == [
        (2.0, 5.0, True),
        (5.0, 5.0, False),
        (5.5, 8.5, False),
    ]


def test_filter_words() -> None:
    scenarios, _ = catalogue()
    assert [one.name for one in matching(scenarios, "full disk")] == ["disk-full"]
    assert matching(scenarios, "") == scenarios
    assert matching(scenarios, "no such words") == []


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(shipped("ring").text.replace('name = "ring"', 'name = "mine"'))
    assert drill_choice.read_file(str(path)).name == "mine"
    with pytest.raises(ConfigError, match="neither a scenario file"):
        drill_choice.read_file(str(tmp_path / "none.toml"))
