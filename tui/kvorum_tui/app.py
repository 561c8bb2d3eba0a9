"""The app: the clusters that are open, one in front, and what concerns none of them alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, ClassVar, TypeVar

from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.widgets import ContentSwitcher, Input

from kvorum_tui import actions, keymap
from kvorum_tui.actions import BY_NAME, TITLES
from kvorum_tui.control import NodeControl
from kvorum_tui.model.cluster_model import ClusterModel
from kvorum_tui.palette import KvorumCommands
from kvorum_tui.screens import help as help_text
from kvorum_tui.screens.drills import DrillsPane
from kvorum_tui.screens.key_edit import EditScreen
from kvorum_tui.screens.leases import LeasesPane
from kvorum_tui.screens.pane import Pane
from kvorum_tui.screens.workspace import Workspace
from kvorum_tui.session import Session
from kvorum_tui.theme import DARK, LIGHT
from kvorum_tui.widgets.dialogs import Confirm, Reader

P = TypeVar("P", bound=Pane)

TICK_S = 0.25  # Ages, countdowns and bars move this often.
LEAVE = "leave"  # The question that quitting asks.


class KvorumApp(App[None]):
    """The terminal. ``front`` is the cluster that one sees; much of its name is lent to the app."""

    TITLE = "kvorum"
    COMMANDS: ClassVar[set[Any]] = {KvorumCommands}
    BINDINGS: ClassVar[list[BindingType]] = keymap.bindings("app")
    COMMAND_PALETTE_BINDING = "ctrl+p"
    CSS = """
    #clusters { height: 1fr; }
    Toast { background: $panel; }
    Pane Vertical { background: $surface; }
    """

    def __init__(
        self,
        session: Session,
        title: str,
        control: NodeControl | None = None,
        clock: Callable[[], float] = time.monotonic,
        first_tab: str = "keys",
    ) -> None:
        super().__init__()
        self.clock = clock
        self.front = Workspace(session, title, control, clock, first_tab)
        self.workspaces = [self.front]
        self.register_theme(DARK)
        self.register_theme(LIGHT)
        self.theme = DARK.name

    def compose(self) -> ComposeResult:
        """The clusters."""
        self.front.id = "cluster-1"
        with ContentSwitcher(initial=self.front.id, id="clusters"):
            yield self.front

    async def on_load(self) -> None:
        """Before anything is shown: the client is there (it connects when it is first used)."""
        await self.front.session.open()

    def on_mount(self) -> None:
        """A user's own keys, and the clock."""
        keys, wrong = keymap.load_keymap(keymap.keymap_path())
        actions.user_keys.update(keys)
        self.set_keymap(keys)
        for text in wrong:
            self.front.tell(text, "warning")
        self.set_interval(TICK_S, self.tick)

    async def on_unmount(self) -> None:
        """Let go of the clusters."""
        for workspace in self.workspaces:
            await workspace.session.close()

    def tick(self) -> None:
        """The clock moved on."""
        for workspace in self.workspaces:
            workspace.tick()

    # --- the cluster in front ---------------------------------------------------------------------

    @property
    def session(self) -> Session:
        """The session of the cluster in front."""
        return self.front.session

    @property
    def cluster(self) -> ClusterModel:
        """The members of the cluster in front."""
        return self.front.cluster

    @property
    def control(self) -> NodeControl | None:
        """The processes of the cluster in front, where they are ours."""
        return self.front.control

    @property
    def pane(self) -> Pane:
        """The tab in front."""
        return self.front.pane

    def pane_of(self, kind: type[P]) -> P:
        """A tab of the cluster in front, by its class."""
        return self.front.pane_of(kind)

    def show_tab(self, tab: str) -> None:
        """Bring a tab of the cluster in front to the front."""
        self.front.show_tab(tab)

    def goto_key(self, key: bytes) -> None:
        """Show a key of the cluster in front."""
        self.front.goto_key(key)

    def watch_key(self, key: bytes, prefix: bool) -> None:
        """Watch a key or prefix of the cluster in front."""
        self.front.watch_key(key, prefix)

    # --- actions ----------------------------------------------------------------------------------

    def do(self, name: str) -> None:
        """Do an action: the app's own here, any other in the cluster in front."""
        action = BY_NAME[name]
        if action.target != "app" or name.startswith("tab_"):
            self.front.do(name)
            return
        result = getattr(self, f"do_{name}")()
        if isinstance(result, Coroutine):
            self.run_worker(self.front.guarded(result), group="app")

    action_do = do  # what bindings and clicks name

    async def do_help_keys(self) -> None:
        """What the keys do."""
        await self.push_screen_wait(Reader("Keys", help_text.keys_help(self.pane)))

    async def do_help_here(self) -> None:
        """What is this."""
        title = TITLES[self.pane.tab]
        await self.push_screen_wait(Reader(title, help_text.about_help(self.pane)))

    def do_palette(self) -> None:
        """The command palette."""
        self.action_command_palette()

    async def do_errors(self) -> None:
        """The newest errors."""
        lines = help_text.errors_help(self.front.errors)
        await self.push_screen_wait(Reader("Errors, newest first", lines))

    def do_theme(self) -> None:
        """Dark or light."""
        self.theme = LIGHT.name if self.theme == DARK.name else DARK.name
        self.refresh(layout=True)

    def do_back(self) -> None:
        """Escape."""
        if isinstance(self.focused, Input):
            self.focused.blur()
        if not self.pane.back():
            first = self.pane.first_focus()
            if first is not None:
                first.focus()

    async def do_quit(self) -> None:
        """Leave, from wherever one is, unless something would be lost and the user thinks better
        of it.
        """
        if any(isinstance(s, Confirm) and s.id == LEAVE for s in self.screen_stack):
            return  # It is asked already.
        unsaved = any(isinstance(s, EditScreen) and s.edited for s in self.screen_stack)
        lines = []
        for workspace in self.workspaces:
            held = workspace.pane_of(LeasesPane).table.held()
            drill = workspace.pane_of(DrillsPane).running
            lines += help_text.losses(held, workspace.cluster, self.clock(), unsaved, drill)
            unsaved = False
        if lines and not await self.push_screen_wait(
            Confirm("Leave?", lines, "Leave", danger=False, id=LEAVE)
        ):
            return
        for workspace in self.workspaces:
            await workspace.pane_of(DrillsPane).end_drill()
        self.exit()

    async def action_quit(self) -> None:
        """Ctrl+q."""
        self.do("quit")


def run(
    endpoints: Sequence[str],
    control: NodeControl | None = None,
    title: str = "",
    first_tab: str = "keys",
    **options: Any,
) -> None:
    """Open the terminal on a cluster and return when the user leaves it.

    ``control`` lets drills pause, kill and restart nodes. ``options`` are those of
    :class:`kvorum_tui.live.LiveSession`: ``read_only``, ``user``, ``password``, ``tls``.
    Raises :class:`kvorum.errors.ConfigError` when an endpoint is wrong.
    """
    from kvorum_tui.live import LiveSession, short_title

    name = title or short_title(endpoints)
    KvorumApp(LiveSession(endpoints, **options), name, control, first_tab=first_tab).run()
