"""What a row is measured in: pairs of running servers, rounds that take turns, places for data."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from bench.measure import servers
from bench.measure.figure import Row
from bench.measure.h2load import Answered, Call, Shape, ask
from bench.measure.load import Progress, load
from bench.measure.servers import Group, Server
from bench.measure.wire import KV_PUT, KV_RANGE, STATUS, CallError, connect
from kvorum.cli.bench_kernel import written_bytes
from kvorum_proto.codec import decode, encode
from kvorum_proto.etcdserverpb import PutRequest, RangeRequest, StatusRequest, StatusResponse

T = TypeVar("T")
Sampled = dict[str, dict[str, list[float]]]  # By program, by name: a sample a round.
_OPEN_FILES = 16_384
_LEADER_S = 60.0
_LOOK_S = 0.01


def run(main: Coroutine[Any, Any, T]) -> T:
    """On the loop that takes the least."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    return uvloop.run(main)


def many_files() -> None:
    """Let this process and those it starts hold thousands of connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@dataclass
class Bench:
    """How to measure.

    Args:
        scratch: for what is thrown away.
        keep: for loaded stores, which later runs use again.
        rounds: how often each is asked.
        effort: 1.0, or less for fewer calls a round.
        kills: of a leader.
        http2: what speaks HTTP/2 in kvorum.
        keys, revisions: of the large stores.
    """

    scratch: Path
    keep: Path
    rounds: int = 5
    effort: float = 1.0
    kills: int = 50
    http2: str = "own"
    keys: int = 1_000_000
    revisions: int = 5_000_000

    def __post_init__(self) -> None:
        self._stack: ExitStack | None = None
        self._running: dict[str, Group] = {}
        self._what = ""

    # --- servers ----------------------------------------------------------------------------------

    def pair(self, size: int = 1, echoes: bool = False) -> dict[str, Group]:
        """kvorum and etcd, small and fresh, of so many nodes each; those that run already, if they
        are such. ``echoes``: bare servers beside them, too.
        """
        what = f"{size}{echoes}"
        if self._what != what:
            self.close()
            self._stack, self._what = ExitStack(), what
            for program in servers.PROGRAMS:
                place = self.scratch / f"{program}-{time.monotonic_ns()}"
                members = servers.cluster(program, place, size, http2=self.http2)
                group = self._stack.enter_context(servers.running(members))
                run(self._prime(group))
                self._running[program] = group
            for kind in ("h2", "own") if echoes else ():
                bare = servers.echo(kind, self.scratch)
                self._running[bare.program] = self._stack.enter_context(servers.running([bare]))
        return self._running

    def close(self) -> None:
        """Stop what runs."""
        stack, self._stack, self._running, self._what = self._stack, None, {}, ""
        if stack is not None:
            stack.close()

    async def _prime(self, group: Group) -> None:
        """Find the leader; let there be a thousand keys to read."""
        await find_leader(group)
        wire = await connect(group.port)
        for number in range(1_000):
            put = PutRequest(key=b"/small/%06d" % number, value=bytes(256))
            await wire.unary(KV_PUT, encode(put))
        wire.close()

    @contextmanager
    def large(self, program: str, keys: int, revisions: int) -> Iterator[Group]:
        """A loaded store, running; loaded first if it is not yet."""
        place = self.keep / f"{program}-{keys}-{revisions}"
        server = servers.node(program, place, http2=self.http2)
        progress = Progress(place.with_suffix(".loaded"), place.name)
        if progress.read() * 128 < revisions:
            print(f"loading {place}", file=sys.stderr)
        with servers.running([server]) as group:
            run(first_answer(server))
            run(load(group.port, keys, revisions, progress))
            yield group

    # --- rounds -----------------------------------------------------------------------------------

    def paired(
        self,
        groups: Mapping[str, Group],
        measure: Callable[[Group], Mapping[str, float]],
        rounds: int = 0,
    ) -> Sampled:
        """Measure each group in each round, who is first taking turns."""
        found: Sampled = {name: {} for name in groups}
        names = list(groups)
        for number in range(rounds or self.rounds):
            for name in names if number % 2 == 0 else reversed(names):
                for what, sample in measure(groups[name]).items():
                    found[name].setdefault(what, []).append(sample)
        return found

    def asked(self, group: Group, call: Call, shape: Shape) -> dict[str, float]:
        """One round of h2load: the servers' CPU a call, the disk's bytes, and what h2load says."""
        shape = shape.scaled(self.effort)
        os.sync()
        cpu, written = group.cpu_us(), written_bytes(self.scratch)
        said: Answered = ask(group.port, call, shape, self.scratch)
        cpu = group.cpu_us() - cpu
        os.sync()
        written = written_bytes(self.scratch) - written
        return {"cpu_us": cpu / shape.calls, "written": written / shape.calls, **said._asdict()}


async def first_answer(server: Server) -> None:
    """Until a linearizable get is answered."""
    while True:
        try:
            wire = await connect(server.port)
            try:
                async with asyncio.timeout(30):
                    await wire.unary(KV_RANGE, encode(RangeRequest(key=b"any")))
                return
            finally:
                wire.close()
        except (OSError, CallError):
            assert server.process is not None and server.process.poll() is None, server.log
            await asyncio.sleep(_LOOK_S)


async def find_leader(group: Group) -> None:
    """Wait until every member names one leader, and make it the group's."""
    loop = asyncio.get_running_loop()
    end = loop.time() + _LEADER_S
    while True:
        leaders, by_id = set(), {}
        for server in group.servers:
            try:
                wire = await connect(server.port)
                told = decode(StatusResponse, await wire.unary(STATUS, encode(StatusRequest())))
                wire.close()
            except (OSError, CallError):
                leaders.add(0)
                continue
            assert told.header is not None
            leaders.add(told.leader)
            by_id[told.header.member_id] = server
        if len(leaders) == 1 and (leader := by_id.get(leaders.pop())) is not None:
            group.leader = leader
            return
        assert loop.time() < end, f"no leader in {group.servers[0].directory}"
        await asyncio.sleep(0.05)


Measured = Callable[[Bench], Row]
ROWS: dict[str, Measured] = {}


def row(name: str) -> Callable[[Measured], Measured]:
    """Register what measures a row; rows run in the order of their registration."""

    def register(measure: Measured) -> Measured:
        ROWS[name] = measure
        return measure

    return register


def detail(label: str, sampled: Sampled, wanted: Sequence[str] = ()) -> list[str]:
    """Lines about what is not judged: throughput, latencies, bytes written."""
    from statistics import median

    lines = []
    for name, found in sampled.items():
        if wanted and name not in wanted:
            continue
        line = (
            f"{label}, {name}: {median(found['per_s']):,.0f}/s, "
            f"p50 {median(found['p50_us']):,.0f}, p99 {median(found['p99_us']):,.0f}, "
            f"p99.9 {median(found['p999_us']):,.0f} us"
        )
        if median(found["written"]) > 0:
            line += f", {median(found['written']):,.0f} bytes to the disk a call"
        lines.append(line)
    return lines
