"""/metrics beside two releases of etcd: every family of theirs is here with its type, labels and
buckets, or in a list with the reason why it cannot be.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from api.gateway.raw import post, send
from compat.real_etcd import RELEASES, find_release
from support.clusters import ClusterHandle, make_spec, wait_until

_BBOLT = "bbolt's way to commit; the history is kept in DuckDB"
_V2 = "the v2 store is gone"
_PROXY = "kvorum is no proxy"
_ONE_STEP = "a snapshot file is encoded, written and synced in one step"
MISSING = {
    "etcd_debugging_disk_backend_commit_rebalance_duration_seconds": _BBOLT,
    "etcd_debugging_disk_backend_commit_spill_duration_seconds": _BBOLT,
    "etcd_debugging_disk_backend_commit_write_duration_seconds": _BBOLT,
    "etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds": "a compaction is one "
    "transaction of the history's own thread: it pauses nobody",
    "etcd_debugging_mvcc_index_compaction_pause_duration_milliseconds": "the index holds living "
    "keys alone: compaction does not touch it",
    "etcd_debugging_mvcc_pending_events_total": "what streams have not sent yet is counted and "
    "bounded in bytes",
    "etcd_debugging_snap_save_marshalling_duration_seconds": _ONE_STEP,
    "etcd_snap_fsync_duration_seconds": _ONE_STEP,
    "etcd_snap_db_fsync_duration_seconds": _ONE_STEP,
    "etcd_snap_db_save_total_duration_seconds": _ONE_STEP,
    "etcd_debugging_store_expires_total": _V2,
    "etcd_debugging_store_reads_total": _V2,
    "etcd_debugging_store_watch_requests_total": _V2,
    "etcd_debugging_store_watchers": _V2,
    "etcd_debugging_store_writes_total": _V2,
    "etcd_grpc_proxy_cache_hits_total": _PROXY,
    "etcd_grpc_proxy_cache_keys_total": _PROXY,
    "etcd_grpc_proxy_cache_misses_total": _PROXY,
    "etcd_grpc_proxy_events_coalescing_total": _PROXY,
    "etcd_grpc_proxy_watchers_coalescing_total": _PROXY,
    "etcd_server_apply_duration_seconds": "entries that arrive together are applied together, by "
    "code without a clock; turns that take long are in etcd_server_slow_apply_total",
}
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
# Go's runtime has no counterpart.
_OF_GO = "go_"


class Family(NamedTuple):
    """What a dashboard can depend on."""

    kind: str
    labels: frozenset[str]
    bounds: tuple[str, ...]


def families(text: str) -> dict[str, Family]:
    """All families that have samples, by their names as they stand in the text."""
    kinds = {
        words[2]: words[3]
        for words in (line.split() for line in text.splitlines())
        if words[:2] == ["#", "TYPE"]
    }
    found: dict[str, Family] = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        name, _, rest = line.partition("{") if "{" in line else line.partition(" ")
        if name not in kinds:
            name = name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count")
        labels = dict(_LABEL.findall(rest))
        bounds = (labels.pop("le"),) if "le" in labels else ()
        before = found.get(name, Family(kinds[name], frozenset(labels), ()))
        added = tuple(bound for bound in bounds if bound not in before.bounds)
        found[name] = Family(before.kind, before.labels | labels.keys(), before.bounds + added)
    return found


def scrape(url: str) -> str:
    with send(url, "GET", "/metrics") as answer:
        return answer.body().decode()


def stir(url: str) -> None:
    """Do a little of everything, so that families with labels have samples."""
    for path, body in (
        ("/v3/kv/put", {"key": "YQ==", "value": "MQ=="}),
        ("/v3/kv/range", {"key": "YQ=="}),
        ("/v3/lease/grant", {"TTL": 600, "ID": 77}),
        ("/v3/maintenance/status", {}),
        ("/v3/kv/compaction", {"revision": 2, "physical": True}),
    ):
        status, document = post(url, path, body)
        assert status == 200, document
    with send(url, "GET", "/health") as answer:
        assert answer.status == 200


@pytest.fixture(scope="module")
def kvorum_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory = tmp_path_factory.mktemp("kvorum")
    spec = make_spec(directory, 1, flags=("--metrics=extensive",))
    cluster = ClusterHandle(spec, directory).start()
    stir(cluster.endpoints[0])
    yield cluster.endpoints[0]
    cluster.end()


@pytest.fixture(scope="module", params=RELEASES)
def etcd_text(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a release of etcd tells of itself."""
    program = find_release(request.param).etcd
    directory = tmp_path_factory.mktemp("etcd")
    spec = make_spec(directory, 1, program=program, flags=("--metrics=extensive",))
    cluster = ClusterHandle(spec, directory).start()
    try:
        stir(cluster.endpoints[0])
        return scrape(cluster.endpoints[0])
    finally:
        cluster.end()


def test_every_family_of_etcd_is_here_or_has_a_reason(kvorum_url: str, etcd_text: str) -> None:
    # The history's thread commits a moment after the answer.
    committed = "etcd_disk_backend_commit_duration_seconds_count 0.0"
    wait_until(lambda: committed not in scrape(kvorum_url), "a commit of the history")
    ours, theirs = families(scrape(kvorum_url)), families(etcd_text)
    assert len(theirs) > 80
    wanted = {
        name: family
        for name, family in theirs.items()
        if name not in MISSING and not name.startswith(_OF_GO)
    }
    assert {name: ours.get(name) for name in wanted} == wanted


def test_nothing_is_called_missing_that_is_here(kvorum_url: str) -> None:
    assert not MISSING.keys() & families(scrape(kvorum_url)).keys()


def test_names_that_only_etcd_could_have_are_not_ours(kvorum_url: str, etcd_text: str) -> None:
    """What has etcd's prefix here is etcd's: of one of these releases, or of a later one."""
    later = {
        "etcd_debugging_mvcc_db_compaction_last",
        "etcd_disk_wal_write_duration_seconds",
        "etcd_network_known_peers",
        "etcd_server_healthcheck",
        "etcd_server_healthchecks_total",
        "etcd_debugging_server_alarms",
        "etcd_server_feature_enabled",
    }
    # 3.5 dropped these names, which old dashboards still ask for.
    earlier = {
        f"etcd_debugging_mvcc_{name}"
        for name in ("put_total", "delete_total", "txn_total", "db_total_size_in_bytes")
    }
    ours = {name for name in families(scrape(kvorum_url)) if name.startswith(("etcd_", "grpc_"))}
    assert ours - families(etcd_text).keys() <= later | earlier


def test_basic_has_no_histograms_of_calls(tmp_path: Path) -> None:
    cluster = ClusterHandle(make_spec(tmp_path, 1), tmp_path).start()
    try:
        assert "grpc_server_handling_seconds" not in scrape(cluster.endpoints[0])
    finally:
        cluster.end()
