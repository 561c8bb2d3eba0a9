"""The line of the Time tab: how far the past goes, how much was written when, and the place at
which all tabs look.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from textual import on
from textual.containers import Vertical
from textual.content import Content
from textual.timer import Timer

from kvorum_tui.model import words
from kvorum_tui.model.decode import printable
from kvorum_tui.model.time_line import happenings
from kvorum_tui.model.time_place import HINT, Place, clock_text, parse_place
from kvorum_tui.screens.pane import Pane
from kvorum_tui.screens.permits import DENIED, permits_of
from kvorum_tui.screens.time_views import ChangeList
from kvorum_tui.session import SessionError
from kvorum_tui.widgets.dialogs import Field, Form
from kvorum_tui.widgets.time_line import TimeStrip

if TYPE_CHECKING:
    from kvorum_tui.screens.workspace import Workspace

SETTLE_S = 0.15  # After the last step of scrubbing, all tabs follow.
PACE = 20  # Looking takes at most so small a part of the time: a large history is slow to ask.
LOOK_AGAIN_S = 3.0  # The line grows this often while the tab is in front.
BUCKETS = 240
STOPPED = "stopped"


class TimeScrub(Pane):
    """Line and place; what is shown at the place is the subclass's."""

    def __init__(self, kv: Workspace) -> None:
        super().__init__(kv)
        self.line = kv.time
        self.prefix = b""
        self.error = ""
        self.denied = ""
        self.strip = TimeStrip(self.line, id="time-strip")
        self.line_box = Vertical(self.strip, classes="box", id="time-line")
        self._looked = False
        self._looked_at = -LOOK_AGAIN_S
        self._asked_at_revision = -1
        self._noted = ""
        self._pace_s = LOOK_AGAIN_S
        self._settling: Timer | None = None

    # --- for the subclass -------------------------------------------------------------------------

    def reload(self) -> None:
        """Everything that is shown, anew."""

    def reload_changes(self) -> None:
        """What is around the place, anew."""

    def known(self) -> None:
        """More is known of how far the past goes."""

    def waiting(self, note: str) -> None:
        """There is nothing to show yet, for this reason."""

    def placed(self) -> None:
        """The place is another."""

    def zoomed(self) -> None:
        """The line shows another stretch."""

    # --- how far the past goes --------------------------------------------------------------------

    def refresh_at(self, now: float) -> None:
        """The first look when the tab is first in front; then now and then, when there is more."""
        if self.kv.pane is not self:
            return
        newest = self.kv.cluster.newest(now)
        revision = newest.revision if newest is not None else 0
        status = self.kv.session.past.status
        if not self._looked or (
            now - self._looked_at >= self._pace_s
            and revision != self._asked_at_revision
            and not self.error
            and not status.filling
        ):
            self._looked = True
            self._looked_at, self._asked_at_revision = now, revision
            self.aside(self._look, group="look", exclusive=True)
        self._told()

    def _told(self) -> None:
        """What the strip says instead of bars, and where it comes from."""
        status = self.kv.session.past.status
        note = ""
        if self.denied:
            note = "not every key may be read: no bars · f5 asks again"
        elif self.error:
            note = f"{self.error} · f5 asks again"
        elif status.filling and not self.line.buckets:
            note = f"reading the history: {words.count(status.revision)} of "
            note += f"{words.count(status.newest)} revisions · esc stops"
        self.strip.note = note
        if note:
            self.waiting(note)
        self.strip.refresh()
        self.line_box.border_title = Content(self._title())
        source = {"nodes": "told by the nodes", "mirror": "from a mirror on this machine"}
        text = "" if self.denied else source.get(status.source, "")
        if status.source == "mirror" and status.path:
            kept = "for this run only" if status.private else "kept"
            text = f"mirror {words.size(status.size_bytes)}, {kept}: {status.path}"
        self.line_box.border_subtitle = Content(status.error or text)
        if status.note and status.note != self._noted:
            self._noted = status.note
            self.kv.tell(status.note)

    def _title(self) -> str:
        bounds = self.line.bounds
        text = f"Time · oldest revision {words.count(bounds.oldest)}"
        clock = clock_text(bounds.oldest_at_ms)
        text += f" of {clock}" if clock else ""
        if self.prefix:
            text += f" · only {printable(self.prefix)}"
        if self.line.place:
            text += " · WRITES OFF, T comes back to now"
        return text

    def do_time_reload(self) -> None:
        """Ask again."""
        self.error = self.denied = ""
        self.aside(self._look, group="look", exclusive=True)
        self.reload()

    async def _look(self) -> None:
        """How far it goes, and how much was written when."""
        past = self.kv.session.past
        began = time.monotonic()
        try:
            self.line.bounds = await past.bounds()
            await self._weigh()
            self._pace_s = max(LOOK_AGAIN_S, PACE * (time.monotonic() - began))
            self.error = self.denied = ""
        except SessionError as error:
            self.error = error.message
            if error.code == DENIED:
                self.denied = self.error = permits_of(self.kv).past_denied
            self.kv.time_known()
            self._told()
            if error.code == DENIED:
                return  # The tab says it, with what there is instead.
            raise
        self.kv.time_known()
        self._told()
        self.known()

    async def _weigh(self) -> None:
        """The bars and the clocks of the ends."""
        past, line = self.kv.session.past, self.line
        first, last = line.first, line.last
        line.buckets = await past.density(self.prefix, first, last, BUCKETS)
        line.happened = happenings(line.bounds, line.buckets, self.kv.cluster.ribbon.events)
        if line.zoom:
            self.strip.clocks = (await past.clock_of(first), await past.clock_of(last))
        else:
            self.strip.clocks = (line.bounds.oldest_at_ms, line.bounds.newest_at_ms)
        self.strip.refresh()

    def do_time_zoom_in(self) -> None:
        """Closer."""
        self._zoom(1)

    def do_time_zoom_out(self) -> None:
        """Wider."""
        self._zoom(-1)

    def _zoom(self, by: int) -> None:
        if not self.line.zoomed(by):
            text = "all that is kept is shown" if by < 0 else "this is as close as it goes"
            self.kv.tell(text)
            return
        self.aside(self._weigh, group="look", exclusive=True)
        self.zoomed()

    # --- going somewhere --------------------------------------------------------------------------

    def go(self, revision: int) -> None:
        """Stand at a revision; a moment later all tabs do."""
        line = self.line
        line.place = line.clamped(revision)
        if line.follow():
            self.aside(self._weigh, group="look", exclusive=True)
        self.strip.at_ms = 0
        self.strip.refresh()
        self.placed()
        if self._settling is not None:
            self._settling.stop()
        self._settling = self.set_timer(SETTLE_S, self._arrive)
        self.kv.refresh_actions()

    def _arrive(self) -> None:
        self._settling = None
        if self.kv.at != self.line.place:
            self.kv.travel(self.line.place)
        else:
            self.reload_changes()

    def travelled(self, revision: int) -> None:
        """Somebody went there; this tab shows where that is."""
        self.line.place = revision
        if not self._looked:
            self._looked = True
            self.aside(self._look, group="look", exclusive=True)
        self.strip.at_ms = 0
        self.placed()
        self.strip.refresh()
        self.reload_changes()
        self.aside(self._when, group="when", exclusive=True)

    async def _when(self) -> None:
        """When the place was written."""
        revision = self.line.place
        at_ms = 0
        if revision and not self.denied:
            try:
                at_ms = await self.kv.session.past.clock_of(revision)
            except SessionError as error:
                if error.code != DENIED:
                    raise
        if self.line.place == revision:
            self.strip.at_ms = at_ms
            self.strip.refresh()
            self.kv.banner.show(at_ms)

    def do_time_back(self) -> None:
        """One back."""
        self.go(self.line.stepped(-1) or self.line.here - 1)

    def do_time_forward(self) -> None:
        """One forward."""
        self.go(self.line.here + 1)

    def do_time_back_far(self) -> None:
        """A hundred back."""
        self.go(self.line.here - 100)

    def do_time_forward_far(self) -> None:
        """A hundred forward."""
        self.go(self.line.here + 100)

    def do_time_oldest(self) -> None:
        """As far back as it goes."""
        self.go(self.line.bounds.oldest)

    def do_time_now(self) -> None:
        """Back to now."""
        self.go(self.line.bounds.newest)

    def do_time_event_before(self) -> None:
        """The mark before."""
        self._go_event(-1)

    def do_time_event_after(self) -> None:
        """The mark after."""
        self._go_event(1)

    def _go_event(self, direction: int) -> None:
        mark = self.line.event(direction)
        if mark is not None:
            self.go(mark.revision)
            self.kv.tell(f"revision {mark.revision:,}: {mark.text}")

    @on(TimeStrip.Picked)
    def _picked(self, message: TimeStrip.Picked) -> None:
        if not self.error:
            self.go(message.revision)

    @on(ChangeList.Edge)
    def _edge(self, message: ChangeList.Edge) -> None:
        self.kv.do("time_now" if message.last else "time_oldest")

    async def do_time_goto(self) -> None:
        """A revision, a clock, a distance."""
        line = self.line

        def wrong(text: str) -> str:
            place = parse_place(text, int(time.time() * 1000), line.place, line.bounds.newest)
            return place if isinstance(place, str) else ""

        bounds = line.bounds
        label = f"Where to? Revision {bounds.oldest:,} to {bounds.newest:,}, or a time"
        filled = await self.kv.push_screen_wait(
            Form("Go to", [Field("place", label, hint=HINT, check=wrong)], "Go")
        )
        if filled is None:
            return
        text = filled["place"]
        place = parse_place(text, int(time.time() * 1000), line.place, bounds.newest)
        assert isinstance(place, Place), "the form has checked it"
        if place.edge:
            self.go(bounds.newest if place.edge == "now" else bounds.oldest)
        elif place.revision:
            self._go_told(place.revision)
        else:
            await self._go_clock(place.at_ms)

    def _go_told(self, revision: int) -> None:
        """Go, and say so when one cannot go that far."""
        bounds = self.line.bounds
        if revision < bounds.oldest:
            text = f"compacted: nothing is kept before revision {bounds.oldest:,}"
            self.kv.tell(text, "warning")
        self.go(revision)

    async def _go_clock(self, at_ms: int) -> None:
        revision = await self.kv.session.past.revision_at(at_ms)
        if revision:
            self._go_told(revision)
            return
        clock = clock_text(self.line.bounds.oldest_at_ms)
        text = f"nothing is kept from before {clock}"
        if self.line.bounds.seen or not clock:
            text = "etcd does not tell when anything was written, and no terminal was open then"
        self.kv.tell(text, "warning")

    def do_time_mark_a(self) -> None:
        """Call it A."""
        self._mark("A")

    def do_time_mark_b(self) -> None:
        """Call it B."""
        self._mark("B")

    def _mark(self, name: str) -> None:
        line = self.line
        if line.marks.get(name) == line.here:
            del line.marks[name]
            self.kv.tell(f"{name} is no longer marked")
        else:
            line.marks[name] = line.here
            self.kv.tell(f"{name} is revision {line.here:,}; c compares A and B")
        self.strip.refresh()
