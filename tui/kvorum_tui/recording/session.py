"""The session on a file: a recording, a snapshot, a node's history. It answers as the cluster would
have at the moment at which one looks, follows that moment when it runs, and can never be written
to.

Long because every call of a session is answered here, side by side.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any, cast

from kvorum.client import key_range
from kvorum.drill.access import Access
from kvorum.history.rows import EventRow

from kvorum_tui.model.records import (
    KeyEvent,
    KeyLife,
    KeyPage,
    KeyRecord,
    LeaseInfo,
    MemberIdentity,
    MemberReport,
    Saved,
    WatchBatch,
)
from kvorum_tui.recording.opening import Opened
from kvorum_tui.recording.past import RecordedPast
from kvorum_tui.recording.refused import NoRpcs, Refused
from kvorum_tui.recording.tape import REST_S, Tape
from kvorum_tui.recording.values import from_json, list_from_json
from kvorum_tui.session import ReadOnly, SessionError
from kvorum_tui.session.admin import Admin
from kvorum_tui.session.checks import Checks
from kvorum_tui.session.locks import LeasedPage
from kvorum_tui.session.plans import Plans
from kvorum_tui.session.ranges import Allowed, Span, ValuePage, span_of
from kvorum_tui.session.txns import Txns

PAGE = 2_000
SKIP_REVISIONS = 20_000  # Wound further than this, watches begin anew instead of telling all.

_ALIVE = """
    FROM history AS h JOIN (
        SELECT key, max((revision, sub)) AS newest FROM history
        WHERE key >= $low AND (octet_length($high) = 0 OR key < $high)
        GROUP BY key HAVING arg_max(type, (revision, sub)) = 0
    ) AS alive ON h.key = alive.key AND (h.revision, h.sub) = alive.newest
"""

# The newest row that was there by then; before the first there is that one.
_NEWEST = """
    ORDER BY "at" > make_timestamp_ms($now),
    CASE WHEN "at" > make_timestamp_ms($now) THEN epoch_ms("at") ELSE -epoch_ms("at") END
    LIMIT 1
