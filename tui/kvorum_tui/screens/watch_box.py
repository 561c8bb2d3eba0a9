"""The panes of the Watch tab: a watch of its own each, or one watch through every member."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input
from textual.worker import Worker

from kvorum_tui.model import words
from kvorum_tui.model.decode import printable
from kvorum_tui.model.records import KeyEvent
from kvorum_tui.model.watch_buffer import Entry, Gap, WatchBuffer, event_of, spark
from kvorum_tui.model.watch_filter import HELP
from kvorum_tui.model.watch_layout import PaneSpec
from kvorum_tui.model.watch_skew import SkewTable
from kvorum_tui.watch_feed import MembersFeed, PastFeed, WatchFeed
from kvorum_tui.watch_files import EventFile
from kvorum_tui.watch_hooks import HookRunner
from kvorum_tui.widgets.event_log import EventLog, Followed, SkewLog

if TYPE_CHECKING:
    from kvorum_tui.screens.watch import WatchPane

SPARK_SECONDS = 20


class Box(Vertical):
    """One pane: a frame with a name, a list that follows, counters at the foot."""

    DEFAULT_CSS = """
    Box {
        border: round $border; border-title-color: $text; border-subtitle-color: $text-muted;
        height: 1fr;
    }
    Box:focus-within { border: round $primary; border-title-color: $primary; }
    Box Input { display: none; border: none; height: 1; background: $panel; padding: 0 1; }
    Box Input.on { display: block; }
    """

    def __init__(self, pane: WatchPane, spec: PaneSpec, log_view: Followed) -> None:
        super().__init__()
        self.pane = pane
        self.key = spec.key
        self.prefix = spec.prefix
        self.named = spec.title
        self.log_view = log_view
        self.closing = False
        self.at = 0
        self.worker: Worker[None] | None = None
        self._past: Worker[None] | None = None

    @property
    def what(self) -> str:
        """What is watched."""
        if not self.key and self.prefix:
            return "all keys"
        return printable(self.key) + ("*" if self.prefix else "")

    @property
    def name_shown(self) -> str:
        """The pane's name, with what is watched."""
        return f"{self.named} · {self.what}" if self.named else self.what

    def spec(self) -> PaneSpec:
        """The pane as a layout keeps it."""
        return PaneSpec(self.key, self.prefix, self.named)

    def event(self) -> KeyEvent | None:
        """The change under the cursor."""
        return None

    def entry(self) -> Entry | None:
        """The row under the cursor."""
        return self.event()

    def news(self) -> None:
        """The feed brought something: the next frame shows it."""
        self.pane.news(self)

    def arrived(self) -> None:
        """Show what the feed brought."""

    def unseen(self) -> None:
        """What the feed brought is on no screen."""

    def travelled(self, revision: int) -> None:
        """Show what was up to a revision; 0: what comes."""

    def follow(self, on: bool) -> None:
        """Follow the newest row, or stay."""
        self.log_view.follow = on
        if on:
            self.log_view.to_end()
        self.subtitle()

    def rename(self, name: str) -> None:
        """Another name."""
        self.named = name
        self.border_title = Content(self.name_shown)

    def subtitle(self) -> None:
        """State and counters."""

    async def end(self) -> None:
        """Stop watching."""
        self.closing = True
        for worker in (self.worker, self._past):
            if worker is not None:
                worker.cancel()


