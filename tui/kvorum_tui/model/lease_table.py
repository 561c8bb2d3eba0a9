"""Leases with a time to live that runs down between two answers, joined with their keys.

No server tells the times of several leases in one call, so with many leases each is asked now and
then: :meth:`LeaseTable.to_ask` says which are due. Between two answers all leases run down at the
same pace; so an order by time left changes only when something new is told.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kvorum_tui.model.records import LeaseInfo

SOON_S = 10
SAME_S = 1.2  # Answers in whole seconds that differ by less are the same.
FRESH_S = 2.0  # What is on the screen is asked again after this long.
SOON_FRESH_S = 1.0


@dataclass(frozen=True, slots=True)
class LeaseRow:
    """One lease as told at ``seen_at``. ``told`` is False as long as only its id is known."""

    info: LeaseInfo
    seen_at: float
    held: bool = False  # the terminal keeps it alive
    renewals: int = 0  # seen by its time jumping up
    told: bool = True
    asked_at: float = 0.0  # when it was last told, also if that was nothing new
    slack_s: float = 0.0  # how long the asking took: the answer is that vague

    @property
    def deadline(self) -> float:
        """When it ends, by the clock of ``seen_at``, if nobody renews it."""
        return self.seen_at + self.info.remaining_s

    def remaining(self, now: float) -> float:
        """Seconds left; never below 0."""
        return max(0.0, self.info.remaining_s - (now - self.seen_at))

    def share(self, now: float) -> float:
        """Of the granted time, how much is left: 0 to 1."""
        return (
            min(1.0, self.remaining(now) / self.info.granted_s) if self.info.granted_s > 0 else 0.0
        )


# What one can sort by; what is not told yet comes last.
SORTS: dict[str, Callable[[LeaseRow], Any]] = {
    "time left": lambda row: (not row.told, row.deadline, row.info.id),
    "lease": lambda row: row.info.id & (2**64 - 1),
    "granted": lambda row: (not row.told, row.info.granted_s, row.info.id),
    "keys": lambda row: (-len(row.info.keys), row.info.id),
    "renewals": lambda row: (-row.renewals, row.info.id),
    "first key": lambda row: (not row.info.keys, row.info.keys[:1], row.info.id),
    "held": lambda row: (not row.held, row.deadline, row.info.id),
}
KEPT = ("all", "orphans", "expiring", "held")


class LeaseTable:
    """All leases known."""

    def __init__(self) -> None:
        self._rows: dict[int, LeaseRow] = {}
        self._held: set[int] = set()
        self._turn: deque[int] = deque()
        self._version = 0
        self._cached: tuple[object, list[LeaseRow]] = (None, [])
        self.seen_at = 0.0
        self.loaded = False

    # --- input ------------------------------------------------------------------------------------

    def listed(self, ids: Iterable[int], now: float) -> None:
        """Every lease there is, by id only."""
        there = set(ids)
        if there != self._rows.keys():
            self._rows = {id_: row for id_, row in self._rows.items() if id_ in there}
            for id_ in sorted(there - self._rows.keys()):
                held = id_ in self._held
                self._rows[id_] = LeaseRow(LeaseInfo(id_, 0, 0), now, held, told=False)
                self._turn.append(id_)
            self._held &= there
            self._version += 1
        self.seen_at, self.loaded = now, True

    def update(
        self,
        infos: Sequence[LeaseInfo],
        now: float,
        complete: bool = True,
        took_s: float = 0.0,
    ) -> None:
        """Take in what was told of some leases, after asking for ``took_s``; a complete report also
        says which are gone.
        """
        if complete:
            told = {info.id for info in infos}
            self._rows = {id_: row for id_, row in self._rows.items() if id_ in told}
            self._held &= told
            self.seen_at, self.loaded = now, True
        for info in infos:
            if info.remaining_s < 0:
                self.remove(info.id)
                continue
            if info.id not in self._rows:
                self._turn.append(info.id)
            self._rows[info.id] = self._steady(info, now, took_s)
        self._version += 1

    def _steady(self, info: LeaseInfo, now: float, took_s: float) -> LeaseRow:
        """What was just told, counted from the older answer where both say the same: they are
        whole seconds, and rows must not change places because of that. A time that jumped up was
        renewed.
        """
        fresh = LeaseRow(info, now, info.id in self._held, asked_at=now, slack_s=took_s)
        old = self._rows.get(info.id)
        if old is None or not old.told:
            return fresh
        fresh = replace(fresh, renewals=old.renewals)
        vague = SAME_S + old.slack_s + took_s
        if fresh.info.remaining_s - old.remaining(now) > vague:
            return replace(fresh, renewals=old.renewals + 1)
        if abs(old.remaining(now) - fresh.info.remaining_s) > SAME_S:
            return fresh
        return replace(
            fresh,
            info=replace(fresh.info, remaining_s=old.info.remaining_s),
            seen_at=old.seen_at,
        )

    def attach(self, keys: dict[int, tuple[bytes, ...]]) -> None:
        """The keys of leases of which nothing else is known, those of the past."""
        for id_, held in keys.items():
            row = self._rows.get(id_)
            if row is not None:
                self._put(replace(row, info=replace(row.info, keys=held)))

    def hold(self, lease_id: int, held: bool) -> None:
        """Mark a lease as kept alive by the terminal, or no longer."""
        if held:
            self._held.add(lease_id)
        else:
            self._held.discard(lease_id)
        row = self._rows.get(lease_id)
        if row is not None:
            self._put(replace(row, held=held))

    def renewed(self, lease_id: int, remaining_s: int, now: float) -> None:
        """A keep-alive was answered."""
        row = self._rows.get(lease_id)
        if row is not None:
            info = replace(row.info, remaining_s=remaining_s)
            times = row.renewals + 1
            self._put(replace(row, info=info, seen_at=now, asked_at=now, renewals=times))

    def _put(self, row: LeaseRow) -> None:
        self._rows[row.info.id] = row
        self._version += 1

    def remove(self, lease_id: int) -> None:
        """A lease is gone."""
        self._held.discard(lease_id)
        if self._rows.pop(lease_id, None) is not None:
            self._version += 1

    # --- asking -----------------------------------------------------------------------------------

    def to_ask(self, now: float, most: int, visible: Sequence[int] = ()) -> list[int]:
        """The leases to ask next: those on the screen and those that end soon more often, the
        others in turn.
        """
        wanted: dict[int, None] = {}
        for id_ in visible:
            row = self._rows.get(id_)
            if row is not None and (not row.told or now - row.asked_at >= FRESH_S):
                wanted[id_] = None
        soon = (
            row
            for row in self._rows.values()
            if row.told and row.deadline - now <= SOON_S and now - row.asked_at >= SOON_FRESH_S
        )
        for row in heapq.nsmallest(most // 2, soon, key=lambda row: row.deadline):
            wanted[row.info.id] = None
        for _ in range(len(self._turn)):
            if len(wanted) >= most:
                break
            id_ = self._turn.popleft()
            row = self._rows.get(id_)
            if row is None:
                continue
            self._turn.append(id_)
            if not row.told or now - row.asked_at >= FRESH_S:
                wanted[id_] = None
        return list(wanted)[:most]

    def told(self) -> int:
        """Of how many leases the time is known."""
        return sum(row.told for row in self._rows.values())

    # --- reading ----------------------------------------------------------------------------------

    def rows(self, now: float) -> list[LeaseRow]:
        """Leases, soonest end first."""
        return self.view(now)

    def view(
        self,
        now: float,
        sort: str = "time left",
        reverse: bool = False,
        kept: str = "all",
        text: bytes = b"",
    ) -> list[LeaseRow]:
        """Leases of a kind of :data:`KEPT`, with a text in a key or in their id, in order."""
        second = int(now) if kept == "expiring" else 0
        key = (self._version, sort, reverse, kept, text, second)
        if self._cached[0] == key:
            return self._cached[1]
        rows: list[LeaseRow] = [
            row
            for row in self._rows.values()
            if _belongs(row, kept, now) and (not text or _has(row, text))
        ]
        rows.sort(key=SORTS[sort], reverse=reverse)
        self._cached = (key, rows)
        return rows

    def counts(self, now: float) -> dict[str, int]:
        """How many there are of each kind."""
        return {kept: sum(_belongs(row, kept, now) for row in self._rows.values()) for kept in KEPT}

    def get(self, lease_id: int) -> LeaseRow | None:
        """One lease."""
        return self._rows.get(lease_id)

    def held(self) -> list[int]:
        """Leases that the terminal keeps alive."""
        return sorted(self._held)

    def __len__(self) -> int:
        return len(self._rows)


def _belongs(row: LeaseRow, kept: str, now: float) -> bool:
    if kept == "orphans":
        return row.told and not row.info.keys
    if kept == "expiring":
        return row.told and row.remaining(now) <= SOON_S
    return kept == "all" or row.held


def _has(row: LeaseRow, text: bytes) -> bool:
    return text in f"{row.info.id:x}".encode() or any(text in key for key in row.info.keys)
