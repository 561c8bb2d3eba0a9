"""Compaction: choose a revision, see what goes, do it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.widget import Widget

from kvorum_tui.model import words
from kvorum_tui.model.admin_space import compaction_lines, parse_choice, space_rows
from kvorum_tui.screens.admin_view import AdminView, Column, Row, Table, box
from kvorum_tui.session import SessionError
from kvorum_tui.widgets.dialogs import Confirm, Field, Form, Rich
from kvorum_tui.widgets.paint import TextLines

if TYPE_CHECKING:
    from kvorum_tui.screens.admin import AdminPane

TYPED_ABOVE = 100_000  # Revisions that go: their number is typed.


class CompactView(AdminView):
    """Figures, and the way to forget."""

    view = "compact"
    about = (
        "Every change makes a new revision, and old ones are kept until a compaction forgets them. "
        "It is agreed by the cluster and holds for all members; reads and watches before it fail "
        "from then on. 'physical' waits until every trace is removed from the answering member's "
        "store. The files get smaller only by a defragmentation (D)."
    )

    def __init__(self, pane: AdminPane) -> None:
        super().__init__(pane)
        self.sizes = Table(
            (
                Column("member", 14),
                Column("size", 10, right=True),
                Column("in use", 10, right=True),
                Column("free", 6, right=True),
                Column("quota"),
            ),
            "admin-sizes",
        )
        self.lines = TextLines(id="admin-compact-lines")
        self.result: Rich = []

    def compose(self) -> ComposeResult:
        """Revisions above, sizes below."""
        yield box("Revisions", self.lines)
        yield box("Space", self.sizes)

    def first_focus(self) -> Widget:
        """The sizes."""
        return self.sizes

    @property
    def newest(self) -> int:
        """The newest revision known."""
        return max(self.facts.revision, self.pane.newest_revision())

    @property
    def compacted(self) -> int | None:
        """The last compaction; None where nobody tells."""
        found = self.kv.cluster.newest(self.kv.clock())
        return found.compact_revision if found is not None else None

    def refresh_facts(self, now: float) -> None:
        """Figures with their age."""
        facts = self.facts
        compacted = self.compacted
        age = words.age(now - facts.figures_at) if facts.figures_at is not None else "not told yet"
        oldest = f"{compacted:,}" if compacted else "not told by this server"
        if compacted == 0 or compacted == -1:
            oldest = "1: never compacted"
        lines: Rich = [
            [
                (f"{'newest revision':<20}", "dim"),
                (f"{self.newest:,}", "bold"),
                (f"  {age}", "dim"),
            ],
            [(f"{'oldest readable':<20}", "dim"), (oldest, "text")],
            [],
            [("c chooses: now, the last so many, a revision, a time", "dim")],
            *self.result,
        ]
        self.show_lines(self.lines, lines)
        rows = [
            Row(cells[0], tuple((text, "text") for text in cells))
            for cells in space_rows(facts.figures)
        ]
        self.sizes.show(rows, [(facts.figures_error or "asking…", "dim")])

    def why_not(self, name: str) -> str:
        """Root only, and not without figures."""
        return self.root_only() or ("" if self.newest else "no member has told its revision yet")

    async def do_admin_compact(self) -> None:
        """Ask which, show what goes, do it."""
        revision = await self.choose()
        if revision is None:
            return
        number, physical = revision
        await self.confirm(number, physical)

    async def choose(self) -> tuple[int, bool] | None:
        """A revision from whatever was typed."""
        compacted = self.compacted or 0
        today = time.strftime("%Y-%m-%d")

        def check(text: str) -> str:
            return parse_choice(text, self.newest, compacted, time.time(), today).wrong

        def yes_no(text: str) -> str:
            return "" if text.strip().lower() in ("yes", "no") else "yes or no"

        fields = [
            Field(
                "to",
                "Up to: now · keep 1000 · a revision · 2 h ago · 14:30",
                "keep 1000" if self.newest - compacted > 1_000 else "now",
                check=check,
            ),
            Field("physical", "Wait until it is gone from disk (yes, no)", "no", check=yes_no),
        ]
        values = await self.kv.push_screen_wait(Form("Compact", fields, "Look"))
        if values is None:
            return None
        choice = parse_choice(values["to"], self.newest, compacted, time.time(), today)
        revision = choice.revision
        if choice.at_s:
            revision = await self.kv.session.past.revision_at(int(choice.at_s * 1000))
            if revision <= compacted:
                text = "nobody knows the revision of that time; choose one by number"
                raise SessionError(text, rpc="KV/Compact")
        return revision, values["physical"].strip().lower() == "yes"

    async def confirm(self, revision: int, physical: bool) -> bool:
        """Say what goes and do it; False when it was not done."""
        compacted = self.compacted or 0
        lines: Rich = [
            [each] for each in compaction_lines(revision, self.newest, compacted, self._watches())
        ]
        gone = revision - max(1, compacted)
        typed = str(revision) if gone > TYPED_ABOVE else ""
        dialog = Confirm(f"Compact to revision {revision:,}?", lines, "Compact", typed)
        if not await self.kv.push_screen_wait(dialog):
            return False
        began = self.kv.clock()
        await self.kv.session.admin.compact(revision, physical)
        took = self.kv.clock() - began
        how = "and removed from disk" if physical else "space is freed in the background"
        self.result = [
            [],
            [("✓ ", "good"), (f"compacted to {revision:,} in {took:.1f} s, {how}", "text")],
            [("  D gives the freed space back to the file system", "dim")],
        ]
        await self.pane.ask()
        return True

    def _watches(self) -> list[tuple[str, int]]:
        """What is open in the Watch tab, and where it stands."""
        found = []
        watching = self.kv.panes.any("watch")
        for each in watching.boxes if watching is not None else ():
            feed = getattr(each, "feed", None)
            if feed is not None:
                found.append((f"watch {each.what}", int(feed.start_revision)))
        return found
