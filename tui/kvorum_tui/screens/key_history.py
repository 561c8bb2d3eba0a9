"""Every kept revision of one key, and new ones as they come; below, what the chosen one changed."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message

from kvorum_tui.model import words
from kvorum_tui.model.decode import decode, one_line
from kvorum_tui.model.diff import diff_values, summary
from kvorum_tui.model.records import KeyEvent, WatchBatch
from kvorum_tui.screens.key_view import value_rich
from kvorum_tui.widgets.dialogs import diff_rich
from kvorum_tui.widgets.paint import Line, LineList, TextLines

HISTORY_MAX = 2_000  # Revisions kept; the oldest go first.


class HistoryList(LineList):
    """Revisions of one key, newest first."""

    headed = True

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.events: list[KeyEvent] = []
        self.gap_to = 0
        self.times: dict[int, int] = {}  # revision -> milliseconds since 1970
        self.note: list[tuple[str, str]] = []

    @property
    def current(self) -> KeyEvent | None:
        """The revision under the cursor."""
        return self.events[-1 - self.cursor] if self.cursor < len(self.events) else None

    @property
    def previous(self) -> KeyEvent | None:
        """The one before it."""
        place = self.cursor + 1
        return self.events[-1 - place] if place < len(self.events) else None

    def row_count(self) -> int:
        """Revisions, and a last row that says what is gone."""
        return len(self.events)

    def empty_text(self) -> list[tuple[str, str]]:
        """Set by the screen."""
        return self.note

    def heading(self, width: int) -> Line:
        """Column names, and how far back this goes."""
        line = (
            self.line()
            .cell("revision", 10, "head", right=True)
            .cell("", 1)
            .cell("ver", 5, "head", right=True)
        )
        text = f"kept from revision {self.gap_to:,} on" if self.gap_to else "value"
        return (
            line.cell("when", 11, "head").add(text, "head")
            if self.times
            else line.add(text, "head")
        )

    def paint_row(self, number: int, width: int) -> Line:
        """One revision."""
        event = self.events[-1 - number]
        gone = event.kind == "delete"
        line = self.line().cell(words.count(event.revision), 10, "text", right=True)
        line.cell("−" if gone else "+", 1, "bad" if gone else "good")
        line.cell("" if gone else str(event.version), 5, "dim", right=True)
        if self.times:
            line.cell(_when(self.times.get(event.revision)), 11, "dim")
        if gone:
            return line.add("deleted", "bad")
        if event.lease:
            line.add(f"lease {event.lease:x} ", "accent")
        return line.add(one_line(event.value, max(8, width - line.width)), "text")


class KeyHistory(Vertical):
    """The list and the difference."""

    DEFAULT_CSS = """
    KeyHistory { height: 1fr; }
    KeyHistory HistoryList { height: 45%; min-height: 4; }
    """

    class Moved(Message):
        """Another revision is chosen, or more came."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.form = ""
        self.list = HistoryList()
        self.body = TextLines()

    def compose(self) -> ComposeResult:
        """List above, difference below."""
        yield self.list
        yield self.body

    async def follow(self, watch: AsyncIterator[WatchBatch]) -> None:
        """Show what a watch from the first revision brings, until cancelled."""
        shown = self.list
        shown.events, shown.gap_to, shown.cursor = [], 0, 0
        shown.times.clear()
        shown.note = [("reading every kept revision…", "dim")]
        shown.changed()
        self.body.show([])
        async for batch in watch:
            shown.gap_to = batch.gap_to or shown.gap_to
            if batch.events:
                on_newest = shown.cursor == 0
                shown.events = [*shown.events, *batch.events][-HISTORY_MAX:]
                if not on_newest:
                    shown.cursor += len(batch.events)
            shown.note = [("no revision of this key is kept", "dim")]
            shown.changed()
            self.show_chosen()

    async def add_times(self, ask: Awaitable[dict[int, int]]) -> None:
        """Add when each revision was written, where the server knows it."""
        times = await ask
        self.list.times.update(times)
        self.list.changed()

    @on(LineList.Moved)
    def show_chosen(self) -> None:
        """The difference that the chosen revision made."""
        self.post_message(self.Moved())
        event, before = self.list.current, self.list.previous
        if event is None:
            self.body.show([])
            return
        old = before.value if before is not None and before.kind == "put" else None
        new = event.value if event.kind == "put" else None
        if before is None and new is not None:
            self.body.show(value_rich(decode(new, self.form)))
            return
        lines = diff_values(old, new)
        against = f"against revision {before.revision:,}: {summary(lines)}" if before else ""
        self.body.show([[(against, "dim")], *diff_rich(lines)])


def _when(at_ms: int | None) -> str:
    """A wall-clock time: of today by the second, of other days by the minute."""
    if at_ms is None:
        return ""
    at = time.localtime(at_ms / 1000)
    today = time.strftime("%F", at) == time.strftime("%F")
    return time.strftime("%H:%M:%S" if today else "%m-%d %H:%M", at)
