"""What is known of one stream, and how much it may still send and be sent (RFC 9113, section 5)."""

from __future__ import annotations

from h2.errors import ErrorCodes

from kvorum.http2.engine.frames import WINDOW_MAX, Broken


class InboundWindow:
    """What the other side may send, and what it is owed.

    Room is given back in large pieces: nothing is said before half of the window has been read.
    """

    __slots__ = ("_left", "_owed", "_size")

    def __init__(self, size: int) -> None:
        self._size = size
        self._left = size
        self._owed = 0

    def take(self, size: int) -> None:
        """So many bytes came. Broken when they should not have."""
        if size > self._left:
            raise Broken("more data than the window allows", ErrorCodes.FLOW_CONTROL_ERROR)
        self._left -= size

    def give(self, size: int) -> int:
        """So many bytes have been read; how far to open the window now."""
        self._owed += size
        if self._owed * 2 < self._size:
            return 0
        owed, self._owed = self._owed, 0
        self._left += owed
        return owed

    def widen(self, size: int) -> None:
        """The window is so much larger."""
        self._size += size
        self._left += size


class StreamState:
    """A stream that is open, at least one way."""

    __slots__ = ("answered", "inbound", "local_closed", "outbound", "remote_closed")

    def __init__(self, outbound: int, inbound: int) -> None:
        # What may be sent; negative when the other side's settings shrank it.
        self.outbound = outbound
        self.inbound = InboundWindow(inbound)
        self.local_closed = False
        self.remote_closed = False
        # Its first headers have come (not those of an interim answer).
        self.answered = False

    @property
    def open(self) -> bool:
        """For grpclib, which asks h2's streams so."""
        return not (self.local_closed and self.remote_closed)

    @property
    def closed(self) -> bool:
        """For grpclib, as ``open``."""
        return self.local_closed and self.remote_closed


def widened(window: int, size: int) -> int | None:
    """An outbound window, opened further; None when it would be larger than a window can be."""
    window += size
    return window if window <= WINDOW_MAX else None
