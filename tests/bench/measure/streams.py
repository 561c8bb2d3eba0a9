"""Rows of streams: watch deliveries, calls beside thousands of watches, leases kept alive."""

from __future__ import annotations

import asyncio
import time

from bench.measure.bench import Bench, row, run
from bench.measure.calls import GET, cpu_figure
from bench.measure.figure import Figure, Row
from bench.measure.h2load import quantile
from bench.measure.load import value
from bench.measure.servers import ETCD, KVORUM, Group
from bench.measure.wire import GRANT, KEEP_ALIVE, KV_PUT, WATCH, Stream, Wire, connect
from kvorum_proto.codec import encode
from kvorum_proto.etcdserverpb import (
    LeaseGrantRequest,
    LeaseKeepAliveRequest,
    PutRequest,
    WatchCreateRequest,
    WatchRequest,
)

_EVENTS = 20
_PATIENCE_S = 60.0
WATCHED = b"watched"
_LEASE = 7_700_000


class Crowd:
    """Many watchers of one key, and when each heard of a put."""

    def __init__(self) -> None:
        self.wires: list[Wire] = []
        self.heard: list[float] = []
        self._waiting = 0
        self._all: asyncio.Event = asyncio.Event()

    async def open(
        self, port: int, connections: int, streams: int, watches: int, key: bytes
    ) -> None:
        """So many streams on each connection, so many watches on each stream; returns when the
        server has said of each that it is there.
        """
        wanted = encode(WatchRequest(create_request=WatchCreateRequest(key=key)))
        for _ in range(connections):
            wire = await connect(port)
            self.wires.append(wire)
            self._expect(streams * watches)
            for _ in range(streams):
                stream = wire.open(WATCH, self._told)
                for _ in range(watches):
                    stream.send(wanted)
            await self._arrived()

    def _expect(self, messages: int) -> None:
        self._waiting, self.heard = messages, []
        self._all.clear()

    async def _arrived(self) -> None:
        async with asyncio.timeout(_PATIENCE_S):
            await self._all.wait()

    def _told(self, message: bytes) -> None:
        self.heard.append(time.perf_counter())
        self._waiting -= 1
        if not self._waiting:
            self._all.set()

    async def put(self, wire: Wire, request: bytes, watches: int) -> list[float]:
        """Change the key; microseconds until each watch heard of it."""
        self._expect(watches)
        began = time.perf_counter()
        await wire.unary(KV_PUT, request)
        await self._arrived()
        return [(heard - began) * 1e6 for heard in self.heard]

    def close(self) -> None:
        """All of them."""
        for wire in self.wires:
            wire.close()


async def deliver(
    groups: dict[str, Group], rounds: int, shape: tuple[int, int, int]
) -> dict[str, dict[str, list[float]]]:
    """CPU a delivery (with the puts that cause them) and p99, paired."""
    connections, streams, watches = shape
    number = connections * streams * watches
    crowds, writers = {}, {}
    for name, group in groups.items():
        crowds[name], writers[name] = Crowd(), await connect(group.port)
        await crowds[name].open(group.port, connections, streams, watches, WATCHED)
    request = encode(PutRequest(key=WATCHED, value=value(1)))
    found: dict[str, dict[str, list[float]]] = {
        name: {"cpu_us": [], "p50_us": [], "p99_us": []} for name in groups
    }
    for turn in range(rounds):
        for name in list(groups) if turn % 2 == 0 else reversed(list(groups)):
            took: list[float] = []
            cpu = groups[name].cpu_us()
            for _ in range(_EVENTS):
                took += await crowds[name].put(writers[name], request, number)
            found[name]["cpu_us"].append((groups[name].cpu_us() - cpu) / (_EVENTS * number))
            took.sort()
            found[name]["p50_us"].append(quantile(took, 0.5))
            found[name]["p99_us"].append(quantile(took, 0.99))
    for name in groups:
        crowds[name].close()
        writers[name].close()
    return found


@row("watch")
def watch(bench: Bench) -> Row:
    """One event told to a thousand watches."""
    made = Row("watch", "watch delivery", [])
    groups = bench.pair()
    for what, shape, most in (
        ("1,000 connections x 1", (1_000, 1, 1), 30.0),
        ("10 streams x 100", (1, 10, 100), 4.0),
    ):
        found = run(deliver(groups, bench.rounds, shape))
        mine, other = found[KVORUM], found[ETCD]
        made.figures += [
            Figure(
                what,
                "us CPU a delivery",
                mine["cpu_us"],
                other["cpu_us"],
                f"<= {most:g} us",
                most,
            ),
            Figure(
                f"{what}, p99",
                "us",
                mine["p99_us"],
                other["p99_us"],
                "<= 1.0x etcd",
                1.0,
                ratio=True,
            ),
        ]
    made.notes.append(f"CPU holds the put of each event; {_EVENTS} events a round, one at a time")
    return made


