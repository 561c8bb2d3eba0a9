"""Dialogs: confirm with a preview (and a typed word when much is at stake), show a difference, fill
in a form, read.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, TypeVar

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label

from kvorum_tui.model.diff import DiffLine
from kvorum_tui.model.mask import MASK, hidden
from kvorum_tui.widgets.paint import TextLines

Result = TypeVar("Result")
Rich = list[list[tuple[str, str]]]

FRAME_CELLS = 5  # Border, padding and a scrollbar of a box.
DIFF_INKS = {"+": "plus", "-": "minus", "@": "dim", " ": "text"}


def diff_rich(lines: list[DiffLine]) -> Rich:
    """Diff lines to paint."""
    if hidden():
        lines = [replace(line, text=MASK) for line in lines]
    return [
        [(f"{'−' if line.sign == '-' else line.sign} {line.text}", DIFF_INKS[line.sign])]
        for line in lines
    ]


def folded(lines: Rich, width: int) -> Rich:
    """Lines broken between words where they are longer than ``width`` cells; what goes on stands
    below the text behind the first part, when that is a label.
    """
    out: Rich = []
    for parts in lines:
        if sum(cell_len(text) for text, _ in parts) <= width:
            out.append(parts)
            continue
        label = cell_len(parts[0][0]) if len(parts) > 1 and parts[0][0].endswith(" ") else 0
        indent = label if label <= width // 2 else 0
        row: list[tuple[str, str]] = []
        used = 0
        for text, ink in parts:
            for piece in re.findall(r"\s*\S+\s*|\s+", text):
                if used + cell_len(piece.rstrip()) > width and used > indent:
                    out.append(_trimmed(row))
                    row, used, piece = [(" " * indent, "text")], indent, piece.lstrip()
                row.append((piece, ink))
                used += cell_len(piece)
        out.append(_trimmed(row))
    return out


def _trimmed(row: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Without the blank at its end, which would be a cell too many."""
    text, ink = row[-1]
    return [*row[:-1], (text.rstrip(), ink)]


