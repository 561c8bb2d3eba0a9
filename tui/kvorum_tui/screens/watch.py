"""The Watch tab: up to six live panes, each a key or a prefix."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input, Static
from textual.worker import Worker

from kvorum_tui import keymap
from kvorum_tui.feeds import WatchFeed
from kvorum_tui.model.decode import key_from_text, printable
from kvorum_tui.model.watch_buffer import Gap, WatchBuffer
from kvorum_tui.screens.pane import Pane
from kvorum_tui.widgets.dialogs import Field, Form
from kvorum_tui.widgets.event_log import EventLog

if TYPE_CHECKING:
    from kvorum_tui.screens.workspace import Workspace


PANES_MAX = 6


class WatchBox(Vertical):
    """One live pane."""

    DEFAULT_CSS = """
    WatchBox {
        border: round $border; border-title-color: $text; border-subtitle-color: $text-muted;
        height: 1fr;
    }
    WatchBox:focus-within { border: round $primary; border-title-color: $primary; }
    WatchBox Input { display: none; border: none; height: 1; background: $panel; padding: 0 1; }
    WatchBox Input.on { display: block; }
    """

    def __init__(self, pane: WatchPane, key: bytes, prefix: bool, start_revision: int) -> None:
        super().__init__()
        self.pane = pane
        self.key = key
        self.prefix = prefix
        self.buffer = WatchBuffer()
        self.log_view = EventLog(self.buffer, show_keys=prefix)
        self.feed = WatchFeed(
            pane.kv.session, self.buffer, key, prefix, start_revision, pane.kv.clock, self.arrived
        )
        self.worker: Worker[None] | None = None

    @property
    def what(self) -> str:
        """The pane's name."""
        if not self.key and self.prefix:
            return "all keys"
        return printable(self.key) + ("*" if self.prefix else "")

    def compose(self) -> ComposeResult:
        """Filter line and events."""
        yield Input(placeholder="put delete !word ~regex text", compact=True)
        yield self.log_view

    def on_mount(self) -> None:
        """Start watching."""
        self.border_title = Content(self.what)
        self.worker = self.run_worker(self.feed.run(), group="watch")
        self.arrived()

    def arrived(self) -> None:
        """The feed has news."""
        if not self.is_mounted:
            return
        feed = self.feed
        if feed.error is not None:
            self.log_view.note = [
                ("the watch is broken", "warn"),
                (str(feed.error), "dim"),
                ("it goes on by itself at the revision where it stood", "dim"),
            ]
        elif feed.live_from:
            self.log_view.note = [
                (f"nothing changed since revision {feed.live_from:,}", "text"),
                ("events appear here as they happen", "dim"),
            ]
        else:
            self.log_view.note = [("starting…", "dim")]
        self.log_view.arrived()
        self.subtitle()

    def subtitle(self) -> None:
        """State and counters at the foot of the frame."""
        buffer, now = self.buffer, self.pane.kv.clock()
        parts = [f"{buffer.total:,} events", f"{buffer.rate(now):,.0f}/s"]
        if buffer.paused:
            parts.insert(0, f"PAUSED, {len(buffer.held):,} held")
        elif not self.log_view.follow:
            parts.insert(0, "not following (f)")
        if self.feed.error is not None:
            parts.insert(0, "BROKEN, retrying")
        if buffer.filter.text:
            parts.append(f"filter {buffer.filter.text} hides {buffer.hidden:,}")
        if buffer.dropped:
            parts.append(f"{buffer.dropped:,} dropped")
        self.border_subtitle = Content(" · ".join(parts))

    @on(Input.Changed)
    def _filter_typed(self, event: Input.Changed) -> None:
        wrong = self.buffer.set_filter(event.value)
        self.query_one(Input).set_class(bool(wrong), "-invalid")
        self.log_view.changed()
        self.subtitle()

    @on(Input.Submitted)
    def _filter_done(self) -> None:
        if not self.buffer.filter.text:
            self.query_one(Input).remove_class("on")
        self.log_view.focus()


