"""What happens in a run, on disk while it happens: a killed runner leaves what it had seen.

Lines are written by a thread, so that a slow disk delays no client; should it fall far behind,
whoever adds a line writes for it, which bounds what waits in memory. A line that is being written
when the process is killed may be torn: readers say so and leave it out.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from kvorum.limits import DRILL_JOURNAL_LINES

_FLUSH_S = 0.2  # What a killed runner may have seen and not kept.

T = TypeVar("T")


class Journal(Generic[T]):
    """A file that grows by lines. ``encode``: an item as its line, without the end.

    Raises OSError when the file cannot be made; what goes wrong later is told by :meth:`close`.
    """

    def __init__(self, path: Path, encode: Callable[[T], str]) -> None:
        self._encode = encode
        self._waiting: deque[T] = deque()
        self._out = path.open("w", encoding="utf-8")
        self._writing = threading.Lock()
        self._over = threading.Event()
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._run, name=path.name, daemon=True)
        self._thread.start()

    def add(self, item: T) -> None:
        """One more line, in a moment. Of one thread's items the order is kept."""
        self._waiting.append(item)
        if len(self._waiting) >= DRILL_JOURNAL_LINES:
            self._write()

    def close(self) -> None:
        """Write what waits and end. Raises OSError when anything could not be written."""
        self._over.set()
        self._thread.join()
        self._write()
        self._out.close()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while not self._over.wait(_FLUSH_S):
            self._write()

    def _write(self) -> None:
        with self._writing:
            lines = [self._encode(self._waiting.popleft()) for _ in range(len(self._waiting))]
            if not lines or self._error is not None:
                return
            try:
                self._out.write("\n".join(lines) + "\n")
                self._out.flush()
            except OSError as error:
                self._error = error
