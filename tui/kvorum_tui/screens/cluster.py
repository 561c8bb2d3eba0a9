"""The Cluster tab: members, raft logs side by side, and what happened."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.widget import Widget

from kvorum_tui import keymap
from kvorum_tui.model import words
from kvorum_tui.model.cluster_model import MemberState
from kvorum_tui.screens.drill_deeds import transfer_leader, why_no_transfer
from kvorum_tui.screens.pane import Pane
from kvorum_tui.widgets.dialogs import Reader, Rich
from kvorum_tui.widgets.log_strip import LogStrips
from kvorum_tui.widgets.member_table import MemberTable
from kvorum_tui.widgets.ribbon import RibbonList

if TYPE_CHECKING:
    from kvorum_tui.screens.workspace import Workspace


class ClusterPane(Pane):
    """Who leads, who trails, and what stands in the logs."""

    tab = "cluster"
    about = (
        "One row a member, asked directly and not through the leader: so a member that is cut off "
        "from the others still tells how it sees the world. 'trails by' is how many committed "
        "entries it has not applied yet. Below are the ends of the raft logs, one above the other, "
        "cut at the same indexes: a letter an entry, A for term 1, B for term 2 and so on; a "
        "capital is committed, a small underlined letter is not and may still be overwritten. "
        "Under each follower, = marks the entry up to which the leader knows its log to match and "
        "> the next one it will send. At the foot is what happened, with the time it took to find "
        "a new leader."
    )
    BINDINGS: ClassVar[list[BindingType]] = keymap.bindings("cluster")
    DEFAULT_CSS = """
    ClusterPane .box { border: round $border; border-title-color: $text-muted; height: auto; }
    ClusterPane .box:focus-within { border: round $primary; }
    ClusterPane MemberTable { height: auto; max-height: 10; min-height: 4; }
    ClusterPane .grow { height: 1fr; min-height: 4; }
    """

    def __init__(self, kv: Workspace) -> None:
        super().__init__(kv)
        self.members = MemberTable(self.kv.cluster, id="members")
        self.strips = LogStrips(self.kv.cluster, id="strips")
        self.ribbon = RibbonList(self.kv.cluster.ribbon, id="cluster-ribbon")

    def compose(self) -> ComposeResult:
        """Members, logs, ribbon."""
        with Vertical(classes="box") as box:
            box.border_title = "Members"
            yield self.members
        with Vertical(classes="box") as box:
            box.border_title = "Raft logs, aligned by index"
            yield self.strips
        with Vertical(classes="box grow") as box:
            box.border_title = "What happened"
            yield self.ribbon

    def first_focus(self) -> Widget:
        """The members."""
        return self.members

    def refresh_at(self, now: float) -> None:
        """Everything here is the present."""
        self.members.refresh_at(now)
        self.strips.refresh_at(now)
        self.ribbon.arrived()

    def why_not(self, name: str) -> str:
        """What needs a member or a log."""
        state = self.members.current
        if name == "member_detail" and (state is None or state.report is None):
            return "this member has not told anything yet"
        if name == "log_focus" and not any(
            m.report and m.report.log for m in self.kv.cluster.rows()
        ):
            return "etcd keeps its raft log to itself; kvorum nodes show it"
        if name == "cluster_transfer":
            return why_no_transfer(self.kv, state)
        return ""

    def do_log_focus(self) -> None:
        """Walk the logs."""
        self.strips.focus()

    async def do_cluster_transfer(self) -> None:
        """Leadership to the chosen member."""
        if self.members.current is not None:
            await transfer_leader(self.kv, self.members.current)

    async def do_member_detail(self) -> None:
        """All that one member tells."""
        state = self.members.current
        if state is not None:
            await self.app.push_screen_wait(Reader(state.name, self.detail(state)))

    def detail(self, state: MemberState) -> Rich:
        """A member's report, line by line."""
        report = state.report
        if report is None:
            return [[(state.error, "warn")]]
        now = self.kv.clock()
        unknown = "etcd does not tell"
        rows: list[tuple[str, str]] = [
            ("endpoint", state.endpoint),
            ("member id", f"{report.member_id:x}"),
            ("server", f"{report.source} {report.version}"),
            ("last heard", words.age(state.age(now))),
            ("role", report.role),
            (
                "leader, as it believes",
                self.kv.cluster.name_of(report.leader) if report.leader else "none",
            ),
            ("term", str(report.term)),
            ("commit, applied", f"{report.commit:,}, {report.applied:,}"),
            (
                "log",
                f"{report.first_index:,} to {report.last_index:,}"
                if report.first_index is not None and report.last_index is not None
                else unknown,
            ),
            ("revision", words.count(report.revision)),
            (
                "oldest kept revision",
                words.count(report.compact_revision + 1)
                if report.compact_revision is not None
                else unknown,
            ),
            ("database", words.size(report.db_bytes)),
            ("alarms", " ".join(report.alarms) or "none"),
        ]
        for name, number in (
            ("keys", report.keys),
            ("leases", report.leases),
            ("watchers", report.watchers),
        ):
            rows.append((name, words.count(number) if number is not None else unknown))
        rows += [(name, words.count(number)) for name, number in report.extra.items()]
        lines: Rich = [[(f"{name:<24}", "dim"), (value, "text")] for name, value in rows]
        for peer in report.peers or ():
            link = (
                f"{words.millis(peer.round_trip_ms)} round trip"
                if peer.connected
                else "not connected"
            )
            told = f", match {peer.match:,}, next {peer.next:,}, {peer.state}" if peer.next else ""
            name = f"peer {self.kv.cluster.name_of(peer.id)}"
            lines.append(
                [(f"{name:<24}", "dim"), (link + told, "text" if peer.connected else "warn")]
            )
        return lines
