"""The one command: format, lint, types, import contracts, coverage of the pure floors, tests; and
seconds for each.

    python tests/check.py                 everything, by two workers
    python tests/check.py --quick         under two minutes: without what is slow
    python tests/check.py --only lint     one stage, or one kind of tests (unit, sim, cluster, ...)
    python tests/check.py -- -k lease -x  what follows -- goes to pytest; -n0 is one process
    python tests/check.py --release       the release gate instead: hours, in slices that go on
                                          where they were stopped (--release --help)

It stops before the tests when an earlier stage fails (``--keep-going`` does not) and exits with
1 then. Needs nothing but the ``dev`` extra; tests of programs that are not installed are
skipped with the reason, unless ``KVORUM_CI=1``, which makes them fail.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import sysconfig
import time
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent

# The order in which tests run: what fails fastest and explains most comes first. A kind is a
# folder below tests/; one that is missing here runs last.
KINDS = ["house", "unit", "scripts", "disk", "sim", "api", "tui", "cluster", "compat", "fuzz"]
STAGES = ["format", "lint", "types", "contracts", "coverage", "tests"]
# Left out by --quick, as is coverage: real processes, programs of others, long random runs.
SLOW_KINDS = {"api", "cluster", "compat", "fuzz", "sim"}
# Tests wait for processes more than they compute. A file's tests stay together and share clusters.
WORKERS = ["-n", "2", "--dist", "loadfile"]


@dataclass(frozen=True)
class Result:
    """How a stage went."""

    name: str
    ok: bool
    seconds: float


def main() -> int:
    """Run the stages asked for; the exit status is 0 only if all of them passed."""
    if "--release" in sys.argv[1:]:
        # Only the gate needs kvorum itself.
        from release.command import main as release

        status = release([word for word in sys.argv[1:] if word != "--release"])
        # An interpreter that used DuckDB ends with pages of its bindings' own leaks, below what
        # was said here.
        sys.stdout.flush()
        os._exit(status)
    options = parse()
    stages = [stage for stage in STAGES if not (options.quick and stage == "coverage")]
    kinds = [kind for kind in all_kinds() if not (options.quick and kind in SLOW_KINDS)]
    if options.only in STAGES:
        stages = [options.only]
    elif options.only:
        stages, kinds = ["tests"], [options.only]
    results: list[Result] = []
    for stage in stages:
        broken = [result.name for result in results if not result.ok]
        if stage == "tests":
            print_summary(results)
            if broken and not options.keep_going:
                print(f"tests not run: {', '.join(broken)} failed (--keep-going runs them)")
                return 1
        command = command_of(stage, kinds, options.quick, options.pytest)
        results.append(run(stage, command, options.quick))
    if stages[-1] != "tests":
        print_summary(results)
    broken = [result.name for result in results if not result.ok]
    if broken:
        print(f"check failed: {', '.join(broken)}", file=sys.stderr)
    return 1 if broken else 0


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="The one command that judges a change.")
    parser.add_argument("--quick", action="store_true", help="under two minutes")
    parser.add_argument("--keep-going", action="store_true", help="run every stage, whatever fails")
    parser.add_argument(
        "--only",
        choices=[*STAGES, *all_kinds()],
        help="one stage, or one kind of tests",
    )
    parser.add_argument("--release", action="store_true", help="the release gate: see its --help")
    parser.add_argument("pytest", nargs="*", help="after --: what pytest gets besides")
    return parser.parse_args()


def all_kinds() -> list[str]:
    """The folders below tests/ that hold tests, in the order in which they run."""
    found = {path.relative_to(TOP / "tests").parts[0] for path in TOP.glob("tests/**/test_*.py")}
    rest = sorted(found - set(KINDS))
    return [kind for kind in KINDS if kind in found] + rest


def command_of(stage: str, kinds: list[str], quick: bool, extra: list[str]) -> list[str]:
    """The command line of a stage."""
    python = [sys.executable, "-m"]
    if stage == "format":
        return [*python, "ruff", "format", "--check", "."]
    if stage == "lint":
        return [*python, "ruff", "check", "."]
    if stage == "types":
        return [*python, "mypy"]
    if stage == "contracts":
        # import-linter has no `python -m`; its command lies beside this Python.
        return [str(Path(sysconfig.get_path("scripts")) / "lint-imports"), "--no-logo"]
    if stage == "coverage":
        return [sys.executable, str(TOP / "tests" / "house" / "coverage_guard.py")]
    hurry = ["-m", "not slow"] if quick else []
    return [*python, "pytest", *(f"tests/{kind}" for kind in kinds), *hurry, *WORKERS, *extra]


def run(stage: str, command: list[str], quick: bool) -> Result:
    """Run one stage. Its output is shown as it comes for tests, and only on failure for the
    others.
    """
    env = os.environ | {"KVORUM_QUICK": "1"} if quick else dict(os.environ)
    began = time.monotonic()
    if stage == "tests":
        print(f"== tests: {' '.join(command[2:])}", flush=True)
        done = subprocess.run(command, cwd=TOP, env=env, check=False)
    else:
        print(f"== {stage}", flush=True)
        done = subprocess.run(
            command, cwd=TOP, env=env, check=False, text=True, capture_output=True
        )
        if done.returncode != 0:
            print(done.stdout, done.stderr, sep="", flush=True)
    return Result(stage, done.returncode == 0, time.monotonic() - began)


def print_summary(results: list[Result]) -> None:
    """The stages so far, with their seconds."""
    for result in results:
        word = "passed" if result.ok else "FAILED"
        print(f"{result.name:<10} {word}  {result.seconds:6.1f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
