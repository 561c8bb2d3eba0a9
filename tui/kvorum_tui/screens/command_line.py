"""A command line of the palette, its output as it comes, and how it ended."""

from __future__ import annotations

from collections import deque
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Label

from kvorum_tui.feeds import Pulse
from kvorum_tui.twin import Running
from kvorum_tui.widgets.dialogs import Dialog
from kvorum_tui.widgets.paint import TextLines

LINES_MAX = 5_000
NOT_STARTED = 127  # As a shell says it.
ENDS = {
    0: "done",
    1: "the cluster refused, or something failed",
    2: "no member could be reached",
    3: "the input is wrong",
    4: "what was asked for is gone",
    5: "interrupted, or the outcome is not known",
}


class CommandLine(Dialog[None]):
    """Runs one command; escape stops it, and closes when it has ended."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "stop", "stop or close", show=False),
        Binding("y", "copy", "copy", show=False),
    ]

    def __init__(self, title: str, command: Running) -> None:
        super().__init__()
        self.add_class("wide")
        self.lines: deque[str] = deque(maxlen=LINES_MAX)
        self.dropped = 0
        self.code: int | None = None
        self.command = command
        self.broken = ""
        self.dialog_title = title
        self._pulse = Pulse(self._paint)

    def body(self) -> ComposeResult:
        """Output, state."""
        yield TextLines(id="output")
        yield Label("", classes="hint", id="state")

    def on_mount(self) -> None:
        """Start."""
        self.query_one("#output").focus()
        self._paint()
        self.run_worker(self._run(), name="command line")

    def take(self, line: str) -> None:
        """A line came."""
        self.dropped += len(self.lines) == LINES_MAX
        self.lines.append(line)
        self._pulse.mark()

    async def _run(self) -> None:
        try:
            self.code = await self.command.run(self.take)
        except OSError as error:
            self.code, self.broken = NOT_STARTED, str(error)
        self._paint()

    def _paint(self) -> None:
        if not self.is_attached:
            return
        output = self.query_one("#output", TextLines)
        head = f"… {self.dropped:,} earlier lines are not kept"
        shown = [[(head, "dim")]] if self.dropped else []
        shown += [[(line, "text")] for line in self.lines]
        empty = "running…" if self.code is None else "no output"
        output.show(shown, empty)
        if self.broken:
            state = f"it could not be started: {self.broken}"
        elif self.code is None:
            state = f"running · {len(self.lines):,} lines · esc stops"
        else:
            how = ENDS.get(self.code, "ended")
            state = f"exit {self.code}: {how} · y copies · esc closes"
        self.query_one("#state", Label).update(Content(state))

    def action_stop(self) -> None:
        """Stop what runs; close what has ended."""
        if self.code is None:
            self.workers.cancel_node(self)
        self.dismiss(None)

    def action_copy(self) -> None:
        """The output."""
        self.app.copy_to_clipboard("\n".join(self.lines))
        self.notify("copied", markup=False)
