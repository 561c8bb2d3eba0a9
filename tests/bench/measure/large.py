"""Rows of large stores: counts, memory, restarts, the past, SQL; and what a shell waits for."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench.measure import servers
from bench.measure.bench import Bench, first_answer, row, run
from bench.measure.calls import COUNT
from bench.measure.figure import Figure, Row
from bench.measure.h2load import Shape, quantile
from bench.measure.load import TXN_PUTS, end_of, key
from bench.measure.servers import ETCD, KVORUM, Group
from bench.measure.wire import KV_RANGE, Wire, connect
from kvorum.cli.bench_kernel import memory
from kvorum.client import Client
from kvorum_proto.codec import decode, encode
from kvorum_proto.etcdserverpb import RangeRequest, RangeResponse

_PAGE = 1_000
_RESTARTS = 3
_OLD_READS = 100


@contextmanager
def both(bench: Bench) -> Iterator[dict[str, Group]]:
    """Both programs with all keys; kvorum's and etcd's stores hold the same."""
    with (
        bench.large(KVORUM, bench.keys, bench.keys) as mine,
        bench.large(ETCD, bench.keys, bench.keys) as other,
    ):
        yield {KVORUM: mine, ETCD: other}


@row("count")
def count(bench: Bench) -> Row:
    """How many keys there are, without any of them."""
    bench.close()
    made = Row("count", f"count-only over {bench.keys:,} keys", [])
    calls = {KVORUM: Shape(1, 1, 500), ETCD: Shape(1, 1, 12)}
    with both(bench) as groups:
        sampled = bench.paired(
            groups, lambda group: bench.asked(group, COUNT, calls[group.program])
        )
        for what, unit in (("p50_us", "us"), ("cpu_us", "us CPU a call")):
            mine, other = sampled[KVORUM][what], sampled[ETCD][what]
            made.figures.append(
                Figure(f"1x1, {unit}", unit, mine, other, "<= 1/50 of etcd", 0.02, ratio=True)
            )
    return made


async def read_all(port: int, keys: int) -> int:
    """Every key and value once, by pages, as a client would."""
    wire, first, seen = await connect(port), key(0), 0
    while seen < keys:
        wanted = RangeRequest(key=first, range_end=end_of(b"/bench/"), limit=_PAGE)
        page = decode(RangeResponse, await wire.unary(KV_RANGE, encode(wanted)))
        if not page.kvs:
            break
        seen += len(page.kvs)
        first = page.kvs[-1].key + b"\0"
    wire.close()
    return seen


@row("memory")
def resident(bench: Bench) -> Row:
    """After a restart, and when everything has been read once."""
    bench.close()
    fresh: dict[str, list[float]] = {KVORUM: [], ETCD: []}
    read: dict[str, list[float]] = {KVORUM: [], ETCD: []}
    made = Row("memory", f"memory with {bench.keys:,} keys of 256 B", [])
    for program in servers.PROGRAMS:
        with bench.large(program, bench.keys, bench.keys) as group:
            fresh[program].append(memory(group.leader.pid).resident_mb)
            seen = run(read_all(group.port, bench.keys))
            found = memory(group.leader.pid)
            read[program].append(found.resident_mb)
            made.notes.append(
                f"{program}: {seen:,} keys read; {found.own_mb:,.0f} MB of its own and "
                f"{found.files_mb:,.0f} MB of mapped files"
            )
    for what, samples in (("after a restart", fresh), ("all read once", read)):
        made.figures.append(
            Figure(what, "MB", samples[KVORUM], samples[ETCD], "<= etcd's RSS", 1.0, ratio=True)
        )
    return made


def restarted(bench: Bench, program: str, *, kill: bool) -> list[float]:
    """Seconds from the start of the process to its first answer, some times."""
    took = []
    with bench.large(program, bench.keys, bench.keys) as group:
        for _ in range(min(bench.rounds, _RESTARTS)):
            if kill:
                group.leader.kill()
            else:
                group.leader.stop()
            began = time.monotonic()
            group.leader.start()
            run(first_answer(group.leader))
            took.append(time.monotonic() - began)
    return took


@row("restart")
def restart(bench: Bench) -> Row:
    """From the process's start to the first answer."""
    bench.close()
    mine, other = (restarted(bench, program, kill=False) for program in (KVORUM, ETCD))
    killed = restarted(bench, KVORUM, kill=True)
    return Row(
        "restart",
        f"restart with {bench.keys:,} keys to first served request",
        [
            Figure("stopped in order", "s", mine, other, "<= 5 s", 5.0),
            Figure("killed", "s", killed, [], "<= 5 s", 5.0),
        ],
    )


