"""Data directories as releases wrote them: every later tree must start from each and hold the same.

``releases/VERSION.tar.xz`` is what kill -9 left of a member that had seen a bit of everything;
``releases/VERSION.json`` is what it held. ``python tests/disk/released.py VERSION`` makes both,
once, when a release is made. A directory of a release is never made again: who cannot read it has
broken an upgrade.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path
from typing import Any
from unittest import mock

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from kvorum.client import Client
from kvorum.client.ops import Delete, Get, Key, Put, Txn
from kvorum.client.types import Event
from kvorum.machine.apply import Applied, Machine
from kvorum.machine.commands import Envelope
from unit.server.members import Cluster

RELEASES = Path(__file__).parent / "releases"
# Two snapshots and a log of several files that goes on after them.
SHAPE = {"snapshot_count": 60, "snapshot_catchup_entries": 20, "wal_segment_bytes": 65_536}
_WRITES = 150
_LONG_S = 4_000_000_000  # A lease outlives this project.


def names() -> list[str]:
    """The releases of which there is a data directory."""
    return sorted(path.stem for path in RELEASES.glob("*.json"))


def unpack(name: str, directory: Path) -> Any:
    """Put a release's data where :class:`Cluster` has its only member's; what they held."""
    with tarfile.open(RELEASES / f"{name}.tar.xz") as archive:
        # Early patch releases of Python 3.11 know no filters; the archive is our own.
        options: Any = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(directory / "n0", **options)
    return json.loads((RELEASES / f"{name}.json").read_text(encoding="utf-8"))


@contextmanager
def digests() -> Iterator[dict[int, int]]:
    """The digest after each entry that any machine applies meanwhile, by index."""
    seen: dict[int, int] = {}
    apply = Machine.apply

    def noting(machine: Machine, index: int, term: int, envelope: Envelope) -> Applied:
        applied = apply(machine, index, term, envelope)
        seen[index] = machine.digest
        return applied

    with mock.patch.object(Machine, "apply", noting):
        yield seen


async def held(cluster: Cluster) -> dict[str, Any]:
    """What a member holds, as its clients can tell, at its newest revision."""
    async with Client([f"http://127.0.0.1:{cluster.client_ports[0]}"]) as client:
        status = await client.maintenance.status()
        revision = status.header.revision
        found = await client.get_prefix("")
        hashed = await client.maintenance.hash_kv(revision)
        oldest = hashed.compact_revision + 1
        events: list[Event] = []
        async with client.watch("", prefix=True, start_revision=oldest, prev_kv=True) as watch:
            while not events or events[-1].revision < revision:
                events += (await watch.next_batch()).events
        auth = client.auth
        leases = sorted(await client.leases.list())
        times = [await client.leases.time_to_live(lease, keys=True) for lease in leases]
        return {
            "cluster_id": status.header.cluster_id,
            "member_id": status.header.member_id,
            "revision": revision,
            "compact_revision": hashed.compact_revision,
            "hash": hashed.hash,
            "hash_of_oldest": (await client.maintenance.hash_kv(oldest)).hash,
            "keys": found.count,
            "keys_sha256": _sha256(found.kvs),
            "events": len(events),
            "events_sha256": _sha256(events),
            "leases": [[each.id, each.granted_ttl_s, len(each.keys)] for each in times],
            "users": {name: list(await auth.user_roles(name)) for name in await auth.users()},
            "roles": {
                name: _sha256(map(astuple, await auth.role_permissions(name)))
                for name in await auth.roles()
            },
        }


def _sha256(values: Any) -> str:
    return hashlib.sha256(repr(_plain(tuple(values))).encode()).hexdigest()


def _plain(value: Any) -> Any:
    """Without names of types and fields, which may change."""
    return tuple(_plain(part) for part in value) if isinstance(value, tuple) else value


async def _write(cluster: Cluster) -> None:
    """A bit of everything that a data directory can hold."""
    async with Client([f"http://127.0.0.1:{cluster.client_ports[0]}"]) as client:
        await client.auth.role_add("reader")
        await client.auth.grant_permission("reader", "READ", "k/", prefix=True)
        await client.auth.user_add("ann", "a password")
        await client.auth.grant_role("ann", "reader")
        for lease in (7, 2**62):
            await client.leases.grant(_LONG_S, id=lease)
            await client.put(f"leased/{lease}", "x", lease=lease)
        await client.leases.grant(_LONG_S, id=8)
        await client.put("leased/8", "gone with it", lease=8)
        await client.leases.revoke(8)
        await client.put(b"\x00\xff binary", bytes(range(256)))
        await client.put("empty", "")
        await client.put("large", b"0123456789abcdef" * 4096)
        for number in range(_WRITES):
            key = b"k/%d" % (number % 23)
            if number % 11 == 10:
                await client.delete(key)
            elif number % 7 == 6:
                then = (Put(key, b"then %d" % number), Put(b"k/txn", key), Get(key))
                await client.commit(Txn((Key(key).version > 1,), then, (Delete(key),)))
            else:
                await client.put(key, b"value %d" % number)
            if number == _WRITES // 2:
                await client.compact((await client.get(key)).header.revision - 20, physical=True)


async def _make(directory: Path, kept: Path) -> dict[str, Any]:
    cluster = Cluster(directory, 1, **SHAPE)
    await cluster.start()
    await cluster.ready()
    try:
        await _write(cluster)
        facts = await held(cluster)
        node = cluster.node(0)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        node.history.flush(lambda _: node.call_threadsafe(lambda: done.set_result(None)))
        await done
        facts["applied_index"] = node.machine.applied_index
        facts["digest"] = f"{node.machine.digest:016x}"
        with tarfile.open(kept, "w:xz", preset=9) as archive:
            archive.add(directory / "n0/member", "member", filter=_anonymous)
    finally:
        await cluster.stop_all()
    return facts


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mtime = 0
    return entry


def main(name: str) -> None:
    """Make a release's data directory."""
    archive = RELEASES / f"{name}.tar.xz"
    if archive.exists():
        sys.exit(f"{archive.name} is there; what a release wrote is not written again")
    RELEASES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        facts = asyncio.run(_make(Path(directory), archive))
    text = json.dumps(facts, indent=1) + "\n"
    (RELEASES / f"{name}.json").write_text(text, encoding="utf-8")
    print(f"{archive.name}: {archive.stat().st_size / 1024:.0f} KiB, {facts}")


if __name__ == "__main__":
    main(*sys.argv[1:])
