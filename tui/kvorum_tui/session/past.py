"""What the terminal asks about the past of a cluster: a part of the session, ``session.past``.

On kvorum the nodes answer. A real etcd has no such calls; there a mirror on this machine answers,
which a watch fills from the compacted revision on and keeps current while the terminal is open.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Any, Protocol

from kvorum_tui.model.records import KeyEvent, KeyLife, KeyRecord


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far the past goes back. Clocks are milliseconds since 1970, 0 where nobody knows.

    ``oldest``: the first revision at which the store can be looked at as a whole. ``compacted``:
    what the cluster itself has compacted (a mirror may remember more). ``gaps``: stretches of
    revisions, both ends included, of which only the outcome is known. ``seen``: clocks are those
    at which this terminal saw the change, not those of the write.
    """

    oldest: int
    newest: int
    oldest_at_ms: int = 0
    newest_at_ms: int = 0
    compacted: int = 0
    gaps: tuple[tuple[int, int], ...] = ()
    seen: bool = False


@dataclass(frozen=True, slots=True)
class PastStatus:
    """Where the past comes from, and how far it is read.

    ``source``: "nodes", "mirror", or "" while nobody has asked. ``private``: the mirror goes when
    the terminal is closed, for the reason in ``note``. ``filling``: what was written before is
    still being read: ``revision`` of ``newest``.
    """

    source: str = ""
    path: str = ""
    private: bool = False
    filling: bool = False
    revision: int = 0
    newest: int = 0
    rows: int = 0
    size_bytes: int = 0
    note: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Gone:
    """A key that does not exist any more. ``last``: revision of its last value, 0 when that is
    compacted away, so that it cannot come back.
    """

    key: bytes
    revision: int
    last: int
    at_ms: int = 0
    member: int = 0
    user: str = ""


@dataclass(frozen=True, slots=True)
class StatePage:
    """Keys in order as they were at ``revision``. ``total``: how many there are in all pages."""

    records: tuple[KeyRecord, ...]
    revision: int
    more: bool
    total: int


@dataclass(frozen=True, slots=True)
class Bucket:
    """Writes within a stretch of revisions, ``first`` to ``last``."""

    first: int
    last: int
    puts: int = 0
    deletes: int = 0
    bytes: int = 0
    at_ms: int = 0


@dataclass(frozen=True, slots=True)
class HeatCell:
    """Writes to the keys under ``prefix`` (empty: all the others) in a stretch of revisions."""

    prefix: bytes
    column: int
    writes: int
    size: int


@dataclass(frozen=True, slots=True)
class QueryBatch:
    """Some rows of an answer; ``columns`` are (name, DuckDB's type), in every batch the same.

    Bytes are bytes, times are ISO 8601 text. ``truncated``: a bound cut the answer off here.
    """

    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[Any, ...], ...]
    truncated: bool = False


class Past(Protocol):
    """The past of one cluster. Every method raises :class:`kvorum_tui.session.SessionError` and
    nothing else; what takes long is stopped by cancelling it.

    Where a mirror answers, the first question fills it: :attr:`status` tells how far it is.
    """

    @property
    def status(self) -> PastStatus:
        """Where answers come from; costs nothing."""

    async def bounds(self) -> Bounds:
        """How far back one can look."""

    async def oldest(self) -> int:
        """The oldest revision at which the store can be looked at; cheap. Begins no mirror, but
        goes on with one that an earlier run has kept.
        """

    async def history(
        self, key: bytes, from_revision: int = 0, to_revision: int = 0, limit: int = 2_000
    ) -> KeyLife:
        """The newest ``limit`` kept changes of a key within these revisions (0: no bound), oldest
        first, deletions included.
        """

    async def get(self, key: bytes, revision: int) -> KeyRecord | None:
        """A key as it was at a revision."""

    def state(
        self, prefix: bytes, revision: int, values: bool = True, page: int = 1_000
    ) -> AsyncIterator[StatePage]:
        """Everything under a prefix in key order as it was at a revision (0: now, pinned). Without
        ``values`` they are empty. At least one page.
        """

    def changes(
        self, prefix: bytes, from_revision: int, to_revision: int = 0, limit: int = 0
    ) -> AsyncIterator[tuple[KeyEvent, ...]]:
        """Every change under a prefix within these revisions (0: no bound), oldest first, at most
        ``limit`` of them (0: all). Previous values are not in them.
        """

    def deleted(self, prefix: bytes, since: int = 0) -> AsyncIterator[tuple[Gone, ...]]:
        """Keys under a prefix that are gone now, in key order; deleted at ``since`` or later."""

    async def clock_of(self, revision: int) -> int:
        """When a revision was written, in milliseconds since 1970; 0 when nobody knows."""

    async def revision_at(self, at_ms: int) -> int:
        """The newest revision that was written by then; 0 when nobody knows."""

    async def density(
        self, prefix: bytes, first: int, last: int, buckets: int
    ) -> tuple[Bucket, ...]:
        """How much was written from revision ``first`` to ``last``, in equal stretches."""

    async def heat(
        self, prefix: bytes, separator: bytes, first: int, last: int, columns: int, rows: int = 60
    ) -> tuple[HeatCell, ...]:
        """What was written below a prefix, by the next part of the key, from revision ``first`` to
        ``last`` in equal stretches; the busiest ``rows`` parts, and all others together.
        """

    def query(
        self, sql: str, max_rows: int = 0, timeout_s: float = 0, revision: int = 0
    ) -> AsyncGenerator[QueryBatch, None]:
        """Read-only SQL over the views ``events``, ``keys``, ``leases``, ``members``, ``writes``
        and ``keys_at(revision)``; the bounds 0 are those of whoever answers. ``revision``: what
        ``keys`` shows, 0 for now. Who closes the answer stops the query. At least one batch.
        """

    async def stop(self) -> None:
        """Stop filling the mirror; what is there stays, and the next question goes on."""

    async def close(self) -> None:
        """Let go of the mirror."""