"""


class RecordingSession:
    """A :class:`kvorum_tui.session.Session` over a file that was opened."""

    def __init__(self, opened: Opened) -> None:
        self.opened = opened
        self.head = opened.head
        kind = {"snapshot": "snapshot", "history": "history file"}
        self.why_read_only = f"this is a {kind.get(self.head.kind, 'recording')}"
        self.access = Access(None, None, None)
        self.checks = cast(Checks, Refused(self.why_read_only))
        self.plans = cast(Plans, Refused(self.why_read_only))
        self.admin = cast(Admin, Refused(self.why_read_only))
        self.txns = cast(Txns, Refused(self.why_read_only))
        self.rpcs = NoRpcs(self.why_read_only)
        self.ranges = RecordedRanges(self)
        self.locks = RecordedLocks(self)
        self.past = RecordedPast(self)
        self._tape: Tape | None = None
        self._endpoints: tuple[str, ...] = ()
        self._reports: dict[str, list[int]] = {}

    @property
    def tape(self) -> Tape:
        """The file; there is one from :meth:`open` to :meth:`close`."""
        if self._tape is None:
            raise SessionError("the file is closed", self.opened.shown.name)
        return self._tape

    @property
    def is_open(self) -> bool:
        """Whether the file is open."""
        return self._tape is not None

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Those of the members that were recorded."""
        return self._endpoints or (f"file://{self.opened.shown.name}",)

    @property
    def read_only(self) -> bool:
        """Always."""
        return True

    def set_read_only(self, value: bool) -> None:
        """It stays what it is."""

    async def open(self) -> None:
        """Open the file, at its end."""
        if self._tape is None:
            self._tape = Tape(self.opened)
            if self.head.kind != "history":
                rows = await self._tape.ask("SELECT DISTINCT endpoint FROM reports ORDER BY 1")
                self._endpoints = tuple(endpoint for (endpoint,) in rows)

    async def close(self) -> None:
        """Close the file."""
        tape, self._tape = self._tape, None
        if tape is not None:
            tape.stop()
            await asyncio.to_thread(tape.close)

    def refused(self, rpc: str) -> ReadOnly:
        """The answer to every write."""
        return ReadOnly(self.why_read_only, self.opened.shown.name, rpc)

    # --- members ----------------------------------------------------------------------------------

    async def seen(self, what: str) -> tuple[str, int] | None:
        """The newest of its kind that was seen by now, else the first, and when."""
        if self.head.kind == "history":
            return None
        rows = await self.tape.ask(
            'SELECT json, epoch_ms("at") FROM seen WHERE what = $what ' + _NEWEST,
            {"what": what, "now": self.tape.moment.at_ms},
        )
        return (rows[0][0], rows[0][1]) if rows else None

    async def members(self) -> list[MemberIdentity]:
        """The member table as it was; for a snapshot, the file itself."""
        if self.head.kind != "recording":
            return [MemberIdentity(1, self.opened.shown.stem, self.endpoints, ())]
        return await self.member_table()

    async def member_table(self) -> list[MemberIdentity]:
        """The members that the file knows."""
        found = await self.seen("members")
        try:
            return list_from_json(MemberIdentity, found[0]) if found is not None else []
        except ValueError as error:
            raise SessionError(str(error), self.opened.shown.name, "MemberList") from error

    async def reports(self, endpoint: str) -> AsyncIterator[MemberReport]:
        """What a member said by then, again and again, as it says so at other moments."""
        if self.head.kind == "history":
            async for report in self._own_reports(endpoint):
                yield report
        while True:
            rows = await self.tape.ask(
                "SELECT error, report FROM reports WHERE endpoint = $endpoint " + _NEWEST,
                {"endpoint": endpoint, "now": self.tape.moment.at_ms},
            )
            if rows and rows[0][0]:
                raise SessionError(rows[0][0], endpoint, "Statistics", "RECORDED")
            if rows:
                yield self._told(endpoint, rows[0][1])
            await self.tape.turned()

    def _told(self, endpoint: str, text: str) -> MemberReport:
        """A report as it was, but for how far back one can look."""
        try:
            report = from_json(MemberReport, text)
        except ValueError as error:
            raise SessionError(str(error), endpoint, "Statistics") from error
        oldest = max(report.compact_revision or 0, self.head.compacted)
        return replace(report, compact_revision=oldest)

    async def _own_reports(self, endpoint: str) -> AsyncIterator[MemberReport]:
        """Of a node's file nobody reported: where it stands."""
        while True:
            head = self.head
            yield MemberReport(
                endpoint,
                "etcd",
                1,
                head.cluster_id,
                self.opened.shown.stem,
                role="leader",
                leader=1,
                revision=self.tape.revision,
                compact_revision=head.compacted,
                db_bytes=self.opened.path.stat().st_size,
            )
            await self.tape.turned()

    # --- keys -------------------------------------------------------------------------------------

    def at(self, revision: int) -> int:
        """The revision to look at. Raises SessionError for one that is not known."""
        now = self.tape.revision
        if revision > now:
            text = "etcdserver: mvcc: required revision is a future revision"
            raise SessionError(text, self.opened.shown.name, "Range", "OUT_OF_RANGE")
        if revision and revision < self.head.compacted:
            text = f"nothing is known before revision {self.head.compacted:,}"
            raise SessionError(text, self.opened.shown.name, "Range", "OUT_OF_RANGE")
        return revision or now

    async def get(self, key: bytes, revision: int = 0) -> KeyRecord | None:
        """One key."""
        rows = await self.tape.ask(
            "SELECT type, key, value, create_revision, revision, version, lease FROM history "
            "WHERE key = $key ORDER BY revision DESC, sub DESC LIMIT 1",
            {"key": key},
            self.at(revision),
        )
        return None if not rows or rows[0][0] else KeyRecord(*rows[0][1:])

    async def history(self, key: bytes, from_revision: int, limit: int) -> KeyLife | None:
        """What the file knows of a key."""
        return await self.past.history(key, from_revision, 0, limit)

    async def sample(self, prefix: bytes, limit: int = 5) -> tuple[int, list[bytes]]:
        """Count and first keys of a prefix."""
        async for page in self.ranges.keys(span_of(prefix)):
            return page.total, list(page.keys[:limit])
        return 0, []

    async def watch(
        self,
        key: bytes,
        prefix: bool,
        start_revision: int = 0,
        previous: bool = True,
        member: str = "",
    ) -> AsyncIterator[WatchBatch]:
        """Changes up to the moment, and on as it runs. Where the moment was wound back, or far
        ahead, a batch says so and the watch begins anew behind it.
        """
        low, high = key_range(key, prefix=prefix)
        tape = self.tape
        winds = tape.playback.winds
        following = start_revision or tape.revision + 1
        yield WatchBatch(following - 1)
        if start_revision and start_revision < self.head.compacted:
            following = self.head.compacted
            yield WatchBatch(following, gap_to=following)
        while True:
            now = tape.revision
            wound, winds = tape.playback.winds != winds, tape.playback.winds
            if wound and (now < following - 1 or now - following > SKIP_REVISIONS):
                following = now + 1
                yield WatchBatch(now, gap_to=now, rewound=True)
            elif now >= following:
                found = await tape.events(following, now, low, high)
                following = found.through + 1
                if found.events:
                    yield WatchBatch(found.through, tuple(map(_event, found.events)))
            else:
                await tape.turned(REST_S)

    # --- leases -----------------------------------------------------------------------------------

    async def leases(self, limit: int = 500) -> tuple[list[LeaseInfo], int]:
        """As they were seen, less what has passed since, with the keys of the moment; and those
        that only keys know of.
        """
        rows = await self.tape.ask(
            "SELECT h.lease, list(h.key ORDER BY h.key) " + _ALIVE + " WHERE h.lease != 0 "
            "GROUP BY h.lease ORDER BY h.lease",
            {"low": b"", "high": b""},
        )
        keys = {lease: tuple(found) for lease, found in rows}
        found = await self.seen("leases")
        known: dict[int, LeaseInfo] = {}
        if found is not None:
            passed = max(0, self.tape.moment.at_ms - found[1]) // 1000
            for lease in list_from_json(LeaseInfo, found[0]):
                left = max(0, lease.remaining_s - passed) if lease.remaining_s >= 0 else -1
                own = keys.get(lease.id, ())
                known[lease.id] = LeaseInfo(lease.id, lease.granted_s, left, own)
        for lease_id, own in keys.items():
            known.setdefault(lease_id, LeaseInfo(lease_id, 0, 0, own))
        ordered = [known[lease_id] for lease_id in sorted(known)]
        return ordered[:limit], len(ordered)

    # --- what cannot be done ----------------------------------------------------------------------

    async def save(self, key: bytes, value: bytes, expected: int, lease: int = 0) -> Saved:
        """Refused."""
        raise self.refused("Put")

    async def put_at(self, endpoint: str, key: bytes, value: bytes) -> None:
        """Refused."""
        raise self.refused("Put")

    async def delete_prefix(self, prefix: bytes) -> int:
        """Refused."""
        raise self.refused("DeleteRange")

    async def grant(self, ttl_s: int) -> LeaseInfo:
        """Refused."""
        raise self.refused("LeaseGrant")

    async def keep_alive(self, lease_id: int) -> int:
        """Refused."""
        raise self.refused("LeaseKeepAlive")

    async def revoke(self, lease_id: int) -> None:
        """Refused."""
        raise self.refused("LeaseRevoke")

    async def move_leader(self, target: int) -> None:
        """Refused."""
        raise self.refused("MoveLeader")

    async def sever(self, endpoint: str, peer: int, direction: str, duration_ms: int) -> None:
        """Refused."""
        raise self.refused("Inject")

    async def pause(self, endpoint: str, duration_ms: int) -> None:
        """Refused."""
        raise self.refused("Inject")

    async def lift(self, endpoint: str, fault_id: int) -> None:
        """Refused."""
        raise self.refused("Lift")

    async def heal(self, endpoint: str) -> int:
        """Refused."""
        raise self.refused("Lift")


