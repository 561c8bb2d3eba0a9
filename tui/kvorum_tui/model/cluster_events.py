"""What members' reports and the member table tell as events: alarms, faults, compactions, entries
that a new leader replaced, members that came and went.

Changes of leader and members that fall silent are judged by :mod:`kvorum_tui.model.cluster_model`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kvorum_tui.model.records import FaultView, MemberIdentity, MemberReport

# Called with (now, kind, text, member's name).
Note = Callable[[float, str, str, str], None]


class Sightings:
    """Compares what is told with what was told before, and notes the difference."""

    def __init__(self, note: Note, fault_text: Callable[[FaultView], str]) -> None:
        self._note = note
        self._fault_text = fault_text
        self._faults: dict[tuple[str, int], FaultView] = {}
        self._alarms: dict[str, set[str]] = {}
        self._compacted = -1
        self._table: dict[int, MemberIdentity] | None = None

    def report(
        self, before: MemberReport | None, report: MemberReport, name: str, now: float
    ) -> None:
        """A member reported."""
        if before is not None:
            self._replaced(before, report, name, now)
            if before.version != report.version:
                text = f"{name} runs {report.version}, before {before.version}"
                self._note(now, "config", text, name)
        self._see_faults(report, name, now)
        self._see_alarms(report, now)
        if report.compact_revision is not None:
            if 0 <= self._compacted < report.compact_revision:
                text = f"compacted: nothing before revision {report.compact_revision:,} is kept"
                self._note(now, "compact", text, "")
            self._compacted = max(self._compacted, report.compact_revision)

    def table(self, identities: Sequence[MemberIdentity], now: float) -> None:
        """The member table, read again."""
        fresh = {identity.id: identity for identity in identities}
        old, self._table = self._table, fresh
        if old is None:
            return
        for member in sorted(fresh.keys() - old.keys()):
            one = fresh[member]
            kind = "learner" if one.learner else "voter"
            self._note(now, "config", f"{_name(one)} was added as a {kind}", one.name)
        for member in sorted(old.keys() - fresh.keys()):
            self._note(now, "config", f"{_name(old[member])} was removed", old[member].name)
        for member in sorted(old.keys() & fresh.keys()):
            was, one = old[member], fresh[member]
            if was.learner and not one.learner:
                self._note(now, "config", f"{_name(one)} was promoted to a voter", one.name)
            if was.peer_urls != one.peer_urls:
                text = f"{_name(one)} has peer address {', '.join(one.peer_urls)}"
                self._note(now, "config", text, one.name)
            if not was.name and one.name:
                self._note(now, "config", f"{_name(one)} started for the first time", one.name)

    def _replaced(self, before: MemberReport, report: MemberReport, name: str, now: float) -> None:
        """The end of a log is another one: a new leader's entries stand in the place of some that
        were never committed. Told from the first index that both reports show.
        """
        there = {entry.index: entry.term for entry in report.log or ()}
        old = before.log or ()
        first = next((e.index for e in old if there.get(e.index, e.term) != e.term), None)
        if first is None:
            return
        gone = [entry for entry in old if entry.index >= first]
        text = f"{first}-{gone[-1].index}" if len(gone) > 1 else str(first)
        word = "entries" if len(gone) > 1 else "entry"
        terms = sorted({entry.term for entry in gone})
        named = "term " if len(terms) == 1 else "terms "
        named += " and ".join(str(term) for term in terms)
        self._note(now, "replaced", f"{name}: {word} {text} of {named} replaced", name)

    def _see_faults(self, report: MemberReport, name: str, now: float) -> None:
        if report.faults is None:
            return
        current = {(report.endpoint, fault.id): fault for fault in report.faults}
        for key in sorted(set(current) - set(self._faults)):
            self._note(now, "fault", f"{name}: {self._fault_text(current[key])}", name)
        for key in sorted(k for k in self._faults if k[0] == report.endpoint and k not in current):
            text = f"{name}: {self._fault_text(self._faults[key])} is over"
            self._note(now, "heal", text, name)
            del self._faults[key]
        self._faults.update(current)

    def _see_alarms(self, report: MemberReport, now: float) -> None:
        """Alarms are the cluster's: one begins with the first member that tells of it, and is over
        when none does.
        """
        before = set().union(*self._alarms.values())
        self._alarms[report.endpoint] = set(report.alarms)
        after = set().union(*self._alarms.values())
        for alarm in sorted(after - before):
            self._note(now, "alarm", f"alarm {alarm}", "")
        for alarm in sorted(before - after):
            self._note(now, "calm", f"alarm {alarm} is over", "")


def _name(identity: MemberIdentity) -> str:
    return identity.name or f"member {identity.id:x}"
