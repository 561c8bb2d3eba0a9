"""Everything a node tells about itself, as one frozen value.

The terminal, the inspection service and /metrics read only this.
"""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from kvorum_proto.kvorum import v1

from kvorum import ETCD_VERSION
from kvorum.server.faults import ActiveFault, LinkFault
from kvorum.server.latency import Latency
from kvorum.server.ports import PeerFigures

if TYPE_CHECKING:
    from kvorum.server.runtime import Node

_LATENCIES = ("fsync", "apply", "propose", "loop_stall")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class PeerStatistics:
    """A peer: the leader's progress for it (zeros elsewhere), and this node's connection to it."""

    id: int
    match: int
    next: int
    # "probe", "replicate", "snapshot", or empty when this node does not lead.
    state: str
    inflight: int
    active: bool
    connected: bool
    round_trip_us: int
    sent_bytes: int
    received_bytes: int
    dropped_messages: int


@dataclass(frozen=True, slots=True)
class NodeStatistics:
    """See each field's namesake in ``kvorum.v1.NodeStatistics``.

    Totals count since the node's start.
    """

    cluster_id: int
    member_id: int
    name: str
    at_ms: int
    uptime_ms: int
    version: str
    # "follower", "pre-candidate", "candidate", "leader" or "learner".
    role: str
    leader: int
    term: int
    vote: int
    commit: int
    applied: int
    first_index: int
    last_index: int
    persisted_index: int
    snapshot_index: int
    peers: tuple[PeerStatistics, ...]
    leader_changes: int
    pending_proposals: int
    pending_reads: int
    revision: int
    compact_revision: int
    keys: int
    watchers: int
    watch_streams: int
    slow_watchers: int
    leases: int
    digest: int
    digest_index: int
    history_revision: int
    history_applied: int
    db_bytes: int
    wal_bytes: int
    fsync: Latency
    apply: Latency
    propose: Latency
    loop_stall: Latency
    proposals_total: int
    proposals_failed: int
    reads_total: int
    watch_events_total: int
    resident_bytes: int
    faults: tuple[ActiveFault, ...]
    faults_enabled: bool

    def to_message(self) -> v1.NodeStatistics:
        """The same for the wire; whoever wants entries of the log adds them."""
        plain: dict[str, Any] = {
            each.name: getattr(self, each.name)
            for each in fields(self)
            if each.name not in ("role", "peers", "faults", *_LATENCIES)
        }
        for name in _LATENCIES:
            plain[name] = v1.Latency(**asdict(getattr(self, name)))
        return v1.NodeStatistics(
            role=v1.Role[self.role.upper().replace("-", "_")],
            peers=[_peer_message(peer) for peer in self.peers],
            faults=[_fault_message(fault) for fault in self.faults],
            **plain,
        )


def _peer_message(peer: PeerStatistics) -> v1.PeerStatistics:
    state = v1.ProgressState[peer.state.upper()] if peer.state else v1.ProgressState(0)
    return v1.PeerStatistics(**{**asdict(peer), "state": state})


def _fault_message(active: ActiveFault) -> v1.ActiveFault:
    link = active.fault if isinstance(active.fault, LinkFault) else None
    return v1.ActiveFault(
        id=active.id,
        what=active.fault.words,
        remaining_ms=active.remaining_ms,
        peer=link.peer if link else 0,
        direction=link.direction.value if link else "",
    )


def collect(node: Node) -> NodeStatistics:
    """The node's figures at this moment."""
    replica = node.status()
    raft = replica.raft
    return NodeStatistics(
        cluster_id=node.cluster_id,
        member_id=node.member_id,
        name=node.config.name,
        at_ms=node.wall.now_ms(),
        uptime_ms=(time.monotonic_ns() - node.started_ns) // 1_000_000,
        version=ETCD_VERSION,
        role="learner" if node.is_learner else raft.role.value,
        leader=raft.leader,
        term=raft.term,
        vote=raft.vote,
        commit=raft.commit,
        applied=replica.applied,
        first_index=raft.first_index,
        last_index=raft.last_index,
        persisted_index=raft.stable,
        snapshot_index=replica.snapshot_index,
        peers=_peers(node),
        leader_changes=replica.leader_changes,
        pending_proposals=replica.pending_requests,
        pending_reads=replica.pending_reads,
        revision=replica.revision,
        compact_revision=replica.compact_revision,
        keys=replica.keys,
        watchers=replica.watchers,
        watch_streams=replica.watch_streams,
        slow_watchers=replica.slow_watchers,
        leases=replica.leases,
        digest=replica.digest,
        digest_index=replica.applied,
        history_revision=replica.history_revision,
        history_applied=replica.history_applied,
        db_bytes=node.history.size_bytes,
        wal_bytes=node.disk.statistics.bytes,
        fsync=node.disk.fsync.read(),
        apply=node.apply.read(),
        propose=node.callers.propose.read(),
        loop_stall=node.loop_stall.read(),
        proposals_total=replica.proposals_total,
        proposals_failed=replica.proposals_failed,
        reads_total=replica.reads_total,
        watch_events_total=replica.watch_events_total,
        resident_bytes=resident_bytes(),
        faults=node.gate.list(),
        faults_enabled=node.config.enable_faults,
    )


def _peers(node: Node) -> tuple[PeerStatistics, ...]:
    progress = {each.member: each for each in node.status().raft.progress}
    links = {figures.id: figures for figures in node.peers.figures()}
    out = []
    for member in node.members():
        if member.id == node.member_id:
            continue
        link = links.get(member.id, PeerFigures(member.id, False, 0, 0, 0, 0))
        seen = progress.get(member.id)
        out.append(
            PeerStatistics(
                id=member.id,
                match=seen.match if seen else 0,
                next=seen.next if seen else 0,
                state=seen.state.name.lower() if seen else "",
                inflight=seen.inflight if seen else 0,
                active=seen.recent_active if seen else False,
                connected=link.connected,
                round_trip_us=link.round_trip_us,
                sent_bytes=link.sent_bytes,
                received_bytes=link.received_bytes,
                dropped_messages=link.dropped_messages,
            )
        )
    return tuple(out)


def resident_bytes() -> int:
    """The process's resident memory; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * _PAGE_BYTES
    except OSError:
        return 0
