"""Watches and recordings on real clusters, kvorum's and etcd's, while members die and history is
compacted away.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from kvorum.client import Client
from kvorum_tui.live import LiveSession
from kvorum_tui.model.records import KeyEvent
from kvorum_tui.model.watch_buffer import Gap, WatchBuffer
from kvorum_tui.model.watch_skew import SkewTable
from kvorum_tui.recording.opening import open_file
from kvorum_tui.recording.recorder import Recorder
from kvorum_tui.recording.session import RecordingSession
from kvorum_tui.watch_feed import MembersFeed, WatchFeed
from support.clusters import ClusterHandle

Launch = Callable[..., ClusterHandle]
Contents = dict[bytes, tuple[bytes, int, int, int]]


async def till(holds: Callable[[], object], what: str = "") -> None:
    try:
        async with asyncio.timeout(30):
            while not holds():
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"never came: {what}") from None


async def contents(client: Client, revision: int = 0) -> Contents:
    found = await client.range("", prefix=True, revision=revision)
    return {kv.key: (kv.value, kv.create_revision, kv.mod_revision, kv.version) for kv in found.kvs}


async def recorded(path: Path, revisions: list[int]) -> tuple[list[Contents], list[KeyEvent]]:
    """What a file says: the keys at some revisions, and every change it can replay."""
    session = RecordingSession(open_file(path))
    await session.open()
    states: list[Contents] = []
    for revision in revisions:
        state: Contents = {}
        async for page in session.ranges.values((b"", b""), revision):
            for r in page.records:
                state[r.key] = (r.value, r.create_revision, r.mod_revision, r.version)
        states.append(state)
    events: list[KeyEvent] = []
    first = session.head.compacted + 1
    async for batch in session.watch(b"", True, first):
        events += batch.events
        if first > session.head.revision or (
            events and events[-1].revision >= session.head.revision
        ):
            break
    await session.close()
    return states, events


class Watched:
    """A pane's feed without a pane."""

    def __init__(self, session: LiveSession, start: int) -> None:
        self.buffer = WatchBuffer(capacity=100_000)
        self.buffer.coalescing = "off"
        loop = asyncio.get_running_loop()
        self.feed = WatchFeed(session, self.buffer, b"", True, start, loop.time, lambda: None)
        self.task = asyncio.create_task(self.feed.run())

    @property
    def events(self) -> list[KeyEvent]:
        return [entry for entry in self.buffer.entries if isinstance(entry, KeyEvent)]

    @property
    def gaps(self) -> list[Gap]:
        return [entry for entry in self.buffer.entries if isinstance(entry, Gap)]


async def write(client: Client, count: int, word: str) -> int:
    revision = 0
    for number in range(count):
        key = f"/app/{number % 7}"
        if number % 5 == 4:
            revision = (await client.delete(key)).header.revision
        else:
            revision = (await client.put(key, f"{word} {number}")).header.revision
    return revision


async def the_story(cluster: ClusterHandle, folder: Path, number: signal.Signals) -> None:
    path = folder / "live.kvrec"
    async with Client(cluster.endpoints) as client:
        first = await write(client, 20, "before")
        session = LiveSession(cluster.endpoints, read_only=True)
        await session.open()
        recorder = Recorder(session, path, title="live")
        recording = asyncio.create_task(recorder.run())
        pane = Watched(session, 1)
        await till(lambda: recorder.state.stage == "recording", "recording")
        await write(client, 40, "during")
        await till(lambda: pane.events, "the watch begins")

        # The member that leads dies; watch and recording go on where they stood.
        leader = await asyncio.to_thread(cluster.leader)
        await asyncio.to_thread(cluster.kill9, leader)
        await asyncio.to_thread(cluster.leader, leader)
        middle = await write(client, 31, "one is down")
        at_middle = await contents(client, middle)
        await asyncio.to_thread(cluster.restart, leader)
        last = await write(client, 20, "all are back")
        await till(lambda: pane.buffer.last_revision >= last, "the watch caught up")
        await till(lambda: recorder.state.queued_revision >= last, "all is recorded")
        revisions = [event.revision for event in pane.events]
        assert revisions == sorted(set(revisions)), "each once, in order"
        assert revisions[0] == 2
        assert len(revisions) == pane.buffer.total == last - 1
        assert not pane.gaps

        # A pane that begins below a compaction says what is missing.
        await client.compact(middle)
        late = Watched(session, 1)
        await till(lambda: late.buffer.last_revision >= last, "the late watch")
        assert [gap.revision for gap in late.gaps] == [middle]
        assert late.events[0].revision == middle
        assert [e.revision for e in late.events] == [r for r in revisions if r >= middle]

        await the_members(session, client)
        last = pane_last = (await client.get("/app/0")).header.revision
        await till(lambda: pane.buffer.last_revision >= pane_last, "the watch")
        await till(lambda: recorder.state.queued_revision >= last, "all is recorded")
        await recorder.stop()
        await recording
        now = await contents(client)
        states, events = await recorded(path, [middle, last])
        assert states == [at_middle, now]
        base = recorder_base(path)
        assert first <= base < middle
        assert events == [event for event in pane.events if event.revision > base]
        await the_snapshot(client, folder, now)
        await the_headless(cluster, client, folder, number)
        for task in (pane.task, late.task):
            task.cancel()
        await session.close()


