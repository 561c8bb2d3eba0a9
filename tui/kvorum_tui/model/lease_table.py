"""Leases with a time to live that runs down between two reports, joined with their keys
both ways.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from kvorum_tui.model.records import LeaseInfo

SOON_S = 10
SAME_S = 1.2  # Answers in whole seconds that differ by less are the same.


@dataclass(frozen=True, slots=True)
class LeaseRow:
    """One lease as last told, at ``seen_at``."""

    info: LeaseInfo
    seen_at: float
    held: bool = False  # the terminal keeps it alive

    def remaining(self, now: float) -> float:
        """Seconds left; never below 0."""
        return max(0.0, self.info.remaining_s - (now - self.seen_at))

    def share(self, now: float) -> float:
        """Of the granted time, how much is left: 0 to 1."""
        return (
            min(1.0, self.remaining(now) / self.info.granted_s) if self.info.granted_s > 0 else 0.0
        )


class LeaseTable:
    """All leases known, soonest end first."""

    def __init__(self) -> None:
        self._rows: dict[int, LeaseRow] = {}
        self.seen_at = 0.0
        self.loaded = False

    def update(self, infos: list[LeaseInfo], now: float, complete: bool = True) -> None:
        """Take in a report; a complete one also says which leases are gone."""
        held = {row.info.id for row in self._rows.values() if row.held}
        told = {info.id for info in infos}
        if complete:
            self._rows = {id_: row for id_, row in self._rows.items() if id_ in told}
        for info in infos:
            if info.remaining_s < 0:
                self._rows.pop(info.id, None)
            else:
                self._rows[info.id] = self._steady(LeaseRow(info, now, info.id in held), now)
        self.seen_at, self.loaded = now, True

    def _steady(self, fresh: LeaseRow, now: float) -> LeaseRow:
        """What was just told, counted from the older answer where both say the same: they are
        whole seconds, and rows must not change places because of that.
        """
        old = self._rows.get(fresh.info.id)
        if old is None or abs(old.remaining(now) - fresh.info.remaining_s) > SAME_S:
            return fresh
        return replace(
            fresh,
            info=replace(fresh.info, remaining_s=old.info.remaining_s),
            seen_at=old.seen_at,
        )

    def hold(self, lease_id: int, held: bool) -> None:
        """Mark a lease as kept alive by the terminal, or no longer."""
        row = self._rows.get(lease_id)
        if row is not None:
            self._rows[lease_id] = replace(row, held=held)

    def renewed(self, lease_id: int, remaining_s: int, now: float) -> None:
        """A keep-alive was answered."""
        row = self._rows.get(lease_id)
        if row is not None:
            self._rows[lease_id] = replace(
                row, info=replace(row.info, remaining_s=remaining_s), seen_at=now
            )

    def remove(self, lease_id: int) -> None:
        """A lease was revoked."""
        self._rows.pop(lease_id, None)

    def rows(self, now: float) -> list[LeaseRow]:
        """Leases, soonest end first."""
        return sorted(self._rows.values(), key=lambda row: (row.remaining(now), row.info.id))

    def get(self, lease_id: int) -> LeaseRow | None:
        """One lease."""
        return self._rows.get(lease_id)

    def held(self) -> list[int]:
        """Leases that the terminal keeps alive."""
        return sorted(id_ for id_, row in self._rows.items() if row.held)

    def __len__(self) -> int:
        return len(self._rows)