class RecordedRanges:
    """Ranges of a file; see :class:`kvorum_tui.session.ranges.Ranges`."""

    def __init__(self, session: RecordingSession) -> None:
        self._session = session

    async def keys(self, span: Span, revision: int = 0) -> AsyncIterator[KeyPage]:
        """Keys in order."""
        async for rows, at, more, total in self._pages("h.key", span, revision):
            yield KeyPage(tuple(row[0] for row in rows), at, more, total)

    async def values(self, span: Span, revision: int = 0) -> AsyncIterator[ValuePage]:
        """Keys with their values."""
        async for page in self._records("h.value", span, revision):
            yield page

    async def bare(self, span: Span, revision: int = 0) -> AsyncIterator[ValuePage]:
        """The same with empty values."""
        async for page in self._records("''::BLOB", span, revision):
            yield page

    async def _records(self, value: str, span: Span, revision: int) -> AsyncIterator[ValuePage]:
        columns = f"h.key, {value}, h.create_revision, h.revision, h.version, h.lease"
        async for rows, at, more, total in self._pages(columns, span, revision):
            yield ValuePage(tuple(KeyRecord(*row) for row in rows), at, more, total)

    async def _pages(
        self, columns: str, span: Span, revision: int
    ) -> AsyncIterator[tuple[Sequence[Any], int, bool, int]]:
        session = self._session
        at = session.at(revision)
        values = {"low": span[0], "high": span[1]}
        total = (await session.tape.ask("SELECT count(*)" + _ALIVE, values, at))[0][0]
        sql = f"SELECT {columns} {_ALIVE} ORDER BY h.key"
        seen = 0
        async for rows in session.tape.stream(sql, values, at, PAGE):
            seen += len(rows)
            yield rows, at, seen < total, total
        if not seen:
            yield [], at, False, 0

    async def follow(self, span: Span, start_revision: int) -> AsyncIterator[WatchBatch]:
        """Changes of a range. It goes on from pages that were read; a moment that was wound back
        since then says so first.
        """
        now = self._session.tape.revision
        if start_revision > now + 1:
            yield WatchBatch(now, gap_to=now, rewound=True)
            start_revision = now + 1
        async for batch in self._session.watch(b"", True, start_revision, previous=False):
            events = tuple(
                event
                for event in batch.events
                if event.key >= span[0] and (not span[1] or event.key < span[1])
            )
            if events or not batch.events:
                yield WatchBatch(batch.revision, events, batch.gap_to, batch.rewound)

    async def allowed(self) -> Allowed:
        """Whoever has the file may read it."""
        return Allowed(everything=True)


