"""After a run: the memories of clients and watchers before the judge.

The judge of :mod:`kvorum.check` knows nothing of the machine, so that one mistake cannot sit in
both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kvorum.check import records as r
from kvorum.check.judge import judge
from kvorum.raft.types import Entry
from kvorum.sim.following import Follower
from kvorum.sim.recorded import recorded
from kvorum.sim.workload import Operation
from kvorum.sim.world import World

_NS = 1_000


def verify(
    world: World,
    committed: Mapping[int, Entry],
    operations: Sequence[Operation],
    watchers: Sequence[Follower],
    rebuilt: Sequence[tuple[int, int]] = (),
) -> r.History:
    """Raise SafetyViolation unless every answer that was given fits the order of the log, and every
    watcher was told all of it. ``rebuilt``: see :func:`kvorum.sim.recorded.recorded`."""
    for index in range(1, max(committed, default=0) + 1):
        if index not in committed:
            world.fail(f"nobody remembers committed entry {index}")
    history = recorded(world.seed, committed, operations, rebuilt)
    for watcher in watchers:
        history.watches.extend(watcher.watches)
        history.seen.extend(watcher.seen)
    # The run has waited for its watchers: each was told everything that the log holds.
    newest = max((row.revision for row in history.applied), default=1)
    history.quiet = r.Quiet(world.now_us * _NS, newest)
    for finding in judge(history).findings:
        world.fail(f"{finding.rule}: {finding.text}")
    return history
