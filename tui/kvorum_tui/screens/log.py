"""The Log tab: every call of this terminal, and the command line that does the same."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.widget import Widget
from textual.widgets import Input

from kvorum_tui import keymap
from kvorum_tui.feeds import Pulse
from kvorum_tui.model import words
from kvorum_tui.model.rpc_log import SLOW_MS, RpcEntry, RpcMoment
from kvorum_tui.model.rpc_rows import RpcRows, as_json, command_lines, detail
from kvorum_tui.model.rpc_text import answer_words, lines_of, message_of, range_words
from kvorum_tui.screens.log_list import LogList, LogStrip
from kvorum_tui.screens.pane import PAST, READ_ONLY, Pane
from kvorum_tui.widgets.dialogs import Confirm, Field, Form, Reader, Rich
from kvorum_tui.widgets.paint import LineList, TextLines

if TYPE_CHECKING:
    from kvorum_tui.screens.workspace import Workspace

WATCH = "/etcdserverpb.Watch/Watch"
NOT_KEPT = frozenset({"Auth/Authenticate", "Auth/UserAdd", "Auth/UserChangePassword"})
# Calls whose repetition can take much away: the method's name is typed.
GRAVE = frozenset(
    {
        "KV/DeleteRange",
        "KV/Compact",
        "Lease/LeaseRevoke",
        "Cluster/MemberRemove",
        "Auth/AuthEnable",
        "Auth/AuthDisable",
        "Auth/UserDelete",
        "Auth/RoleDelete",
        "Maintenance/Defragment",
    }
)


class LogPane(Pane):
    """List, detail, filter, again, copy, save."""

    tab = "log"
    about = (
        "Every call that this terminal makes, as it is made: when, to which member, how long it "
        "took, bytes out and in, and what became of it. ! marks a call that changes something, ~ a "
        "stream, which is one line that grows, ✗ a failure. Below the list: the command lines for "
        "kvorum and etcdctl that do the same, the request and the answer. Passwords and tokens are "
        "neither shown nor kept. The newest 5,000 calls are kept, 16 MiB at most."
    )
    BINDINGS: ClassVar[list[BindingType]] = keymap.bindings("log")
    DEFAULT_CSS = """
    LogPane .calls { border: round $border; height: 3fr; border-title-color: $text-muted; }
    LogPane .call { border: round $border; height: 2fr; border-title-color: $text-muted; }
    LogPane Vertical:focus-within { border: round $primary; }
    LogPane #log-filter { border: none; height: 1; background: $panel; padding: 0 1; }
    """

    def __init__(self, kv: Workspace) -> None:
        super().__init__(kv)
        self.log_model = kv.calls
        self.model = RpcRows(self.log_model, self.name_of)
        self.list = LogList(self.model)
        self.strip = LogStrip(self.model)
        self.box = TextLines(id="log-detail")
        self.field = Input(id="log-filter", placeholder="errors writes slow >250 method:put text")
        self.pulse = Pulse(self._arrived)
        self._detailed: tuple[int, float, int] | None = None

    def compose(self) -> ComposeResult:
        """Figures, calls, the chosen one."""
        yield self.strip
        yield self.field
        with Vertical(classes="calls") as box:
            box.border_title = "Calls"
            yield self.list
        with Vertical(classes="call") as box:
            box.border_title = "The chosen call"
            yield self.box

    def on_mount(self) -> None:
        """What was called before anybody looked, and from now on everything as it comes."""
        self.field.display = False
        self.model.rebuild()
        self.kv.call_told = self._told

    def first_focus(self) -> Widget:
        """The calls."""
        return self.list

    def name_of(self, endpoint: str) -> str:
        """A member's name; its address until it has told its name."""
        state = self.kv.cluster.members.get(endpoint)
        return state.name if state is not None else endpoint.rpartition("/")[2]

    def _told(self, moment: RpcMoment) -> None:
        self.model.take(moment)
        if self.kv.pane is self:
            self.pulse.mark()

    def refresh_at(self, now: float) -> None:
        """The tab came to the front, or time went on."""
        self._arrived()

    def _arrived(self) -> None:
        if not self.is_attached:
            return
        self.model.refresh()
        if not self.model.paused:
            self.list.arrived()
        self.strip.refresh()
        self._detail()

    def masked(self) -> None:
        """The chosen call."""
        self._detail()

    def _detail(self) -> None:
        entry = self.list.current
        seen = (entry.id, entry.duration_s, entry.received) if entry is not None else None
        if seen == self._detailed and seen is not None:
            return
        same = seen is not None and self._detailed is not None and seen[0] == self._detailed[0]
        self._detailed = seen
        if entry is None:
            self.box.show([], "no call is chosen")
            return
        at = self.box.scroll_offset
        self.box.show(detail(entry, self.name_of(entry.endpoint), self.kv.session.rpcs.flags))
        if same:
            self.box.scroll_to(at.x, at.y, animate=False, immediate=True)
        self.kv.refresh_actions()

    @on(LineList.Moved, "#log-list")
    def _moved(self) -> None:
        self._detail()

    @on(LineList.Chosen, "#log-list")
    def _chosen(self) -> None:
        self.kv.do("log_again")

    # --- what is shown ----------------------------------------------------------------------------

    def back(self) -> bool:
        """Take the filter away."""
        shown = bool(self.field.display)
        self.field.display = False
        if self.model.filter.text:
            self.model.set_filter("")
            self._arrived()
            return True
        return shown

    def do_log_filter(self) -> None:
        """Type a filter."""
        self.field.display = True
        self.field.value = self.model.filter.text
        self.field.focus()

    @on(Input.Changed, "#log-filter")
    def _filtering(self, event: Input.Changed) -> None:
        if self.field.display and event.value.strip() != self.model.filter.text:
            self.model.set_filter(event.value)
            self._arrived()

    @on(Input.Submitted, "#log-filter")
    def _filtered(self) -> None:
        self.field.display = False
        self.list.focus()

    def _toggled(self, word: str) -> None:
        self.model.toggle(word)
        self._arrived()

    def do_log_errors(self) -> None:
        """Only failures."""
        self._toggled("errors")

    def do_log_writes(self) -> None:
        """Only writes."""
        self._toggled("writes")

    async def do_log_slow(self) -> None:
        """Only slow ones."""
        slow = [each for each in self.model.filter.text.split() if each.startswith(">")]
        if slow:
            self._toggled(slow[0])
            return
        field = Field("ms", "Only calls slower than, in ms", f"{SLOW_MS:.0f}", check=_number)
        values = await self.app.push_screen_wait(Form("Slow calls", [field], "Show"))
        if values is not None:
            self._toggled(f">{float(values['ms']):g}")

    def do_log_polls(self) -> None:
        """With or without polls."""
        self.model.show_polls(not self.model.polls)
        self._arrived()

    def do_log_pause(self) -> None:
        """Stand still."""
        self.model.pause(not self.model.paused)
        self._arrived()
        self.kv.refresh_actions()

    def do_log_clear(self) -> None:
        """Forget."""
        self.log_model.clear()
        self.model.rebuild()
        self._arrived()

    async def do_log_figures(self) -> None:
        """Every method."""
        lines: Rich = [
            [(f"{'method':<30}{'calls':>9}{'errors':>8}{'p50 ms':>10}{'p99 ms':>10}", "head")]
        ]
        for each in self.log_model.by_method():
            half, most = each.percentile(0.5), each.percentile(0.99)
            times = f"{half:>10.1f}{most:>10.1f}" if half is not None and most is not None else ""
            lines.append(
                [
                    (f"{each.method:<30}{each.count:>9,}", "text"),
                    (f"{each.errors:>8,}", "bad" if each.errors else "dim"),
                    (times or f"{'stream':>20}", "text" if times else "dim"),
                ]
            )
        await self.app.push_screen_wait(Reader("Calls by method", lines))

    # --- one call ---------------------------------------------------------------------------------

    def why_not(self, name: str) -> str:
        """What needs a call, and one that can be made again."""
        entry = self.list.current
        if name == "log_export" and not self.model.rows:
            return "no call is shown"
        if name not in ("log_again", "log_copy", "log_copy_kvorum"):
            return ""
        if entry is None:
            return "there is no call to choose"
        if name == "log_again":
            return self._why_not_again(entry)
        program = "kvorum" if name == "log_copy_kvorum" else "etcdctl"
        _, why = self._command(entry, program)
        return why

    def _why_not_again(self, entry: RpcEntry) -> str:
        if entry.path == WATCH and entry.request:
            return ""
        if entry.stream:
            return "a stream is not made again; y copies its command"
        if entry.request is None:
            return "its request was too long to be kept"
        if entry.method in NOT_KEPT:
            return "its password was not kept"
        if entry.reads:
            return ""
        if self.kv.session.read_only:
            return READ_ONLY
        return PAST.format(self.kv.at) if self.kv.at else ""

    def _command(self, entry: RpcEntry, program: str) -> tuple[str, str]:
        """A command line, and the reason when there is none."""
        rows = command_lines(entry, self.kv.session.rpcs.flags)
        for name, line, why in rows:
            if name == program:
                return line, "" if line else why
        return "", rows[0][2]

    def _copy(self, program: str) -> None:
        entry = self.list.current
        line = self._command(entry, program)[0] if entry is not None else ""
        if line:
            self.app.copy_to_clipboard(line)
            self.kv.tell(f"copied: {line if len(line) < 60 else line[:57] + '…'}")

    def do_log_copy(self) -> None:
        """For etcdctl."""
        self._copy("etcdctl")

    def do_log_copy_kvorum(self) -> None:
        """For kvorum."""
        self._copy("kvorum")

    async def do_log_again(self) -> None:
        """Once more; asks when it writes."""
        entry = self.list.current
        if entry is None or entry.request is None:
            return
        if entry.path == WATCH:
            self._watch(entry)
            return
        if not entry.reads and not await self._sure(entry):
            return
        reply = await self.kv.session.rpcs.again(entry.endpoint, entry.path, entry.request)
        said = answer_words(entry.path, reply, len(reply))
        self.kv.tell(f"{entry.method} at {self.name_of(entry.endpoint)}: {said}")

    def _watch(self, entry: RpcEntry) -> None:
        message = message_of(entry.path, entry.request)
        create = getattr(message, "create_request", None)
        if create is not None:
            whole = create.range_end == b"\0"
            self.kv.watch_key(b"" if whole else create.key, bool(create.range_end))

    async def _sure(self, entry: RpcEntry) -> bool:
        member = self.name_of(entry.endpoint)
        lines: Rich = [[(f"{entry.method} to {member}, as it was sent before:", "text")]]
        message: Any = message_of(entry.path, entry.request)
        shown = lines_of(message)
        lines += [[(f"  {name:<14} ", "dim"), (text, "text")] for name, text in shown[:12]]
        typed = entry.method.rpartition("/")[2] if entry.method in GRAVE else ""
        if entry.method == "KV/DeleteRange" and message.range_end:
            lines += await self._goes(message.key, message.range_end)
        line, _ = self._command(entry, "etcdctl")
        if line:
            lines += [[], [("the same: ", "dim"), (line.split("\n")[0], "dim")]]
        lines.append([("It is sent as it stands: nothing compares what is there now.", "warn")])
        dialog = Confirm("Make this call again?", lines, "Send", typed, danger=bool(typed))
        return await self.app.push_screen_wait(dialog)

    async def _goes(self, key: bytes, end: bytes) -> Rich:
        """What a range deletion would take now."""
        if end == b"\0" or range_words(key, end)[-1:] != "*":
            return [[("  It takes every key of that range.", "bad")]]
        count, first = await self.kv.session.sample(key)
        out: Rich = [[(f"  Takes {words.plural(count, 'key')} now:", "bad")]]
        return out + [[("    " + range_words(each, b""), "text")] for each in first]

    # --- save -------------------------------------------------------------------------------------

    async def do_log_export(self) -> None:
        """As JSON Lines."""
        name = f"kvorum-calls-{datetime.now():%Y%m%d-%H%M%S}.jsonl"
        field = Field("file", f"Write {len(self.model.rows):,} calls to", name, check=_new_file)
        values = await self.app.push_screen_wait(Form("Save the log", [field], "Save"))
        if values is None:
            return
        file = await asyncio.to_thread(Path(values["file"]).expanduser)
        flags = self.kv.session.rpcs.flags
        rows = [(entry, self.name_of(entry.endpoint)) for entry in self.model.rows]
        await asyncio.to_thread(_write, file, rows, flags)
        self.kv.tell(f"{words.plural(len(rows), 'call')} written to {file}")


def _write(file: Path, rows: list[tuple[RpcEntry, str]], flags: tuple[str, ...]) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as target:
        for entry, member in rows:
            target.write(json.dumps(as_json(entry, member, flags)) + "\n")


def _number(text: str) -> str:
    try:
        return "" if float(text) > 0 else "more than 0"
    except ValueError:
        return "a number of milliseconds"


def _new_file(text: str) -> str:
    if not text.strip():
        return "a file's name"
    file = Path(text).expanduser()
    if file.exists():
        return "a file of this name exists"
    return "" if file.absolute().parent.is_dir() else f"there is no directory {file.parent}"
