"""Undo and redo: a chooser of what was written lately, by this terminal and by others. Each undo is
a plan that puts back what was there before, if nobody has changed it since.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from kvorum.client.planning import Deed, Planned, taking_back
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Label

from kvorum_tui.model import twin, words
from kvorum_tui.model.decode import changed_part, one_line, printable
from kvorum_tui.model.plan import Options, Plan, planned
from kvorum_tui.model.undo import Entry, by_revision
from kvorum_tui.screens.key_plan import log_of, run_plan
from kvorum_tui.screens.key_work import KeyWork
from kvorum_tui.widgets.dialogs import Choice, Dialog, Reader, Rich
from kvorum_tui.widgets.paint import Line, LineList, TextLines

RECENT = 200  # Changes of others that are offered, at least.
VALUE_CELLS = 24


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the chooser: an entry of the own log, or a revision of the history."""

    title: str
    deeds: tuple[Deed, ...]
    revision: int
    entry: Entry | None = None


class UndoList(LineList):
    """What can be taken back, newest first; the own writes above the others'."""

    headed = True

    def __init__(self, rows: Sequence[Row], now: float, at_text: str) -> None:
        super().__init__(id="rows")
        self.rows = rows
        self.now = now
        self.at_text = at_text

    @property
    def current(self) -> Row | None:
        """The row under the cursor."""
        return self.rows[self.cursor] if self.cursor < len(self.rows) else None

    def row_count(self) -> int:
        """Rows."""
        return len(self.rows)

    def empty_text(self) -> list[tuple[str, str]]:
        """Nothing was written."""
        return [(f"no change of {self.at_text} is kept", "text"), ("esc closes", "dim")]

    def heading(self, width: int) -> Line:
        """Column names."""
        line = self.line().cell("revision", 9, "head", right=True).cell("by", 5, "head")
        return line.cell("keys", 6, "head", right=True).add("what", "head")

    def paint_row(self, number: int, width: int) -> Line:
        """One of them."""
        row = self.rows[number]
        mine = row.entry is not None
        line = self.line().cell(words.count(row.revision), 9, "text", right=True)
        line.cell("you" if mine else "", 5, "accent")
        line.cell(words.short_count(len(row.deeds)), 6, "dim", right=True)
        line.add(row.title, "text")
        if row.entry is not None:
            line.add(f"  {words.age(max(0.0, self.now - row.entry.at))}", "dim")
        return line


