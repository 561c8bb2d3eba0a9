"""Recordings: what is recorded is what opens; snapshots; damaged and foreign files; replay."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
from kvorum.history.rows import PUT, Identity, Row
from kvorum_tui.app import KvorumApp
from kvorum_tui.model.records import KeyEvent
from kvorum_tui.recording.opening import FileFault, open_file
from kvorum_tui.recording.recorder import Recorder, RecordingFailed
from kvorum_tui.recording.session import RecordingSession
from kvorum_tui.recording.writer import Head, RecordingWriter
from kvorum_tui.replay import app_on
from kvorum_tui.session import ReadOnly, Session, SessionError
from kvorum_tui.widgets.dialogs import Choice, Form
from textual.pilot import Pilot
from textual.widgets import Input
from tui.fake_session import FakeSession
from tui.frames import frame, shows, until
from tui.tabs import on_tab

Deeds = Callable[[FakeSession, Recorder], Awaitable[None]]


async def till(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.01)


def record(fake: FakeSession, path: Path, deeds: Deeds, whole: bool = False) -> Recorder:
    """Record a cluster in memory while something is done to it."""

    async def run() -> Recorder:
        recorder = Recorder(fake, path, title="shop", whole=whole)
        task = asyncio.create_task(recorder.run())
        await till(lambda: recorder.state.stage == "recording")
        await deeds(fake, recorder)
        await till(lambda: recorder.state.queued_revision >= fake.revision)
        await recorder.stop()
        await task
        return recorder

    return asyncio.run(run())


async def write_some(fake: FakeSession, recorder: Recorder) -> None:
    rng = random.Random(5)
    for number in range(300):
        key = b"/k/%d" % rng.randrange(20)
        if rng.random() < 0.2 and key in fake.store:
            fake.remove(key)
        else:
            fake.write(key, b"\xff%d" % number, lease=0xAB if number % 50 == 0 else 0)
        if number % 20 == 0:
            await asyncio.sleep(0)


async def all_keys(session: Session, revision: int = 0) -> dict[bytes, bytes]:
    found = {}
    async for page in session.ranges.values((b"", b""), revision):
        found |= {record.key: record.value for record in page.records}
    return found


def on_file(path: Path, body: Callable[[RecordingSession], Awaitable[None]]) -> None:
    """Open a file and do something with it."""

    async def run() -> None:
        session = RecordingSession(open_file(path))
        await session.open()
        try:
            await body(session)
        finally:
            await session.close()

    asyncio.run(run())


def store_at(fake: FakeSession, revision: int) -> dict[bytes, bytes]:
    store: dict[bytes, bytes] = {}
    for event in fake.events:
        if event.revision > revision:
            break
        if event.kind == "put":
            store[event.key] = event.value
        else:
            store.pop(event.key, None)
    return store


# --- what is recorded is what opens ---------------------------------------------------------------


@pytest.mark.parametrize("whole", [False, True])
def test_every_revision_opens_as_it_was(tmp_path: Path, whole: bool) -> None:
    path = tmp_path / "r.kvrec"
    fake = FakeSession({b"/k/%d" % n: b"first" for n in range(5)})
    fake.write(b"/k/1", b"second")
    begin = fake.revision
    recorder = record(fake, path, write_some, whole)
    assert recorder.state.stage == "stopped"
    assert recorder.state.gaps == 0

    async def body(session: RecordingSession) -> None:
        oldest = 1 if whole else begin
        assert session.head.revision == fake.revision
        assert max(1, session.head.compacted) == oldest
        for revision in {oldest, begin, begin + 7, begin + 150, fake.revision}:
            assert await all_keys(session, revision) == store_at(fake, revision)
        events: list[KeyEvent] = []
        async with asyncio.timeout(20):
            async for batch in session.watch(b"", True, begin + 1):
                events += batch.events
                if events and events[-1].revision == fake.revision:
                    break
        wanted = [event for event in fake.events if event.revision > begin]
        assert [_bare(event) for event in events] == [_bare(event) for event in wanted]
        life = await session.history(b"/k/3", 0, 1_000)
        assert life is not None
        mine = [e.revision for e in wanted if e.key == b"/k/3"]
        assert [e.revision for e in life.events if e.revision > begin] == mine
        leases, count = await session.leases()
        assert count == len(leases)
        async for batch in session.past.query("SELECT count(*), max(revision) FROM events"):
            assert batch.rows[0][1] == fake.revision
        async for batch in session.past.query("SELECT count(DISTINCT endpoint) FROM reports"):
            assert batch.rows == ((3,),)
        bounds = await session.past.bounds()
        assert (bounds.oldest, bounds.newest) == (oldest, fake.revision)

    on_file(path, body)


def _bare(event: KeyEvent) -> KeyEvent:
    """Without what only the file or only the cluster knows."""
    return replace(event, create_revision=0, at_ms=0, member=0)


def test_a_gap_by_compaction_is_marked_and_what_went_in_it_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "r.kvrec"
    fake = FakeSession({b"a": b"1", b"b": b"1"})

    async def deeds(fake: FakeSession, recorder: Recorder) -> None:
        fake.write(b"c", b"1")
        await till(lambda: recorder.state.queued_revision == fake.revision)
        fake.fail = SessionError("away", "n1", "Watch", "UNAVAILABLE")
        fake.report()
        await till(lambda: recorder.state.error)
        fake.fail = None
        fake.remove(b"a")
        fake.write(b"b", b"2")
        fake.compacted = fake.revision
        await till(lambda: recorder.state.gaps == 1)
        fake.write(b"d", b"1")

    record(fake, path, deeds)

    async def body(session: RecordingSession) -> None:
        assert await all_keys(session) == store_at(fake, fake.revision)
        assert await all_keys(session, 4) == {b"a": b"1", b"b": b"1", b"c": b"1"}
        bounds = await session.past.bounds()
        assert bounds.gaps == ((5, 5),)

    on_file(path, body)


def test_nothing_can_be_written_to_a_recording(tmp_path: Path) -> None:
    path = tmp_path / "r.kvrec"
    record(FakeSession({b"a": b"1"}), path, write_some)

    async def body(session: RecordingSession) -> None:
        checked: Session = session
        assert checked.read_only
        checked.set_read_only(False)
        assert checked.read_only
        endpoint = session.endpoints[0]
        for call in (
            session.save(b"k", b"v", 0),
            session.put_at(endpoint, b"k", b"v"),
            session.delete_prefix(b"k"),
            session.grant(60),
            session.keep_alive(1),
            session.revoke(1),
            session.move_leader(1),
            session.sever(endpoint, 0, "both", 1_000),
            session.pause(endpoint, 1_000),
            session.lift(endpoint, 1),
            session.heal(endpoint),
            session.locks.grant(60, 0),
            session.admin.compact(1, False),
            session.checks.hash_kv(endpoint, 0),
            session.rpcs.again(endpoint, "/x", b""),
        ):
            with pytest.raises(ReadOnly, match="this is a recording"):
                await call
        with pytest.raises(SessionError, match="future"):
            await session.get(b"a", 99_999)

    on_file(path, body)


# --- files ----------------------------------------------------------------------------------------


def test_a_recorder_that_is_killed_leaves_what_it_had_flushed(tmp_path: Path) -> None:
    path = tmp_path / "r.kvrec"
    code = f"""
