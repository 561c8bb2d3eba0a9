"""Comparing what all members hold, on the screen while it runs: the hashes, the verdict, and where
they differ.
"""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Label

from kvorum_tui.comparing import Compared, Comparing, where
from kvorum_tui.feeds import Pulse
from kvorum_tui.model import words
from kvorum_tui.model.cluster_check import Difference
from kvorum_tui.model.decode import printable
from kvorum_tui.model.records import KeyEvent, KeyRecord
from kvorum_tui.model.text import one_line
from kvorum_tui.session.checks import Checks
from kvorum_tui.widgets.dialogs import Dialog, Rich
from kvorum_tui.widgets.paint import Line, LineList, TextLines

VALUE_SHOWN = 160


class DifferenceList(LineList):
    """Keys that members hold differently."""

    DEFAULT_CSS = "DifferenceList { height: auto; max-height: 10; min-height: 3; }"
    headed = True

    def __init__(self) -> None:
        super().__init__(id="differences")
        self.found: list[Difference] = []

    def row_count(self) -> int:
        """Keys."""
        return len(self.found)

    def heading(self, width: int) -> Line:
        """Column names."""
        return self.line().add(" ").cell("what differs", 27, "head").add("key", "head")

    def paint_row(self, number: int, width: int) -> Line:
        """One key."""
        difference = self.found[number]
        line = self.line().add(" ").cell(difference.kind(), 27, "warn")
        return line.cell(printable(difference.key), width - line.width - 1)


class CompareScreen(Dialog[bytes]):
    """Runs a comparison of these members (name to endpoint); returns a key to go to, or none."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("r", "again", "again", show=False)]
    dialog_title = "Do all members hold the same?"

    def __init__(self, checks: Checks, members: dict[str, str], revision: int) -> None:
        super().__init__(classes="wide")
        self.checks, self.members, self.revision = checks, members, revision
        self.pulse = Pulse(self._show)
        self.comparing = self._new()
        self.list = DifferenceList()
        self.step = Label("", classes="hint")
        self.summary = TextLines(id="summary")
        self.values = TextLines(id="values")

    def _new(self) -> Comparing:
        return Comparing(self.checks, self.members, lambda: self.revision, self.pulse.mark)

    def body(self) -> ComposeResult:
        """What it does, the outcome, keys that differ, one of them."""
        yield self.step
        yield self.summary
        yield self.list
        yield self.values
        yield Label("esc stops and closes · r again · enter goes to the key", classes="hint")

    def on_mount(self) -> None:
        """Start."""
        self.summary.can_focus = self.values.can_focus = False
        self.list.display = self.values.display = False
        self.action_again()

    def action_again(self) -> None:
        """From the beginning."""
        self.comparing = self._new()
        self.run_worker(self.comparing.run(), group="compare", exclusive=True)

    def _show(self) -> None:
        if not self.is_attached:
            return
        result = self.comparing.result
        self.step.update(Content(("✓ " if result.done else "… ") + result.step))
        self.summary.show(self.fitting(outcome(result, list(self.members))))
        first = not self.list.found and bool(result.scan.found)
        self.list.found = sorted(result.scan.found, key=lambda difference: difference.key)
        self.list.display = self.values.display = bool(self.list.found)
        self.list.changed()
        if first:
            self.list.focus()
        self._show_values()

    @on(LineList.Moved, "#differences")
    def _show_values(self) -> None:
        if self.list.cursor < len(self.list.found):
            difference = self.list.found[self.list.cursor]
            names = list(self.comparing.result.hashes)
            lines: Rich = [
                [(f"{name:<12}", "dim"), *_held(record)]
                for name, record in zip(names, difference.held, strict=True)
            ]
            self.values.show(self.fitting(lines))

    @on(LineList.Chosen, "#differences")
    def _go(self) -> None:
        self.dismiss(self.list.found[self.list.cursor].key)


def outcome(result: Compared, names: list[str]) -> Rich:
    """What is known so far, line by line."""
    lines: Rich = []
    if result.said:
        ink = {True: "good", False: "bad", None: "warn"}[result.same]
        sign = {True: "SAME", False: "DIFFERENT", None: "NO VERDICT"}[result.same]
        lines.append([(f"{sign}: ", ink), (result.said, ink)])
    common = [h.hash for h in result.hashes.values()]
    usual = max(common, key=common.count, default=0)
    for name in names:
        told = result.hashes.get(name)
        if told is not None:
            odd = told.hash != usual
            text = f"hash {told.hash:08x} · revision {told.revision:,} · "
            text += f"compacted {max(0, told.compacted):,}" + ("  ← differs" if odd else "")
            lines.append([(f"{name:<12}", "dim"), (text, "bad" if odd else "text")])
        elif name in result.failed:
            lines.append([(f"{name:<12}", "dim"), (f"no hash: {_why(result, name)}", "warn")])
    if result.since_said:
        text = result.since_said
        if result.since is not None:
            text = f"revision {result.since:,}; {text}"
        lines.append([(f"{'since':<12}", "dim"), (text, "text")])
    for name, events in result.events.items():
        said = "; ".join(_event(event) for event in events[:3]) or "nothing at that revision"
        more = f"; and {len(events) - 3} more" if len(events) > 3 else ""
        lines.append([(f"  {name:<10}", "dim"), (said + more, "text")])
    places = where(result)
    if places:
        count = f"{len(result.scan.found):,}" + ("+" if result.scan.cut_short else "")
        prefix = printable(places[0][0])
        if len(result.scan.found) == 1:
            text = f"1 key differs: {prefix}"
        else:
            below = f"all below {prefix}" if prefix else "with no prefix in common"
            text = f"{count} keys differ, {below}"
        lines.append([(f"{'where':<12}", "dim"), (text, "bold")])
        if len(places) > 1:
            branches = ", ".join(f"{printable(branch)} {n:,}" for branch, n in places[1:])
            lines.append([(f"{'':<12}", "dim"), (branches, "text")])
    elif result.done and result.same is False:
        text = "every key is the same at this revision: older revisions or deletions differ"
        lines.append([(f"{'where':<12}", "dim"), (text, "text")])
    return lines


def _why(result: Compared, name: str) -> str:
    why = result.failed[name]
    return f"it stands at revision {int(why[1:]):,}" if why.startswith("@") else why


def _event(event: KeyEvent) -> str:
    if event.kind == "delete":
        return f"deleted {printable(event.key)}"
    return f"put {printable(event.key)} = {one_line(event.value, 40)}"


def _held(record: KeyRecord | None) -> list[tuple[str, str]]:
    if record is None:
        return [("has no such key", "bad")]
    value = one_line(record.value, VALUE_SHOWN)
    text = f"  rev {record.mod_revision:,}, version {record.version:,}"
    text += f", lease {record.lease:x}" if record.lease else ""
    return [(value, "text"), (f"{text}, {words.size(len(record.value))}", "dim")]
