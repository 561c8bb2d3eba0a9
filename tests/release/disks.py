"""Item 10: disks that are full, read-only, slow, or fail an fsync, twenty times each.

Full is a file system of some megabytes that is filled up; read-only is one that a member finds so
when it starts, and an EROFS while it runs; failed fsyncs come from the kernel's side by strace
where it is installed, and from failpoints. Each has its proof: the alarm, the line of the log, the
exit status. Storms judge (:mod:`cluster.storm`), and of the slow disk a whole drill.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random

from cluster.storm import Storm
from cluster.test_disks import BUSY, arm
from cluster.test_failpoints import equal_everywhere, patiently
from kvorum.client import Client
from kvorum.client.errors import ClientError
from kvorum.drill.scenario import parse_scenario
from kvorum.drill.session import make_stage, run_drill
from kvorum.errors import Condition
from support.clusters import ClusterHandle
from support.small_disk import fill

from release.gate import Deadline, State, slice
from release.goals import AtLeast

KINDS = ("full", "read_only_at_start", "read_only_running", "fsync_error", "slow_fsync")
TIMES_EACH = 20
_SMALL_MB = 64
_EXIT_DISK = "exited with status 74"
_SLOW = """
name = "slow-disk-again"
title = "Syncs of 200 ms, first the leader's, then a follower's"
learn = "Writes and leases stay right on disks that are slow."
stages = ["live"]
length_s = 41
[workload]
leases = 4
lease_ttl_s = 2
locks = 1
[[step]]
at_s = 1
do = "slow_fsync"
target = "leader"
ms = 200
for_s = 2.5
repeat = 5
every_s = 4
[[step]]
at_s = 21
do = "slow_fsync"
target = "follower"
ms = 200
for_s = 2.5
repeat = 5
every_s = 4
"""


@slice(
    "disks",
    "disks full, read-only (when a member starts, while it runs), with a failing fsync, with one "
    "of 200 ms: each 20 times, nothing lost, who must end ends at once, who must wait waits",
    (10,),
    [AtLeast("bit/*", TIMES_EACH)],
)
def run(state: State, until: Deadline) -> None:
    """Kind after kind."""
    for kind in KINDS:
        state.add(f"bit/{kind}", 0)
    parts = {
        "full": _full,
        "read_only_at_start": _full,
        "read_only_running": _failing,
        "fsync_error": _failing,
        "slow_fsync": _slow,
    }
    for kind in KINDS:
        while state.count(f"bit/{kind}") < TIMES_EACH and state.wanting() and not until.over():
            parts[kind](state, until)


# --- full, and read-only when a member starts -----------------------------------------------------


def _full(state: State, until: Deadline) -> None:
    with (
        state.scratch() as place,
        _small_disk(state, place) as small,
        state.cluster(3, start=False, heartbeat_ms=50, election_ms=500) as cluster,
    ):
        data = cluster.supervisor.run.data_dir(cluster.spec, cluster.spec.nodes[1])
        data.parent.mkdir(parents=True)
        os.symlink(small, data)
        cluster.start()
        storm = Storm(cluster.endpoints, writers=2)

        async def worst(storm: Storm) -> None:
            for _ in range(TIMES_EACH):
                if until.over():
                    return
                await storm.writes(20)
                if state.count("bit/full") < TIMES_EACH:
                    await _fill_and_free(cluster, small)
                    state.add("bit/full")
                if state.count("bit/read_only_at_start") < TIMES_EACH:
                    await _start_read_only(cluster, small)
                    state.add("bit/read_only_at_start")

        asyncio.run(storm.run(worst))
        asyncio.run(equal_everywhere(cluster.endpoints))
        state.add("acknowledged_writes", len(storm.written.acknowledged))


@contextlib.contextmanager
def _small_disk(state: State, place: Path) -> Iterator[Path]:
    """A file system of its own; what is on it is kept where there was a violation."""
    small = place / "small"
    small.mkdir(parents=True)
    size = ["-o", f"size={_SMALL_MB}m"]
    subprocess.run(["mount", "-t", "tmpfs", *size, "tmpfs", str(small)], check=True)
    try:
        yield small
        if state.violations:
            shutil.copytree(small, place / "kept")
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


async def _fill_and_free(cluster: ClusterHandle, small: Path) -> None:
    """The alarm comes, all serve reads, and with the alarm disarmed all is as before."""
    ballast = await asyncio.to_thread(fill, small)
    async with Client(cluster.endpoints) as client:
        async with asyncio.timeout(60):
            while not await _refused(client):
                await asyncio.sleep(0.02)
        for endpoint in cluster.endpoints:
            found = await client.member(endpoint).get("storm-begins", serializable=True)
            assert found.kv is not None, f"{endpoint} does not serve reads"
        ballast.unlink()
        async with asyncio.timeout(60):
            # It may come again while the member still looks for room.
            while alarms := await client.maintenance.alarms():
                for alarm in alarms:
                    assert alarm.kind == "NOSPACE", alarm
                    await client.maintenance.disarm(alarm)
                await asyncio.sleep(0.1)
        await client.delete("big")


async def _refused(client: Client) -> bool:
    try:
        await client.put("big", os.urandom(100_000))
    except ClientError as error:
        return error.condition is Condition.NO_SPACE
    return False


async def _start_read_only(cluster: ClusterHandle, small: Path) -> None:
    """A member that finds its disk read-only ends and says so; the same data serve later."""
    name = cluster.names[1]
    view = cluster.view(name)
    since = view.log.stat().st_size
    await asyncio.to_thread(cluster.kill9, name)
    await _remount(small, "ro")
    await asyncio.to_thread(cluster.restart, name, wait=False)
    await patiently(lambda: cluster.view(name).state == "dead", f"{name} ends")
    said = view.log.read_bytes()[since:].decode("utf-8", "replace")
    assert "Read-only file system" in said, f"{name} does not say why it ended: {said[-500:]}"
    assert cluster.view(name).ending.startswith("exited with status"), cluster.view(name).ending
    await _remount(small, "rw")
    await asyncio.to_thread(cluster.restart, name)


async def _remount(place: Path, how: str) -> None:
    command = ["mount", "-o", f"remount,{how}", str(place)]
    await asyncio.to_thread(subprocess.run, command, check=True)


# --- errors while it runs -------------------------------------------------------------------------


def _failing(state: State, until: Deadline) -> None:
    """Writes and syncs that fail under a running member: it ends at once, the others serve."""
    with state.cluster(3, faults=True, flags=BUSY, heartbeat_ms=50, election_ms=500) as cluster:
        storm = Storm(cluster.endpoints, writers=2)
        rng = Random(state.count("bit/fsync_error"))

        async def worst(storm: Storm) -> None:
            for number in range(2 * TIMES_EACH):
                kind = ("fsync_error", "read_only_running")[number % 2]
                if until.over():
                    return
                if state.count(f"bit/{kind}") >= TIMES_EACH:
                    continue
                await storm.writes(20)
                name = rng.choice(cluster.names)
                if kind == "read_only_running":
                    await _ends_by_failpoint(cluster, name, "wal_write_before=raise(EROFS)")
                elif shutil.which("strace") and number % 4 == 0:
                    await _ends_by_strace(cluster, name, rng.randint(1, 5))
                    state.add("fsync_errors_from_the_kernel")
                else:
                    await _ends_by_failpoint(cluster, name, "wal_sync_before=raise(EIO)")
                state.add(f"bit/{kind}")
                await storm.writes(20)
                await asyncio.to_thread(cluster.restart, name)

        asyncio.run(storm.run(worst))
        asyncio.run(equal_everywhere(cluster.endpoints))
        state.add("acknowledged_writes", len(storm.written.acknowledged))


async def _ends_by_failpoint(cluster: ClusterHandle, name: str, terms: str) -> None:
    log = cluster.view(name).log
    since = log.stat().st_size
    await arm(cluster, name, terms)
    await _ends(cluster, name)
    assert f'"failpoint": "{terms}"' in log.read_text(encoding="utf-8", errors="replace")[since:]


async def _ends_by_strace(cluster: ClusterHandle, name: str, number: int) -> None:
    """The ``number``-th fdatasync from now returns EIO."""
    tracer = await asyncio.create_subprocess_exec(
        *("strace", "-f", "-p", str(cluster.view(name).pid), "-e", "trace=fdatasync"),
        *("-e", f"inject=fdatasync:error=EIO:when={number}"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        await _ends(cluster, name)
        async with asyncio.timeout(30):
            _, said = await tracer.communicate()
    finally:
        if tracer.returncode is None:
            tracer.send_signal(signal.SIGKILL)
            await tracer.wait()
    assert b"(INJECTED)" in said, "strace injected nothing"


async def _ends(cluster: ClusterHandle, name: str) -> None:
    await patiently(lambda: cluster.view(name).state == "dead", f"{name} ends")
    assert cluster.view(name).ending == _EXIT_DISK, cluster.view(name).ending


# --- slow -----------------------------------------------------------------------------------------


def _slow(state: State, until: Deadline) -> None:
    """A drill with ten slow disks; its judge looks at reads, leases, locks and watches as well."""
    scenario = parse_scenario(_SLOW, Path("slow-disk-again.toml"))
    seed = state.count("bit/slow_fsync")
    with state.scratch() as folder:
        stopping = threading.Event()
        stage = make_stage(scenario, "live", seed, folder, stopping)
        verdict = asyncio.run(run_drill(scenario, stage, seed, folder, stopping))
        assert verdict.passed, [each for each in verdict.findings if not each.ok]
        slow = [bites for log in folder.glob("cluster/*/node.log") for bites in _slow_syncs(log)]
        assert len(slow) == verdict.figures.faults_bitten, f"slow syncs by fault: {slow}"
        state.add("bit/slow_fsync", len(slow))
        state.add("slow_syncs", sum(slow))
        state.add("operations_judged", verdict.figures.operations)


def _slow_syncs(log: Path) -> Iterator[int]:
    """How many syncs each fault of a member made slow, by its log; those that made none are not
    told.
    """
    for line in log.read_text(encoding="utf-8").splitlines():
        if '"fault lifted"' in line:
            bites = json.loads(line)["bites"]
            if bites > 0:
                yield bites
