"""The Keys tab's actions in the history of a key."""

from __future__ import annotations

from kvorum_tui.actions.action import Action

ACTIONS: tuple[Action, ...] = (
    Action(
        "key_change_before",
        "keys",
        "left_curly_bracket",
        "older",
        "The change of this key before; opens its history first",
        shown=False,
    ),
    Action(
        "key_change_after",
        "keys",
        "right_curly_bracket",
        "newer",
        "The next change of this key",
        shown=False,
    ),
    Action(
        "key_compare",
        "keys",
        "equals_sign",
        "compare",
        "In a history: compare the others with this revision (space does it too), or no longer",
        shown=False,
    ),
)
