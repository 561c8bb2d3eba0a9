"""Which seeds a tree is tried with, and what each must hold.

The first one is a number made of the sources that decide what a run does: a change brings new
seeds, and the same tree has always the same ones, so that a failure can be met again.
``KVORUM_SEED_FIRST`` and ``KVORUM_SEEDS`` (how many) say otherwise.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from hashlib import blake2b
from pathlib import Path

import kvorum
import pytest
from kvorum.sim.plan import draw_plan
from kvorum.sim.run import Report, Simulation, judged
from kvorum.sim.world import SafetyViolation

SEEDS = int(os.environ.get("KVORUM_SEEDS", "300"))
# With its quiet beginning and the healing at its end a run takes two hundred simulated seconds.
STORM_S = 188.0
BATCH = 5
PARTS = 4  # Files of tests, so that two processes share the work evenly.
_DECIDE = ("raft", "machine", "replica", "sim", "storage", "check")
_TRACE_LINES = 60


@cache
def first_seed() -> int:
    """The first of this tree's seeds."""
    said = os.environ.get("KVORUM_SEED_FIRST")
    if said is not None:
        return int(said)
    return seed_of([Path(kvorum.__file__).parent / room for room in _DECIDE])


def seed_of(rooms: Sequence[Path]) -> int:
    """A number made of all Python sources in these directories, by their names and contents."""
    digest = blake2b(digest_size=4)
    for room in rooms:
        for source in sorted(room.rglob("*.py")):
            text = source.read_bytes()
            name = f"{room.name}/{source.relative_to(room).as_posix()} {len(text)}\n"
            digest.update(name.encode() + text)
    return int.from_bytes(digest.digest(), "big")


def batches(part: int) -> list[int]:
    """The first seeds of the batches of one of ``PARTS`` parts, counted from :func:`first_seed`."""
    return list(range(part * BATCH, SEEDS, PARTS * BATCH))


def hold(offset: int) -> None:
    """Run a batch of seeds; the test fails with the trace's end and the command that shows it."""
    acknowledged = 0
    for seed in range(offset, min(offset + BATCH, SEEDS)):
        with uncollected():
            acknowledged += one(first_seed() + seed).acknowledged
    # One seed may be so unlucky that nothing is ever acknowledged; a whole batch may not.
    assert acknowledged > 100, "the clients hardly did anything"


@contextmanager
def uncollected() -> Iterator[None]:
    """Without the collector of cycles, which finds next to none in a run and takes a seventh of its
    time beside thousands of collected tests; a run's own are collected when it is over.
    """
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.collect()
        gc.unfreeze()


def one(seed: int) -> Report:
    """Run one seed."""
    simulation = Simulation(seed, plan=draw_plan(seed, seconds=STORM_S))
    try:
        return judged(simulation)
    except SafetyViolation as violation:
        tail = "\n".join(list(simulation.world.trace)[-_TRACE_LINES:])
        replay = f"kvorum sim --seed {seed} --seconds {STORM_S:g}"
        pytest.fail(f"{tail}\n{violation}\nreplay: {replay}")
