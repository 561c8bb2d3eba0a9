"""Item 12: known mistakes, planted one at a time, each found within a thousand seeds.

The tests are those of ``tests/sim/test_planted_bugs.py`` in their long form, in which no seed is
told them; which mistakes there are, whose they were first, and what finds each is said by
:mod:`support.planted.table`. Tests are run some at a time, so that what was found stays found when
the slice is stopped.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from xml.etree import ElementTree

from release.gate import TOP, Deadline, State, slice
from release.goals import AtLeast

_TESTS = "tests/sim/test_planted_bugs.py"
# The name of a mistake and the kind of what finds it: what was made for it, or any seeds.
_FOUND = re.compile(r"::test_is_found\[(\w+)-(\w+?)\d*\]$")
_BY_CHANCE = re.compile(r"::test_is_found_by_chance\[(\w+)\]$")
# What a hunt through seeds says: the one that found it, counted from 0.
_SEED = re.compile(r": seed (\d+): ")
_AT_A_TIME = 4


@slice(
    "plants",
    "25 planted mistakes or more, 12 or more of etcd's 17 among them: each found within 1,000 "
    "seeds or by its named test, and nothing found without them",
    (12,),
    [
        AtLeast("mistakes_found", 25),
        AtLeast("of_etcds_seventeen", 12),
        AtLeast("_all_tests_passed", 1),
    ],
)
def run(state: State, until: Deadline) -> None:
    """One test after another, those that have not passed yet."""
    tests = _collected()
    passed = set(state.facts.get("_passed", "").split()) & set(tests)
    state.counters["_all_tests_passed"] = 0
    while left := [test for test in tests if test not in passed][:_AT_A_TIME]:
        if until.over():
            return
        passed.update(_some(state, left))
        state.fact("_passed", " ".join(sorted(passed)))
        _count(state, passed)
        if state.violations:
            return
    state.counters["_all_tests_passed"] = 1


def _count(state: State, passed: set[str]) -> None:
    """Anew each time: what tests there are changes while the project lives."""
    found = [find for test in passed if (find := found_by(test)) is not None]
    mistakes = {mistake for mistake, _ in found}
    state.counters["mistakes_found"] = len(mistakes)
    state.counters["tests_passed"] = len(passed)
    for name in state.group("found_by"):
        del state.counters[f"found_by/{name}"]
    for _, finder in found:
        state.add(f"found_by/{finder}")
    state.counters["of_etcds_seventeen"] = sum(
        bool(mistakes.intersection(names)) for names in siblings().values()
    )


def found_by(test: str) -> tuple[str, str] | None:
    """The mistake that a test plants and finds, and by what; None for those that show that nothing
    is found without one.
    """
    if match := _BY_CHANCE.search(test):
        return match[1], "any_seeds"
    match = _FOUND.search(test)
    return (match[1], match[2]) if match else None


def siblings() -> dict[str, list[str]]:
    """For each of etcd's own bugs, the planted mistakes of its kind."""
    from support.planted import table

    return table.siblings()


def _collected() -> list[str]:
    done = _pytest(_TESTS, "--collect-only", "-q")
    assert done.returncode == 0, done.stdout
    return [line for line in done.stdout.splitlines() if line.startswith(_TESTS)]


def _some(state: State, tests: list[str]) -> list[str]:
    """Run these; those that passed."""
    with state.scratch() as place:
        report = place / "report.xml"
        done = _pytest(*tests, "-q", f"--junitxml={report}", "-o", "junit_logging=all")
        (place / "said.txt").write_text(done.stdout + done.stderr, encoding="utf-8")
        cases = ElementTree.parse(report).getroot().iter("testcase")
        passed = []
        for test, case in zip(tests, cases, strict=True):
            assert test.endswith(f"::{case.get('name')}"), f"{case.get('name')} is not {test}"
            broken = [part for part in case if part.tag in ("failure", "error", "skipped")]
            for part in broken:
                what = f"{test}: {part.get('message')}"[:300]
                state.violation(what, f"KVORUM_LONG=1 pytest '{test}'", place)
            if not broken:
                passed.append(test)
                said = _SEED.search(case.findtext("system-out", ""))
                if said and found_by(test) is not None:
                    state.sample("seeds_needed", int(said[1]) + 1)
        return passed


def _pytest(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-n0", "-p", "no:cacheprovider", *arguments],
        cwd=TOP,
        env={**os.environ, "KVORUM_LONG": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
