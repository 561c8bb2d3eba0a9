"""What is remembered of one cluster from one time to the next: bookmarks, keys that were looked at,
separators, ranges, protobuf types by prefix.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kvorum_tui.model.text import key_from_text, key_to_text

BOOKMARKS_MAX = 200
RECENT_MAX = 40
TYPES_MAX = 100
FILES_MAX = 10


@dataclass(frozen=True, slots=True)
class Place:
    """A key, or a branch."""

    path: bytes
    branch: bool = False


class Places:
    """Everything is bounded; the oldest goes first."""

    def __init__(self) -> None:
        self.bookmarks: list[Place] = []
        self.recent: list[bytes] = []
        self.separators: tuple[bytes, ...] = ()
        self.prefixes: tuple[bytes, ...] = ()
        self.schemas: list[str] = []
        self.types: dict[bytes, str] = {}

    def toggle(self, place: Place) -> bool:
        """Put a bookmark, or take it away; returns whether it is there now."""
        if place in self.bookmarks:
            self.bookmarks.remove(place)
            return False
        self.bookmarks = [*self.bookmarks, place][-BOOKMARKS_MAX:]
        return True

    def visit(self, key: bytes) -> None:
        """A key was looked at; the newest stands first."""
        if self.recent[:1] == [key]:
            return
        self.recent = [key, *(k for k in self.recent if k != key)][:RECENT_MAX]

    def all(self) -> list[tuple[Place, str]]:
        """Bookmarks, then what was looked at lately, each with its kind."""
        marks = [(place, "bookmark") for place in self.bookmarks]
        return marks + [(Place(key), "recent") for key in self.recent]

    def type_of(self, key: bytes) -> str:
        """The protobuf type chosen for a key: that of its longest prefix."""
        fitting = [prefix for prefix in self.types if key.startswith(prefix)]
        return self.types[max(fitting, key=len)] if fitting else ""

    def choose_type(self, prefix: bytes, name: str) -> None:
        """Values below a prefix are of this type; an empty name forgets it."""
        self.types.pop(prefix, None)
        if name:
            self.types[prefix] = name
        while len(self.types) > TYPES_MAX:
            del self.types[next(iter(self.types))]

    def as_table(self) -> dict[str, Any]:
        """As it is written to a file."""
        return {
            "bookmarks": [[key_to_text(p.path), p.branch] for p in self.bookmarks],
            "recent": [key_to_text(key) for key in self.recent],
            "separators": [key_to_text(each) for each in self.separators],
            "prefixes": [key_to_text(each) for each in self.prefixes],
            "schemas": self.schemas[-FILES_MAX:],
            "types": {key_to_text(prefix): name for prefix, name in self.types.items()},
        }

    @classmethod
    def from_table(cls, table: dict[str, Any]) -> Places:
        """What a file says; what is not understood is left out."""
        made = cls()
        for entry in _list(table, "bookmarks"):
            if isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], str):
                made.bookmarks.append(Place(key_from_text(entry[0]), bool(entry[1])))
        made.bookmarks = made.bookmarks[-BOOKMARKS_MAX:]
        made.recent = [key_from_text(t) for t in _texts(table, "recent")][:RECENT_MAX]
        made.separators = tuple(key_from_text(t) for t in _texts(table, "separators") if t)
        made.prefixes = tuple(key_from_text(t) for t in _texts(table, "prefixes"))
        made.schemas = _texts(table, "schemas")[-FILES_MAX:]
        types = table.get("types")
        for prefix, name in types.items() if isinstance(types, dict) else ():
            if isinstance(name, str):
                made.choose_type(key_from_text(prefix), name)
        return made


def _list(table: dict[str, Any], name: str) -> list[Any]:
    found = table.get(name)
    return found if isinstance(found, list) else []


def _texts(table: dict[str, Any], name: str) -> list[str]:
    return [text for text in _list(table, name) if isinstance(text, str)]
