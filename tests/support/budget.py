"""The requests whose cost is counted, and what they may cost: ``tests/bench/budget.toml``."""

from __future__ import annotations

import asyncio
import tomllib
from collections import Counter
from pathlib import Path

from api.node.hands import MEMBER_IDS
from api.node.hands import cluster as local_cluster
from bench.measure.wire import (
    GRANT,
    KEEP_ALIVE,
    KV_PUT,
    KV_RANGE,
    KV_TXN,
    WATCH,
    Wire,
    connect,
)
from kvorum.http2 import choice
from kvorum.machine.commands import Put, Range
from kvorum_proto.codec import encode
from kvorum_proto.etcdserverpb import (
    LeaseGrantRequest,
    LeaseKeepAliveRequest,
    PutRequest,
    RangeRequest,
    RequestOp,
    TxnRequest,
    WatchCreateRequest,
    WatchRequest,
)
from unit.server.members import PATIENCE_S, Cluster, cluster

from support.callcounts import Ask, fewest_calls

FILE = Path(__file__).parent.parent / "bench" / "budget.toml"
TOLERANCE = 0.05
_KEYS = 100
_WATCHES = 50
_WARM = 20
# Ticks cost calls: few of them, so that hardly a request meets one.
_TICK_MS, _ELECTION_MS = 400, 1_200
_LOOK_S = 0.005
_TURNS = 20  # Of the loop, after which all three are at rest.

Asks = dict[str, Ask]
Found = dict[str, Counter[str]]  # By request, by function.


def budgets() -> dict[str, int]:
    """Calls by request."""
    found = tomllib.loads(FILE.read_text(encoding="utf-8"))
    return {name: int(calls) for name, calls in found["calls"].items()}


class Answers:
    """Messages of a stream, and someone who waits for so many of them."""

    def __init__(self) -> None:
        self._left = 0
        self._all = asyncio.Event()

    def expect(self, messages: int) -> None:
        """From now on."""
        self._left = messages
        self._all.clear()

    def told(self, message: bytes) -> None:
        """One has come."""
        self._left -= 1
        if not self._left:
            self._all.set()

    async def come(self) -> None:
        """All that was expected."""
        await self._all.wait()


def unary_asks(wire: Wire) -> Asks:
    """Calls with one answer."""
    put = encode(PutRequest(key=b"/k/0001", value=bytes(256)))
    get = encode(RangeRequest(key=b"/k/0001"))
    every = encode(RangeRequest(key=b"/k/", range_end=b"/k0", serializable=True))
    count = encode(RangeRequest(key=b"/k/", range_end=b"/k0", serializable=True, count_only=True))
    operations = [
        RequestOp(request_put=PutRequest(key=b"/t/%04d" % n, value=bytes(256))) for n in range(16)
    ]
    txn = encode(TxnRequest(success=operations))
    return {
        "put": lambda: wire.unary(KV_PUT, put),
        "get": lambda: wire.unary(KV_RANGE, get),
        "range_100": lambda: wire.unary(KV_RANGE, every),
        "count": lambda: wire.unary(KV_RANGE, count),
        "txn_16_puts": lambda: wire.unary(KV_TXN, txn),
    }


async def stream_asks(wire: Wire) -> Asks:
    """A put that 50 watches of one stream hear of, and a lease's renewal."""
    heard, renewed = Answers(), Answers()
    watching = wire.open(WATCH, heard.told)
    heard.expect(_WATCHES)
    for _ in range(_WATCHES):
        watching.send(encode(WatchRequest(create_request=WatchCreateRequest(key=b"/w"))))
    await heard.come()
    await wire.unary(GRANT, encode(LeaseGrantRequest(ttl=3_600, id=7)))
    renewing, renewal = wire.open(KEEP_ALIVE, renewed.told), encode(LeaseKeepAliveRequest(id=7))
    put = encode(PutRequest(key=b"/w", value=bytes(256)))

    async def tell() -> None:
        heard.expect(_WATCHES)
        await wire.unary(KV_PUT, put)
        await heard.come()

    async def renew() -> None:
        renewed.expect(1)
        renewing.send(renewal)
        await renewed.come()

    return {"put_50_watches": tell, "keep_alive": renew}


async def counted(asks: Asks, rest: Ask, enough: dict[str, int], tries: int) -> Found:
    """The fewest calls of each, after some that fill caches."""
    found = {}
    for name, ask in asks.items():
        for _ in range(_WARM):
            await ask()
        found[name] = await fewest_calls(ask, rest, enough.get(name, 0), tries)
    return found


async def _of_one(made: Cluster, enough: dict[str, int], tries: int) -> Found:
    wire = await connect(made.client_ports[0])
    for number in range(_KEYS):
        await wire.unary(KV_PUT, encode(PutRequest(key=b"/k/%04d" % number, value=bytes(256))))

    async def rest() -> None:
        """Until the history, which reports by itself, has what was written."""
        while (status := made.node(0).status()).history_applied < status.applied:
            await asyncio.sleep(_LOOK_S)

    asks = {**unary_asks(wire), **await stream_asks(wire)}
    found = await counted(asks, rest, enough, tries)
    wire.close()
    return found


async def agreement(enough: dict[str, int], tries: int) -> Found:
    """What three nodes of memory do for a write and a read at the leader, until all have applied
    it: the same turns in the same order each time, because nothing but the test makes time pass.
    """
    async with local_cluster(3) as made, asyncio.timeout(PATIENCE_S):
        leader = made.nodes[MEMBER_IDS[0]]

        async def write() -> None:
            await leader.propose(Put(b"/k/0001", bytes(256)))
            await made.turns(_TURNS)

        async def read() -> None:
            await leader.read(Range(b"/k/0001"))
            await made.turns(_TURNS)

        asks = {"agree_on_put": write, "agree_on_read": read}
        return await counted(asks, made.turns, enough, tries)


async def requests(directory: Path, enough: dict[str, int], tries: int) -> Found:
    """What a member in this process does for each, on a real disk and port, with our own HTTP/2."""
    before = choice.used()
    choice.use(choice.OWN)
    ticks = {"heartbeat_interval_ms": _TICK_MS, "election_timeout_ms": _ELECTION_MS}
    try:
        async with cluster(directory, 1, **ticks) as made, asyncio.timeout(PATIENCE_S):
            return await _of_one(made, enough, tries)
    finally:
        choice.use(before)
