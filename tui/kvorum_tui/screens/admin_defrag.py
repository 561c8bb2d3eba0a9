"""Guided defragmentation: one member at a time, the leader last, each well before the next."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.widget import Widget

from kvorum_tui.model import words
from kvorum_tui.model.admin_cluster import (
    DefragPlan,
    DefragStep,
    defrag_plan,
    leader,
    trail,
    waits_for,
    why_not_step,
)
from kvorum_tui.model.admin_records import MemberFigures
from kvorum_tui.screens.admin_view import AdminView, Column, Row, Table, box
from kvorum_tui.session import SessionError
from kvorum_tui.widgets.dialogs import Choice, Confirm, Rich
from kvorum_tui.widgets.paint import TextLines

if TYPE_CHECKING:
    from kvorum_tui.screens.admin import AdminPane

LOOK_S = 0.25
WORTH = 0.1  # Of the files; less than this free is hardly worth standing still for.
WELL_S = 120.0  # A member that is not well again by then ends the run.


class DefragRun:
    """A run over a plan: what happened, what it waits for, whether it is to stop."""

    def __init__(self, plan: DefragPlan) -> None:
        self.plan = plan
        self.state: dict[int, str] = {step.id: "waits" for step in plan.steps}
        self.freed: dict[int, int] = {}
        self.lines: list[tuple[str, str]] = []
        self.stopping = False
        self.running = True

    def say(self, text: str, ink: str = "text") -> None:
        """One more line of the report."""
        self.lines.append((text, ink))


SILENT = "Each member answers nothing while it has its turn; the others go on."
SERVES = "Each member goes on answering while it has its turn."


class DefragView(AdminView):
    """Members in the order of their turns, and the report."""

    view = "defrag"
    about = (
        "Compaction frees pages within a member's file; a defragmentation writes the file anew "
        "without them. A member of etcd answers nothing meanwhile, one of kvorum goes on, a little "
        "slower; only one at a time has its turn, "
        "learners and followers first, the leader last (handing over first, if you like), and the "
        "next only when the one before is well again and has caught up. Without a quorum of the "
        "others nobody has a turn. 'free' is what it should give back: size less what is in use. "
        "x stops between two members."
    )

    def __init__(self, pane: AdminPane) -> None:
        super().__init__(pane)
        self.table = Table(
            (
                Column("", 2, right=True),
                Column("member", 12),
                Column("role", 9),
                Column("size", 10, right=True),
                Column("in use", 10, right=True),
                Column("free", 10, right=True),
                Column("state"),
            ),
            "admin-defrag-table",
        )
        self.report = TextLines(id="admin-defrag-report")
        self.run: DefragRun | None = None

    def compose(self) -> ComposeResult:
        """Members above, report below."""
        yield box("One at a time, in this order", self.table)
        yield box("Report", self.report)

    def first_focus(self) -> Widget:
        """The members."""
        return self.table

    @property
    def running(self) -> bool:
        """Whether members have their turns now."""
        return self.run is not None and self.run.running

    def refresh_facts(self, now: float) -> None:
        """Figures, states, report."""
        figures = self.facts.figures
        plan = self.run.plan if self.running and self.run else self._plan(False)
        order = {step.id: number + 1 for number, step in enumerate(plan.steps)}
        rows = []
        for each in sorted(figures, key=lambda f: (order.get(f.id, 99), f.title)):
            role = "leader" if each.leads else "learner" if each.learner else "follower"
            state = self._state(each.id) if each.up else each.error
            rows.append(
                Row(
                    each.id,
                    (
                        (str(order.get(each.id, "")), "dim"),
                        (each.title, "text" if each.up else "gone"),
                        (role, "accent" if each.leads else "dim"),
                        (words.size(each.db_bytes) if each.up else "", "text"),
                        (words.size(each.in_use_bytes) if each.up else "", "text"),
                        (words.size(each.free_bytes) if each.up else "", "good"),
                        (state, "text" if each.up else "bad"),
                    ),
                )
            )
        self.table.show(rows, [(self.facts.figures_error or "asking…", "dim")])
        self.show_lines(self.report, self._report(plan), "")

    def _state(self, member: int) -> str:
        if self.run is None:
            return ""
        freed = self.run.freed.get(member)
        state = self.run.state.get(member, "")
        return f"{state}, {words.size(freed)} given back" if freed is not None else state

    def _report(self, plan: DefragPlan) -> Rich:
        lines: Rich = []
        if self.run is not None:
            lines = [[line] for line in self.run.lines]
        if not self.running:
            if plan.refusal:
                lines.append([("not now: ", "bad"), (plan.refusal, "text")])
            elif plan.steps:
                total = words.size(plan.free_bytes)
                lines.append([(f"all together should give back {total}; f begins", "dim")])
            lines += [[(note, "warn")] for note in plan.notes]
        return lines

    def why_not(self, name: str) -> str:
        """Root only; one run at a time; a quorum."""
        if name == "admin_stop":
            if not self.running:
                return "nothing is running"
            return "it stops after this member" if self.run and self.run.stopping else ""
        if name == "admin_copy":
            return "" if self.run and self.run.lines else "there is no report yet"
        if self.running:
            return "it is running; x stops it"
        key = self.table.key
        only = (key,) if name == "admin_defrag_one" and isinstance(key, int) else ()
        return self.root_only() or defrag_plan(self.facts.figures, False, only).refusal

    async def do_admin_defrag(self) -> None:
        """All members."""
        await self.begin()

    async def do_admin_defrag_one(self) -> None:
        """The chosen one."""
        if isinstance(self.table.key, int):
            await self.begin((self.table.key,))

    def do_admin_stop(self) -> None:
        """After this member."""
        if self.run is not None:
            self.run.stopping = True
            self.run.say("stopping after this member", "warn")
            self.refresh_facts(self.kv.clock())

    def do_admin_copy(self) -> None:
        """The report."""
        self.app.copy_to_clipboard(self.report.plain())
        self.kv.tell("copied the report")

    async def begin(self, only: tuple[int, ...] = ()) -> DefragRun | None:
        """Ask, then go through the plan; the run when it came to its end."""
        self.facts.figures = await self.kv.session.admin.figures()
        plan = self._plan(True, only)
        if plan.refusal or not plan.steps:
            self.kv.tell(plan.refusal or "no member answers", "warning")
            return None
        hand = await self._ask(plan)
        if hand is None:
            return None
        if not hand:
            plan = self._plan(False, only)
        self.run = DefragRun(plan)
        try:
            await self._go(self.run)
        except SessionError as error:
            self.run.say(f"✗ {error}", "bad")
            raise
        finally:
            self.run.running = False
            self.refresh_facts(self.kv.clock())
            self.kv.refresh_actions()
        return self.run

    @property
    def _serves(self) -> bool:
        """Whether members answer while they are defragmented."""
        return self.kv.cluster.source() == "kvorum"

    def _plan(self, hand_over: bool, only: tuple[int, ...] = ()) -> DefragPlan:
        return defrag_plan(self.facts.figures, hand_over, only, self._serves)

    async def _ask(self, plan: DefragPlan) -> bool | None:
        """Whether leadership is handed over first; None when nothing is to happen."""
        lines: Rich = []
        for number, step in enumerate(plan.steps):
            more = "  the leader" if step.leads else ""
            lines.append(
                [
                    (f"{number + 1}. {step.name:<12}", "text"),
                    (f"{words.size(step.free_bytes):>10} of {words.size(step.db_bytes)}", "good"),
                    (more, "accent"),
                ]
            )
        lines += [
            [],
            [(f"Should give back {words.size(plan.free_bytes)} in all.", "text")],
            *_hardly(plan),
            [(SERVES if self._serves else SILENT, "text")],
            *([(note, "warn")] for note in plan.notes),
        ]
        last = plan.steps[-1]
        if last.hand_to:
            target = self.facts.name_of(last.hand_to)
            lines.append([(f"Before its turn {last.name} can hand over to {target}.", "dim")])
            choices = [("hand", "Begin, hand over first"), ("stay", "Begin"), ("no", "Cancel")]
            chosen = await self.kv.push_screen_wait(Choice("Defragment", lines, choices))
            return {"hand": True, "stay": False}.get(chosen or "")
        alone = len(self.facts.figures) == 1 and not self._serves
        typed = plan.steps[0].name if alone else ""
        dialog = Confirm("Defragment?", lines, "Begin", typed, danger=alone)
        return False if await self.kv.push_screen_wait(dialog) else None

    async def _go(self, run: DefragRun) -> None:
        for number, step in enumerate(run.plan.steps):
            if run.stopping:
                left = len(run.plan.steps) - number
                run.say(f"stopped; {words.plural(left, 'member')} had no turn", "warn")
                return
            why = why_not_step(await self._figures(), step)
            if why:
                run.say(f"✗ ended before {step.name}: {why}", "bad")
                return
            if step.hand_to:
                await self._hand_over(run, step)
            await self._turn(run, step)
            if not await self._well(run, step):
                return
        total = words.size(sum(run.freed.values()))
        run.say(f"✓ {words.plural(len(run.freed), 'member')} done, {total} given back", "good")

    async def _figures(self) -> list[MemberFigures]:
        self.facts.figures = await self.kv.session.admin.figures()
        self.facts.figures_at = self.kv.clock()
        self.refresh_facts(self.kv.clock())
        return self.facts.figures

    async def _hand_over(self, run: DefragRun, step: DefragStep) -> None:
        """Give leadership away before the leader's turn, if it still leads."""
        figures = self.facts.figures
        first = leader(figures)
        others = [f for f in figures if f.up and not f.learner and f.id != step.id]
        if first is None or first.id != step.id or not others:
            return
        target = min(others, key=lambda f: (f.id != step.hand_to, trail(f, figures)))
        run.state[step.id] = "hands over"
        run.say(f"{step.name} hands leadership to {target.title}")
        await self.kv.session.move_leader(target.id)

    async def _turn(self, run: DefragRun, step: DefragStep) -> None:
        before = next(f.db_bytes for f in self.facts.figures if f.id == step.id)
        run.state[step.id] = "runs"
        self.refresh_facts(self.kv.clock())
        began = self.kv.clock()
        try:
            await self.kv.session.admin.defragment(step.endpoint)
        except SessionError:
            run.state[step.id] = "failed"
            raise
        took = self.kv.clock() - began
        run.state[step.id] = "catches up"
        figures = await self._figures()
        after = next((f.db_bytes for f in figures if f.id == step.id and f.up), before)
        run.freed[step.id] = max(0, before - after)
        run.say(f"{step.name}: {words.size(before)} → {words.size(after)} in {took:.1f} s")

    async def _well(self, run: DefragRun, step: DefragStep) -> bool:
        """Wait until a member answers, knows a leader and has caught up."""
        end = self.kv.clock() + WELL_S
        while True:
            await self._figures()
            missing = waits_for(self.facts.figures, step)
            if not missing:
                run.state[step.id] = "done"
                return True
            run.state[step.id] = missing
            self.refresh_facts(self.kv.clock())
            if self.kv.clock() > end:
                run.say(f"✗ ended: {missing} after {WELL_S:.0f} s", "bad")
                return False
            await asyncio.sleep(LOOK_S)


def _hardly(plan: DefragPlan) -> Rich:
    """A word where it is hardly worth it."""
    total = sum(step.db_bytes for step in plan.steps)
    if plan.free_bytes >= total * WORTH:
        return []
    return [[("That is hardly worth it; compaction (C) frees space first.", "warn")]]
