"""The Admin tab: looking after a cluster, in eight views."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widget import Widget
from textual.widgets import ContentSwitcher

from kvorum_tui import keymap
from kvorum_tui.actions.admin import ACTIONS
from kvorum_tui.model.admin_facts import AdminFacts
from kvorum_tui.screens.admin_access import AccessView
from kvorum_tui.screens.admin_alarms import AlarmsView
from kvorum_tui.screens.admin_compact import CompactView
from kvorum_tui.screens.admin_defrag import DefragView
from kvorum_tui.screens.admin_members import MembersView
from kvorum_tui.screens.admin_server import DoctorView
from kvorum_tui.screens.admin_snapshot import SnapshotView
from kvorum_tui.screens.admin_view import AdminView
from kvorum_tui.screens.admin_who import WhoView
from kvorum_tui.screens.pane import Pane
from kvorum_tui.session import SessionError
from kvorum_tui.widgets.paint import Line, LineList, Painted

if TYPE_CHECKING:
    from kvorum_tui.screens.workspace import Workspace

POLL_S = 2.0
AUTH_S = 6.0
AUTH_EACH_S = 0.1  # Every user and every role is a call.
VIEWS: tuple[type[AdminView], ...] = (
    AccessView,
    WhoView,
    CompactView,
    DefragView,
    SnapshotView,
    AlarmsView,
    MembersView,
    DoctorView,
)
CHOICES = {each.name.removeprefix("admin_view_"): each for each in ACTIONS if "_view_" in each.name}


class ViewStrip(Painted):
    """One line: the views with their keys."""

    DEFAULT_CSS = "ViewStrip { height: 1; }"

    def __init__(self, pane: AdminPane) -> None:
        super().__init__()
        self.pane = pane

    def paint(self, y: int, width: int) -> Line:
        """The line."""
        line = self.line()
        gap = "  " if width >= 96 else " "
        for name, action in CHOICES.items():
            front = self.pane.view == name
            click = {"@click": f"app.do('{action.name}')"}
            line.add("[" if front else gap[:1], "accent").add(action.label, "accent", click)
            line.add(f" {action.text}", "bold" if front else "dim", click)
            line.add("]" if front else gap[1:], "accent")
        return line


class AdminPane(Pane):
    """The views, and the facts that they share."""

    tab = "admin"
    BINDINGS: ClassVar[list[BindingType]] = keymap.bindings("admin")
    DEFAULT_CSS = """
    AdminPane ContentSwitcher { height: 1fr; }
    AdminPane AdminView { height: 1fr; layout: vertical; }
    AdminPane .box { border: round $border; border-title-color: $text-muted; height: 1fr; }
    AdminPane .box:focus-within { border: round $primary; }
    AdminPane .low { height: auto; max-height: 50%; min-height: 4; }
    AdminPane Horizontal { height: 1fr; }
    AdminPane .said { height: auto; padding: 0 1; color: $warning; }
    """

    def __init__(self, kv: Workspace) -> None:
        super().__init__(kv)
        self.facts = AdminFacts()
        self.views = {kind.view: kind(self) for kind in VIEWS}
        self.view = "access"
        self.strip = ViewStrip(self)
        self.switcher = ContentSwitcher(initial="admin-access")
        self._again = asyncio.Event()
        self._auth_at: float | None = None

    @property
    def front(self) -> AdminView:
        """The view in front."""
        return self.views[self.view]

    @property
    def about(self) -> str:  # type: ignore[override]  # of the view in front
        """What the view in front shows."""
        return self.front.about

    def compose(self) -> ComposeResult:
        """Strip and views."""
        yield self.strip
        with self.switcher:
            yield from self.views.values()

    def on_mount(self) -> None:
        """Start asking, once somebody looks."""
        self.run_worker(self._poll(), group="admin-feed")

    def first_focus(self) -> Widget | None:
        """What the view in front is for."""
        return self.front.first_focus()

    def refresh_at(self, now: float) -> None:
        """The clock moved on, or an answer came."""
        if self.is_attached:
            self.front.refresh_facts(now)

    def back(self) -> bool:
        """The view's own step back."""
        return self.front.back()

    def travelled(self, revision: int) -> None:
        """Everything here is the present, whatever the others look at."""

    # --- asking -----------------------------------------------------------------------------------

    async def _poll(self) -> None:
        while True:
            if self.kv.pane is self:
                await self.ask()
            self._again.clear()
            try:
                async with asyncio.timeout(POLL_S if self.kv.pane is self else POLL_S / 4):
                    await self._again.wait()
            except TimeoutError:
                pass

    async def ask(self, auth: bool = False) -> None:
        """Take in what the cluster says now; users and roles are asked for less often."""
        now = self.kv.clock()
        facts, admin = self.facts, self.kv.session.admin
        names = len(facts.picture.users) + len(facts.picture.roles)
        if auth or self._auth_at is None or now - self._auth_at > AUTH_S + AUTH_EACH_S * names:
            self._auth_at = now
            try:
                facts.own = await admin.own_ranges()
                if self.view in ("access", "who") or facts.picture_at is None:
                    facts.picture = await admin.auth()
                    facts.picture_at, facts.picture_error = self.kv.clock(), ""
            except SessionError as error:
                facts.picture_error = str(error)
        try:
            facts.figures = await admin.figures()
            facts.figures_at, facts.figures_error = self.kv.clock(), ""
        except SessionError as error:
            facts.figures_error = str(error)
        self.refresh_at(self.kv.clock())
        self.kv.refresh_actions()

    def newest_revision(self) -> int:
        """The newest revision that any member told, by the reports that run anyway."""
        found = self.kv.cluster.newest(self.kv.clock())
        return found.revision if found is not None else 0

    def ask_soon(self) -> None:
        """Do not wait for the next turn."""
        self._again.set()

    # --- views and actions ------------------------------------------------------------------------

    def show_view(self, name: str) -> None:
        """Bring a view to the front."""
        self.view = name
        self.switcher.current = f"admin-{name}"
        self.strip.refresh()
        first = self.front.first_focus()
        if first is not None:
            first.focus()
        self.front.refresh_facts(self.kv.clock())
        self.ask_soon()
        self.kv.refresh_actions()

    def view_for(self, name: str) -> AdminView:
        """The view that does an action: the one in front, or the first that has it."""
        views = next(each.views for each in ACTIONS if each.name == name).split()
        return self.front if self.view in views or not views else self.views[views[0]]

    def why_not(self, name: str) -> str:
        """As the view says."""
        if name.startswith("admin_view_") or name == "admin_ask":
            return ""
        return self.view_for(name).why_not(name)

    def do(self, name: str) -> None:
        """An action of another view goes there first."""
        if not name.startswith("admin_view_") and self.view_for(name) is not self.front:
            self.show_view(self.view_for(name).view)
        super().do(name)

    def do_admin_ask(self) -> None:
        """Ask again."""
        self.aside(lambda: self.ask(auth=True))

    async def changed(self, work: Coroutine[Any, Any, Any], done: str = "") -> None:
        """Do something and show what it came to, also when it failed."""
        try:
            await work
            if done:
                self.kv.tell(done)
        finally:
            await self.ask(auth=True)

    @on(LineList.Moved)
    def _moved(self) -> None:
        self.front.refresh_facts(self.kv.clock())
        self.kv.refresh_actions()

    def on_descendant_focus(self) -> None:
        """What an action is about depends on the focus."""
        self.front.refresh_facts(self.kv.clock())
        self.kv.refresh_actions()


def _shows(name: str) -> Callable[[AdminPane], None]:
    return lambda pane: pane.show_view(name)


def _does(name: str) -> Callable[[AdminPane], Any]:
    return lambda pane: getattr(pane.view_for(name), f"do_{name}")()


for _view in CHOICES:
    setattr(AdminPane, f"do_admin_view_{_view}", _shows(_view))
for _action in ACTIONS:
    if _action.views:
        setattr(AdminPane, f"do_{_action.name}", _does(_action.name))
