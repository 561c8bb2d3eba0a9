"""One cluster in the terminal: its session, the model of its members, the tabs on it, header and
foot. The app holds one of these for each cluster that is open.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

from textual.app import ComposeResult
from textual.containers import Container
from textual.screen import Screen

from kvorum_tui import actions
from kvorum_tui.actions import BY_NAME, Action
from kvorum_tui.control import NodeControl
from kvorum_tui.feeds import ClusterFeed, Pulse
from kvorum_tui.model.cluster_model import ClusterModel
from kvorum_tui.model.rpc_log import RpcLog, RpcMoment
from kvorum_tui.model.time_line import TimeLine
from kvorum_tui.screens.pane import Pane
from kvorum_tui.screens.panes import Panes
from kvorum_tui.screens.recording import RecordingLine
from kvorum_tui.session import Session, SessionError
from kvorum_tui.widgets.action_bar import ActionBar
from kvorum_tui.widgets.header_bar import HeaderBar
from kvorum_tui.widgets.tab_bar import TabBar
from kvorum_tui.widgets.time_line import TimeBanner

if TYPE_CHECKING:
    from kvorum_tui.app import KvorumApp
    from kvorum_tui.screens.tour import TourPanel

P = TypeVar("P", bound=Pane)
R = TypeVar("R")

ERRORS_MAX = 200
QUIET_S = 5.0  # The same error is not notified again within this time.
OLDEST_S = 20.0  # Compactions are looked for this often.


class Workspace(Container):
    """Everything on one cluster. Panes call this ``kv``.

    ``at`` is the revision at which all tabs look, 0 for now; see :meth:`travel`.
    """

    DEFAULT_CSS = """
    Workspace { height: 1fr; layout: vertical; }
    Workspace > ContentSwitcher { height: 1fr; }
    Workspace > ContentSwitcher > Container { height: 1fr; }
    """

    def __init__(
        self,
        session: Session,
        title: str,
        control: NodeControl | None = None,
        clock: Callable[[], float] = time.monotonic,
        first_tab: str = "keys",
        colour: str = "",
    ) -> None:
        super().__init__()
        self.session = session
        self.cluster_title = title
        self.colour = colour
        self.control = control
        self.clock = clock
        self.cluster = ClusterModel(wall_offset=time.time() - time.monotonic())
        self.errors: deque[tuple[float, SessionError]] = deque(maxlen=ERRORS_MAX)
        self.at = 0
        self.time = TimeLine()
        self.banner = TimeBanner(self.time)
        self._front = self._last = first_tab
        self._notified: dict[str, float] = {}
        self.panes = Panes(self, first_tab)
        self.calls = RpcLog()
        self.call_told: Callable[[RpcMoment], object] = self.calls.add
        self.tour: TourPanel | None = None
        self._stop_listening: Callable[[], None] | None = None
        self.header = HeaderBar(self.cluster, title, session.read_only, colour)
        self.recording = RecordingLine(self)
        self.tabs = TabBar()
        self.bar = ActionBar()
        self._foot = Pulse(self._show_actions)

    def compose(self) -> ComposeResult:
        """Header, tabs, panes, foot."""
        yield self.header
        yield self.recording
        yield self.banner
        yield self.tabs
        self._listen()
        with self.panes.switcher:
            yield self.panes.make(self._front)
        yield self.bar

    def on_mount(self) -> None:
        """The feed of the members, and the first tab; then what goes on whatever one looks at."""
        feed = ClusterFeed(self.session, self.cluster, self.clock, self.cluster_changed)
        self.run_worker(feed.run(), group="cluster-feed")
        self.show_tab(self._front)
        self.run_worker(self._follow_oldest(), group="oldest")
        if self._front != "keys":
            self.call_after_refresh(self.panes.get, "keys")  # Others ask it for keys.

    def on_unmount(self) -> None:
        """Nobody looks at the calls any longer."""
        if self._stop_listening is not None:
            self._stop_listening()

    def _listen(self) -> None:
        """Keep every call from the first on: the Log tab may be opened late."""

        def told(moment: RpcMoment) -> None:
            self.call_told(moment)

        try:
            self._stop_listening = self.session.rpcs.listen(told)
        except SessionError as error:
            self.call_later(self.show_error, error)

    async def _follow_oldest(self) -> None:
        """For the header: how far one can look back, and to when."""
        past, header = self.session.past, self.header
        while True:
            try:
                oldest = await past.oldest()
                if oldest != header.oldest:
                    header.oldest, header.oldest_at_ms = oldest, 0
                    if past.status.source == "nodes":
                        header.oldest_at_ms = (await past.bounds()).oldest_at_ms
            except SessionError:
                pass  # Members that do not answer are told of everywhere else.
            await asyncio.sleep(OLDEST_S)

    @property
    def kv_app(self) -> KvorumApp:
        """The app."""
        return cast("KvorumApp", self.app)

    # --- tabs and time ----------------------------------------------------------------------------

    @property
    def pane(self) -> Pane:
        """The tab in front."""
        return self.panes.get(self._front)

    def pane_of(self, kind: type[P]) -> P:
        """A tab by its class; see :meth:`Panes.get` for one that nobody has looked at."""
        return self.panes.of(kind)

    def show_tab(self, tab: str) -> None:
        """Bring a tab to the front, with the focus in it as soon as it is there."""
        if tab != self._front:
            self._last = self._front
        pane = self.panes.get(tab)
        self._front = tab
        self.panes.switcher.current = pane.id
        self.tabs.show_tab(tab)
        self.banner.wanted = tab != "time"
        self.banner.show(self.banner.at_ms)
        pane.when_ready(lambda: self._came(pane))
        self.refresh_actions()

    def _came(self, pane: Pane) -> None:
        """A pane is composed that was wanted in front, and may still be."""
        if pane is not self.pane:
            return
        first = pane.first_focus()
        if first is not None:
            first.focus()
        pane.refresh_at(self.clock())
        self.refresh_actions()

    def on_tab(self, tab: str, deed: Callable[[Any], object]) -> None:
        """Show a tab and do something with its pane, which the caller need not have imported."""
        self.show_tab(tab)
        pane = self.pane
        pane.when_ready(lambda: deed(pane))

    def show_last(self) -> None:
        """Back to the tab that was in front before."""
        self.show_tab(self._last)

    def tick(self) -> None:
        """The clock moved on."""
        self.cluster.judge(self.clock())
        if self.tour is not None:
            self.tour.tick()
        self.cluster_changed()
        self.refresh_actions()

    def cluster_changed(self) -> None:
        """A member reported, or fell silent."""
        if self.is_running and self.is_attached:
            now = self.clock()
            self.header.refresh_at(now)
            if self.pane.is_ready:
                self.pane.refresh_at(now)

    def travel(self, revision: int) -> None:
        """Let every tab look at the store as it was at a revision; 0 comes back to now. Nothing can
        be written meanwhile.
        """
        if revision == self.at:
            return
        self.at = self.time.place = revision
        self.banner.at_ms = 0
        self.time_known()
        self.panes.get("time")  # It tells the banner when that was.
        for pane in self.panes.made.values():
            if pane.is_ready:
                pane.travelled(revision)
        self.cluster_changed()
        self.refresh_actions()

    def travel_here(self) -> None:
        """To the revision of the thing under the cursor; where one is in the past, back to now."""
        if self.at:
            self.travel(0)
            return
        revision = self.pane.revision_here()
        newest = self.cluster.newest(self.clock())
        if not revision or (newest is not None and revision >= newest.revision):
            text = "this is how it is now" if revision else "nothing here has a revision"
            self.tell(f"{text}: [ and ( go back from here, g anywhere")
            self.show_tab("time")
            return
        oldest = max(self.time.bounds.oldest, self.header.oldest)
        if revision < oldest:
            self.tell(f"revision {revision:,} is compacted; {oldest:,} is the oldest", "warning")
            return
        self.travel(revision)

    def time_known(self) -> None:
        """How far the past goes is known anew, or where one stands in it."""
        newest = self.cluster.newest(self.clock())
        bounds = self.time.bounds
        if newest is not None and newest.revision > bounds.newest:
            self.time.bounds = bounds = replace(bounds, newest=newest.revision)
        if bounds.newest_at_ms or bounds.oldest > 1 or bounds.compacted:
            self.header.oldest, self.header.oldest_at_ms = bounds.oldest, bounds.oldest_at_ms
        self.banner.show(self.banner.at_ms)

    # --- the tour ---------------------------------------------------------------------------------

    async def begin_tour(self) -> None:
        """Show the tour's panel at its first step. Raises :class:`SessionError` where no tour can
        be given.
        """
        from kvorum_tui.screens.tour import TourPanel, why_no_tour

        reason = why_no_tour(self)
        if reason:
            raise SessionError(reason)
        if self.tour is None:
            self.tour = TourPanel(self)
            await self.mount(self.tour, before=self.bar)

    def the_tour(self) -> TourPanel:
        """The tour that is on. Raises :class:`SessionError` when none is."""
        if self.tour is None:
            raise SessionError("no tour is on; kvorum tour, or : and tour, begins one")
        return self.tour

    # --- actions ----------------------------------------------------------------------------------

    def do(self, name: str) -> None:
        """Do an action, wherever it was asked for; say why when it cannot be done."""
        action = BY_NAME[name]
        if name.startswith("tab_"):
            self.show_tab(name.removeprefix("tab_"))
            return
        if action.target == "app":
            self.kv_app.do(name)
            return
        if self.pane.tab != action.target:
            self.show_tab(action.target)
        self.pane.when_ready(lambda: self._do(action))

    def _do(self, action: Action) -> None:
        reason = self.pane.reason(action)
        if reason:
            self.tell(f"{action.text}: {reason}", "warning")
            return
        self.pane.do(action.name)

    async def action_do(self, name: str) -> None:
        """A key or a click. What is pressed next is for the tab that this brings to the front, so
        it waits until that is there.
        """
        self.do(name)
        await self.pane.ready()

    def refresh_actions(self) -> None:
        """The foot may have to change."""
        self._foot.mark()

    def _show_actions(self) -> None:
        if not (self.is_running and self.is_attached):
            return
        pane = self.pane
        if not pane.is_ready:
            return  # It is shown with its actions as soon as it is there.
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
        up, voters = len(self.cluster.up(now)), len(self.cluster.voters())
        if error.code in ("UNAVAILABLE", "DEADLINE_EXCEEDED") and up < self.cluster.quorum:
            text += (
                f"\nNo quorum: {up} of {voters} members answer, {self.cluster.quorum} are needed."
            )
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

    async def push_screen_wait(self, screen: Screen[R]) -> R:
        """Show a dialog and wait for its answer; from a worker."""
        return await self.app.push_screen_wait(screen)

    # --- from tab to tab --------------------------------------------------------------------------

    def goto_key(self, key: bytes) -> None:
        """Show a key in the Keys tab."""
        self.on_tab("keys", lambda pane: pane.goto(key))

    def goto_lease(self, lease_id: int) -> None:
        """Show a lease in the Leases tab."""
        self.on_tab("leases", lambda pane: pane.show_lease(lease_id))

    def watch_key(self, key: bytes, prefix: bool) -> None:
        """Open a watch pane."""
        self.on_tab("watch", lambda pane: pane.add_pane(key, prefix, 0))
