"""Item 12: known mistakes, planted one at a time, each found within a thousand seeds.

The tests are those of ``tests/sim/test_planted_bugs.py`` in their long form, in which no seed is
told them. Each is run by itself, so that what was found stays found when the slice is stopped.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from release.gate import TOP, Deadline, State, slice
from release.goals import AtLeast

_TESTS = "tests/sim/test_planted_bugs.py"
_FOUND = re.compile(r"test_.*(?:found|without_a)")
_SAID_LINES = 40


@slice(
    "plants",
    "25 planted mistakes or more, each found within 1,000 seeds or by its named test",
    (12,),
    [AtLeast("mistakes_found", 25), AtLeast("all_tests_passed", 1)],
)
def run(state: State, until: Deadline) -> None:
    """One test after another, those that have not passed yet."""
    tests = _collected()
    passed = set(state.facts.get("_passed", "").split())
    for test in tests:
        if test in passed:
            continue
        if until.over():
            return
        _one(state, test)
        if state.violations:
            return
        passed.add(test)
        state.fact("_passed", " ".join(sorted(passed)))
        # Counted anew: names change while the project lives.
        state.counters["mistakes_found"] = sum(is_find(each) for each in tests if each in passed)
        state.counters["tests_passed"] = len(passed.intersection(tests))
    state.counters["all_tests_passed"] = 1


def is_find(test: str) -> bool:
    """Whether a test plants a mistake and finds it, and is not its counterpart without one."""
    return _FOUND.match(test.partition("::")[2]) is not None


def _collected() -> list[str]:
    done = _pytest(_TESTS, "--collect-only", "-q")
    assert done.returncode == 0, done.stdout
    return [line for line in done.stdout.splitlines() if line.startswith(_TESTS)]


def _one(state: State, test: str) -> None:
    state.say(test.partition("::")[2])
    done = _pytest(test, "-q", "-x")
    if done.returncode != 0:
        said = Path(state.directory / "work" / "plants.txt")
        said.parent.mkdir(parents=True, exist_ok=True)
        said.write_text(done.stdout, encoding="utf-8")
        tail = done.stdout.splitlines()[-_SAID_LINES:]
        what = next((line[2:].strip() for line in tail if line.startswith("E ")), "it failed")
        state.violation(f"{test}: {what}", f"KVORUM_LONG=1 pytest '{test}'", said)


def _pytest(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-n0", "-p", "no:cacheprovider", *arguments],
        cwd=TOP,
        env={**os.environ, "KVORUM_LONG": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
