"""Many of everything at once: watchers, leases, connections, large values."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from bench.measure.bench import Bench, run
from bench.measure.calls import GET, PUT
from bench.measure.figure import Figure, Row
from bench.measure.h2load import Call, Shape
from bench.measure.load import value
from bench.measure.servers import ETCD, KVORUM, Group
from bench.measure.streams import WATCHED, Crowd
from bench.measure.wire import GRANT, KEEP_ALIVE, KV_PUT, Wire, connect
from kvorum_proto.codec import encode
from kvorum_proto.etcdserverpb import (
    LeaseGrantRequest,
    LeaseKeepAliveRequest,
    PutRequest,
)

_WATCHERS, _LEASES, _CONNECTIONS = 10_000, 10_000, 5_000
_MIB = 1024 * 1024
_FIRST_LEASE = 5_000_000
_IDLE_S = 2.0
Measured = dict[str, float]


async def watchers(group: Group) -> Measured:
    """Ten connections, a thousand watches on each: opened, told one event, at rest."""
    crowd, writer, before = Crowd(), await connect(group.port), group.resident_mb()
    began = time.monotonic()
    await crowd.open(group.port, 10, 10, 100, WATCHED)
    opened = time.monotonic() - began
    request, cpu = encode(PutRequest(key=WATCHED, value=value(1))), group.cpu_us()
    took: list[float] = []
    for _ in range(3):
        took += await crowd.put(writer, request, _WATCHERS)
    told = group.cpu_us() - cpu
    found = {
        "opened, s": opened,
        "an event to all, ms to the last": max(took) / 1_000,
        "CPU a delivery, us": told / (3 * _WATCHERS),
        "memory a watcher, bytes": (group.resident_mb() - before) * 1e6 / _WATCHERS,
        "at rest, % of a core": await _at_rest(group),
    }
    crowd.close()
    writer.close()
    return found


async def _at_rest(group: Group) -> float:
    cpu = group.cpu_us()
    await asyncio.sleep(_IDLE_S)
    return (group.cpu_us() - cpu) / _IDLE_S / 1e4


async def leases(group: Group) -> Measured:
    """Granted sixteen at a time, then all renewed on one stream."""
    wire, before = await connect(group.port), group.resident_mb()
    numbers = iter(range(_LEASES))

    async def grant() -> None:
        for number in numbers:
            request = LeaseGrantRequest(ttl=600, id=_FIRST_LEASE + number)
            await wire.unary(GRANT, encode(request))

    cpu = group.cpu_us()
    await asyncio.gather(*(grant() for _ in range(16)))
    granted = group.cpu_us() - cpu
    left, done = _LEASES, asyncio.Event()

    def told(message: bytes) -> None:
        nonlocal left
        left -= 1
        if not left:
            done.set()

    stream = wire.open(KEEP_ALIVE, told)
    cpu = group.cpu_us()
    for number in range(_LEASES):
        stream.send(encode(LeaseKeepAliveRequest(id=_FIRST_LEASE + number)))
    await done.wait()
    renewed = group.cpu_us() - cpu
    found = {
        "CPU a grant, us": granted / _LEASES,
        "CPU a renewal, us": renewed / _LEASES,
        "memory a lease, bytes": (group.resident_mb() - before) * 1e6 / _LEASES,
        "at rest, % of a core": await _at_rest(group),
    }
    wire.close()
    return found


async def connections(group: Group) -> Measured:
    """Open, each has asked once; then one of them asks."""
    before, cpu, wires = group.resident_mb(), group.cpu_us(), list[Wire]()
    for _ in range(_CONNECTIONS // 100):
        some = await asyncio.gather(*(connect(group.port) for _ in range(100)))
        await asyncio.gather(*(wire.unary(GET.path, GET.request) for wire in some))
        wires += some
    opened = group.cpu_us() - cpu
    cpu = group.cpu_us()
    for _ in range(500):
        await wires[0].unary(GET.path, GET.request)
    asked = group.cpu_us() - cpu
    found = {
        "CPU to open one and ask once, us": opened / _CONNECTIONS,
        "memory of one, bytes": (group.resident_mb() - before) * 1e6 / _CONNECTIONS,
        "CPU a get beside them, us": asked / 500,
        "at rest, % of a core": await _at_rest(group),
    }
    for wire in wires:
        wire.close()
    return found


def large_values(bench: Bench) -> Callable[[Group], Measured]:
    """Puts and gets of 1 MiB, four at a time."""
    put = Call(KV_PUT, encode(PutRequest(key=b"large", value=bytes(_MIB))))
    get = Call(GET.path, b"\n\x05large", _MIB)

    def measure(group: Group) -> Measured:
        found = {}
        for name, call in (("put", put), ("get", get)):
            said = bench.asked(group, call, Shape(4, 1, 120))
            found[f"CPU a {name}, us"] = said["cpu_us"]
            found[f"{name}s a second"] = said["per_s"]
        small = bench.asked(group, PUT, Shape(16, 1, 1_600))
        found["CPU a small put after them, us"] = small["cpu_us"]
        return found

    return measure


def crowds(bench: Bench) -> list[Row]:
    """All of them, on fresh servers, both programs in turns."""
    rows = []
    for name, title, measure in (
        ("watchers", f"{_WATCHERS:,} watchers", lambda group: run(watchers(group))),
        ("leases", f"{_LEASES:,} leases", lambda group: run(leases(group))),
        ("connections", f"{_CONNECTIONS:,} connections", lambda group: run(connections(group))),
        ("values", "values of 1 MiB", large_values(bench)),
    ):
        bench.close()
        groups = bench.pair()
        sampled = bench.paired(groups, measure, rounds=1)
        rows.append(
            Row(
                name,
                title,
                [
                    Figure(what.rpartition(",")[0] or what, what.rpartition(", ")[2], mine, other)
                    for what, mine in sampled[KVORUM].items()
                    for other in [sampled[ETCD][what]]
                ],
            )
        )
    bench.close()
    return rows
