"""Automatic compaction and the quota: what they decide, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from kvorum.config import CompactionConfig
from kvorum.errors import Condition, KvorumError
from kvorum.limits import DISK_RESERVE_BYTES
from kvorum.machine.commands import (
    AlarmSet,
    Compact,
    DeleteRange,
    LeaseGrant,
    LeaseRevoke,
    Put,
    Range,
    Txn,
)
from kvorum.server.compactor import PeriodicPlan, Plan, RevisionPlan, plan_of, run
from kvorum.server.quota import Quota, cost_bytes
from unit.server.members import Cluster, get, put, with_cluster

HOUR = 3600.0


def drive(
    plan: Plan,
    hours: float,
    leading: Callable[[float], bool] = lambda now: True,
    revision: Callable[[float], int] = lambda now: int(now) + 1,
    works: Callable[[float], bool] = lambda now: True,
) -> list[tuple[float, int]]:
    """One revision a second; (minute, revision compacted to) of every compaction asked for."""
    now, out = 0.0, []
    while now <= hours * HOUR + 1:
        target = plan.look(now, revision(now), leading(now))
        if target:
            out.append((round(now / 60, 1), target))
            if works(now):
                plan.done(now, target)
        now += plan.step_s
    return out


def test_periodic_keeps_a_retention_of_several_hours() -> None:
    done = drive(PeriodicPlan(3 * HOUR), 6)
    # Nothing for three hours, then every hour, to the revision of three hours before.
    assert done == [(180, 1), (240, 3601), (300, 7201), (360, 10801)]


def test_periodic_of_less_than_an_hour_runs_as_often() -> None:
    done = drive(PeriodicPlan(600.0), 1)
    assert done == [(10, 1), (20, 601), (30, 1201), (40, 1801), (50, 2401), (60, 3001)]


def test_periodic_looks_ten_times_a_period() -> None:
    assert PeriodicPlan(600.0).step_s == 60
    assert PeriodicPlan(HOUR).step_s == 360
    assert PeriodicPlan(72 * HOUR).step_s == 360


def test_what_failed_is_asked_for_at_the_next_look() -> None:
    done = drive(PeriodicPlan(600.0), 0.5, works=lambda now: now > 800)
    # Every minute, each time to the revision of ten minutes before, until it works.
    assert done == [(10, 1), (11, 61), (12, 121), (13, 181), (14, 241), (24, 841)]


def test_without_writes_there_is_nothing_to_compact_twice() -> None:
    done = drive(PeriodicPlan(600.0), 1, revision=lambda now: 5 if now < 2000 else 9)
    # Then as soon as the newer revision is old enough.
    assert done == [(10, 5), (44, 9)]


def test_a_follower_samples_and_goes_on_as_a_leader() -> None:
    # It leads from minute 25 on and has samples of before.
    done = drive(PeriodicPlan(600.0), 1, leading=lambda now: now >= 1500)
    assert done == [(25, 901), (35, 1501), (45, 2101), (55, 2701)]


def test_periodic_memory_is_bounded() -> None:
    plan = PeriodicPlan(3 * HOUR)
    drive(plan, 50.0)
    assert len(plan._samples) <= 32


def test_revision_keeps_a_number() -> None:
    plan = RevisionPlan(1000)
    assert plan.step_s == 300
    assert plan.look(0, 5000, True) == 0, "the first compaction comes after a step"
    assert plan.look(300, 900, True) == 0
    assert plan.look(600, 1500, False) == 0
    assert plan.look(900, 1500, True) == 500
    assert plan.look(1200, 1500, True) == 500, "it was not done"
    plan.done(1200, 500)
    assert plan.look(1500, 1500, True) == 0
    assert plan.look(1800, 1600, True) == 600


def test_flags_choose_the_plan() -> None:
    assert plan_of(CompactionConfig()) is None
    assert plan_of(CompactionConfig("revision", 0.0, 0)) is None
    assert isinstance(plan_of(CompactionConfig("periodic", 60.0, 0)), PeriodicPlan)
    assert isinstance(plan_of(CompactionConfig("revision", 0.0, 5)), RevisionPlan)


class Clock:
    """Time that passes when somebody sleeps; it ends after so many sleeps."""

    def __init__(self, sleeps: int) -> None:
        self.now_s = 1000.0
        self._left = sleeps

    def now(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        self._left -= 1
        if not self._left:
            raise EOFError


@pytest.mark.parametrize(
    ("condition", "minutes"),
    [
        (None, [10, 20, 30]),
        (Condition.COMPACTED, [10, 20, 30]),
        (Condition.NO_LEADER, [10, 11, 12, 13]),
    ],
)
def test_the_compactor_with_a_clock_of_its_own(
    condition: Condition | None, minutes: list[int]
) -> None:
    """A revision that is compacted already counts as success; other failures end nothing."""
    clock = Clock(31 if condition is not Condition.NO_LEADER else 14)
    asked: list[tuple[int, int]] = []

    async def compact(revision: int) -> None:
        asked.append((int(clock.now_s - 1000) // 60, revision))
        if condition is not None:
            raise KvorumError(condition)

    with pytest.raises(EOFError):
        asyncio.run(
            run(
                PeriodicPlan(600.0),
                lambda: int(clock.now_s),
                lambda: True,
                compact,
                clock.now,
                clock.sleep,
            )
        )
    assert [minute for minute, _ in asked] == minutes
    assert [revision for _, revision in asked] == [1000 + 60 * (m - 10) for m in minutes]


@pytest.mark.parametrize(
    ("command", "cost"),
    [
        (Put(b"key", b"value"), 256 + 8),
        (LeaseGrant(1, 5), 64),
        (DeleteRange(b"k"), 0),
        (Compact(3), 0),
        (LeaseRevoke(3), 0),
        (AlarmSet(1, 1, 1), 0),
        (Txn((), (Range(b"k"), DeleteRange(b"k")), ()), 0),
        (Txn((), (Put(b"a", b"b"), Put(b"c", b"d")), (Put(b"k", b"v" * 200),)), 516),
        (Txn((), (Put(b"a", b"b"),), (Put(b"k", b"v" * 200),)), 457),
        (Txn((), (), (Txn((), (Put(b"k", b"v"),), ()), Put(b"k", b"v"))), 516),
    ],
)
def test_what_a_command_costs(command: object, cost: int) -> None:
    assert cost_bytes(command) == cost


def test_the_size_is_not_measured_at_every_write() -> None:
    now, size, asked = 0.0, 500, 0

    def measured() -> int:
        nonlocal asked
        asked += 1
        return size

    quota = Quota(100_000, measured, lambda: now)
    command = Put(b"k", b"v" * 743)
    assert not any(quota.refuses(command) for _ in range(99))
    assert asked == 1
    # By etcd's estimate it could be full now, so it is measured; it is not.
    assert not quota.refuses(command)
    assert asked == 2
    size = 98_999
    now = 1.0
    assert not quota.refuses(command)
    size = 99_000
    assert quota.refuses(command), "the size and the cost reach the quota"
    assert not quota.refuses(DeleteRange(b"k"))
    size = 50_000
    assert not quota.refuses(command), "room came back"
    assert not Quota(0, measured).refuses(command)


def test_a_disk_that_was_full_has_room_as_soon_as_there_is_some() -> None:
    free = 0
    quota = Quota(0, lambda: 0, lambda: 0.0, free_bytes=lambda: free)
    command = Put(b"k", b"v")
    assert quota.refuses(command)
    free = DISK_RESERVE_BYTES
    assert not quota.refuses(command)
    free = 0
    assert not quota.refuses(command), "it is looked at twice a second, not at each write"


def test_what_others_write_counts_too() -> None:
    size = 10
    quota = Quota(100, lambda: size, lambda: 0.0)
    assert not quota.exceeded(5)
    size = 100
    assert not quota.exceeded(5), "nothing was written since"
    assert quota.exceeded(6)
    assert not quota.exceeded(6)
    assert not Quota(0, lambda: size).exceeded(7)


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
