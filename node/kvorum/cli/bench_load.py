"""The load of ``kvorum bench``, in a process of its own so that it does not share an interpreter
with what it measures.

Reads one JSON object from standard input, writes one to standard output:
``{"url", "kind", "clients", "seconds", "value_bytes", "keys"}`` gives
``{"requests", "failed", "seconds", "p50_us", "p99_us", "p999_us", "client_cpu_us"}``.

Each client has a connection of its own and one call in flight, as independent programs have.
Requests are encoded once; the answers' bodies are not decoded, because the client must cost as
little as a Python client can.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from grpclib.client import Channel, UnaryUnaryMethod
from grpclib.encoding.base import CodecBase
from grpclib.exceptions import GRPCError, StreamTerminatedError
from kvorum_proto import codec
from kvorum_proto import etcdserverpb as pb

_PREFIX = b"/bench/"
_WARM_UP_S = 0.3


class _Bytes(CodecBase):
    """Bytes in, bytes out."""

    __content_subtype__ = "proto"

    def encode(self, message: Any, message_type: Any) -> bytes:
        assert isinstance(message, bytes)
        return message

    def decode(self, data: bytes, message_type: Any) -> bytes:
        return data


@dataclass(frozen=True)
class Load:
    """What to do, how much of it, for how long."""

    url: str
    kind: str
    clients: int
    seconds: float
    value_bytes: int = 256
    keys: int = 1000


def key_of(number: int) -> bytes:
    """The bench's keys, in order."""
    return _PREFIX + b"%06d" % number


def requests_of(load: Load, client: int) -> tuple[str, list[bytes]]:
    """The method's path, and the encoded requests that this client sends round and round."""
    mine = range(client, load.keys, max(1, load.clients))
    if load.kind == "put":
        value = b"v" * load.value_bytes
        puts = [pb.PutRequest(key=key_of(n), value=value) for n in mine]
        return "/etcdserverpb.KV/Put", [codec.encode(put) for put in puts]
    if load.kind == "range":
        whole = pb.RangeRequest(key=_PREFIX, range_end=_PREFIX[:-1] + b"0", serializable=True)
        return "/etcdserverpb.KV/Range", [codec.encode(whole)]
    serializable = load.kind == "get-serializable"
    gets = [pb.RangeRequest(key=key_of(n), serializable=serializable) for n in mine]
    return "/etcdserverpb.KV/Range", [codec.encode(get) for get in gets]


async def run(load: Load) -> dict[str, float]:
    """Drive the load and measure it."""
    parts = urlsplit(load.url)
    latencies: list[int] = []
    failed = 0
    begun = time.perf_counter() + _WARM_UP_S
    end = begun + load.seconds

    async def client(number: int) -> None:
        nonlocal failed
        path, requests = requests_of(load, number)
        channel = Channel(parts.hostname or "127.0.0.1", parts.port or 2379, codec=_Bytes())
        call: Any = UnaryUnaryMethod(channel, path, bytes, bytes)
        turn = 0
        try:
            while (started := time.perf_counter()) < end:
                try:
                    await call(requests[turn % len(requests)], timeout=10)
                except (OSError, GRPCError, StreamTerminatedError, TimeoutError):
                    failed += 1
                    await asyncio.sleep(0.01)
                    continue
                turn += 1
                if started >= begun:
                    latencies.append(int((time.perf_counter() - started) * 1e6))
        finally:
            channel.close()

    cpu = time.process_time()
    await asyncio.gather(*(client(n) for n in range(load.clients)))
    cpu_us = (time.process_time() - cpu) * 1e6
    latencies.sort()
    return {
        "requests": len(latencies),
        "failed": failed,
        "seconds": load.seconds,
        "p50_us": _share(latencies, 0.5),
        "p99_us": _share(latencies, 0.99),
        "p999_us": _share(latencies, 0.999),
        "client_cpu_us": cpu_us / max(1, len(latencies)),
    }


def _share(sorted_values: list[int], share: float) -> int:
    return (
        sorted_values[min(len(sorted_values) - 1, int(len(sorted_values) * share))]
        if sorted_values
        else 0
    )


def main() -> None:
    """Entry point of the load process."""
    load = Load(**json.load(sys.stdin))
    json.dump(asyncio.run(run(load)), sys.stdout)


if __name__ == "__main__":
    main()
