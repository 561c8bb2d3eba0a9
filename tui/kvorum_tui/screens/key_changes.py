"""What the Keys tab may change. Everything is a compare-and-swap, is shown first, can be taken
back, and says which command does the same.
"""

from __future__ import annotations

from kvorum_tui.screens.key_editing import KeyEditing
from kvorum_tui.screens.key_kept import KeyKept
from kvorum_tui.screens.key_moves import KeyMoves
from kvorum_tui.screens.key_transfer import KeyTransfer
from kvorum_tui.screens.key_undo import KeyUndo

ON_SOMETHING = ("key_copy_to", "key_rename", "key_export", "key_undelete", "key_roll_back")


class KeyChanges(KeyEditing, KeyMoves, KeyUndo, KeyTransfer, KeyKept):
    """The changing half of the Keys tab."""

    def why_not(self, name: str) -> str:
        """Why an action of this half cannot be done now; empty when it can."""
        if name == "key_editor":
            return self.why_no_edit(outside=True)
        if name in ON_SOMETHING and self.target() is None:
            return "put the cursor on a key or a branch first"
        return ""
