"""How things grow with the number of keys: one store of each size, five revisions a key."""

from __future__ import annotations

import asyncio
import math
import shutil
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from bench.measure import servers
from bench.measure.bench import Bench, first_answer, run
from bench.measure.calls import COUNT, PUT
from bench.measure.h2load import Call, Shape, quantile
from bench.measure.large import asked_sql, old_reads
from bench.measure.load import TXN_PUTS, key
from bench.measure.servers import KVORUM, Group, Server
from bench.measure.wire import DEFRAGMENT, KV_COMPACT, KV_PUT, KV_RANGE, Wire, connect
from kvorum.cli.bench_kernel import memory
from kvorum_proto.codec import decode, encode
from kvorum_proto.etcdserverpb import (
    CompactionRequest,
    DefragmentRequest,
    MemberAddRequest,
    MemberListRequest,
    MemberListResponse,
    MemberUpdateRequest,
    RangeRequest,
)

REVISIONS_A_KEY = 5
MEMBER_ADD = "/etcdserverpb.Cluster/MemberAdd"
MEMBER_LIST = "/etcdserverpb.Cluster/MemberList"
MEMBER_UPDATE = "/etcdserverpb.Cluster/MemberUpdate"
_PATIENCE_S = 600.0
# What grows faster than this is to be explained: 1 is in proportion.
SUPERLINEAR = 1.15


@dataclass
class Growth:
    """One measured thing at each size."""

    what: str
    unit: str
    at: dict[int, float] = field(default_factory=dict)

    @property
    def slope(self) -> float | None:
        """The exponent: least squares through the points, both axes logarithmic."""
        points = [(math.log(n), math.log(v)) for n, v in self.at.items() if v > 0]
        if len(points) < 2:
            return None
        mean_x, mean_y = (sum(axis) / len(points) for axis in zip(*points, strict=True))
        above = sum((x - mean_x) * (y - mean_y) for x, y in points)
        return above / sum((x - mean_x) ** 2 for x, _ in points)


class Table:
    """Growths by name, in the order in which they were first measured."""

    def __init__(self) -> None:
        self.rows: dict[str, Growth] = {}

    def add(self, what: str, unit: str, size: int, value: float) -> None:
        """One more point."""
        self.rows.setdefault(what, Growth(what, unit)).at[size] = value
        print(f"  {size:>9,}  {what}: {value:,.3g} {unit}", flush=True)


async def timed(deed: Coroutine[Any, Any, Any]) -> float:
    """Seconds."""
    began = time.perf_counter()
    await deed
    return time.perf_counter() - began


async def puts_beside(port: int, deed: Callable[[Wire], Coroutine[Any, Any, Any]]) -> list[float]:
    """Ms of puts, one after the other, while something is done on another connection; first what
    that took itself, in seconds.
    """
    wire, other = await connect(port), await connect(port)
    doing = asyncio.ensure_future(timed(deed(other)))
    took: list[float] = []
    while not doing.done():
        took.append(await timed(_put(wire)) * 1_000)
    seconds = await doing
    wire.close()
    other.close()
    return [seconds, *took]


async def _put(wire: Wire) -> None:
    await wire.unary(KV_PUT, PUT.request)


async def _compact(wire: Wire, revision: int) -> None:
    async with asyncio.timeout(_PATIENCE_S):
        request = encode(CompactionRequest(revision=revision, physical=True))
        await wire.unary(KV_COMPACT, request)


async def _defragment(wire: Wire) -> None:
    async with asyncio.timeout(_PATIENCE_S):
        await wire.unary(DEFRAGMENT, encode(DefragmentRequest()))


def reads(bench: Bench, table: Table, group: Group, size: int) -> None:
    """What only looks."""
    middle = size // 2
    one = Call(KV_RANGE, encode(RangeRequest(key=key(middle))), 250)
    span = RangeRequest(key=key(middle), range_end=key(middle + 1_000))
    shapes = {
        "get, CPU": (one, Shape(16, 1, 3_200)),
        "range of 1,000, CPU": (Call(KV_RANGE, encode(span), 250_000), Shape(4, 1, 200)),
        "count of all, CPU": (COUNT, Shape(4, 1, 2_000)),
        "put, CPU": (PUT, Shape(64, 1, 12_800)),
    }
    for what, (call, shape) in shapes.items():
        rounds = [bench.asked(group, call, shape) for _ in range(bench.rounds)]
        table.add(what, "us", size, median(each["cpu_us"] for each in rounds))
        if call is PUT:
            table.add("put 64x1, p99", "ms", size, median(r["p99_us"] for r in rounds) / 1_000)
    found = run(old_reads(group.port, size, size * REVISIONS_A_KEY))
    table.add("old revision, one key", "ms", size, median(found["key"]))
    table.add("old revision, prefix of 1,000", "ms", size, median(found["prefix"]))
    text = "SELECT count(*) FROM events WHERE starts_with(key, '/bench/0000')"
    took, _ = run(asked_sql(group.port, text, bench.rounds + 1))
    table.add("SQL count by prefix", "ms", size, median(took[1:]))


