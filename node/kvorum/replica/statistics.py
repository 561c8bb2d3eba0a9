"""A frozen picture of a replica: what the terminal, the metrics and the assertions of tests
read."""

from __future__ import annotations

from dataclasses import dataclass

from kvorum.raft.status import Status
from kvorum.replica.tally import Totals


@dataclass(frozen=True, slots=True)
class ReplicaStatistics:
    """See each field's namesake in the protos (``kvorum.v1.NodeStatistics``); totals count since
    the node's start."""

    raft: Status
    revision: int
    compact_revision: int
    keys: int
    leases: int
    digest: int
    applied: int
    snapshot_index: int
    history_applied: int
    history_revision: int
    window_events: int
    watchers: int
    watch_streams: int
    slow_watchers: int
    watch_events_total: int
    pending_requests: int
    pending_reads: int
    proposals_total: int
    proposals_failed: int
    reads_total: int
    leader_changes: int
    lease_clocks: bool
    totals: Totals