class Dialog(ModalScreen[Result]):
    """A box in the middle with a title, a body, and buttons at the foot."""

    DEFAULT_CSS = """
    Dialog { align: center middle; background: $background 60%; }
    Dialog > Vertical {
        width: 80; max-width: 96%; height: auto; max-height: 94%; background: $surface;
        border: round $primary; padding: 0 1; border-title-color: $primary;
        border-title-style: bold;
    }
    Dialog.danger > Vertical { border: round $error; border-title-color: $error; }
    Dialog.wide > Vertical { width: 110; }
    Dialog TextLines { height: auto; max-height: 70vh; min-height: 1; }
    Dialog .said { color: $error; width: 1fr; height: auto; }
    Dialog .hint { color: $text-muted; height: auto; }
    Dialog Input, Dialog Input:focus { border: none; height: 1; background: $panel; padding: 0 1; }
    Dialog Input.-invalid { background: $error 30%; }
    Dialog .foot { height: auto; align-horizontal: right; margin-top: 1; }
    Dialog Button { margin-left: 1; min-width: 10; background: $panel; padding: 0 1; }
    Dialog Button:focus { background: $primary; color: $background; text-style: bold; }
    Dialog Button.-error:focus { background: $error; color: $background; text-style: bold; }
    Dialog Button:disabled { color: $text-disabled; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss_none", "close", show=False),
        Binding("left", "app.focus_previous", show=False),
        Binding("right", "app.focus_next", show=False),
    ]
    dialog_title = ""

    def body(self) -> ComposeResult:
        """What stands in the box."""
        yield from ()

    def compose(self) -> ComposeResult:
        """The box."""
        with Vertical() as box:
            box.border_title = Content(self.dialog_title)
            yield from self.body()

    def fitting(self, lines: Rich) -> Rich:
        """Lines to read, broken where the box ends."""
        widest = 110 if self.has_class("wide") else 80
        return folded(lines, min(widest, int(self.app.size.width * 0.96)) - FRAME_CELLS)

    def action_dismiss_none(self) -> None:
        """Escape: nothing happens."""
        self.dismiss(None)


class Confirm(Dialog[bool]):
    """Says what is about to happen. Enter does it; where much is at stake, ``typed`` is a word that
    must be typed first. ``danger`` is for what cannot be undone or stops the cluster.
    """

    def __init__(
        self,
        title: str,
        lines: Rich,
        yes: str,
        typed: str = "",
        danger: bool = True,
        id: str | None = None,
    ) -> None:
        super().__init__(id=id, classes="danger" if danger else "")
        self.dialog_title = title
        self.lines = lines
        self.yes = yes
        self.typed = typed
        self.danger = danger

    def body(self) -> ComposeResult:
        """Preview, typed word, buttons."""
        yield TextLines(id="preview")
        if self.typed:
            yield Label(Content(f"Type {self.typed} to go on:"), classes="hint")
            yield Input(id="typed")
        with Horizontal(classes="foot"):
            yield Button("Cancel", id="no", compact=True)
            yield Button(
                Content(self.yes),
                id="yes",
                variant="error" if self.danger else "primary",
                disabled=bool(self.typed),
                compact=True,
            )

    def on_mount(self) -> None:
        """Enter confirms, or goes on once the word was typed."""
        preview = self.query_one("#preview", TextLines)
        preview.can_focus = False
        preview.show(self.fitting(self.lines))
        if self.typed:
            self.query_one("#typed").focus()
        else:
            self.query_one("#yes").focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """The right word unlocks the button."""
        self.query_one("#yes", Button).disabled = event.value.strip() != self.typed

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter after the right word."""
        if event.value.strip() == self.typed:
            self.dismiss(True)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Yes or no."""
        self.dismiss(event.button.id == "yes")


class Choice(Dialog[str]):
    """Lines to read (a difference, say) and several ways to go on; returns the chosen
    one's name.
    """

    def __init__(
        self,
        title: str,
        lines: Rich,
        choices: list[tuple[str, str]],
        said: str = "",
        danger: bool = False,
    ) -> None:
        super().__init__(classes="wide danger" if danger else "wide")
        self.dialog_title = title
        self.lines = lines
        self.choices = choices
        self.said = said

    def body(self) -> ComposeResult:
        """Why, what, buttons."""
        if self.said:
            yield Label(Content(self.said), classes="hint")
        yield TextLines(id="preview")
        with Horizontal(classes="foot"):
            for number, (name, text) in enumerate(self.choices):
                yield Button(
                    Content(text),
                    id=name,
                    variant="primary" if number == 0 else "default",
                    compact=True,
                )

    def on_mount(self) -> None:
        """The first choice has the focus."""
        self.query_one("#preview", TextLines).show(self.lines, "no difference")
        self.query_one(f"#{self.choices[0][0]}").focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """One of them."""
        self.dismiss(event.button.id or "")


class Reader(Dialog[None]):
    """Text to read."""

    def __init__(self, title: str, lines: Rich) -> None:
        super().__init__(classes="wide")
        self.dialog_title = title
        self.lines = lines

    def body(self) -> ComposeResult:
        """The text."""
        yield TextLines(id="preview")
        yield Label("esc closes · arrows scroll", classes="hint")

    def on_mount(self) -> None:
        """Scrolls with the keys at once."""
        preview = self.query_one("#preview", TextLines)
        preview.show(self.fitting(self.lines), "nothing")
        preview.focus()


@dataclass(frozen=True, slots=True)
class Field:
    """A line of a form. ``check`` returns what is wrong, or an empty text; ``hidden`` does not show
    what is typed.
    """

    name: str
    label: str
    value: str = ""
    hint: str = ""
    check: Callable[[str], str] = lambda _: ""
    hidden: bool = False


class Form(Dialog[dict[str, str]]):
    """A few lines to fill in."""

    def __init__(self, title: str, fields: list[Field], yes: str) -> None:
        super().__init__()
        self.dialog_title = title
        self.form_fields = fields
        self.yes = yes

    def body(self) -> ComposeResult:
        """Labels, inputs, what is wrong, buttons."""
        for field in self.form_fields:
            yield Label(Content(field.label))
            yield Input(
                field.value,
                id=f"in-{field.name}",
                placeholder=field.hint,
                password=field.hidden,
            )
        yield Label("", classes="said", id="said")
        with Horizontal(classes="foot"):
            yield Button("Cancel", id="no", compact=True)
            yield Button(Content(self.yes), id="yes", variant="primary", compact=True)

    def on_mount(self) -> None:
        """Type at once; the cursor stands at the end of what is there."""
        first = self.query(Input).first()
        first.focus()
        first.cursor_position = len(first.value)

    def _submit(self) -> None:
        values = {f.name: self.query_one(f"#in-{f.name}", Input).value for f in self.form_fields}
        for field in self.form_fields:
            wrong = field.check(values[field.name])
            if wrong:
                self.query_one("#said", Label).update(Content(wrong))
                self.query_one(f"#in-{field.name}").focus()
                return
        self.dismiss(values)

    def on_input_submitted(self) -> None:
        """Enter goes to the next line, or ends the form."""
        inputs = list(self.query(Input))
        at = next((n for n, field in enumerate(inputs) if field.has_focus), len(inputs) - 1)
        if at + 1 < len(inputs):
            inputs[at + 1].focus()
        else:
            self._submit()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Yes or no."""
        if event.button.id == "yes":
            self._submit()
        else:
            self.dismiss(None)
