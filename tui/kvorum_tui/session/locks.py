"""What a session can do with leases, and with the locks and elections that are built of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from kvorum_tui.model.records import KeyRecord, LeaseInfo


@dataclass(frozen=True, slots=True)
class LeasedPage:
    """Keys with a lease among some keys read at a revision, and how far the reading is."""

    records: tuple[KeyRecord, ...]
    revision: int
    read: int
    total: int


class Locks(Protocol):
    """Every method raises ``SessionError`` and nothing else."""

    async def lease_ids(self) -> tuple[int, ...]:
        """Every lease there is, in one call."""

    async def lease_times(self, ids: Sequence[int]) -> list[LeaseInfo]:
        """What these leases have left, with their keys; ``remaining_s`` -1 when one is gone."""

    async def grant(self, ttl_s: int, lease_id: int) -> LeaseInfo:
        """A new lease with this id; 0 lets the cluster choose."""

    async def queue(self, prefix: bytes, limit: int) -> tuple[KeyRecord, ...]:
        """The first keys below a prefix by create revision, with their values."""

    def leased(self, revision: int) -> AsyncIterator[LeasedPage]:
        """Every key that had a lease at a revision, page by page through the whole store."""
