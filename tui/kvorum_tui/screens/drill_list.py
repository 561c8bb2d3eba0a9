"""The Drills tab's list of scenarios, with what the chosen one will do and where it can run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvorum.drill.scenario import Scenario
from kvorum.errors import ConfigError
from textual import on
from textual.app import ComposeResult
from textual.containers import Container, Horizontal, Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input

from kvorum_tui.model import drill_choice
from kvorum_tui.model.drill_choice import Place
from kvorum_tui.model.drill_plan import Picture, plan_lines
from kvorum_tui.screens.pane import READ_ONLY, workspace_of
from kvorum_tui.widgets.drill_list import DrillList
from kvorum_tui.widgets.paint import LineList, TextLines

if TYPE_CHECKING:
    from kvorum_tui.screens.workspace import Workspace

LOOK_AGAIN_S = 0.25


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a key would start now."""

    scenario: Scenario
    place: Place


class DrillListView(Container):
    """List on the left, plan on the right."""

    DEFAULT_CSS = """
    DrillListView #drill-side { width: 31%; min-width: 31; height: 100%; }
    DrillListView #drill-plan { width: 1fr; height: 100%; padding: 0 1; }
    DrillListView Input, DrillListView Input:focus {
        border: none; height: 1; background: $panel; padding: 0 1; display: none;
    }
    DrillListView Input.shown { display: block; }
    """

    def __init__(self) -> None:
        super().__init__(id="view-list")
        self._scenarios: list[Scenario] | None = None
        self.drills = DrillList(id="drill-list")
        self.plan = TextLines(id="drill-plan-lines")
        self.filter = Input(placeholder="words of name, title, lesson, steps", id="drill-filter")
        self.plan_box = Vertical(self.plan, classes="box", id="drill-plan")
        self._wanted: tuple[Scenario, str] | None = None
        self._looked_at = -1.0

    @property
    def kv(self) -> Workspace:
        """The cluster."""
        return workspace_of(self)

    def compose(self) -> ComposeResult:
        """Two boxes."""
        with Horizontal():
            with Vertical(classes="box", id="drill-side") as box:
                box.border_title = "Drills"
                yield self.filter
                yield self.drills
            yield self.plan_box

    @property
    def scenarios(self) -> list[Scenario]:
        """What ships, read when it is first asked for; what cannot be read is told."""
        if self._scenarios is None:
            self._scenarios, wrong = drill_choice.catalogue()
            self.drills.show(self._scenarios)
            for text in wrong:
                self.kv.tell(text, "warning")
        return self._scenarios

    # --- what is chosen ---------------------------------------------------------------------------

    def places(self, scenario: Scenario) -> list[Place]:
        """Where a scenario could run now."""
        read_only = READ_ONLY if self.kv.session.read_only else ""
        return drill_choice.places(scenario, self.kv.cluster, read_only)

    @property
    def chosen(self) -> Chosen | None:
        """The drill under the cursor, and the stage that is set for it."""
        scenario = self.drills.current
        if scenario is None:
            return None
        there = {place.name: place for place in self.places(scenario)}
        wanted = self._wanted
        if wanted and (wanted[0] is scenario or not there[wanted[1]].why_not):
            return Chosen(scenario, there[wanted[1]])
        return Chosen(scenario, there[drill_choice.first_able(list(there.values()), scenario)])

    def next_stage(self) -> None:
        """The next of the four, also one that cannot be: then the plan says why."""
        chosen = self.chosen
        if chosen is not None:
            names = drill_choice.STAGES
            name = names[(names.index(chosen.place.name) + 1) % len(names)]
            self.want(chosen.scenario, name)

    def want(self, scenario: Scenario, name: str) -> None:
        """Set the stage."""
        self._wanted = (scenario, name)
        self.look()

    def open_file(self, text: str) -> str:
        """Add a scenario file and choose it; returns what is wrong with it, or nothing."""
        try:
            scenario = drill_choice.read_file(text)
        except ConfigError as error:
            return str(error)
        others = [one for one in self.scenarios if one.path != scenario.path]
        self._scenarios = [scenario, *others]
        self.clear_filter()
        self.choose(scenario)
        return ""

    def choose(self, scenario: Scenario) -> None:
        """Put the cursor on a drill."""
        self.clear_filter()
        self.drills.show(self.scenarios)
        paths = [one.path for one in self.scenarios]
        if scenario.path in paths:
            self.drills.cursor = paths.index(scenario.path)
        self.look()

    # --- filter -----------------------------------------------------------------------------------

    def open_filter(self) -> None:
        """Type words."""
        self.filter.add_class("shown")
        self.filter.focus()

    def clear_filter(self) -> bool:
        """Show all again; False when all were shown."""
        was = self.filter.has_class("shown")
        self.filter.value = ""
        self.filter.remove_class("shown")
        self.drills.show(self.scenarios)
        return was

    @on(Input.Changed, "#drill-filter")
    def _filtered(self, event: Input.Changed) -> None:
        self.drills.show(drill_choice.matching(self.scenarios, event.value))
        self.look()

    @on(Input.Submitted, "#drill-filter")
    def _done(self) -> None:
        self.drills.focus()

    # --- the plan ---------------------------------------------------------------------------------

    @on(LineList.Moved, "#drill-list")
    def _moved(self) -> None:
        self.look()

    @on(LineList.Chosen, "#drill-list")
    def _run(self) -> None:
        self.kv.do("drill_start")

    def on_resize(self) -> None:
        """The plan is laid out for its width."""
        self.call_after_refresh(self.look)

    def refresh_at(self, now: float) -> None:
        """The leader, or what can be run where, may be another."""
        if self.scenarios and now - self._looked_at >= LOOK_AGAIN_S:
            self._looked_at = now
            self.look()

    def look(self) -> None:
        """Lay the plan out anew."""
        chosen = self.chosen
        if chosen is None:
            self.plan_box.border_title = "No drill is chosen"
            self.plan.show([])
            return
        now = self.kv.clock()
        picture = Picture(self.places(chosen.scenario), chosen.place.name, self.kv.cluster_title)
        if chosen.place.name == "connected":
            leader = self.kv.cluster.leader(now)
            picture = Picture(
                picture.places,
                picture.chosen,
                picture.title,
                leader.name if leader is not None else "",
                len(self.kv.cluster.voters()),
            )
        width = self.plan.scrollable_content_region.width or 50
        lines = plan_lines(chosen.scenario, picture, width)
        if lines != self.plan.shown_lines:
            self.plan.show(lines)
        self.plan_box.border_title = Content(chosen.scenario.name)

    def first_focus(self) -> Widget:
        """The list."""
        return self.drills
