"""Transactions as one writes them by hand: a part of the session, ``session.txns``.

A transaction and its result are the values of :mod:`kvorum.client`: they know nothing of a
connection.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from kvorum.client.ops import Txn
from kvorum.client.types import TxnResult

from kvorum_tui.model.records import KeyRecord


@dataclass(frozen=True, slots=True)
class Spot:
    """What stands in a range: the first keys, and how many there are."""

    records: tuple[KeyRecord, ...]
    count: int


@dataclass(frozen=True, slots=True)
class Looked:
    """What stood in several ranges at one revision, in the order they were asked for."""

    revision: int
    spots: tuple[Spot, ...]


class Txns(Protocol):
    """Every method raises :class:`kvorum_tui.session.SessionError` and nothing else."""

    async def look(
        self, ranges: Sequence[tuple[bytes, bytes]], limit: int, revision: int = 0
    ) -> Looked:
        """Keys and ends of ranges, after etcd's rules: up to ``limit`` keys of each, all as of one
        revision (0: now).
        """

    async def commit(self, txn: Txn) -> TxnResult:
        """Send one."""
