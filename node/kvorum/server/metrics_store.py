"""Metrics of what a node keeps: keys and their history, leases, users, the log, snapshots.

etcd has its backend in one file of bbolt's; here the history's file of DuckDB's stands for it: its
commits, its size, its open reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from prometheus_client.metrics_core import Metric

from kvorum.replica.tally import TTL_BOUNDS_S, Totals
from kvorum.server.families import (
    US_A_MS,
    counter,
    gauge,
    histogram,
    plain_histogram,
)
from kvorum.server.latency import Buckets
from kvorum.server.statistics import NodeStatistics

if TYPE_CHECKING:
    from kvorum.server.runtime import Node

_MVCC, _DEBUGGING, _DISK = "etcd_mvcc_", "etcd_debugging_mvcc_", "etcd_disk_"
_MAINTENANCE = "/etcdserverpb.Maintenance/"


def collect(
    node: Node, s: NodeStatistics, totals: Totals, walks: Mapping[str, Buckets]
) -> Iterator[Metric]:
    """All of them. ``walks`` are durations of calls that walk over everything, by their path."""
    yield from _keys(s)
    yield from _operations(totals)
    yield from _leases(totals)
    yield gauge("etcd_debugging_auth_revision", "The revision of auth.", node.machine.auth.revision)
    yield from _backend(node, s)
    yield from _compactions(node)
    yield from _log(node)
    yield from _walks(walks)


def _keys(s: NodeStatistics) -> Iterator[Metric]:
    yield gauge(_DEBUGGING + "keys_total", "Living keys.", s.keys)
    yield gauge(_DEBUGGING + "current_revision", "The newest revision.", s.revision)
    yield gauge(_DEBUGGING + "compact_revision", "The compact revision.", s.compact_revision)
    yield gauge(_DEBUGGING + "watcher_total", "Watchers.", s.watchers)
    yield gauge(_DEBUGGING + "watch_stream_total", "Streams of watchers.", s.watch_streams)
    yield gauge(_DEBUGGING + "slow_watcher_total", "Watchers that catch up.", s.slow_watchers)
    yield counter(_DEBUGGING + "events", "Events sent to watchers.", s.watch_events_total)


def _operations(totals: Totals) -> Iterator[Metric]:
    for name, about, value in (
        ("put", "Puts.", totals.puts),
        ("delete", "Deletions of ranges.", totals.deletes),
        ("range", "Ranges.", totals.ranges),
        ("txn", "Transactions of several operations.", totals.txns),
    ):
        yield counter(_MVCC + name, about, value)
        # 3.4's name of the same.
        yield counter(_DEBUGGING + name, about, value)
    yield gauge(
        _DEBUGGING + "total_put_size_in_bytes", "Bytes of keys and values put.", totals.put_bytes
    )


def _leases(totals: Totals) -> Iterator[Metric]:
    prefix = "etcd_debugging_lease_"
    yield counter(prefix + "granted", "Leases granted.", totals.leases_granted)
    yield counter(prefix + "renewed", "Renewals seen by the leader.", totals.leases_renewed)
    yield counter(prefix + "revoked", "Leases gone.", totals.leases_revoked)
    yield plain_histogram(
        prefix + "ttl_total", "TTLs granted.", TTL_BOUNDS_S, totals.ttl_counts, totals.ttl_sum_s
    )
    yield counter(
        "etcd_debugging_server_lease_expired", "Leases found to be over.", totals.leases_ended
    )


def _backend(node: Node, s: NodeStatistics) -> Iterator[Metric]:
    in_use = node.history.in_use_bytes
    about = "Bytes of the history on disk."
    yield gauge(_MVCC + "db_total_size_in_bytes", about, s.db_bytes)
    yield gauge(_DEBUGGING + "db_total_size_in_bytes", about, s.db_bytes)
    yield gauge(_MVCC + "db_total_size_in_use_in_bytes", "Bytes of it in use.", in_use)
    yield gauge(
        _MVCC + "db_open_read_transactions", "Reads of the history.", node.history.open_reads
    )
    yield histogram(
        _DISK + "backend_commit_duration_seconds",
        "How long commits of the history took.",
        node.history.work.commits,
    )
    yield gauge(
        _DISK + "defrag_inflight",
        "1 while the history is defragmented.",
        int(node.defragmenter.inflight),
    )


def _compactions(node: Node) -> Iterator[Metric]:
    work = node.history.work
    yield counter(
        _DEBUGGING + "db_compaction_keys", "Rows that compactions removed.", work.compacted_rows
    )
    yield gauge(
        _DEBUGGING + "db_compaction_last",
        "When the last compaction ended, in Unix seconds.",
        int(work.compacted_at_s),
    )
    yield histogram(
        _DEBUGGING + "db_compaction_total_duration_milliseconds",
        "How long compactions took, waiting included.",
        work.compactions,
        US_A_MS,
    )


def _log(node: Node) -> Iterator[Metric]:
    yield histogram(
        _DISK + "wal_fsync_duration_seconds",
        "How long syncs of the write-ahead log took.",
        node.disk.fsync.buckets.read(),
    )
    yield histogram(
        _DISK + "wal_write_duration_seconds",
        "How long the log's writes took before their syncs.",
        node.disk.writes.read(),
    )
    yield gauge(
        _DISK + "wal_write_bytes_total", "Bytes written.", node.disk.statistics.written_bytes
    )
    yield histogram(
        "etcd_debugging_snap_save_total_duration_seconds",
        "How long it took to write snapshot files.",
        node.snapshots.saves.read(),
    )


def _walks(walks: Mapping[str, Buckets]) -> Iterator[Metric]:
    for name, method in (
        (_DISK + "backend_defrag_duration_seconds", "Defragment"),
        (_DISK + "backend_snapshot_duration_seconds", "Snapshot"),
        (_MVCC + "hash_duration_seconds", "Hash"),
        (_MVCC + "hash_rev_duration_seconds", "HashKV"),
    ):
        about = f"How long answers of Maintenance.{method} took."
        yield histogram(name, about, walks[_MAINTENANCE + method].read())
