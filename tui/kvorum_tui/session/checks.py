"""What a session can find out about one member at a time: hashes, what it holds at a revision, its
log, its certificate, its metrics. Nothing here goes through the leader or needs a quorum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from kvorum_tui.model.records import KeyEvent, KeyRecord, LogEntryView


@dataclass(frozen=True, slots=True)
class MemberHash:
    """One member's hash over all that it keeps up to a revision. Two hashes can be compared when
    ``revision`` and ``compacted`` are the same.
    """

    hash: int
    compacted: int
    revision: int


@dataclass(frozen=True, slots=True)
class HeldPage:
    """Keys that one member holds at a revision, in order. ``total``: keys of the whole range."""

    records: tuple[KeyRecord, ...]
    more: bool
    total: int


@dataclass(frozen=True, slots=True)
class Certificate:
    """The certificate that a member shows. ``until`` is in seconds since 1970."""

    subject: str
    issuer: str
    until: float


class Checks(Protocol):
    """Every method raises ``SessionError`` and nothing else."""

    async def hash_kv(self, endpoint: str, revision: int) -> MemberHash:
        """The member's hash at a revision. A revision that it has not reached yet, and one that is
        compacted, are errors with the code OUT_OF_RANGE.
        """

    async def held(
        self, endpoint: str, start: bytes, end: bytes, revision: int, limit: int, values: bool
    ) -> HeldPage:
        """The first ``limit`` keys from ``start`` up to ``end`` (empty: to the end) that the member
        itself holds at a revision; without ``values`` the values are empty.
        """

    async def changes(self, endpoint: str, revision: int) -> tuple[KeyEvent, ...]:
        """What the member says happened at one revision."""

    async def log(self, endpoint: str, first: int, limit: int) -> tuple[LogEntryView, ...]:
        """A stretch of the member's raft log, from an index on."""

    async def certificate(self, endpoint: str) -> Certificate | None:
        """The member's certificate; None without TLS."""
