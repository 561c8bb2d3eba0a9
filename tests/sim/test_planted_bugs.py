"""Known mistakes, planted one at a time: each must be found by what is there to find it, for the
reason that is its own, or the tests prove nothing. Without it the same finders find nothing.

``KVORUM_LONG=1`` looks for many of them in runs that look for nothing, too, seed by seed up to a
thousand, and says how many it took.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from support.planted.finders import Finder, Focused, by_chance
from support.planted.mistakes import Mistake
from support.planted.table import ETCDS_SEVENTEEN, MISTAKES, rows, siblings

SEEDS_MAX = 1_000
HUNTS = [(mistake, finder) for mistake in MISTAKES for finder in mistake.found_by]
# Many mistakes are found by the same text, test or run.
FINDERS = list(dict.fromkeys(replace(finder, shows="") for _, finder in HUNTS))


@pytest.mark.parametrize(
    ("mistake", "finder"), HUNTS, ids=[f"{m.name}-{type(f).__name__.lower()}" for m, f in HUNTS]
)
def test_is_found(
    mistake: Mistake, finder: Finder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mistake.plant(monkeypatch)
    found = finder.hunt(monkeypatch, tmp_path)
    assert found is not None, f"{mistake.name} was not found by {finder.words}"


if os.environ.get("KVORUM_LONG"):

    @pytest.mark.parametrize(
        "mistake", [m for m in MISTAKES if m.by_chance], ids=lambda mistake: mistake.name
    )
    def test_is_found_by_chance(mistake: Mistake, monkeypatch: pytest.MonkeyPatch) -> None:
        shows = next(finder.shows for finder in mistake.found_by if isinstance(finder, Focused))
        mistake.plant(monkeypatch)
        found = by_chance(shows, range(SEEDS_MAX))
        print(f"{mistake.name}: {found}")
        assert found is not None, f"{mistake.name} was not found in {SEEDS_MAX} seeds"


@pytest.mark.parametrize(
    "finder", FINDERS, ids=lambda finder: re.sub(r"[^\w/]+", "-", finder.words)
)
def test_holds_without_it(finder: Finder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert finder.holds(monkeypatch, tmp_path) is None


def test_every_mistake_has_its_row() -> None:
    table = rows()
    assert len(table) >= 25
    assert len({name for name, *_ in table}) == len(table)
    assert all(all(row) for row in table)


def test_etcds_own_have_siblings() -> None:
    found = siblings()
    assert len(found) == len(ETCDS_SEVENTEEN) == 17
    assert sum(bool(names) for names in found.values()) >= 12
