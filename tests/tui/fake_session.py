"""A cluster in memory, behind the terminal's Session protocol: revisions, watches, leases, members,
faults.

Long because every call of a session is answered here, side by side.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace

from kvorum.drill.access import Access
from kvorum_tui.model.records import (
    FaultView,
    KeyEvent,
    KeyLife,
    KeyRecord,
    LeaseInfo,
    LogEntryView,
    MemberIdentity,
    MemberReport,
    PeerView,
    Saved,
    WatchBatch,
)
from kvorum_tui.session import ReadOnly, SessionError
from tui.fakes.admin import FakeAdmin
from tui.fakes.checks import FakeChecks, FakeLocks
from tui.fakes.past import FakePast
from tui.fakes.plans import FakePlans
from tui.fakes.ranges import FakeRanges
from tui.fakes.rpcs import FakeRpcs
from tui.fakes.txns import FakeTxns

REPORT_EVERY_S = 0.3


@dataclass
class FakeNode:
    """One member."""

    name: str
    id: int
    role: str = "follower"
    term: int = 1
    commit: int = 10
    applied: int = 10
    error: str = ""
    faults: tuple[FaultView, ...] = ()
    log: tuple[LogEntryView, ...] = ()

    @property
    def endpoint(self) -> str:
        return f"http://{self.name}:2379"


class FakeSession:
    """Everything a test wants to see or provoke is a plain attribute."""

    def __init__(
        self,
        keys: dict[bytes, bytes] | None = None,
        members: int = 3,
        kind: str = "kvorum",
        read_only: bool = False,
    ) -> None:
        self.kind = kind
        self.read_only_flag = read_only
        self.read_only_for_ever = ""
        self.nodes = [FakeNode(f"n{n}", n) for n in range(1, members + 1)]
        self.nodes[0].role = "leader"
        for node in self.nodes:
            node.log = tuple(LogEntryView(i, 1, f"put {i}") for i in range(1, 11))
        self.revision = 1
        self.compacted = 0
        self.store: dict[bytes, KeyRecord] = {}
        self.events: list[KeyEvent] = []
        self.lease_table: dict[int, LeaseInfo] = {}
        self.calls: list[tuple[object, ...]] = []
        self.fail: SessionError | None = None
        self.before_save: Callable[[], None] | None = None
        self.faults_enabled = True
        self.user_name: str | None = None
        self.silent = False
        self.fallen_silent: set[str] = set()
        """Members that say nothing more, after what they were saying when they were told so."""
        self.lagging: set[str] = set()  # Members whose watches bring nothing for the time being.
        self._changed = asyncio.Event()
        self._next_fault = 1
        self.checks = FakeChecks(self)
        self.locks = FakeLocks(self)
        self.plans = FakePlans(self)
        self.past = FakePast(self)
        self.txns = FakeTxns(self)
        self.admin = FakeAdmin(self)
        self.rpcs = FakeRpcs(self)
        self.ranges = FakeRanges(self)
        for key, value in (keys or {}).items():
            self.write(key, value)

    # --- what tests do ----------------------------------------------------------------------------

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def write(self, key: bytes, value: bytes, lease: int = 0) -> KeyRecord:
        """A write by somebody else."""
        self.revision += 1
        old = self.store.get(key)
        record = KeyRecord(
            key,
            value,
            old.create_revision if old else self.revision,
            self.revision,
            old.version + 1 if old else 1,
            lease,
        )
        self.store[key] = record
        self.events.append(
            KeyEvent(
                "put",
                key,
                value,
                self.revision,
                record.create_revision,
                record.version,
                lease,
                old.value if old else None,
                prev_revision=old.mod_revision if old else 0,
            )
        )
        self._wake()
        return record

    def remove(self, *keys: bytes) -> None:
        """A deletion by somebody else, all in one revision."""
        self.revision += 1
        for key in keys:
            old = self.store.pop(key)
            self.events.append(
                KeyEvent(
                    "delete",
                    key,
                    b"",
                    self.revision,
                    prev_value=old.value,
                    prev_revision=old.mod_revision,
                )
            )
        self._wake()

    def state_at(self, revision: int) -> dict[bytes, KeyRecord]:
        """The store as it was."""
        state: dict[bytes, KeyRecord] = {}
        for e in self.events:
            if e.revision > revision:
                break
            state.pop(e.key, None)
            if e.kind == "put":
                state[e.key] = KeyRecord(
                    e.key, e.value, e.create_revision, e.revision, e.version, e.lease
                )
        return state

    def report(self) -> None:
        """Let every member report now."""
        self._wake()

    def elect(self, name: str, term: int) -> None:
        """Another leader."""
        for node in self.nodes:
            node.role = "leader" if node.name == name else "follower"
            node.term = term
        self._wake()

    def node(self, endpoint: str) -> FakeNode:
        return next(node for node in self.nodes if node.endpoint == endpoint)

    # --- Session ----------------------------------------------------------------------------------

    @property
    def endpoints(self) -> tuple[str, ...]:
        return tuple(node.endpoint for node in self.nodes)

    @property
    def read_only(self) -> bool:
        return self.read_only_flag

    @property
    def why_read_only(self) -> str:
        return self.read_only_for_ever

    def set_read_only(self, value: bool) -> None:
        self.read_only_flag = value

    @property
    def access(self) -> Access:
        return Access(user=self.user_name, password="secret" if self.user_name else None)

    async def open(self) -> None:
        self.calls.append(("open",))

    async def close(self) -> None:
        self.calls.append(("close",))

    def _may(self, *call: object, changes: bool = True) -> None:
        if self.fail is not None:
            raise self.fail
        if changes:
            if self.read_only_flag:
                raise ReadOnly("the session is read-only")
            self.calls.append(call)

    async def members(self) -> list[MemberIdentity]:
        self._may(changes=False)
        return [MemberIdentity(n.id, n.name, (n.endpoint,), ()) for n in self.nodes]

    async def reports(self, endpoint: str) -> AsyncIterator[MemberReport]:
        node = self.node(endpoint)
        while True:
            if node.error:
                raise SessionError(node.error, endpoint, "Statistics", "UNAVAILABLE")
            yield self._report(node)
            if self.silent:
                self.fallen_silent.add(node.name)
                await asyncio.Event().wait()
            try:
                await asyncio.wait_for(self._changed.wait(), REPORT_EVERY_S)
            except TimeoutError:
                continue

    def _report(self, node: FakeNode) -> MemberReport:
        leader = next((n.id for n in self.nodes if n.role == "leader"), 0)
        kvorum = self.kind == "kvorum"
        return MemberReport(
            node.endpoint,
            self.kind,
            node.id,
            name=node.name if kvorum else "",
            version="3.5.30",
            role=node.role,
            leader=leader,
            term=node.term,
            commit=node.commit,
            applied=node.applied,
            revision=self.revision,
            compact_revision=self.compacted if kvorum else None,
            keys=len(self.store) if kvorum else None,
            db_bytes=20_480,
            latency_ms=0.4,
            log=node.log if kvorum else None,
            peers=tuple(
                PeerView(n.id, 10, 11, "replicate", True, 0.3) for n in self.nodes if n is not node
            )
            if kvorum
            else None,
            faults=node.faults if kvorum else None,
            faults_enabled=self.faults_enabled if kvorum else None,
        )

    async def get(self, key: bytes, revision: int = 0) -> KeyRecord | None:
        self._may(changes=False)
        return (self.state_at(revision) if revision else self.store).get(key)

    async def history(self, key: bytes, from_revision: int, limit: int) -> KeyLife | None:
        self._may(changes=False)
        if self.kind != "kvorum":
            return None
        kept = [
            replace(e, at_ms=1_000_000_000_000, member=2)
            for e in self.events
            if e.key == key and e.revision >= max(from_revision, self.compacted)
        ]
        return KeyLife(tuple(kept[-limit:]), self.compacted)

    async def sample(self, prefix: bytes, limit: int = 5) -> tuple[int, list[bytes]]:
        self._may(changes=False)
        keys = sorted(key for key in self.store if key.startswith(prefix))
        return len(keys), keys[:limit]

    async def save(self, key: bytes, value: bytes, expected: int, lease: int = 0) -> Saved:
        if self.before_save is not None:
            hook, self.before_save = self.before_save, None
            hook()
        self._may("save", key, value, expected, lease)
        current = self.store.get(key)
        if expected >= 0 and (current.mod_revision if current else 0) != expected:
            return Saved(False, self.revision, current)
        return Saved(True, self.write(key, value, lease).mod_revision)

    async def put_at(self, endpoint: str, key: bytes, value: bytes) -> None:
        self._may("put_at", endpoint, key)
        if any(not fault.peer and fault.direction for fault in self.node(endpoint).faults):
            raise SessionError("no quorum", endpoint, "KV/Put", "UNAVAILABLE")
        self.write(key, value)

    async def delete_prefix(self, prefix: bytes) -> int:
        self._may("delete_prefix", prefix)
        keys = [key for key in self.store if key.startswith(prefix)]
        if keys:
            self.remove(*keys)
        return len(keys)

    async def watch(
        self,
        key: bytes,
        prefix: bool,
        start_revision: int = 0,
        previous: bool = True,
        member: str = "",
    ) -> AsyncIterator[WatchBatch]:
        self._may(changes=False)
        position = len(self.events) if start_revision == 0 else 0
        start = start_revision or self.revision + 1
        yield WatchBatch(start - 1 if start_revision else self.revision)
        if self.compacted and 0 < start_revision < self.compacted:
            yield WatchBatch(self.revision, gap_to=self.compacted)
        while True:
            if self.fail is not None:
                raise self.fail
            if member and self.node(member).error:
                raise SessionError(self.node(member).error, member, "Watch", "UNAVAILABLE")
            while member in self.lagging:
                await self._changed.wait()
            fresh = self.events[position:]
            position = len(self.events)
            hits = tuple(
                e
                for e in fresh
                if e.revision >= max(start, self.compacted)
                and (e.key.startswith(key) if prefix else e.key == key)
            )
            if hits:
                yield WatchBatch(self.revision, hits)
            if position == len(self.events):
                await self._changed.wait()

    async def leases(self, limit: int = 500) -> tuple[list[LeaseInfo], int]:
        self._may(changes=False)
        return list(self.lease_table.values())[:limit], len(self.lease_table)

    async def grant(self, ttl_s: int) -> LeaseInfo:
        self._may("grant", ttl_s)
        info = LeaseInfo(0xABC0 + len(self.lease_table), ttl_s, ttl_s)
        self.lease_table[info.id] = info
        return info

    async def keep_alive(self, lease_id: int) -> int:
        self._may("keep_alive", lease_id)
        if lease_id not in self.lease_table:
            raise SessionError(
                "etcdserver: requested lease not found", "n1", "LeaseKeepAlive", "NOT_FOUND"
            )
        info = self.lease_table[lease_id]
        self.lease_table[lease_id] = replace(info, remaining_s=info.granted_s)
        return info.granted_s

    async def revoke(self, lease_id: int) -> None:
        self._may("revoke", lease_id)
        info = self.lease_table.pop(lease_id)
        if info.keys:
            self.remove(*(key for key in info.keys if key in self.store))

    async def move_leader(self, target: int) -> None:
        self._may("move_leader", target)
        name = next(node.name for node in self.nodes if node.id == target)
        self.elect(name, max(node.term for node in self.nodes) + 1)

    async def sever(self, endpoint: str, peer: int, direction: str, duration_ms: int) -> None:
        self._may("sever", endpoint, peer, direction, duration_ms)
        node = self.node(endpoint)
        if node.error:
            raise SessionError(node.error, endpoint, "Inject", "UNAVAILABLE")
        node.faults += (FaultView(self._next_fault, "cut", duration_ms, peer, direction),)
        self._next_fault += 1
        self._wake()

    async def pause(self, endpoint: str, duration_ms: int) -> None:
        self._may("pause", endpoint, duration_ms)

    async def lift(self, endpoint: str, fault_id: int) -> None:
        self._may("lift", endpoint, fault_id)
        node = self.node(endpoint)
        node.faults = tuple(fault for fault in node.faults if fault.id != fault_id)
        self._wake()

    async def heal(self, endpoint: str) -> int:
        self._may("heal", endpoint)
        node = self.node(endpoint)
        lifted, node.faults = len(node.faults), ()
        self._wake()
        return lifted


class FakeControl:
    """Nodes that only remember what was done to them."""

    def __init__(self, session: FakeSession) -> None:
        self.session = session
        self.calls: list[tuple[str, str]] = []
        self.alive = {node.name: True for node in session.nodes}

    async def nodes(self) -> list[str]:
        return list(self.alive)

    async def is_alive(self, name: str) -> bool:
        return self.alive[name]

    async def pause(self, name: str) -> None:
        self.calls.append(("pause", name))

    async def resume(self, name: str) -> None:
        self.calls.append(("resume", name))

    async def kill(self, name: str) -> None:
        self.calls.append(("kill", name))
        self.alive[name] = False

    async def restart(self, name: str) -> None:
        self.calls.append(("restart", name))
        self.alive[name] = True
