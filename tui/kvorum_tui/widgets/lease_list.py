"""Lists of the Leases tab: leases, the keys of one, locks and elections, the places in one."""

from __future__ import annotations

import time

from kvorum_tui.model import words
from kvorum_tui.model.decode import printable
from kvorum_tui.model.lease_queues import Place, Queue, QueueBook
from kvorum_tui.model.lease_table import LeaseRow, LeaseTable
from kvorum_tui.widgets.paint import Line, LineList
from kvorum_tui.widgets.ttl import TIME_CELLS, ttl_bar

LEASE_CELLS = 17
# What stands beside the lease, its time and the number of its keys, as long as there is room.
MORE = (("first key", 16), ("granted", 9), ("owner", 14), ("renewals", 8))


class LeaseList(LineList):
    """Leases in the order asked for; bars run down between two answers."""

    headed = True

    def __init__(self, table: LeaseTable) -> None:
        super().__init__(id="leases")
        self.table = table
        self.now = 0.0
        self.sort, self.reverse = "time left", False
        self.kept, self.text = "all", b""
        self.owners: dict[int, str] = {}
        self.shown: list[LeaseRow] = []
        self.note: list[tuple[str, str]] = []

    def refresh_at(self, now: float) -> None:
        """Show the picture of this moment; the cursor stays on its lease."""
        at, self.now = self.current, now
        shown = self.table.view(now, self.sort, self.reverse, self.kept, self.text)
        if shown is not self.shown:
            self.shown = shown
            if at is not None:
                place = next(
                    (n for n, row in enumerate(shown) if row.info.id == at.info.id), self.cursor
                )
                self.set_reactive(LineList.cursor, min(place, max(0, len(shown) - 1)))
        self.changed()

    def goto(self, lease_id: int) -> bool:
        """Stand on a lease, if it is shown."""
        place = next((n for n, row in enumerate(self.shown) if row.info.id == lease_id), None)
        if place is None:
            return False
        self.cursor = place
        self.keep_in_sight()
        return True

    @property
    def current(self) -> LeaseRow | None:
        """The chosen lease."""
        return self.shown[self.cursor] if self.cursor < len(self.shown) else None

    def in_sight(self) -> list[int]:
        """The leases on the screen."""
        top = self.scroll_offset.y
        return [row.info.id for row in self.shown[top : top + self.page_rows]]

    def row_count(self) -> int:
        """Leases."""
        return len(self.shown)

    def empty_text(self) -> list[tuple[str, str]]:
        """Set by the screen."""
        return self.note

    def _columns(self, width: int) -> tuple[int, dict[str, int]]:
        """How wide the bar is, and what else is shown how wide."""
        bar = 8 if width < 100 else 14
        left = width - 2 - LEASE_CELLS - 1 - bar - TIME_CELLS - 6
        shown: dict[str, int] = {}
        for name, wide in MORE:
            if left <= wide and name != "first key":
                break
            shown[name] = wide
            left -= wide + 1
        shown["first key"] += max(-10, left)
        return bar, shown

    def _head(self, name: str, column: str = "") -> str:
        mark = ("▲" if self.reverse else "▼") if self.sort == (column or name) else ""
        return name + mark

    def heading(self, width: int) -> Line:
        """Column names; the one that is sorted by has a mark."""
        bar, shown = self._columns(width)
        line = self.line().add(" ").cell(self._head("lease"), LEASE_CELLS, "head")
        line.cell(self._head("time to live", "time left"), bar + TIME_CELLS - 1, "head")
        line.cell(self._head("keys"), 5, "head", right=True)
        for name in ("granted", "renewals", "owner", "first key"):
            if name in shown:
                line.cell(self._head(name), shown[name], "head")
        return line

    def paint_row(self, number: int, width: int) -> Line:
        """One lease."""
        row = self.table.get(self.shown[number].info.id) or self.shown[number]
        bar, shown = self._columns(width)
        line = self.line().add("H" if row.held else " ", "accent")
        line.cell(f"{row.info.id & (2**64 - 1):x}", LEASE_CELLS, "text")
        ttl_bar(line, row, self.now, bar)
        keys = row.info.keys
        count = f"{len(keys):,}" if row.told or keys else "?"
        line.cell(count, 5, "text" if keys else "dim", right=True)
        if "granted" in shown:
            granted = words.span(row.info.granted_s) if row.told else "-"
            line.cell(granted, shown["granted"], "dim")
        if "renewals" in shown:
            line.cell(f"{row.renewals:,}" if row.renewals else "-", shown["renewals"], "dim")
        if "owner" in shown:
            line.cell(self.owners.get(row.info.id, "…" if keys else "-"), shown["owner"], "dim")
        held = "HELD " if row.held else ""
        line.add(held, "accent")
        first = printable(keys[0]) if keys else "no key" if row.told else ""
        return line.cell(first, shown["first key"] - len(held), "text" if keys else "dim")