class WatchBox(Box):
    """A watch of its own: events with the value before, a filter, a file, a hook."""

    log_view: EventLog

    def __init__(self, pane: WatchPane, spec: PaneSpec, start_revision: int) -> None:
        self.buffer = WatchBuffer()
        self.buffer.set_filter(spec.filter)
        self.buffer.coalescing = spec.coalescing
        super().__init__(pane, spec, EventLog(self.buffer, show_keys=spec.prefix))
        self.file: EventFile | None = None
        self.hooks = HookRunner(
            pane.commands, pane.ring, lambda text: pane.kv.tell(text), pane.kv.clock
        )
        kv = pane.kv
        self.feed = WatchFeed(
            kv.session,
            self.buffer,
            spec.key,
            spec.prefix,
            start_revision,
            kv.clock,
            self.news,
            self.heard,
        )
        self.past: PastFeed | None = None

    def compose(self) -> ComposeResult:
        """Filter line and events."""
        text = self.buffer.filter.text
        field = Input(text, placeholder=HELP, compact=True)
        field.set_class(bool(text), "on")
        yield field
        yield self.log_view

    def on_mount(self) -> None:
        """Start watching."""
        self.border_title = Content(self.name_shown)
        self.worker = self.run_worker(self.feed.run(), group="watch")
        if self.pane.kv.at:
            self.travelled(self.pane.kv.at)
        self.arrived()

    def spec(self) -> PaneSpec:
        """The pane as a layout keeps it. Commands and files are not kept."""
        buffer = self.buffer
        return PaneSpec(self.key, self.prefix, self.named, buffer.filter.text, buffer.coalescing)

    def entry(self) -> Entry | None:
        """The row under the cursor."""
        return self.log_view.entry()

    def event(self) -> KeyEvent | None:
        """The change under the cursor."""
        entry = self.log_view.entry()
        return None if entry is None else event_of(entry)

    def heard(self, entries: Sequence[Entry]) -> None:
        """Every entry, before the buffer coalesces, hides or drops any."""
        if self.file is not None:
            self.file.put(entries)
        self.hooks.hear(entries, self.buffer.filter.shows)

    # --- what it shows ----------------------------------------------------------------------------

    def arrived(self) -> None:
        """The feed has news."""
        if not self.is_mounted or self.closing:
            return
        feed = self.past if self.past is not None else self.feed
        if feed.error is not None:
            self.log_view.note = [
                ("the watch is broken", "warn"),
                (str(feed.error), "dim"),
                ("it goes on by itself at the revision where it stood", "dim"),
            ]
        elif self.past is not None:
            text = "reading what was…" if self.past.reading else "nothing changed here until then"
            self.log_view.note = [(text, "dim")]
        elif self.feed.live_from:
            self.log_view.note = [
                (f"nothing changed since revision {self.feed.live_from:,}", "text"),
                ("events appear here as they happen", "dim"),
            ]
            if self.buffer.hidden:
                self.log_view.note = [
                    (f"the filter hides {words.plural(self.buffer.hidden, 'event')}", "text"),
                    ("/ changes it, esc clears it", "dim"),
                ]
        else:
            self.log_view.note = [("starting…", "dim")]
        self.log_view.arrived()
        self.log_view.buffer.frame()
        self.subtitle()

    def unseen(self) -> None:
        """What is on no screen is merged as a frame's worth, too."""
        self.buffer.frame()

    def subtitle(self) -> None:
        """State and counters at the foot of the frame."""
        buffer, now = self.buffer, self.pane.kv.clock()
        if self.at:
            shown = words.plural(self.log_view.buffer.total, "event")
            text = f"PAST up to revision {self.at:,} · {shown} · live: {buffer.total:,}"
            self.border_subtitle = Content(text)
            return
        parts = []
        if self.feed.error is not None:
            parts.append("BROKEN, retrying")
        if buffer.paused:
            parts.append(f"PAUSED, {buffer.held:,} held")
        elif not self.log_view.follow:
            parts.append("not following (f)")
        parts += [words.plural(buffer.total, "event"), f"{buffer.rate(now):,.0f}/s"]
        strip = spark(buffer.seconds(now, SPARK_SECONDS)).lstrip()
        if strip and self.size.width >= 60:
            parts[-1] += f" {strip}"
        if buffer.filter.text:
            parts.append(f"filter {buffer.filter.text} hides {buffer.hidden:,}")
        if buffer.coalesced:
            parts.append(f"{buffer.coalesced:,} coalesced")
        if buffer.dropped:
            parts.append(f"{buffer.dropped:,} dropped")
        if self.feed.broken:
            parts.append(f"resumed {self.feed.broken}×")
        parts += self._sinks()
        self.border_subtitle = Content(" · ".join(parts))

    def _sinks(self) -> list[str]:
        parts = []
        if self.file is not None:
            text = f"→ {self.file.path.name} {words.size(self.file.bytes)}"
            if self.file.unsaved:
                text += f" ({self.file.unsaved:,} NOT SAVED)"
            parts.append(text)
        if self.hooks.hook:
            skipped = self.pane.commands.skipped
            text = f"hook {self.hooks.hook.words} ×{self.hooks.matched:,}"
            if self.hooks.hook.command and skipped:
                text += f" ({skipped:,} skipped)"
            parts.append(text)
        return parts

    @on(Input.Changed)
    def _filter_typed(self, event: Input.Changed) -> None:
        wrong = self.buffer.set_filter(event.value)
        self.query_one(Input).set_class(bool(wrong), "-invalid")
        if self.past is not None:
            self.past.buffer.set_filter(event.value)
        self.arrived()

    @on(Input.Submitted)
    def _filter_done(self) -> None:
        if not self.buffer.filter.text:
            self.query_one(Input).remove_class("on")
        self.log_view.focus()

    def clear_filter(self) -> bool:
        """Take the filter away; False when there is none."""
        field = self.query_one(Input)
        if not field.has_class("on"):
            return False
        field.value = ""
        field.remove_class("on")
        self.log_view.focus()
        return True

    # --- time -------------------------------------------------------------------------------------

    def travelled(self, revision: int) -> None:
        """Events up to a revision, from the history; the live ones go on behind."""
        if self._past is not None:
            self._past.cancel()
            self._past = None
        self.at, self.past = revision, None
        if not revision:
            self.log_view.show(self.buffer)
            self.arrived()
            return
        buffer = WatchBuffer()
        buffer.coalescing = "off"
        buffer.set_filter(self.buffer.filter.text)
        kv = self.pane.kv
        self.past = PastFeed(
            kv.session, buffer, self.key, self.prefix, revision, kv.clock, self.news
        )
        mark = Gap(revision, "you look at this revision; what came later is not shown", "mark")
        self.log_view.show(buffer, mark)
        self._past = self.run_worker(self.past.run(), group="watch-past")
        self.arrived()

    async def end(self) -> None:
        """Stop watching; what is being written to a file is finished."""
        await super().end()
        await self.stop_file()

    async def stop_file(self) -> None:
        """Close the file that events are written to."""
        file, self.file = self.file, None
        if file is not None:
            await asyncio.to_thread(file.close)


