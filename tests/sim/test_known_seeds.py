"""Runs that failed once: they hold now, and where the mistake is put back they find it again."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from kvorum.sim.plan import Plan, draw_plan
from kvorum.sim.shrink import run_plan
from support import planted

_TESTS = Path(__file__).parents[1]
_RUNS: list[dict[str, Any]] = tomllib.loads((_TESTS / "seeds.toml").read_text())["run"]


def _plan(run: dict[str, Any]) -> Plan:
    if "plan" in run:
        return Plan.from_json((_TESTS / run["plan"]).read_text())
    return draw_plan(run["seed"], run.get("nodes", 0), run.get("seconds", 30.0))


@pytest.mark.parametrize("run", _RUNS, ids=lambda run: f"seed {run['seed']}")
def test_holds_now(run: dict[str, Any]) -> None:
    assert run["story"].strip() and run["found"]
    assert run_plan(_plan(run)) is None


@pytest.mark.parametrize(
    "run", [run for run in _RUNS if "plant" in run], ids=lambda run: f"seed {run['seed']}"
)
def test_finds_its_mistake_again(run: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    getattr(planted, run["plant"])(monkeypatch)
    assert run_plan(_plan(run)) is not None


def test_every_kept_plan_has_its_story() -> None:
    kept = {f"sim/plans/{path.name}" for path in (_TESTS / "sim" / "plans").glob("*.json")}
    assert kept == {run["plan"] for run in _RUNS if "plan" in run}
