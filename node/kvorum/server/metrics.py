"""/metrics: a node's figures under etcd's names and types (contract page "server", section 7).

The figures are those of ``statistics()`` and of counters kept beside it; nothing is computed
between two scrapes. A name of etcd's that this node has no figure for is left out: no number is
better than an invented one. (tests/compat/test_metrics_names holds the list, with reasons.)

Here is what concerns the member and its process; ``metrics_store`` has keys, leases and disks,
``metrics_net`` peers and calls.
"""

from __future__ import annotations

import os
import platform
import resource
from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.metrics_core import Metric

from kvorum import ETCD_VERSION
from kvorum.config import NodeConfig
from kvorum.machine.operations import ALARM_NAMES
from kvorum.replica.tally import Totals
from kvorum.server import metrics_net, metrics_store
from kvorum.server.callcounts import CallCounts
from kvorum.server.families import bare_counter, counter, counters, gauge, gauges
from kvorum.server.health import HealthCounts
from kvorum.server.statistics import NodeStatistics

if TYPE_CHECKING:
    from kvorum.server.runtime import Node

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# Counters of etcd's without the suffix that prometheus-client gives every counter.
BARE = (
    "etcd_server_health_success",
    "etcd_server_health_failures",
    "etcd_server_learner_promote_successes",
)
# What Go's client says of a limit that is none.
_UNLIMITED = float(2**64 - 1)


class Metrics:
    """All metrics of one node, and the counters that only they read."""

    def __init__(self, node: Node) -> None:
        self._node = node
        config = node.config
        self.calls = CallCounts(
            extensive=config.extensive_metrics,
            slow_us=int(config.slow_request_s * 1e6),
            failpoint=node.failpoint,
        )
        self.health = HealthCounts()
        self._scrapes = 0
        # A registry of its own: several nodes may live in one process.
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def render(self) -> bytes:
        """The text that a scrape gets."""
        text = generate_latest(self._registry)
        for name in BARE:
            text = text.replace(f" {name}_total ".encode(), f" {name} ".encode())
        self._scrapes += 1
        return text

    def collect(self) -> Iterator[Metric]:
        """For prometheus-client."""
        node = self._node
        statistics, totals = node.statistics(), node.status().totals
        yield from _server(node, statistics, totals)
        yield from _identity(statistics, node.machine.cluster_version)
        yield from metrics_store.collect(node, statistics, totals, self.calls.walks)
        yield from metrics_net.peers(node.peers.figures(), statistics)
        yield from metrics_net.calls(self.calls)
        yield from _features(node.config)
        yield from _health(self.health)
        yield from _process()
        yield from self._own()

    def _own(self) -> Iterator[Metric]:
        """About scrapes, as Go's handler tells."""
        prefix = "promhttp_metric_handler_requests"
        yield gauge(prefix + "_in_flight", "Scrapes under way.", 1)
        done = [(("200",), float(self._scrapes)), (("500",), 0.0), (("503",), 0.0)]
        yield counters(prefix, "Scrapes by their status.", ("code",), done)


def _server(node: Node, s: NodeStatistics, totals: Totals) -> Iterator[Metric]:
    prefix = "etcd_server_"
    yield gauge(prefix + "has_leader", "Whether a leader is known.", int(s.leader != 0))
    yield gauge(prefix + "is_leader", "Whether this member leads.", int(s.role == "leader"))
    yield gauge(prefix + "is_learner", "Whether it has no vote.", int(s.role == "learner"))
    yield counter(prefix + "leader_changes_seen", "Changes of leader.", s.leader_changes)
    # Gauges, for all their names.
    yield gauge(prefix + "proposals_committed_total", "The commit index.", s.commit)
    yield gauge(prefix + "proposals_applied_total", "The applied index.", s.applied)
    yield gauge(prefix + "proposals_pending", "Writes that wait.", s.pending_proposals)
    yield counter(prefix + "proposals_failed", "Writes that failed.", s.proposals_failed)
    yield gauge(prefix + "quota_backend_bytes", "The quota; 0 is none.", node.config.quota_bytes)
    yield counter(prefix + "slow_apply", "Turns of applying that took long.", node.slow.applies)
    yield counter(
        prefix + "heartbeat_send_failures", "Heartbeats of a leader too late.", node.slow.heartbeats
    )
    yield counter(prefix + "slow_read_indexes", "Rounds of reads asked again.", totals.reads_late)
    yield counter(
        prefix + "read_indexes_failed", "Reads without an answer in time.", totals.reads_failed
    )
    yield gauge(
        prefix + "snapshot_apply_in_progress_total",
        "Snapshots that arrived and are not in force yet.",
        node.snapshots.pending,
    )
    yield bare_counter(
        prefix + "learner_promote_successes", "Learners promoted here.", totals.promotions
    )
    yield gauges(
        "etcd_debugging_server_alarms",
        "1 for every alarm that is raised.",
        ("server_id", "alarm_type"),
        [
            ((f"{alarm.member_id:x}", ALARM_NAMES.get(alarm.alarm, "UNKNOWN")), 1.0)
            for alarm in node.machine.alarms.all()
        ],
    )


def _identity(s: NodeStatistics, cluster_version: str) -> Iterator[Metric]:
    major_minor = ".".join(cluster_version.split(".")[:2])
    python = f"python{platform.python_version()}"
    for name, label, value in (
        ("etcd_server_id", "server_id", f"{s.member_id:x}"),
        ("etcd_server_version", "server_version", ETCD_VERSION),
        ("etcd_cluster_version", "cluster_version", major_minor),
        ("etcd_server_go_version", "server_go_version", python),
    ):
        about = "1 for what the label says."
        yield gauges(name, about, (label,), [((value,), 1)] if value else [])


def _features(config: NodeConfig) -> Iterator[Metric]:
    """Of etcd 3.6's feature gates those that mean something here."""
    gates = (
        ("InitialCorruptCheck", config.initial_corrupt_check),
        ("LeaseCheckpoint", config.lease_checkpoint),
        ("LeaseCheckpointPersist", config.lease_checkpoint_persist),
    )
    yield gauges(
        "etcd_server_feature_enabled",
        "Whether a feature is on.",
        ("name", "stage"),
        [((name, "ALPHA"), float(on)) for name, on in gates],
    )


def _health(health: HealthCounts) -> Iterator[Metric]:
    prefix = "etcd_server_health"
    yield bare_counter(prefix + "_success", "Healthy answers.", health.succeeded)
    yield bare_counter(prefix + "_failures", "Unhealthy answers.", health.failed)
    labels = ("type", "name")
    last = [(key, float(well)) for key, well in health.last.items()]
    yield gauges(prefix + "check", "How a check went last.", labels, last)
    yield counters(
        prefix + "checks", "Checks by how they went.", (*labels, "status"), health.checks.items()
    )


def _process() -> Iterator[Metric]:
    yield gauge("os_fd_limit", "The limit of open files.", open_files_limit())
    space = resource.getrlimit(resource.RLIMIT_AS)[0]
    yield gauge(
        "process_virtual_memory_max_bytes",
        "The limit of virtual memory.",
        _UNLIMITED if space == resource.RLIM_INFINITY else space,
    )
    try:
        used = len(os.listdir("/proc/self/fd"))
    except OSError:
        # The system does not tell.
        return
    yield gauge("os_fd_used", "Open files.", used)


def open_files_limit() -> int:
    """How many files this process may hold open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