def changes(bench: Bench, table: Table, group: Group, size: int) -> None:
    """Compaction, defragmentation beside puts, a new member."""
    before = run(puts_beside(group.port, lambda _: asyncio.sleep(1.0)))[1:]
    revision = size * REVISIONS_A_KEY // TXN_PUTS // 2
    for what, deed in (
        ("compaction of half of the revisions", lambda wire: _compact(wire, revision)),
        ("defragmentation", _defragment),
    ):
        seconds, *during = run(puts_beside(group.port, deed))
        table.add(what, "s", size, seconds)
        table.add(f"put 1x1 beside it, largest ({what.split()[0]})", "ms", size, max(during))
    table.add("put 1x1 beside nothing, p99", "ms", size, quantile(sorted(before), 0.99))
    joined(bench, table, group, size)


def joined(bench: Bench, table: Table, group: Group, size: int) -> None:
    """A second member, from its start to its first linearizable answer: it has everything then."""
    leader = group.leader
    port, peer = servers.free_port(), servers.free_port()
    whole = f"n1=http://127.0.0.1:{leader.peer},n2=http://127.0.0.1:{peer}"
    place = bench.scratch / f"joiner-{size}"
    joiner = servers.node(
        KVORUM, place, "n2", http2=bench.http2, cluster=whole, state="existing", ports=(port, peer)
    )
    run(_announce(leader, f"http://127.0.0.1:{peer}"))
    began = time.monotonic()
    try:
        joiner.start()
        run(first_answer(joiner))
        table.add("new member, from start to answer", "s", size, time.monotonic() - began)
    finally:
        joiner.kill()
        shutil.rmtree(place, ignore_errors=True)


async def _announce(leader: Server, url: str) -> None:
    """Add a member; first say where the one that is there listens today."""
    wire = await connect(leader.port)
    told = decode(MemberListResponse, await wire.unary(MEMBER_LIST, encode(MemberListRequest())))
    here = MemberUpdateRequest(id=told.members[0].id, peer_urls=[f"http://127.0.0.1:{leader.peer}"])
    await wire.unary(MEMBER_UPDATE, encode(here))
    await wire.unary(MEMBER_ADD, encode(MemberAddRequest(peer_urls=[url])))
    wire.close()


def one_size(bench: Bench, table: Table, size: int) -> None:
    """Everything on a copy of the store of one size."""
    with bench.large(KVORUM, size, size * REVISIONS_A_KEY):
        pass
    kept = bench.keep / f"{KVORUM}-{size}-{size * REVISIONS_A_KEY}"
    place = bench.scratch / f"copy-{size}"
    shutil.copytree(kept, place)
    server: Server = servers.node(KVORUM, place, http2=bench.http2)
    try:
        began = time.monotonic()
        server.start()
        run(first_answer(server))
        table.add("start", "s", size, time.monotonic() - began)
        group = Group([server])
        table.add("memory after it, a key", "bytes", size, memory(server.pid).own_mb * 1e6 / size)
        reads(bench, table, group, size)
        changes(bench, table, group, size)
    finally:
        server.kill()
        shutil.rmtree(place, ignore_errors=True)


def page(table: Table) -> list[str]:
    """Lines of the page."""
    sizes = sorted({size for growth in table.rows.values() for size in growth.at})
    head = " | ".join(f"{size:,}" for size in sizes)
    lines = [f"| What | {head} | Slope |", "|---|" + "---|" * (len(sizes) + 1)]
    for growth in table.rows.values():
        cells = [
            f"{growth.at[size]:,.3g} {growth.unit}" if size in growth.at else "" for size in sizes
        ]
        slope = "" if growth.slope is None else f"{growth.slope:.2f}"
        if growth.slope is not None and growth.slope > SUPERLINEAR:
            slope += " **superlinear**"
        lines.append("| " + " | ".join([growth.what, *cells, slope]) + " |")
    return lines
