"""Prints what a call costs a server on h2 and on our own HTTP/2, side by side.

Run as ``python tests/bench/http2.py [echo|put|both] [rounds] [etcd]``: servers of each kind run at
the same time, h2load (nghttp2-client) asks them in turns, and the kernel says what each used. The
figure is the server's CPU a request: the median of the rounds, and the ratio to h2's. With ``etcd``
a real etcd takes its turns among the puts.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from grpclib.const import Cardinality, Handler
from kvorum.http2 import choice
from kvorum.http2.server import KvorumServer
from kvorum_proto.codec import ServerCodec, encode
from kvorum_proto.etcdserverpb import PutRequest

# Connections x calls in flight, and calls.
SHAPES = ((1, 1, 1_500), (16, 1, 6_000), (64, 1, 6_000), (4, 16, 8_000))
ECHO = "/etcdserverpb.KV/Put"


class Echo:
    """Answers a put with as few bytes as a real one."""

    def __mapping__(self) -> dict[str, Handler]:
        return {ECHO: Handler(self.put, Cardinality.UNARY_UNARY, PutRequest, bytes)}

    async def put(self, stream: Any) -> None:
        """As a handler of the node."""
        await stream.recv_message()
        await stream.send_message(b"\x0a" + bytes([28]) + bytes(28))


class _Codec(ServerCodec):
    """The node's codec; answers are bytes."""

    def encode(self, message: object, message_type: object) -> bytes:
        """As it is."""
        assert isinstance(message, bytes)
        return message


async def serve(kind: str, port: int) -> None:
    """An echo, until it is killed."""
    choice.use(kind)
    server = KvorumServer([Echo()], codec=_Codec())
    loop = asyncio.get_running_loop()
    await loop.create_server(server.protocol, "127.0.0.1", port)
    await asyncio.Event().wait()


def cpu_us(pid: int) -> float:
    """What a process has used, from the kernel's scheduler."""
    return sum(
        int(path.read_text().split()[0]) / 1_000
        for path in Path(f"/proc/{pid}/task").glob("*/schedstat")
    )


def free_port() -> int:
    """A port nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


@contextmanager
def started(command: list[str], port: int, log: Path) -> Iterator[tuple[int, int]]:
    """A server process: its pid and port."""
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.05)
        time.sleep(1.0)
        yield process.pid, port
    finally:
        process.kill()
        process.wait()


def ask(port: int, body: Path, shape: tuple[int, int, int]) -> float:
    """Let h2load ask; requests a second. Every call must have been answered."""
    clients, flight, calls = shape
    out = subprocess.run(
        [
            *("h2load", "-t1", f"-c{clients}", f"-m{flight}", f"-n{calls}", "-d", str(body)),
            *("-H", "content-type: application/grpc", "-H", "te: trailers"),
            f"http://127.0.0.1:{port}{ECHO}",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert f"{calls} succeeded" in out, out
    found = re.search(r"([0-9.]+) req/s", out)
    assert found is not None, out
    return float(found[1])


def compare(servers: dict[str, tuple[int, int]], body: Path, rounds: int) -> None:
    """A table: each shape, each server."""
    for pid, port in servers.values():
        del pid
        ask(port, body, (4, 4, 1_000))
    for shape in SHAPES:
        costs: dict[str, list[float]] = {name: [] for name in servers}
        rates: dict[str, list[float]] = {name: [] for name in servers}
        for _ in range(rounds):
            for name, (pid, port) in servers.items():
                before = cpu_us(pid)
                rates[name].append(ask(port, body, shape))
                costs[name].append((cpu_us(pid) - before) / shape[2])
        base = median(costs[choice.H2])
        cells = [
            f"{name} {median(costs[name]):6.0f} us {median(costs[name]) / base:5.2f}x "
            f"{median(rates[name]):7.0f}/s"
            for name in servers
        ]
        print(f"  c{shape[0]:<3} m{shape[1]:<3} " + " | ".join(cells), flush=True)


def node(name: str, directory: Path, stack: ExitStack) -> tuple[int, int]:
    """A node of its own: kvorum on one HTTP/2 or the other, or etcd."""
    port, peer = free_port(), free_port()
    program = ["etcd"] if name == "etcd" else [sys.executable, "-m", "kvorum", "serve"]
    command = [
        *program,
        *("--data-dir", str(directory / name)),
        *("--listen-client-urls", f"http://127.0.0.1:{port}"),
        *("--advertise-client-urls", f"http://127.0.0.1:{port}"),
        *("--listen-peer-urls", f"http://127.0.0.1:{peer}"),
        *("--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}"),
        *("--initial-cluster", f"default=http://127.0.0.1:{peer}"),
    ]
    if name != "etcd":
        command += ["--http2", name]
    return stack.enter_context(started(command, port, directory / f"{name}.log"))


def main() -> None:
    """Echo servers, then nodes."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["serve"]:
        try:
            import uvloop
        except ImportError:
            asyncio.run(serve(arguments[1], int(arguments[2])))
        else:
            uvloop.run(serve(arguments[1], int(arguments[2])))
        return
    what = arguments[0] if arguments else "both"
    rounds = int(arguments[1]) if len(arguments) > 1 else 5
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        message = encode(PutRequest(key=b"key-0001", value=bytes(280)))
        body = directory / "body"
        body.write_bytes(struct.pack(">BI", 0, len(message)) + message)
        if what in ("echo", "both"):
            print("unary echo, server CPU a request")
            with ExitStack() as stack:
                servers = {}
                for kind in choice.KINDS:
                    port = free_port()
                    command = [sys.executable, __file__, "serve", kind, str(port)]
                    log = directory / f"echo-{kind}.log"
                    servers[kind] = stack.enter_context(started(command, port, log))
                compare(servers, body, rounds)
        if what in ("put", "both"):
            print("put on one node, server CPU a request")
            names = [*choice.KINDS, *(["etcd"] if "etcd" in arguments else [])]
            with ExitStack() as stack:
                compare({name: node(name, directory, stack) for name in names}, body, rounds)


if __name__ == "__main__":
    main()
