"""What happens in a run, on disk while it happens: a killed runner leaves what it had seen.

Lines are written by a thread, so that a slow disk delays no client; should it fall far behind,
whoever adds a line writes for it, which bounds what waits in memory. A line that is being written
when the process is killed may be torn: readers say so and leave it out.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from kvorum.limits import DRILL_JOURNAL_LINES

_FLUSH_S = 0.2  # What a killed runner may have seen and not kept.

T = TypeVar("T")


class Journal(Generic[T]):
    """Files that grow by lines. ``encode``: which of ``paths`` an item goes to, and its line there,
    without the end. What was added earlier is never on disk later than what stands in a later file.

    Raises OSError when a file cannot be made; what goes wrong later is told by :meth:`close`.
    """

    def __init__(self, paths: Sequence[Path], encode: Callable[[T], tuple[int, str]]) -> None:
        self._encode = encode
        self._waiting: deque[T] = deque()
        self._outs = [path.open("w", encoding="utf-8") for path in paths]
        self._writing = threading.Lock()
        self._over = threading.Event()
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._run, name=paths[-1].name, daemon=True)
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
        for out in self._outs:
            out.close()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while not self._over.wait(_FLUSH_S):
            self._write()

    def _write(self) -> None:
        with self._writing:
            lines: list[list[str]] = [[] for _ in self._outs]
            for _ in range(len(self._waiting)):
                place, line = self._encode(self._waiting.popleft())
                lines[place].append(line + "\n")
            if self._error is not None:
                return
            try:
                for out, some in zip(self._outs, lines, strict=True):
                    out.write("".join(some))
                    out.flush()
            except OSError as error:
                self._error = error