import os, sys
from pathlib import Path
from kvorum.history.rows import PUT, Identity, Row
from kvorum_tui.recording.writer import Head, RecordingWriter
writer = RecordingWriter(Path({str(path)!r}), Identity(7, 0), Head("t", "recording", 1000, "0"))
for n in range(1, 2001):
    row = Row(n, 0, PUT, b"k%d" % (n % 9), b"x" * 50, n, 1, 0, 0, 1000 + n, 0, "")
    while not writer.changes([row], n, 1000 + n):
        pass
    if n == 1500:
        writer.flush().result()
os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -9

    async def body(session: RecordingSession) -> None:
        assert session.head.revision >= 1_500
        assert len(await all_keys(session, 1_500)) == 9

    on_file(path, body)


def test_a_file_that_is_there_and_a_disk_that_fails_are_told(tmp_path: Path) -> None:
    path = tmp_path / "r.kvrec"
    path.write_text("mine")

    async def run(place: Path) -> None:
        with pytest.raises(RecordingFailed):
            await Recorder(FakeSession(), place).run()

    asyncio.run(run(path))
    assert path.read_text() == "mine"
    asyncio.run(run(tmp_path / "nowhere" / "r.kvrec"))


def test_the_queue_is_bounded_and_says_when_there_is_room(tmp_path: Path) -> None:
    head = Head("t", "recording", 0, "0")
    writer = RecordingWriter(tmp_path / "r", Identity(0, 0), head, queue_rows=10)
    try:
        rows = [Row(n, 0, PUT, b"k", b"v", n, 1, 0, 0, 0, 0, "") for n in range(1, 9)]
        taken = 0
        for _ in range(200):
            taken += writer.changes(rows, 8, 1)
        assert taken < 200, "it never waits, and does not take everything"
        writer.flush().result()
        assert writer.written.changes == taken * 8
        assert writer.changes(rows, 8, 1)
    finally:
        writer.close()
    assert writer.error is None


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "missing"),
        (b"", "foreign: empty"),
        (b"hello, I am a text\n" * 50, "foreign"),
        (b"\0" * 8 + b"DUCK" + b"\x07" * 5_000, "damaged"),
        (b"\0" * 16 + bytes.fromhex("edda0ced") + b"\0" * 5_000, "damaged"),
    ],
)
def test_what_is_wrong_with_a_file_has_a_name(
    tmp_path: Path, content: bytes | None, fault: str
) -> None:
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FileFault, match=fault):
        open_file(path)


