"""The Time tab's comparison: a tree of what differs between A and B, and each key's difference."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import Container, Horizontal, Vertical
from textual.content import Content
from textual.message import Message

from kvorum_tui.model import words
from kvorum_tui.model.compare import Comparison, Difference, TreeRow, counts_text
from kvorum_tui.model.decode import printable
from kvorum_tui.model.records import KeyRecord
from kvorum_tui.screens.pane import Pane, workspace_of
from kvorum_tui.screens.time_merge import Side, compare
from kvorum_tui.screens.time_views import difference
from kvorum_tui.session import SessionError
from kvorum_tui.widgets.dialogs import Rich
from kvorum_tui.widgets.paint import Line, LineList, TextLines

if TYPE_CHECKING:
    from kvorum_tui.screens.workspace import Workspace

SIGN_INKS = {"added": ("+", "good"), "removed": ("−", "bad"), "changed": ("~", "warn")}
ARRANGE_S = 0.25  # The tree is made anew this often while it grows.


class CompareTree(LineList):
    """Branches with their counts, keys that differ. Left and right close and open."""

    BINDINGS = [  # noqa: RUF012  # Textual's own form
        ("left", "fold(0)", "close"),
        ("right", "fold(1)", "open"),
    ]

    class Opened(Message):
        """Enter on a key that differs."""

        def __init__(self, leaf: Difference) -> None:
            super().__init__()
            self.leaf = leaf

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.comparison = Comparison()
        self.everything = False
        self.marked: set[bytes] = set()
        self.note: list[tuple[str, str]] = []

    @property
    def rows(self) -> list[TreeRow]:
        """What is shown."""
        return self.comparison.rows

    @property
    def current(self) -> TreeRow | None:
        """The row under the cursor."""
        return self.rows[self.cursor] if self.cursor < len(self.rows) else None

    def rebuild(self) -> None:
        """The tree has grown, or was opened; the cursor stays on its row."""
        at = self.current
        self.comparison.rebuild(self.everything)
        if at is not None:
            place = next((n for n, row in enumerate(self.rows) if row.path == at.path), None)
            if place is not None:
                self.set_reactive(LineList.cursor, place)
        self.changed()

    def chosen(self) -> list[Difference]:
        """What is marked, or what is under the cursor; all of it at the top of nothing."""
        comparison = self.comparison
        paths = sorted(self.marked)
        if not paths:
            row = self.current
            if row is None:
                return []
            if row.branch is not None:
                return comparison.under(row.path)
            return [row.leaf] if row.leaf is not None else []
        found = {d.key: d for path in paths for d in comparison.under(path)}
        return [found[key] for key in sorted(found)]

    def toggle(self) -> None:
        """Mark or unmark, and go on."""
        row = self.current
        if row is not None:
            if not row.more:
                self.marked ^= {row.path}
            self.action_move(1)
            self.refresh()

    def toggle_all(self) -> None:
        """Everything, or nothing."""
        self.marked = set() if self.marked else {row.path for row in self.rows if not row.depth}
        self.refresh()

    def row_count(self) -> int:
        """Rows."""
        return len(self.rows)

    def empty_text(self) -> list[tuple[str, str]]:
        """Set by the view."""
        return self.note

    def paint_row(self, number: int, width: int) -> Line:
        """A branch with its counts, or a key."""
        row = self.rows[number]
        line = self.line().add("* " if row.path in self.marked else "  ", "mark")
        line.add("  " * row.depth)
        if row.branch is not None:
            opened = row.branch.path in self.comparison.open
            line.add("▾ " if opened else "▸ ", "dim")
            line.add(printable(row.branch.name) + "  ", "branch")
            for text, ink in counts_text(row.branch.counts):
                line.add(text, ink)
            return line
        if row.leaf is None:
            text = f"… {row.more:,} more keys differ here; marking the branch takes them all"
            return line.add(text, "warn")
        sign, ink = SIGN_INKS[row.leaf.kind]
        line.add(f"{sign} ", ink)
        parent = row.leaf.key.rfind(self.comparison.separator, 0, -1) + 1 if row.depth else 0
        line.add(printable(row.leaf.key[parent:]) + "  ", "text")
        was = words.count(row.leaf.a_mod) if row.leaf.a_mod else "none"
        now = words.count(row.leaf.b_mod) if row.leaf.b_mod else "none"
        return line.add(f"{was} → {now}", "dim")

    def action_fold(self, opened: int) -> None:
        """Open the branch, or close it; close on a key goes to its branch."""
        row = self.current
        if row is None:
            return
        comparison = self.comparison
        if row.branch is not None and (row.branch.path in comparison.open) != bool(opened):
            comparison.open ^= {row.branch.path}
            self.rebuild()
        elif not opened:
            place = self.cursor
            while place > 0 and self.rows[place].depth >= row.depth:
                place -= 1
            self.cursor = place

    def action_choose(self) -> None:
        """Enter: open or close a branch, go to a key."""
        row = self.current
        if row is None:
            return
        if row.branch is not None:
            self.action_fold(int(row.branch.path not in self.comparison.open))
        elif row.leaf is not None:
            self.post_message(self.Opened(row.leaf))


class CompareView(Container):
    """Tree at the left, difference at the right (below where it is narrow)."""

    DEFAULT_CSS = """
    CompareView Horizontal { height: 1fr; }
    CompareView #compare-detail { width: 45%; }
    CompareView.narrow Horizontal { layout: vertical; }
    CompareView.narrow #compare-detail { width: 1fr; height: 40%; }
    """

    def __init__(self) -> None:
        super().__init__(id="time-view-compare")
        self.tree_list = CompareTree(id="compare-tree")
        self.detail = TextLines(id="compare-text")
        self.a: Side | None = None
        self.b: Side | None = None
        self.running = False
        self.error = ""
        self._box = Vertical(self.tree_list, classes="box")
        self._arranged = 0.0

    @property
    def kv(self) -> Workspace:
        """The cluster."""
        return workspace_of(self)

    def compose(self) -> ComposeResult:
        """Two boxes."""
        with Horizontal():
            yield self._box
            with Vertical(self.detail, classes="box", id="compare-detail") as box:
                box.border_title = "A → B"

    @property
    def alone(self) -> bool:
        """Whether both sides are of one cluster."""
        return self.a is None or self.b is None or self.a.session is self.b.session

    async def run(self, a: Side, b: Side) -> None:
        """Compare, until cancelled. Raises SessionError."""
        tree = self.tree_list
        self.a, self.b, self.running, self.error = a, b, True, ""
        tree.comparison, tree.marked = Comparison(), set()
        tree.note = [("comparing… esc stops", "dim")]
        tree.rebuild()
        self.detail.show([])
        try:
            await compare(a, b, tree.comparison, self._told)
        except SessionError as error:
            self.error = str(error)
            raise
        except asyncio.CancelledError:
            self.error = "stopped: what is shown is not all"
            raise
        finally:
            self.running = False
            tree.comparison.open_first()
            tree.note = [(self.error or "no difference", "warn" if self.error else "good")]
            if self.is_attached:
                tree.rebuild()
                self._titled()
                self.show_chosen()
                workspace_of(self).refresh_actions()

    def _told(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._arranged >= ARRANGE_S and self.is_attached:
            self._arranged = now
            self.tree_list.rebuild()
            self._titled()

    def _titled(self) -> None:
        if self.a is None or self.b is None:
            return
        comparison = self.tree_list.comparison
        counts = "".join(text for text, _ in counts_text(comparison.counts)).strip()
        sides = f"A {self.a.words(self.alone)} → B {self.b.words(self.alone)}"
        self._box.border_title = Content(f"{sides}: {counts}")
        said = []
        if self.running:
            said.append(f"{words.count(comparison.compared)} keys so far · esc stops")
        if comparison.left_out:
            said.append(f"{words.count(comparison.left_out)} more differ and are only counted")
        if self.error:
            said.append(self.error)
        if not said and self.alone:
            said.append(f"kvorum diff '{self.a.text(True)}' '{self.b.text(True)}'")
        self._box.border_subtitle = Content(" · ".join(said))

    # --- the difference of one key ----------------------------------------------------------------

    @on(LineList.Moved)
    def show_chosen(self) -> None:
        """What differs in the row under the cursor."""
        row = self.tree_list.current
        if row is None or self.a is None or self.b is None:
            self.detail.show([])
        elif row.branch is not None:
            texts = counts_text(row.branch.counts)
            legend = [("+ only in B, − only in A, ~ another value, = the same", "dim")]
            self.detail.show([[(printable(row.path), "bold")], texts, [], legend])
        elif row.leaf is not None:
            leaf, a, b = row.leaf, self.a, self.b
            pane = next(each for each in self.ancestors if isinstance(each, Pane))
            pane.aside(lambda: self._show(leaf, a, b), group="compare-detail", exclusive=True)

    async def _show(self, leaf: Difference, a: Side, b: Side) -> None:
        async def read(side: Side, mod: int) -> KeyRecord | None:
            if not mod:
                return None
            return await side.session.past.get(side.prefix + leaf.key, side.revision or mod)

        was, now = await asyncio.gather(read(a, leaf.a_mod), read(b, leaf.b_mod))
        lines: Rich = [[(printable(leaf.key), "bold")]]
        for name, side, record in (("A", a, was), ("B", b, now)):
            text = "not there"
            if record is not None:
                text = f"revision {words.count(record.mod_revision)} · version {record.version}"
                text += f" · lease {record.lease:x}" if record.lease else ""
            lines.append([(f"{name} ", "accent"), (f"{side.words(self.alone)}: {text}", "dim")])
        self.detail.show([*lines, [], *_between(was, now)])


def _between(was: KeyRecord | None, now: KeyRecord | None) -> Rich:
    if was is None and now is not None:
        return [[("only in B", "good")], *difference(None, now.value)[2:]]
    return difference(was.value if was else None, now.value if now else None)
