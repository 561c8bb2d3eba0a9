"""/metrics: etcd's names with etcd's types, and figures that move with what is done."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from api.gateway.raw import post, send
from prometheus_client.parser import text_string_to_metric_families
from unit.server.members import Cluster, with_cluster

# Contract page "server", section 7: name and type as etcd has them.
NAMES = {
    "etcd_server_has_leader": "gauge",
    "etcd_server_is_leader": "gauge",
    "etcd_server_is_learner": "gauge",
    "etcd_server_leader_changes_seen_total": "counter",
    "etcd_server_proposals_committed_total": "gauge",
    "etcd_server_proposals_applied_total": "gauge",
    "etcd_server_proposals_pending": "gauge",
    "etcd_server_proposals_failed_total": "counter",
    "etcd_server_quota_backend_bytes": "gauge",
    "etcd_mvcc_db_total_size_in_bytes": "gauge",
    "etcd_mvcc_db_total_size_in_use_in_bytes": "gauge",
    "etcd_disk_wal_fsync_duration_seconds": "histogram",
    "etcd_disk_wal_write_duration_seconds": "histogram",
    "etcd_disk_wal_write_bytes_total": "gauge",
    "etcd_disk_backend_commit_duration_seconds": "histogram",
    "etcd_server_slow_apply_total": "counter",
    "etcd_server_slow_read_indexes_total": "counter",
    "etcd_server_read_indexes_failed_total": "counter",
    "etcd_server_heartbeat_send_failures_total": "counter",
    "etcd_server_snapshot_apply_in_progress_total": "gauge",
    "etcd_network_client_grpc_received_bytes_total": "counter",
    "etcd_network_client_grpc_sent_bytes_total": "counter",
    "grpc_server_started_total": "counter",
    "grpc_server_handled_total": "counter",
    "grpc_server_msg_received_total": "counter",
    "grpc_server_msg_sent_total": "counter",
    "etcd_server_id": "gauge",
    "etcd_server_version": "gauge",
    "etcd_cluster_version": "gauge",
    "etcd_server_go_version": "gauge",
    "etcd_server_health_success": "counter",
    "etcd_server_health_failures": "counter",
    "etcd_debugging_mvcc_keys_total": "gauge",
    "etcd_debugging_mvcc_current_revision": "gauge",
    "etcd_debugging_mvcc_compact_revision": "gauge",
    "etcd_debugging_mvcc_watcher_total": "gauge",
    "etcd_debugging_mvcc_watch_stream_total": "gauge",
    "etcd_debugging_mvcc_slow_watcher_total": "gauge",
    "etcd_debugging_mvcc_events_total": "counter",
    "os_fd_limit": "gauge",
    "os_fd_used": "gauge",
    "process_resident_memory_bytes": "gauge",
}
OF_PEERS = {
    "etcd_network_peer_round_trip_time_seconds": "histogram",
    "etcd_network_active_peers": "gauge",
    "etcd_network_known_peers": "gauge",
    "etcd_network_peer_sent_bytes_total": "counter",
    "etcd_network_peer_received_bytes_total": "counter",
    "etcd_network_peer_sent_failures_total": "counter",
    "etcd_network_disconnected_peers_total": "counter",
    "etcd_server_client_requests_total": "counter",
    "etcd_server_healthcheck": "gauge",
    "etcd_server_healthchecks_total": "counter",
}


def scrape(url: str) -> str:
    with send(url, "GET", "/metrics") as answer:
        assert answer.status == 200
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        return answer.body().decode()


def types(text: str) -> dict[str, str]:
    """Names as they stand in the text, and their types."""
    return {
        words[2]: words[3]
        for words in (line.split() for line in text.splitlines())
        if words[:2] == ["#", "TYPE"]
    }


def value(text: str, name: str, **labels: str) -> float:
    """The one sample with these labels among others."""
    found = [
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    assert len(found) == 1, (name, labels, found)
    return found[0]


def test_names_and_types_are_those_of_the_contract(kvorum_url: str) -> None:
    told = types(scrape(kvorum_url))
    assert {name: told.get(name) for name in NAMES} == NAMES
    # Those of peers have no samples on one node, and their types all the same.
    assert {name: told.get(name) for name in OF_PEERS} == OF_PEERS


def test_what_etcd_has_too_has_its_type(kvorum_url: str, etcd_url: str) -> None:
    ours, theirs = types(scrape(kvorum_url)), types(scrape(etcd_url))
    common = sorted(ours.keys() & theirs.keys())
    assert len(common) > 30
    assert {name: ours[name] for name in common} == {name: theirs[name] for name in common}
    mine = {n for n in ours if n.startswith(("etcd_", "grpc_"))} - theirs.keys()
    # Newer than 3.4.23.
    assert mine <= {
        "etcd_server_healthcheck",
        "etcd_server_healthchecks_total",
        "etcd_network_known_peers",
        "etcd_debugging_mvcc_current_revision",
        "etcd_debugging_mvcc_compact_revision",
        "etcd_server_client_requests_total",
        "etcd_debugging_mvcc_db_compaction_last",
        "etcd_debugging_server_alarms",
        "etcd_server_feature_enabled",
        "etcd_disk_wal_write_duration_seconds",
    } | {n for n in OF_PEERS if n.startswith("etcd_network")}


def test_every_method_has_its_counters_from_the_start(kvorum_url: str, etcd_url: str) -> None:
    def rows(text: str) -> set[tuple[str, str, str]]:
        return {
            (x["grpc_type"], x["grpc_service"], x["grpc_method"])
            for family in text_string_to_metric_families(text)
            if family.name == "grpc_server_started"
            for x in (sample.labels for sample in family.samples)
        }

    assert rows(scrape(etcd_url)) <= rows(scrape(kvorum_url))
    ours, theirs = (
        {
            sample.labels["grpc_code"]
            for family in text_string_to_metric_families(scrape(url))
            if family.name == "grpc_server_handled"
            for sample in family.samples
        }
        for url in (kvorum_url, etcd_url)
    )
    assert ours == theirs


def call(**labels: str) -> dict[str, str]:
    return {"grpc_service": "etcdserverpb.KV", **labels}


def test_figures_move(kvorum_url: str) -> None:
    before = scrape(kvorum_url)
    assert post(kvorum_url, "/v3/kv/put", {"key": "YQ==", "value": "MQ=="})[0] == 200
    assert post(kvorum_url, "/v3/kv/put", {"key": ""})[0] == 400
    after = scrape(kvorum_url)

    def moved(name: str, **labels: str) -> float:
        return value(after, name, **labels) - value(before, name, **labels)

    put = call(grpc_method="Put")
    assert moved("grpc_server_started_total", **put) == 2
    assert moved("grpc_server_handled_total", **put, grpc_code="OK") == 1
    assert moved("grpc_server_handled_total", **put, grpc_code="InvalidArgument") == 1
    assert moved("grpc_server_msg_received_total", **put) == 2
    assert moved("grpc_server_msg_sent_total", **put) == 1
    assert moved("etcd_debugging_mvcc_current_revision") == 1
    assert moved("etcd_debugging_mvcc_keys_total") in (0, 1)
    assert moved("etcd_mvcc_put_total") == moved("etcd_debugging_mvcc_put_total") == 1
    assert moved("etcd_debugging_mvcc_total_put_size_in_bytes") == 2
    assert moved("etcd_disk_wal_write_bytes_total") > 0
    assert moved("etcd_server_proposals_applied_total") >= 1
    assert moved("etcd_disk_wal_fsync_duration_seconds_count") >= 1
    assert value(after, "etcd_server_has_leader") == 1
    assert value(after, "etcd_server_is_leader") == 1
    assert value(after, "etcd_server_quota_backend_bytes") == 2 * 1024**3
    bucket = "etcd_disk_wal_fsync_duration_seconds_bucket"
    total = value(after, "etcd_disk_wal_fsync_duration_seconds_count")
    assert value(after, bucket, le="+Inf") == total
    assert value(after, bucket, le="0.001") <= value(after, bucket, le="8.192") <= total


def test_what_becomes_of_leases_and_revisions_is_counted(kvorum_url: str) -> None:
    before = scrape(kvorum_url)
    for path, body in (
        ("/v3/lease/grant", {"TTL": 50, "ID": 71}),
        ("/v3/lease/grant", {"TTL": 50, "ID": 72}),
        ("/v3/lease/keepalive", {"ID": 71}),
        ("/v3/lease/revoke", {"ID": 71}),
        ("/v3/kv/put", {"key": "eA==", "value": "MQ==", "lease": 72}),
        (
            "/v3/kv/txn",
            {"success": [{"request_put": {"key": "eA=="}}, {"request_range": {"key": "eA=="}}]},
        ),
        ("/v3/kv/deleterange", {"key": "eA=="}),
        ("/v3/kv/range", {"key": "eA=="}),
        ("/v3/maintenance/hash", {}),
        ("/v3/maintenance/hashkv", {}),
        ("/v3/maintenance/defragment", {}),
    ):
        assert send_all(kvorum_url, path, body) == 200
    revision = int(value(scrape(kvorum_url), "etcd_debugging_mvcc_current_revision"))
    compaction = {"revision": revision, "physical": True}
    assert send_all(kvorum_url, "/v3/kv/compaction", compaction) == 200
    after = scrape(kvorum_url)

    def moved(name: str) -> float:
        return value(after, name) - value(before, name)

    counted = {
        "etcd_debugging_lease_granted_total": 2,
        "etcd_debugging_lease_renewed_total": 1,
        "etcd_debugging_lease_revoked_total": 1,
        "etcd_debugging_lease_ttl_total_count": 2,
        "etcd_debugging_lease_ttl_total_sum": 100,
        "etcd_mvcc_put_total": 2,
        "etcd_mvcc_delete_total": 1,
        "etcd_mvcc_range_total": 2,
        "etcd_mvcc_txn_total": 1,
        "etcd_mvcc_hash_duration_seconds_count": 1,
        "etcd_mvcc_hash_rev_duration_seconds_count": 1,
        "etcd_disk_backend_defrag_duration_seconds_count": 1,
        "etcd_debugging_mvcc_db_compaction_total_duration_milliseconds_count": 1,
    }
    assert {name: moved(name) for name in counted} == counted
    assert moved("etcd_debugging_mvcc_db_compaction_keys_total") >= 2
    assert value(after, "etcd_debugging_mvcc_db_compaction_last") > 1_700_000_000
    assert moved("etcd_disk_backend_commit_duration_seconds_count") >= 1
    # 50 s fall into the bucket up to 64.
    bucket = "etcd_debugging_lease_ttl_total_bucket"
    assert value(after, bucket, le="64") - value(after, bucket, le="32") >= 2


def send_all(url: str, path: str, body: object) -> int:
    """Call and read the whole answer, a stream too; returns the status."""
    with send(url, "POST", path, body) as answer:
        answer.body()
        return answer.status


def test_streams_are_counted_while_they_last(kvorum_url: str) -> None:
    watch: dict[str, Any] = {"grpc_service": "etcdserverpb.Watch", "grpc_type": "bidi_stream"}
    before = scrape(kvorum_url)
    with send(kvorum_url, "POST", "/v3/watch", {"create_request": {"key": "Yg=="}}) as answer:
        assert next(answer.documents())["result"]["created"]
        during = scrape(kvorum_url)
        assert value(during, "etcd_debugging_mvcc_watch_stream_total") == 1
        assert value(during, "etcd_debugging_mvcc_watcher_total") == 1
        for name in ("started_total", "msg_received_total", "msg_sent_total"):
            name = f"grpc_server_{name}"
            assert value(during, name, **watch) - value(before, name, **watch) == 1
    after = during
    while value(after, "etcd_debugging_mvcc_watch_stream_total"):
        after = scrape(kvorum_url)
    canceled = {**watch, "grpc_code": "Canceled"}
    name = "grpc_server_handled_total"
    assert value(after, name, **canceled) - value(before, name, **canceled) == 1


def test_peers_are_told_of(tmp_path: Path) -> None:
    async def run(c: Cluster) -> None:
        leader = await c.leader()
        me, (peer, _) = c.node(leader), [n for n in c.running() if n is not c.node(leader)]
        url = f"http://127.0.0.1:{c.client_ports[leader]}"
        to, name = f"{peer.member_id:x}", "etcd_network_peer_round_trip_time_seconds"
        text = await asyncio.to_thread(scrape, url)
        while not value(text, f"{name}_count", To=to):
            text = await asyncio.to_thread(scrape, url)
        assert value(text, f"{name}_bucket", To=to, le="+Inf") == value(
            text, f"{name}_count", To=to
        )
        assert value(text, f"{name}_sum", To=to) > 0
        for metric in ("etcd_network_active_peers", "etcd_network_known_peers"):
            assert value(text, metric, Local=f"{me.member_id:x}", Remote=to) == 1
        assert value(text, "etcd_network_peer_sent_bytes_total", To=to) > 0
        assert value(text, "etcd_network_peer_received_bytes_total", From=to) > 0
        assert value(text, "etcd_network_peer_sent_failures_total", To=to) == 0
        assert value(text, "etcd_server_is_leader") == 1
        name = "etcd_network_disconnected_peers_total"
        assert value(text, name, Remote=to) == 0
        await c.stop(next(i for i in range(3) if c.node(i) is peer))
        while not value(text, name, Remote=to):
            text = await asyncio.to_thread(scrape, url)
        assert value(text, "etcd_network_active_peers", Remote=to) == 0

    with_cluster(tmp_path, 3, run)


def test_labels_that_clients_choose_are_bounded(kvorum_url: str) -> None:
    for number in range(100):
        headers = {"Grpc-Metadata-Client-Api-Version": f"3.5.{number}"}
        assert post(kvorum_url, "/v3/kv/range", {"key": "YQ=="}, **headers)[0] == 200
    long = {"Grpc-Metadata-Client-Api-Version": "3" * 5000}
    assert post(kvorum_url, "/v3/kv/range", {"key": "YQ=="}, **long)[0] == 200
    text = scrape(kvorum_url)
    name = "etcd_server_client_requests_total"
    assert "3" * 65 not in text
    assert text.count(f"{name}{{") <= 64 + 2
    assert value(text, name, type="unary", client_api_version="3.5.0") == 1
    assert value(text, name, type="unary", client_api_version="other") > 10
