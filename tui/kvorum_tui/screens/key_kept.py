"""Plans that were stopped, broke off, or whose terminal went away: go on, read, forget."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import ClassVar

from kvorum.client.plan import CHANGED, Conflict, Step, still_to_do
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Label

from kvorum_tui.model import words
from kvorum_tui.model.decode import printable
from kvorum_tui.model.plan import WHYS, Plan, samples
from kvorum_tui.model.plan_store import KeptPlan, PlanFileError, PlanStore
from kvorum_tui.screens.key_plan import run_plan
from kvorum_tui.screens.key_work import KeyWork
from kvorum_tui.widgets.dialogs import Confirm, Dialog, Reader, Rich
from kvorum_tui.widgets.paint import Line, LineList

SHOWN = 200  # Steps and conflicts that a report of a kept plan names.

Chosen = tuple[str, KeptPlan]


class KeptList(LineList):
    """The plans, newest first."""

    headed = True

    def __init__(self, plans: Sequence[KeptPlan]) -> None:
        super().__init__(id="plans")
        self.plans = plans

    @property
    def current(self) -> KeptPlan | None:
        """The plan under the cursor."""
        return self.plans[self.cursor] if self.cursor < len(self.plans) else None

    def row_count(self) -> int:
        """Plans."""
        return len(self.plans)

    def empty_text(self) -> list[tuple[str, str]]:
        """All is done."""
        return [
            ("no plan is unfinished", "text"),
            ("one that you stop with esc, or that breaks off, waits here", "dim"),
        ]

    def heading(self, width: int) -> Line:
        """Column names."""
        line = self.line().cell("begun", 12, "head").cell("done", 15, "head")
        return line.cell("cluster", 14, "head").add("what", "head")

    def paint_row(self, number: int, width: int) -> Line:
        """One plan."""
        plan = self.plans[number]
        at = time.strftime("%m-%d %H:%M", time.localtime(plan.at))
        line = self.line().cell(at, 12, "dim")
        line.cell(f"{plan.done:,} of {plan.steps:,}", 15, "text").cell(plan.where, 14, "accent")
        return line.add(plan.title, "text")


class KeptPlans(Dialog[Chosen]):
    """Choose a plan and what to do with it."""

    DEFAULT_CSS = "KeptPlans KeptList { height: 12; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "report", show=False),
        Binding("delete,f", "forget", show=False),
    ]
    dialog_title = "Unfinished plans"

    def __init__(self, plans: Sequence[KeptPlan]) -> None:
        super().__init__(classes="wide")
        self.list = KeptList(plans)

    def body(self) -> ComposeResult:
        """List and keys."""
        yield self.list
        yield Label("enter go on · r report · f forget · esc closes", classes="hint")

    def on_mount(self) -> None:
        """Choose at once."""
        self.list.changed()
        self.list.focus()

    def _choose(self, what: str) -> None:
        if self.list.current is not None:
            self.dismiss((what, self.list.current))

    @on(LineList.Chosen)
    def _go_on(self) -> None:
        self._choose("resume")

    def action_report(self) -> None:
        """What is done of it, what is not."""
        self._choose("report")

    def action_forget(self) -> None:
        """Leave it as it is."""
        self._choose("forget")


def _report(to_do: list[Step], done: list[Step], conflicts: list[Conflict]) -> Rich:
    """What is done, what somebody else changed, what is left."""
    lines: Rich = [[(words.plural(len(done), "key"), "bold"), (" done", "text")]]
    if conflicts:
        lines.append([(words.plural(len(conflicts), "key"), "bold"), (" left alone:", "text")])
    for conflict in conflicts[:SHOWN]:
        name = f"  {printable(conflict.step.key)}  "
        lines.append([(name, "text"), (WHYS[conflict.why], "warn")])
    lines.append([(words.plural(len(to_do), "key"), "bold"), (" to do", "text")])
    return [*lines, *samples(to_do, SHOWN)]


class KeyKept(KeyWork):
    """Unfinished plans."""

    async def remind(self) -> None:
        """Say that plans for this cluster wait."""
        kept = await asyncio.to_thread(PlanStore().all)
        if not kept or self.kv.session.read_only:
            return
        here = await self.kv.session.plans.cluster()
        count = sum(1 for plan in kept if plan.cluster == here)
        if count:
            self.kv.tell(f"{words.plural(count, 'plan')} of this cluster unfinished: P in Keys")

    async def unfinished(self) -> None:
        """List them until one is gone on with or the list is left."""
        store = PlanStore()
        while True:
            kept = await asyncio.to_thread(store.all)
            chosen = await self.kv.push_screen_wait(KeptPlans(kept))
            if chosen is None:
                return
            what, plan = chosen
            if what == "forget":
                await self._forget(store, plan)
                continue
            try:
                _, steps = await asyncio.to_thread(store.load, plan.name)
            except (PlanFileError, OSError) as error:
                self.kv.tell(str(error), "warning")
                continue
            if not await self._is_here(plan):
                continue
            now = await self.kv.session.plans.now([step.key for step in steps])
            to_do, done, conflicts = await asyncio.to_thread(still_to_do, steps, now)
            if what == "report":
                lines = _report(to_do, done, conflicts)
                await self.kv.push_screen_wait(Reader(plan.title, lines))
                continue
            changed = sum(1 for conflict in conflicts if conflict.why == CHANGED)
            await self._resume(store, plan, to_do, len(done), changed)
            return

    async def _is_here(self, plan: KeptPlan) -> bool:
        """Keys of one cluster must not be written to another."""
        here = await self.kv.session.plans.cluster()
        if plan.cluster in (0, here):
            return True
        self.kv.tell(f"this plan is for another cluster: {plan.where}", "warning")
        return False

    async def _resume(
        self, store: PlanStore, plan: KeptPlan, to_do: list[Step], done: int, changed: int
    ) -> None:
        notes = [f"{words.plural(done, 'key')} of this plan are done already"]
        if changed:
            notes.append(f"{words.plural(changed, 'key')} changed since the plan was made: left")
        if not to_do:
            await asyncio.to_thread(store.forget, plan.name)
            self.kv.tell(f"{plan.title}: nothing is left to do; {'; '.join(notes)}")
            return
        await run_plan(
            self.kv,
            Plan(
                plan.title,
                "Go on",
                tuple(to_do),
                twin=plan.twin,
                notes=tuple(notes),
                cluster=plan.cluster,
                kept=plan.name,
            ),
        )

    async def _forget(self, store: PlanStore, plan: KeptPlan) -> None:
        lines: Rich = [
            [(plan.title, "bold")],
            [("What is done stays done, what is not stays undone.", "dim")],
        ]
        if await self.kv.push_screen_wait(Confirm("Forget this plan?", lines, "Forget")):
            await asyncio.to_thread(store.forget, plan.name)
