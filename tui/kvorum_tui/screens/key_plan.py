"""Plans on the screen: looked at, confirmed, carried out, reported. :func:`run_plan` is the way for
every screen that wants to change more than one key.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar
from weakref import WeakKeyDictionary

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Button, Input, Label

from kvorum_tui.model import words
from kvorum_tui.model.plan import Options, Plan, Report, preview_lines, report_lines
from kvorum_tui.model.plan_store import PlanStore
from kvorum_tui.model.undo import UndoLog
from kvorum_tui.screens.pane import PAST, READ_ONLY
from kvorum_tui.screens.permits import permits_of
from kvorum_tui.session import SessionError
from kvorum_tui.session.plans import Plans
from kvorum_tui.widgets.dialogs import Dialog, Reader
from kvorum_tui.widgets.paint import TextLines

if TYPE_CHECKING:
    from kvorum.client.planning import There

    from kvorum_tui.screens.workspace import Workspace

BAR_CELLS = 40
NEXT_THERE: dict[There, There] = {"refuse": "skip", "skip": "overwrite", "overwrite": "refuse"}
THERE_WORDS = {"refuse": "refuse", "skip": "leave", "overwrite": "overwrite"}

_LOGS: WeakKeyDictionary[Workspace, UndoLog] = WeakKeyDictionary()


def log_of(kv: Workspace) -> UndoLog:
    """What was written to a cluster through this terminal."""
    return _LOGS.setdefault(kv, UndoLog())


async def run_plan(kv: Workspace, plan: Plan) -> Report | None:
    """Show a plan, ask, carry it out with its progress, tell what came of it; from a worker.

    Returns what came of it, or None when it was not begun. What was written can be undone with
    ``u`` in the Keys tab; a plan that was stopped or broke off is kept and can be gone on with.
    Errors of the cluster are shown here and are in the report.
    """
    if kv.session.read_only:
        kv.tell(READ_ONLY, "warning")
        return None
    if kv.at:
        kv.tell(PAST.format(kv.at), "warning")
        return None
    refused = permits_of(kv).refused(step.key for step in plan.steps)
    if refused:
        await kv.push_screen_wait(Reader(plan.title, refused))
        return None
    chosen = await kv.push_screen_wait(PlanPreview(plan))
    if chosen is None:
        return None
    return await carry_out_plan(kv, chosen)


async def carry_out_plan(kv: Workspace, plan: Plan) -> Report:
    """The rest of :func:`run_plan`, for a plan that was confirmed already."""
    store = PlanStore()
    report = Report(plan)
    many = len(plan.steps) > 1
    if many:
        try:
            report.kept = await asyncio.to_thread(store.keep, plan, kv.cluster_title)
        except OSError as error:
            kv.tell(f"the plan cannot be kept for going on later: {error}", "warning")
    if many:
        await kv.push_screen_wait(PlanProgress(kv.session.plans, report))
    else:
        await _work(kv.session.plans, report, lambda done: None, lambda: False)
    if report.kept:
        if report.left > 0:
            await asyncio.to_thread(store.note, report.kept, report.done, report.error)
        else:
            await asyncio.to_thread(store.forget, report.kept)
            report.kept = ""
    log_of(kv).add(plan.title, report.deeds, time.time(), plan.undoes)
    await _tell(kv, report)
    return report


async def _work(
    plans: Plans, report: Report, told: Callable[[int], None], stopped: Callable[[], bool]
) -> None:
    """Carry it out; what goes wrong is in the report."""
    try:
        outcome = await plans.carry_out(report.plan.steps, told, report.wrote, stopped)
    except SessionError as error:
        report.error, report.unknown = str(error), error.unknown_outcome
        report.failure = error
        return
    report.conflicts = list(outcome.conflicts)
    report.stopped = outcome.stopped


async def _tell(kv: Workspace, report: Report) -> None:
    """A note when all is well or there was but one key, else the whole report."""
    if report.failure is not None:
        kv.show_error(report.failure)
    if report.whole:
        kv.tell(f"{report.plan.title}: {report.headline}")
    elif report.total > 1 or report.conflicts:
        await kv.push_screen_wait(Reader(report.plan.title, report_lines(report)))


class PlanPreview(Dialog[Plan]):
    """What a plan will do; returns it, with what was chosen, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+o", "there", "what is there", priority=True),
        Binding("ctrl+l", "leases", "leases", priority=True),
    ]

    def __init__(self, plan: Plan) -> None:
        super().__init__(classes="wide danger" if plan.destroys else "wide")
        self.plan = plan
        self.dialog_title = plan.title

    def body(self) -> ComposeResult:
        """Preview, what may be chosen, the typed word, buttons."""
        yield TextLines(id="preview")
        yield Label("", classes="hint", id="asked")
        yield Input(id="typed")
        with Horizontal(classes="foot"):
            yield Button("Cancel", id="no", compact=True)
            yield Button("", id="there", compact=True)
            yield Button("", id="leases", compact=True)
            yield Button("", id="yes", compact=True)

    async def on_mount(self) -> None:
        """Enter does it, or goes on once the word was typed."""
        await self._show()
        self._focus()

    def _focus(self) -> None:
        if not self.plan.steps:
            shown = self.query_one("#there" if self.plan.there else "#no")
            shown.focus()
        elif self.plan.word:
            self.query_one("#typed").focus()
        else:
            self.query_one("#yes").focus()

    async def _show(self) -> None:
        plan = self.plan
        preview = self.query_one("#preview", TextLines)
        preview.can_focus = False
        # Of many keys this takes a while.
        preview.show(self.fitting(await asyncio.to_thread(preview_lines, plan)))
        typed, asked = self.query_one("#typed", Input), self.query_one("#asked", Label)
        asked.display = typed.display = bool(plan.word and plan.steps)
        asked.update(Content(f"Type {plan.word} to go on:"))
        there, leases = self.query_one("#there", Button), self.query_one("#leases", Button)
        there.display = bool(plan.there and plan.remake)
        there.label = Content(f"There already: {THERE_WORDS[plan.options.there]} (^o)")
        leases.display = bool(plan.leased and plan.remake)
        leases.label = Content(f"Leases: {'keep' if plan.options.leases else 'drop'} (^l)")
        yes = self.query_one("#yes", Button)
        count = f" {len(plan.steps):,}" if len(plan.steps) > 1 else ""
        yes.label = Content(f"{plan.verb}{count}")
        yes.variant = "error" if plan.destroys else "primary"
        yes.disabled = not plan.steps or bool(plan.word)
        self.set_class(plan.destroys, "danger")

    async def _remake(self, options: Options) -> None:
        if self.plan.remake is not None:
            self.plan = await asyncio.to_thread(self.plan.remake, options)
            self.query_one("#typed", Input).value = ""
            await self._show()

    async def action_there(self) -> None:
        """Refuse, leave or overwrite what is at the target."""
        old = self.plan.options
        if self.plan.there:
            await self._remake(Options(NEXT_THERE[old.there], old.leases))
            self._focus()

    async def action_leases(self) -> None:
        """Keep leases or drop them."""
        old = self.plan.options
        if self.plan.leased:
            await self._remake(Options(old.there, not old.leases))
            self._focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """The right word unlocks the button."""
        self.query_one("#yes", Button).disabled = event.value.strip() != self.plan.word

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter after the right word."""
        if event.value.strip() == self.plan.word:
            self.dismiss(self.plan)

    async def on_button_pressed(self, event: Button.Pressed) -> None:
        """Choose, do, or not. Enter on a choice chooses on, it does not slip to doing."""
        if event.button.id == "there":
            await self.action_there()
            event.button.focus()
        elif event.button.id == "leases":
            await self.action_leases()
            event.button.focus()
        else:
            self.dismiss(self.plan if event.button.id == "yes" else None)


class PlanProgress(Dialog[bool]):
    """A plan under way. Escape stops it between two transactions; the screen goes by itself."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "stop", "stop", priority=True),
        Binding("enter", "stop", show=False),
    ]

    def __init__(self, plans: Plans, report: Report) -> None:
        super().__init__(classes="wide")
        self.plans = plans
        self.report = report
        self.dialog_title = report.plan.title
        self.stopping = False

    def body(self) -> ComposeResult:
        """A bar and what is going on."""
        yield Label("", id="bar")
        yield Label("", id="said", classes="hint")

    def on_mount(self) -> None:
        """Begin."""
        self._show(0)
        self.run_worker(self._run())

    async def _run(self) -> None:
        await _work(self.plans, self.report, self._show, lambda: self.stopping)
        self.dismiss(True)

    def _show(self, done: int) -> None:
        total = self.report.total
        full = BAR_CELLS * done // max(1, total)
        bar = "█" * full + "░" * (BAR_CELLS - full)
        self.query_one("#bar", Label).update(
            Content(f"{bar} {done:,} of {words.plural(total, 'key')}")
        )
        text = "stopping after this transaction…" if self.stopping else "esc stops"
        count = len(self.report.revisions)
        self.query_one("#said", Label).update(
            Content(f"{words.plural(count, 'transaction')} done · {text}")
        )

    def action_stop(self) -> None:
        """No further transaction."""
        self.stopping = True
        self._show(self.report.done)