class MembersBox(Box):
    """The same watch through every member, a column each."""

    log_view: SkewLog

    def __init__(self, pane: WatchPane, spec: PaneSpec) -> None:
        kv = pane.kv
        members = [state.endpoint for state in kv.cluster.rows()] or list(kv.session.endpoints)
        self.table = SkewTable(members)
        super().__init__(pane, spec, SkewLog(self.table, self.member_name))
        self.feed = MembersFeed(kv.session, self.table, spec.key, spec.prefix, kv.clock, self.news)

    def member_name(self, endpoint: str) -> str:
        """A member's name, as soon as it is known."""
        state = self.pane.kv.cluster.members.get(endpoint)
        return state.name if state is not None else endpoint.split("://")[-1]

    def compose(self) -> ComposeResult:
        """The columns."""
        yield self.log_view

    def on_mount(self) -> None:
        """Start every watch."""
        self.border_title = Content(self.name_shown)
        self.worker = self.run_worker(self.feed.run(), group="watch")
        self.arrived()

    @property
    def name_shown(self) -> str:
        """What is watched, and how."""
        return super().name_shown + f" through {words.plural(len(self.table.columns), 'member')}"

    def spec(self) -> PaneSpec:
        """The pane as a layout keeps it."""
        return PaneSpec(self.key, self.prefix, self.named, members=True)

    def event(self) -> KeyEvent | None:
        """The change under the cursor."""
        rows, cursor = self.table.rows, self.log_view.cursor
        return rows[cursor].event if cursor < len(rows) else None

    def arrived(self) -> None:
        """A change came through a member."""
        if not self.is_mounted or self.closing:
            return
        self.log_view.note = [
            ("nothing changed since this pane was opened", "text"),
            ("each change appears with its delay through every member", "dim"),
        ]
        self.log_view.arrived()
        self.subtitle()

    def subtitle(self) -> None:
        """Who is late, who is behind."""
        parts = []
        if self.pane.kv.at:
            parts.append("LIVE: delays are not in the history")
        for member, column in self.table.columns.items():
            name, median = self.member_name(member), column.median_ms()
            if column.error:
                parts.append(f"{name} {column.error}")
            elif behind := self.table.behind(member):
                parts.append(f"{name} {behind:,} behind")
            elif median is not None:
                parts.append(f"{name} +{words.millis(median)}")
        if self.table.dropped:
            parts.append(f"{self.table.dropped:,} dropped")
        self.border_subtitle = Content(" · ".join(parts))
