"""The Watch tab: up to six live panes, tiled; those that do not fit wait behind tabs."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input, Static

from kvorum_tui import keymap
from kvorum_tui.feeds import Pulse
from kvorum_tui.model import words
from kvorum_tui.model.decode import key_to_text
from kvorum_tui.model.watch_buffer import COALESCE
from kvorum_tui.model.watch_layout import PANES_MAX, PaneSpec, Tiling, tiling
from kvorum_tui.screens import watch_forms as forms
from kvorum_tui.screens.watch_box import Box, MembersBox, WatchBox
from kvorum_tui.screens.watch_keeping import WatchKeeping
from kvorum_tui.widgets.dialogs import Field, Form, Reader
from kvorum_tui.widgets.event_log import Followed
from kvorum_tui.widgets.paint import Line, Painted

if TYPE_CHECKING:
    from kvorum_tui.screens.workspace import Workspace

REFRESH_S = 0.5  # Rates and strips of panes in which nothing happens.
FRAME_S = 0.1  # All panes are painted together, so often at most: reading is not quicker.


class BoxStrip(Painted):
    """The panes by number and name, where not all of them are on the screen."""

    DEFAULT_CSS = "BoxStrip { height: 1; background: $panel; display: none; }"

    def __init__(self, pane: WatchPane) -> None:
        super().__init__()
        self.pane = pane

    def paint(self, y: int, width: int) -> Line:
        """Names; brackets round the current one."""
        line = self.line().add(" ")
        boxes, current = self.pane.boxes, self.pane.current
        room = max(6, (width - 4) // max(1, len(boxes)) - 5)
        for number, box in enumerate(boxes):
            name = box.name_shown
            name = name if len(name) <= room else name[: room - 1] + "…"
            text = f"[{number + 1} {name}]" if box is current else f" {number + 1} {name} "
            ink = "branch" if box is current else "text" if box.display else "dim"
            line.add(text, ink, {"@click": f"show({number})"})
        return line

    def action_show(self, number: int) -> None:
        """A click on a name."""
        self.pane.show_pane(number)


class WatchPane(WatchKeeping, can_focus=True):
    """Live panes, tiled."""

    tab = "watch"
    about = (
        "Each pane is a watch of its own, on a key or on everything under a prefix. A line is one "
        "change: the revision, + for a write or − for a deletion, the key, and what changed: for "
        "JSON the paths, for text the words in [old→new]. All changes of one revision come "
        "together and in order. When the connection breaks, the watch goes on at the revision "
        "behind the last one shown, so nothing is missed; where compaction took history away, a "
        "line starting with ~ says so. Counters at the foot add up: every event is shown, held, "
        "hidden by the filter, coalesced with another of its key, or dropped by the bound of "
        "5,000 rows and 16 MiB. The strip is the rate of the newest seconds. m watches through "
        "every member at once: the columns say how much later than the first each one was."
    )
    BINDINGS: ClassVar[list[BindingType]] = keymap.bindings("watch")
    DEFAULT_CSS = """
    WatchPane #tiles { layout: grid; grid-size: 1; height: 1fr; }
    WatchPane #empty { padding: 1 2; color: $text-muted; height: auto; }
    """

    def __init__(self, kv: Workspace) -> None:
        super().__init__(kv)
        self.zoomed = False
        self._number = 0
        self._looked = False
        self._tiling = Tiling(1, (), ())
        self.strip = BoxStrip(self)
        self.pulse = Pulse(self._paint, FRAME_S)
        self._news: set[Box] = set()
        self._refreshed = 0.0

    def compose(self) -> ComposeResult:
        """No pane yet."""
        yield self.strip
        yield Static(Content(self._empty_text()), id="empty")
        yield Container(id="tiles")

    def _empty_text(self) -> str:
        text = (
            "No watch is open.\n\na  adds one; or press w on a key or branch in the Keys tab (1)."
        )
        text += "\nm  watches a prefix through every member at once."
        if self.kept is not None and self.kept.panes:
            panes = words.plural(len(self.kept.panes), "pane")
            text += f"\nL  opens the {panes} kept for this cluster."
        return text

    # --- frames -----------------------------------------------------------------------------------

    def news(self, box: Box) -> None:
        """A pane has something to show: all that have share a frame."""
        self._news.add(box)
        self.pulse.mark()

    def _paint(self) -> None:
        news, self._news = self._news, set()
        front = self.is_attached and self.kv.pane is self
        for box in news:
            if front and box.display and not box.closing:
                box.arrived()
            else:
                box.unseen()

    # --- panes ------------------------------------------------------------------------------------

    @property
    def boxes(self) -> list[Box]:
        """Open panes, in order."""
        return [box for box in self.query(Box) if not box.closing]

    @property
    def current(self) -> Box | None:
        """The pane that keys are for."""
        boxes = self.boxes
        return boxes[min(self._number, len(boxes) - 1)] if boxes else None

    def revision_here(self) -> int:
        """For travelling: the event under the cursor."""
        event = self.current.event() if self.current is not None else None
        return event.revision if event is not None else 0

    @property
    def watching(self) -> WatchBox | None:
        """The same, if it is a watch of its own."""
        box = self.current
        return box if isinstance(box, WatchBox) else None

    def first_focus(self) -> Widget | None:
        """The current pane."""
        box = self.current
        return box.log_view if box is not None else self

    def refresh_at(self, now: float) -> None:
        """Rates fall while nothing comes."""
        if now - self._refreshed >= REFRESH_S or now < self._refreshed:
            self._refreshed = now
            for box in self.boxes:
                self.news(box)
        if not self._looked and any(m.report is not None for m in self.kv.cluster.rows()):
            self._looked = True
            self.aside(self.look_for_layout, "layout")

    def why_not(self, name: str) -> str:
        """Most need a pane, some an event or a watch of its own."""
        if name == "watch_record":
            return ""
        if name in ("watch_add", "watch_members"):
            full = len(self.boxes) >= PANES_MAX
            return f"{PANES_MAX} panes are open; x closes one" if full else ""
        if name == "watch_layout":
            return "" if self.kept is not None else "no layout is kept; S keeps one"
        box = self.current
        if box is None:
            return "no pane is open; a adds one"
        if name in ("watch_view", "watch_travel", "watch_goto"):
            if name == "watch_view" and box.entry() is not None:
                return ""
            return "" if box.event() is not None else "no event is under the cursor"
        own = ("watch_pause", "watch_filter", "watch_save", "watch_hook", "watch_coalesce")
        if name in (*own, "watch_clear") and not isinstance(box, WatchBox):
            return "the columns of the members show everything, as it comes"
        if name == "watch_pause" and box.at:
            return "you look at the past; T comes back to now"
        return ""

    def add_pane(self, key: bytes, prefix: bool, start_revision: int, name: str = "") -> None:
        """Open a watch."""
        self.open_pane(PaneSpec(key, prefix, name), start_revision)

    def open_pane(self, spec: PaneSpec, start_revision: int = 0) -> None:
        """Open a pane as a layout describes it."""
        boxes = len(self.boxes)
        if not boxes:
            # What lives as long as the app (most of a million objects) need not be looked at again
            # by the collector: in a storm that would stop everything for 100 ms now and then.
            gc.freeze()
        if boxes >= PANES_MAX:
            self.kv.tell(f"{PANES_MAX} panes are open; close one first (x)", "warning")
            return
        box = MembersBox(self, spec) if spec.members else WatchBox(self, spec, start_revision)
        self._number = boxes
        self.query_one("#tiles").mount(box)
        self.tile()
        self.call_after_refresh(box.log_view.focus)
        self.kv.refresh_actions()

    def tile(self) -> None:
        """Lay the panes out anew."""
        boxes = self.boxes
        self._number = max(0, min(self._number, len(boxes) - 1))
        size = self.size
        plan = tiling(len(boxes), self._number, size.width, size.height, self.zoomed)
        self._tiling = plan
        empty = self.query_one("#empty", Static)
        empty.display = not boxes
        if not boxes:
            empty.update(Content(self._empty_text()))
        self.strip.display = len(plan.panes) < len(boxes)
        self.query_one("#tiles").styles.grid_size_columns = plan.columns
        for number, box in enumerate(boxes):
            box.display = number in plan.panes
            if box.display:
                box.arrived()
                box.styles.column_span = plan.spans[plan.panes.index(number)]
        self.strip.refresh()

    def on_resize(self) -> None:
        """Another number of panes may fit."""
        self.tile()

    def on_descendant_focus(self) -> None:
        """The pane with the focus is the current one."""
        focused = self.app.focused
        for number, box in enumerate(self.boxes):
            if focused is not None and box in focused.ancestors_with_self:
                self._number = number
        self.strip.refresh()
        self.kv.refresh_actions()

    def show_pane(self, number: int) -> None:
        """Bring a pane to the screen, with the focus."""
        boxes = self.boxes
        if boxes:
            self._number = number % len(boxes)
            self.tile()
            boxes[self._number].log_view.focus()

    async def on_unmount(self) -> None:
        """End commands and files."""
        await self.commands.close()
        for box in self.query(Box):
            await box.end()

    # --- adding and closing -----------------------------------------------------------------------

    async def do_watch_add(self) -> None:
        """Ask for a key."""
        values = await self.app.push_screen_wait(forms.add_form())
        if values is not None:
            key, prefix = forms.key_and_prefix(values["key"])
            start = int(values["start"].replace(",", "").strip() or 0)
            self.add_pane(key, prefix, start, values["name"].strip())

    async def do_watch_members(self) -> None:
        """The current pane's key through every member; without one, ask."""
        box = self.watching
        spec = PaneSpec(box.key, box.prefix) if box is not None else PaneSpec(b"", True)
        text = "Key, or prefix with * at its end"
        start = key_to_text(spec.key) + ("*" if spec.prefix else "")
        field = Field("key", text, start, check=forms.needs_text)
        values = await self.app.push_screen_wait(Form("Watch through every member", [field], "Go"))
        if values is not None:
            key, prefix = forms.key_and_prefix(values["key"])
            self.open_pane(PaneSpec(key, prefix, members=True))

    async def do_watch_close(self) -> None:
        """Close the current pane."""
        box = self.current
        if box is None:
            return
        await box.end()
        await box.remove()
        self.zoomed = False
        self.tile()
        first = self.first_focus()
        if first is not None:
            first.focus()
        self.kv.refresh_actions()

    def do_watch_zoom(self) -> None:
        """One, or all."""
        self.zoomed = not self.zoomed
        self.show_pane(self._number)

    def do_watch_next(self) -> None:
        """Focus the next pane."""
        self.show_pane(self._number + 1)

    def do_watch_previous(self) -> None:
        """Focus the pane before."""
        self.show_pane(self._number - 1)

    async def do_watch_rename(self) -> None:
        """Another name."""
        box = self.current
        if box is None:
            return
        field = Field("name", "Name (empty: the key)", box.named)
        values = await self.app.push_screen_wait(Form("Name this pane", [field], "Name"))
        if values is not None:
            box.rename(values["name"].strip())
            self.strip.refresh()

    # --- the events of a pane ---------------------------------------------------------------------

    def do_watch_pause(self) -> None:
        """Hold back or let in."""
        box = self.watching
        if box is not None:
            box.buffer.pause(not box.buffer.paused)
            box.arrived()

    def do_watch_follow(self) -> None:
        """Follow or stay."""
        box = self.current
        if box is not None:
            box.follow(not box.log_view.follow)

    def do_watch_filter(self) -> None:
        """Open the filter line."""
        box = self.watching
        if box is not None:
            field = box.query_one(Input)
            field.add_class("on")
            field.focus()

    def do_watch_coalesce(self) -> None:
        """In storms only, never, always."""
        box = self.watching
        if box is not None:
            now = COALESCE.index(box.buffer.coalescing)
            box.buffer.coalescing = COALESCE[(now + 1) % len(COALESCE)]
            said = {
                "auto": "many changes at once are merged by key",
                "off": "every change is a row",
                "always": "a row a key",
            }
            self.kv.tell(f"coalescing: {said[box.buffer.coalescing]}")

    def do_watch_clear(self) -> None:
        """Empty the pane."""
        box = self.watching
        if box is not None:
            box.buffer.clear()
            box.arrived()

    async def do_watch_view(self) -> None:
        """Everything about one event."""
        box = self.current
        entry = box.entry() if box is not None else None
        if entry is not None:
            lines = await asyncio.to_thread(forms.event_lines, entry)
            await self.app.push_screen_wait(Reader("Event", lines))

    def do_watch_goto(self) -> None:
        """The event's key."""
        event = self.current.event() if self.current is not None else None
        if event is not None:
            self.kv.goto_key(event.key)

    def do_watch_travel(self) -> None:
        """The event's revision, in all tabs."""
        event = self.current.event() if self.current is not None else None
        if event is not None:
            self.kv.travel(event.revision)

    @on(Followed.Chosen)
    def _chosen(self, event: Followed.Chosen) -> None:
        event.stop()
        self.kv.do("watch_travel")

    def travelled(self, revision: int) -> None:
        """All panes show what was up to then; live ones go on when one is back."""
        for box in self.boxes:
            box.travelled(revision)
            box.subtitle()

    def back(self) -> bool:
        """Escape clears the filter, then leaves the zoom."""
        box = self.watching
        if box is not None and box.clear_filter():
            return True
        if self.zoomed:
            self.do_watch_zoom()
            return True
        return False
