"""The Keys tab's actions that change something, by the names of the action tables. Each hands over
to the pane's ``changes``; what they do is told there.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, cast

from kvorum_tui.actions import Action
from kvorum_tui.model import words
from kvorum_tui.model.mask import hidden
from kvorum_tui.model.plan_files import default_folder
from kvorum_tui.model.records import KeyRecord
from kvorum_tui.screens.pane import Pane
from kvorum_tui.screens.permits import permits_of

if TYPE_CHECKING:
    from kvorum_tui.model.key_index import Row
    from kvorum_tui.screens.key_changes import KeyChanges
    from kvorum_tui.screens.keys import KeysPane

# Editing more than this in a terminal is slow; see the anchors of the editor widget.
EDIT_MAX_BYTES = 64 * 1024
WRITES_THERE = (
    "key_edit",
    "key_editor",
    "key_delete",
    "key_restore",
    "key_rename",
    "key_undelete",
    "key_roll_back",
)
WRITES_ELSEWHERE = ("key_new", "key_new_many", "key_copy_to", "key_import")
LOOKED_AT = 100  # Of marked keys; the others are looked at when the plan is made.
ON_SOMETHING = ("key_copy_to", "key_rename", "key_export", "key_undelete", "key_roll_back")


class KeyDeeds(Pane):
    """Mixed into the Keys tab. What cannot be done is known here; how the rest is done is imported
    when it is first wanted.
    """

    row: Row | None
    record: KeyRecord | None

    @abstractmethod
    def marked(self) -> list[bytes]:
        """The keys that are marked."""

    @cached_property
    def changes(self) -> KeyChanges:
        """The changing half."""
        from kvorum_tui.screens.key_changes import KeyChanges

        return KeyChanges(cast("KeysPane", self))

    def on_mount(self) -> None:
        """What was left undone the last time is said once."""
        self.aside(self._remind)
        self.aside(lambda: permits_of(self.kv).ask(self.kv), "permits", exclusive=True)

    async def _remind(self) -> None:
        if await asyncio.to_thread(_some_kept):
            await self.changes.remind()

    def reason(self, action: Action) -> str:
        """What the pane says, then what holds for changes."""
        why = super().reason(action) or self._why_no_change(action.name)
        return why or self._why_no_permit(action.name)

    def _why_no_permit(self, name: str) -> str:
        """What the roles of the user do not allow."""
        permits, row = permits_of(self.kv), self.row
        if permits.own.everything:
            return ""
        why = ""
        if name in WRITES_ELSEWHERE:
            why = permits.no_write_anywhere()
        elif name in WRITES_THERE and (marked := self.marked()):
            why = next(filter(None, map(permits.no_write, marked[:LOOKED_AT])), "")
        elif name in WRITES_THERE and row is not None:
            why = permits.no_write_under(row.path) if row.branch else permits.no_write(row.path)
        if why and permits.old(self.kv):
            self.aside(lambda: permits.ask(self.kv), "permits", exclusive=True)
        return why

    def _why_no_change(self, name: str) -> str:
        if name == "key_editor":
            return self.why_no_edit(outside=True)
        if name in ON_SOMETHING and self.row is None and not self.marked():
            return "put the cursor on a key or a branch first"
        return ""

    def why_no_edit(self, outside: bool = False) -> str:
        """Why the key under the cursor cannot be edited."""
        row, record = self.row, self.record
        if row is None or row.branch:
            return "put the cursor on a key first"
        if record is None:
            return "the value has not been read yet"
        if hidden():
            return "values are hidden; alt+m shows them"
        if len(record.value) > EDIT_MAX_BYTES and not outside:
            size = words.size(len(record.value))
            return f"{size} is more than this editor takes (64 KiB); E opens your own editor"
        return ""

    def do_key_new(self) -> None:
        """Write a new key."""
        self.aside(self.changes.new)

    def do_key_new_many(self) -> None:
        """Write several new keys."""
        self.aside(self.changes.new_many)

    def do_key_edit(self) -> None:
        """Edit the value."""
        self.aside(self.changes.edit)

    def do_key_editor(self) -> None:
        """Edit the value in a program of the user's own."""
        self.aside(self.changes.edit_outside)

    def do_key_delete(self) -> None:
        """Delete the key, the branch or what is marked."""
        self.aside(self.changes.delete)

    def do_key_restore(self) -> None:
        """Write an old value again."""
        self.aside(self.changes.restore)

    def do_key_copy_to(self) -> None:
        """Copy."""
        self.aside(self.changes.copy_to)

    def do_key_rename(self) -> None:
        """Rename or move."""
        self.aside(self.changes.rename)

    def do_key_undo(self) -> None:
        """Take back a change."""
        self.aside(self.changes.undo)

    def do_key_redo(self) -> None:
        """Take an undo back."""
        self.aside(self.changes.redo)

    def do_key_undelete(self) -> None:
        """Bring deleted keys back."""
        self.aside(self.changes.undelete)

    def do_key_roll_back(self) -> None:
        """As it was at a revision."""
        self.aside(self.changes.roll_back)

    def do_key_export(self) -> None:
        """To a file."""
        self.aside(self.changes.export)

    def do_key_import(self) -> None:
        """From a file."""
        self.aside(self.changes.import_)

    def do_key_plans(self) -> None:
        """Plans that were broken off."""
        self.aside(self.changes.unfinished)


def _some_kept() -> bool:
    """Whether the folder of unfinished plans holds anything."""
    folder = default_folder()
    return folder.is_dir() and any(folder.iterdir())
