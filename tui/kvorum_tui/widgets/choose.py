"""A dialog to choose one of some ways or places: type to narrow, arrows, enter, or the mouse. What
cannot be taken now stays in the list and says why.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Input, Label

from kvorum_tui.widgets.dialogs import Dialog
from kvorum_tui.widgets.paint import Line, LineList

ROWS_MAX = 14


@dataclass(frozen=True, slots=True)
class Item:
    """One of them: the name that is returned, its text, what it is, why it cannot be taken."""

    name: str
    text: str
    about: str = ""
    why_not: str = ""


class ItemList(LineList):
    """The items that are left."""

    can_focus = False

    def __init__(self) -> None:
        super().__init__(id="items")
        self.items: list[Item] = []
        self.note = ""
        self.wide = 10

    def row_count(self) -> int:
        """Items."""
        return len(self.items)

    def empty_text(self) -> list[tuple[str, str]]:
        """Nothing is left."""
        return [(self.note, "dim")]

    def paint_row(self, number: int, width: int) -> Line:
        """Text and what it is; what cannot be taken is in brackets and says why."""
        item = self.items[number]
        line = self.line().add("› " if number == self.cursor else "  ", "accent")
        if item.why_not:
            return line.cell(f"({item.text})", self.wide, "faint").add(item.why_not, "faint")
        return line.cell(item.text, self.wide, "text").add(item.about, "dim")


class Choose(Dialog[str]):
    """Returns the name of the chosen item, or None."""

    DEFAULT_CSS = """
    Choose ItemList { height: auto; background: $surface; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "step(-1)", show=False, priority=True),
        Binding("down", "step(1)", show=False, priority=True),
        Binding("pageup", "step(-10)", show=False, priority=True),
        Binding("pagedown", "step(10)", show=False, priority=True),
    ]

    def __init__(self, title: str, items: list[Item], hint: str = "", empty: str = "") -> None:
        super().__init__(classes="wide")
        self.dialog_title = title
        self.items = items
        self.hint = hint
        self.empty = empty or "nothing of that name"
        self.list = ItemList()

    def body(self) -> ComposeResult:
        """A line to type in, the items, what the keys do."""
        yield Input(placeholder="type to narrow", id="narrow")
        yield self.list
        text = "enter takes it · esc closes"
        yield Label(Content(f"{self.hint} · {text}" if self.hint else text), classes="hint")
        yield Label("", classes="said", id="said")

    def on_mount(self) -> None:
        """All of them; the first that can be taken has the cursor."""
        widest = max((len(item.text) for item in self.items), default=10) + 2
        self.list.wide = min(widest, max(12, int(self.app.size.width * 0.5)))
        self.list.note = self.empty
        self.list.styles.height = max(1, min(ROWS_MAX, len(self.items), self.app.size.height - 10))
        self._narrow("")
        self.query_one(Input).focus()

    def _narrow(self, text: str) -> None:
        low = text.lower()
        shown = [i for i in self.items if low in i.text.lower() or low in i.about.lower()]
        self.list.items = shown
        self.list.cursor = next((n for n, item in enumerate(shown) if not item.why_not), 0)
        self.list.changed()

    @on(Input.Changed, "#narrow")
    def _typed(self, event: Input.Changed) -> None:
        self._narrow(event.value)

    def action_step(self, by: int) -> None:
        """Up or down, from the line as well."""
        self.list.action_move(by)

    @on(Input.Submitted, "#narrow")
    @on(LineList.Chosen)
    def _taken(self) -> None:
        if not self.list.items:
            return
        item = self.list.items[self.list.cursor]
        if item.why_not:
            self.query_one("#said", Label).update(Content(item.why_not))
            return
        self.dismiss(item.name)
