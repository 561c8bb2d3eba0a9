"""Which line of a TOML file a key stands on: the standard reader does not tell.

Good for files as people write them: a table's head and a key each begin a line. What cannot be
found is reported for the table, and that for the file.
"""

from __future__ import annotations

import re

_HEAD = re.compile(r"\s*\[\[?\s*([A-Za-z0-9_.-]+)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"\s*([A-Za-z0-9_-]+)\s*=\s*(.*)$")


class Lines:
    """Finds ``table`` (``""`` at the top), ``key`` and the how manieth table of that name."""

    def __init__(self, text: str) -> None:
        self._found: dict[tuple[str, int, str], int] = {}
        table, count = "", 0
        counts: dict[str, int] = {}
        quote = ""
        for number, line in enumerate(text.splitlines(), 1):
            if quote:
                quote = "" if quote in line else quote
                continue
            if head := _HEAD.match(line):
                table = head[1]
                count = counts.get(table, 0)
                counts[table] = count + 1
                self._found[table, count, ""] = number
            elif key := _KEY.match(line):
                self._found.setdefault((table, count, key[1]), number)
                quote = _left_open(key[2])

    def line(self, table: str, count: int, key: str = "") -> int:
        """The line, or that of the table, or 0."""
        found = self._found.get((table, count, key))
        return found if found is not None else self._found.get((table, count, ""), 0)


def _left_open(value: str) -> str:
    """The quotes that a later line closes, if this value opens such."""
    for quote in ('"""', "'''"):
        if value.startswith(quote) and quote not in value[3:]:
            return quote
    return ""
