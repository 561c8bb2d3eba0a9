"""Many writes as one plan: a part of the session, ``session.plans``.

Steps and what comes of them are the values of :mod:`kvorum.client.plan`, so that the terminal and
the headless verbs plan and report alike.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from kvorum.client.plan import Outcome, Step
from kvorum.client.planning import Deed
from kvorum.client.types import KeyValue


@dataclass(frozen=True, slots=True)
class Found:
    """Keys that were read, in order, all as of ``revision``. ``cluster``: whose they are.

    ``more``: there are more than were asked for, so that a plan of these would not be whole.
    """

    records: tuple[KeyValue, ...]
    revision: int
    cluster: int
    more: bool = False


class Plans(Protocol):
    """Reading for plans, carrying them out, and what was done lately. Every method raises
    :class:`kvorum_tui.session.SessionError` and nothing else.
    """

    async def read(
        self,
        keys: Sequence[bytes] = (),
        prefixes: Sequence[bytes] = (),
        *,
        values: bool = True,
        limit: int = 0,
        told: Callable[[int], None] = lambda read: None,
    ) -> Found:
        """Those of the keys that there are, and everything under the prefixes, each key once.
        ``limit``: stop when there are more (0: never). ``told`` hears how many were read.
        """

    async def cluster(self) -> int:
        """Which cluster this is, by its id."""

    async def now(self, keys: Sequence[bytes]) -> dict[bytes, KeyValue]:
        """Those of the keys that there are."""

    async def living(self, leases: Collection[int]) -> frozenset[int]:
        """Those of the leases that there are."""

    async def carry_out(
        self,
        steps: Sequence[Step],
        told: Callable[[int], None],
        wrote: Callable[[Sequence[Step], int], None],
        stopped: Callable[[], bool],
    ) -> Outcome:
        """Do it; see :func:`kvorum.client.plan.carry_out`."""

    async def deeds(self, revision: int, prefix: bytes = b"") -> tuple[Deed, ...]:
        """Everything that was done under a prefix at one revision."""

    async def recent(self, key: bytes, prefix: bool, limit: int) -> tuple[Deed, ...]:
        """At least the newest ``limit`` changes of a key or prefix, newest first, as far as they
        are kept and not too far back.
        """
