"""Snapshots: one member's whole state to a file, with progress, and what is in such a file."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.widget import Widget

from kvorum_tui.feeds import Pulse
from kvorum_tui.model import words
from kvorum_tui.model.admin_records import SnapshotSaved
from kvorum_tui.model.typed import file_of, needs_file
from kvorum_tui.screens.admin_view import AdminView, Column, Row, Table, box
from kvorum_tui.session import SessionError
from kvorum_tui.widgets.dialogs import Field, Form, Rich
from kvorum_tui.widgets.paint import TextLines

if TYPE_CHECKING:
    from kvorum_tui.screens.admin import AdminPane

BAR = 30
RESULTS_MAX = 20


class SnapshotView(AdminView):
    """Members to choose from, progress, results."""

    view = "snapshot"
    about = (
        "A snapshot is the whole state of one member as etcd's own database file, with its "
        "checksum at the end: keys with all kept revisions, leases, users and roles. A member that "
        "is behind gives an older state, so take one that has caught up; a follower keeps the "
        "leader free. The file appears under its name only when it is complete and its checksum "
        "is right. "
        "'kvorum restore' and 'etcdutl snapshot restore' make a new cluster from it."
    )

    def __init__(self, pane: AdminPane) -> None:
        super().__init__(pane)
        self.table = Table(
            (
                Column("member", 14),
                Column("role", 9),
                Column("size", 10, right=True),
                Column("revision", 12, right=True),
                Column(""),
            ),
            "admin-snapshot-table",
        )
        self.lines = TextLines(id="admin-snapshot-lines")
        self.results: Rich = []
        self.saving: asyncio.Task[SnapshotSaved] | None = None
        self.done = (0, 0)
        self.file = ""
        self._began = 0.0
        self.pulse = Pulse(lambda: self.refresh_facts(self.kv.clock()))

    def compose(self) -> ComposeResult:
        """Members above, what was saved below."""
        yield box("From which member", self.table)
        yield box("Files", self.lines)

    def first_focus(self) -> Widget:
        """The members."""
        return self.table

    def refresh_facts(self, now: float) -> None:
        """Members and progress."""
        if not self.is_attached:
            return
        newest = self.facts.revision
        rows = []
        for each in self.facts.figures:
            role = "leader" if each.leads else "learner" if each.learner else "follower"
            behind = newest - each.revision
            note = each.error or (f"{behind:,} revisions behind" if behind > 0 else "")
            rows.append(
                Row(
                    each.id,
                    (
                        (each.title, "text" if each.up else "gone"),
                        (role, "accent" if each.leads else "dim"),
                        (words.size(each.db_bytes) if each.up else "", "text"),
                        (f"{each.revision:,}" if each.up else "", "text"),
                        (note, "bad" if each.error else "warn"),
                    ),
                )
            )
        self.table.show(rows, [(self.facts.figures_error or "asking…", "dim")])
        lines = [*self._progress(now), *reversed(self.results)]
        self.show_lines(self.lines, lines, "nothing was saved yet\ns saves, i checks a file")

    def _progress(self, now: float) -> Rich:
        if self.saving is None:
            return []
        got, total = self.done
        share = got / total if total else 0.0
        full = int(share * BAR)
        rate = got / max(0.001, now - self._began)
        return [
            [
                (f"{self.file}  ", "text"),
                ("█" * full + "░" * (BAR - full), "accent"),
                (f" {share:4.0%}  {words.size(got)} of {words.size(total)}", "text"),
                (f", {words.size(int(rate))}/s   x cancels", "dim"),
            ]
        ]

    def why_not(self, name: str) -> str:
        """Root only; one at a time."""
        if name == "admin_stop":
            return "" if self.saving is not None else "nothing is being saved"
        if name == "admin_copy":
            return "" if self.results else "nothing was saved yet"
        if name == "admin_check":
            return ""
        if self.saving is not None:
            return "one is being saved; x cancels it"
        member = self.facts.by_id(self.table.key) if isinstance(self.table.key, int) else None
        if member is None or not member.up:
            return "choose a member that answers"
        return self.root_only()

    async def do_admin_save(self) -> None:
        """Ask where to, then write it."""
        member = self.facts.by_id(self.table.key) if isinstance(self.table.key, int) else None
        if member is None:
            return
        name = f"{member.title}-{datetime.now():%Y%m%d-%H%M%S}.db"
        field = Field("file", f"Write the state of {member.title} to", name, check=needs_file)
        values = await self.kv.push_screen_wait(Form("Save a snapshot", [field], "Save"))
        if values is None:
            return
        file = await asyncio.to_thread(file_of, values["file"])
        self.file, self.done, self._began = file.name, (0, 0), self.kv.clock()
        admin = self.kv.session.admin
        self.saving = asyncio.ensure_future(admin.snapshot(member.endpoint, file, self._told))
        self.kv.refresh_actions()
        try:
            saved = await admin_result(self.saving)
        except SessionError as error:
            self._say(f"✗ {file}: {error}; nothing is left of it", "bad")
            raise
        finally:
            cancelled = self.saving.cancelled()
            self.saving = None
            if cancelled:
                self._say(f"✗ {file}: cancelled, nothing is left of it", "warn")
            self.refresh_facts(self.kv.clock())
            self.kv.refresh_actions()
        if saved is not None:
            took = self.kv.clock() - self._began
            self._say(f"  sha256 {saved.sha256}", "dim")
            size = words.size(saved.bytes)
            self._say(f"✓ {saved.file}: {size} in {took:.1f} s, checksum right", "good")
            self.refresh_facts(self.kv.clock())

    def _told(self, done: int, total: int) -> None:
        self.done = (done, total)
        self.pulse.mark()

    def _say(self, text: str, ink: str) -> None:
        self.results.append([(text, ink)])
        del self.results[:-RESULTS_MAX]

    def do_admin_stop(self) -> None:
        """Cancel."""
        if self.saving is not None:
            self.saving.cancel()

    def do_admin_copy(self) -> None:
        """What stands there."""
        self.app.copy_to_clipboard(self.lines.plain())
        self.kv.tell("copied")

    async def do_admin_check(self) -> None:
        """What is in a file."""
        last = self.file if self.results else ""
        field = Field("file", "Snapshot file", last)
        values = await self.kv.push_screen_wait(Form("Check a snapshot file", [field], "Check"))
        if values is None or not values["file"].strip():
            return
        file = await asyncio.to_thread(file_of, values["file"])
        try:
            found = await self.kv.session.admin.snapshot_status(file)
        except SessionError as error:
            self._say(f"✗ {file}: {error.message}", "bad")
        else:
            self._say(
                f"✓ {file}: hash {found.hash:x}, revision {found.revision:,}, "
                f"{found.total_keys:,} keys in all buckets, {words.size(found.bytes)}",
                "good",
            )
        self.refresh_facts(self.kv.clock())


async def admin_result(task: asyncio.Task[SnapshotSaved]) -> SnapshotSaved | None:
    """What a task came to; None when it was cancelled by itself and not together with us."""
    try:
        return await task
    except asyncio.CancelledError:
        if not task.cancelled():
            task.cancel()
            raise
        me = asyncio.current_task()
        if me is not None and me.cancelling():
            raise
        return None
