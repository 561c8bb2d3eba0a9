"""The release gate answers to all of its items, and the page of tests says so."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from release import command, table
from release.gate import SLICES, State
from release.idle import Others, process_s
from support.sources import TOP

# What is demanded of a release; reading it is left to tests/README.md.
ITEMS = range(1, 14)


def page() -> str:
    return table.README.read_text(encoding="utf-8")


def test_every_item_has_a_slice() -> None:
    command.load()
    assert {item for part in SLICES.values() for item in part.items} == set(ITEMS)


def test_every_slice_has_a_goal_that_can_be_open() -> None:
    """Without one, it would be met by not being run."""
    command.load()
    for part in SLICES.values():
        nothing = State(part, TOP / "nowhere")
        assert any(goal.open(nothing) for goal in part.goals), part.name
        assert nothing.verdict() == "not run"


def test_the_page_has_a_row_for_each_slice() -> None:
    """Written by ``check.py --release --table``, beside the goal that the figures were for."""
    command.load()
    rows = re.findall(r"^\| ([\d, ]+) \| `(\w+)` \| .+ \| .+ \| .+ \|$", page(), re.MULTILINE)
    items = {part.name: ", ".join(map(str, part.items)) for part in SLICES.values()}
    assert {name: of for of, name in rows} == items


def test_the_page_takes_new_figures() -> None:
    command.load()
    states = [State(SLICES[name], TOP / "nowhere") for name in command.ordered()]
    again = table.filled(page(), states)
    assert again.count("| not run | not run |") == len(states)
    assert table.filled(again, states) == again


def test_figures_are_not_wiped_by_a_directory_without_any(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="nothing was run"):
        command.main(["--table", "--dir", str(tmp_path)])


def test_the_one_command_lists_the_slices(tmp_path: Path) -> None:
    words = ["tests/check.py", "--release", "--list", "--dir", str(tmp_path)]
    listed = subprocess.run(
        [sys.executable, *words], cwd=TOP, capture_output=True, text=True, check=True
    ).stdout
    command.load()
    for name, part in SLICES.items():
        assert f"{name}  (item" in listed
        assert part.goal in listed


def test_work_of_others_is_told_from_the_own() -> None:
    """By a child that works for a quarter of a second and then waits."""
    work = "import time, sys\nwhile time.process_time() < 0.25: pass\nprint(flush=True)\ninput()"
    others = Others()
    command_line = [sys.executable, "-c", work]
    with subprocess.Popen(command_line, stdin=-1, stdout=-1, text=True) as child:
        assert child.stdout is not None and child.stdin is not None
        child.stdout.readline()
        assert process_s(child.pid) >= 0.2
        assert others.share(()) > 0
        assert others.share([child.pid, 0]) < others.share(())
        child.stdin.close()
    assert process_s(child.pid) == 0.0