class LeaseKeys(LineList):
    """The keys of the chosen lease."""

    def __init__(self) -> None:
        super().__init__(id="lease-keys")
        self.keys: tuple[bytes, ...] = ()
        self.note = "no lease chosen"

    def show(self, keys: tuple[bytes, ...], note: str) -> None:
        """Show these; the note stands where there are none."""
        if keys != self.keys or note != self.note:
            self.keys, self.note = keys, note
            self.changed()

    @property
    def current(self) -> bytes | None:
        """The chosen key."""
        return self.keys[self.cursor] if self.cursor < len(self.keys) else None

    def row_count(self) -> int:
        """Keys."""
        return len(self.keys)

    def empty_text(self) -> list[tuple[str, str]]:
        """Why there are none."""
        return [(self.note, "dim")]

    def paint_row(self, number: int, width: int) -> Line:
        """One key."""
        return self.line().add(" ").cell(printable(self.keys[number]), width - 2)


class QueueList(LineList):
    """Locks and elections, each with its holder."""

    headed = True

    def __init__(self, book: QueueBook, leases: LeaseTable) -> None:
        super().__init__(id="queues")
        self.book, self.leases = book, leases
        self.shown: list[Queue] = []
        self.now = 0.0
        self.note: list[tuple[str, str]] = []

    def refresh_at(self, now: float) -> None:
        """Show the picture of this moment; the cursor stays on its name."""
        at, self.now = self.current, now
        self.shown = self.book.rows()
        if at is not None:
            names = [queue.name for queue in self.shown]
            if at.name in names:
                self.set_reactive(LineList.cursor, names.index(at.name))
        self.changed()

    @property
    def current(self) -> Queue | None:
        """The chosen one."""
        return self.shown[self.cursor] if self.cursor < len(self.shown) else None

    def row_count(self) -> int:
        """Locks and elections."""
        return len(self.shown)

    def empty_text(self) -> list[tuple[str, str]]:
        """Set by the screen."""
        return self.note

    def heading(self, width: int) -> Line:
        """Column names."""
        line = self.line().add(" ").cell("lock or election", self._name_cells(width), "head")
        line.cell("holder", 20, "head").cell("its time to live", 8 + TIME_CELLS - 1, "head")
        return line.cell("waiting", 7, "head", right=True)

    def _name_cells(self, width: int) -> int:
        return max(12, width - 1 - 21 - 8 - TIME_CELLS - 9 - 1)

    def paint_row(self, number: int, width: int) -> Line:
        """One of them."""
        queue = self.shown[number]
        shape = printable(queue.name.prefix) + ("" if queue.name.single else "…")
        line = self.line().add(" ").cell(shape, self._name_cells(width))
        holder = queue.holder
        if holder is None:
            return line.cell("free" if queue.told_at else "reading…", 20, "dim")
        line.cell(who(holder), 20, "good")
        row = self.leases.get(holder.record.lease)
        if row is None:
            line.cell("?", 8 + TIME_CELLS - 1, "dim")
        else:
            ttl_bar(line, row, self.now, 8)
        if queue.name.single:
            return line.cell("-", 7, "dim", right=True)
        waiting = len(queue.places) - 1
        return line.cell(f"{waiting:,}", 7, "warn" if waiting else "dim", right=True)


class PlaceList(LineList):
    """The places of one lock or election, the holder first."""

    headed = True

    def __init__(self, leases: LeaseTable) -> None:
        super().__init__(id="places")
        self.leases = leases
        self.places: list[Place] = []
        self.now = 0.0
        self.note = "choose a lock or an election"

    def show(self, places: list[Place], now: float, note: str) -> None:
        """Show these."""
        at, self.now, self.note = self.current, now, note
        self.places = places
        if at is not None:
            keys = [place.record.key for place in places]
            if at.record.key in keys:
                self.set_reactive(LineList.cursor, keys.index(at.record.key))
        self.changed()

    @property
    def current(self) -> Place | None:
        """The chosen place."""
        return self.places[self.cursor] if self.cursor < len(self.places) else None

    def row_count(self) -> int:
        """Places."""
        return len(self.places)

    def empty_text(self) -> list[tuple[str, str]]:
        """Why there are none."""
        return [(self.note, "dim")]

    def heading(self, width: int) -> Line:
        """Column names."""
        line = self.line().add(" ").cell("place", 8, "head").cell("who", self._who(width), "head")
        line.cell("lease", LEASE_CELLS, "head").cell("time to live", 8 + TIME_CELLS - 1, "head")
        return line.cell("here for", 10, "head")

    def _who(self, width: int) -> int:
        return max(10, width - 1 - 9 - LEASE_CELLS - 1 - 8 - TIME_CELLS - 11 - 2)

    def paint_row(self, number: int, width: int) -> Line:
        """One place."""
        place = self.places[number]
        row = self.leases.get(place.record.lease)
        line = self.line().add("H" if row is not None and row.held else " ", "accent")
        text, ink = ("HOLDS", "good") if number == 0 else (f"{number}. waits", "warn")
        line.cell(text, 8, ink).cell(who(place), self._who(width))
        line.cell(f"{place.record.lease & (2**64 - 1):x}", LEASE_CELLS, "dim")
        if row is None:
            line.cell("?", 8 + TIME_CELLS - 1, "dim")
        else:
            ttl_bar(line, row, self.now, 8)
        seconds, exact = place.waited(time.time())
        return line.cell(("" if exact else "≥ ") + words.span(seconds), 10, "text")


def who(place: Place) -> str:
    """Who stands there: what the key says, else the end of the key."""
    value = printable(place.record.value[:80]).strip()
    return value or printable(place.record.key.rpartition(b"/")[2])
