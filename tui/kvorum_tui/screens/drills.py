"""The Drills tab: break the cluster on purpose, with a clock on every fault, and see how long it
takes to recover.

Long because faults by hand are one thing with many keys; scenarios are in ``drill_runs``.
"""

from __future__ import annotations

import asyncio
import textwrap
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, Horizontal, Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from kvorum_tui import keymap
from kvorum_tui.actions import Action
from kvorum_tui.model import words
from kvorum_tui.model.cluster_model import MemberState
from kvorum_tui.screens.drill_deeds import quorum_lines, transfer_leader, why_no_transfer
from kvorum_tui.screens.drill_runs import DrillRuns
from kvorum_tui.session import FAULT_MS_DEFAULT, SessionError
from kvorum_tui.widgets.dialogs import Confirm, Rich
from kvorum_tui.widgets.link_matrix import LinkMatrix
from kvorum_tui.widgets.paint import TextLines
from kvorum_tui.widgets.ribbon import RibbonList

if TYPE_CHECKING:
    from kvorum_tui.screens.workspace import Workspace


DURATIONS_S = (5, 10, 15, 30, 60, 120, 300, 600)
NO_FAULTS_ETCD = (
    "etcd has no fault service; kvorum nodes have one (start them with --enable-faults)"
)
NO_CONTROL = "this terminal does not run the nodes; that of kvorum demo does"


