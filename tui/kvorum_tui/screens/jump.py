"""Jump mode: a letter over every part of the screen; pressing it puts the focus there."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Offset
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Static

LETTERS = "asdfghjklqwertyuiopzxcvbnm"


def targets(screen: Widget, parts: list[Widget]) -> dict[str, tuple[Widget, Offset]]:
    """A letter for each part that can be seen, where to write it; from the top left on."""
    size = screen.size
    seen = [
        part
        for part in parts
        if part.is_on_screen and part.region.area and part.region.x < size.width
    ]
    seen.sort(key=lambda part: (part.region.y, part.region.x))
    return {letter: (part, part.region.offset) for letter, part in zip(LETTERS, seen, strict=False)}


class Jump(ModalScreen[Widget]):
    """The letters, over the screen below."""

    DEFAULT_CSS = """
    Jump { background: $background 40%; }
    Jump > Static {
        position: absolute; width: 3; height: 1; background: $accent; color: $background;
        text-style: bold; text-align: center;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,ctrl+o", "leave", show=False)]

    def __init__(self, places: dict[str, tuple[Widget, Offset]]) -> None:
        super().__init__()
        self.places = places

    def compose(self) -> ComposeResult:
        """A letter each."""
        for letter, (_, offset) in self.places.items():
            mark = Static(Content(letter))
            mark.styles.offset = offset
            yield mark

    def on_key(self, event: events.Key) -> None:
        """A letter goes there; any other key is no letter."""
        place = self.places.get(event.key)
        if place is not None:
            event.stop()
            self.dismiss(place[0])

    def on_click(self, event: events.Click) -> None:
        """Where the mouse is, or away."""
        self.dismiss(None)

    def action_leave(self) -> None:
        """Nothing."""
        self.dismiss(None)
