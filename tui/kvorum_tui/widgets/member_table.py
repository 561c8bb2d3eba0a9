"""The member table: one row a member, last known values kept, their age said. What members disagree
about carries a sign.
"""

from __future__ import annotations

from kvorum_tui.model import words
from kvorum_tui.model.cluster_model import ClusterModel, MemberState
from kvorum_tui.model.cluster_words import Remark, remarks
from kvorum_tui.model.records import ROLE_LETTERS
from kvorum_tui.widgets.paint import Line, LineList

SHORT = {"pre-candidate": "pre-vote"}
ROLE_INKS = {"leader": "good", "candidate": "warn", "pre-candidate": "warn", "learner": "accent"}
LEFT = ("member", "role", "version", "alarms")

WIDTHS: dict[str, int] = {
    "member": 12,
    "role": 12,
    "term": 6,
    "commit": 10,
    "applied": 10,
    "trails by": 10,
    "in use": 9,
    "db size": 9,
    "rtt": 9,
    "version": 9,
    "alarms": 9,
    "fsync p99": 9,
    "put p99": 9,
}
# What stays longest when the screen gets narrow.
KEEP = (
    "member",
    "role",
    "term",
    "commit",
    "trails by",
    "rtt",
    "in use",
    "applied",
    "alarms",
    "version",
    "fsync p99",
    "db size",
    "put p99",
)


def columns_for(width: int, alarms: bool) -> list[str]:
    """The columns that fit, in their order; with alarms theirs is among the first."""
    keep = list(KEEP)
    if alarms:
        keep.remove("alarms")
        keep.insert(3, "alarms")
    left, fits = width - 3, set()
    for name in keep:
        if left < WIDTHS[name] + 1:
            break
        left -= WIDTHS[name] + 1
        fits.add(name)
    return [name for name in WIDTHS if name in fits]


class MemberTable(LineList):
    """Members of the cluster. A silent member's numbers go dim and carry their age."""

    headed = True

    def __init__(self, model: ClusterModel, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.model = model
        self.now = 0.0
        self.remarks: list[Remark] = []

    def refresh_at(self, now: float) -> None:
        """Show the picture of this moment."""
        self.now = now
        self.remarks = remarks(self.model, now)
        self.changed()

    @property
    def current(self) -> MemberState | None:
        """The chosen member."""
        rows = self.model.rows()
        return rows[self.cursor] if self.cursor < len(rows) else None

    def goto(self, endpoint: str) -> None:
        """Stand on a member."""
        if endpoint in self.model.order:
            self.cursor = self.model.order.index(endpoint)

    def row_count(self) -> int:
        """Members."""
        return len(self.model.order)

    def empty_text(self) -> list[tuple[str, str]]:
        """Nobody yet."""
        return [("no member yet: asking the endpoints…", "dim")]

    def columns(self, width: int) -> list[str]:
        """The columns shown."""
        return columns_for(width, bool(self.model.alarms()))

    def heading(self, width: int) -> Line:
        """Column names."""
        line = self.line().add("   ")
        for name in self.columns(width):
            line.cell(name, WIDTHS[name], "head", right=name not in LEFT)
        return line

    def paint_row(self, number: int, width: int) -> Line:
        """One member."""
        state = self.model.rows()[number]
        line = self.line().add(" ")
        if state.report is None:
            why = state.error.removeprefix("UNAVAILABLE ") or "no answer yet"
            ink = "bad" if state.error else "dim"
            return line.add("○ ", "bad").cell(state.name, WIDTHS["member"], ink).add(why, "dim")
        fresh = state.fresh(self.now)
        values = self._values(state)
        odd = {r.column: r.ink for r in self.remarks if state.name in r.members and r.column}
        for name in self.columns(width):
            text, ink = values[name]
            if name == "member":
                line.add("● " if fresh else "○ ", "good" if fresh else "bad")
            elif not fresh:
                ink = "warn" if name == "role" else "stale"
            elif odd.get(name, "dim") != "dim":
                text, ink = f"!{text}", odd[name]
            line.cell(text, WIDTHS[name], ink, right=name not in LEFT)
        return line

    def _values(self, state: MemberState) -> dict[str, tuple[str, str]]:
        report = state.report
        assert report is not None
        fresh = state.fresh(self.now)
        trails = self.model.trails_by(state, self.now)
        behind = trails if trails is not None else 0
        age = words.age(state.age(self.now))
        role = f"{ROLE_LETTERS.get(report.role, '?')} {SHORT.get(report.role, report.role)}"
        in_use = report.db_in_use_bytes
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
            "in use": (words.size(report.db_bytes if in_use is None else in_use), "text"),
            "db size": (words.size(report.db_bytes), "text"),
            "rtt": _time(report.latency_ms),
            "fsync p99": _time(report.fsync_p99_ms),
            "put p99": _time(report.figures.get("put_p99")),
            "version": (report.version, "dim"),
            "alarms": (" ".join(report.alarms) or "none", "bad" if report.alarms else "dim"),
        }


def _time(ms: float | None) -> tuple[str, str]:
    return (words.millis(ms), "text") if ms is not None else ("-", "faint")
