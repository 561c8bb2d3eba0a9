"""What members tell, as the terminal's reports: a kvorum node's statistics, an etcd member's
status, a key's history.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator

from kvorum.client import ClientError, MemberClient
from kvorum.client.maintenance import MemberStatus
from kvorum_proto.kvorum import v1

from kvorum_tui.live.beside import Beside
from kvorum_tui.live.metrics import Metrics, MetricsView
from kvorum_tui.model.records import (
    FaultView,
    KeyEvent,
    KeyLife,
    LogEntryView,
    MemberReport,
    PeerView,
)

PROBE_S = 2.0
ALARMS = ("NOSPACE", "CORRUPT")

ROLES = {
    v1.Role.FOLLOWER: "follower",
    v1.Role.PRE_CANDIDATE: "pre-candidate",
    v1.Role.CANDIDATE: "candidate",
    v1.Role.LEADER: "leader",
    v1.Role.LEARNER: "learner",
}


class Probe(Beside):
    """Asks a node for its status now and then: the round trip is the latency, and alarms stand only
    there.
    """

    def __init__(self, member: MemberClient, timeout_s: float) -> None:
        self._member = member
        self._timeout_s = timeout_s
        self.latency_ms: float | None = None
        self.status: MemberStatus | None = None
        self.alarms: tuple[str, ...] = ()

    async def run(self) -> None:
        """Ask again and again."""
        while True:
            began = time.monotonic()
            try:
                status = await self._member.maintenance.status(timeout_s=self._timeout_s)
            except ClientError:
                self.latency_ms = (
                    None  # The stream of statistics tells what is wrong with this member.
                )
            else:
                self.latency_ms = (time.monotonic() - began) * 1000
                self.status = status
                self.alarms = alarms_of(status.errors)
            await asyncio.sleep(PROBE_S)


def alarms_of(errors: tuple[str, ...]) -> tuple[str, ...]:
    """Names of alarms among a status' errors, which etcd words as "memberID:1 alarm:NOSPACE ".

    Other errors ("etcdserver: no leader") are no alarms; they show by themselves.
    """
    found = [text.partition("alarm:")[2].split()[:1] or [text] for text in errors]
    return tuple(dict.fromkeys(name for (name,) in found if name in ALARMS))


def errors_of(errors: tuple[str, ...]) -> tuple[str, ...]:
    """What a status complains of beside alarms."""
    return tuple(text.removeprefix("etcdserver: ") for text in errors if "alarm:" not in text)


def etcd_report(
    endpoint: str, status: MemberStatus, latency_ms: float, metrics: Metrics | None = None
) -> MemberReport:
    """What a real etcd says: no log, no oldest revision; peers and figures only by its
    ``/metrics``.
    """
    told = metrics.view() if metrics is not None else MetricsView()
    if status.is_learner:
        role = "learner"
    else:
        role = "leader" if status.is_leader else "follower"
    return MemberReport(
        endpoint=endpoint,
        source="etcd",
        member_id=status.member_id,
        cluster_id=status.header.cluster_id,
        version=status.version,
        role=role,
        leader=status.leader_id,
        term=status.raft_term,
        commit=status.raft_index,
        applied=status.raft_applied_index,
        revision=status.header.revision,
        db_bytes=status.db_size_bytes,
        latency_ms=latency_ms,
        alarms=alarms_of(status.errors),
        errors=errors_of(status.errors),
        db_in_use_bytes=status.db_in_use_bytes,
        db_quota_bytes=status.db_quota_bytes or None,
        watchers=told.count("watchers"),
        keys=told.count("keys"),
        compact_revision=told.compacted,
        fsync_p99_ms=told.figures.get("fsync_p99"),
        peers=told.peers or None,
        figures=told.figures,
    )


def node_report(endpoint: str, s: v1.NodeStatistics, probe: Probe) -> MemberReport:
    """What a kvorum node says."""
    status = probe.status
    return MemberReport(
        endpoint=endpoint,
        source="kvorum",
        member_id=s.member_id,
        cluster_id=s.cluster_id,
        name=s.name,
        version=s.version,
        role=ROLES.get(s.role, "follower"),
        leader=s.leader,
        term=s.term,
        commit=s.commit,
        applied=s.applied,
        first_index=s.first_index,
        last_index=s.last_index,
        revision=s.revision,
        compact_revision=max(0, s.compact_revision),
        keys=s.keys,
        leases=s.leases,
        watchers=s.watchers,
        db_bytes=s.db_bytes,
        latency_ms=probe.latency_ms,
        fsync_p99_ms=s.fsync.p99_us / 1000 if s.fsync is not None and s.fsync.count else None,
        alarms=probe.alarms,
        log=tuple(LogEntryView(e.index, e.term, e.summary, e.bytes) for e in s.log),
        peers=tuple(_peer(p) for p in s.peers),
        faults=tuple(_fault(f) for f in s.faults),
        faults_enabled=s.faults_enabled,
        errors=errors_of(status.errors) if status is not None else (),
        db_in_use_bytes=status.db_in_use_bytes if status is not None else None,
        db_quota_bytes=(status.db_quota_bytes or None) if status is not None else None,
        figures=_figures(s),
        extra={
            "uptime, s": s.uptime_ms // 1000,
            "log persisted to": s.persisted_index,
            "snapshot up to": s.snapshot_index,
            "leader changes seen": s.leader_changes,
            "proposals pending": s.pending_proposals,
            "reads pending": s.pending_reads,
            "watch streams": s.watch_streams,
            "write-ahead log, bytes": s.wal_bytes,
            "resident memory, bytes": s.resident_bytes,
            "proposals": s.proposals_total,
            "proposals failed": s.proposals_failed,
            "reads": s.reads_total,
            "watch events sent": s.watch_events_total,
            "slow watchers": s.slow_watchers,
            "history written to revision": s.history_revision,
        },
    )


def _peer(p: v1.PeerStatistics) -> PeerView:
    state = {
        v1.ProgressState.PROBE: "probe",
        v1.ProgressState.REPLICATE: "replicate",
        v1.ProgressState.SNAPSHOT: "snapshot",
    }
    return PeerView(
        p.id,
        p.match,
        p.next,
        state.get(p.state, ""),
        p.connected,
        p.round_trip_us / 1000,
        p.sent_bytes,
        p.received_bytes,
        p.dropped_messages,
        p.inflight,
    )


def _figures(s: v1.NodeStatistics) -> dict[str, float]:
    """What goes into charts."""
    figures: dict[str, float] = {
        "pending": s.pending_proposals,
        "failed": s.proposals_failed,
        "leader_changes": s.leader_changes,
        "watchers": s.watchers,
        "slow_watchers": s.slow_watchers,
        "proposals": s.proposals_total,
        "reads": s.reads_total,
    }
    latencies = (
        ("put", s.propose),
        ("fsync", s.fsync),
        ("apply", s.apply),
        ("stall", s.loop_stall),
    )
    for name, told in latencies:
        if told is not None and told.count:
            figures[f"{name}_p50"] = told.p50_us / 1000
            figures[f"{name}_p99"] = told.p99_us / 1000
            figures[f"{name}_max"] = told.max_us / 1000
    return figures


def _fault(f: v1.ActiveFault) -> FaultView:
    direction = f.direction.lower()
    return FaultView(f.id, f.what, f.remaining_ms, f.peer, direction)


async def key_life(batches: AsyncIterator[v1.HistoryBatch], limit: int) -> KeyLife:
    """The newest ``limit`` of a history's changes."""
    events: deque[KeyEvent] = deque(maxlen=limit)
    compacted = 0
    async for batch in batches:
        compacted = batch.compact_revision
        events.extend(change_of(revision) for revision in batch.revisions)
    return KeyLife(tuple(events), compacted)


def change_of(r: v1.HistoryRevision) -> KeyEvent:
    """A change of a key, as a node tells it."""
    return KeyEvent(
        "delete" if r.type else "put",
        r.key,
        r.value,
        r.revision,
        r.create_revision,
        r.version,
        r.lease,
        at_ms=r.at_ms,
        member=r.member,
        user=r.user,
    )
