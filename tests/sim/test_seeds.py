"""Simulated clusters under faults: nothing acknowledged is lost, members agree, healed ones serve.

Three hundred fresh seeds for every change of the sources (see ``support.seeds``), in four files of
one shape, because a file of tests is what one of two processes takes at a time.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from kvorum.sim.run import Simulation
from support import seeds


@pytest.mark.parametrize("offset", seeds.batches(0))
def test_seeds_hold(offset: int) -> None:
    seeds.hold(offset)


def test_every_seed_is_in_one_batch() -> None:
    begun = [offset for part in range(seeds.PARTS) for offset in seeds.batches(part)]
    assert sorted(begun) == list(range(0, seeds.SEEDS, seeds.BATCH))


def test_one_three_and_five_nodes_are_among_the_seeds() -> None:
    first = seeds.first_seed()
    counts = {Simulation(seed).count for seed in range(first, first + 40)}
    assert counts == {1, 3, 5}


def test_a_change_of_the_sources_brings_new_seeds(tmp_path: Path) -> None:
    room = tmp_path / "raft"
    room.mkdir()
    (room / "one.py").write_text("a = 1\n")
    (room / "notes.txt").write_text("nothing that decides\n")
    before = seeds.seed_of([room])
    copy = tmp_path / "elsewhere" / "raft"
    shutil.copytree(room, copy)
    (copy / "notes.txt").unlink()
    assert seeds.seed_of([copy]) == before
    (copy / "one.py").write_text("a = 2\n")
    changed = seeds.seed_of([copy])
    (copy / "one.py").rename(copy / "two.py")
    assert len({before, changed, seeds.seed_of([copy])}) == 3


def test_the_same_tree_has_the_same_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KVORUM_SEED_FIRST", raising=False)
    seeds.first_seed.cache_clear()
    first = seeds.first_seed()
    seeds.first_seed.cache_clear()
    assert seeds.first_seed() == first > 0
    monkeypatch.setenv("KVORUM_SEED_FIRST", "7")
    seeds.first_seed.cache_clear()
    assert seeds.first_seed() == 7
    monkeypatch.undo()
    seeds.first_seed.cache_clear()
