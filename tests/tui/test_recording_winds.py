"""A recording that is wound while its tabs are still reading."""

from __future__ import annotations

import asyncio
from pathlib import Path

from kvorum_tui.model.records import WatchBatch
from kvorum_tui.recording.opening import open_file
from kvorum_tui.recording.recorder import Recorder
from kvorum_tui.recording.session import RecordingSession
from kvorum_tui.session.ranges import EVERYTHING
from tui.fake_session import FakeSession
from tui.test_recording import record, till


def test_winding_back_while_keys_are_read_is_not_missed(tmp_path: Path) -> None:
    path = tmp_path / "r.kvrec"

    async def deeds(fake: FakeSession, recorder: Recorder) -> None:
        await till(lambda: recorder.state.written.reports >= 3)
        fake.write(b"/a/new", b"born in the recording")
        await till(lambda: recorder.state.written.reports >= 6)

    record(FakeSession({b"/a/1": b"one"}), path, deeds)

    async def run() -> None:
        session = RecordingSession(open_file(path))
        await session.open()
        pages = [page async for page in session.ranges.keys(EVERYTHING)]
        assert (pages[-1].keys, pages[-1].revision) == ((b"/a/1", b"/a/new"), 3)
        session.tape.seek(session.head.began_ms)
        batches = session.ranges.follow(EVERYTHING, pages[-1].revision + 1)
        assert await anext(batches) == WatchBatch(2, gap_to=2, rewound=True)
        await session.close()

    asyncio.run(run())
