"""Every kept revision of one key, and new ones as they come; below, what the chosen one changed, or
the difference between it and another that was marked.

Kvorum nodes keep when and by which member a revision was written, and say so a moment after it
happened. On a real etcd the same revisions come from a watch that starts at the first one; where a
mirror of it is kept, that remembers what was compacted since, and when it was seen.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message

from kvorum_tui.model import words
from kvorum_tui.model.decode import decode, one_line
from kvorum_tui.model.diff import diff_values, summary
from kvorum_tui.model.records import KeyEvent, KeyLife, KeyRecord
from kvorum_tui.model.time_place import clock_text
from kvorum_tui.screens.key_view import value_rich
from kvorum_tui.screens.pane import workspace_of
from kvorum_tui.screens.time_views import difference
from kvorum_tui.session import Session, SessionError
from kvorum_tui.widgets.dialogs import diff_rich
from kvorum_tui.widgets.paint import Line, LineList, TextLines

if TYPE_CHECKING:
    from kvorum_tui.screens.workspace import Workspace

HISTORY_MAX = 2_000  # Revisions kept; the oldest go first.
SETTLE_S = 0.3  # A member writes its history a moment after it applies a change.
TRIES = 10  # Then the member that is asked is cut off, and the next change asks again.
WIDE = 60  # From here on there is room for versions.
FULL = 100  # From here on there is room for the ids of leases.
WHO_CELLS = 10


class HistoryList(LineList):
    """Revisions of one key, newest first. Space marks one to compare others with."""

    headed = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "mark", "compare with this", show=False),
    ]

    class Marked(Message):
        """Another revision is the one to compare with, or none."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.events: list[KeyEvent] = []
        self.gap_to = 0
        self.marked = 0
        """The revision to compare with; 0: with the one before."""
        self.note: list[tuple[str, str]] = []
        self.name_of: Callable[[int], str] = lambda member: f"{member:x}"

    @property
    def current(self) -> KeyEvent | None:
        """The revision under the cursor."""
        return self.events[-1 - self.cursor] if self.cursor < len(self.events) else None

    @property
    def previous(self) -> KeyEvent | None:
        """The one before it."""
        place = self.cursor + 1
        return self.events[-1 - place] if place < len(self.events) else None

    @property
    def other(self) -> KeyEvent | None:
        """The marked revision, when it is another than the chosen one."""
        marked = next((event for event in self.events if event.revision == self.marked), None)
        return marked if marked is not self.current else None

    def action_mark(self) -> None:
        """Compare with this one from now on, or no longer."""
        event = self.current
        if event is not None:
            self.marked = 0 if self.marked == event.revision else event.revision
            self.refresh()
            self.post_message(self.Marked())

    @property
    def at(self) -> int:
        """The revision that all tabs look at; 0 is now."""
        return workspace_of(self).at

    def stand(self, revision: int) -> None:
        """On the change that counts at a revision."""
        if revision:
            later = sum(1 for event in self.events if event.revision > revision)
            self.cursor = min(later, max(0, len(self.events) - 1))
        self.refresh()

    @property
    def dated(self) -> bool:
        """Whether it is known when anything happened."""
        return any(event.at_ms for event in self.events)

    def row_count(self) -> int:
        """Revisions, and a last row that says what is gone."""
        return len(self.events)

    def empty_text(self) -> list[tuple[str, str]]:
        """Set by the screen."""
        return self.note

    def heading(self, width: int) -> Line:
        """Column names, and how far back this goes."""
        line = self.line().cell("revision", 8, "head", right=True).cell("", 1)
        if width >= WIDE or not self.dated:
            line.cell("ver", 4, "head", right=True)
        if self.dated:
            line.cell("when", 11, "head").cell("by", WHO_CELLS, "head")
        text = f"kept from revision {self.gap_to:,} on" if self.gap_to else "value"
        if self.marked:
            text += f" · * compared with {self.marked:,}"
        return line.add(text, "head")

    def paint_row(self, number: int, width: int) -> Line:
        """One revision."""
        event = self.events[-1 - number]
        gone = event.kind == "delete"
        later = bool(self.at) and event.revision > self.at
        ink = "faint" if later else "text"
        line = self.line().cell(words.count(event.revision), 8, ink, right=True)
        if event.revision == self.marked:
            line.cell("*", 1, "mark")
        else:
            line.cell("−" if gone else "+", 1, ink if later else "bad" if gone else "good")
        if width >= WIDE or not self.dated:
            line.cell("" if gone else str(event.version), 4, "dim", right=True)
        if self.dated:
            line.cell(clock_text(event.at_ms), 11, "dim").cell(
                self._who(event), WHO_CELLS, "accent"
            )
        if gone:
            return line.add("deleted", "bad")
        if event.lease:
            line.add(f"lease {event.lease:x} " if width >= FULL else "leased ", "accent")
        return line.add(one_line(event.value, max(8, width - line.width)), ink)

    def _who(self, event: KeyEvent) -> str:
        """The member that was written to, with the user where there are users."""
        name = self.name_of(event.member) if event.member else ""
        return f"{event.user}@{name}" if event.user else name


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

    async def follow(self, session: Session, key: bytes) -> None:
        """Show what is kept, then what comes, until cancelled."""
        shown = self.list
        shown.events, shown.gap_to, shown.cursor, shown.marked = [], 0, 0, 0
        shown.note = [("reading every kept revision…", "dim")]
        shown.changed()
        self.body.show([])
        start = 1
        life = await session.history(key, 0, HISTORY_MAX)
        if life is None:
            life = await remembered(session, key)
        if life is not None:
            shown.events, shown.gap_to = list(life.events), life.compacted
            start = max(1, life.compacted, *(event.revision + 1 for event in life.events[-1:]))
            shown.stand(workspace_of(self).at)
            self._told()
        lacking = asyncio.Event()
        dating = asyncio.create_task(self._date(session, key, lacking))
        try:
            async for batch in session.watch(key, False, start):
                shown.gap_to = batch.gap_to or shown.gap_to
                if batch.events:
                    on_newest = shown.cursor == 0
                    shown.events = [*shown.events, *batch.events][-HISTORY_MAX:]
                    if not on_newest:
                        shown.cursor += len(batch.events)
                    lacking.set()
                self._told()
        finally:
            dating.cancel()

    def _told(self) -> None:
        """More is known."""
        self.list.note = [("no revision of this key is kept", "dim")]
        self.list.changed()
        self.show_chosen()

    async def _date(self, session: Session, key: bytes, lacking: asyncio.Event) -> None:
        """Add when and by whom to what the watch brought, where a server knows."""
        shown = self.list
        while True:
            await lacking.wait()
            lacking.clear()
            for _ in range(TRIES):
                await asyncio.sleep(SETTLE_S)
                bare = [event.revision for event in shown.events if not event.at_ms]
                life = await session.history(key, bare[0], HISTORY_MAX) if bare else None
                if life is None:
                    break
                known = {event.revision: event for event in life.events}
                shown.events = [_dated(event, known.get(event.revision)) for event in shown.events]
                shown.changed()

    def step(self, by: int) -> None:
        """To an older (1) or newer (-1) change."""
        self.list.action_move(by)

    @on(LineList.Moved)
    @on(HistoryList.Marked)
    def show_chosen(self) -> None:
        """The difference that the chosen revision made."""
        self.post_message(self.Moved())
        event, before = self.list.current, self.list.previous
        if event is None:
            self.body.show([])
            return
        other = self.list.other
        if other is not None:
            older, newer = sorted((event, other), key=lambda each: each.revision)
            head = f"from revision {older.revision:,} to {newer.revision:,}"
            was, now = (e.value if e.kind == "put" else None for e in (older, newer))
            self.body.show([[(head, "dim")], *difference(was, now, self.form)])
            return
        old = before.value if before is not None and before.kind == "put" else None
        new = event.value if event.kind == "put" else None
        if before is None and new is not None:
            self.body.show(value_rich(decode(new, self.form)))
            return
        lines = diff_values(old, new)
        against = f"against revision {before.revision:,}: {summary(lines)}" if before else ""
        self.body.show([[(against, "dim")], *diff_rich(lines)])


