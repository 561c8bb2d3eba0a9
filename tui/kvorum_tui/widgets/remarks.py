"""A few lines that say what stands out in the cluster."""

from __future__ import annotations

from kvorum_tui.model.cluster_words import Remark
from kvorum_tui.widgets.paint import Line, Painted


class Remarks(Painted):
    """The most urgent remarks; nothing at all when there is nothing to say."""

    DEFAULT_CSS = "Remarks { height: auto; background: $surface; padding: 0 1; }"

    def __init__(self, most: int = 4, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.most = most
        self._shown: list[Remark] = []
        self._more = 0

    def show(self, remarks: list[Remark]) -> bool:
        """Show these, as many as fit; says whether that takes another height."""
        kept = remarks if len(remarks) <= self.most else remarks[: self.most - 1]
        if kept == self._shown and len(remarks) - len(kept) == self._more:
            return False
        before = len(self._shown) + bool(self._more)
        self._shown, self._more = kept, len(remarks) - len(kept)
        self.display = bool(kept)
        self.styles.height = len(kept) + bool(self._more)
        self.refresh(layout=True)
        return before != len(kept) + bool(self._more)

    @property
    def lines(self) -> int:
        """How many lines it takes."""
        return len(self._shown) + bool(self._more)

    def paint(self, y: int, width: int) -> Line:
        """One remark."""
        line = self.line()
        if y < len(self._shown):
            remark = self._shown[y]
            return line.add(f"{remark.sign} ", remark.ink).cell(remark.text, width - 3, remark.ink)
        return line.add(f"· and {self._more} more: a  tells all", "dim") if self._more else line
