"""The value editor: a full screen with colours, checked before it lets go; and the same in a
program of the user's own.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Label

from kvorum_tui.model import syntax
from kvorum_tui.model.decode import printable
from kvorum_tui.model.edit_form import EditForm, fault_in, suffix
from kvorum_tui.model.records import KeyRecord
from kvorum_tui.widgets.json_area import JsonArea

KEYS = "^s save · ^l lease · ^t language · ^z undo · ^y redo · esc cancel"


@dataclass(frozen=True, slots=True)
class Edited:
    """What an editor gave back."""

    value: bytes
    text: str
    lease: int


class NoEditor(Exception):
    """The user's editor cannot be run; the text says why."""


class EditScreen(ModalScreen[Edited]):
    """Returns what was edited, or None. What was JSON, YAML, TOML or SQL stays so: a mistake is
    shown with its line and column, not saved (unless the language is set to text).

    ``text`` is what to start with, where that is not the value's own (after a conflict).
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
    EditScreen #leased { height: 1; }
    EditScreen #leased Label { width: auto; color: $text-muted; padding: 0 1; }
    EditScreen #lease { width: 1fr; border: none; height: 1; background: $panel; padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "save", "save", priority=True),
        Binding("ctrl+l", "lease", "lease", priority=True),
        Binding("ctrl+t", "language", "language", priority=True),
        Binding("escape", "cancel", "cancel", priority=True),
    ]

    def __init__(
        self, record: KeyRecord, form: EditForm, text: str | None = None, said: str = ""
    ) -> None:
        super().__init__()
        self.record = record
        self.form = form
        self.start = form.text if text is None else text
        self.kind = form.kind
        self.said = said
        self._asked = False

    def compose(self) -> ComposeResult:
        """Editor, lease, complaint, keys."""
        with Vertical() as box:
            box.border_title = self._title()
            area = JsonArea(self.start, show_line_numbers=True, tab_behavior="indent", id="area")
            area.kind = self.kind
            yield area
            with Horizontal(id="leased"):
                yield Label("lease")
                lease = f"{self.record.lease:x}" if self.record.lease else ""
                yield Input(lease, id="lease", placeholder="none; a hex id of the Leases tab")
            yield Label(Content(self.said), id="said")
            yield Label(KEYS, id="hint")

    def _title(self) -> Content:
        state = f"revision {self.record.mod_revision:,}" if self.record.mod_revision else "new"
        form = self.kind if self.kind != self.form.kind else self.form.name
        return Content(f"{printable(self.record.key)} · {state} · {form}")

    def on_mount(self) -> None:
        """Type at once."""
        self.query_one(JsonArea).focus()

    @property
    def lease_text(self) -> str:
        """What stands in the lease's field."""
        return self.query_one("#lease", Input).value.strip()

    @property
    def edited(self) -> bool:
        """Whether there is something to lose."""
        return self.query_one(JsonArea).text != self.form.text

    def action_save(self) -> None:
        """Check and hand over."""
        area = self.query_one(JsonArea)
        fault = fault_in(self.form, self.kind, area.text)
        if fault is not None:
            area.move_cursor((fault.line - 1, fault.column - 1))
            kind = self.kind if self.kind in syntax.KINDS else self.form.name
            self._say(f"this is no {kind} as it stands: {fault}")
            return
        try:
            lease = int(self.lease_text, 16) if self.lease_text else 0
        except ValueError:
            lease = -1
        if lease < 0:
            self._say("a lease id is hexadecimal and above 0, as the Leases tab shows it")
            self.query_one("#lease").focus()
            return
        self.dismiss(Edited(self.form.bytes_of(area.text), area.text, lease))

    def action_lease(self) -> None:
        """To the lease and back."""
        lease = self.query_one("#lease")
        (self.query_one(JsonArea) if lease.has_focus else lease).focus()

    def action_language(self) -> None:
        """The next language: other colours, another check."""
        kinds = list(syntax.KINDS)
        at = kinds.index(self.kind) if self.kind in kinds else -1
        self.kind = kinds[(at + 1) % len(kinds)]
        self.query_one(JsonArea).written_in(self.kind)
        self.query_one(Vertical).border_title = self._title()
        self._say("")

    def action_cancel(self) -> None:
        """Leave; asks once more when something was typed."""
        if self.edited and not self._asked:
            self._asked = True
            self._say("what you typed is not saved: esc again throws it away")
            return
        self.dismiss(None)

    def on_input_submitted(self) -> None:
        """Enter in the lease: back to the text."""
        self.query_one(JsonArea).focus()

    def on_text_area_changed(self) -> None:
        """A complaint ends with the next key."""
        self._asked = False
        self._say(self.said if self.query_one(JsonArea).text == self.start else "")

    def _say(self, text: str) -> None:
        self.query_one("#said", Label).update(Content(text))


async def edit_outside(app: App[object], text: str, kind: str) -> str:
    """A text edited in ``$VISUAL`` or ``$EDITOR``. The file is readable by its owner only, and is
    removed. Everything else goes on meanwhile, leases are kept alive. Raises NoEditor.
    """
    command = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    handle, name = await asyncio.to_thread(
        tempfile.mkstemp, suffix=suffix(kind), prefix="kvorum-", dir=_private_folder()
    )
    path = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode())
        await _run(app, [*shlex.split(command), name])
        found = (await asyncio.to_thread(path.read_bytes)).decode()
    except UnicodeDecodeError as error:
        raise NoEditor(f"what {command} wrote is no UTF-8 text") from error
    except (OSError, ValueError) as error:
        raise NoEditor(f"{command} cannot be run: {error}; set EDITOR") from error
    finally:
        await asyncio.to_thread(_remove, path)
    # Editors end the last line; a value that had no such end does not get one.
    return found[:-1] if found.endswith("\n") and not text.endswith("\n") else found


def _remove(path: Path) -> None:
    """The file, and the copy that some editors leave."""
    for each in (path, path.with_name(f"{path.name}~")):
        each.unlink(missing_ok=True)


def _private_folder() -> str | None:
    """The user's own folder in memory where there is one, so that no value comes on a disk."""
    folder = os.environ.get("XDG_RUNTIME_DIR", "")
    return folder if folder and os.access(folder, os.W_OK) else None


async def _run(app: App[object], command: list[str]) -> None:
    # Nothing may be painted while the terminal belongs to another program.
    with app.batch_update(), app.suspend():
        process = await asyncio.create_subprocess_exec(*command)
        status = await process.wait()
    app.refresh(layout=True)
    if status:
        raise NoEditor(f"{command[0]} ended with status {status}: nothing is changed")
