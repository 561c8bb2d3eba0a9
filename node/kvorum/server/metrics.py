"""/metrics: a node's figures under etcd's names and types (contract page "server", section 7).

The figures are those of ``statistics()`` and of counters kept beside it; nothing is computed
between two scrapes. A name of etcd's that this node has no figure for is left out: no number is
better than an invented one.
"""

from __future__ import annotations

import os
import platform
import resource
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from grpclib.const import Status
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from kvorum import ETCD_VERSION
from kvorum.server.callcounts import CallCounts
from kvorum.server.health import HealthCounts
from kvorum.server.latency import Histogram
from kvorum.server.statistics import NodeStatistics

if TYPE_CHECKING:
    from kvorum.server.runtime import Node

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# Counters of etcd's without the suffix that prometheus-client gives every counter.
_BARE = ("etcd_server_health_success", "etcd_server_health_failures")
# Go's names of the codes where they are not Python's in camel case.
_CODE_NAMES = {Status.OK: "OK", Status.CANCELLED: "Canceled"}


class Metrics:
    """All metrics of one node, and the counters that only they read."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.calls = CallCounts()
        self.health = HealthCounts()
        # A registry of its own: several nodes may live in one process.
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def render(self) -> bytes:
        """The text that a scrape gets."""
        text = generate_latest(self._registry)
        for name in _BARE:
            text = text.replace(f" {name}_total ".encode(), f" {name} ".encode())
        return text

    def collect(self) -> Iterator[Metric]:
        """For prometheus-client."""
        node = self._node
        statistics = node.statistics()
        yield from _server(statistics, node.config.quota_bytes)
        yield from _identity(statistics, node.machine.cluster_version)
        in_use, defragmenting = node.history.in_use_bytes, node.defragmenter.inflight
        yield from _keys(statistics, in_use, defragmenting)
        yield _histograms(
            "etcd_disk_wal_fsync_duration_seconds",
            "How long syncs of the write-ahead log took.",
            [((), node.disk.fsync.buckets.read())],
        )
        yield _histograms(
            "etcd_network_peer_round_trip_time_seconds",
            "How long messages went to a member and back.",
            [((f"{x.id:x}",), x.round_trips) for x in node.peers.figures()],
            ("To",),
        )
        yield from _network(statistics)
        yield from _calls(self.calls)
        yield from _health(self.health)
        yield from _files()


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(name, about, value)


def _counter(name: str, about: str, value: float) -> Metric:
    return CounterMetricFamily(name, about, value)


def _labelled(
    kind: type[GaugeMetricFamily] | type[CounterMetricFamily],
    name: str,
    about: str,
    labels: tuple[str, ...],
    values: Iterable[tuple[tuple[str, ...], float]],
) -> Metric:
    family = kind(name, about, labels=labels)
    for label_values, value in values:
        family.add_metric(label_values, value)
    return family


def _histograms(
    name: str,
    about: str,
    values: Iterable[tuple[tuple[str, ...], Histogram]],
    labels: tuple[str, ...] = (),
) -> Metric:
    family = HistogramMetricFamily(name, about, labels=labels)
    for label_values, histogram in values:
        buckets, total = [], 0
        for bound_us, count in zip(histogram.bounds_us, histogram.counts, strict=False):
            total += count
            buckets.append((str(bound_us / 1e6), float(total)))
        buckets.append(("+Inf", float(total + histogram.counts[-1])))
        family.add_metric(label_values, buckets, histogram.sum_us / 1e6)
    return family


def _server(s: NodeStatistics, quota_bytes: int) -> Iterator[Metric]:
    prefix = "etcd_server_"
    yield _gauge(prefix + "has_leader", "Whether a leader is known.", int(s.leader != 0))
    yield _gauge(prefix + "is_leader", "Whether this member leads.", int(s.role == "leader"))
    yield _gauge(prefix + "is_learner", "Whether it has no vote.", int(s.role == "learner"))
    yield _counter(prefix + "leader_changes_seen", "Changes of leader.", s.leader_changes)
    # Gauges, for all their names.
    yield _gauge(prefix + "proposals_committed_total", "The commit index.", s.commit)
    yield _gauge(prefix + "proposals_applied_total", "The applied index.", s.applied)
    yield _gauge(prefix + "proposals_pending", "Writes that wait.", s.pending_proposals)
    yield _counter(prefix + "proposals_failed", "Writes that failed.", s.proposals_failed)
    yield _gauge(prefix + "quota_backend_bytes", "The quota; 0 is none.", quota_bytes)


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
        yield _labelled(GaugeMetricFamily, name, about, (label,), [((value,), 1)] if value else [])


def _keys(s: NodeStatistics, in_use_bytes: int, defragmenting: bool) -> Iterator[Metric]:
    prefix = "etcd_mvcc_db_total_size_in_"
    yield _gauge(prefix + "bytes", "Bytes of the history on disk.", s.db_bytes)
    yield _gauge(prefix + "use_in_bytes", "Bytes of it in use.", in_use_bytes)
    about = "1 while the history is defragmented."
    yield _gauge("etcd_disk_defrag_inflight", about, int(defragmenting))
    prefix = "etcd_debugging_mvcc_"
    yield _gauge(prefix + "keys_total", "Living keys.", s.keys)
    yield _gauge(prefix + "current_revision", "The newest revision.", s.revision)
    yield _gauge(prefix + "compact_revision", "The compact revision.", s.compact_revision)
    yield _gauge(prefix + "watcher_total", "Watchers.", s.watchers)
    yield _gauge(prefix + "watch_stream_total", "Streams of watchers.", s.watch_streams)
    yield _gauge(prefix + "slow_watcher_total", "Watchers that catch up.", s.slow_watchers)
    yield _counter(prefix + "events", "Events sent to watchers.", s.watch_events_total)


def _network(s: NodeStatistics) -> Iterator[Metric]:
    prefix = "etcd_network_"
    local = f"{s.member_id:x}"
    peers = [(f"{peer.id:x}", peer) for peer in s.peers]
    for kind, name, about, labels, values in (
        (
            GaugeMetricFamily,
            "active_peers",
            "1 where a connection stands.",
            ("Local", "Remote"),
            [((local, id_), float(peer.connected)) for id_, peer in peers],
        ),
        (
            GaugeMetricFamily,
            "known_peers",
            "1 for every other member.",
            ("Local", "Remote"),
            [((local, id_), 1.0) for id_, _ in peers],
        ),
        (
            CounterMetricFamily,
            "peer_sent_bytes",
            "Bytes sent to a member.",
            ("To",),
            [((id_,), float(peer.sent_bytes)) for id_, peer in peers],
        ),
        (
            CounterMetricFamily,
            "peer_received_bytes",
            "Bytes from a member.",
            ("From",),
            [((id_,), float(peer.received_bytes)) for id_, peer in peers],
        ),
        (
            CounterMetricFamily,
            "peer_sent_failures",
            "Messages to a member that were dropped.",
            ("To",),
            [((id_,), float(peer.dropped_messages)) for id_, peer in peers],
        ),
    ):
        yield _labelled(kind, prefix + name, about, labels, values)


def _calls(calls: CallCounts) -> Iterator[Metric]:
    prefix, labels = "grpc_server_", ("grpc_type", "grpc_service", "grpc_method")
    methods = [((m.kind, m.service, m.method), m) for m in calls.methods.values()]
    for name, about, values in (
        ("started", "Calls begun.", [(key, m.started) for key, m in methods]),
        ("msg_received", "Messages received.", [(key, m.received) for key, m in methods]),
        ("msg_sent", "Messages sent.", [(key, m.sent) for key, m in methods]),
    ):
        yield _labelled(CounterMetricFamily, prefix + name, about, labels, values)
    yield _labelled(
        CounterMetricFamily,
        prefix + "handled",
        "Calls ended, by their code.",
        (*labels, "grpc_code"),
        [
            ((*key, code_name(status)), count)
            for key, m in methods
            for status, count in m.handled.items()
        ],
    )
    yield _labelled(
        CounterMetricFamily,
        "etcd_server_client_requests",
        "Calls by the version that clients tell.",
        ("type", "client_api_version"),
        list(calls.requests.items()),
    )
    prefix = "etcd_network_client_grpc_"
    yield _counter(prefix + "received_bytes", "Bytes of requests.", calls.codec.received_bytes)
    yield _counter(prefix + "sent_bytes", "Bytes of answers.", calls.codec.sent_bytes)


def _health(health: HealthCounts) -> Iterator[Metric]:
    for name, about, value in zip(
        _BARE,
        ("Healthy answers.", "Unhealthy answers."),
        (health.succeeded, health.failed),
        strict=True,
    ):
        metric = Metric(name, about, "counter")
        metric.add_sample(name, {}, value)
        yield metric
    labels = ("type", "name")
    yield _labelled(
        GaugeMetricFamily,
        "etcd_server_healthcheck",
        "How a check went last.",
        labels,
        [(key, float(well)) for key, well in health.last.items()],
    )
    yield _labelled(
        CounterMetricFamily,
        "etcd_server_healthchecks",
        "Checks by how they went.",
        (*labels, "status"),
        list(health.checks.items()),
    )


def _files() -> Iterator[Metric]:
    yield _gauge("os_fd_limit", "The limit of open files.", open_files_limit())
    try:
        used = len(os.listdir("/proc/self/fd"))
    except OSError:
        # The system does not tell.
        return
    yield _gauge("os_fd_used", "Open files.", used)


def open_files_limit() -> int:
    """How many files this process may hold open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def code_name(status: Status) -> str:
    """Go's name of a status code."""
    return _CODE_NAMES.get(status) or "".join(p.capitalize() for p in status.name.split("_"))
