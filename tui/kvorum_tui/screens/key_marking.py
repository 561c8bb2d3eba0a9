"""Marking in the Keys tab: single keys, branches, ranges, what a filter shows. What is marked is
what the changing half then works on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import islice

from kvorum_tui.model.key_index import Row
from kvorum_tui.model.marks import end_of
from kvorum_tui.screens.key_base import KeysView

STEP = 2_000  # Keys marked in one turn of the event loop.


class KeyMarking(KeysView):
    """The marking half of the Keys tab."""

    def marked(self) -> list[bytes]:
        """Every marked key in order; empty when there is none."""
        return self.marks.all()

    def clear_marks(self) -> None:
        """Unmark everything."""
        self.marks.clear()
        self._marks_changed()

    def subject(self) -> tuple[list[bytes], bytes | None]:
        """What an action works on: the marked keys; else the key under the cursor; else, with no
        keys, the branch under the cursor.
        """
        if len(self.marks):
            return self.marked(), None
        if self.row is None:
            return [], None
        return ([], self.row.path) if self.row.branch else ([self.row.path], None)

    def _marks_changed(self) -> None:
        self.key_tree.marking = len(self.marks) > 0
        self.key_tree.refresh()
        self.retitle()
        self.kv.refresh_actions()

    def why_not_mark(self, name: str) -> str:
        """What needs marks."""
        if name == "key_mark_none" and not len(self.marks):
            return "nothing is marked (space marks)"
        if name.startswith("key_mark") and self.row is None and name != "key_mark_none":
            return "there is no key to mark"
        return ""

    def _of(self, row: Row) -> Iterator[bytes]:
        """The keys that a row stands for, in what is shown."""
        if not row.branch:
            return iter((row.path,))
        return self._between(row.path, end_of(row.path))

    def _between(self, low: bytes, high: bytes | None) -> Iterator[bytes]:
        return self.shown.between(low, high)

    def _scope(self) -> Iterator[bytes]:
        """What "all" means: the matches of a filter, or the branch around the cursor."""
        row = self.row
        if self.found is not None or row is None or self.shown.flat:
            return self._between(b"", None)
        above = row.path if row.branch else self.shown.parent_of(row.path, False)
        return self._between(above, end_of(above))

    async def _mark(self, keys: Iterator[bytes], how: str) -> None:
        """Mark, unmark or turn some keys, a stretch at a time."""
        chosen = list(keys)
        for start in range(0, len(chosen), STEP):
            part = chosen[start : start + STEP]
            if how == "mark":
                self.marks.add(part)
            elif how == "unmark":
                self.marks.remove(part)
            else:
                self.marks.turn(part)
            if start + STEP < len(chosen):
                self._marks_changed()
                await asyncio.sleep(0)
        self._marks_changed()

    def do_key_mark(self) -> None:
        """Mark or unmark what is under the cursor, then go down."""
        row = self.row
        if row is None:
            return
        if row.branch:
            whole = self.marks.under(row.path) >= row.keys
            how = "unmark" if whole else "mark"
            self.marks.last = row.path
            self.aside(lambda: self._mark(self._of(row), how), "mark")
            return
        self.marks.toggle(row.path)
        self._marks_changed()
        self.key_tree.action_move(1)

    def do_key_mark_range(self) -> None:
        """Everything from the key that was marked last up to here."""
        row, last = self.row, self.marks.last
        if row is None:
            return
        if last is None:
            self.do_key_mark()
            return
        self.marks.last = row.path
        if self.shown.ordered:  # What stands between the two on the screen.
            from_row, to_row = sorted((self.shown.nearest_row(last), self.key_tree.cursor))
            rows = self.shown.rows(from_row, to_row - from_row + 1)
            self.aside(lambda: self._mark(iter([each.path for each in rows]), "mark"), "mark")
            return
        low, high = sorted((last, row.path))
        reach = end_of(high) if self.shown.is_branch(high) else high + b"\0"
        self.aside(lambda: self._mark(self._between(low, reach), "mark"), "mark")

    def do_key_mark_all(self) -> None:
        """What the filter shows, or the branch."""
        self.aside(lambda: self._mark(self._scope(), "mark"), "mark")

    def do_key_mark_turn(self) -> None:
        """The others instead."""
        self.aside(lambda: self._mark(islice(self._scope(), None), "turn"), "mark")

    def do_key_mark_none(self) -> None:
        """Nothing."""
        self.clear_marks()
