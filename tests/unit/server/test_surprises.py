"""What nobody foresaw, at every place where a node works: it ends the node, and nothing of it lives
on half.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kvorum import limits
from kvorum.config import CompactionConfig
from kvorum.history.database import HistoryFailed
from kvorum.history.reader import HistoryReader
from kvorum.history.writer import HistoryWriter
from kvorum.machine.commands import Compact, Range
from kvorum.replica import effects as fx
from kvorum.replica import inputs as i
from kvorum.server import compactor, corruption, historydesk
from kvorum.server.crash import Exit, FatalError
from kvorum.server.faults import PauseFault
from kvorum.server.link import PeerLink
from kvorum.server.runtime import Node
from kvorum.storage.snapshot_file import Snapshots
from kvorum.storage.wal import Wal
from unit.server.members import Cluster, put
from unit.server.test_runtime import World, turns, with_node


class Surprise(Exception):
    """What nobody foresaw."""


def surprise(*_: object, **__: object) -> Any:
    raise Surprise


@pytest.mark.parametrize("kind", fx.Effect.__args__, ids=lambda kind: kind.__name__)
def test_in_the_performer_of_every_effect(kind: Any) -> None:
    """The rest of the turn is not done, and there is no other turn."""

    async def test(world: World) -> None:
        world.node._performers[kind] = surprise
        effect = kind._make([None] * len(kind._fields))
        send = fx.Send(2, ()) if kind is not fx.Send else fx.CutLog(9)
        world.replica.script = lambda batch: [effect, send]
        world.node.post(i.Tick())
        await world.ended.wait()
        ((error, code),) = world.ends
        assert isinstance(error, Surprise)
        assert code == Exit.UNFORESEEN
        assert world.hands.done == []
        batches = len(world.replica.batches)
        world.node.post(i.Tick())
        await turns()
        assert len(world.replica.batches) == batches

    with_node(test)


def test_in_the_hands_that_a_turn_gives_its_writes_to() -> None:
    async def test(world: World) -> None:
        world.hands.persist = surprise  # type: ignore[attr-defined]  # it answers to any name
        world.replica.script = lambda batch: [fx.Persist(1, None, (), True)]
        world.node.post(i.Tick())
        await world.ended.wait()
        assert [type(error) for error, _ in world.ends] == [Surprise]

    with_node(test)


def test_in_whoever_hears_of_a_fault() -> None:
    """A pause that nobody ends would be a node that is half dead."""

    async def test(world: World) -> None:
        world.node._ticker.hold = surprise  # type: ignore[method-assign]  # as broken as it may be
        world.gate.inject(PauseFault(), 60_000)
        await world.ended.wait()
        assert [type(error) for error, _ in world.ends] == [Surprise]

    with_node(test)


# --- threads and tasks of a real member -----------------------------------------------------------


async def write(node: Node) -> None:
    for number in range(30):
        await put(node, f"k{number % 3}", "v")


async def read_old(node: Node) -> None:
    """Until it is asked of the history: what that has not committed yet is answered from memory."""
    await write(node)
    while True:
        await node.read(Range(b"k1", revision=3))
        await asyncio.sleep(0.01)


async def compact(node: Node) -> None:
    await write(node)
    await node.propose(Compact(20, True))


async def nothing(node: Node) -> None:
    """It comes by itself."""


# Where it is raised, and what brings the member there. None: the code of a disk that failed, which
# a writer says of whatever ends it.
PLACES: dict[str, tuple[Any, str, Callable[[Node], Any], bool]] = {
    "the log's thread": (Wal, "append", write, True),
    "what the log's thread does besides": (Wal, "cut", write, True),
    "the history's writer": (HistoryWriter, "_checkpoint", write, False),
    "a commit of the history": (HistoryWriter, "_commit", write, False),
    "a compaction of the history": (HistoryWriter, "_compact", compact, False),
    "an answer of the history": (historydesk, "records", read_old, True),
    "a question to the history": (HistoryReader, "range_at", read_old, True),
    "the snapshots' thread": (Snapshots, "save", write, True),
    "the watch over the disk": (Node, "check_space", nothing, True),
    "the watch over the others": (corruption, "check", nothing, True),
    "the compactor": (compactor.RevisionPlan, "look", nothing, True),
    "the clock": (Node, "_woke", nothing, True),
    "a link to a peer": (PeerLink, "_exchange", nothing, True),
}


@pytest.mark.parametrize("place", PLACES)
def test_in_every_thread_and_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    owner, name, provoke, unforeseen = PLACES[place]
    original = getattr(owner, name)
    linked = owner is PeerLink
    # What is a little old is asked of the history.
    monkeypatch.setattr(limits, "WINDOW_EVENTS", 2)

    async def run() -> None:
        made = Cluster(
            tmp_path,
            2 if linked else 1,
            snapshot_count=10,
            snapshot_catchup_entries=2,
            wal_segment_bytes=2_048,
            corrupt_check_s=0.2,
            compaction=CompactionConfig("revision", retention_revisions=1_000_000),
        )
        try:
            if linked or provoke is nothing:
                monkeypatch.setattr(owner, name, surprise)
            await made.start()
            if provoke is not nothing:
                await made.ready()
                await asyncio.sleep(0)
                monkeypatch.setattr(owner, name, surprise)
                asking = asyncio.ensure_future(provoke(made.node(0)))
                asking.add_done_callback(lambda done: done.cancelled() or done.exception())
            async with asyncio.timeout(20):
                while not made.crashes:
                    await asyncio.sleep(0.01)
            if provoke is not nothing:
                asking.cancel()
        finally:
            monkeypatch.setattr(owner, name, original)
            # A writer that failed says so once more to whoever closes it.
            with contextlib.suppress(HistoryFailed):
                await asyncio.wait_for(made.stop_all(), 20)
        error = made.crashes[0]
        if unforeseen:
            assert isinstance(error, Surprise)
        else:
            assert isinstance(error, FatalError) and error.code == Exit.DISK
            assert isinstance(error.__cause__, Surprise)

    asyncio.run(run())
