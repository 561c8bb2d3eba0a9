"""The Drills tab's view of one run: timeline above, moments and scorecard below."""

from __future__ import annotations

from pathlib import Path

from textual.app import ComposeResult
from textual.containers import Container, Horizontal, Vertical
from textual.content import Content
from textual.geometry import Size
from textual.widget import Widget

from kvorum_tui.model.drill_run import DrillRun
from kvorum_tui.model.drill_score import Score, scores
from kvorum_tui.widgets.dialogs import Rich, folded
from kvorum_tui.widgets.drill_timeline import DrillTimeline, legend
from kvorum_tui.widgets.paint import Line, LineList, TextLines

SIGNS = {
    "step": (">", "warn"),
    "proof": (" ", "dim"),
    "lift": ("<", "good"),
    "leader": ("*", "accent"),
    "failed": ("!", "bad"),
    "note": (" ", "dim"),
}
STATE_WORDS = {
    "starting": ("starting the cluster", "warn"),
    "running": ("running", "accent"),
    "checking": ("checking the recording", "accent"),
    "passed": ("PASSED", "good"),
    "failed": ("FAILED", "bad"),
    "stopped": ("stopped; nothing is broken any more", "warn"),
    "broken": ("could not be run", "bad"),
}
NOTHING = "no drill has run yet: d chooses one"
LABEL_CELLS = 18


class MomentLines(LineList):
    """What happens, as it comes; stays at the end unless somebody scrolled away."""

    has_cursor = False

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.lines: Rich = []
        self._told: Rich = []
        self._width = 0

    def show(self, lines: Rich) -> None:
        """All lines."""
        at_end = self.scroll_offset.y >= self.max_scroll_y
        width = max(20, self.scrollable_content_region.width)
        known = len(self._told)
        if width != self._width or lines[:known] != self._told:
            self.lines, known = [], 0
        # Only what is new: a drill of many steps tells thousands of lines, often.
        self.lines += folded(lines[known:], width)
        self._told, self._width = lines, width
        self.changed()
        if at_end:
            end = max(0, len(self.lines) - self.page_rows)
            self.scroll_to(y=end, animate=False, immediate=True, force=True)

    def changed(self) -> None:
        """As high as there are lines."""
        self.virtual_size = Size(self.scrollable_content_region.width, len(self.lines))
        self.refresh()

    def row_count(self) -> int:
        """Lines."""
        return len(self.lines)

    def empty_text(self) -> list[tuple[str, str]]:
        """Nothing yet."""
        return [(NOTHING, "dim")]

    def paint_row(self, number: int, width: int) -> Line:
        """One line."""
        line = self.line()
        for text, ink in self.lines[number]:
            line.add(text, ink)
        return line


class DrillRunView(Container):
    """Everything about the run that goes on, or the last one."""

    DEFAULT_CSS = """
    DrillRunView #run-top { height: auto; max-height: 60%; }
    DrillRunView #run-top.passed { border: round $success; border-title-color: $success; }
    DrillRunView #run-top.failed { border: round $error; border-title-color: $error; }
    DrillRunView #run-below { height: 1fr; min-height: 4; }
    DrillRunView #run-moments { width: 1fr; height: 100%; }
    DrillRunView #run-score { width: 44; height: 100%; }
    """

    def __init__(self) -> None:
        super().__init__(id="view-run")
        self.timeline = DrillTimeline(id="timeline")
        self.moments = MomentLines(id="moments")
        self.card = TextLines(id="card")
        self.top = Vertical(self.timeline, classes="box", id="run-top")
        self._shown: tuple[object, ...] = ()

    def compose(self) -> ComposeResult:
        """Three boxes."""
        yield self.top
        with Horizontal(id="run-below"):
            with Vertical(classes="box", id="run-moments") as box:
                box.border_title = "What happened"
                yield self.moments
            with Vertical(classes="box", id="run-score") as box:
                box.border_title = "Scorecard"
                yield self.card

    def first_focus(self) -> Widget:
        """The moments, to scroll in."""
        return self.moments

    def show(self, run: DrillRun | None, stopping: bool = False) -> None:
        """Show a run as it is now."""
        width = self.moments.scrollable_content_region.width
        shown = (run, run.changes if run else 0, stopping, width)
        if shown == self._shown:
            return
        self._shown = shown
        self.timeline.show(run)
        if run is None:
            self.top.border_title = Content("No run yet")
            return
        self.top.border_title = Content(title(run, stopping))
        self.top.border_subtitle = Content(legend(run))
        self.top.set_class(run.state == "passed", "passed")
        self.top.set_class(run.state in ("failed", "broken"), "failed")
        self.moments.show(moment_lines(run))
        self.card.show(card_lines(scores(run)))


def title(run: DrillRun, stopping: bool = False) -> str:
    """Who, where, how far."""
    word, _ = STATE_WORDS[run.state]
    if stopping and not run.over:
        word = "stopping: everything is healed first"
    elif run.state == "running":
        word = f"{run.now_s:.1f} of {run.scenario.length_s:g} s"
    return f"{run.scenario.name} · {run.where} · seed {run.seed} · {word}"


def moment_lines(run: DrillRun) -> Rich:
    """The moments, and once it is over how it went."""
    lines: Rich = []
    for moment in run.moments:
        sign, ink = SIGNS[moment.kind]
        plain = "dim" if ink == "dim" else "text"
        stamp = f"{moment.at_s:6.2f} "
        lines.append([(stamp, "dim"), (f"{sign} ", ink), (moment.text, plain)])
    if not run.over:
        return lines or [[("starting the cluster …", "dim")]]
    word, ink = STATE_WORDS[run.state]
    lines += [[], [(word, ink)]]
    if run.error:
        lines += [[(line, "bad")] for line in run.error.splitlines()]
    for finding in run.verdict.get("findings", ()):
        if not finding["ok"]:
            lines.append([("✗ ", "bad"), (f"{finding['name']}: {finding['text']}", "text")])
    if run.folder:
        folder = Path(run.folder)
        lines += [[("kept as ", "dim"), (folder.name, "text")], [(f"in {folder.parent}", "dim")]]
    return lines


def card_lines(card: list[Score]) -> Rich:
    """A line a figure: what, how much, what is demanded, how it went."""
    lines: Rich = []
    for score in card:
        sign, ink = {True: ("✓ ", "good"), False: ("✗ ", "bad"), None: ("  ", "dim")}[score.ok]
        value_ink = (
            "bad" if score.ok is False else "text" if score.value != "at the end" else "faint"
        )
        lines.append(
            [
                (sign, ink),
                (f"{score.label:<{LABEL_CELLS}} ", "dim"),
                (f"{score.value:<11} ", value_ink),
                (score.demand, "dim"),
            ]
        )
    return lines