class UndoChooser(Dialog[Row]):
    """Choose what to take back; returns the row, or None."""

    DEFAULT_CSS = """
    UndoChooser UndoList { height: 10; }
    UndoChooser #what { height: 6; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("u", "choose", show=False)]

    def __init__(self, rows: Sequence[Row], at_text: str) -> None:
        super().__init__(classes="wide")
        self.dialog_title = f"Undo · {at_text}"
        self.list = UndoList(rows, time.time(), at_text)

    def body(self) -> ComposeResult:
        """List, what the chosen one did, keys."""
        yield self.list
        yield TextLines(id="what")
        yield Label("enter: what taking it back would do · esc closes", classes="hint")

    def on_mount(self) -> None:
        """Choose at once."""
        self.list.changed()
        self.list.focus()
        self._show()

    @on(LineList.Moved)
    def _show(self) -> None:
        row = self.list.current
        self.query_one("#what", TextLines).show(deed_lines(row.deeds) if row is not None else [])

    @on(LineList.Chosen)
    def action_choose(self) -> None:
        """Take this one."""
        if self.list.current is not None:
            self.dismiss(self.list.current)


def deed_lines(deeds: Sequence[Deed], limit: int = 50) -> Rich:
    """What was done, a key a line."""
    lines: Rich = []
    for deed in deeds[:limit]:
        old = deed.before.value if deed.before is not None else b""
        new = deed.after.value if deed.after is not None else b""
        if deed.after is None:
            sign, ink, text = "−", "minus", one_line(old, VALUE_CELLS)
        elif deed.before is None:
            sign, ink, text = "+", "plus", one_line(new, VALUE_CELLS)
        else:
            sign, ink, text = "~", "accent", " → ".join(changed_part(old, new, VALUE_CELLS))
        lost = "  (what was before is compacted)" if deed.lost else ""
        lines.append([(f"{sign} ", ink), (f"{printable(deed.key)}  ", "text"), (text, "dim")])
        lines[-1].append((lost, "warn"))
    if len(deeds) > limit:
        lines.append([(f"… and {len(deeds) - limit:,} more", "dim")])
    return lines


class KeyUndo(KeyWork):
    """Taking back."""

    async def undo(self) -> None:
        """Choose a change, show what taking it back would do, do it."""
        target = self.target()
        key, prefix = (b"", True) if target is None else (target.place, target.prefix is not None)
        if target is not None and len(target.keys) > 1:
            prefix = True
        text = "all keys" if target is None else target.text
        deeds = await self.kv.session.plans.recent(key, prefix, RECENT)
        row = await self.kv.push_screen_wait(UndoChooser(self._rows(deeds), text))
        if row is None:
            return
        if row.entry is not None:
            await self.take_back(row.entry.deeds, f"Undo: {row.entry.title}", row.entry)
            return
        # All keys of the transaction, not only those that are looked at.
        whole = await self.kv.session.plans.deeds(row.revision)
        await self.take_back(whole, f"Undo revision {row.revision:,}", None)

    async def redo(self) -> None:
        """Take the last undo back."""
        entry = log_of(self.kv).last_undo()
        if entry is None:
            self.kv.tell("nothing was undone here; u takes something back", "warning")
            return
        await self.take_back(entry.deeds, f"Redo: {entry.title.removeprefix('Undo: ')}", entry)

    def _rows(self, deeds: Sequence[Deed]) -> list[Row]:
        log = log_of(self.kv)
        own = [Row(entry.title, entry.deeds, entry.revision, entry) for entry in log.newest()]
        others = [
            Row(_summary(written.deeds), written.deeds, written.revision)
            for written in by_revision(deeds)
            if log.wrote(written.revision) is None
        ]
        return own + others

    async def take_back(self, deeds: Sequence[Deed], title: str, entry: Entry | None) -> None:
        """Plan it, and say why where it cannot be done."""
        plans = self.kv.session.plans
        now = await plans.now(sorted({deed.key for deed in deeds}))
        leases = {deed.before.lease for deed in deeds if deed.before is not None}
        living = await plans.living(leases - {0})
        line = _undo_twin(deeds)

        def plan_of(made: Planned, notes: tuple[str, ...] = ()) -> Plan:
            return planned(
                title,
                "Undo" if entry is None or not entry.undoes else "Redo",
                made,
                Options(),
                twin=line,
                notes=notes,
                undoes=entry.number if entry is not None else 0,
            )

        made = await asyncio.to_thread(taking_back, deeds, now, living)
        notes: tuple[str, ...] = ()
        if any("lease" in left.why for left in made.left):
            answer = await self.kv.push_screen_wait(
                Choice(
                    title,
                    _why_lines(made),
                    [("leave", "Leave those"), ("without", "Without their lease")],
                    "some keys hung on a lease that is gone",
                )
            )
            if answer is None:
                return
            if answer == "without":
                made = taking_back(deeds, now, living, without_lease=True)
                notes = ("keys whose lease is gone come back without one, and stay",)
        if not made.steps:
            lines: Rich = [[("this cannot be taken back:", "warn")], *_why_lines(made)]
            await self.kv.push_screen_wait(Reader(title, lines))
            return
        if made.left:
            notes += ("only a part can be taken back; the rest stays as it is",)
        await run_plan(self.kv, plan_of(made, notes))


def _why_lines(made: Planned) -> Rich:
    lines: Rich = [
        [(f"  {printable(left.key)}  ", "text"), (left.why, "warn")] for left in made.left[:50]
    ]
    if len(made.left) > 50:
        lines.append([(f"  … and {len(made.left) - 50:,} more", "dim")])
    return lines


def _summary(deeds: Sequence[Deed]) -> str:
    """A transaction on one line."""
    first = deeds[0]
    verb = "deleted" if first.after is None else "made" if first.before is None else "changed"
    more = f" and {len(deeds) - 1:,} more" if len(deeds) > 1 else ""
    return f"{verb} {printable(first.key)}{more}"


def _undo_twin(deeds: Sequence[Deed]) -> str:
    revisions = sorted({deed.revision for deed in deeds}, reverse=True)
    if len(deeds) == 1:
        deed = deeds[0]
        expected = deed.after.mod_revision if deed.after is not None else 0
        before = deed.before
        value, lease = (None, 0) if before is None else (before.value, before.lease)
        return twin.swap(deed.key, expected, value, lease)
    more = f"  (and {len(revisions) - 1:,} more revisions)" if len(revisions) > 1 else ""
    return f"kvorum undo {revisions[0]} --yes{more}"
