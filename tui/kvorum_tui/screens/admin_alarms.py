"""Alarms: what they mean, lifting them, and the guided way out of NOSPACE."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual.app import ComposeResult
from textual.widget import Widget

from kvorum_tui.model import words
from kvorum_tui.model.admin_records import AlarmView
from kvorum_tui.model.admin_space import ALARM_WORDS, space_rows
from kvorum_tui.screens.admin_compact import CompactView
from kvorum_tui.screens.admin_defrag import DefragView
from kvorum_tui.screens.admin_view import AdminView, Column, Row, Table, box
from kvorum_tui.widgets.dialogs import Confirm, Rich
from kvorum_tui.widgets.paint import TextLines

if TYPE_CHECKING:
    from kvorum_tui.screens.admin import AdminPane


class AlarmsView(AdminView):
    """Alarms by member, and what to do."""

    view = "alarms"
    about = (
        "An alarm is raised by a member and stops writes on all of them until somebody disarms it. "
        "NOSPACE: a store reached its quota. CORRUPT: members disagree about their contents. The "
        "list comes from the members' own status, so it is there without a quorum, too."
    )

    def __init__(self, pane: AdminPane) -> None:
        super().__init__(pane)
        self.table = Table(
            (Column("alarm", 10), Column("raised by", 14), Column("means")), "admin-alarms-table"
        )
        self.lines = TextLines(id="admin-alarms-lines")
        self.steps: Rich = []

    def compose(self) -> ComposeResult:
        """Alarms above, words below."""
        yield box("Alarms", self.table)
        yield box("What it means, what to do", self.lines)

    def first_focus(self) -> Widget:
        """The alarms."""
        return self.table

    @property
    def alarm(self) -> AlarmView | None:
        """The chosen one."""
        return self.table.key if isinstance(self.table.key, AlarmView) else None

    def refresh_facts(self, now: float) -> None:
        """Alarms and words."""
        facts = self.facts
        rows = [
            Row(
                each,
                (
                    (each.kind, "bad"),
                    (facts.name_of(each.member), "text"),
                    (ALARM_WORDS.get(each.kind, ("",))[0].split(". ")[0], "dim"),
                ),
            )
            for each in facts.alarms
        ]
        told = facts.figures_at is not None
        age = f", {words.age(now - facts.figures_at)}" if facts.figures_at is not None else ""
        empty = f"no alarm is raised{age}" if told else facts.figures_error or "asking…"
        self.table.show(rows, [(empty, "good" if told else "dim")])
        self.show_lines(self.lines, self._words(), "")

    def _words(self) -> Rich:
        lines: Rich = [*self.steps]
        if self.alarm is not None:
            what, way = ALARM_WORDS.get(
                self.alarm.kind, ("An alarm that this terminal does not know.", "")
            )
            lines += [[(what, "text")], [], [(way, "warn")]]
        lines.append([])
        for name, size, used, free, quota in space_rows(self.facts.figures):
            lines.append(
                [
                    (f"{name:<14}", "dim"),
                    (f"{size:>10} {used:>10} in use, {free:>4} free  " if size else "", "text"),
                    (quota, "dim"),
                ]
            )
        return lines

    def why_not(self, name: str) -> str:
        """Root only; an alarm."""
        if name == "admin_compact":
            return self.compact.why_not(name)
        if self.root_only():
            return self.root_only()
        if name == "admin_free":
            return "a defragmentation is running" if self.defrag.running else ""
        return "" if self.alarm is not None else "no alarm is raised"

    @property
    def compact(self) -> CompactView:
        """The view that compacts."""
        return cast(CompactView, self.pane.views["compact"])

    @property
    def defrag(self) -> DefragView:
        """The view that defragments."""
        return cast(DefragView, self.pane.views["defrag"])

    async def do_admin_compact(self) -> None:
        """As in its own view."""
        await self.compact.do_admin_compact()

    async def do_admin_disarm(self) -> None:
        """Lift one, after saying whether its cause is gone."""
        alarm = self.alarm
        if alarm is None:
            return
        name = self.facts.name_of(alarm.member)
        lines: Rich = [[("Writes work again if no other alarm is raised.", "text")]]
        typed = ""
        if alarm.kind == "CORRUPT":
            lines.append([("Members still disagree unless the differing one was replaced:", "bad")])
            lines.append([("writing on makes the difference larger.", "bad")])
            typed = "CORRUPT"
        else:
            full = [f for f in self.facts.figures if f.quota_bytes and f.db_bytes >= f.quota_bytes]
            for each in full:
                size, quota = words.size(each.db_bytes), words.size(each.quota_bytes)
                lines.append([(f"{each.title} is still full: {size} of {quota}", "bad")])
            lines.append([("It is raised again with the next write into a full store.", "dim")])
        dialog = Confirm(f"Disarm {alarm.kind} of {name}?", lines, "Disarm", typed)
        if await self.kv.push_screen_wait(dialog):
            await self.pane.changed(self.kv.session.admin.disarm(alarm), f"{alarm.kind} disarmed")

    async def do_admin_free(self) -> None:
        """Compact, defragment, disarm; each asks for itself, and the figures are shown."""
        self.steps = []
        before = sum(f.db_bytes for f in self.facts.figures)
        self._step("1 of 3: forget old revisions", "accent")
        chosen = await self.compact.choose()
        if chosen is None or not await self.compact.confirm(chosen[0], physical=True):
            self._step("not compacted; ended here", "warn")
            return
        self._step(f"✓ compacted to {chosen[0]:,}", "good")
        self._step("2 of 3: give the space back", "accent")
        run = await self.defrag.begin()
        if run is None or any(state != "done" for state in run.state.values()):
            self._step("not every member was defragmented; ended here", "warn")
            return
        after = sum(f.db_bytes for f in self.facts.figures)
        self._step(f"✓ {words.size(before)} → {words.size(after)} over all members", "good")
        self._step("3 of 3: disarm", "accent")
        alarms = [each for each in self.facts.alarms if each.kind == "NOSPACE"]
        for each in alarms:
            await self.kv.session.admin.disarm(each)
            self._step(f"✓ NOSPACE of {self.facts.name_of(each.member)} disarmed", "good")
        if not alarms:
            self._step("✓ no NOSPACE is raised", "good")
        await self.pane.ask()

    def _step(self, text: str, ink: str) -> None:
        self.steps.append([(text, ink)])
        self.refresh_facts(self.kv.clock())
