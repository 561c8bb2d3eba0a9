"""A quota reached on running clusters, and the way out as etcd's own pages tell it.

Written with etcdctl of both releases, the same words to kvorum and to real etcd: find the revision,
compact, defragment, disarm. (https://etcd.io/docs/v3.5/op-guide/maintenance/#space-quota)
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from compat.real_etcd import RELEASES, RealEtcd, ReleaseCtl, find_release
from kvorum.client import Client
from kvorum.client.errors import ClientError
from kvorum.client.types import GetResult
from support.clusters import ClusterHandle

Launch = Callable[..., ClusterHandle]

pytestmark = pytest.mark.slow

QUOTA = 8 * 1024 * 1024
VALUE_BYTES = 100_000
NO_SPACE = "etcdserver: mvcc: database space exceeded"


async def fill(endpoints: list[str]) -> int:
    """Write one key over and over until there is no space; the last revision that was written."""
    random, revision = Random(1), 0
    async with Client(endpoints) as client:
        await client.put("small", "kept")
        while True:
            try:
                put = await client.put("big", random.randbytes(VALUE_BYTES))
            except ClientError as error:
                assert NO_SPACE in str(error)
                return revision
            revision = put.header.revision


class Ctl(ReleaseCtl):
    """etcdctl of one release, with what the tests below compare of its answers."""

    def alarms(self, *words: str) -> list[str]:
        """Alarms as ``alarm list`` and ``alarm disarm`` tell them, without their members."""
        lines = self.ok("alarm", *words).splitlines()
        return sorted({re.sub(r"memberID:\d+", "memberID:N", line) for line in lines if line})

    def statuses(self) -> list[dict[str, Any]]:
        """``endpoint status`` of every member."""
        return [each["Status"] for each in json.loads(self.ok("endpoint", "status", "-w", "json"))]

    def sizes(self) -> list[int]:
        """Bytes of every member's data on disk."""
        return [status["dbSize"] for status in self.statuses()]

    def refused(self, *words: str) -> tuple[int, bool]:
        """The exit code of a command, and whether it had no space."""
        result = self.run(*words)
        return result.code, NO_SPACE in result.err


def recover(ctl: Ctl, revision: int) -> list[object]:
    """The way out; what was said on it, without names and numbers that are a cluster's own."""
    said: list[object] = [ctl.alarms("list")]
    said.append({error for status in ctl.statuses() for error in alarm_errors(status)})
    said.append(ctl.refused("put", "k", "v"))
    said.append(ctl.refused("lease", "grant", "100"))
    said.append(ctl.ok("get", "small"))
    said.append(ctl.ok("del", "small"))
    said.append(ctl.ok("compact", str(revision), "--physical").replace(str(revision), "REV"))
    lines = ctl.ok("defrag").splitlines()
    said.append({re.sub(r"\[.*?\]|\. took .*", "", line) for line in lines})
    # Space alone is not enough: the alarm stands until somebody lowers it.
    said.append(ctl.refused("put", "k", "v"))
    said.append(ctl.alarms("disarm"))
    said.append(ctl.alarms("list"))
    said.append({error for status in ctl.statuses() for error in alarm_errors(status)})
    said.append(ctl.ok("put", "k", "v"))
    said.append(ctl.ok("get", "k", "small"))
    return said


def alarm_errors(status: dict[str, Any]) -> list[str]:
    """What a status says of alarms."""
    return [re.sub(r"memberID:\d+", "memberID:N", error) for error in status.get("errors", [])]


@pytest.mark.parametrize("name", RELEASES)
def test_out_of_space_and_back(kvorum_cluster: Launch, tmp_path: Path, name: str) -> None:
    release, flag = find_release(name), f"--quota-backend-bytes={QUOTA}"
    real = RealEtcd(release, tmp_path, (flag,)).start()
    try:
        theirs = recover(Ctl(release, [real.endpoint]), asyncio.run(fill([real.endpoint])))
    finally:
        real.stop()
    cluster = kvorum_cluster(3, flags=(flag,))
    ctl = Ctl(release, cluster.endpoints)
    revision = asyncio.run(fill(cluster.endpoints))
    assert max(ctl.sizes()) > QUOTA // 2
    assert recover(ctl, revision) == theirs
    assert max(ctl.sizes()) < QUOTA // 4
    assert all("finished defragmenting" in cluster.log(node) for node in cluster.names)
    # What is kept is the same on all members, and so is what it is hashed to.
    one_by_one = [Ctl(release, [endpoint]) for endpoint in cluster.endpoints]
    kept = [each.records(revision=revision) for each in one_by_one]
    assert kept[0].keys() == {b"big", b"small"}
    assert kept[1:] == kept[:1] * 2
    hashes = json.loads(ctl.ok("endpoint", "hashkv", f"--rev={revision}", "-w", "json"))
    found = {(each["HashKV"]["hash"], each["HashKV"]["compact_revision"]) for each in hashes}
    assert len(found) == 1
    assert found.pop()[1] == revision


def value_of(result: GetResult) -> str:
    """The value of a key that must be there."""
    assert result.kv is not None
    return result.kv.value.decode()


def test_a_defragmented_member_survives_kill_9(kvorum_cluster: Launch) -> None:
    """Killed again and again while it defragments under writes: nothing acknowledged is lost."""
    cluster = kvorum_cluster(1)

    async def cycle(number: int) -> int:
        async with Client(cluster.endpoints) as client:
            random = Random(number)
            for _ in range(60):
                await client.put(f"big/{random.randrange(5)}", random.randbytes(VALUE_BYTES))
            last = (await client.put("mark", str(number))).header.revision
            await client.compact(last - 3)
            defragmenting = asyncio.ensure_future(
                client.member(cluster.endpoints[0]).maintenance.defragment()
            )
            written = 0
            for written in range(3 * number):
                await client.put("during", f"{number}.{written}")
            await asyncio.to_thread(cluster.kill9, "n1")
            with contextlib.suppress(ClientError):
                await defragmenting
        await asyncio.to_thread(cluster.restart, "n1")
        async with Client(cluster.endpoints) as client:
            assert value_of(await client.get("mark")) == str(number)
            assert value_of(await client.get("mark", revision=last)) == str(number)
            if number:
                assert value_of(await client.get("during")) == f"{number}.{written}"
        return last

    for number in range(4):
        asyncio.run(cycle(number))
    assert list(cluster.view("n1").data_dir.glob("member/*.broken-*")) == []