class WatchPane(Pane, can_focus=True):
    """Live panes, tiled."""

    tab = "watch"
    about = (
        "Each pane is a watch of its own, on a key or on everything under a prefix. A line is one "
        "change: the revision, + for a write or − for a deletion, the key, and previous value → "
        "new value. All changes of one revision come together and in order. When the connection "
        "breaks, the watch goes on at the revision behind the last one shown, so nothing is "
        "missed; where compaction took history away, a line starting with ~ says so."
    )
    BINDINGS: ClassVar[list[BindingType]] = keymap.bindings("watch")
    DEFAULT_CSS = """
    WatchPane #tiles { layout: grid; grid-size: 1; height: 1fr; }
    WatchPane #tiles.two { grid-size: 2; }
    WatchPane #empty { padding: 1 2; color: $text-muted; height: auto; }
    """

    def __init__(self, kv: Workspace) -> None:
        super().__init__(kv)

    def compose(self) -> ComposeResult:
        """No pane yet."""
        yield Static(
            "No watch is open.\n\na  adds one; or press w on a key or branch in the Keys tab (1).",
            id="empty",
        )
        yield Container(id="tiles")

    @property
    def boxes(self) -> list[WatchBox]:
        """Open panes, in order."""
        return [box for box in self.query(WatchBox) if not getattr(box, "closing", False)]

    @property
    def current(self) -> WatchBox | None:
        """The pane with the focus, else the last one."""
        boxes = self.boxes
        focused = self.app.focused
        for box in boxes:
            if focused is not None and (focused is box or box in focused.ancestors):
                return box
        return boxes[-1] if boxes else None

    def first_focus(self) -> Widget | None:
        """The current pane."""
        box = self.current
        return box.log_view if box is not None else self

    def refresh_at(self, now: float) -> None:
        """Rates fall while nothing comes."""
        for box in self.boxes:
            box.subtitle()

    def why_not(self, name: str) -> str:
        """Everything but adding needs a pane."""
        if name == "watch_add":
            return (
                f"{PANES_MAX} panes are open; x closes one" if len(self.boxes) >= PANES_MAX else ""
            )
        return "" if self.boxes else "no pane is open; a adds one"

    def add_pane(self, key: bytes, prefix: bool, start_revision: int) -> None:
        """Open a watch."""
        if len(self.boxes) >= PANES_MAX:
            self.kv.tell(f"{PANES_MAX} panes are open; close one first (x)", "warning")
            return
        box = WatchBox(self, key, prefix, start_revision)
        self.query_one("#tiles").mount(box)
        self._tile(len(self.boxes) + 1)
        self.call_after_refresh(box.log_view.focus)
        self.kv.refresh_actions()

    def _tile(self, boxes: int) -> None:
        self.query_one("#empty").display = boxes == 0
        self.query_one("#tiles").set_class(
            boxes > 3 or (boxes > 1 and self.size.width >= 150), "two"
        )

    # --- actions ----------------------------------------------------------------------------------

    async def do_watch_add(self) -> None:
        """Ask for a key."""
        fields = [
            Field(
                "key",
                "Key, or prefix with * at its end (only *: everything)",
                "*",
                check=_needs_text,
            ),
            Field(
                "start",
                "From revision (empty: from now; 1: all that is kept)",
                "",
                check=_revision_or_empty,
            ),
        ]
        values = await self.app.push_screen_wait(Form("Watch", fields, "Watch"))
        if values is not None:
            text = values["key"]
            prefix = text.endswith("*")
            key = key_from_text(text[:-1] if prefix else text)
            self.add_pane(key, prefix, int(values["start"].replace(",", "") or 0))

    async def do_watch_close(self) -> None:
        """Close the current pane."""
        box = self.current
        if box is None:
            return
        if box.worker is not None:
            box.worker.cancel()
        await box.remove()
        self._tile(len(self.boxes))
        first = self.first_focus()
        if first is not None:
            first.focus()
        self.kv.refresh_actions()

    def do_watch_pause(self) -> None:
        """Hold back or let in."""
        box = self.current
        if box is not None:
            box.buffer.pause(not box.buffer.paused)
            box.arrived()

    def do_watch_follow(self) -> None:
        """Follow or stay."""
        box = self.current
        if box is not None:
            box.log_view.follow = not box.log_view.follow
            if box.log_view.follow:
                box.log_view.to_end()
            box.subtitle()

    def do_watch_filter(self) -> None:
        """Open the filter line."""
        box = self.current
        if box is not None:
            field = box.query_one(Input)
            field.add_class("on")
            field.focus()

    def do_watch_next(self) -> None:
        """Focus the next pane."""
        boxes, box = self.boxes, self.current
        if box is not None:
            boxes[(boxes.index(box) + 1) % len(boxes)].log_view.focus()

    def do_watch_clear(self) -> None:
        """Empty the pane."""
        box = self.current
        if box is not None:
            box.buffer.clear()
            box.log_view.changed()

    def do_watch_goto(self) -> None:
        """The event's key."""
        box = self.current
        if box is None or box.log_view.cursor >= len(box.buffer.entries):
            return
        entry = box.buffer.entries[box.log_view.cursor]
        if not isinstance(entry, Gap):
            self.kv.goto_key(entry.key)

    def back(self) -> bool:
        """Escape clears the filter."""
        box = self.current
        if box is None:
            return False
        field = box.query_one(Input)
        if not field.has_class("on"):
            return False
        field.value = ""
        field.remove_class("on")
        box.log_view.focus()
        return True


def _needs_text(text: str) -> str:
    return "" if text else "a key, or * for everything"


def _revision_or_empty(text: str) -> str:
    text = text.replace(",", "").strip()
    return (
        "" if not text or (text.isdigit() and int(text) > 0) else "a revision is a number above 0"
    )
