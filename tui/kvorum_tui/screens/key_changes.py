"""What the Keys tab may change. Everything is a compare-and-swap, is shown first, can be taken
back, and says which command does the same.
"""

from __future__ import annotations

from kvorum_tui.screens.key_editing import KeyEditing
from kvorum_tui.screens.key_kept import KeyKept
from kvorum_tui.screens.key_moves import KeyMoves
from kvorum_tui.screens.key_transfer import KeyTransfer
from kvorum_tui.screens.key_undo import KeyUndo


class KeyChanges(KeyEditing, KeyMoves, KeyUndo, KeyTransfer, KeyKept):
    """The changing half of the Keys tab."""
