"""Proxies before the peer ports of real etcd, so that its links can be cut and slowed.

Members advertise their proxy's address, so every connection to a member passes one. Who is at the
other end stands in the first request (``X-Server-From``), and so does which way raft's messages go:
etcd's streams are asked for by their reader (``GET``), snapshots and single messages are brought by
their sender (``POST``). So a cut can take one direction of one pair. Bytes on a cut link are held
back, as a network that loses packets makes TCP do, and a connection that began before the cut is
held like a new one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from kvorum.drill.stage import Fault, Link

_PIECE_BYTES = 65_536
_HEAD_BYTES = 16_384  # A longer head is not etcd's.
_HEAD_S = 5.0


@dataclass
class _Rule:
    cut: bool = False
    delay_s: float = 0.0


@dataclass(frozen=True)
class _Way:
    """A connection to ``member`` from whoever has the id ``other``, who reads or brings."""

    member: str
    other: str
    reads: bool


class Proxies:
    """One proxy for each member. ``name``: a member's name by its id in hex, or ""."""

    def __init__(self, name: Callable[[str], str]) -> None:
        self._name = name
        self._servers: list[asyncio.Server] = []
        self._faults: list[Fault] = []
        self._before: dict[Fault, int] = {}  # What had been held when each began.
        self._tasks: set[asyncio.Task[None]] = set()
        self._straight = asyncio.Event()  # Set when a fault ends.
        self.held = 0

    async def open(self, member: str, port: int, target_port: int) -> None:
        """Stand before a member's peer port."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            try:
                await self._serve(member, target_port, reader, writer)
            except asyncio.CancelledError:
                return  # The proxies close. Only the server awaits this, and would complain.
            finally:
                self._tasks.discard(task)

        self._servers.append(await asyncio.start_server(serve, "127.0.0.1", port))

    async def close(self) -> None:
        """End all proxies and connections."""
        for server in self._servers:
            server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def inject(self, fault: Fault) -> str:
        """Bend links."""
        self._faults.append(fault)
        self._before[fault] = self.held
        return f"{len(fault.links)} one-way links bent in the proxies"

    def lift(self, fault: Fault) -> str | None:
        """Straighten them again; what was held back meanwhile, by all faults together."""
        if fault not in self._faults:
            return None
        self._faults.remove(fault)
        self._straight.set()
        return f"{self.held - self._before.pop(fault)} bytes held back"

    def _rule(self, link: Link) -> _Rule:
        rule = _Rule()
        for fault in self._faults:
            if link not in fault.links:
                continue
            if fault.step.do == "delay":
                rule.delay_s += fault.step.ms / 1000
            else:
                rule.cut = True
        return rule

    async def _serve(
        self, member: str, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _HEAD_S)
            way = _way(member, head)
            await self._passed(way, len(head))
            onward, out = await asyncio.open_connection("127.0.0.1", port)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            writer.close()
            return
        out.write(head)
        pumps = [
            asyncio.create_task(self._pump(reader, out, way)),
            asyncio.create_task(self._pump(onward, writer, way)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.wait(pumps)
            writer.close()
            out.close()

    def _link(self, way: _Way) -> Link | None:
        """Which way raft's messages go on a connection; None when it is nobody's. Asked again and
        again, because who has which id is only known once members answer.
        """
        other = self._name(way.other)
        if not other:
            return None
        return (way.member, other) if way.reads else (other, way.member)

    async def _passed(self, way: _Way, size: int) -> None:
        """Wait until the link lets bytes through."""
        if (link := self._link(way)) is None:
            return
        rule = self._rule(link)
        if rule.cut or rule.delay_s:
            self.held += size
        while self._rule(link).cut:
            self._straight.clear()
            await self._straight.wait()
        if rule.delay_s:
            await asyncio.sleep(rule.delay_s)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: _Way
    ) -> None:
        try:
            while piece := await reader.read(_PIECE_BYTES):
                await self._passed(way, len(piece))
                writer.write(piece)
                await writer.drain()
        except OSError:
            return


def _way(member: str, head: bytes) -> _Way:
    lines = head.decode("latin-1").lower().split("\r\n")
    fields = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
    return _Way(member, fields.get("x-server-from", ""), lines[0].startswith("get"))
