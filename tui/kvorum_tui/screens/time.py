"""The Time tab: a line of everything that was written, a place on it at which all tabs look, and
below it the changes there, the keys that are gone, a comparison, or heat.

Long because the lists of all views follow one place and one prefix.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, Horizontal, Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import ContentSwitcher

from kvorum_tui import keymap
from kvorum_tui.actions import Action
from kvorum_tui.actions.time import CHANGES, COMPARE, GONE, HEAT
from kvorum_tui.model import words
from kvorum_tui.model.decode import key_from_text, key_to_text, printable
from kvorum_tui.model.records import KeyEvent
from kvorum_tui.model.time_changes import AROUND, Before
from kvorum_tui.model.time_heat import HeatMap
from kvorum_tui.screens.permits import DENIED, INSTEAD, permits_of
from kvorum_tui.screens.time_compare import CompareTree, CompareView
from kvorum_tui.screens.time_deeds import TimeDeeds
from kvorum_tui.screens.time_heat import HeatList
from kvorum_tui.screens.time_scrub import STOPPED
from kvorum_tui.screens.time_views import ChangeList, GoneList, change_detail, difference
from kvorum_tui.session import SessionError
from kvorum_tui.session.past import Gone
from kvorum_tui.widgets.dialogs import Field, Form
from kvorum_tui.widgets.paint import LineList, TextLines

if TYPE_CHECKING:
    from kvorum_tui.screens.workspace import Workspace

WANTS_ALL = frozenset(
    [
        "time_back",
        "time_forward",
        "time_back_far",
        "time_forward_far",
        "time_event_before",
        "time_event_after",
        "time_zoom_in",
        "time_zoom_out",
        "time_prefix",
        "time_gone",
        "time_heat",
    ]
)
ENOUGH = 80  # Changes around a place that fill a screen.
SPAN_FIRST = 100  # Revisions on each side that are asked for first.
LIMIT = 2_000
VALUES = 24  # Values before a change that are read at once.
NARROW = 100
GONE_MAX = 50_000  # Deleted keys in the list.
LOW = 28  # Lines; below, the bars are one line high.
HEAT_COLUMNS = 120


class TimePane(TimeDeeds):
    """Line, place, views."""

    tab = "time"
    view_names: ClassVar[Mapping[str, str]] = {
        CHANGES: "the changes (v)",
        GONE: "the deleted keys (x)",
        COMPARE: "the comparison (c)",
        HEAT: "the heat map (h)",
    }
    about = (
        "The bars are how much was written when, from the oldest revision that is kept to the "
        "newest. [ and ] go one revision back and forth, ( and ) a hundred, g anywhere; every tab "
        "shows the store as it was there, and nothing can be written until T comes back to now. "
        "Below: the changes around that place; x the keys that are gone; c any two states "
        "compared; h which prefixes were written when. On kvorum the nodes tell all this; a real "
        "etcd keeps it to itself, so that a mirror on this machine is filled by a watch from the "
        "compaction on and kept. After a compaction the revisions before it cannot be seen."
    )
    BINDINGS: ClassVar[list[BindingType]] = keymap.bindings("time")
    DEFAULT_CSS = """
    TimePane .box { border: round $border; border-title-color: $text-muted; }
    TimePane .box:focus-within { border: round $primary; }
    TimePane #time-line { height: 6; }
    TimePane.low #time-line { height: 5; }
    TimePane.low TimeStrip { height: 3; }
    TimePane ContentSwitcher { height: 1fr; }
    TimePane Horizontal { height: 1fr; }
    TimePane .time-side { width: 40%; }
    TimePane.narrow Horizontal { layout: vertical; }
    TimePane.narrow .time-side { width: 1fr; height: 40%; }
    """

    def __init__(self, kv: Workspace) -> None:
        super().__init__(kv)
        self.view = CHANGES
        self.changes = ChangeList(id="time-changes")
        self.gone = GoneList(id="time-gone")
        self.compare = CompareView()
        self.heat = HeatList(HeatMap(), id="time-heat")
        self.detail = TextLines(id="time-detail")
        self.gone_detail = TextLines(id="time-gone-detail")
        self.views = ContentSwitcher(initial="time-view-changes")
        self._detail_box = Vertical(self.detail, classes="box time-side")
        self._gone_detail_box = Vertical(self.gone_detail, classes="box time-side")
        self._changes_box = Vertical(self.changes, classes="box")
        self._gone_box = Vertical(self.gone, classes="box")
        self._heat_box = Vertical(self.heat, classes="box", id="time-view-heat")
        self._shown_at = -1
        self._heat_base = b""

    def compose(self) -> ComposeResult:
        """The line, and the views below it."""
        yield self.line_box
        with self.views:
            with Container(id="time-view-changes"), Horizontal():
                yield self._changes_box
                yield self._detail_box
            with Container(id="time-view-gone"), Horizontal():
                yield self._gone_box
                yield self._gone_detail_box
            yield self.compare
            yield self._heat_box

    def on_mount(self) -> None:
        """Names of members come from the cluster's model."""
        self.changes.name_of = self.gone.name_of = self.kv.cluster.name_of
        self._gone_box.border_title = "Deleted keys"
        self._heat_box.border_title = "Heat map"
        self.changes.note = [("asking how far the past goes…", "dim")]

    def on_resize(self) -> None:
        """One column where it is narrow."""
        self.set_class(self.size.width < NARROW, "narrow")
        self.compare.set_class(self.size.width < NARROW, "narrow")
        self.set_class(self.size.height < LOW, "low")

    def first_focus(self) -> Widget | None:
        """The list of the view."""
        lists: dict[str, Widget] = {
            CHANGES: self.changes,
            GONE: self.gone,
            COMPARE: self.compare.tree_list,
            HEAT: self.heat,
        }
        return lists[self.view]

    # --- views and actions ------------------------------------------------------------------------

    def reason(self, action: Action) -> str:
        """What writes here comes back to now by itself first."""
        why = super().reason(action)
        if why and action.changes and self.kv.at and not self.kv.session.read_only:
            return self.why_not_here(action)
        return why

    def why_not(self, name: str) -> str:
        """Why an action cannot be done now."""
        if name in ("time_forward", "time_forward_far", "time_now") and not self.line.place:
            return "this is now"
        if name in ("time_back", "time_back_far", "time_oldest"):
            if self.error and self.line.bounds.newest <= 1:
                return self.error
            if self.line.here <= self.line.bounds.oldest:
                return f"nothing is kept before revision {self.line.bounds.oldest:,}"
        if self.denied and name in WANTS_ALL:
            return self.denied
        if name == "time_event_before" and self.line.event(-1) is None:
            return "no mark on the line before this"
        if name == "time_event_after" and self.line.event(1) is None:
            return "no mark on the line after this"
        return self.why_no_deed(name)

    def show_view(self, view: str) -> None:
        """Another view, with the focus in it."""
        self.view = view
        self.views.current = f"time-view-{view}"
        focus = self.first_focus()
        if focus is not None:
            focus.focus()
        self.kv.refresh_actions()

    def back(self) -> bool:
        """Escape: stop what runs; then to the changes; then take the prefix away."""
        if self.compare.running:
            self.stop_group("compare")
            return True
        if self.planning:
            self.stop_group("action")
            return True
        if self.kv.session.past.status.filling and self.error != STOPPED:
            for group in ("look", "changes", "gone", "heat"):
                self.stop_group(group)
            self.error = STOPPED
            self.aside(self.kv.session.past.stop, group="stop")
            self._told()
            return True
        if self.view == HEAT and self._heat_base:
            self.look_into(b"")
            return True
        if self.view != CHANGES:
            self.show_view(CHANGES)
            return True
        if self.prefix:
            self._set_prefix(b"")
            return True
        return False

    def stop_group(self, group: str) -> None:
        """End what runs in a group of this tab's."""
        self.workers.cancel_group(self, f"{self.tab}-{group}")

    def do_time_changes(self) -> None:
        """The changes."""
        self.show_view(CHANGES)

    # --- what the line tells ----------------------------------------------------------------------

    def known(self) -> None:
        """Changes are shown, once there is something to show."""
        self.changes.seen = self.gone.seen = self.line.bounds.seen
        if self._shown_at != self.line.here or not self.changes.changes.events:
            self.reload_changes()

    def waiting(self, note: str) -> None:
        """Why nothing is shown."""
        if not self.changes.changes.events:
            self.changes.note = self._denied_note() or [(note, "warn" if self.error else "dim")]
            self.changes.changed()

    def _denied_note(self) -> list[tuple[str, str]]:
        """What there is for a user who may not read every key."""
        if not self.denied:
            return []
        return [(self.denied, "warn"), *((line, "dim") for line in INSTEAD)]

    def placed(self) -> None:
        """The heat map points at it."""
        self.heat.here = self.line.here
        self.heat.refresh()

    def zoomed(self) -> None:
        """The heat map shows the same stretch."""
        if self.view == HEAT:
            self.do_time_heat()

    # --- the changes there ------------------------------------------------------------------------

    def reload(self) -> None:
        """The view in front, anew."""
        self._shown_at = -1
        if self.view == GONE:
            self.do_time_gone()
        elif self.view == HEAT:
            self.do_time_heat()
        self.reload_changes()

    def reload_changes(self) -> None:
        """What is around the place."""
        self.aside(self._load_changes, group="changes", exclusive=True)

    async def _load_changes(self) -> None:
        line, shown = self.line, self.changes
        here = line.here
        try:
            events = await self._around(here)
        except SessionError as error:
            shown.changes.show([])
            if error.code == DENIED:
                self.denied = self.denied or permits_of(self.kv).past_denied
            other = [(str(error), "warn"), ("f5 asks again", "dim")]
            shown.note = self._denied_note() or other
            shown.stand(here)
            self.show_change()
            return
        before = [event for event in events if event.revision <= here][-AROUND:]
        after = [event for event in events if event.revision > here][:AROUND]
        shown.changes.show([*before, *after])
        under = f" under {printable(self.prefix)}" if self.prefix else ""
        shown.note = [(f"nothing was written{under} in what is kept", "dim")]
        self._shown_at = here
        shown.stand(here)
        at = f"revision {here:,}" if line.place else f"now, revision {here:,}"
        self._changes_box.border_title = Content(f"Changes around {at}")
        self.show_change()
        await self._read_before()

    async def _around(self, here: int) -> list[KeyEvent]:
        """Enough changes on both sides, asked for in growing stretches."""
        past, bounds = self.kv.session.past, self.line.bounds
        span = SPAN_FIRST
        while True:
            first, last = max(1, here - span), here + span
            found: list[KeyEvent] = []
            async for events in past.changes(self.prefix, first, last, LIMIT):
                found += events
            cut = len(found) >= LIMIT and found[-1].revision <= here
            if cut and span > 1:
                span //= 10  # Large transactions: what is asked for would end before the place.
                continue
            whole = first <= bounds.oldest and last >= bounds.newest
            if cut or whole or len(found) >= ENOUGH or span < SPAN_FIRST:
                return found
            span *= 10

    async def _read_before(self) -> None:
        """What was before the changes that are in sight."""
        changes = self.changes.changes
        middle = self.changes.cursor
        for event in changes.lacking(middle, VALUES):
            await self._before(event)
        self.changes.refresh()
        self.show_change()

    async def _before(self, event: KeyEvent) -> Before:
        changes = self.changes.changes
        known = changes.before_of(event)
        if known is None:
            try:
                past = self.kv.session.past
                record = await past.get(event.key, max(1, event.revision - 1))
                known = Before(record.value if record is not None else None)
            except SessionError:
                known = Before(None, lost=True)  # Compacted, or of a gap.
            changes.before[event.key, event.revision] = known
        return known

    @on(LineList.Moved, "#time-changes")
    def _moved(self) -> None:
        self.show_change()
        event = self.changes.current
        if event is not None and self.changes.changes.before_of(event) is None:
            self.aside(self._read_before, group="before", exclusive=True)

    def masked(self) -> None:
        """The details."""
        self.show_change()
        self._show_gone()
        self.compare.show_chosen()

    def show_change(self) -> None:
        """What the change under the cursor did."""
        event = self.changes.current
        if event is None:
            self.detail.show([], "nothing chosen")
            self._detail_box.border_title = ""
            return
        self._detail_box.border_title = Content(printable(event.key))
        who = self.kv.cluster.name_of(event.member) if event.member else ""
        who = f"{event.user}@{who}" if event.user else who
        before = self.changes.changes.before_of(event)
        self.detail.show(change_detail(event, before, who, self.line.bounds.seen, ""))

    @on(LineList.Chosen, "#time-changes")
    def _open_change(self) -> None:
        if self.changes.current is not None:
            self.kv.goto_key(self.changes.current.key)

    def revision_here(self) -> int:
        """What T goes to: the row under the cursor."""
        if self.view == CHANGES and self.changes.current is not None:
            return self.changes.current.revision
        if self.view == GONE and self.gone.current is not None:
            return max(1, self.gone.current.revision - 1)
        row = self.compare.tree_list.current
        if self.view == COMPARE and row is not None and row.leaf is not None:
            return row.leaf.b_mod or row.leaf.a_mod
        return 0

    async def do_time_prefix(self) -> None:
        """Only what is under a prefix."""
        filled = await self.kv.push_screen_wait(
            Form(
                "Only under a prefix",
                [Field("prefix", "Prefix; empty: all keys", key_to_text(self.prefix))],
                "Show",
            )
        )
        if filled is not None:
            self._set_prefix(key_from_text(filled["prefix"]))

    def _set_prefix(self, prefix: bytes) -> None:
        self.prefix = prefix
        self.aside(self._weigh, group="look", exclusive=True)
        self._told()
        self.reload()

    # --- what is gone -----------------------------------------------------------------------------

    def do_time_gone(self) -> None:
        """Keys that were deleted."""
        self.show_view(GONE)
        self.aside(self._load_gone, group="gone", exclusive=True)

    async def _load_gone(self) -> None:
        shown = self.gone
        shown.gone, shown.marked = [], set()
        shown.note = [("looking for keys that are gone… esc stops", "dim")]
        shown.changed()
        async for gone in self.kv.session.past.deleted(self.prefix):
            shown.gone += gone
            if len(shown.gone) >= GONE_MAX:
                break
            self._gone_box.border_title = Content(f"Deleted keys · {len(shown.gone):,} so far")
            shown.changed()
        under = f" under {printable(self.prefix)}" if self.prefix else ""
        shown.note = [(f"no deletion of a key that is still missing is known{under}", "good")]
        many = len(shown.gone) >= GONE_MAX
        more = ", and more: narrow it down with / to a prefix" if many else ""
        text = f"Deleted keys{under} · {len(shown.gone):,}{more}"
        self._gone_box.border_title = Content(text)
        shown.changed()
        self._show_gone()

    @on(LineList.Moved, "#time-gone")
    def _show_gone(self) -> None:
        gone = self.gone.current
        if gone is None:
            self.gone_detail.show([])
            return
        self.aside(lambda: self._read_gone(gone), group="gone-detail", exclusive=True)

    async def _read_gone(self, gone: Gone) -> None:
        self._gone_detail_box.border_title = Content(printable(gone.key))
        if not gone.last:
            text = "compacted away: it cannot come back"
            self.gone_detail.show([[(text, "warn")]])
            return
        record = await self.kv.session.past.get(gone.key, gone.revision - 1)
        facts = f"deleted at revision {words.count(gone.revision)}; u brings it back"
        value = difference(None, record.value)[2:] if record is not None else []
        self.gone_detail.show([[(facts, "dim")], *value])

    @on(LineList.Chosen, "#time-gone")
    def _open_gone(self) -> None:
        gone = self.gone.current
        if gone is not None:
            self.go(max(1, gone.revision - 1))
            self.show_view(CHANGES)

    # --- the comparison and the heat --------------------------------------------------------------

    @on(CompareTree.Opened)
    def _open_leaf(self, message: CompareTree.Opened) -> None:
        b = self.compare.b
        if b is not None and b.session is self.kv.session:
            self.kv.goto_key(b.prefix + message.leaf.key)

    def do_time_heat(self) -> None:
        """Which prefixes were written when."""
        self.show_view(HEAT)
        self.aside(self._load_heat, group="heat", exclusive=True)

    async def _load_heat(self) -> None:
        shown, line = self.heat, self.line
        base = self._heat_base or self.prefix
        shown.note = [("counting writes… esc stops", "dim")]
        shown.here = line.here
        shown.changed()
        past = self.kv.session.past
        if self._looked and line.bounds.newest <= 1:
            line.bounds = await past.bounds()
        first, last = line.first, line.last
        while True:
            cells = await past.heat(base, b"/", first, last, HEAT_COLUMNS)
            parts = {cell.prefix for cell in cells}
            if len(parts) != 1 or not (only := parts.pop()).endswith(b"/"):
                break
            base = only  # A single branch says nothing; what is in it does.
        width = max(1, -(-(last - first + 1) // HEAT_COLUMNS))
        columns = max(1, -(-(last - first + 1) // width))
        shown.model.show(first, last, columns, base, cells)
        shown.note = [("nothing was written in this stretch", "dim")]
        self._heat_titled()
        shown.changed()

    def _heat_titled(self) -> None:
        model = self.heat.model
        under = printable(model.base) or "all keys"
        span = f"revisions {model.first:,} to {model.last:,}"
        self._heat_box.border_title = Content(f"Heat map · {model.measure} under {under} · {span}")
        legend = "hotter is more; enter looks into a prefix, esc comes out"
        self._heat_box.border_subtitle = legend

    @on(HeatList.Entered)
    def _entered(self, message: HeatList.Entered) -> None:
        if message.prefix.endswith(b"/"):
            self.look_into(message.prefix)
        else:
            self.kv.goto_key(message.prefix)

    def look_into(self, prefix: bytes) -> None:
        """The heat map of what is under a prefix."""
        self._heat_base = prefix
        self.heat.cursor = 0
        self.do_time_heat()

    def do_time_measure(self) -> None:
        """Writes or bytes."""
        model = self.heat.model
        model.measure = "bytes" if model.measure == "writes" else "writes"
        self._heat_titled()
        self.heat.changed()

    def do_time_letters(self) -> None:
        """Letters or colours."""
        self.heat.letters = not self.heat.letters
        self.heat.changed()
