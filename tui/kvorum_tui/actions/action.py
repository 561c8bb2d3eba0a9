"""One action: its name, its keys, what it says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Action:
    """One thing a user can do. ``target`` is a tab or "app"; ``key`` lists keys, the first is the
    one shown. ``views``: where a tab has several views, those that it belongs to, apart by blanks.
    """

    name: str
    target: str
    key: str
    text: str
    about: str
    shown: bool = True
    changes: bool = False  # needs a session that may write
    destroys: bool = False  # asks before it does it
    views: str = ""

    @property
    def labels(self) -> list[str]:
        """Its keys as people write them; a user's own keymap counts."""
        return [key_label(key.strip()) for key in user_keys.get(self.name, self.key).split(",")]

    @property
    def label(self) -> str:
        """The first of them."""
        return self.labels[0]


# A user's own keys by action name; filled once at the start.
user_keys: dict[str, str] = {}


_LABELS = {
    "question_mark": "?",
    "slash": "/",
    "colon": ":",
    "space": "space",
    "shift+space": "⇧space",
    "escape": "esc",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "left_curly_bracket": "{",
    "right_curly_bracket": "}",
    "exclamation_mark": "!",
    "at": "@",
    "grave_accent": "`",
    "greater_than_sign": ">",
    "less_than_sign": "<",
    "left_parenthesis": "(",
    "right_parenthesis": ")",
    "asterisk": "*",
    "backslash": "\\",
    "tilde": "~",
    "equals_sign": "=",
    "minus": "-",
    "plus": "+",
}


def key_label(key: str) -> str:
    """A key's name as people write it."""
    if key in _LABELS:
        return _LABELS[key]
    if key.startswith("ctrl+"):
        return "^" + key.removeprefix("ctrl+")
    for arrow, shown in (("left", "←"), ("right", "→"), ("up", "↑"), ("down", "↓")):
        if key == f"alt+{arrow}":
            return f"alt+{shown}"
    return key.upper() if key.startswith("f") and key[1:].isdigit() else key