async def _calls(wire: Wire, group: Group, number: int) -> tuple[float, float]:
    """CPU and time of one get, 16 being in flight on one connection."""
    turns = iter(range(number))

    async def ask() -> None:
        for _ in turns:
            await wire.unary(GET.path, GET.request)

    cpu, began = group.cpu_us(), time.perf_counter()
    await asyncio.gather(*(ask() for _ in range(16)))
    return (group.cpu_us() - cpu) / number, (time.perf_counter() - began) * 1e6 / number


async def _beside(group: Group, streams: int, rounds: int, calls: int) -> dict[str, list[float]]:
    """The same calls on a connection with and on one without open watch streams, in turns."""
    crowd, alone = Crowd(), await connect(group.port)
    await crowd.open(group.port, 1, streams, 1, b"nobody changes this")
    found: dict[str, list[float]] = {"none": [], "beside": []}
    for wire in (alone, crowd.wires[0]):
        await _calls(wire, group, 200)
    for _ in range(rounds):
        found["none"].append((await _calls(alone, group, calls))[0])
        found["beside"].append((await _calls(crowd.wires[0], group, calls))[0])
    alone.close()
    crowd.close()
    return found


@row("beside")
def beside(bench: Bench) -> Row:
    """A unary call on a connection that 5,000 watch streams are open on."""
    made = Row("beside", "unary call beside 5,000 open watch streams", [])
    calls = max(500, int(2_000 * bench.effort))
    for name, group in bench.pair().items():
        found = run(_beside(group, 5_000, bench.rounds, calls))
        goal = "<= 1.5x of one beside none" if name == KVORUM else ""
        made.figures.append(
            Figure(
                f"get 1x16, {name}",
                "us CPU a call",
                found["beside"],
                found["none"],
                goal,
                1.5,
                ratio=True,
                base="beside none",
            )
        )
    return made


async def _kept_alive(group: Group, streams: int, times: int) -> dict[str, float]:
    """Each stream renews a lease of its own and waits for the answer, over and over."""
    wires = [await connect(group.port) for _ in range(streams)]
    done = asyncio.get_running_loop().create_future()
    left = streams
    opened: list[tuple[Stream, bytes]] = []

    def renewer(wire: Wire, request: bytes) -> Stream:
        rest = times

        def told(message: bytes) -> None:
            nonlocal rest, left
            rest -= 1
            if rest:
                stream.send(request)
                return
            left -= 1
            if not left:
                done.set_result(None)

        stream = wire.open(KEEP_ALIVE, told)
        return stream

    for number, wire in enumerate(wires):
        request = encode(LeaseKeepAliveRequest(id=_LEASE + number))
        opened.append((renewer(wire, request), request))
    cpu, began = group.cpu_us(), time.perf_counter()
    for stream, request in opened:
        stream.send(request)
    async with asyncio.timeout(_PATIENCE_S):
        await done
    took, used = time.perf_counter() - began, group.cpu_us() - cpu
    for wire in wires:
        wire.close()
    return {"cpu_us": used / (streams * times), "per_s": streams * times / took}


async def _granted(port: int, number: int) -> None:
    wire = await connect(port)
    for at in range(number):
        await wire.unary(GRANT, encode(LeaseGrantRequest(ttl=3_600, id=_LEASE + at)))
    wire.close()


@row("keep-alive")
def keep_alive(bench: Bench) -> Row:
    """Leases renewed on streams of their own."""
    groups, streams, times = bench.pair(), 16, max(50, int(250 * bench.effort))
    for group in groups.values():
        run(_granted(group.port, streams))
    sampled = bench.paired(groups, lambda group: run(_kept_alive(group, streams, times)))
    made = Row("keep-alive", "lease keep-alive", [cpu_figure("16 streams", sampled, 1.0)])
    rates = {
        name: sorted(found["per_s"])[len(found["per_s"]) // 2] for name, found in sampled.items()
    }
    made.notes.append(", ".join(f"{name} {rate:,.0f}/s" for name, rate in rates.items()))
    return made
