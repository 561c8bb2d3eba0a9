"""Checks and locks of the cluster in memory. A member may hold something else than the others:
``session.altered[name]`` replaces keys of it.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from kvorum_tui.model.records import KeyEvent, KeyRecord, LeaseInfo, LogEntryView
from kvorum_tui.session import SessionError
from kvorum_tui.session.checks import Certificate, HeldPage, MemberHash
from kvorum_tui.session.locks import LeasedPage

if TYPE_CHECKING:
    from tui.fake_session import FakeSession


class FakeChecks:
    """Of one FakeSession. ``altered`` is keys by member name; None there means: missing."""

    def __init__(self, session: FakeSession) -> None:
        self.session = session
        self.altered: dict[str, dict[bytes, bytes | None]] = {}
        self.shown: Certificate | None = None
        self.asked: list[tuple[object, ...]] = []
        self.full_log: dict[str, tuple[LogEntryView, ...]] = {}  # where reports show its end only
        self.held_back = False  # hashes never come

    def _store(self, endpoint: str) -> dict[bytes, KeyRecord]:
        node = self.session.node(endpoint)
        if node.error:
            raise SessionError(node.error, endpoint, "HashKV", "UNAVAILABLE")
        store = dict(self.session.store)
        for key, value in self.altered.get(node.name, {}).items():
            if value is None:
                store.pop(key, None)
            else:
                store[key] = replace(store[key], value=value)
        return store

    async def hash_kv(self, endpoint: str, revision: int) -> MemberHash:
        self.asked.append(("hash_kv", endpoint, revision))
        if self.held_back:
            await asyncio.Event().wait()
        store = self._store(endpoint)
        if revision > self.session.revision:
            text = "etcdserver: mvcc: required revision is a future revision"
            raise SessionError(text, endpoint, "HashKV", "OUT_OF_RANGE")
        revision = revision or self.session.revision
        kept = [(r.key, r.value) for r in store.values() if r.mod_revision <= revision]
        return MemberHash(zlib.crc32(repr(sorted(kept)).encode()), self.session.compacted, revision)

    async def held(
        self, endpoint: str, start: bytes, end: bytes, revision: int, limit: int, values: bool
    ) -> HeldPage:
        self.asked.append(("held", endpoint, start, end, values))
        found = [
            record if values else replace(record, value=b"")
            for key, record in sorted(self._store(endpoint).items())
            if key >= start and (not end or key < end)
        ]
        return HeldPage(tuple(found[:limit]), len(found) > limit, len(found))

    async def changes(self, endpoint: str, revision: int) -> tuple[KeyEvent, ...]:
        store = self._store(endpoint)
        return tuple(
            replace(e, value=store[e.key].value) if e.key in store else e
            for e in self.session.events
            if e.revision == revision
        )

    async def log(self, endpoint: str, first: int, limit: int) -> tuple[LogEntryView, ...]:
        node = self.session.node(endpoint)
        log = self.full_log.get(node.name, node.log)
        return tuple(entry for entry in log if entry.index >= first)[:limit]

    async def certificate(self, endpoint: str) -> Certificate | None:
        return self.shown


class FakeLocks:
    """Leases of one FakeSession."""

    def __init__(self, session: FakeSession) -> None:
        self.session = session
        self.asked: list[int] = []

    async def lease_ids(self) -> tuple[int, ...]:
        self.session._may(changes=False)
        return tuple(self.session.lease_table)

    async def lease_times(self, ids: Sequence[int]) -> list[LeaseInfo]:
        self.session._may(changes=False)
        self.asked += ids
        return [self.session.lease_table.get(one) or LeaseInfo(one, 0, -1) for one in ids]

    async def grant(self, ttl_s: int, lease_id: int) -> LeaseInfo:
        self.session._may("grant", ttl_s)
        if lease_id in self.session.lease_table:
            text = "etcdserver: lease already exists"
            raise SessionError(text, "n1", "LeaseGrant", "FAILED_PRECONDITION")
        made = lease_id or 0xABC0 + len(self.session.lease_table)
        info = LeaseInfo(made, ttl_s, ttl_s)
        self.session.lease_table[made] = info
        return info

    async def queue(self, prefix: bytes, limit: int) -> tuple[KeyRecord, ...]:
        self.session._may(changes=False)
        found = [record for key, record in self.session.store.items() if key.startswith(prefix)]
        return tuple(sorted(found, key=lambda record: record.create_revision)[:limit])

    async def leased(self, revision: int) -> AsyncIterator[LeasedPage]:
        self.session._may(changes=False)
        at: dict[bytes, KeyRecord] = {}
        for event in self.session.events:
            if event.revision > (revision or self.session.revision):
                break
            at.pop(event.key, None)
            if event.kind == "put":
                at[event.key] = KeyRecord(
                    event.key,
                    b"",
                    event.create_revision,
                    event.revision,
                    event.version,
                    event.lease,
                )
        held = tuple(at[key] for key in sorted(at) if at[key].lease)
        yield LeasedPage(held, revision, len(at), len(at))
