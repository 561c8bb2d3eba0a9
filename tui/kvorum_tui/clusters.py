"""Several clusters in one terminal: opening, going from one to another, closing; and whether the
one in front may be written to. What the app inherits of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from kvorum.client.contexts import Context, is_local, load_contexts
from kvorum.errors import ConfigError
from textual.app import App
from textual.widgets import ContentSwitcher

from kvorum_tui import plugins
from kvorum_tui.actions import TABS
from kvorum_tui.control import NodeControl
from kvorum_tui.model.cluster_model import ClusterModel
from kvorum_tui.screens.pane import Pane
from kvorum_tui.screens.workspace import Workspace
from kvorum_tui.session import Session
from kvorum_tui.widgets.cluster_strip import ClusterStrip, Entry
from kvorum_tui.widgets.dialogs import Confirm, Rich

if TYPE_CHECKING:
    from kvorum_tui.screens.open_cluster import Chosen

P = TypeVar("P", bound=Pane)

CLUSTERS_MAX = 9  # As many as a strip of one line shows.

Connect = Callable[[Context, str | None, bool], Session]


def connect_live(context: Context, password: str | None, read_only: bool) -> Session:
    """A session on a real cluster."""
    from kvorum_tui.live import LiveSession

    return LiveSession(
        context.endpoints,
        read_only=read_only,
        user=context.user,
        password=password,
        tls=context.tls,
        tunnel=context.tunnel,
    )


class ClustersApp(App[None]):
    """The clusters that are open; ``front`` is the one that one sees, and much of its name is lent
    to the app.
    """

    def __init__(
        self,
        session: Session,
        title: str,
        control: NodeControl | None = None,
        clock: Callable[[], float] = time.monotonic,
        first_tab: str = "keys",
        colour: str = "",
        connect: Connect = connect_live,
    ) -> None:
        super().__init__()
        self.clock = clock
        self.connect = connect
        self.wrong_plugins = plugins.find()
        self.front = Workspace(session, title, control, clock, first_tab, colour)
        self.front.id = "cluster-1"
        self.workspaces = [self.front]
        self._made = 1
        self.strip = ClusterStrip()
        self.switcher = ContentSwitcher(initial=self.front.id, id="clusters")

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

    # --- opening and closing ----------------------------------------------------------------------

    async def open_workspace(
        self, session: Session, title: str, colour: str = "", control: NodeControl | None = None
    ) -> Workspace:
        """Open one more cluster and bring it to the front."""
        await session.open()
        self._made += 1
        workspace = Workspace(session, title, control, self.clock, "keys", colour)
        workspace.id = f"cluster-{self._made}"
        self.workspaces.append(workspace)
        await self.switcher.mount(workspace)
        self.action_show_cluster(len(self.workspaces) - 1)
        return workspace

    async def close_workspace(self, workspace: Workspace) -> None:
        """Close a cluster that is not the only one; a drill on it is stopped and healed first."""
        await end_drill(workspace)
        number = self.workspaces.index(workspace)
        self.workspaces.remove(workspace)
        self.action_show_cluster(min(number, len(self.workspaces) - 1))
        await workspace.remove()
        await workspace.session.close()

    def action_show_cluster(self, number: int) -> None:
        """Bring a cluster to the front."""
        self.front = self.workspaces[number]
        self.switcher.current = self.front.id
        self.front.show_tab(self.front.pane.tab)
        self.show_strip()

    def show_strip(self) -> None:
        """Paint the strip anew."""
        self.strip.show(
            [
                Entry(each.cluster_title, each.colour, each.session.read_only, each is self.front)
                for each in self.workspaces
            ]
        )

    async def do_cluster_open(self) -> None:
        """Ask which cluster, and open it."""
        if len(self.workspaces) >= CLUSTERS_MAX:
            self.front.tell(f"{CLUSTERS_MAX} clusters are open; close one first", "warning")
            return
        from kvorum_tui.screens.open_cluster import OpenCluster

        wrong = ""
        try:
            contexts = load_contexts()
            known, current = list(contexts.table.values()), contexts.current
        except ConfigError as error:
            known, current, wrong = [], "", str(error)
        chosen = await self.push_screen_wait(OpenCluster(known, current, wrong))
        if chosen is not None:
            await self.open_chosen(chosen)

    async def open_chosen(self, chosen: Chosen) -> None:
        """Open what was chosen; a wrong file or address is told, and nothing opens."""
        context = chosen.context
        try:
            session = self.connect(context, chosen.password, chosen.read_only)
        except ConfigError as error:
            self.front.tell(str(error), "error")
            return
        title = context.endpoints[0].split("://")[-1] if chosen.typed else context.name
        await self.open_workspace(session, title, context.colour)

    async def do_cluster_close(self) -> None:
        """Close the cluster in front; the last one is left by quitting."""
        if len(self.workspaces) == 1:
            self.front.tell("this is the only cluster that is open; ctrl+q leaves", "warning")
            return
        lines = losses_of(self.front, self.clock())
        if lines and not await self.push_screen_wait(
            Confirm(f"Close {self.front.cluster_title}?", lines, "Close", danger=False)
        ):
            return
        await self.close_workspace(self.front)

    def do_cluster_next(self) -> None:
        """The next cluster."""
        self._step(1)

    def do_cluster_previous(self) -> None:
        """The one before."""
        self._step(-1)

    def _step(self, by: int) -> None:
        if len(self.workspaces) == 1:
            self.front.tell("only one cluster is open; @ opens another", "warning")
            return
        number = self.workspaces.index(self.front) + by
        self.action_show_cluster(number % len(self.workspaces))

    def do_next_tab(self) -> None:
        """The next tab."""
        self._step_tab(1)

    def do_previous_tab(self) -> None:
        """The one before."""
        self._step_tab(-1)

    def _step_tab(self, by: int) -> None:
        names = [tab.name for tab in TABS]
        self.show_tab(names[(names.index(self.pane.tab) + by) % len(names)])

    async def do_read_only(self) -> None:
        """Let the cluster in front be written to, or no longer. A cluster that is not on this
        machine wants its name typed.
        """
        workspace = self.front
        session = workspace.session
        if session.read_only:
            reason = session.why_read_only
            if reason:
                workspace.tell(reason, "warning")
                return
            local = session.access.tunnel is None and is_local(session.endpoints)
            lines: Rich = [
                [
                    (
                        "Until you press ctrl+e again, everything in this terminal that changes",
                        "text",
                    )
                ],
                [("something is sent to ", "text"), (workspace.cluster_title, "bold")],
            ]
            typed = "" if local else workspace.cluster_title
            if not await self.push_screen_wait(
                Confirm("Allow writing?", lines, "Allow", typed, danger=not local)
            ):
                return
        session.set_read_only(not session.read_only)
        workspace.header.read_only = session.read_only
        workspace.tell("read-only now" if session.read_only else "writing is allowed now")
        workspace.refresh_actions()
        self.show_strip()


def losses_of(workspace: Workspace, now: float, unsaved: bool = False) -> Rich:
    """What closing a cluster would end or leave behind."""
    from kvorum_tui.screens import help as help_text

    leases, drills = workspace.panes.any("leases"), workspace.panes.any("drills")
    held = leases.table.held() if leases is not None else []
    drill = drills.running if drills is not None else None
    return help_text.losses(held, workspace.cluster, now, unsaved, drill)


async def end_drill(workspace: Workspace) -> None:
    """Stop and heal a drill that runs there."""
    drills = workspace.panes.any("drills")
    if drills is not None:
        await drills.end_drill()