def test_another_database_and_another_format_are_told(tmp_path: Path) -> None:
    other = tmp_path / "other.duckdb"
    with duckdb.connect(str(other)) as connection:
        connection.execute("CREATE TABLE t (a INTEGER)")
    with pytest.raises(FileFault, match="foreign: a DuckDB file, but no recording"):
        open_file(other)
    path = tmp_path / "r.kvrec"
    RecordingWriter(path, Identity(0, 0), Head("t", "recording", 0, "9.9")).close()
    assert open_file(path).head.kind == "recording"
    with duckdb.connect(str(path)) as connection:
        connection.execute("UPDATE recording SET format = 99")
    with pytest.raises(FileFault, match=r"newer: format 99, made by kvorum 9\.9"):
        open_file(path)


# --- in the terminal ------------------------------------------------------------------------------


def test_the_terminal_records_and_shows_it(tmp_path: Path) -> None:
    path = tmp_path / "shop.kvrec"

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await pilot.press("f12")
        await until(pilot, lambda: isinstance(app.screen, Form))
        app.screen.query_one("#in-file", Input).value = str(path)
        await pilot.press("enter", "enter")
        await shows(pilot, "● REC ")
        recorder = app.front.recording.recorder
        assert recorder is not None
        await until(pilot, lambda: recorder.state.stage == "recording", "recording")
        fake.write(b"/a/1", b"recorded")
        await until(pilot, lambda: recorder.state.written.revision == fake.revision, "written")
        await pilot.press("f12")
        await until(pilot, lambda: isinstance(app.screen, Choice))
        await shows(pilot, "Stop recording", "up to revision 5")
        await pilot.press("right", "enter")
        await until(pilot, lambda: app.front.recording.recorder is None, "stopped")
        await until(pilot, lambda: "● REC" not in frame(app))

    on_tab("keys", body)
    assert open_file(path).head.revision == 5


def test_leaving_completes_a_recording(tmp_path: Path) -> None:
    path = tmp_path / "r.kvrec"

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        app.front.recording.begin(path, whole=True)
        recorder = app.front.recording.recorder
        assert recorder is not None
        await until(pilot, lambda: recorder.state.stage == "recording", "recording")
        fake.write(b"last", b"words")
        await until(pilot, lambda: recorder.state.queued_revision == 5, "queued")

    on_tab("keys", body)
    assert open_file(path).head.revision == 5


def test_a_recording_opens_like_a_cluster_and_all_tabs_follow(tmp_path: Path) -> None:
    path = tmp_path / "r.kvrec"
    fake = FakeSession({b"/a/1": b"one", b"/a/2": b"two"})

    async def deeds(fake: FakeSession, recorder: Recorder) -> None:
        await till(lambda: recorder.state.written.reports >= 3)
        fake.write(b"/a/new", b"born in the recording")
        fake.elect("n2", 2)
        await till(lambda: recorder.state.written.reports >= 6)

    record(fake, path, deeds)

    async def run() -> None:
        app = app_on(open_file(path), "watch")
        async with app.run_test(size=(120, 40), notifications=True) as pilot:
            await shows(pilot, "r.kvrec READ-ONLY", "RECORDING ‖", "rev 4/4", "leader n2 t2")
            app.watch_key(b"", True)
            await shows(pilot, "nothing changed")
            session = app.session
            assert isinstance(session, RecordingSession)
            session.tape.seek(session.head.began_ms)
            await shows(pilot, "rev 3/4", "— wound to revision 3", "leader n1 t1")
            await pilot.press("1")
            await shows(pilot, "Keys · 2")
            await pilot.press("f10")
            await shows(pilot, "▶", "Keys · 3", "leader n2 t2")
            await pilot.press("2")
            await shows(pilot, "born in the recording")
            await pilot.press("ctrl+g")
            await until(pilot, lambda: isinstance(app.screen, Form))
            app.screen.query_one("#in-to", Input).value = "0%"
            await pilot.press("enter")
            await shows(pilot, "rev 3/4")
            await pilot.press("f12")
            await shows(pilot, "record: this is a recording already")
            app.do("key_new")
            await shows(pilot, "new: this is a recording")

    asyncio.run(run())


def test_on_a_live_cluster_there_is_nothing_to_replay() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await pilot.press("f10")
        await shows(pilot, "this is a live cluster")

    on_tab("keys", body)