class DrillsPane(DrillRuns):
    """Matrix, nodes, ribbon; beside them the views of drills with a verdict."""

    tab = "drills"
    about = (
        "Every cell of the matrix is the link from the row's member to the column's: ● works, with "
        "its round trip time; ✗ is cut, with the seconds left. Messages of one direction can be "
        "lost while the other works, as in real networks. A fault always ends by itself: the node "
        "that inflicts it on itself holds the clock. The ribbon tells what happened and how many "
        "milliseconds passed from the loss of a leader until another member led in a higher term. "
        "Without a quorum nothing can be written until the links are healed. d lists the drills: "
        "scenarios that break a cluster step by step while clients work on it, and end with a "
        "verdict. Each says first what it breaks and what is left of the quorum; it can run on "
        "this cluster, on one of its own, in simulation, and on real etcd to compare with."
    )
    BINDINGS: ClassVar[list[BindingType]] = keymap.bindings("drills")
    DEFAULT_CSS = """
    DrillsPane .box {
        border: round $border; border-title-color: $text-muted; border-subtitle-color: $text-muted;
    }
    DrillsPane .box:focus-within { border: round $primary; }
    DrillsPane #top { height: auto; max-height: 60%; }
    DrillsPane #links { width: 3fr; height: auto; min-height: 9; }
    DrillsPane #state { width: 2fr; height: 100%; min-height: 9; }
    DrillsPane #ribbon-box { height: 1fr; min-height: 4; }
    DrillsPane #score {
        height: 1; padding: 0 1; background: $background; color: $success; text-style: bold;
    }
    DrillsPane #view-list, DrillsPane #view-run, DrillsPane #view-runs { display: none; }
    DrillsPane #view-links { height: 1fr; }
    """

    def __init__(self, kv: Workspace) -> None:
        super().__init__(kv)
        self.duration_s = FAULT_MS_DEFAULT // 1000
        self.matrix = LinkMatrix(self.kv.cluster, id="matrix")
        self.now_lines = TextLines(id="now")
        self.ribbon = RibbonList(self.kv.cluster.ribbon, id="drill-ribbon")
        self.score = Static("", id="score")
        self.links = Vertical(self.matrix, classes="box", id="links")
        self.paused: set[str] = set()
        self.dead: set[str] = set()

    def compose(self) -> ComposeResult:
        """Matrix and state above, ribbon below; the other views wait behind."""
        with Container(id="view-links"):
            with Horizontal(id="top"):
                yield self.links
                with Vertical(classes="box", id="state") as box:
                    box.border_title = "Now"
                    yield self.now_lines
            with Vertical(classes="box", id="ribbon-box") as box:
                box.border_title = "What happened"
                yield self.ribbon
            yield self.score
        yield self.list_view
        yield self.run_view
        yield self.compare_view

    def on_mount(self) -> None:
        """Widgets that are painted again and again."""
        self.now_lines.can_focus = False
        if self.kv.control is not None:
            self.run_worker(self._watch_nodes(), group="nodes")

    def first_focus(self) -> Widget:
        """What the view in front is for."""
        views = {
            "links": self.matrix,
            "list": self.list_view.first_focus(),
            "run": self.run_view.first_focus(),
            "runs": self.compare_view.first_focus(),
        }
        return views[self.view]

    def offers(self, action: Action) -> bool:
        """What belongs to the view in front; a drill is stopped only while one runs."""
        if action.name in ("drill_stop", "drill_show"):
            there = self.running if action.name == "drill_stop" else self.current
            return there is not None and self.view != "links"
        return action.shown and self.here(action)

    def refresh_at(self, now: float) -> None:
        """Everything here is the present."""
        if self.view != "links":
            self.refresh_view(now)
            return
        self.matrix.refresh_at(now)
        self.ribbon.arrived()
        self.links.border_title = Content(f"Links · a fault lasts {self.duration_s} s (+ −)")
        source, target = self.matrix.source, self.matrix.target
        chosen = (
            f"{source.name} → {target.name}" if source and target and source is not target else ""
        )
        self.links.border_subtitle = Content(chosen or (source.name if source else ""))
        lines = self._state_lines(now)
        if lines != self.now_lines.shown_lines:
            self.now_lines.show(lines)
        self.score.update(Content(self.drill_word() + self._score(now)))
        self.kv.refresh_actions()

    def _state_lines(self, now: float) -> Rich:
        lines: Rich = []
        for state in self.kv.cluster.rows():
            role = state.report.role if state.report is not None else "unknown"
            word, ink = (
                ("silent", "dim")
                if not state.fresh(now)
                else (role, "good" if role == "leader" else "text")
            )
            if state.name in self.dead:
                word, ink = "killed (r restarts)", "bad"
            elif state.name in self.paused:
                word, ink = "paused (p resumes)", "warn"
            term = f" t{state.report.term}" if state.report is not None else ""
            lines.append([(f"{state.name:<12} ", "bold"), (word, ink), (term, "dim")])
        faults = list(self.kv.cluster.faults(now))
        lines.append([])
        lines.append(
            [(f"{words.plural(len(faults), 'fault')} on" if faults else "no fault is on", "head")]
        )
        reason = self._no_faults(self.kv.cluster.rows()[0]) if self.kv.cluster.rows() else ""
        if reason:
            reason += ". Drills (d) can break clusters of their own."
            room = max(20, self.now_lines.size.width or 38)
            parts = textwrap.wrap(reason, room, break_on_hyphens=False)
            lines += [[(part, "dim")] for part in parts]
        for state, fault, left in faults:
            text = self.kv.cluster.fault_text(fault)
            lines.append([(f"{left / 1000:>4.0f} s ", "warn"), (f"{state.name}: {text}", "text")])
        return lines

    def _score(self, now: float) -> str:
        model = self.kv.cluster
        gone = model.leaderless_s(now)
        if gone is not None:
            return f"no leader for {gone * 1000:,.0f} ms"
        if model.last_election_ms is not None:
            return f"time to new leader, last time: {model.last_election_ms:,.0f} ms"
        return "time to new leader: none lost yet"

    # --- can it be done ---------------------------------------------------------------------------

    def why_not(self, name: str) -> str:
        """What a drill needs: the fault service, or the processes."""
        source, target = self.matrix.source, self.matrix.target
        elsewhere = self.why_not_drill(name)
        if elsewhere or name.startswith("drill_") or name in ("fault_longer", "fault_shorter"):
            return elsewhere
        if source is None:
            return "no member is known yet"
        if name == "transfer":
            return why_no_transfer(self.kv, source)
        if name == "heal_all":
            some = any(
                m.report is not None and m.report.faults_enabled for m in self.kv.cluster.rows()
            )
            return "" if some or self.paused else self._no_faults(source)
        if name in ("node_kill", "node_restart"):
            if self.kv.control is None:
                return NO_CONTROL
            return (
                f"{source.name} is not running"
                if name == "node_kill" and source.name in self.dead
                else ""
            )
        if name == "node_pause":
            if self.kv.control is not None:
                return f"{source.name} is not running" if source.name in self.dead else ""
            return self._no_faults(source)
        if name in ("link_one", "link_both") and source is target:
            return "a member has no link to itself; move to another cell"
        return self._no_faults(source)

    def _no_faults(self, state: MemberState) -> str:
        if state.report is None:
            return f"{state.name} has not answered yet"
        if state.report.source != "kvorum":
            return NO_FAULTS_ETCD
        if not state.report.faults_enabled:
            return f"{state.name} was started without --enable-faults"
        return ""

    # --- links ------------------------------------------------------------------------------------

    async def do_link_one(self) -> None:
        """Cut or heal one direction."""
        source, target = self.matrix.source, self.matrix.target
        if source is not None and target is not None:
            await self._toggle(source, target, both=False)

    async def do_link_both(self) -> None:
        """Cut or heal both directions."""
        source, target = self.matrix.source, self.matrix.target
        if source is not None and target is not None:
            await self._toggle(source, target, both=True)

    async def _toggle(self, source: MemberState, target: MemberState, both: bool) -> None:
        now = self.kv.clock()
        model = self.kv.cluster
        is_cut = model.cut(source.id, target.id, now) is not None
        if both:
            is_cut = is_cut or model.cut(target.id, source.id, now) is not None
        if is_cut:
            await self._heal_link(source, target, both)
            return
        await self._sever(source, target, "both" if both else "outbound")

    async def _sever(self, source: MemberState, target: MemberState, direction: str) -> None:
        """Let the source cut its side; when it cannot be reached, the target cuts the same link
        from its side.
        """
        millis = self.duration_s * 1000
        try:
            await self.kv.session.sever(source.endpoint, target.id, direction, millis)
        except SessionError:
            mirrored = {"outbound": "inbound", "both": "both"}[direction]
            await self.kv.session.sever(target.endpoint, source.id, mirrored, millis)

    async def _heal_link(self, source: MemberState, target: MemberState, both: bool) -> None:
        now = self.kv.clock()
        pairs = [(source, target)] + ([(target, source)] if both else [])
        lifted = 0
        for state, fault, _ in list(self.kv.cluster.faults(now)):
            for a, b in pairs:
                mine = state is a and fault.peer == b.id and fault.direction in ("outbound", "both")
                theirs = (
                    state is b and fault.peer == a.id and fault.direction in ("inbound", "both")
                )
                if mine or theirs:
                    await self.kv.session.lift(state.endpoint, fault.id)
                    lifted += 1
                    break
        if not lifted:
            self.kv.tell("this link is cut because a member is isolated; X heals all", "warning")

    async def do_isolate(self) -> None:
        """Cut one member off."""
        state = self.matrix.source
        if state is None:
            return
        still = f"{state.name} still answers clients, but hears no member for {self.duration_s} s."
        if await self._confirm_node(state, "Isolate", still):
            self.kv.cluster.expect_loss(state.id, self.kv.clock())
            await self.kv.session.sever(state.endpoint, 0, "both", self.duration_s * 1000)

    async def do_heal_all(self) -> None:
        """Lift everything, everywhere at once; let paused processes go on."""
        control = self.kv.control
        if control is not None:
            for name in sorted(self.paused):
                await control.resume(name)
            self.paused.clear()
        now = self.kv.clock()
        able = [m for m in self.kv.cluster.rows() if m.report and m.report.faults_enabled]
        lost = [m.name for m in able if not m.fresh(now)]
        results = await asyncio.gather(
            *(self.kv.session.heal(m.endpoint) for m in able if m.fresh(now)),
            return_exceptions=True,
        )
        for result in results:
            if isinstance(result, SessionError):
                self.kv.show_error(result)
            elif isinstance(result, BaseException):
                raise result
        lifted = sum(result for result in results if isinstance(result, int))
        text = f"healed all: {words.plural(lifted, 'fault')} lifted"
        if lost:
            text += f"; {', '.join(lost)} did not answer, faults there end by themselves"
        self.kv.cluster.note(now, "heal", text)
        self.kv.tell(text)

    def do_fault_longer(self) -> None:
        """Longer."""
        self.duration_s = next((d for d in DURATIONS_S if d > self.duration_s), DURATIONS_S[-1])
        self.refresh_at(self.kv.clock())

    def do_fault_shorter(self) -> None:
        """Shorter."""
        self.duration_s = next(
            (d for d in reversed(DURATIONS_S) if d < self.duration_s), DURATIONS_S[0]
        )
        self.refresh_at(self.kv.clock())

    # --- nodes ------------------------------------------------------------------------------------

    async def _watch_nodes(self) -> None:
        """Know which processes run; a control object answers from its own table, so this
        is cheap.
        """
        control = self.kv.control
        assert control is not None
        while True:
            try:
                names = await control.nodes()
                self.dead = {name for name in names if not await control.is_alive(name)}
                self.paused -= self.dead
            except OSError as error:
                self.kv.show_error(SessionError(str(error), rpc="node process"))
            await asyncio.sleep(0.5)

    async def do_transfer(self) -> None:
        """Leadership to the row's member."""
        if self.matrix.source is not None:
            await transfer_leader(self.kv, self.matrix.source)

    async def _confirm_node(self, state: MemberState, verb: str, extra: str) -> bool:
        """Enter is enough as long as a quorum is left; to break it, the member's name is typed."""
        lines, kept = quorum_lines(self.kv, {state.id})
        lines.append([(extra, "dim")])
        typed = "" if kept else state.name
        dialog = Confirm(f"{verb} {state.name}?", lines, verb, typed, danger=not kept)
        return await self.app.push_screen_wait(dialog) is True

    async def do_node_pause(self) -> None:
        """Stand still or go on."""
        state, control = self.matrix.source, self.kv.control
        if state is None:
            return
        if control is not None and state.name in self.paused:
            await control.resume(state.name)
            self.paused.discard(state.name)
            self._note("heal", f"{state.name} goes on", state)
            return
        for_s = "until p or X" if control is not None else f"for {self.duration_s} s"
        if not await self._confirm_node(state, "Pause", f"It neither ticks nor answers {for_s}."):
            return
        self.kv.cluster.expect_loss(state.id, self.kv.clock())
        self._note("fault", f"paused {state.name}", state)
        if control is not None:
            await control.pause(state.name)
            self.paused.add(state.name)
        else:
            await self.kv.session.pause(state.endpoint, self.duration_s * 1000)

    async def do_node_kill(self) -> None:
        """End the process."""
        state, control = self.matrix.source, self.kv.control
        if state is None or control is None:
            return
        if await self._confirm_node(state, "Kill", "Its disk stays; r starts it again."):
            self.kv.cluster.expect_loss(state.id, self.kv.clock())
            self._note("fault", f"killed {state.name}", state)
            self.dead.add(state.name)
            await control.kill(state.name)

    async def do_node_restart(self) -> None:
        """Start the process again; a running one is asked about first."""
        state, control = self.matrix.source, self.kv.control
        if state is None or control is None:
            return
        if state.name not in self.dead:
            if not await self._confirm_node(
                state, "Restart", "It is running: it is ended and started again."
            ):
                return
            self.kv.cluster.expect_loss(state.id, self.kv.clock())
        self._note("heal", f"restarting {state.name}", state)
        await control.restart(state.name)
        self.dead.discard(state.name)
        self.paused.discard(state.name)

    def _note(self, kind: str, text: str, state: MemberState) -> None:
        self.kv.cluster.note(self.kv.clock(), kind, text, state.name)
        self.ribbon.arrived()
