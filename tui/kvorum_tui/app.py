"""The app: one screen with a header, five tabs and a foot; it owns the session, the cluster model
and the clock.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, ClassVar, TypeVar

from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.widgets import ContentSwitcher, Input

from kvorum_tui import actions, keymap
from kvorum_tui.actions import BY_NAME, TABS
from kvorum_tui.control import NodeControl
from kvorum_tui.feeds import ClusterFeed, Pulse
from kvorum_tui.model.cluster_model import ClusterModel
from kvorum_tui.palette import KvorumCommands
from kvorum_tui.screens import help as help_text
from kvorum_tui.screens.cluster import ClusterPane
from kvorum_tui.screens.drills import DrillsPane
from kvorum_tui.screens.key_edit import EditScreen
from kvorum_tui.screens.keys import KeysPane
from kvorum_tui.screens.leases import LeasesPane
from kvorum_tui.screens.pane import Pane
from kvorum_tui.screens.watch import WatchPane
from kvorum_tui.session import Session, SessionError
from kvorum_tui.theme import DARK, LIGHT
from kvorum_tui.widgets.action_bar import ActionBar
from kvorum_tui.widgets.dialogs import Confirm, Reader
from kvorum_tui.widgets.header_bar import HeaderBar
from kvorum_tui.widgets.tab_bar import TabBar

P = TypeVar("P", bound=Pane)

TICK_S = 0.25  # Ages, countdowns and bars move this often.
ERRORS_MAX = 200
LEAVE = "leave"  # The question that quitting asks.
QUIET_S = 5.0  # The same error is not notified again within this time.


class KvorumApp(App[None]):
    """The terminal on one cluster."""

    TITLE = "kvorum"
    COMMANDS: ClassVar[set[Any]] = {KvorumCommands}
    BINDINGS: ClassVar[list[BindingType]] = keymap.bindings("app")
    COMMAND_PALETTE_BINDING = "ctrl+p"
    CSS = """
    ContentSwitcher { height: 1fr; }
    ContentSwitcher > Container { height: 1fr; }
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
        self.session = session
        self.cluster_title = title
        self.control = control
        self.clock = clock
        self.cluster = ClusterModel(wall_offset=time.time() - time.monotonic())
        self.errors: deque[tuple[float, SessionError]] = deque(maxlen=ERRORS_MAX)
        self.first_tab = self._front = first_tab
        self._notified: dict[str, float] = {}
        self._panes: dict[str, Pane] = {}
        self.header = HeaderBar(self.cluster, title, session.read_only)
        self.bar = ActionBar()
        self._foot = Pulse(self._show_actions)
        self.register_theme(DARK)
        self.register_theme(LIGHT)
        self.theme = DARK.name

    def compose(self) -> ComposeResult:
        """Header, tabs, panes, foot."""
        yield self.header
        yield TabBar()
        panes: list[Pane] = [KeysPane(), WatchPane(), ClusterPane(), DrillsPane(), LeasesPane()]
        self._panes = {pane.tab: pane for pane in panes}
        with ContentSwitcher(initial=f"pane-{self.first_tab}"):
            yield from panes
        yield self.bar

    async def on_load(self) -> None:
        """Before anything is shown: the client is there (it connects when it is first used)."""
        await self.session.open()

    def on_mount(self) -> None:
        """A user's own keys, and the feed of the members."""
        keys, wrong = keymap.load_keymap(keymap.keymap_path())
        actions.user_keys.update(keys)
        self.set_keymap(keys)
        for text in wrong:
            self.tell(text, "warning")
        self.feed = ClusterFeed(self.session, self.cluster, self.clock, self.cluster_changed)
        self.run_worker(self.feed.run(), group="cluster-feed")
        self.set_interval(TICK_S, self.tick)
        self.show_tab(self.first_tab)

    async def on_unmount(self) -> None:
        """Let go of the cluster."""
        await self.session.close()

    # --- tabs and time ----------------------------------------------------------------------------

    @property
    def pane(self) -> Pane:
        """The tab in front."""
        return self._panes[self._front]

    def show_tab(self, tab: str) -> None:
        """Bring a tab to the front, with the focus in it."""
        self._front = tab
        self.query_one(ContentSwitcher).current = f"pane-{tab}"
        self.query_one(TabBar).show_tab(tab)
        first = self._panes[tab].first_focus()
        if first is not None:
            first.focus()
        self._panes[tab].refresh_at(self.clock())
        self.refresh_actions()

    def tick(self) -> None:
        """The clock moved on."""
        now = self.clock()
        self.cluster.judge(now)
        self.header.refresh_at(now)
        self.pane.refresh_at(now)
        self.refresh_actions()

    def cluster_changed(self) -> None:
        """A member reported, or fell silent."""
        if self._running and self.screen_stack:
            now = self.clock()
            self.header.refresh_at(now)
            self.pane.refresh_at(now)

    # --- actions ----------------------------------------------------------------------------------

    def do(self, name: str) -> None:
        """Do an action, wherever it was asked for; say why when it cannot be done."""
        action = BY_NAME[name]
        if name.startswith("tab_"):
            self.show_tab(name.removeprefix("tab_"))
            return
        if action.target == "app":
            result = getattr(self, f"do_{name}")()
            if isinstance(result, Coroutine):
                self.run_worker(self.guarded(result), group="app")
            return
        if self.pane.tab != action.target:
            self.show_tab(action.target)
        reason = self.pane.reason(action)
        if reason:
            self.tell(f"{action.text}: {reason}", "warning")
            return
        self.pane.do(name)

    action_do = do  # what bindings and clicks name

    def refresh_actions(self) -> None:
        """The foot may have to change."""
        self._foot.mark()

    def _show_actions(self) -> None:
        if not self._running:
            return
        pane = self.pane
        items = [(a, not pane.reason(a)) for a in actions.of(pane.tab) if pane.offers(a)]
        items += [(action, True) for action in actions.of("app") if action.shown]
        self.bar.show_actions(items)

    async def guarded(self, work: Coroutine[Any, Any, Any]) -> None:
        """Wait for some work; a refusal of the cluster is shown, with member, RPC and code."""
        try:
            await work
        except SessionError as error:
            self.show_error(error)
        except OSError as error:
            self.show_error(SessionError(str(error), rpc="node process"))

    def show_error(self, error: SessionError) -> None:
        """Show and keep an error, with the member's name in place of its address."""
        state = self.cluster.members.get(error.member)
        if state is not None:
            error = error.at(state.name)
        self.errors.append((time.time(), error))
        now = self.clock()
        text = str(error)
        if error.unknown_outcome:
            text += "\nThis write may or may not have taken effect: look before doing it again."
        if now - self._notified.get(text, -QUIET_S) >= QUIET_S:
            self._notified[text] = now
            self.tell(text, "error")
        if len(self._notified) > ERRORS_MAX:
            self._notified.clear()

    def tell(self, text: str, severity: Any = "information") -> None:
        """A note at the corner. Never parsed as markup."""
        self.notify(text, severity=severity, markup=False, timeout=8 if severity == "error" else 4)

    # --- what the app itself does -----------------------------------------------------------------

    async def do_help_keys(self) -> None:
        """What the keys do."""
        await self.push_screen_wait(Reader("Keys", help_text.keys_help(self.pane)))

    async def do_help_here(self) -> None:
        """What is this."""
        title = dict(TABS)[self.pane.tab]
        await self.push_screen_wait(Reader(title, help_text.about_help(self.pane)))

    def do_palette(self) -> None:
        """The command palette."""
        self.action_command_palette()

    async def do_errors(self) -> None:
        """The newest errors."""
        await self.push_screen_wait(
            Reader("Errors, newest first", help_text.errors_help(self.errors))
        )

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
        held = self.pane_of(LeasesPane).table.held()
        unsaved = any(isinstance(s, EditScreen) and s.edited for s in self.screen_stack)
        drill = self.pane_of(DrillsPane)
        lines = help_text.losses(held, self.cluster, self.clock(), unsaved, drill.running)
        if lines and not await self.push_screen_wait(
            Confirm("Leave?", lines, "Leave", danger=False, id=LEAVE)
        ):
            return
        await drill.end_drill()
        self.exit()

    async def action_quit(self) -> None:
        """Ctrl+q."""
        self.do("quit")

    # --- from tab to tab --------------------------------------------------------------------------

    def pane_of(self, kind: type[P]) -> P:
        """A tab by its class."""
        return self.query_one(kind)

    def goto_key(self, key: bytes) -> None:
        """Show a key in the Keys tab."""
        self.show_tab("keys")
        self.pane_of(KeysPane).goto(key)

    def watch_key(self, key: bytes, prefix: bool) -> None:
        """Open a watch pane."""
        self.show_tab("watch")
        self.pane_of(WatchPane).add_pane(key, prefix, 0)


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
