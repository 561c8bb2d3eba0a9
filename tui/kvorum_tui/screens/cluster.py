"""The Cluster tab: members, raft logs side by side, round trips, figures over time, and what
happened.

Long because it lays out five views in the room there is, and each has its keys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widget import Widget

from kvorum_tui import keymap
from kvorum_tui.model.cluster_words import Remark
from kvorum_tui.model.log_strip import ETCD_LOG, WITHHELD_LOG, oldest_index
from kvorum_tui.screens.cluster_compare import CompareScreen
from kvorum_tui.screens.cluster_detail import certificate_lines, entry_lines, member_lines
from kvorum_tui.screens.drill_deeds import transfer_leader, why_no_transfer
from kvorum_tui.screens.pane import Pane
from kvorum_tui.session import SessionError
from kvorum_tui.widgets.dialogs import Field, Form, Reader
from kvorum_tui.widgets.figures import ChartView, FigureList
from kvorum_tui.widgets.latency_matrix import LatencyMatrix
from kvorum_tui.widgets.log_strip import LogStrips
from kvorum_tui.widgets.member_table import MemberTable
from kvorum_tui.widgets.paint import LineList
from kvorum_tui.widgets.remarks import Remarks
from kvorum_tui.widgets.ribbon import RibbonList, RibbonStrip

if TYPE_CHECKING:
    from kvorum_tui.screens.workspace import Workspace

# A screen of this size shows all views at once, a smaller one the view in front.
ALL_FROM = (100, 34)
VIEWS = {
    "log": "l log",
    "latency": "n network",
    "figures": "g figures",
    "events": "v events",
}
EVENTS_ROWS = 6
PAINT_S = 0.15
OLDER_ENTRIES = 200
OLDER_MAX = 5_000  # Entries of each member that are kept beside those it reports.


class ClusterPane(Pane):
    """Who leads, who trails, and what stands in the logs."""

    tab = "cluster"
    about = (
        "One row a member, asked directly and not through the leader: so a member that is cut off "
        "from the others still tells how it sees the world. What members disagree about carries "
        "a ! and is said below the table; a lost member keeps its last figures with their age. "
        "'trails by' is how many committed entries it has not applied yet. Below are the ends of "
        "the raft logs, one above the other, cut at the same indexes: a letter an entry, A for "
        "term 1, B for term 2 and so on; a capital is committed, a small underlined letter is not "
        "and may still be overwritten. Under each follower, = marks the entry up to which the "
        "leader knows its log to match and > the next one it will send; c and a are what the "
        "member itself has committed and applied. Round trips stand in a table from row to "
        "column, ! where one is high for this cluster. Figures are drawn over the last minutes, "
        "each on its own scale from 0. At the foot is what happened, with the store's revision "
        "then and the time it took to find a new leader."
    )
    BINDINGS: ClassVar[list[BindingType]] = keymap.bindings("cluster")
    DEFAULT_CSS = """
    ClusterPane .box { border: round $border; border-title-color: $text-muted; height: auto; }
    ClusterPane .box:focus-within { border: round $primary; }
    ClusterPane MemberTable { height: auto; max-height: 10; min-height: 4; }
    ClusterPane #pair { height: 10; }
    ClusterPane #pair .box { width: 1fr; height: 100%; }
    ClusterPane .grow { height: 1fr; min-height: 4; }
    ClusterPane RibbonList { height: 1fr; min-height: 1; }
    ClusterPane FigureList { height: 1fr; min-height: 6; }
    """

    def __init__(self, kv: Workspace) -> None:
        super().__init__(kv)
        model = self.kv.cluster
        self.members = MemberTable(model, id="members")
        self.remarks = Remarks(id="remarks")
        self.strips = LogStrips(model, id="strips")
        self.latency = LatencyMatrix(model, id="latency")
        self.figures = FigureList(model, id="figures")
        self.chart = ChartView(model, self.figures)
        self.ribbon = RibbonList(model.ribbon, id="cluster-ribbon")
        self.strip = RibbonStrip(model.ribbon)
        self.view = "log"
        self.zoomed = self.charting = False
        self.boxes: dict[str, Vertical] = {}
        self._laid_out = (0, False)
        self._painted_at = -1.0

    def compose(self) -> ComposeResult:
        """Members and remarks, then the views."""
        with Vertical(classes="box") as self.member_box:
            self.member_box.border_title = "Members"
            yield self.members
        yield self.remarks
        with Vertical(classes="box") as self.boxes["log"]:
            yield self.strips
        with Horizontal(id="pair") as self.pair:
            with Vertical(classes="box") as self.boxes["latency"]:
                yield self.latency
            with Vertical(classes="box") as self.boxes["figures"]:
                yield self.figures
                yield self.chart
        with Vertical(classes="box grow") as self.boxes["events"]:
            yield self.strip
            yield self.ribbon

    def on_mount(self) -> None:
        """Hide what has nothing to show yet."""
        self.remarks.display = False
        self._lay_out()

    def on_resize(self) -> None:
        """More or fewer views fit."""
        self._lay_out()

    def first_focus(self) -> Widget:
        """The members, or what fills the screen."""
        return self._widget() if self.zoomed else self.members

    def refresh_at(self, now: float) -> None:
        """Everything here is the present. Members report far more often than anybody reads."""
        if abs(now - self._painted_at) < PAINT_S:
            return
        self._painted_at = now
        self.members.refresh_at(now)
        if self._laid_out != self._to_lay_out():
            self._lay_out()
        said = list(self.members.remarks)
        if self.kv.at:
            text = f"other tabs show revision {self.kv.at:,}; members tell of now and nothing else"
            said.append(Remark("dim", text))
        if self.remarks.show(said):
            self._lay_out()
        if self.boxes and self.boxes["log"].display:
            self.strips.refresh_at(now)
        if self.boxes and self.boxes["latency"].display:
            self.latency.refresh_at(now)
        if self.boxes and self.boxes["figures"].display:
            self.figures.refresh_at(now)
            if self.charting:
                self.chart.refresh_at(now)
        self.strip.refresh_at(now + self.kv.cluster.wall_offset)
        self.ribbon.arrived()

    # --- views ------------------------------------------------------------------------------------

    def _widget(self) -> Widget:
        if self.view == "figures" and self.charting:
            return self.chart
        return {
            "log": self.strips,
            "latency": self.latency,
            "figures": self.figures,
            "events": self.ribbon,
        }[self.view]

    def _lay_out(self) -> None:
        if not self.boxes:
            return
        screen = self.app.size
        every = screen.width >= ALL_FROM[0] and screen.height >= ALL_FROM[1] and not self.zoomed
        self.member_box.display = not self.zoomed
        shown = set(VIEWS) if every else {self.view}
        if self._room_for_logs(every) and self.view == "log" and not self.zoomed:
            shown.add("events")
        for name, box in self.boxes.items():
            box.display = name in shown
        self.pair.display = bool(shown & {"latency", "figures"})
        # A round trip's row a member, and what stands around them.
        self.pair.styles.height = max(10, len(self.kv.cluster.order) + 7) if every else "1fr"
        self._laid_out = self._to_lay_out()
        self.figures.display, self.chart.display = not self.charting, self.charting
        hidden = [text for name, text in VIEWS.items() if name not in shown]
        hint = f" · {' · '.join(hidden)}" if hidden else ""
        self._title("log", "Raft logs, aligned by index" + hint * ("log" in shown))
        self._title("latency", f"Round trips, {self.latency.shown} (s: another){hint}")
        self._title("figures", "Figures (enter: chart)" + hint)
        told = f" · only {self.ribbon.filtered}" if self.ribbon.filtered else ""
        self._title("events", f"What happened{told}" + hint * ("log" not in shown))

    def _to_lay_out(self) -> tuple[int, bool]:
        """How many members there are, and whether any of them shows its log."""
        rows = self.kv.cluster.rows()
        return len(rows), any(m.report and m.report.log for m in rows)

    def _room_for_logs(self, every: bool) -> bool:
        """Whether something is left beside them. The lines of marks go first, so that what happened
        stays in sight.
        """
        members = len(self.kv.cluster.order)
        room = (self.size.height or self.app.size.height - 4) - self.remarks.lines
        if not self.zoomed:
            room -= members + 3
        if every:
            room -= max(10, members + 7) + EVENTS_ROWS
        if not self._to_lay_out()[1]:
            return room - 3 >= EVENTS_ROWS - 2  # One line says why there is none.
        beside = 0 if self.zoomed else EVENTS_ROWS - 2
        self.strips.compact = room < 2 * members + 4 + beside
        return room - members * (1 if self.strips.compact else 2) - 4 >= EVENTS_ROWS - 2

    def _title(self, view: str, text: str) -> None:
        self.boxes[view].border_title = Content(text)

    def _front(self, view: str) -> None:
        self.view = view
        self._lay_out()
        self._painted_at = -1.0
        self.refresh_at(self.kv.clock())
        self._widget().focus()

    def back(self) -> bool:
        """Escape: chart, zoom, filter, view, one after the other."""
        if self.charting:
            self.charting = self.zoomed = False
            self.figures.scroll_to(y=0, animate=False, immediate=True, force=True)
            self.call_after_refresh(self.figures.keep_in_sight)
        elif self.zoomed:
            self.zoomed = False
        elif self.ribbon.filtered:
            self.ribbon.filter("all", "")
            self.strip.group = "all"
        else:
            if self.view != "log":
                self.view = "log"
                self._lay_out()
            return False
        self._front(self.view)
        return True

    # --- actions ----------------------------------------------------------------------------------

    def why_not(self, name: str) -> str:
        """What needs a member or a log."""
        state = self.members.current
        if name == "member_detail" and (state is None or state.report is None):
            return "this member has not told anything yet"
        if name in ("log_focus", "log_entry") and not any(
            m.report and m.report.log for m in self.kv.cluster.rows()
        ):
            told = any(m.report and m.report.log is not None for m in self.kv.cluster.rows())
            return WITHHELD_LOG if told else ETCD_LOG
        if name == "cluster_transfer":
            return why_no_transfer(self.kv, state)
        if name == "cluster_compare" and not self.kv.cluster.source():
            return "no member has answered yet"
        if name == "events_goto":
            return self._why_not_goto()
        return ""

    def _why_not_goto(self) -> str:
        event = self.ribbon.current
        if event is None:
            return "no event is chosen"
        if not event.revision:
            return "the store's revision at that moment is not known"
        newest = self.kv.cluster.newest(self.kv.clock())
        compacted = newest.compact_revision if newest is not None else None
        if compacted is not None and event.revision < compacted:
            return f"revision {event.revision:,} is compacted; {compacted:,} is the oldest kept"
        return ""

    def revision_here(self) -> int:
        """For travelling: the event under the cursor."""
        event = self.ribbon.current
        return event.revision if event is not None and self.ribbon.has_focus else 0

    def do_log_focus(self) -> None:
        """Walk the logs."""
        self._front("log")

    def do_latency_focus(self) -> None:
        """Look at round trips."""
        self._front("latency")

    def do_figures_focus(self) -> None:
        """Look at figures."""
        self._front("figures")

    def do_events_focus(self) -> None:
        """Look at what happened."""
        self._front("events")

    def do_cluster_zoom(self) -> None:
        """One view alone, or all."""
        for name, box in self.boxes.items():
            if box.has_focus_within:
                self.view = name
        self.zoomed = not self.zoomed
        self.charting = self.charting and self.zoomed
        self._front(self.view)

    def only_logs(self, alone: bool) -> None:
        """The raft logs in front; ``alone`` without the members above them."""
        self.zoomed, self.charting = alone, False
        self._front("log")

    def do_latency_figure(self) -> None:
        """Another figure of the round trips."""
        self.latency.next_figure()
        self._front("latency")

    @on(LineList.Chosen, "#figures")
    def _open_chart(self) -> None:
        self.charting = self.zoomed = True
        self._front("figures")

    def do_events_group(self) -> None:
        """One kind of events after the other."""
        self.strip.group = self.ribbon.next_group()
        self._front("events")

    async def do_events_find(self) -> None:
        """Events with a text."""
        field = Field("text", "Show events with this text", self.ribbon.text)
        values = await self.app.push_screen_wait(Form("Find events", [field], "Find"))
        if values is not None:
            self.ribbon.filter(self.ribbon.group, values["text"].strip())
            self._front("events")

    @on(LineList.Chosen, "#cluster-ribbon")
    def _event_chosen(self) -> None:
        self.kv.do("events_goto")

    def do_events_goto(self) -> None:
        """All tabs go to the moment of the event, or come back from it."""
        event = self.ribbon.current
        if event is None:
            return
        for state in self.kv.cluster.rows():
            if state.name == event.member:
                self.members.goto(state.endpoint)
        if self.kv.at == event.revision:
            self.kv.travel(0)
            self.kv.tell("all tabs show now")
        else:
            self.kv.travel(event.revision)
            self.kv.tell(f"all tabs show revision {event.revision:,}; enter again comes back")

    @on(LogStrips.Chosen)
    def _entry_chosen(self) -> None:
        self.kv.do("log_entry")

    async def do_log_entry(self) -> None:
        """One entry of all logs."""
        index = self.strips.index
        lines = entry_lines(self.kv.cluster, index, self.strips.older)
        await self.app.push_screen_wait(Reader(f"Raft log, index {index:,}", lines))

    @on(LogStrips.Wanted)
    def _older_wanted(self) -> None:
        self.aside(self._load_older, "older", exclusive=True)

    async def _load_older(self) -> None:
        """Entries before those that members report. Only committed ones: those never change."""
        upto = oldest_index(self.kv.cluster, self.strips.older)
        if upto <= 1:
            return
        for state in self.kv.cluster.rows():
            report = state.report
            if report is None or not report.log or not state.fresh(self.kv.clock()):
                continue
            kept = self.strips.older.setdefault(state.endpoint, {})
            first = max(1, upto - OLDER_ENTRIES, report.first_index or 1)
            if first >= upto or len(kept) >= OLDER_MAX:
                continue
            told = await self.kv.session.checks.log(state.endpoint, first, upto - first)
            kept.update((e.index, e) for e in told if e.index <= report.commit)
        self.strips.refresh_at(self.kv.clock())

    @on(LineList.Chosen, "#members")
    def _member_chosen(self) -> None:
        self.kv.do("member_detail")

    async def do_member_detail(self) -> None:
        """All that one member tells."""
        state = self.members.current
        if state is None:
            return
        lines = member_lines(self.kv.cluster, state, self.kv.clock())
        lines[1:1] = await certificate_lines(self.kv.session.checks, state.endpoint)
        await self.app.push_screen_wait(Reader(state.name, lines))

    async def do_cluster_remarks(self) -> None:
        """Everything that stands out."""
        inks = [[(f"{r.sign} {r.text}", r.ink)] for r in self.members.remarks]
        none = [[("nothing: every member answers, and all agree", "good")]]
        await self.app.push_screen_wait(Reader("What stands out", inks or none))

    async def do_cluster_transfer(self) -> None:
        """Leadership to the chosen member."""
        if self.members.current is not None:
            await transfer_leader(self.kv, self.members.current)

    async def do_cluster_compare(self) -> None:
        """HashKV of all, and where they differ."""
        rows = self.kv.cluster.rows()
        names = [state.name for state in rows]
        members = {(s.name if names.count(s.name) == 1 else s.endpoint): s.endpoint for s in rows}
        revision = max((s.report.revision for s in rows if s.report is not None), default=0)
        if not revision:
            raise SessionError("no member has told its revision yet")
        screen = CompareScreen(self.kv.session.checks, members, revision)
        key = await self.app.push_screen_wait(screen)
        if key:
            self.kv.goto_key(key)
