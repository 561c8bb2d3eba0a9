"""A history that was lost and made anew from a snapshot: where exactly it begins, on real disks.

A snapshot's live keys do not say what its own last revision deleted (seed 3539 of the simulation).
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from kvorum.errors import Condition, KvorumError
from kvorum.history.database import parts
from kvorum.machine.commands import DeleteRange
from kvorum.replica.effects import Canceled, Deliver, Events
from kvorum.replica.requests import WatchSpec
from kvorum.server.runtime import Node
from unit.server.members import Cluster, get, put, with_cluster


async def saved(node: Node) -> None:
    """Wait until the snapshot of this moment is whole."""
    while node.status().snapshot_index < node.machine.applied_index:
        await asyncio.sleep(0.005)


def test_a_watcher_from_a_rebuilt_historys_first_revision_misses_nothing(tmp_path: Path) -> None:
    async def test(c: Cluster) -> None:
        node = c.node(0)
        await put(node, "a", "1")
        await put(node, "b", "1")
        await saved(node)
        # The oldest of the five snapshots that are kept ends in a deletion, ...
        deleted = (await node.propose(DeleteRange(b"a"))).stamp.revision
        await saved(node)
        for number in range(4):
            await put(node, f"c{number}", "1")
            await saved(node)
        await node.propose(DeleteRange(b"b"))
        last = node.machine.revision
        await c.stop(0)
        # ... and is what the history is made of, with the log behind it.
        newest = sorted((tmp_path / "n0/member/snap").glob("*.snap"))[1:]
        for path in newest:
            path.unlink()
        for part in parts(tmp_path / "n0/member/history.duckdb"):
            part.unlink(missing_ok=True)
        await c.start(0)
        await c.ready(0)
        node = c.node(0)
        first = node.replica.history_floor
        assert first == deleted + 1, "it claims only what it knows whole"

        delivered: list[Deliver] = []
        watching = node.open_watch_stream(delivered.append)
        for start in (first, first - 1):
            watching.create(WatchSpec(b"\0", b"\0", start_revision=start))
        seen: list[tuple[int, bytes]] = []
        ended: list[Canceled] = []
        while len(seen) < last - deleted or not ended:
            await asyncio.sleep(0.005)
            for delivery in delivered:
                watching.taken(delivery.size_bytes)
                for item in delivery.items:
                    if isinstance(item, Events):
                        assert item.watch_id == 0
                        seen += [(event.revision, event.key) for event in item.events]
                    elif isinstance(item, Canceled):
                        ended.append(item)
            delivered.clear()
        keys = [b"c0", b"c1", b"c2", b"c3", b"b"]
        assert seen == list(zip(range(first, last + 1), keys, strict=True))
        assert [(item.watch_id, item.compact_revision) for item in ended] == [(1, first)]
        watching.close()
        assert await get(node, "b", revision=first) == "1"
        with pytest.raises(KvorumError) as refused:
            await get(node, "a", revision=deleted - 1)
        assert refused.value.condition is Condition.COMPACTED

    with_cluster(tmp_path, 1, test, snapshot_count=1)
