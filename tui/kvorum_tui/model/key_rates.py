"""Writes a minute on every branch, from the watch: counted in slices of five seconds, forgotten
after a minute.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable

SLICE_S = 5.0
WINDOW_S = 60.0
BRANCHES_MAX = 20_000  # Branches of one slice; writes below others count for those above only.


class Rates:
    """``began``: since when it counts, so that the first minute is not told as a whole one."""

    def __init__(self) -> None:
        self.began: float | None = None
        self._slices: deque[tuple[float, Counter[bytes]]] = deque()
        self._sums: Counter[bytes] = Counter()

    def start(self, now: float) -> None:
        """Counting begins."""
        if self.began is None:
            self.began = now

    def add(self, branches: Iterable[bytes], now: float) -> None:
        """One write below these branches."""
        self.forget(now)
        if not self._slices or now - self._slices[-1][0] >= SLICE_S:
            self._slices.append((now, Counter()))
        counted = self._slices[-1][1]
        for path in (b"", *branches):
            if path in counted or len(counted) < BRANCHES_MAX:
                counted[path] += 1
                self._sums[path] += 1

    def forget(self, now: float) -> None:
        """What is older than the window does not count any more."""
        while self._slices and now - self._slices[0][0] > WINDOW_S:
            for path, writes in self._slices.popleft()[1].items():
                left = self._sums[path] - writes
                if left > 0:
                    self._sums[path] = left
                else:
                    del self._sums[path]

    def per_minute(self, path: bytes, now: float) -> int:
        """Writes a minute below a branch (of the whole store for the empty path)."""
        writes = self._sums.get(path, 0)
        if not writes or self.began is None:
            return 0
        return round(writes * 60 / max(SLICE_S, min(WINDOW_S, now - self.began)))
