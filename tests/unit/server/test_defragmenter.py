"""Defragment on running members: who asks waits, everybody else is served."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import pytest
from kvorum.errors import KvorumError
from kvorum.history.defragment import Defragmentation
from kvorum.history.reader import HistoryInterrupted
from kvorum.history.transfer import copy_path
from kvorum.history.writer import HistoryWriter
from kvorum.machine.commands import Compact, DeleteRange, Put
from kvorum.server.defragmenter import Defragmenter
from kvorum.server.runtime import Node
from unit.server.members import PATIENCE_S, Cluster, get, put, with_cluster


def long_value(number: int) -> str:
    """One that cannot be compressed to nothing."""
    return Random(number).randbytes(1_000).hex()


async def fill(node: Node, rounds: int = 30) -> int:
    """A hundred keys written over and over, then compacted; the newest revision."""
    for number in range(rounds):
        values = [long_value(100 * number + key).encode() for key in range(100)]
        await asyncio.gather(
            *(node.propose(Put(b"k%03d" % key, value)) for key, value in enumerate(values))
        )
    await node.propose(DeleteRange(b"k01", b"k99"))
    revision = node.machine.revision
    await put(node, "mark", "before")
    await node.propose(Compact(revision, physical=True))
    return revision


async def hash_kv(node: Node, revision: int) -> int:
    result: Any = (await node.hash_at(revision)).value
    return int(result.hash)


class Hook:
    """Does something at a step of the next defragmentation, on the thread that takes it."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, step: str, deed: Callable[[], None]
    ) -> None:
        original = getattr(Defragmentation, step)

        def hooked(work: Defragmentation, *arguments: Any) -> Any:
            monkeypatch.setattr(Defragmentation, step, original)
            deed()
            return original(work, *arguments)

        monkeypatch.setattr(Defragmentation, step, hooked)


def test_space_comes_back_and_what_is_kept_stays(tmp_path: Path) -> None:
    async def test(c: Cluster) -> None:
        node, others = c.node(0), (c.node(1), c.node(2))
        revision = await fill(node)
        await put(node, "mark", "after")
        history = node.history
        before, hash_before = history.size_bytes, await hash_kv(node, revision)
        await node.defragmenter.run()
        assert history.size_bytes < before // 2
        assert history.in_use_bytes <= history.size_bytes
        assert not copy_path(Path(tmp_path / "n0" / "member" / "history.duckdb")).exists()
        # The state at the compact revision is read from the history.
        assert await get(node, "mark", revision=revision + 1) == "before"
        assert await get(node, "k000", revision=revision) == long_value(2_900)
        assert await hash_kv(node, revision) == hash_before
        newest = await put(node, "mark", "later")
        await c.applied_everywhere()
        for other in others:
            assert await hash_kv(other, revision) == hash_before
            assert await hash_kv(other, newest) == await hash_kv(node, newest)
        await c.stop(0)
        await c.start(0)
        await c.ready(0)
        assert await get(c.node(0), "mark", revision=revision + 1) == "before"

    with_cluster(tmp_path, 3, test)


def test_reads_and_writes_go_on_while_files_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last step is held up until writes were answered and a read of history was asked for."""

    async def test(c: Cluster) -> None:
        node = c.node(0)
        revision = await fill(node, 5)
        held, go_on = threading.Event(), threading.Event()

        def hold() -> None:
            held.set()
            assert go_on.wait(PATIENCE_S)

        Hook(monkeypatch, "install", hold)
        running = asyncio.ensure_future(node.defragmenter.run())
        await asyncio.to_thread(held.wait, PATIENCE_S)
        assert node.defragmenter.inflight
        revisions = [await put(node, f"during{n}", "x") for n in range(50)]
        assert await get(node, "during7") == "x"
        old = asyncio.ensure_future(get(node, "mark", revision=revision + 1))
        await asyncio.sleep(0)
        go_on.set()
        await running
        assert await old == "before"
        assert not node.defragmenter.inflight
        # What was written meanwhile is in the new file.
        await c.stop(0)
        await c.start(0)
        await c.ready(0)
        node = c.node(0)
        assert await get(node, "during30", revision=revisions[30]) == "x"
        assert await get(node, "during31", revision=revisions[30]) is None

    with_cluster(tmp_path, 1, test)


def test_whoever_asks_meanwhile_gets_a_run_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(c: Cluster) -> None:
        node = c.node(0)
        await fill(node, 3)
        runs: list[int] = []
        begin = node.history.begin_copy

        def begin_copy() -> Any:
            runs.append(1)
            return begin()

        monkeypatch.setattr(node.history, "begin_copy", begin_copy)
        first = asyncio.ensure_future(node.defragmenter.run())
        while not runs:
            await asyncio.sleep(0.001)
        later = [asyncio.ensure_future(node.defragmenter.run()) for _ in range(5)]
        # One of them leaves; the others' run goes on.
        await asyncio.sleep(0)
        later.pop().cancel()
        await asyncio.gather(first, *later)
        assert len(runs) == 2

    with_cluster(tmp_path, 1, test)


def test_a_copy_that_cannot_be_finished_leaves_the_old_file_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(c: Cluster) -> None:
        node = c.node(0)
        revision = await fill(node, 3)

        def full() -> None:
            raise OSError(28, "No space left on device")

        for step in ("copy", "finish"):
            Hook(monkeypatch, step, full)
            with pytest.raises(OSError, match="No space left"):
                await node.defragmenter.run()
            assert list((tmp_path / "n0" / "member").glob("*.defragmented*")) == []
            commits = sum(node.history.work.commits.counts)
            await put(node, "mark", step)
            assert await get(node, "mark", revision=revision + 1) == "before"
            # They are counted as before.
            async with asyncio.timeout(PATIENCE_S):
                while sum(node.history.work.commits.counts) == commits:
                    await asyncio.sleep(0.01)
        await node.defragmenter.run()
        assert await get(node, "mark", revision=revision + 1) == "before"

    with_cluster(tmp_path, 1, test)


def test_a_disk_that_fills_up_before_the_last_step_loses_nothing_that_was_queued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that the writer has no room for wait for the next writer of the old file."""
    room = [1 << 40]

    async def test(c: Cluster) -> None:
        node = c.node(0)
        await fill(node, 3)
        replace = node.history.replace
        revisions: list[int] = []

        def late(copy: Any) -> Any:
            room.append(0)
            writing = [asyncio.ensure_future(put(node, f"full{n}", "x")) for n in range(20)]

            async def then() -> None:
                revisions.extend(await asyncio.gather(*writing))
                await asyncio.wrap_future(replace(copy))

            return asyncio.run_coroutine_threadsafe(then(), asyncio.get_running_loop())

        monkeypatch.setattr(HistoryWriter, "_free_bytes", lambda self: room[-1])
        with monkeypatch.context() as patched:
            patched.setattr(node.history, "replace", late)
            with pytest.raises(OSError, match="No space left"):
                await node.defragmenter.run()
        assert await get(node, "full19") == "x"
        room.append(1 << 40)
        await node.defragmenter.run()
        await c.stop(0)
        await c.start(0)
        await c.ready(0)
        for number, revision in enumerate(revisions):
            for key in (number, number + 1):
                found = await get(c.node(0), f"full{key}", revision=revision)
                assert found == (None if key > number else "x"), (key, revision)

    with_cluster(tmp_path, 1, test)


