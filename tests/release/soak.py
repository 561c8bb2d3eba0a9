"""Item 11: an hour of steady load, after which nothing may have grown.

A hundred operations a second on three nodes with compaction, watchers and leases. Every ten seconds
each node's memory, open files and disk are read from outside. An hour in one piece is the goal: a
run that is shorter counts for nothing, the longest one counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

from kvorum.client import Client
from kvorum.client.errors import ClientError
from kvorum.client.ops import Key, Put, Txn
from kvorum.limits import HISTORY_CHECKPOINT_BYTES, SNAPSHOT_FILES_KEPT, WAL_SEGMENT_BYTES
from support.clusters import ClusterHandle

from release.gate import Deadline, State, slice
from release.goals import AtLeast, Quantile

MINUTES = 60
WARM_S = 600.0
RATE = 100
CLIENTS, KEYS, VALUE_BYTES = 8, 2_000, 256
KEPT_REVISIONS = 10_000
WATCHERS, LEASE_TTL_S = 10, 20
_LOOK_S = 10.0
_SPAN_S = 180.0  # Medians are of this long a stretch.
_FDS_MORE = 3  # Connections that are just being made anew.
MIB = 2**20
# The live log's segment, the one before it and the next; snapshots of the live data (twice, for
# what is around each key); the history of all kept revisions with its own log.
_LIVE_BYTES = 2 * KEYS * VALUE_BYTES
DISK_MIB = (
    3 * WAL_SEGMENT_BYTES
    + (SNAPSHOT_FILES_KEPT + 1) * _LIVE_BYTES
    + 4 * KEPT_REVISIONS * VALUE_BYTES
    + 2 * HISTORY_CHECKPOINT_BYTES
) / MIB


class Look(NamedTuple):
    """One node at one time, in seconds since the load began."""

    at_s: float
    rss_mib: float
    fds: int
    disk_mib: float


@slice(
    "soak",
    f"{MINUTES} minutes at {RATE} operations a second with compaction: after minute 10 memory "
    f"grows < 10 %, open files stay, disk stays below {DISK_MIB:.0f} MiB a node",
    (11,),
    [
        AtLeast("minutes_in_one_piece", MINUTES),
        Quantile("rss_growth_percent", 1.0, 10.0),
        Quantile("open_files_more", 1.0, _FDS_MORE),
        Quantile("disk_mib", 1.0, DISK_MIB),
    ],
)
def run(state: State, until: Deadline) -> None:
    """As long as there is time, the hour at most."""
    flags = ("--auto-compaction-mode=revision", f"--auto-compaction-retention={KEPT_REVISIONS}")
    with state.cluster(3, flags=flags) as cluster:
        looks: dict[str, list[Look]] = {name: [] for name in cluster.names}
        try:
            asyncio.run(_load(state, until, cluster, looks))
        finally:
            _count(state, looks)


def _count(state: State, looks: dict[str, list[Look]]) -> None:
    """Keep the figures of a run if it is the longest."""
    minutes = int(min((series[-1].at_s if series else 0.0) for series in looks.values()) // 60)
    if minutes <= state.count("minutes_in_one_piece"):
        return
    state.counters["minutes_in_one_piece"] = minutes
    for name in ("rss_growth_percent", "open_files_more", "disk_mib"):
        state.forget(name)
    for series in looks.values():
        state.sample("disk_mib", max(look.disk_mib for look in series))
        if series[-1].at_s > WARM_S + _SPAN_S:
            state.sample("rss_growth_percent", growth_percent(series))
            state.sample("open_files_more", more_files(series))
    state.fact("memory", plot(looks))


def growth_percent(series: Sequence[Look], warm_s: float = WARM_S) -> float:
    """How much more memory at the end than after the warm-up, medians of some minutes each."""
    before, after = _ends(series, warm_s)
    first = statistics.median(look.rss_mib for look in before)
    return 100 * (statistics.median(look.rss_mib for look in after) / first - 1)


def more_files(series: Sequence[Look], warm_s: float = WARM_S) -> float:
    """How many more open files at the end than after the warm-up."""
    before, after = _ends(series, warm_s)
    return statistics.median(x.fds for x in after) - statistics.median(x.fds for x in before)


def _ends(series: Sequence[Look], warm_s: float) -> tuple[list[Look], list[Look]]:
    before = [look for look in series if warm_s <= look.at_s < warm_s + _SPAN_S]
    return before, [look for look in series if look.at_s > series[-1].at_s - _SPAN_S]


def plot(looks: dict[str, list[Look]], columns: int = 60, rows: int = 10) -> str:
    """Memory over time as text: each node is drawn by the last character of its name."""
    every = [look for series in looks.values() for look in series]
    top, end_s = max(look.rss_mib for look in every), max(look.at_s for look in every)
    field = [[" "] * (columns + 1) for _ in range(rows + 1)]
    for name, series in looks.items():
        for look in series:
            column = round(look.at_s / end_s * columns)
            field[rows - round(look.rss_mib / top * rows)][column] = name[-1]
    lines = [
        f"{top * (rows - n) / rows:6.0f} MiB |{''.join(line).rstrip()}"
        for n, line in enumerate(field)
    ]
    return "\n".join([*lines, f"{'':11}+{'-' * columns} {end_s / 60:.0f} min"])


# --- the load -------------------------------------------------------------------------------------


async def _load(
    state: State, until: Deadline, cluster: ClusterHandle, looks: dict[str, list[Look]]
) -> None:
    began_s = time.monotonic()
    tasks = [asyncio.create_task(_client(state, cluster, n)) for n in range(CLIENTS)]
    tasks += [asyncio.create_task(_watcher(state, cluster)) for _ in range(WATCHERS)]
    tasks.append(asyncio.create_task(_leases(state, cluster)))
    try:
        while not until.over() and time.monotonic() < began_s + 60 * MINUTES + 2 * _LOOK_S:
            await asyncio.sleep(min(_LOOK_S, max(0.1, until.left_s())))
            for name, series in looks.items():
                series.append(await asyncio.to_thread(look, cluster, name, began_s))
            for task in tasks:
                if task.done():
                    task.result()
            newest = ", ".join(f"{name} {s[-1].rss_mib:.0f} MiB" for name, s in looks.items())
            state.say(f"{(time.monotonic() - began_s) / 60:.1f} min, {newest}")
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def look(cluster: ClusterHandle, name: str, began_s: float) -> Look:
    """Memory, files and disk of a node now. AssertionError when it is gone."""
    view = cluster.view(name)
    assert view.state == "running", f"{name} {view.ending}"
    process = Path("/proc") / str(view.pid)
    pages = int((process / "statm").read_text(encoding="ascii").split()[1])
    disk = 0
    for path in view.data_dir.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            disk += path.stat().st_blocks * 512
    return Look(
        time.monotonic() - began_s,
        pages * os.sysconf("SC_PAGE_SIZE") / MIB,
        len(list((process / "fd").iterdir())),
        disk / MIB,
    )


async def _client(state: State, cluster: ClusterHandle, number: int) -> None:
    """Its share of the rate, by the clock: after a stall it does not catch up."""
    rng = Random(number)
    async with Client(cluster.endpoints, timeout_s=5.0) as client:
        while True:
            began_s = time.monotonic()
            try:
                await _operation(client, rng)
            except ClientError:
                state.add("operations_failed")
            else:
                state.add("operations")
            await asyncio.sleep(max(0.0, CLIENTS / RATE - (time.monotonic() - began_s)))


async def _operation(client: Client, rng: Random) -> None:
    key = f"soak/{rng.randrange(KEYS)}"
    match rng.choices(("put", "get", "txn", "delete"), (60, 25, 10, 5))[0]:
        case "put":
            await client.put(key, rng.randbytes(VALUE_BYTES))
        case "get":
            await client.get(key)
        case "txn":
            put = Put(key.encode(), rng.randbytes(VALUE_BYTES))
            await client.commit(Txn((Key(key.encode()).version > 0,), (put,), ()))
        case "delete":
            await client.delete(key)


async def _watcher(state: State, cluster: ClusterHandle) -> None:
    async with Client(cluster.endpoints) as client, client.watch("soak/1", prefix=True) as watch:
        while True:
            state.add("watch_events", len((await watch.next_batch()).events))


async def _leases(state: State, cluster: ClusterHandle) -> None:
    """Leases that are granted, hold a key and end by themselves."""
    async with Client(cluster.endpoints) as client:
        while True:
            with contextlib.suppress(ClientError):
                grant = await client.leases.grant(LEASE_TTL_S)
                await client.put(f"soak-lease/{grant.id}", "x", lease=grant.id)
                state.add("leases")
            await asyncio.sleep(1.0)
