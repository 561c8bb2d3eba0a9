"""One table of a scenario file: typed reads, each with its complaint.

A complaint names the file, the line, the key and what to write instead; an unknown word gets the
nearest known one.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kvorum.drill.lines import Lines
from kvorum.errors import ConfigError


class Table:
    """A table's values, and where it stands."""

    def __init__(
        self, values: dict[str, Any], lines: Lines, path: Path, name: str, count: int
    ) -> None:
        self.values = values
        self.path = path
        self._lines = lines
        self._name = name
        self._count = count

    @classmethod
    def top(cls, values: dict[str, Any], text: str, path: Path) -> Table:
        """The file's own table."""
        return cls(values, Lines(text), path, "", 0)

    def line(self, key: str = "") -> int:
        """The line of a key, or of the table."""
        return self._lines.line(self._name, self._count, key)

    def wrong(self, key: str, problem: str) -> ConfigError:
        """The complaint about a key."""
        line = self.line(key)
        where = f"{self.path}:{line}" if line else str(self.path)
        return ConfigError(f"{where}: {key}: {problem}")

    def table(self, key: str) -> Table:
        """The table under ``key``; an empty one when there is none."""
        value = self.values.get(key, {})
        if not isinstance(value, dict):
            raise self.wrong(key, f"must be a table: [{key}]")
        return Table(value, self._lines, self.path, key, 0)

    def tables(self, key: str) -> list[Table]:
        """The list of tables under ``key``."""
        value = self.values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
            raise self.wrong(key, f"must be tables: [[{key}]]")
        return [Table(v, self._lines, self.path, key, n) for n, v in enumerate(value)]

    def known(self, names: Sequence[str], where: str = "") -> None:
        """Refuse every other key."""
        for key in self.values:
            if key not in names:
                raise self.wrong(key, " ".join(["unknown key", where]).strip() + _near(key, names))

    def string(self, key: str) -> str:
        """A text that must be there."""
        value = self.values.get(key)
        if not isinstance(value, str) or not value.strip():
            raise self.wrong(key, "is missing; it must be a text")
        return value.strip()

    def boolean(self, key: str) -> bool:
        """True or false; false when it is not there."""
        value = self.values.get(key, False)
        if not isinstance(value, bool):
            raise self.wrong(key, f"{value!r} must be true or false")
        return value

    def number(self, key: str, default: float, low: float, high: float) -> float:
        """A number within bounds."""
        value = self.values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.wrong(key, f"{value!r} must be a number from {low:g} to {high:g}")
        if not low <= value <= high:
            raise self.wrong(key, f"{value!r} must be from {low:g} to {high:g}")
        return float(value)

    def optional(self, key: str, low: float, high: float) -> float | None:
        """A number within bounds, or None when it is not there."""
        return self.number(key, low, low, high) if key in self.values else None

    def integer(self, key: str, default: int, low: int, high: int) -> int:
        """A whole number within bounds."""
        value = self.values.get(key, default)
        if type(value) is not int or not low <= value <= high:
            raise self.wrong(key, f"{value!r} must be a whole number from {low} to {high}")
        return value

    def count(self, key: str) -> int | None:
        """A number of things, or None when it is not there."""
        return self.integer(key, 0, 0, 1_000_000) if key in self.values else None

    def choice(self, key: str, choices: Sequence[str]) -> str:
        """One of the known words; it must be there."""
        value = self.values.get(key)
        if value is None:
            raise self.wrong(key, f"is missing; one of: {', '.join(choices)}")
        if value not in choices:
            raise self.wrong(key, f"{value!r} is not known{_near(str(value), choices)}")
        return str(value)

    def words(self, key: str, choices: Sequence[str]) -> tuple[str, ...]:
        """One known word or a list of them; all of them when it is not there."""
        value = self.values.get(key, list(choices))
        listed = [value] if isinstance(value, str) else value
        if not isinstance(listed, list) or not listed:
            raise self.wrong(key, f"must be one or more of: {', '.join(choices)}")
        for word in listed:
            if word not in choices:
                raise self.wrong(key, f"{word!r} is not known{_near(str(word), choices)}")
        return tuple(str(word) for word in listed)


def _near(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, 1)
    return f"; did you mean {near[0]!r}?" if near else f"; known are: {', '.join(known)}"
