"""The member table: one row a member, last known values kept, their age said."""

from __future__ import annotations

from kvorum_tui.model import words
from kvorum_tui.model.cluster_model import ClusterModel, MemberState
from kvorum_tui.model.records import ROLE_LETTERS
from kvorum_tui.widgets.paint import Line, LineList

SHORT = {"pre-candidate": "pre-vote"}
ROLE_INKS = {"leader": "good", "candidate": "warn", "pre-candidate": "warn", "learner": "accent"}

# (heading, width, least width of the table that shows it)
COLUMNS: tuple[tuple[str, int, int], ...] = (
    ("member", 12, 0),
    ("role", 12, 0),
    ("term", 6, 0),
    ("commit", 10, 0),
    ("applied", 10, 70),
    ("trails by", 10, 0),
    ("db size", 9, 60),
    ("latency", 9, 90),
    ("fsync p99", 10, 120),
    ("version", 9, 112),
    ("alarms", 10, 100),
)


class MemberTable(LineList):
    """Members of the cluster. A silent member's numbers go dim and carry their age."""

    headed = True

    def __init__(self, model: ClusterModel, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.model = model
        self.now = 0.0

    def refresh_at(self, now: float) -> None:
        """Show the picture of this moment."""
        self.now = now
        self.changed()

    @property
    def current(self) -> MemberState | None:
        """The chosen member."""
        rows = self.model.rows()
        return rows[self.cursor] if self.cursor < len(rows) else None

    def row_count(self) -> int:
        """Members."""
        return len(self.model.order)

    def empty_text(self) -> list[tuple[str, str]]:
        """Nobody yet."""
        return [("no member yet: asking the endpoints…", "dim")]

    def heading(self, width: int) -> Line:
        """Column names."""
        line = self.line().add("   ")
        for name, wide, least in COLUMNS:
            if width >= least:
                line.cell(
                    name, wide, "head", right=name not in ("member", "role", "version", "alarms")
                )
        return line

    def paint_row(self, number: int, width: int) -> Line:
        """One member."""
        state = self.model.rows()[number]
        line = self.line().add(" ")
        if state.report is None:
            why = state.error or "no answer yet"
            return (
                line.add("○ ", "bad")
                .cell(state.name, 12, "bad" if state.error else "dim")
                .add(why, "dim")
            )
        fresh = state.fresh(self.now)
        values = self._values(state)
        for name, wide, least in COLUMNS:
            if width < least:
                continue
            text, ink = values[name]
            if not fresh and name != "member":
                ink = "warn" if name == "role" else "stale"
            if name == "member":
                line.add("● " if fresh else "○ ", "good" if fresh else "bad")
            line.cell(text, wide, ink, right=name not in ("member", "role", "version", "alarms"))
        if not fresh:
            line.add(state.error, "dim")
        return line

    def _values(self, state: MemberState) -> dict[str, tuple[str, str]]:
        report = state.report
        assert report is not None
        fresh = state.fresh(self.now)
        trails = self.model.trails_by(state, self.now)
        behind = trails if trails is not None else 0
        age = words.age(state.age(self.now))
        role = f"{ROLE_LETTERS.get(report.role, '?')} {SHORT.get(report.role, report.role)}"
        return {
            "member": (state.name, "bold" if fresh else "gone"),
            "role": (role if fresh else f"x {age}", ROLE_INKS.get(report.role, "text")),
            "term": (str(report.term), "text"),
            "commit": (words.count(report.commit), "text"),
            "applied": (words.count(report.applied), "text"),
            "trails by": (
                words.plural(behind, "entry", "entries") if behind else "0",
                "warn" if behind > 20 else "text",
            ),
            "db size": (words.size(report.db_bytes), "text"),
            "latency": (
                words.millis(report.latency_ms) if report.latency_ms is not None else "-",
                "text",
            ),
            "fsync p99": (
                words.millis(report.fsync_p99_ms) if report.fsync_p99_ms is not None else "-",
                "text" if report.fsync_p99_ms is not None else "faint",
            ),
            "version": (report.version, "dim"),
            "alarms": (" ".join(report.alarms) or "none", "bad" if report.alarms else "dim"),
        }
