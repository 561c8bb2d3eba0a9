"""A transport that gathers small writes.

grpclib writes a response in three pieces (headers, message, trailers), each a system call. Here the
pieces of one turn of the event loop leave together. What is large enough is not copied again but
written at once.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from kvorum.limits import CLOSE_LINGER_S, WRITE_GATHER_BYTES


class GatheringTransport(asyncio.Transport):
    """Stands before a real transport; grpclib sees no difference.

    ``hold`` keeps everything back (a paused node says nothing); what is held is bounded because the
    protocol is told to stop writing, as for a peer that does not read.
    """

    def __init__(self, inner: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._inner = inner
        self._loop = loop
        self._parts: list[bytes] = []
        self._size = 0
        self._scheduled = False
        self._held = False
        self._linger: asyncio.TimerHandle | None = None

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Queue bytes; they leave when the loop comes round, or now when there are many."""
        self._parts.append(bytes(data))
        self._size += len(data)
        if self._size >= WRITE_GATHER_BYTES:
            self.flush()
        elif not self._scheduled and not self._held:
            self._scheduled = True
            self._loop.call_soon(self._on_turn)

    def _on_turn(self) -> None:
        self._scheduled = False
        self.flush()

    def flush(self) -> None:
        """Write what was gathered."""
        if self._held or not self._parts:
            return
        parts, self._parts, self._size = self._parts, [], 0
        if not self._inner.is_closing():
            self._inner.write(parts[0] if len(parts) == 1 else b"".join(parts))

    def hold(self) -> None:
        """Write nothing and read nothing until ``release``."""
        self._held = True
        if not self._inner.is_closing():
            self._inner.pause_reading()
        cast(asyncio.Protocol, self._inner.get_protocol()).pause_writing()

    def release(self) -> None:
        """End a hold."""
        if not self._held:
            return
        self._held = False
        self.flush()
        if not self._inner.is_closing():
            self._inner.resume_reading()
        cast(asyncio.Protocol, self._inner.get_protocol()).resume_writing()

    def close(self) -> None:
        """Write what was gathered, then close; a peer that does not take it loses it."""
        self.flush()
        self._inner.close()
        if self._linger is None:
            self._linger = self._loop.call_later(CLOSE_LINGER_S, self._inner.abort)

    def lost(self) -> None:
        """The connection is gone."""
        if self._linger is not None:
            self._linger.cancel()

    def abort(self) -> None:
        """Close at once; what was gathered is lost."""
        self._parts.clear()
        self._size = 0
        self._inner.abort()

    def is_closing(self) -> bool:
        """Whether the transport is closed or about to be."""
        return self._inner.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Facts about the connection (peer name, socket, TLS)."""
        return self._inner.get_extra_info(name, default)

    def pause_reading(self) -> None:
        """Stop receiving."""
        self._inner.pause_reading()

    def resume_reading(self) -> None:
        """Receive again."""
        self._inner.resume_reading()

    def get_write_buffer_size(self) -> int:
        """Bytes that have not reached the kernel."""
        return self._size + self._inner.get_write_buffer_size()
