"""The Leases tab: every lease with the time it has left, and the keys that die with it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from kvorum_tui import keymap
from kvorum_tui.model import words
from kvorum_tui.model.decode import printable
from kvorum_tui.model.lease_table import LeaseRow, LeaseTable
from kvorum_tui.screens.pane import Pane
from kvorum_tui.session import SessionError
from kvorum_tui.widgets.dialogs import Confirm, Field, Form, Rich
from kvorum_tui.widgets.paint import Line, LineList, TextLines
from kvorum_tui.widgets.ttl import ttl_bar

if TYPE_CHECKING:
    from kvorum_tui.screens.workspace import Workspace


POLL_S = 2.0
POLL_MAX = 500
HOLD_EVERY = 3.0  # A held lease is renewed when a third of its time is gone.
TYPED_ABOVE = 20
TTL_MAX_S = 9_000_000_000
GRANTED_FROM = 64  # cells


class LeaseList(LineList):
    """Leases, soonest end first; bars run down between two reports."""

    headed = True

    def __init__(self, table: LeaseTable) -> None:
        super().__init__(id="leases")
        self.table = table
        self.now = 0.0
        self.shown: list[LeaseRow] = []
        self.note: list[tuple[str, str]] = []

    def refresh_at(self, now: float) -> None:
        """Show the picture of this moment; the cursor stays on its lease."""
        at = self.current
        self.now = now
        self.shown = self.table.rows(now)
        if at is not None:
            place = next(
                (n for n, row in enumerate(self.shown) if row.info.id == at.info.id), self.cursor
            )
            self.set_reactive(LineList.cursor, min(place, max(0, len(self.shown) - 1)))
        self.changed()

    def goto(self, lease_id: int) -> None:
        """Stand on a lease, if it is shown."""
        place = next((n for n, row in enumerate(self.shown) if row.info.id == lease_id), None)
        if place is not None:
            self.cursor = place
            self.keep_in_sight()

    @property
    def current(self) -> LeaseRow | None:
        """The chosen lease."""
        return self.shown[self.cursor] if self.cursor < len(self.shown) else None

    def row_count(self) -> int:
        """Leases."""
        return len(self.shown)

    def empty_text(self) -> list[tuple[str, str]]:
        """Set by the screen."""
        return self.note

    def heading(self, width: int) -> Line:
        """Column names."""
        line = self.line().add(" ").cell("lease", 17, "head")
        line.cell("time to live", self._bar(width) + 11, "head")
        if width >= GRANTED_FROM:
            line.cell("granted", 9, "head")
        return line.cell("keys", 5, "head", right=True).cell(
            "first key", width - line.width - 1, "head"
        )

    def _bar(self, width: int) -> int:
        return max(6, min(24, width - 62))

    def paint_row(self, number: int, width: int) -> Line:
        """One lease."""
        row = self.shown[number]
        line = self.line().add(" ").cell(f"{row.info.id:x}", 17, "text")
        ttl_bar(line, row, self.now, self._bar(width))
        if width >= GRANTED_FROM:
            line.cell(words.span(row.info.granted_s), 9, "dim")
        line.cell(str(len(row.info.keys)), 5, "text" if row.info.keys else "dim", right=True)
        if row.held:
            line.add("HELD ", "accent")
        first = printable(row.info.keys[0]) if row.info.keys else "no key"
        return line.cell(first, width - line.width - 1, "text" if row.info.keys else "dim")


class LeasesPane(Pane):
    """List, grant, keep alive, revoke."""

    tab = "leases"
    about = (
        "A lease is a time to live that somebody must renew. The bar is what is left of it, "
        "counted down here between two answers of the cluster (every two seconds); ! marks the "
        "last ten seconds. When it ends, or is revoked, all its keys are deleted in one revision. "
        "HELD leases are renewed by this terminal as long as it runs."
    )
    BINDINGS: ClassVar[list[BindingType]] = keymap.bindings("leases")
    DEFAULT_CSS = """
    LeasesPane .list { border: round $border; width: 2fr; border-title-color: $text-muted; }
    LeasesPane .keys {
        border: round $border; width: 1fr; min-width: 24; border-title-color: $text-muted;
    }
    LeasesPane Vertical:focus-within { border: round $primary; }
    LeasesPane #lease-said { height: auto; color: $warning; padding: 0 1; }
    """

    def __init__(self, kv: Workspace) -> None:
        super().__init__(kv)
        self.table = LeaseTable()
        self.total = 0
        self.error: SessionError | None = None
        self._renew_at: dict[int, float] = {}
        self.list = LeaseList(self.table)
        self.said = Static("", id="lease-said")
        self.keys_box = TextLines(id="lease-keys")
        self.left = Vertical(self.said, self.list, classes="list")

    def compose(self) -> ComposeResult:
        """Leases at the left, the chosen one's keys at the right."""
        with Horizontal():
            yield self.left
            with Vertical(classes="keys") as box:
                box.border_title = "Its keys"
                yield self.keys_box

    def on_mount(self) -> None:
        """Start asking."""
        self.left.border_title = "Leases"
        self.list.note = [("asking for leases…", "dim")]
        self.said.display = False
        self.run_worker(self._poll(), group="leases-feed")
        self.run_worker(self._hold(), group="leases-hold")

    def first_focus(self) -> Widget:
        """The list."""
        return self.list

    def refresh_at(self, now: float) -> None:
        """Bars run down."""
        self.list.refresh_at(now)
        self._show_keys()
        self.said.display = self.error is not None
        if self.error is not None:
            told = f"told {words.age(now - self.table.seen_at)}; " if self.table.loaded else ""
            self.said.update(Content(f"{told}{self.error}"))

    async def _poll(self) -> None:
        while True:
            front = self.kv.pane is self
            if front or not self.table.loaded:
                await self._ask()
            await asyncio.sleep(POLL_S if self.table.loaded and front else POLL_S / 4)

    async def _ask(self) -> None:
        try:
            infos, self.total = await self.kv.session.leases(POLL_MAX)
        except SessionError as error:
            self.error = error
            return
        self.error = None
        self.table.update(infos, self.kv.clock())
        self.list.note = [("there is no lease", "text"), ("g grants one", "dim")]
        title = f"Leases · {self.total:,}"
        if self.total > POLL_MAX:
            title += f", the first {POLL_MAX:,} shown"
        self.left.border_title = Content(title)
        self.list.refresh_at(self.kv.clock())
        self.kv.refresh_actions()

    def _show_keys(self) -> None:
        row = self.list.current
        lines = [[(printable(key), "text")] for key in row.info.keys] if row is not None else []
        box = self.keys_box
        if lines != box.shown_lines or not lines:
            box.show(lines, "no key is attached" if row is not None else "no lease chosen")

    @on(LineList.Moved, "#leases")
    def _moved(self) -> None:
        self._show_keys()
        self.kv.refresh_actions()

    @on(LineList.Chosen, "#leases")
    def _chosen(self) -> None:
        self.kv.do("lease_goto")

    # --- actions ----------------------------------------------------------------------------------

    def why_not(self, name: str) -> str:
        """All but granting need a lease."""
        row = self.list.current
        if name == "lease_grant":
            return ""
        if row is None:
            return "there is no lease to choose; g grants one"
        if name == "lease_goto" and not row.info.keys:
            return "no key is attached to this lease"
        return ""

    async def do_lease_grant(self) -> None:
        """A new lease."""
        field = Field("ttl", "Time to live, in seconds", "60", check=_ttl)
        values = await self.app.push_screen_wait(Form("Grant a lease", [field], "Grant"))
        if values is not None:
            info = await self.kv.session.grant(int(values["ttl"]))
            self.kv.tell(f"granted lease {info.id:x} for {words.span(info.granted_s)}")
            await self._ask()
            self.list.goto(info.id)

    async def do_lease_renew(self) -> None:
        """Once."""
        row = self.list.current
        if row is not None:
            left = await self.kv.session.keep_alive(row.info.id)
            self.table.renewed(row.info.id, left, self.kv.clock())
            self.list.refresh_at(self.kv.clock())

    async def do_lease_hold(self) -> None:
        """Again and again, or no longer."""
        row = self.list.current
        if row is None:
            return
        self.table.hold(row.info.id, not row.held)
        self._renew_at.pop(row.info.id, None)
        self.list.refresh_at(self.kv.clock())
        self.kv.tell(
            "kept alive as long as this terminal runs" if not row.held else "no longer kept alive"
        )

    async def _hold(self) -> None:
        while True:
            now = self.kv.clock()
            for lease_id in self.table.held():
                if now >= self._renew_at.get(lease_id, 0.0):
                    await self._renew_held(lease_id)
            await asyncio.sleep(0.5)

    async def _renew_held(self, lease_id: int) -> None:
        row = self.table.get(lease_id)
        if row is None:
            return
        try:
            left = await self.kv.session.keep_alive(lease_id)
        except SessionError as error:
            self.kv.show_error(error)
            self._renew_at[lease_id] = self.kv.clock() + 1.0
            return
        self.table.renewed(lease_id, left, self.kv.clock())
        self._renew_at[lease_id] = self.kv.clock() + max(0.5, left / HOLD_EVERY)

    async def do_lease_revoke(self) -> None:
        """Show what dies, then end it."""
        row = self.list.current
        if row is None:
            return
        keys = row.info.keys
        lines: Rich = [
            [
                (
                    f"Lease {row.info.id:x}, {words.clock(row.remaining(self.kv.clock()))} left.",
                    "text",
                )
            ],
            [
                (
                    f"Deletes {words.plural(len(keys), 'key')} in one revision:"
                    if keys
                    else "No key goes with it.",
                    "text",
                )
            ],
            *([("  " + printable(key), "text")] for key in keys[:5]),
        ]
        if len(keys) > 5:
            lines.append([(f"  … and {len(keys) - 5:,} more", "dim")])
        typed = str(len(keys)) if len(keys) > TYPED_ABOVE else ""
        if await self.app.push_screen_wait(Confirm("Revoke this lease?", lines, "Revoke", typed)):
            await self.kv.session.revoke(row.info.id)
            self.table.remove(row.info.id)
            await self._ask()

    def do_lease_goto(self) -> None:
        """Its first key."""
        row = self.list.current
        if row is not None and row.info.keys:
            self.kv.goto_key(row.info.keys[0])


def _ttl(text: str) -> str:
    if not text.strip().isdigit() or not 1 <= int(text) <= TTL_MAX_S:
        return f"whole seconds from 1 to {TTL_MAX_S:,}"
    return ""
