"""Rows of calls with one answer: puts, reads, ranges, counts, transactions."""

from __future__ import annotations

from bench.measure.bench import Bench, Sampled, detail, row
from bench.measure.figure import Figure, Row
from bench.measure.h2load import Call, Shape
from bench.measure.load import PREFIX, TXN_PUTS, end_of, value
from bench.measure.servers import ETCD, KVORUM, Group
from bench.measure.wire import KV_PUT, KV_RANGE, KV_TXN
from kvorum_proto.codec import encode
from kvorum_proto.etcdserverpb import PutRequest, RangeRequest, RequestOp, TxnRequest

SMALL = b"/small/"
PUT = Call(KV_PUT, encode(PutRequest(key=b"key-0001", value=value(1))), 20)
GET = Call(KV_RANGE, encode(RangeRequest(key=SMALL + b"000500")), 280)
RANGE = Call(KV_RANGE, encode(RangeRequest(key=SMALL, range_end=end_of(SMALL))), 270_000)
COUNT = Call(
    KV_RANGE, encode(RangeRequest(key=PREFIX, range_end=end_of(PREFIX), count_only=True)), 20
)
TXN = Call(
    KV_TXN,
    encode(
        TxnRequest(
            success=[
                RequestOp(request_put=PutRequest(key=b"txn-%04d" % n, value=value(n)))
                for n in range(TXN_PUTS)
            ]
        )
    ),
    TXN_PUTS,
)
SHAPES = (Shape(16, 1, 6_000), Shape(64, 1, 6_400), Shape(4, 16, 8_000))


def cpu_figure(what: str, sampled: Sampled, most: float, goal: str = "") -> Figure:
    """The servers' CPU a call beside etcd's."""
    mine, other = sampled[KVORUM]["cpu_us"], sampled[ETCD]["cpu_us"]
    goal = goal or f"<= {most:g}x etcd"
    return Figure(what, "us CPU a call", mine, other, goal, most, ratio=True)


@row("put-1")
def put_one(bench: Bench) -> Row:
    """One node, three shapes, and below them the floors."""
    made = Row("put-1", "put, 1 node, server CPU a request", [])
    groups = bench.pair(echoes=True)
    for shape in SHAPES:
        sampled = bench.paired(groups, lambda group: bench.asked(group, _put(group), shape))  # noqa: B023
        made.figures.append(cpu_figure(str(shape), sampled, 1.0))
        made.notes += detail(f"put {shape}", sampled, (KVORUM, ETCD))
        floors = [(name, found) for name, found in sampled.items() if name.startswith("echo")]
        for name, found in floors:
            made.figures.append(
                Figure(f"{shape}, bare {name}", "us CPU a call", found["cpu_us"], base="")
            )
    return made


def _put(group: Group) -> Call:
    """An echo answers to the same path."""
    return PUT


@row("put-3")
def put_three(bench: Bench) -> Row:
    """Three nodes each, all nodes' CPU together."""
    made = Row("put-3", "put, 3 nodes, summed CPU a request", [])
    for shape in SHAPES:
        sampled = bench.paired(bench.pair(3), lambda group: bench.asked(group, PUT, shape))  # noqa: B023
        made.figures.append(cpu_figure(str(shape), sampled, 1.0))
        made.notes += detail(f"put on 3 nodes {shape}", sampled)
    return made


@row("rate-3")
def rate_three(bench: Bench) -> Row:
    """How many puts go through three nodes that share this machine with their client."""
    shape = Shape(64, 1, 9_600)
    sampled = bench.paired(bench.pair(3), lambda group: bench.asked(group, PUT, shape))
    mine, other = sampled[KVORUM]["per_s"], sampled[ETCD]["per_s"]
    figure = Figure("64x1", "puts/s", mine, other, ">= 1.0x etcd", 1.0, ratio=True, gain=True)
    notes = detail("put on 3 nodes 64x1", sampled)
    return Row("rate-3", "puts/s, 3 nodes", [figure], notes)


@row("get")
def get_one(bench: Bench) -> Row:
    """A linearizable read of one key."""
    made = Row("get", "linearizable get, 1 key, server CPU", [])
    for shape in SHAPES:
        sampled = bench.paired(bench.pair(), lambda group: bench.asked(group, GET, shape))  # noqa: B023
        made.figures.append(cpu_figure(str(shape), sampled, 0.75))
        made.notes += detail(f"get {shape}", sampled)
    return made


@row("sequence")
def sequence(bench: Bench) -> Row:
    """One client that waits for each answer."""
    shape = Shape(1, 1, 1_000)
    sampled = bench.paired(bench.pair(), lambda group: bench.asked(group, PUT, shape))
    mine, other = sampled[KVORUM]["p50_us"], sampled[ETCD]["p50_us"]
    figure = Figure("p50", "us", mine, other, "<= 1.5x etcd", 1.5, ratio=True)
    return Row("sequence", "one client in sequence, put", [figure], detail("put 1x1", sampled))


@row("range")
def range_thousand(bench: Bench) -> Row:
    """A thousand keys of 256 bytes in one answer."""
    shape = Shape(4, 1, 400)
    sampled = bench.paired(bench.pair(), lambda group: bench.asked(group, RANGE, shape))
    mine, other = sampled[KVORUM]["cpu_us"], sampled[ETCD]["cpu_us"]
    figures = [
        Figure("4x1", "us CPU a call", mine, other, "<= 1 ms", 1_000.0),
        Figure("4x1, beside etcd", "us CPU a call", mine, other, "<= 0.5x etcd", 0.5, ratio=True),
    ]
    return Row("range", "range of 1,000 keys of 256 B", figures, detail("range 4x1", sampled))


@row("txn")
def transaction(bench: Bench) -> Row:
    """The largest transaction of puts that etcd takes."""
    shape = Shape(4, 1, 200)
    sampled = bench.paired(bench.pair(), lambda group: bench.asked(group, TXN, shape))
    figure = cpu_figure("4x1", sampled, 1.0)
    return Row("txn", "txn of 128 puts", [figure], detail("txn 4x1", sampled))
