"""Doors before the members' client ports, for drills about clients: shut, open, slammed.

A door passes bytes on and looks at none, so it serves TLS and plain connections alike. While it is
shut nothing passes either way, and new connections are taken and wait, as behind a firewall that
drops packets. Slamming it breaks connections off with a reset, as a crashed host or an impatient
balancer does.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from urllib.parse import urlsplit

from kvorum.cluster.rundir import free_port

_PIECE_BYTES = 65_536
_RESET = struct.pack("ii", 1, 0)  # Linger for no time: what is unsent is thrown away.


class _Door:
    """One member's."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.open = asyncio.Event()
        self.open.set()
        self.held = 0
        self.tasks: set[asyncio.Task[None]] = set()
        self.writers: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        self.writers.add(writer)
        try:
            await self._serve(reader, writer)
        except OSError:
            return  # Nobody listens there now: the client's connection ends, too.
        except asyncio.CancelledError:
            return  # The doors close. Nobody awaits this task but the server, which would complain.
        finally:
            self.tasks.discard(task)
            self.writers.discard(writer)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.open.wait()
        onward, out = await asyncio.open_connection(self.host, self.port)
        pumps = [
            asyncio.create_task(self._pump(reader, out)),
            asyncio.create_task(self._pump(onward, writer)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.wait(pumps)
            out.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while piece := await reader.read(_PIECE_BYTES):
                if not self.open.is_set():
                    self.held += len(piece)
                await self.open.wait()
                writer.write(piece)
                await writer.drain()
        except OSError:
            return


class Doors:
    """One door for each member."""

    def __init__(self) -> None:
        self._doors: dict[str, _Door] = {}
        self._servers: list[asyncio.Server] = []
        self._taken: set[int] = set()

    async def stand(self, name: str, url: str) -> str:
        """Put a door before the client URL of a member; returns the URL of the door."""
        parts = urlsplit(url)
        host, target = parts.hostname or "127.0.0.1", parts.port or 2379
        self._taken.add(target)
        port = free_port(self._taken)
        door = self._doors[name] = _Door(host, target)
        self._servers.append(await asyncio.start_server(door.serve, "127.0.0.1", port))
        return f"{parts.scheme}://127.0.0.1:{port}"

    def has(self, name: str) -> bool:
        """Whether a member has one."""
        return name in self._doors

    def shut(self, name: str) -> int:
        """Let nothing pass; returns how many connections are held up now."""
        self._doors[name].open.clear()
        return len(self._doors[name].writers)

    def unshut(self, name: str) -> int:
        """Let everything pass again, also what waited; returns how many bytes did."""
        door = self._doors[name]
        door.open.set()
        held, door.held = door.held, 0
        return held

    def slam(self, name: str) -> int:
        """Reset every connection; returns how many there were."""
        writers = list(self._doors[name].writers)
        for writer in writers:
            taken = writer.get_extra_info("socket")
            if taken is not None:
                taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()
        return len(writers)

    async def close(self) -> None:
        """End all doors and connections."""
        for server in self._servers:
            server.close()
        tasks = [task for door in self._doors.values() for task in door.tasks]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