def test_a_long_read_is_waited_for_and_then_ended(tmp_path: Path) -> None:
    async def test(c: Cluster) -> None:
        node = c.node(0)
        await fill(node, 3)
        stopping = threading.Event()

        def stare(connection: duckdb.DuckDBPyConnection) -> None:
            assert stopping.wait(PATIENCE_S)
            raise HistoryInterrupted("ended")

        reading = node.history.export(stare, stopping)
        await Defragmenter(node.history, patience_s=0.2).run()
        with pytest.raises(HistoryInterrupted, match="ended"):
            reading.result(PATIENCE_S)

    with_cluster(tmp_path, 1, test)


def test_a_leaders_snapshot_ends_a_defragmentation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A member that was away is given a whole state while it defragments its own."""

    async def test(c: Cluster) -> None:
        leader = await c.leader()
        away = (leader + 1) % 3
        await put(c.node(leader), "a", "1")
        await c.applied_everywhere()
        await c.stop(away)
        for number in range(300):
            await put(c.node(leader), f"b{number}", "x" * 100)
        held, go_on = threading.Event(), threading.Event()

        def hold() -> None:
            held.set()
            assert go_on.wait(PATIENCE_S)

        await c.start(away)
        node = c.node(away)
        Hook(monkeypatch, "copy", hold)
        running = asyncio.ensure_future(node.defragmenter.run())
        await asyncio.to_thread(held.wait, PATIENCE_S)
        async with asyncio.timeout(PATIENCE_S):
            while not node.history._swaps:
                await asyncio.sleep(0.001)
        go_on.set()
        with pytest.raises(HistoryInterrupted):
            await running
        await c.applied_everywhere()
        assert await get(node, "b299", linearizable=False) == "x" * 100
        await node.defragmenter.run()
        assert await hash_kv(node, 0) == await hash_kv(c.node(leader), 0)

    with_cluster(tmp_path, 3, test, snapshot_count=50, snapshot_catchup_entries=5)


def test_old_reads_fail_properly_below_the_compaction_afterwards(tmp_path: Path) -> None:
    async def test(c: Cluster) -> None:
        node = c.node(0)
        revision = await fill(node, 3)
        await node.defragmenter.run()
        with pytest.raises(KvorumError, match="compacted"):
            await get(node, "mark", revision=revision - 1)

    with_cluster(tmp_path, 1, test)


def test_a_start_defragments_when_it_frees_enough(tmp_path: Path) -> None:
    async def test(c: Cluster) -> None:
        node = c.node(0)
        for number in range(1_500):
            await put(node, "k", long_value(number))
            if number % 300 == 0:
                await asyncio.wrap_future(node.history.writer.checkpoint())
        revision = node.machine.revision
        await node.propose(Compact(revision, physical=True))
        free_bytes = node.history.size_bytes - node.history.in_use_bytes
        assert free_bytes > 2**18
        for threshold, shrinks in ((free_bytes + 2**20, False), (2**18, True)):
            before = c.node(0).history.size_bytes
            c._changes["bootstrap_defrag_bytes"] = threshold
            await c.stop(0)
            await c.start(0)
            await c.ready(0)
            assert (c.node(0).history.size_bytes < before // 2) is shrinks
            assert await get(c.node(0), "k", revision=revision) == long_value(1_499)

    with_cluster(tmp_path, 1, test)