async def _timed(wire: Wire, request: RangeRequest, least: int) -> float:
    packed, began = encode(request), time.perf_counter()
    answer = await wire.unary(KV_RANGE, packed)
    took = time.perf_counter() - began
    assert len(answer) >= least, f"{len(answer)} bytes for {request!r}"
    return took * 1_000


async def old_reads(port: int, keys: int, revisions: int) -> dict[str, list[float]]:
    """Random keys, and random runs of a thousand keys, at random old revisions; in ms."""
    wire, draw = await connect(port), random.Random(5)
    first, last = keys // TXN_PUTS + 2, revisions // TXN_PUTS
    found: dict[str, list[float]] = {"key": [], "prefix": []}
    for what, span, times in (("key", 0, _OLD_READS), ("prefix", 1_000, _OLD_READS // 3)):
        for _ in range(times):
            start = draw.randrange(0, keys - 1_000) // 1_000 * 1_000
            request = RangeRequest(
                key=key(start),
                range_end=key(start + span) if span else b"",
                revision=draw.randint(first, last - 1),
            )
            found[what].append(await _timed(wire, request, 250 * max(1, span)))
    wire.close()
    return found


@row("past")
def past(bench: Bench) -> Row:
    """Reads at an old revision."""
    bench.close()
    made = Row("past", f"old revision among {bench.revisions:,} revisions", [])
    with bench.large(KVORUM, bench.keys, bench.revisions) as group:
        found = run(old_reads(group.port, bench.keys, bench.revisions))
    for what, name, most in (("one key", "key", 10.0), ("a prefix of 1,000", "prefix", 50.0)):
        samples = sorted(found[name])
        made.figures.append(Figure(what, "ms", samples, [], f"<= {most:g} ms", most))
        made.notes.append(f"{what}: p99 {quantile(samples, 0.99):.1f} ms of {len(samples)} reads")
    made.notes.append(
        f"a revision here is one version of one key: {bench.revisions:,} rows, written by "
        f"transactions of {TXN_PUTS} puts"
    )
    return made


async def asked_sql(port: int, sql: str, times: int) -> tuple[list[float], int]:
    """Milliseconds of a query, and its one number."""
    took, number = [], 0
    async with Client([f"http://127.0.0.1:{port}"], timeout_s=60.0) as client:
        member = client.member(f"http://127.0.0.1:{port}")
        for _ in range(times):
            began = time.perf_counter()
            async for batch in member.inspect.query(sql):
                for line in batch.rows_json:
                    number = int(json.loads(line)[0])
            took.append((time.perf_counter() - began) * 1_000)
    return took, number


@row("sql")
def sql(bench: Bench) -> Row:
    """How many versions there are of the keys with a prefix."""
    bench.close()
    text = "SELECT count(*) FROM events WHERE starts_with(key, '/bench/0000')"
    with bench.large(KVORUM, bench.keys, bench.revisions) as group:
        took, number = run(asked_sql(group.port, text, bench.rounds + 1))
    # The first opens what the others share.
    figure = Figure("count by prefix", "ms", took[1:], [], "<= 300 ms", 300.0)
    notes = [f"`{text}`: {number:,}; the first after a start took {took[0]:,.0f} ms"]
    return Row("sql", f"SQL count by prefix over {bench.revisions:,} revisions", [figure], notes)


@row("cold")
def cold(bench: Bench) -> Row:
    """A get from the shell."""
    found: dict[str, list[float]] = {KVORUM: [], ETCD: []}
    groups = bench.pair()
    for _ in range(bench.rounds):
        for program, command in (
            (KVORUM, [sys.executable, "-m", "kvorum", "get", "/small/000500", "--endpoints"]),
            (ETCD, ["etcdctl", "get", "/small/000500", "--endpoints"]),
        ):
            endpoint = f"http://127.0.0.1:{groups[program].port}"
            began = time.monotonic()
            process = subprocess.Popen([*command, endpoint], stdout=subprocess.PIPE)
            out, _ = process.communicate()
            found[program].append(time.monotonic() - began)
            assert b"/small/000500" in out, out
    figure = Figure("from start to end", "s", found[KVORUM], found[ETCD], "<= 0.25 s", 0.25)
    return Row("cold", "`kvorum get` from the shell, cold", [figure])
