"""The header: whom we look at, who is up, who leads, where the store stands; numbers carry their
age.
"""

from __future__ import annotations

from collections.abc import Iterator

from rich.cells import cell_len

from kvorum_tui.model import words
from kvorum_tui.model.cluster_model import ClusterModel
from kvorum_tui.model.time_place import clock_text
from kvorum_tui.widgets.paint import Line, Painted

WIDE = 110  # From here on there is room for a clock.


class HeaderBar(Painted):
    """One line; what does not fit falls off at the right, least important last."""

    DEFAULT_CSS = "HeaderBar { height: 1; background: $panel; }"

    def __init__(self, model: ClusterModel, title: str, read_only: bool, colour: str = "") -> None:
        super().__init__()
        self.model = model
        self.title = title
        self.read_only = read_only
        self.colour = colour
        self.now = 0.0
        self.recording = ""
        self.masked = False
        self.oldest = 0
        """The oldest revision that can be looked at, as far as it was asked for; 0: not yet."""
        self.oldest_at_ms = 0

    def refresh_at(self, now: float) -> None:
        """Show the picture of this moment."""
        self.now = now
        self.refresh_changed()

    def paint(self, y: int, width: int) -> Line:
        """The line."""
        line = self.line().add(" kvorum ", "branch")
        if self.colour:
            line.add(f" {self.title} ", f"context-{self.colour}").add(" ")
        else:
            line.add(self.title + " ", "bold")
        if self.masked:
            line.add("VALUES HIDDEN ", "warn")
        if self.read_only:
            line.add("READ-ONLY ", "warn")
        if self.recording:
            line.add(f"● {self.recording} ", "bad")
        voters, up = self.model.voters(), self.model.up(self.now)
        for member in voters:
            line.add("●" if member in up else "○", "good" if member in up else "bad")
        need = self.model.quorum
        if not any(m.report is not None or m.error for m in voters):
            return line.add(" connecting…", "dim")
        if not any(m.report is not None for m in voters):
            # How many there are, and whether they are a quorum, nobody has told.
            return line.add(" not connected yet; 3 says why", "bad")
        if len(up) >= need:
            line.add(f" {len(up)}/{len(voters)} up", "text")
        else:
            line.add(f" {len(up)}/{len(voters)} NO QUORUM", "bad")
        self._leader(line)
        for ways in self._store(width):
            for part in ways:
                if line.width + sum(cell_len(text) for text, _ in part) <= width:
                    for text, ink in part:
                        line.add(text, ink)
                    break
        return line

    def _store(self, width: int) -> Iterator[list[list[tuple[str, str]]]]:
        """Where the store stands: of each part the ways to say it, the first that fits whole is
        shown. How old it is comes before what is only good to know.
        """
        alarms = self.model.alarms()
        if alarms:
            yield [[("  ALARM " + " ".join(alarms), "bad")]]
        newest = self.model.newest(self.now)
        if newest is None:
            return
        state = self.model.members[newest.endpoint]
        fresh = state.fresh(self.now)
        ink = "text" if fresh else "stale"
        yield [[("  rev ", "dim"), (words.count(newest.revision), ink)]]
        if not fresh:
            yield [[(f", {words.age(state.age(self.now))}", "warn")]]
        oldest = self.oldest
        if newest.compact_revision is not None:
            oldest = max(1, newest.compact_revision)
        if oldest:
            since = words.count(oldest)
            ways = [f" (oldest {since})", f" (from {since})"]
            if width >= WIDE and self.oldest_at_ms:
                ways.insert(0, f" (oldest {since} of {clock_text(self.oldest_at_ms)})")
            yield [[(way, "dim")] for way in ways]
        yield [[("  db ", "dim"), (words.size(newest.db_bytes), ink)]]
        if newest.keys is not None:
            yield [[("  keys ", "dim"), (words.count(newest.keys), ink)]]
        if not alarms and width >= WIDE:
            yield [[("  no alarm", "dim")]]

    def _leader(self, line: Line) -> None:
        leader = self.model.leader(self.now)
        if leader is not None and leader.report is not None:
            line.add("  leader ", "dim").add(leader.name, "good").add(
                f" t{leader.report.term}", "dim"
            )
            return
        gone = self.model.leaderless_s(self.now)
        line.add("  no leader", "bad")
        if gone is not None:
            line.add(f" for {gone:.1f} s", "bad")