def recorder_base(path: Path) -> int:
    return open_file(path).head.compacted


async def the_members(session: LiveSession, client: Client) -> None:
    """The same prefix through every member: each brings everything."""
    table = SkewTable(list(session.endpoints))
    loop = asyncio.get_running_loop()
    feed = MembersFeed(session, table, b"/skew/", True, loop.time, lambda: None)
    task = asyncio.create_task(feed.run())
    await till(lambda: all(column.since for column in table.columns.values()), "all stand")
    for number in range(5):
        await client.put(f"/skew/{number}", "x")
    await till(
        lambda: len(table.rows) == 5 and not any(map(table.missing, table.rows)), "all have all"
    )
    assert all(row.delay_ms(member) is not None for row in table.rows for member in table.columns)
    task.cancel()


async def the_snapshot(client: Client, folder: Path, now: Contents) -> None:
    """A snapshot opens, with the same keys."""
    path = folder / "snapshot.db"
    with path.open("wb") as file:
        async for piece in client.maintenance.snapshot_pieces():
            file.write(piece.data)
    session = RecordingSession(open_file(path))
    await session.open()
    assert session.head.kind == "snapshot"
    state: Contents = {}
    async for page in session.ranges.values((b"", b"")):
        for r in page.records:
            state[r.key] = (r.value, r.create_revision, r.mod_revision, r.version)
    assert state == now
    await session.close()
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(Exception, match="damaged"):
        open_file(path)


async def the_headless(
    cluster: ClusterHandle, client: Client, folder: Path, number: signal.Signals
) -> None:
    """``kvorum record`` that is killed leaves what it had flushed; one that is interrupted, all."""
    path = folder / f"{number}.kvrec"
    command = [sys.executable, "-m", "kvorum", "record", str(path), "--whole"]
    command += ["--endpoints", ",".join(cluster.endpoints)]
    child = await asyncio.to_thread(subprocess.Popen, command, stderr=subprocess.PIPE, text=True)
    parts = (path, path.with_name(path.name + ".wal"))
    await till(path.exists, "the file")
    revision = (await client.put("/headless", "the last words")).header.revision
    await till(
        lambda: any(b"the last words" in part.read_bytes() for part in parts if part.exists()),
        "flushed",
    )
    os.kill(child.pid, number)
    _, said = await asyncio.to_thread(child.communicate)
    assert child.returncode == (-number if number == signal.SIGKILL else 0), said
    assert ("stopped" in said) is (number == signal.SIGINT)
    states, _ = await recorded(path, [revision])
    assert states == [await contents(client, revision)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "number"), [("kvorum", signal.SIGKILL), ("etcd", signal.SIGINT)]
)
def test_watched_and_recorded_through_deaths_and_compaction(
    kvorum_cluster: Launch, tmp_path: Path, program: str, number: signal.Signals
) -> None:
    options = {"program": program} if program == "etcd" else {}
    cluster = kvorum_cluster(3, **options)
    asyncio.run(the_story(cluster, tmp_path, number))
