"""The value editor: a full screen with JSON colours, checked before it lets go."""

from __future__ import annotations

import json
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Label

from kvorum_tui.model.decode import is_json, pretty_json, printable
from kvorum_tui.model.records import KeyRecord
from kvorum_tui.widgets.json_area import JsonArea


class EditScreen(ModalScreen[bytes]):
    """Returns the edited bytes, or None. JSON is laid out to edit and stays JSON: a mistake is
    shown, not saved.
    """

    DEFAULT_CSS = """
    EditScreen { align: center middle; background: $background 60%; }
    EditScreen > Vertical {
        width: 94%; height: 90%; background: $surface; border: round $primary;
        border-title-color: $primary; border-title-style: bold;
    }
    EditScreen JsonArea, EditScreen JsonArea:focus {
        height: 1fr; border: none; padding: 0; background: $surface;
    }
    EditScreen #said { height: auto; color: $error; padding: 0 1; }
    EditScreen #hint { height: 1; color: $text-muted; padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "save", "save", priority=True),
        Binding("escape", "cancel", "cancel", priority=True),
    ]

    def __init__(self, record: KeyRecord, value: bytes) -> None:
        super().__init__()
        self.record = record
        self.was_json = is_json(record.value) if record.mod_revision else False
        self.start = (
            pretty_json(value) if is_json(value) else value.decode("utf-8", "surrogateescape")
        )
        self.value = value
        self._asked = False

    def compose(self) -> ComposeResult:
        """Editor, complaint, keys."""
        with Vertical() as box:
            kind = "JSON" if self.was_json else "text"
            state = f"revision {self.record.mod_revision:,}" if self.record.mod_revision else "new"
            box.border_title = Content(f"{printable(self.record.key)} · {state} · {kind}")
            area = JsonArea(self.start, show_line_numbers=True, tab_behavior="indent", id="area")
            yield area
            yield Label("", id="said")
            yield Label("^s difference and save · esc cancel · ^z undo · ^y redo", id="hint")

    def on_mount(self) -> None:
        """Type at once."""
        self.query_one(JsonArea).focus()

    @property
    def edited(self) -> bool:
        """Whether there is something to lose."""
        return self.query_one(JsonArea).text != self.start

    def action_save(self) -> None:
        """Check and hand over."""
        area = self.query_one(JsonArea)
        text = area.text
        if self.was_json and text != self.start:
            try:
                json.loads(text)
            except ValueError as error:
                if isinstance(error, json.JSONDecodeError):
                    area.move_cursor((error.lineno - 1, error.colno - 1))
                self._say(f"the value was JSON and this is not: {error}")
                return
        if text == self.start:
            # Laid out anew by us alone: what is saved is what was there, byte for byte.
            self.dismiss(self.value)
            return
        self.dismiss(text.encode("utf-8", "surrogateescape"))

    def action_cancel(self) -> None:
        """Leave; asks once more when something was typed."""
        if self.edited and not self._asked:
            self._asked = True
            self._say("what you typed is not saved: esc again throws it away")
            return
        self.dismiss(None)

    def on_text_area_changed(self) -> None:
        """A complaint ends with the next key."""
        self._asked = False
        self._say("")

    def _say(self, text: str) -> None:
        self.query_one("#said", Label).update(Content(text))