class RecordedLocks:
    """Leases of a file; see :class:`kvorum_tui.session.locks.Locks`."""

    def __init__(self, session: RecordingSession) -> None:
        self._session = session

    async def lease_ids(self) -> tuple[int, ...]:
        """Every lease that is known."""
        found, _ = await self._session.leases(1_000_000)
        return tuple(lease.id for lease in found)

    async def lease_times(self, ids: Sequence[int]) -> list[LeaseInfo]:
        """As they were seen."""
        found, _ = await self._session.leases(1_000_000)
        known = {lease.id: lease for lease in found}
        return [known.get(lease_id, LeaseInfo(lease_id, 0, -1)) for lease_id in ids]

    async def grant(self, ttl_s: int, lease_id: int) -> LeaseInfo:
        """Refused."""
        raise self._session.refused("LeaseGrant")

    async def queue(self, prefix: bytes, limit: int) -> tuple[KeyRecord, ...]:
        """The first keys by create revision."""
        found: list[KeyRecord] = []
        async for page in self._session.ranges.values(span_of(prefix)):
            found += page.records
        return tuple(sorted(found, key=lambda record: record.create_revision)[:limit])

    async def leased(self, revision: int) -> AsyncIterator[LeasedPage]:
        """Keys with a lease."""
        read = 0
        async for page in self._session.ranges.values((b"", b""), revision):
            read += len(page.records)
            leased = tuple(record for record in page.records if record.lease)
            yield LeasedPage(leased, page.revision, read, page.total)


def _event(row: EventRow) -> KeyEvent:
    record, prev = row.record, row.prev
    return KeyEvent(
        "delete" if row.type else "put",
        record.key,
        record.value,
        row.revision,
        record.create_revision,
        record.version,
        record.lease,
        prev.value if prev is not None else None,
        prev_revision=prev.mod_revision if prev is not None else 0,
    )
