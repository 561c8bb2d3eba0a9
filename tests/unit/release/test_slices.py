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


class Planted:
    """Stands for pytest: some tests, of which one fails at first."""

    def __init__(self, tests: list[str], failing: str) -> None:
        self.tests = tests
        self.failing = failing
        self.ran: list[str] = []

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Answer as ``pytest`` with these arguments would."""
        if "--collect-only" in arguments:
            return subprocess.CompletedProcess(arguments, 0, "\n".join(self.tests), "")
        asked = [word for word in arguments if word.startswith(plants._TESTS)]
        self.ran += asked
        (report,) = [word.partition("=")[2] for word in arguments if "junitxml" in word]
        Path(report).write_text(f"<suite>{''.join(map(self.case, asked))}</suite>")
        return subprocess.CompletedProcess(arguments, 0, "", "")

    def case(self, test: str) -> str:
        """A test's part of the report."""
        failed = '<failure message="b was not found"/>' if test == self.failing else ""
        said = "<system-out>a: seed 25: digests differ</system-out>"
        return f'<testcase name="{test.partition("::")[2]}">{failed}{said}</testcase>'


def test_plants_that_passed_are_not_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [
        "is_found[a-seeds]",
        "is_found[b-text]",
        "is_found[b-named0]",
        "holds_without_it[x]",
        "is_found_by_chance[a]",
    ]
    tests = [f"{plants._TESTS}::test_{name}" for name in names]
    planted = Planted(tests, failing=tests[1])
    monkeypatch.setattr(plants, "_pytest", planted)
    monkeypatch.setattr(plants, "siblings", lambda: {"#1": ["a", "c"], "#2": ["c"], "#3": ["b"]})
    state = state_of("plants", tmp_path)
    plants.run(state, Deadline(1.0))
    assert state.violations[0]["what"] == f"{tests[1]}: b was not found"
    assert state.count("tests_passed") == 3  # Four at a time.
    state.violations.clear()
    planted.failing = ""
    plants.run(state, Deadline(1.0))
    assert planted.ran == [*tests[:4], tests[1], tests[4]]
    assert (state.count("mistakes_found"), state.count("of_etcds_seventeen")) == (2, 2)
    assert state.group("found_by") == {"any_seeds": 1, "named": 1, "seeds": 1, "text": 1}
    assert state.samples["seeds_needed"][0] == 26
    assert state.count("_all_tests_passed") == 1


def test_the_tree_that_runs_is_told() -> None:
    assert gate.commit() == "" or gate.commit().removesuffix("-dirty").isalnum()
