"""What the other side may cost: a budget for frames that do no work; a stream's unread bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Patience:
    """A budget that is spent by what does no work and comes back with time and with work.

    Args:
        most: what can be spent at once.
        per_s: what comes back in a second.
        clock: seconds, monotonic.
    """

    __slots__ = ("_at_s", "_clock", "_left", "_most", "_per_s")

    def __init__(self, most: int, per_s: int, clock: Callable[[], float]) -> None:
        self._most = most
        self._per_s = per_s
        self._clock = clock
        self._left = float(most)
        self._at_s = clock()

    def spend(self, cost: int = 1) -> bool:
        """Take ``cost``; False when there is not as much, even after the time that has passed."""
        if self._left < cost:
            now_s = self._clock()
            self._left = min(self._most, self._left + (now_s - self._at_s) * self._per_s)
            self._at_s = now_s
            if self._left < cost:
                return False
        self._left -= cost
        return True

    def earn(self, credit: int) -> None:
        """Work was done."""
        self._left = min(self._most, self._left + credit)


class Inbox:
    """Bytes of a stream that its handler has not read, and the flow control owed for them.

    grpclib's own takes an empty frame for the end, and keeps an object for every frame, however
    small. What has been read, or is being waited for, is acknowledged; the rest is what the other
    side's window is short of, so that a stream holds no more than its window.

    Args:
        acknowledge: gives the other side room for so many bytes.
    """

    __slots__ = ("_acknowledge", "_data", "_ended", "_owed", "_waiter", "_wanted")

    def __init__(self, acknowledge: Callable[[int], None]) -> None:
        self._acknowledge = acknowledge
        self._data = bytearray()
        self._owed = 0
        self._ended = False
        self._wanted = 0
        self._waiter: asyncio.Future[None] | None = None

    def add(self, data: bytes, ack_size: int) -> None:
        """A DATA frame; ``ack_size`` counts its padding too."""
        self._data += data
        self._owed += ack_size
        if self._wanted:
            self._settle()
            if len(self._data) >= self._wanted:
                self._wake()

    def eof(self) -> None:
        """No more will come."""
        self._ended = True
        self._wake()

    async def read(self, size: int) -> bytes:
        """``size`` bytes; fewer only where the stream ends before them, b"" right at its end."""
        while len(self._data) < size and not self._ended:
            self._wanted = size
            self._settle()
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
                self._wanted = 0
        found = bytes(self._data[:size])
        del self._data[:size]
        self._settle()
        return found

    def unacked_size(self) -> int:
        """What is still owed; from now on nothing is."""
        owed, self._owed = self._owed, 0
        return owed

    def _settle(self) -> None:
        """Acknowledge all but what lies here beyond what is wanted."""
        size = self._owed - max(0, len(self._data) - self._wanted)
        if size > 0:
            self._owed -= size
            self._acknowledge(size)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
