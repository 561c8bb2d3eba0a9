"""The pure floors have a test for every branch: ``python tests/house/coverage_guard.py``.

Raft, the machine, the replica and the judge are functions of their inputs; what no input reaches is
either forgotten by the tests or superfluous. This runs their own unit tests and scripts under
coverage, in two processes at once, and exits with 1 when a branch of them was not taken. Tests that
only repeat the others many times over (random histories, crowds of leases) are left out here: they
are for what a branch does, not for whether it is there.

The configuration is pyproject's ``tool.coverage``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
SHARES = (("raft", "replica"), ("machine", "check"))
LEFT_OUT = (
    "tests/unit/machine/test_auth_against_etcd.py",
    "tests/unit/raft/test_membership.py::test_any_quorum_before_a_change_meets_any_quorum_after_it",
    "tests/unit/raft/test_safety.py",
    "tests/unit/replica/test_many_leases.py",
)
COVERAGE = (sys.executable, "-m", "coverage")


def main() -> int:
    """Measure and judge; the exit status."""
    with tempfile.TemporaryDirectory() as folder:
        env = os.environ | {"COVERAGE_FILE": str(Path(folder) / "data")}
        running = [start(floors, env) for floors in SHARES]
        outputs = [each.communicate()[0] for each in running]
        failed = [text for each, text in zip(running, outputs, strict=True) if each.returncode]
        if failed:
            print(*failed, sep="\n", file=sys.stderr)
            return 1
        subprocess.run([*COVERAGE, "combine", "-q"], cwd=TOP, env=env, check=True)
        return subprocess.run([*COVERAGE, "report"], cwd=TOP, env=env, check=False).returncode


def start(floors: tuple[str, ...], env: dict[str, str]) -> subprocess.Popen[str]:
    """The tests of some floors, in a process of their own."""
    tests = [f"tests/unit/{floor}" for floor in floors]
    left_out = [f"--deselect={test}" for test in LEFT_OUT if test.startswith(tuple(tests))]
    pytest = ["-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", "--hypothesis-seed=0"]
    return subprocess.Popen(
        [*COVERAGE, "run", "--parallel-mode", *pytest, *tests, *left_out],
        cwd=TOP,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


if __name__ == "__main__":
    sys.exit(main())
