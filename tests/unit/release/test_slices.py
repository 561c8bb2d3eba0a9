"""Slices whose judgement is their own: each must be able to say no."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from kvorum.sim.fleet import Outcome
from kvorum.sim.run import simulate
from release import command, gate, plants, seeds, soak
from release.gate import SLICES, Deadline, State
from release.soak import Look


def state_of(name: str, directory: Path) -> State:
    command.load()
    return State(SLICES[name], directory)


def series(*rss_mib: float, fds: int = 30) -> list[Look]:
    """A look a minute."""
    return [Look(60.0 * n, mib, fds, 100.0) for n, mib in enumerate(rss_mib)]


def test_memory_that_grows_after_the_warm_up_is_seen() -> None:
    warm = [20.0 + 8 * n for n in range(10)]
    assert soak.growth_percent(series(*warm, *[100.0] * 50)) == pytest.approx(0)
    leaking = soak.growth_percent(series(*warm, *[100.0 + n for n in range(50)]))
    assert 40 < leaking < 50


def test_open_files_that_stay_open_are_seen() -> None:
    steady, more = series(*[1.0] * 60), series(*[1.0] * 60)
    assert soak.more_files(steady) == 0
    more[30:] = [look._replace(fds=look.fds + 7) for look in more[30:]]
    assert soak.more_files(more) == 7


def test_the_longest_soak_counts(tmp_path: Path) -> None:
    state = state_of("soak", tmp_path)
    soak._count(state, {"n1": series(*[10.0] * 20), "n2": series(*[20.0] * 20)})
    assert state.count("minutes_in_one_piece") == 19
    assert state.sampled["rss_growth_percent"] == 2
    soak._count(state, {"n1": series(*[10.0] * 5)})
    assert (state.count("minutes_in_one_piece"), state.sampled["disk_mib"]) == (19, 2)
    soak._count(state, {"n1": series(*[10.0] * 62)})
    assert (state.count("minutes_in_one_piece"), state.sampled["disk_mib"]) == (61, 1)
    drawn = state.facts["memory"].splitlines()
    assert len(drawn) == 12
    assert drawn[0].startswith("    10 MiB |1111")


def test_a_seed_that_fails_is_a_violation_with_its_command(tmp_path: Path) -> None:
    state = state_of("seeds", tmp_path)
    report = simulate(3, seconds=5.0)
    seeds._count(state, [Outcome(3, report, ""), Outcome(4, None, "seed 4 at 1.0 s: lost")])
    assert state.count("seeds") == 1
    assert state.count("operations") == report.operations
    assert state.group("bit")
    (found,) = state.violations
    assert found["what"] == "seed 4 at 1.0 s: lost"
    assert found["replay"] == "kvorum sim --seed 4 --seconds 200"


def test_another_trace_is_a_violation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = state_of("seeds", tmp_path)
    report = simulate(3, seconds=5.0)
    monkeypatch.setattr(seeds, "STORM_S", 5.0)
    seeds._again(state, report)
    assert (state.count("same_trace_again"), state.violations) == (1, [])
    monkeypatch.setattr(seeds, "STORM_S", 6.0)
    seeds._again(state, report)
    assert "seed 3 under PYTHONHASHSEED=" in state.violations[0]["what"]


@pytest.mark.parametrize(
    ("test", "finds"),
    [
        ("x.py::test_is_found[old_log_wins]", True),
        ("x.py::test_is_found_by_looking_for_it[reads]", True),
        ("x.py::test_a_forgotten_vote_is_found", True),
        ("x.py::test_without_a_pre_vote_its_return_ends_a_leadership", True),
        ("x.py::test_the_same_run_holds_without_it[reads]", False),
        ("x.py::test_a_vote_is_remembered", False),
    ],
)
def test_finds_and_their_counterparts_are_told_apart(test: str, finds: bool) -> None:
    assert plants.is_find(test) is finds


def test_plants_that_passed_are_not_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []
    tests = [f"{plants._TESTS}::test_is_found[{name}]" for name in ("a", "b")]

    def pytest_of(*arguments: str) -> subprocess.CompletedProcess[str]:
        asked.append(arguments)
        failed = arguments[0] == tests[1] and len(asked) < 4
        said = "\n".join(tests) if "--collect-only" in arguments else "E  b was not found"
        return subprocess.CompletedProcess(arguments, int(failed), said, "")

    monkeypatch.setattr(plants, "_pytest", pytest_of)
    state = state_of("plants", tmp_path)
    plants.run(state, Deadline(1.0))
    assert state.violations[0]["what"] == f"{tests[1]}: b was not found"
    assert state.count("mistakes_found") == 1
    state.violations.clear()
    plants.run(state, Deadline(1.0))
    assert [words[0] for words in asked] == [plants._TESTS, *tests, plants._TESTS, tests[1]]
    assert (state.count("mistakes_found"), state.count("all_tests_passed")) == (2, 1)


def test_the_tree_that_runs_is_told() -> None:
    assert gate.commit() == "" or gate.commit().removesuffix("-dirty").isalnum()
