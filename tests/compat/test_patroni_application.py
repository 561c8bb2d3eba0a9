"""An application on kvorum through a failure of its leader: Patroni, with PostgreSQL.

Patroni keeps its leader's key on a lease, watches it, and compares and swaps everything else. When
the store's leader dies it must go on with the same PostgreSQL leader; when PostgreSQL's leader dies
the lease must end and the other one take over, once. Rows that were acknowledged stay.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from compat.patroni import SCOPE, TTL_S, Instance, postgres_programs, wait_roles
from kvorum import Client
from support.clusters import ClusterHandle, make_spec, outside_loop, wait_until
from support.programs import need_client

WAIT_S = 90.0


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[ClusterHandle]:
    handle = ClusterHandle(make_spec(tmp_path, 3), tmp_path / "kvorum")
    try:
        yield handle.start()
    finally:
        handle.end()


@pytest.fixture
def ledgers(cluster: ClusterHandle, tmp_path: Path) -> Iterator[list[Instance]]:
    postgres_programs()
    need_client("patroni/bin/patroni")
    hosts = [url.removeprefix("http://") for url in cluster.endpoints]
    instances = [Instance(name, tmp_path / name, hosts) for name in ("anna", "bert")]
    try:
        yield instances
    finally:
        for instance in instances:
            instance.end()


def leader_key(cluster: ClusterHandle) -> tuple[bytes, int]:
    """Patroni's own record of who leads: the value, and the lease it lives by."""

    async def read() -> tuple[bytes, int]:
        async with Client(cluster.endpoints) as client:
            found = (await client.get(f"/service/{SCOPE}/leader")).kv
            assert found is not None
            return found.value, found.lease

    return outside_loop(lambda: asyncio.run(read()))


def insert(instance: Instance, number: int) -> bool:
    """One row; True once it is acknowledged."""
    return instance.sql(f"insert into ledger values ({number})") is not None


def test_patroni_lives_on_kvorum(cluster: ClusterHandle, ledgers: list[Instance]) -> None:
    anna, bert = ledgers
    anna.start()
    wait_roles(anna, {"anna": ("leader", "running")}, WAIT_S)
    bert.start()
    both = {"anna": ("leader", "running"), "bert": ("sync_standby", "streaming")}
    wait_roles(anna, both, WAIT_S)
    assert anna.sql("create table ledger (n int primary key)") is not None
    written = [n for n in range(10) if insert(anna, n)]
    assert written == list(range(10))
    before = leader_key(cluster)
    assert before[0] == b"anna"

    # The store loses its leader: PostgreSQL keeps its own, by the same lease.
    killed_at = int(time.time())
    cluster.kill9(cluster.leader())
    cluster.leader()
    wait_until(lambda: insert(anna, 10), "a row after the store's leader was killed", WAIT_S)
    for instance in ledgers:
        wait_until(lambda i=instance: i.seen_store_at() > killed_at, "Patroni has its store back")
    wait_roles(bert, both, WAIT_S)
    assert leader_key(cluster) == before

    # PostgreSQL loses its leader: its lease ends, on a store that has lost a member.
    lost_at = time.monotonic()
    anna.kill9()
    wait_until(
        lambda: (bert.look("/patroni") or {}).get("role") in ("primary", "master"),
        "the standby takes over",
        TTL_S + WAIT_S,
    )
    # Not before the lease could end: it was renewed at most one round before the kill.
    assert time.monotonic() - lost_at > TTL_S / 2
    wait_until(lambda: insert(bert, 11), "a row in the new leader", WAIT_S)
    assert leader_key(cluster)[0] == b"bert"
    assert bert.sql("select count(*), max(n) from ledger") == "12|11"
