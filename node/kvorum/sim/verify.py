"""After a run: the clients' memories before the judge, the watchers' against the order of the log.

The judge of :mod:`kvorum.check` knows nothing of the machine, so that one mistake cannot sit in
both. A watcher of a simulation remembers kinds and keys only, and is compared here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kvorum.check import records as r
from kvorum.check.judge import judge
from kvorum.raft.types import Entry
from kvorum.sim.recorded import recorded
from kvorum.sim.workload import Follower, Operation
from kvorum.sim.world import World

_PUT, _DELETE = 0, 1


def verify(
    world: World,
    committed: Mapping[int, Entry],
    operations: Sequence[Operation],
    watchers: Sequence[Follower],
) -> r.History:
    """Raise SafetyViolation unless every answer that was given fits the order of the log."""
    for index in range(1, max(committed, default=0) + 1):
        if index not in committed:
            world.fail(f"nobody remembers committed entry {index}")
    history = recorded(world.seed, committed, operations)
    for finding in judge(history).findings:
        world.fail(f"{finding.rule}: {finding.text}")
    order = [
        (row.revision, tuple((_kind(event), event.kv.key) for event in row.events))
        for row in history.applied
    ]
    for watcher in watchers:
        _check_watch(world, order, watcher)
    return history


def _kind(event: r.Event) -> int:
    return _PUT if event.kind == r.PUT else _DELETE


def _check_watch(
    world: World, order: Sequence[tuple[int, tuple[tuple[int, bytes], ...]]], watcher: Follower
) -> None:
    """Each change once, in order, whole; only a compaction may leave a gap, and it says so."""
    gaps = watcher.gaps
    expected = [
        (revision, changes)
        for revision, changes in order
        if revision < watcher.next_revision
        and not any(start <= revision < end for start, end in gaps)
    ]
    if watcher.revisions != expected:
        for seen, true in zip(watcher.revisions, expected, strict=False):
            if seen != true:
                world.fail(f"a watcher saw {seen}, not {true}")
        world.fail(f"a watcher saw {len(watcher.revisions)} revisions, not {len(expected)}")
