"""What a request costs in calls of functions, against the budget: see ``bench/budget.py``."""

from __future__ import annotations

import asyncio
from pathlib import Path

from support.budget import TOLERANCE, Found, agreement, budgets, requests

# The cheapest request counts, and one that is cheap enough ends the search: only one that has
# become dearer is asked so often.
_TRIES = 200
# Fewer cannot be: then nothing was counted.
_LEAST = 50


def allowed() -> dict[str, int]:
    """The budget, and what is not worth a quarrel."""
    return {name: int(calls * (1 + TOLERANCE)) for name, calls in budgets().items()}


def dearer(found: Found) -> dict[str, str]:
    """Requests that cost more than they may, or seem to cost nothing."""
    return {
        name: f"{calls.total()} calls, {allowed()[name]} allowed"
        for name, calls in found.items()
        if not _LEAST < calls.total() <= allowed()[name]
    }


def test_requests_cost_no_more_calls_than_their_budget(tmp_path: Path) -> None:
    found = asyncio.run(requests(tmp_path, allowed(), _TRIES))
    assert found and not dearer(found), "python tests/bench/budget.py NAME tells more"


def test_three_nodes_agree_with_no_more_calls_than_their_budget() -> None:
    found = asyncio.run(agreement(allowed(), _TRIES))
    assert found and not dearer(found), "python tests/bench/budget.py NAME tells more"


def test_a_request_that_has_become_dearer_is_found() -> None:
    """A budget of half of what it costs now is not kept."""
    half = {name: calls // 2 for name, calls in allowed().items()}
    found = asyncio.run(agreement(half, 3))
    assert found and all(calls.total() > half[name] for name, calls in found.items())
