"""A simulated node's disk thread: one thing after another, each taking its time.

What finds no room on a full disk is tried again until there is some, and everything behind it
waits, as in the server. Any other failure ends the process.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import Protocol

from kvorum.limits import DISK_FULL_RETRY_S
from kvorum.storage.filesystem import is_full
from kvorum.storage.interface import WalFailed, WalFull

_RETRY_US = int(DISK_FULL_RETRY_S * 1e6)

Step = Callable[[], None]


class Later(Protocol):
    """Does something after a while, unless the process has ended by then."""

    def __call__(self, delay_us: int, action: Step) -> None: ...


class DiskThread:
    """The queue of one life of a process.

    Args:
        later: lets time pass. takes_us: how long the next thing takes. died: hears what ended the
        thread. coverage: where waiting for room is counted.
    """

    def __init__(
        self,
        later: Later,
        takes_us: Callable[[], int],
        died: Callable[[Exception], None],
        coverage: Counter[str],
    ) -> None:
        self._later = later
        self._takes_us = takes_us
        self._died = died
        self._coverage = coverage
        self._queue: deque[list[Step]] = deque()

    def perform(self, *steps: Step) -> None:
        """Do this when everything before it is done. A step that is tried again must be one that
        can be: it does nothing, or all of it."""
        self._queue.append(list(steps))
        if len(self._queue) == 1:
            self._next()

    def _next(self) -> None:
        self._later(self._takes_us(), self._act)

    def _act(self) -> None:
        steps = self._queue[0]
        try:
            while steps:
                steps[0]()
                del steps[0]
        except (WalFailed, OSError) as error:
            if not _lacks_room(error):
                self._died(error)
                return
            self._coverage["disk.waits for room"] += 1
            self._later(_RETRY_US, self._act)
            return
        self._queue.popleft()
        if self._queue:
            self._next()


def _lacks_room(error: Exception) -> bool:
    return isinstance(error, WalFull) or (isinstance(error, OSError) and is_full(error))
