"""Real processes broken under load: nothing acknowledged is lost, every answer was right.

Four faults under five thousand operations and the judge over all of it; what a longer run does is
``tests/release/faults.py``. What follows are ways back that take more than an election.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from kvorum.check.judge import judge
from kvorum.check.lines import encode_line
from kvorum.client import Client
from kvorum.drill.processes import ProcessStage
from kvorum.drill.scenario import Step, parse_scenario
from kvorum.drill.stage import Fault
from kvorum.drill.targets import cut_links
from support.clusters import WAIT_S, ClusterHandle

Launch = Callable[..., ClusterHandle]

pytestmark = pytest.mark.slow

OPERATIONS = 5_000
LOAD = """
name = "four-faults"
title = "Four faults, one after the other"
learn = "Nothing that is not in the drills that ship."
[workload]
clients = 40
rate = 800
keys = 8
watchers = 4
leases = 4
[[step]]  # None is run: the test has its own conditions.
at_s = 0
do = "heal"
"""


class Broken:
    """A stage with clients, and the deeds of the test. Where a drill has times, it has numbers of
    operations, so that a slow machine is given the time that it takes.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        scenario = parse_scenario(LOAD, folder / "scenario.toml")
        self.stage = ProcessStage("live", scenario, 1, folder / "cluster", threading.Event())
        self.history = self.stage.recorder.history

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for something, with a bound."""
        end_s = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < end_s, f"not within {WAIT_S:g} s: {what}"
            await asyncio.sleep(0.02)

    async def answers(self, more: int) -> None:
        """So many more operations are over."""
        goal = len(self.history.operations) + more
        await self.until(lambda: len(self.history.operations) >= goal, f"{more} answers")

    async def leader(self, after_term: int = 0) -> tuple[str, int]:
        """Who leads, and in which term; a later one than ``after_term``."""

        def leads() -> bool:
            view = self.stage.view()
            return view.leader is not None and view.node(view.leader).term > after_term

        await self.until(leads, f"a leader after term {after_term}")
        view = self.stage.view()
        assert view.leader is not None
        return view.leader, view.node(view.leader).term

    async def fault(self, do: str, *names: str, for_s: float = 60.0) -> Fault:
        """Break something; the stage itself proves that it bit, or raises."""
        view = self.stage.view()
        links = cut_links(do, view, names, (), random.Random(1)) if do == "isolate" else ()
        fault = Fault(Step(0, do, targets=names, for_s=for_s), names, links)
        assert await self.stage.inject(fault)
        return fault

    async def agreed(self) -> None:
        """Every member runs, in one term, under one leader."""

        def same() -> bool:
            view = self.stage.view()
            return view.leader is not None and {n.term for n in view.nodes} == {view.term}

        await self.until(same, "all in one term")

    async def judge(self) -> None:
        """Complete the recording and judge it; what is wrong is kept in the test's folder."""
        await self.stage.finish()
        verdict = await asyncio.to_thread(judge, self.history)
        if not verdict.ok:
            with (self._folder / "history.ndjson").open("w", encoding="utf-8") as out:
                out.writelines(encode_line(line) + "\n" for line in self.history.lines())
        assert verdict.ok, [finding.text for finding in verdict.findings[:3]]
        assert verdict.figures.acknowledged >= OPERATIONS
        assert verdict.figures.watches >= 4
        assert len(self.history.dumps) == 3
        assert len({digest.value for digest in self.history.digests}) == 1


def test_four_faults_under_five_thousand_operations(tmp_path: Path) -> None:
    async def main() -> None:
        broken = Broken(tmp_path)
        stage = broken.stage
        try:
            await stage.open()
            await stage.begin()
            for do in ("kill", "pause", "isolate"):
                await broken.answers(700)
                leader, term = await broken.leader()
                began_s = time.monotonic()
                fault = await broken.fault(do, leader)
                assert (await broken.leader(after_term=term))[0] != leader
                await broken.answers(200)
                if do == "pause":
                    await asyncio.sleep(max(0.0, began_s + 3.0 - time.monotonic()))
                await stage.lift(fault)
                await broken.agreed()
            await broken.answers(300)
            everybody = await broken.fault("kill", *stage.view().names)
            await stage.lift(everybody)
            await broken.agreed()

            def enough() -> bool:
                return sum(op.acknowledged for op in broken.history.operations) >= OPERATIONS

            await broken.until(enough, f"{OPERATIONS} operations")
            await broken.judge()
        finally:
            await stage.close()

    asyncio.run(main())


def test_a_member_that_was_away_too_long_gets_a_snapshot(kvorum_cluster: Launch) -> None:
    cluster = kvorum_cluster(3, flags=("--snapshot-count=50", "--snapshot-catchup-entries=20"))

    async def away() -> None:
        async with Client(cluster.endpoints) as client:
            for n in range(20):
                await client.put(f"before/{n}", "x")
            absent = (await asyncio.to_thread(cluster.followers))[0]
            await asyncio.to_thread(cluster.kill9, absent)
            present = [cluster.endpoint(name) for name in cluster.names if name != absent]
            async with Client(present) as others:
                for n in range(600):
                    await others.put(f"while-away/{n % 300}", f"{n}")
            await asyncio.to_thread(cluster.restart, absent)
            revision = (await client.put("after", "x")).header.revision
            member = client.member(cluster.endpoint(absent))
            found = await member.get_prefix("while-away/")
            assert len(found.kvs) == 300
            hashes = await client.cluster.hashes(revision)
            assert len({each.hash for each in hashes.values()}) == 1
            old = await member.get("while-away/0", revision=revision - 300)
            assert old is not None

    asyncio.run(away())


def test_leases_and_revision_survive_the_death_of_all(kvorum_cluster: Launch) -> None:
    cluster = kvorum_cluster(3)

    async def before() -> tuple[int, int]:
        async with Client(cluster.endpoints) as client:
            granted = await client.leases.grant(300)
            await client.put("leased", "x", lease=granted.id)
            return granted.id, (await client.put("last", "x")).header.revision

    lease, revision = asyncio.run(before())
    cluster.kill9()
    cluster.restart()

    async def after() -> None:
        async with Client(cluster.endpoints) as client:
            assert await client.leases.list() == (lease,)
            left = await client.leases.time_to_live(lease, keys=True)
            assert left.keys == (b"leased",)
            assert 0 < left.ttl_s <= 300
            assert (await client.put("next", "x")).header.revision == revision + 1
            assert (await client.get("last")).mod_revision == revision

    asyncio.run(after())
