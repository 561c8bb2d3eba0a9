"""Automatic compaction and the quota: what they decide, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from kvorum.config import CompactionConfig
from kvorum.errors import Condition, KvorumError
from kvorum.machine.commands import Compact, DeleteRange, LeaseGrant, Put, Range, Txn
from kvorum.server.compactor import PeriodicPlan, Plan, RevisionPlan, plan_of, run
from kvorum.server.quota import Quota, needs_room
from unit.server.members import Cluster, get, put, with_cluster

HOUR = 3600.0


def drive(
    plan: Plan, hours: float, leading: Callable[[float], bool] = lambda now: True
) -> list[tuple[int, int]]:
    """One revision a second; (minute, revision compacted to) of every compaction."""
    now, out = 0.0, []
    while now <= hours * HOUR:
        target = plan.look(now, int(now) + 1, leading(now))
        if target:
            out.append((int(now // 60), target))
        now += plan.step_s
    return out


def test_periodic_keeps_a_retention_of_several_hours() -> None:
    done = drive(PeriodicPlan(3 * HOUR), 6.05)
    # Nothing for three hours, then every hour, to the revision of three hours before.
    assert [minute for minute, _ in done] == [180, 240, 300, 360]
    assert [revision for _, revision in done] == [1, 3601, 7201, 10801]


def test_periodic_of_less_than_an_hour_runs_as_often() -> None:
    done = drive(PeriodicPlan(600.0), 1.0)
    assert [minute for minute, _ in done] == [10, 20, 30, 40, 50, 60]
    assert [revision for _, revision in done] == [1, 601, 1201, 1801, 2401, 3001]


def test_a_follower_samples_and_goes_on_as_a_leader() -> None:
    done = drive(PeriodicPlan(600.0), 1.0, leading=lambda now: now > 1500)
    # It leads from minute 25 on and has samples of before.
    first = done[0]
    assert first[0] == 26
    assert first[1] == pytest.approx(961, abs=61)


def test_periodic_memory_is_bounded() -> None:
    plan = PeriodicPlan(3 * HOUR)
    drive(plan, 50.0)
    assert len(plan._samples) <= 33


def test_revision_keeps_a_number() -> None:
    plan = RevisionPlan(1000)
    assert plan.look(0, 900, True) == 0
    assert plan.look(300, 1500, False) == 0
    assert plan.look(600, 1500, True) == 500
    assert plan.look(900, 1500, True) == 0
    assert plan.look(1200, 1600, True) == 600


def test_flags_choose_the_plan() -> None:
    assert plan_of(CompactionConfig()) is None
    assert plan_of(CompactionConfig("revision", 0.0, 0)) is None
    assert isinstance(plan_of(CompactionConfig("periodic", 60.0, 0)), PeriodicPlan)
    assert isinstance(plan_of(CompactionConfig("revision", 0.0, 5)), RevisionPlan)


class Once:
    """A plan that says one revision at each look."""

    step_s = 0.0

    def look(self, now_s: float, revision: int, leading: bool) -> int:
        return revision if leading else 0


@pytest.mark.parametrize("condition", [Condition.COMPACTED, Condition.NO_LEADER])
def test_failures_do_not_end_the_compactor(condition: Condition) -> None:
    async def test() -> int:
        calls = 0
        enough = asyncio.Event()

        async def compact(revision: int) -> None:
            nonlocal calls
            calls += 1
            if calls == 3:
                enough.set()
            raise KvorumError(condition)

        task = asyncio.ensure_future(run(Once(), lambda: 7, lambda: True, compact))
        await enough.wait()
        task.cancel()
        return calls

    assert asyncio.run(test()) >= 3


@pytest.mark.parametrize(
    ("command", "needs"),
    [
        (Put(b"k", b"v"), True),
        (LeaseGrant(1, 5), True),
        (DeleteRange(b"k"), False),
        (Compact(3), False),
        (Txn((), (Range(b"k"), DeleteRange(b"k")), ()), False),
        (Txn((), (), (Txn((), (Put(b"k", b"v"),), ()),)), True),
    ],
)
def test_what_needs_room(command: object, needs: bool) -> None:
    assert needs_room(command) is needs


def test_the_size_is_not_asked_for_at_every_write() -> None:
    now, size, asked = 0.0, 5, 0

    def measured() -> int:
        nonlocal asked
        asked += 1
        return size

    quota = Quota(10, measured, lambda: now)
    command = Put(b"k", b"v")
    assert not any(quota.refuses(command) for _ in range(100))
    assert asked == 1
    size = 11
    assert not quota.refuses(command)
    now = 1.0
    assert quota.refuses(command)
    assert not quota.refuses(DeleteRange(b"k"))
    assert asked == 2
    assert not Quota(0, measured).refuses(command)


def test_a_full_node_refuses_writes_everywhere_and_serves_reads(tmp_path: Path) -> None:
    async def test(c: Cluster) -> None:
        leader = await c.leader()
        with pytest.raises(KvorumError) as caught:
            await put(c.node(leader), "k", "v")
        assert caught.value.condition is Condition.NO_SPACE
        while not all(node.machine.alarms.all() for node in c.running()):
            await asyncio.sleep(0.01)
        for node in c.running():
            with pytest.raises(KvorumError) as caught:
                await put(node, "k", "v")
            assert caught.value.condition is Condition.NO_SPACE
            assert await get(node, "k") is None
            await node.propose(DeleteRange(b"k"))

    with_cluster(tmp_path, 3, test, quota_bytes=1)
