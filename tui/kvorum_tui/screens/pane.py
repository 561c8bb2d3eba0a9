"""What all tabs share: the way from an action's name to the method that does it, and to the reason
why not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from textual.containers import Container
from textual.widget import Widget
from textual.worker import Worker

from kvorum_tui.actions import Action

if TYPE_CHECKING:
    from kvorum_tui.screens.workspace import Workspace

READY_S = 5.0
READ_ONLY = "this cluster is open read-only; ctrl+e allows writing"


PAST = "you look at revision {:,}; nothing can be written until you come back to now (T)"


def workspace_of(widget: Widget) -> Workspace:
    """The cluster that a widget stands on."""
    return next(each for each in widget.ancestors_with_self if isinstance(each, Pane)).kv


class Pane(Container):
    """A tab on the cluster ``kv``. For each of its actions it has a method ``do_<name>``, and
    ``why_not`` may say why it cannot be done.
    """

    tab: ClassVar[str] = ""
    about: ClassVar[str] = ""
    # What a sentence calls the views of a tab that has several, with the key that brings each.
    view_names: ClassVar[Mapping[str, str]] = {}

    def __init__(self, kv: Workspace) -> None:
        super().__init__(id=f"pane-{self.tab}")
        self.kv = kv
        self.view = ""  # the one in front, by name
        self._ready = asyncio.Event()
        self._waiting: list[Callable[[], object]] = []

    # --- tabs are made when they are first wanted -------------------------------------------------

    def on_mount(self) -> None:
        """Everything in it is mounted (the subclasses' turn came before): do what waited for it."""
        if self.kv.at:
            self.travelled(self.kv.at)
        self._ready.set()
        waiting, self._waiting = self._waiting, []
        for work in waiting:
            work()

    def when_ready(self, work: Callable[[], object]) -> None:
        """Do something with the widgets of this tab: now, or as soon as they are there."""
        if self._ready.is_set():
            work()
        else:
            self._waiting.append(work)

    @property
    def is_ready(self) -> bool:
        """Whether they are there."""
        return self._ready.is_set()

    async def ready(self) -> None:
        """Until the widgets are there. Not for ever: one that fails to compose ends the app, and
        whoever waits here may be what ends it.
        """
        try:
            async with asyncio.timeout(READY_S):
                await self._ready.wait()
        except TimeoutError:
            self.log.warning(f"{self.tab} is not there after {READY_S} s")

    # --- actions ----------------------------------------------------------------------------------

    def why_not(self, name: str) -> str:
        """Why an action of this tab cannot be done now; empty when it can."""
        return ""

    def reason(self, action: Action) -> str:
        """The same, with what holds for all tabs."""
        if action.changes and self.kv.session.read_only:
            return self.kv.session.why_read_only or READ_ONLY
        if action.changes and self.kv.at:
            return PAST.format(self.kv.at)
        return self.why_not_here(action)

    def why_not_here(self, action: Action) -> str:
        """``why_not``, of an action of another view: whose it is."""
        if self.view_names and not self.here(action):
            return f"that belongs to {self.view_names[action.views.split()[0]]}"
        return self.why_not(action.name)

    def here(self, action: Action) -> bool:
        """Whether an action of this tab belongs to the view in front."""
        return not action.views or self.view in action.views.split()

    def offers(self, action: Action) -> bool:
        """Whether the foot shows an action of this tab now."""
        return action.shown and self.here(action)

    def do(self, name: str) -> None:
        """Do an action. Methods that wait run beside the screen, never in front of it."""
        result = getattr(self, f"do_{name}")()
        if isinstance(result, Coroutine):
            self.aside(lambda: result)

    async def action_do(self, name: str) -> None:
        """A key was pressed."""
        await self.kv.action_do(name)

    def aside(
        self,
        work: Callable[[], Coroutine[Any, Any, Any]],
        group: str = "action",
        exclusive: bool = False,
    ) -> None:
        """Do some work beside the screen; its failure is shown, never fatal.

        ``exclusive`` work replaces what its group is doing.
        """

        async def guarded() -> None:
            await self.kv.guarded(work())

        name = f"{self.tab}-{group}"
        _: Worker[None] = self.run_worker(guarded, group=name, exclusive=exclusive)

    def first_focus(self) -> Widget | None:
        """What has the focus when the tab comes to the front."""
        return None

    def refresh_at(self, now: float) -> None:
        """The clock moved on, or the cluster changed."""

    def travelled(self, revision: int) -> None:
        """All tabs look at another revision from now on; 0 is now."""

    def revision_here(self) -> int:
        """The revision of the thing under the cursor, for travelling there; 0 when it has none."""
        return 0

    def masked(self) -> None:
        """Values are hidden from now on, or shown again: what was prepared is prepared anew."""

    def back(self) -> bool:
        """Escape: undo the last step of looking (a filter, a view); False when there is none."""
        return False
