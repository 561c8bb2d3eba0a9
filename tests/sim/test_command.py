"""``kvorum sim`` from the command line: what it prints, how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from kvorum.cli.sim import sim
from kvorum.sim.plan import Plan
from support import planted


def kvorum_sim(*arguments: str) -> Result:
    return CliRunner().invoke(sim, arguments)


def test_many_seeds_end_with_a_summary() -> None:
    done = kvorum_sim("--seed", "40", "--seeds", "3", "--seconds", "2", "--jobs", "1", "-w", "json")
    assert done.exit_code == 0, done.output
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["seed"] for line in lines[:-1]] == [40, 41, 42]
    summary = lines[-1]["summary"]
    assert summary["seeds"] == 3 and summary["violations"] == []
    assert summary["acknowledged"] == sum(line["acknowledged"] for line in lines[:-1]) > 0
    assert summary["paths"]["raft.commit to"] > 0


def test_processes_find_what_one_finds() -> None:
    one, two = (
        kvorum_sim("--seeds", "3", "--seconds", "1", "--jobs", jobs, "-w", "json").stdout
        for jobs in ("1", "2")
    )
    hashes = [
        {line["seed"]: line["trace_hash"] for line in map(json.loads, out.splitlines()[:-1])}
        for out in (one, two)
    ]
    assert hashes[0] == hashes[1] and len(hashes[0]) == 3


def test_a_single_seed_prints_its_trace() -> None:
    done = kvorum_sim("--seed", "3", "--seconds", "1")
    assert done.exit_code == 0
    assert "n1 boots" in done.stdout and "liveness: all must converge" in done.stdout


def test_a_violation_is_told_with_its_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    planted.watch_resumes_one_late(monkeypatch)
    done = kvorum_sim("--seeds", "5", "--seconds", "3", "--jobs", "1")
    assert done.exit_code == 1
    assert "VIOLATION seed 0" in done.stderr
    assert "replay: kvorum sim --seed 0 --nodes 0 --seconds 3  (smaller" in done.stderr


def test_a_plan_is_saved_and_replayed(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    saved = kvorum_sim("--seed", "5", "--seconds", "1", "--save", str(file), "-w", "json")
    again = kvorum_sim("--plan", str(file), "-w", "json")
    assert saved.exit_code == again.exit_code == 0
    assert Plan.from_json(file.read_text()).seed == 5
    assert json.loads(saved.stdout)["trace_hash"] == json.loads(again.stdout)["trace_hash"]


@pytest.mark.parametrize("text", ["", "[]", "{}", "no plan"])
def test_what_is_no_plan_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "plan.json"
    file.write_text(text)
    done = kvorum_sim("--plan", str(file))
    assert done.exit_code == 2 and "is no plan" in done.stderr


def test_shrinking_needs_one_run() -> None:
    done = kvorum_sim("--seeds", "3", "--shrink")
    assert done.exit_code == 2 and "need one --seed or a --plan" in done.stderr
