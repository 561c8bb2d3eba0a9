"""The Keys tab's actions that change something, by the names of the action table. Each hands over
to the pane's ``changes``; what they do is told there.
"""

from __future__ import annotations

from kvorum_tui.screens.key_changes import KeyChanges
from kvorum_tui.screens.pane import Pane


class KeyDeeds(Pane):
    """Mixed into the Keys tab."""

    changes: KeyChanges

    def do_key_new(self) -> None:
        """Write a new key."""
        self.aside(self.changes.new)

    def do_key_edit(self) -> None:
        """Edit the value."""
        self.aside(self.changes.edit)

    def do_key_delete(self) -> None:
        """Delete the key or the branch."""
        self.aside(self.changes.delete)

    def do_key_restore(self) -> None:
        """Write an old value again."""
        self.aside(self.changes.restore)
