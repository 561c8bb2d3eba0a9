"""What the Drills tab does with scenarios: choose, preview, run, stop, repeat, compare, export.

One drill at a time, in a process of its own (:mod:`kvorum_tui.drill_process`); it goes on while
other tabs are looked at, and is stopped and healed when the terminal is left.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from kvorum.drill.places import runs_dir
from kvorum.drill.preview import lasting, preview
from kvorum.drill.scenario import Scenario
from kvorum.errors import ConfigError
from textual import on

from kvorum_tui import drill_export
from kvorum_tui.drill_process import DrillProcess, Process, Take
from kvorum_tui.feeds import Pulse
from kvorum_tui.model.drill_choice import WORDS, Place, scenario_path
from kvorum_tui.model.drill_kept import kept_run
from kvorum_tui.model.drill_plan import planned, resolved, worst
from kvorum_tui.model.drill_run import DrillRun
from kvorum_tui.model.typed import file_of, needs_file
from kvorum_tui.screens.drill_compare import DrillCompareView
from kvorum_tui.screens.drill_list import DrillListView
from kvorum_tui.screens.drill_run import DrillRunView
from kvorum_tui.screens.pane import Pane
from kvorum_tui.widgets.dialogs import Confirm, Field, Form, Reader, Rich
from kvorum_tui.widgets.paint import LineList

if TYPE_CHECKING:
    from kvorum_tui.screens.workspace import Workspace

SEEDS = 1 << 31
REPORT_FILE = "report.txt"
# Views of the tab, and how a sentence calls them.
_ENDS = {"passed": ("passed", "information"), "failed": ("FAILED", "error")}
_ENDS |= {"stopped": ("stopped", "warning"), "broken": ("could not be run", "error")}


class DrillRuns(Pane):
    """The tab's views and what is done in three of them; the matrix is the subclass's."""

    view_names: ClassVar[Mapping[str, str]] = {
        "links": "the matrix of links (m)",
        "list": "the list of drills (d)",
        "run": "the view of a run (v)",
        "runs": "the comparison of runs (c)",
    }

    def __init__(self, kv: Workspace) -> None:
        super().__init__(kv)
        self.view = "links"
        self.list_view = DrillListView()
        self.run_view = DrillRunView()
        self.compare_view = DrillCompareView()
        self.current: DrillRun | None = None  # The one that runs, or ran last here;
        self.shown: DrillRun | None = None  # it, or an earlier one read back.
        self.process: Process | None = None
        self.new_process: Callable[[Mapping[str, Any], Take], Process] = DrillProcess
        self.draw_seed: Callable[[], int] = lambda: random.SystemRandom().randrange(SEEDS)
        self.stopping = False
        self._pulse = Pulse(self._changed)

    # --- views ------------------------------------------------------------------------------------

    def show_view(self, view: str) -> None:
        """Bring a view to the front."""
        self.view = view
        for name in self.view_names:
            self.query_one(f"#view-{name}").display = name == view
        self.refresh_view(self.kv.clock())
        first = self.first_focus()
        if first is not None and self.kv.pane is self:
            first.focus()
        self.kv.refresh_actions()

    def refresh_view(self, now: float) -> None:
        """The view in front, as of now."""
        if self.view == "list":
            self.list_view.refresh_at(now)
        elif self.view == "run":
            self.run_view.show(self.shown, self.stopping)

    def back(self) -> bool:
        """Escape: a view up."""
        if self.view == "links":
            return False
        if self.view == "list" and self.list_view.clear_filter():
            self.list_view.drills.focus()
            return True
        up = {"list": "links", "run": "list", "runs": "run" if self.shown else "list"}
        self.show_view(up[self.view])
        return True

    def _changed(self) -> None:
        if self.is_mounted and self.view == "run" and self.kv.pane is self:
            self.refresh_view(self.kv.clock())
            self.kv.refresh_actions()

    # --- can it be done ---------------------------------------------------------------------------

    @property
    def running(self) -> DrillRun | None:
        """The drill that runs now."""
        run = self.current
        return run if run is not None and not run.over else None

    def why_not_drill(self, name: str) -> str:
        """Why something about drills cannot be done now."""
        if name == "drill_stop":
            return "" if self.running else "no drill is running"
        if name == "drill_start":
            return self._why_not_start()
        if name == "drill_show":
            table = self.compare_view.table
            there = table.current if self.view == "runs" else self.current
            return "" if there else "no drill has run yet"
        if name in ("drill_again", "drill_new_seed", "drill_etcd", "drill_export"):
            if self.shown is None and self.view == "run":
                return "no drill has run yet"
            if name == "drill_export":
                return "" if self.view == "run" or self.compare_view.table.runs else "no run yet"
            return self._busy() or self._why_not_again(name)
        return ""

    def _busy(self) -> str:
        running = self.running
        return f"{running.scenario.name} is running: v shows it, x stops it" if running else ""

    def _why_not_start(self) -> str:
        chosen = self.list_view.chosen
        if chosen is None:
            return "no drill is chosen"
        return self._busy() or chosen.place.why_not

    def _why_not_again(self, name: str) -> str:
        found = self._to_repeat()
        if found is None:
            return "no run is chosen"
        scenario, place_name, _ = found
        wanted = "etcd" if name == "drill_etcd" else place_name
        there = {place.name: place for place in self.list_view.places(scenario)}
        return there[wanted].why_not

    @property
    def _here(self) -> str:
        """What a run on the connected cluster is kept with."""
        return ",".join(self.kv.session.endpoints)

    def _to_repeat(self) -> tuple[Scenario, str, int] | None:
        """The run that a repetition means: the chosen column, or the one in view."""
        if self.view == "runs":
            run = self.compare_view.table.current
            mine = [one for one in self.list_view.scenarios if run and one.name == run.name]
            if run is None or not mine:
                return None
            name = "connected" if run.cluster == self._here else run.stage
            return mine[0], name, run.seed
        shown = self.shown
        if shown is None:
            return None
        return shown.scenario, "connected" if shown.connected else shown.stage, shown.seed

    # --- running ----------------------------------------------------------------------------------

    async def do_drill_start(self) -> None:
        """The chosen drill, with a seed drawn."""
        chosen = self.list_view.chosen
        if chosen is not None:
            await self._begin(chosen.scenario, chosen.place, self.draw_seed())

    async def do_drill_again(self) -> None:
        """The same once more."""
        await self._repeat()

    async def do_drill_new_seed(self) -> None:
        """The same with another seed."""
        await self._repeat(seed=self.draw_seed())

    async def do_drill_etcd(self) -> None:
        """The same on real etcd."""
        await self._repeat(place_name="etcd")

    async def _repeat(self, place_name: str = "", seed: int | None = None) -> None:
        found = self._to_repeat()
        if found is None:
            return
        scenario, name, old_seed = found
        places = {place.name: place for place in self.list_view.places(scenario)}
        await self._begin(scenario, places[place_name or name], old_seed if seed is None else seed)

    async def _begin(self, scenario: Scenario, place: Place, seed: int) -> None:
        if place.name == "connected" and not await self._agreed(scenario):
            return
        where = self.kv.cluster_title if place.name == "connected" else WORDS[place.name]
        run = DrillRun(scenario, place.kind, seed, where, place.name == "connected")
        request: dict[str, Any] = {
            "scenario": scenario_path(scenario),
            "stage": place.kind,
            "seed": seed,
            "parent": str(runs_dir()),
        }
        if run.connected:
            request["endpoints"] = list(self.kv.session.endpoints)
            request |= asdict(self.kv.session.access)
            self._tell_ribbon("fault", f"drill {scenario.name} begins")

        def take(told: Mapping[str, Any]) -> None:
            run.take(told)
            self._pulse.mark()

        self.current, self.stopping = run, False
        self.shown = run
        self.process = process = self.new_process(request, take)
        self.aside(lambda: self._follow(run, process), group="drill")
        self.show_view("run")

    async def _follow(self, run: DrillRun, process: Process) -> None:
        try:
            await process.run()
        except OSError as error:
            run.take({"t": "error", "text": str(error)})
        word, severity = _ENDS[run.state]
        text = f"{run.scenario.name} on {run.where}: {word}"
        self.kv.tell(text, severity)
        if run.connected:
            self._tell_ribbon("note", f"drill {run.scenario.name}: {word}")
        self.stopping = False
        self._changed()

    def _tell_ribbon(self, kind: str, text: str) -> None:
        self.kv.cluster.note(self.kv.clock(), kind, text)

    async def _agreed(self, scenario: Scenario) -> bool:
        """Say what a drill does to the cluster in use; to break its quorum, its name is typed."""
        now, cluster = self.kv.clock(), self.kv.cluster
        leader = cluster.leader(now)
        lines: Rich = []
        for one, line in zip(
            planned(scenario), preview(scenario, len(cluster.voters())), strict=True
        ):
            words = resolved(one.step, leader.name if leader else "")
            left = f"{line.left} of {line.voters} left"
            lines.append(
                [(f"{line.when}: {words}  ", "text"), (left, "text" if line.quorum else "bad")]
            )
        low, kept = worst(preview(scenario, len(cluster.voters())))
        missing = len(cluster.voters()) - len(cluster.up(now))
        if missing:
            lines.append([(f"{missing} of its voters do not answer even now.", "bad")])
        kept = kept and low is not None and low.left - missing >= cluster.quorum
        lines.append([])
        if kept:
            lines.append([("The quorum is kept; writes may wait for elections.", "good")])
        else:
            lines.append([("NO QUORUM at times: writes and linearizable reads stop.", "bad")])
        for_good = lasting(scenario)
        lines += [[(text, "bad")] for text in for_good]
        load = scenario.load
        writes = f"Its clients write keys below drill/ ({load.rate:g} operations a second)."
        lines += [[(writes, "dim")], [("x stops it; every fault ends by itself, too.", "dim")]]
        title = f"Run {scenario.name} on {self.kv.cluster_title}?"
        harmless = kept and not for_good
        typed = "" if harmless else scenario.name
        dialog = Confirm(title, lines, "Run", typed, danger=not harmless)
        return await self.app.push_screen_wait(dialog) is True

    def do_drill_stop(self) -> None:
        """Lift everything and end."""
        if self.process is not None:
            self.stopping = True
            self.process.stop()
            self.kv.tell("stopping the drill: everything is healed first")
            self._changed()

    def drill_word(self) -> str:
        """What the other view of the tab says of the drill that runs."""
        run = self.running
        return f"{run.scenario.name} on {run.where}, {run.now_s:.0f} s (v) · " if run else ""

    async def end_drill(self) -> None:
        """Stop what runs, and wait until nothing is broken any more."""
        if self.process is not None and self.running:
            self.do_drill_stop()
            await self.process.end()

    async def on_unmount(self) -> None:
        """The terminal is left, however: nothing stays broken, and no process unwaited for."""
        if self.process is not None:
            await self.process.end()

    # --- looking ----------------------------------------------------------------------------------

    def do_drill_list(self) -> None:
        """The list."""
        self.show_view("list")

    def choose_drill(self, scenario: Scenario) -> None:
        """The list, with the cursor on one drill."""
        self.show_view("list")
        self.list_view.choose(scenario)

    def do_drill_links(self) -> None:
        """The matrix."""
        self.show_view("links")

    async def do_drill_show(self) -> None:
        """The run: the chosen column's, or the one that runs here."""
        chosen = self.compare_view.table.current
        if self.view == "runs" and chosen is not None:
            try:
                self.shown = await asyncio.to_thread(kept_run, chosen, self._here)
            except ConfigError as error:
                self.kv.tell(str(error), "error")
                return
        else:
            self.shown = self.current
        self.show_view("run")

    def do_drill_stage(self) -> None:
        """The next stage."""
        self.list_view.next_stage()
        self.kv.refresh_actions()

    def do_drill_filter(self) -> None:
        """Words to filter by."""
        self.list_view.open_filter()

    async def do_drill_open(self) -> None:
        """A file by its path."""
        field = Field("path", "A scenario file (TOML)", hint="my-drill.toml", check=self._readable)
        given = await self.app.push_screen_wait(Form("Open a scenario", [field], "Open"))
        if given is not None:
            self.list_view.open_file(given["path"])

    def _readable(self, text: str) -> str:
        return self.list_view.open_file(text)

    async def do_drill_compare(self) -> None:
        """Runs side by side."""
        if self.view == "run" and self.shown is not None:
            name = self.shown.scenario.name
        else:
            chosen = self.list_view.chosen
            if chosen is None:
                return
            name = chosen.scenario.name
        self.show_view("runs")
        await self.compare_view.load(name, runs_dir())
        self.kv.refresh_actions()

    @on(LineList.Chosen, "#runs")
    async def _report(self) -> None:
        run = self.compare_view.table.current
        if run is not None:
            self.aside(lambda: self._read_report(run.folder))

    async def _read_report(self, folder: Path) -> None:
        path = folder / REPORT_FILE
        text = path.read_text("utf-8") if path.is_file() else "It has no verdict, so no report."
        lines: Rich = [[(line, "text")] for line in text.splitlines()]
        await self.app.push_screen_wait(Reader(folder.name, lines))

    async def do_drill_export(self) -> None:
        """To files of the user's choice."""
        run, runs = self.shown, self.compare_view.table.runs
        if self.view == "runs":
            title, stem = "Export the comparison", f"{runs[0].name}-{len(runs)}-runs"
            forms = drill_export.comparison_forms(runs)
        elif run is not None:
            title, stem = "Export the run", f"{run.scenario.name}-{run.stage}-{run.seed}"
            forms = drill_export.run_forms(run)
        else:
            return
        label = f"Where to; {', '.join(forms)} are written, or only the one that you name"
        field = Field("path", label, str(Path.cwd() / stem), check=needs_file)
        given = await self.app.push_screen_wait(Form(title, [field], "Write"))
        if given is not None:
            written = drill_export.write(forms, file_of(given["path"]))
            self.kv.tell(f"written: {', '.join(str(path) for path in written)}")
