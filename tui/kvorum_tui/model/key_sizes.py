"""How many bytes the values below a branch take: measured by reading them once, kept honest by the
watch.

No call of etcd tells the size of a prefix, so somebody has to read the values. One pass over a
branch measures every branch below it as well. What is written afterwards is added where its size is
known (a new key), and otherwise makes the figure an estimate: ``writes`` counts those.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from kvorum_tui.model.records import KeyEvent, KeyRecord

BRANCHES_MAX = 100_000  # Branches whose size is kept; deeper ones are not told.
LARGEST = 20  # The largest values of a measured branch that are named.

BranchesOf = Callable[[bytes], Sequence[bytes]]


@dataclass(slots=True)
class Size:
    """The values below one branch: as read at ``revision``, at ``at`` of the clock. ``writes``:
    changes since then that make ``value_bytes`` an estimate.
    """

    revision: int
    at: float
    value_bytes: int = 0
    keys: int = 0
    writes: int = 0


@dataclass(slots=True)
class Measuring:
    """A pass over the values under ``prefix``."""

    prefix: bytes
    revision: int = 0
    read: int = 0
    total: int = 0
    value_bytes: int = 0
    sizes: dict[bytes, Size] = field(default_factory=dict)
    largest: list[tuple[int, bytes]] = field(default_factory=list)


class Sizes:
    """What has been measured, by branch; the empty path is the whole store."""

    def __init__(self) -> None:
        self._sizes: dict[bytes, Size] = {}
        self._largest: dict[bytes, list[tuple[int, bytes]]] = {}

    def __bool__(self) -> bool:
        return bool(self._sizes)

    def of(self, path: bytes) -> Size | None:
        """The size of a branch; None when it was not measured."""
        return self._sizes.get(path)

    def largest(self, path: bytes) -> list[tuple[int, bytes]]:
        """The largest values below a branch that was itself measured, as (bytes, key)."""
        return self._largest.get(path, [])

    def begin(self, prefix: bytes) -> Measuring:
        """A pass begins; nothing is told of it before :meth:`end`."""
        return Measuring(prefix)

    def add(
        self,
        measuring: Measuring,
        records: Iterable[KeyRecord],
        branches_of: BranchesOf,
        now: float,
    ) -> None:
        """A page was read."""
        sizes, prefix = measuring.sizes, measuring.prefix
        for record in records:
            size = len(record.value)
            measuring.read += 1
            measuring.value_bytes += size
            entry = (size, record.key)
            if len(measuring.largest) < LARGEST:
                heapq.heappush(measuring.largest, entry)
            elif entry > measuring.largest[0]:
                heapq.heapreplace(measuring.largest, entry)
            for path in (b"", *branches_of(record.key)):
                if not path.startswith(prefix):
                    continue
                found = sizes.get(path)
                if found is None:
                    if len(sizes) >= BRANCHES_MAX:
                        continue
                    found = sizes[path] = Size(measuring.revision, now)
                found.value_bytes += size
                found.keys += 1

    def end(self, measuring: Measuring, now: float) -> None:
        """The pass is complete."""
        for path in [p for p in self._sizes if p.startswith(measuring.prefix)]:
            del self._sizes[path]
        room = BRANCHES_MAX - len(self._sizes)
        for path, size in list(measuring.sizes.items())[:room]:
            size.revision, size.at = measuring.revision, now
            self._sizes[path] = size
        self._sizes.setdefault(measuring.prefix, Size(measuring.revision, now))
        self._largest[measuring.prefix] = sorted(measuring.largest, reverse=True)

    def changed(self, event: KeyEvent, branches: Iterable[bytes]) -> None:
        """The watch brought a change. A put of a new key is counted exactly; any other makes the
        figure an estimate, because what it replaced is not known.
        """
        if not self._sizes:
            return
        new = event.kind == "put" and event.create_revision == event.revision
        for path in (b"", *branches):
            size = self._sizes.get(path)
            if size is None or event.revision <= size.revision:
                continue
            if new:
                size.value_bytes += len(event.value)
                size.keys += 1
            else:
                size.writes += 1
