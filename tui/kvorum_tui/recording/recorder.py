"""Records a cluster as long as it runs: the keys as they are (or as they were at the oldest kept
revision), every change from there on, what every member says of itself, the member table, leases.

::

    recorder = Recorder(session, path, title="prod")
    task = asyncio.create_task(recorder.run())
    ...
    await recorder.stop()
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
from kvorum import __version__
from kvorum.history.rows import DELETE, PUT, Identity, Row

from kvorum_tui.feeds import forever
from kvorum_tui.model.records import KeyEvent, KeyRecord, MemberReport
from kvorum_tui.recording.values import to_json
from kvorum_tui.recording.writer import NOTHING, Head, RecordingWriter, Written, why
from kvorum_tui.session import Session, SessionError
from kvorum_tui.session.ranges import EVERYTHING

REPORT_EVERY_S = 1.0  # A member's report, unless its role, term or leader changed.
SEEN_EVERY_S = 15.0  # Members and leases.
LOG_TAIL = 64  # Entries of a raft log in a report.
LEASES = 500
IDENTITY_S = 3.0  # How long to wait for a member that says which cluster it is.
SLICE = 2_000


@dataclass(frozen=True, slots=True)
class RecorderState:
    """How a recording goes. ``stage``: starting, keys, recording, stopped, failed."""

    stage: str = "starting"
    began: float = 0.0
    written: Written = NOTHING
    queued_revision: int = 0
    gaps: int = 0
    dropped_reports: int = 0
    error: str = ""


class RecordingFailed(SessionError):
    """The file cannot be written."""


class Recorder:
    """One recording. ``whole``: from the oldest kept revision on, not from now. ``told`` is called
    in the event loop when the state has changed.
    """

    def __init__(
        self,
        session: Session,
        path: Path,
        *,
        title: str = "",
        whole: bool = False,
        wall: Callable[[], float] = time.time,
        told: Callable[[], object] = lambda: None,
    ) -> None:
        self.session = session
        self.path = path
        self.title = title
        self.whole = whole
        self._wall = wall
        self._told = told
        self._writer: RecordingWriter | None = None
        self._room = asyncio.Event()
        self._next = 0
        self._subs: Counter[int] = Counter()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopping = asyncio.Event()
        self._state = RecorderState(began=wall())

    @property
    def state(self) -> RecorderState:
        """How it goes."""
        writer = self._writer
        if writer is None:
            return self._state
        return replace(self._state, written=writer.written, dropped_reports=writer.dropped_reports)

    def _set(self, **values: object) -> None:
        self._state = replace(self._state, **values)  # type: ignore[arg-type]  # names of fields
        self._told()

    # --- the run ----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until :meth:`stop`, or cancelled; the file is complete then. Raises
        :class:`RecordingFailed` when it cannot be written (what is flushed stays).
        """
        try:
            await self._open()
            assert self._writer is not None, "it was opened"
            recording = asyncio.create_task(self._record(), name="recording")
            stopping = asyncio.create_task(self._stopping.wait())
            try:
                await asyncio.wait({recording, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if recording.done():
                    recording.result()
            finally:
                recording.cancel()
                stopping.cancel()
                for task in self._tasks.values():
                    task.cancel()
        except (OSError, duckdb.Error) as error:
            self._set(stage="failed", error=why(error))
            raise RecordingFailed(f"{self.path}: {why(error)}") from error
        finally:
            await self._close()

    async def stop(self) -> None:
        """Let :meth:`run` end."""
        self._stopping.set()

    async def _close(self) -> None:
        writer = self._writer
        if writer is None:
            return
        writer.sample("marks", self._now(), max(0, self._next - 1), 0, "stopped", "")
        await asyncio.shield(asyncio.to_thread(writer.close))
        if writer.error is not None:
            self._set(stage="failed", error=why(writer.error))
        elif self._state.stage != "failed":
            self._set(stage="stopped")

    def _now(self) -> int:
        return int(self._wall() * 1000)

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        identity, members = await self._identity()
        kind = Head(self.title, "recording", self._now(), __version__)

        def room() -> None:
            loop.call_soon_threadsafe(self._has_room)

        self._writer = await asyncio.to_thread(RecordingWriter, self.path, identity, kind, room)
        self._writer.sample("marks", self._now(), 0, 0, "started", "")
        if members:
            self._writer.sample("seen", self._now(), "members", members)

    def _has_room(self) -> None:
        self._room.set()
        if self._writer is not None and self._writer.error is not None:
            self._stopping.set()
        self._told()

    async def _identity(self) -> tuple[Identity, str]:
        """Whose history it is: the first member that answers says so."""
        members = ""
        cluster = 0
        try:
            async with asyncio.timeout(IDENTITY_S):
                members = to_json(await self.session.members())
                for endpoint in self.session.endpoints:
                    try:
                        async for report in self.session.reports(endpoint):
                            cluster = report.cluster_id
                            break
                    except SessionError:
                        continue  # Another one may know.
                    if cluster:
                        break
        except (TimeoutError, SessionError):
            pass  # A cluster that is away can be waited for: it is recorded under no id.
        return Identity(cluster, 0), members

    async def _record(self) -> None:
        seen = asyncio.create_task(forever(self._see, lambda error: None), name="recording members")
        self._tasks["seen"] = seen
        for endpoint in self.session.endpoints:
            self._follow_member(endpoint)
        await forever(self._follow, self._failed)

    def _failed(self, error: SessionError) -> None:
        if isinstance(error, RecordingFailed):
            raise error
        if self._writer is not None:
            at = max(0, self._next - 1)
            self._writer.sample("marks", self._now(), at, 0, "trouble", str(error))
        self._set(error=str(error))

    # --- keys and changes -------------------------------------------------------------------------

    async def _follow(self) -> None:
        if not self._next and not self.whole:
            self._next = await self._keys(0) + 1
        async for batch in self.session.watch(b"", True, self._next or 1):
            self._set(stage="recording", error="")
            if batch.gap_to:
                await self._bridge(batch.gap_to)
                return
            at_ms = self._now()
            for start in range(0, len(batch.events), SLICE):
                # Only the last slice may say that its revision is whole.
                part = batch.events[start : start + SLICE]
                last = start + SLICE >= len(batch.events)
                reached = part[-1].revision if last else part[0].revision - 1
                await self._append([self._row(event, at_ms) for event in part], reached, at_ms)
            if batch.events:
                self._next = batch.events[-1].revision + 1

    async def _bridge(self, compacted: int) -> None:
        """What comes next is compacted away: go on at the compacted revision with its keys."""
        assert self._writer is not None, "it was opened"
        if self._next > 1:
            text = f"revisions {self._next:,} to {compacted - 1:,} were compacted away"
            self._writer.sample("marks", self._now(), self._next, compacted - 1, "gap", text)
            self._set(gaps=self._state.gaps + 1)
        self._next = await self._keys(compacted) + 1

    async def _keys(self, revision: int) -> int:
        """The keys as they are, or were at a revision; returns at which."""
        assert self._writer is not None, "it was opened"
        self._set(stage="keys")
        before = self._next
        at = revision
        held: set[bytes] = set()
        async for page in self.session.ranges.values(EVERYTHING, revision):
            at = page.revision
            if before:
                held.update(record.key for record in page.records)
            # Of what changed since, the newest version is new here; older ones are there already.
            rows = [self._put(r) for r in page.records if not before or r.mod_revision >= before]
            for start in range(0, len(rows), SLICE):
                await self._append(rows[start : start + SLICE], 0, 0)
        if before:
            await self._gone(held, at)
        else:
            self._writer.compacted(at)
        await self._append([], at, self._now())
        return at

    async def _gone(self, held: set[bytes], revision: int) -> None:
        """Keys that were there before a gap and are not behind it went somewhere in between."""
        assert self._writer is not None, "it was opened"
        await asyncio.wrap_future(self._writer.flush())
        known = await asyncio.to_thread(self._writer.alive)
        rows = [
            Row(revision, self._sub(revision), DELETE, key, b"", 0, 0, 0, mod, 0, 0, "")
            for key, mod in known
            if key not in held
        ]
        for start in range(0, len(rows), SLICE):
            await self._append(rows[start : start + SLICE], 0, 0)

    async def _append(self, rows: Sequence[Row], revision: int, at_ms: int) -> None:
        assert self._writer is not None, "it was opened"
        while True:
            self._room.clear()
            try:
                if self._writer.changes(rows, revision, at_ms):
                    break
            except Exception as error:
                raise RecordingFailed(f"{self.path}: {why(error)}") from error
            await self._room.wait()
        if revision:
            self._state = replace(self._state, queued_revision=revision)

    def _row(self, event: KeyEvent, at_ms: int) -> Row:
        sub = self._sub(event.revision)
        if event.kind == "delete":
            fields = (DELETE, event.key, b"", 0, 0, 0)
        else:
            fields = (
                PUT,
                event.key,
                event.value,
                event.create_revision,
                event.version,
                event.lease,
            )
        return Row(
            event.revision, sub, *fields, event.prev_revision, at_ms, event.member, event.user
        )

    def _put(self, r: KeyRecord) -> Row:
        sub = self._sub(r.mod_revision)
        key = (PUT, r.key, r.value, r.create_revision, r.version, r.lease)
        return Row(r.mod_revision, sub, *key, 0, 0, 0, "")

    def _sub(self, revision: int) -> int:
        sub = self._subs[revision]
        self._subs[revision] += 1
        if len(self._subs) > SLICE and self._state.stage == "recording":
            # Revisions come in order, but for the keys of a beginning, which come by key.
            self._subs = Counter({revision: sub + 1})
        return sub

    # --- members ----------------------------------------------------------------------------------

    def _follow_member(self, endpoint: str) -> None:
        if endpoint not in self._tasks:
            self._tasks[endpoint] = asyncio.create_task(
                self._member(endpoint), name=f"recording {endpoint}"
            )

    async def _member(self, endpoint: str) -> None:
        last: MemberReport | None = None
        last_s = 0.0
        failing = ""

        async def follow() -> None:
            nonlocal last, last_s, failing
            async for report in self.session.reports(endpoint):
                failing = ""
                now_s = self._wall()
                turned = last is None or (report.role, report.term, report.leader) != (
                    last.role,
                    last.term,
                    last.leader,
                )
                if turned or now_s - last_s >= REPORT_EVERY_S or now_s < last_s:
                    last, last_s = report, now_s
                    self._report(endpoint, report)

        def failed(error: SessionError) -> None:
            nonlocal failing, last
            text = f"{error.code} {error.message}".strip()
            if text != failing:
                failing, last = text, None
                values = (endpoint, "", "", 0, 0, 0, 0, 0, 0, text, "")
                if self._writer is not None:
                    self._writer.sample("reports", self._now(), *values)

        await forever(follow, failed)

    def _report(self, endpoint: str, report: MemberReport) -> None:
        if self._writer is None:
            return
        if report.log is not None and len(report.log) > LOG_TAIL:
            report = replace(report, log=report.log[-LOG_TAIL:])
        self._writer.sample(
            "reports",
            self._now(),
            endpoint,
            report.name,
            report.role,
            report.term,
            report.leader,
            report.commit,
            report.applied,
            report.revision,
            report.db_bytes,
            "",
            to_json(report),
        )

    async def _see(self) -> None:
        """The member table and the leases, now and then."""
        while True:
            members = await self.session.members()
            leases, _ = await self.session.leases(LEASES)
            if self._writer is not None:
                self._writer.sample("seen", self._now(), "members", to_json(members))
                self._writer.sample("seen", self._now(), "leases", to_json(leases))
            for member in members:
                known = set(self._tasks) & set(member.client_urls)
                if not known and member.client_urls and self._all_new(member.client_urls):
                    self._follow_member(member.client_urls[0])
            await asyncio.sleep(SEEN_EVERY_S)

    def _all_new(self, urls: Sequence[str]) -> bool:
        """Whether none of a member's addresses is one that is followed, however it is written."""
        known = {name.rpartition("//")[2].rstrip("/") for name in self._tasks}
        return not known & {url.rpartition("//")[2].rstrip("/") for url in urls}
