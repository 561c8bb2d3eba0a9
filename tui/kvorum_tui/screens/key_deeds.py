"""The Keys tab's actions that change something, by the names of the action tables. Each hands over
to the pane's ``changes``; what they do is told there.
"""

from __future__ import annotations

from kvorum_tui.actions import Action
from kvorum_tui.screens.key_changes import KeyChanges
from kvorum_tui.screens.pane import Pane


class KeyDeeds(Pane):
    """Mixed into the Keys tab."""

    changes: KeyChanges

    def on_mount(self) -> None:
        """What was left undone the last time is said once."""
        self.aside(self.changes.remind)

    def reason(self, action: Action) -> str:
        """What the pane says, then what its changing half says."""
        return super().reason(action) or self.changes.why_not(action.name)

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
