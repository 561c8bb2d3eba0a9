"""Twenty thousand connections that nobody would make: no crash, no hang, nothing left behind.

Each is made of its seed (:mod:`fuzz.streams`). After every thousand a decent client is asked, and
what lives as long as a call or a connection is counted: it is what it was. A seed that fails is
named; ``KVORUM_FUZZ_SEED=n KVORUM_FUZZ_STREAMS=1 pytest tests/fuzz/test_streams.py`` is that
connection alone. A larger ``KVORUM_FUZZ_STREAMS`` is a longer run, another seed another one.
"""

from __future__ import annotations

import asyncio
import os

import pytest
from fuzz.streams import connection
from fuzz.world import Fuzzed, fuzzed

STREAMS = int(os.environ.get("KVORUM_FUZZ_STREAMS", "20000"))
FIRST_SEED = int(os.environ.get("KVORUM_FUZZ_SEED", "1"))
BATCH = 1_000


async def one(world: Fuzzed, seed: int) -> None:
    """One connection, from its first byte to its end."""
    data, rng = connection(seed)
    pipe = world.connect()
    cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.choice((0, 0, 1, 3))))
    for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        pipe.feed(data[begin:end])
        for _ in range(rng.choice((0, 1, 3))):
            await asyncio.sleep(0)
    for _ in range(4):
        await asyncio.sleep(0)
    pipe.lose()


def replay(seed: int) -> str:
    return f"KVORUM_FUZZ_SEED={seed} KVORUM_FUZZ_STREAMS=1 pytest {__file__}"


async def run(first: int, number: int) -> None:
    async with fuzzed() as world:
        before: dict[str, int] | None = None
        at_first = 0
        for begin in range(first, first + number, BATCH):
            for seed in range(begin, min(begin + BATCH, first + number)):
                try:
                    await one(world, seed)
                except Exception as error:
                    pytest.fail(f"{error!r}: {replay(seed)}")
                if complaints := world.complaints():
                    # One of the last few: what goes wrong may show a moment later.
                    pytest.fail(f"{complaints[:3]}: {replay(seed)}")
            world.local.tick()
            await world.settle()
            await world.check_health()
            await world.settle()
            counted = world.counts()
            # The first batch compiles codecs and opens what stays open.
            objects = counted.pop("objects")
            if before is None:
                before, at_first = counted, objects
            assert counted == before, f"left behind by the seeds from {begin}"
            # Requests that happened to be well-formed have written keys.
            assert objects - at_first <= begin - first, f"growth by the seeds from {begin}"


def test_twenty_thousand_connections() -> None:
    asyncio.run(run(FIRST_SEED, STREAMS))
