"""The link matrix: rows from, columns to. A cell is a link in one direction."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.reactive import reactive

from kvorum_tui.model.cluster_model import ClusterModel, MemberState
from kvorum_tui.widgets.paint import Line, Painted, inks_for

NAME_CELLS = 14
CELL = 9


class LinkMatrix(Painted, can_focus=True):
    """N x N links; the cursor picks a link (or, on the diagonal, a member)."""

    DEFAULT_CSS = "LinkMatrix { height: auto; background: $surface; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "step(-1, 0)", "up", show=False),
        Binding("down", "step(1, 0)", "down", show=False),
        Binding("left", "step(0, -1)", "left", show=False),
        Binding("right", "step(0, 1)", "right", show=False),
    ]
    row = reactive(0)
    column = reactive(1)

    class Moved(Message):
        """The cursor stands on another link."""

    def __init__(self, model: ClusterModel, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.model = model
        self.now = 0.0
        self._height = 0

    def refresh_at(self, now: float) -> None:
        """Show the picture of this moment."""
        self.now = now
        height = max(2, len(self.model.order) + 2)
        if height != self._height:
            self._height = height
            self.styles.height = height
        self.refresh()

    def _members(self) -> list[MemberState]:
        return self.model.rows()

    @property
    def source(self) -> MemberState | None:
        """The member of the cursor's row."""
        members = self._members()
        return members[self.row] if self.row < len(members) else None

    @property
    def target(self) -> MemberState | None:
        """The member of the cursor's column."""
        members = self._members()
        return members[self.column] if self.column < len(members) else None

    def action_step(self, down: int, right: int) -> None:
        """Move the cursor."""
        size = len(self._members())
        if size:
            self.row = (self.row + down) % size
            self.column = (self.column + right) % size
            self.post_message(self.Moved())

    def on_click(self, event: events.Click) -> None:
        """Put the cursor under the mouse."""
        row, column = event.y - 2, (event.x - NAME_CELLS - 1) // (CELL + 1)
        size = len(self._members())
        if 0 <= row < size and 0 <= column < size:
            self.row, self.column = row, column
            self.post_message(self.Moved())

    def paint(self, y: int, width: int) -> Line:
        """Line ``y``: two of heading, then a row a member."""
        line = self.line()
        members = self._members()
        if y == 0:
            return line.cell("from ↓", NAME_CELLS, "head").add("to →", "head")
        if y == 1:
            line.cell("", NAME_CELLS)
            for member in members:
                line.cell(member.name, CELL, "bold")
            return line
        if y - 2 >= len(members):
            return line
        source = members[y - 2]
        fresh = source.fresh(self.now)
        leads = bool(source.report and source.report.role == "leader" and fresh)
        line.add("L " if leads else "  ", "good")
        line.cell(source.name, NAME_CELLS - 2, "good" if leads else "bold" if fresh else "gone")
        for number, target in enumerate(members):
            text, ink = self._cell(source, target)
            if self.has_focus and (y - 2, number) == (self.row, self.column):
                line.styled(f"{text:<{CELL}}", inks_for(self)["cursor"]).add(" ")
            elif (y - 2, number) == (self.row, self.column):
                line.styled(f"{text:<{CELL}}", inks_for(self)["cursor-off"]).add(" ")
            else:
                line.cell(text, CELL, ink)
        return line

    def _cell(self, source: MemberState, target: MemberState) -> tuple[str, str]:
        if source is target:
            return ("  —", "faint")
        if not source.id or not target.id:
            return ("? unknown", "faint")
        left = self.model.cut(source.id, target.id, self.now)
        if left is not None:
            return (f"✗ {left / 1000:.0f} s", "bad")
        if not source.fresh(self.now) or not target.fresh(self.now):
            return ("○ silent", "dim")
        peers = source.report.peers if source.report else None
        if peers is None:
            return ("· ?", "faint")
        peer = next((p for p in peers if p.id == target.id), None)
        if peer is not None and not peer.connected:
            return ("○ down", "warn")
        if peer is not None and peer.round_trip_ms:
            return (f"● {peer.round_trip_ms:.1f}ms", "good")
        return ("● up", "good")