def _dated(event: KeyEvent, told: KeyEvent | None) -> KeyEvent:
    """A change with when and by whom."""
    if event.at_ms or told is None:
        return event
    return replace(event, at_ms=told.at_ms, member=told.member, user=told.user)


async def remembered(session: Session, key: bytes) -> KeyLife | None:
    """What a mirror that is there knows of a key; none is filled for it."""
    status = session.past.status
    if status.source != "mirror" or status.filling or not status.rows:
        return None
    try:
        return await session.past.history(key, limit=HISTORY_MAX)
    except SessionError:
        return None  # The watch tells what the cluster itself keeps.


class HistoryDeeds:
    """What the Keys tab does in a history: from change to change of its key. A mixin."""

    kv: Workspace
    view: str
    history: KeyHistory
    record: KeyRecord | None

    @abstractmethod
    def do_key_history(self) -> None:
        """The tab's."""

    def do_key_change_before(self) -> None:
        """An older change of this key."""
        self._step(1)

    def do_key_change_after(self) -> None:
        """A newer one."""
        self._step(-1)

    def revision_here(self) -> int:
        """For travelling: the chosen change, or the last one of the key."""
        event = self.history.list.current
        if self.view == "history" and event is not None:
            return event.revision
        return self.record.mod_revision if self.record is not None else 0

    def _step(self, by: int) -> None:
        if self.view != "history":
            self.do_key_history()
        else:
            self.history.step(by)

    def do_key_compare(self) -> None:
        """Mark the revision to compare others with."""
        self.history.list.action_mark()
