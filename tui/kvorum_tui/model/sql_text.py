"""A statement on its way to the cluster and its error on the way back: variables filled in, places
of errors found.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from kvorum_tui.model.sql_words import tokens

_VARIABLE = re.compile(r"\$([A-Za-z_]\w*)")
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_PLACE = re.compile(r"^LINE (\d+): (.*)\n( *)(\^[\^~]*)", re.MULTILINE)


def variables(sql: str) -> list[str]:
    """The names of the ``$variables`` in a statement, each once; within quotes, too."""
    found: dict[str, None] = {}
    for token in tokens(sql):
        if token.kind in ("variable", "string"):
            found.update(dict.fromkeys(_VARIABLE.findall(token.text)))
    return list(found)


@dataclass(frozen=True, slots=True)
class Filled:
    """A statement with values in place of its variables, and where: (place in the result, place in
    the text that was filled, length in the result, length there).
    """

    sql: str
    places: tuple[tuple[int, int, int, int], ...] = ()

    def back(self, offset: int) -> int:
        """The place in the text that was filled of a place in the result."""
        moved = 0
        for there, here, long, short in self.places:
            if offset < there:
                break
            if offset < there + long:
                return here
            moved = here + short - (there + long)
        return offset + moved


def fill(sql: str, values: Mapping[str, str]) -> Filled:
    """Put values in place of variables: numbers as they are, else as text in quotes; within quotes
    as part of the text. A variable without a value stays.
    """
    out: list[str] = []
    places: list[tuple[int, int, int, int]] = []
    at = length = 0
    for token in tokens(sql):
        if token.kind not in ("variable", "string"):
            continue
        for match in _VARIABLE.finditer(token.text):
            value = values.get(match[1])
            if value is None:
                continue
            quoted = value.replace("'", "''")
            if token.kind == "variable" and not _NUMBER.fullmatch(value):
                quoted = f"'{quoted}'"
            start = token.start + match.start()
            before = sql[at:start]
            out += [before, quoted]
            length += len(before)
            places.append((length, start, len(quoted), len(match[0])))
            length += len(quoted)
            at = token.start + match.end()
    out.append(sql[at:])
    return Filled("".join(out), tuple(places))


def error_place(message: str, sql: str) -> int | None:
    """Where in a statement DuckDB's error points to, as an offset; None when it does not say."""
    match = _PLACE.search(message)
    if match is None:
        return None
    number, excerpt = int(match[1]), match[2]
    lines = sql.split("\n")
    if not 1 <= number <= len(lines):
        return None
    column = len(match[3]) - len(f"LINE {number}: ")
    line = lines[number - 1]
    shown = excerpt
    if excerpt.startswith("..."):  # A long line is shown in part.
        shown = excerpt[3:]
        column -= 3
    if shown.endswith("..."):
        shown = shown[:-3]
    begin = line.find(shown)
    column += max(0, begin)
    before = sum(len(text) + 1 for text in lines[: number - 1])
    return before + max(0, min(column, len(line)))


def line_and_column(sql: str, offset: int) -> tuple[int, int]:
    """An offset as line and column, both from 0."""
    before = sql[:offset]
    return before.count("\n"), offset - (before.rfind("\n") + 1)


def error_lines(message: str, sql: str, offset: int | None) -> list[tuple[str, str]]:
    """An error to read: (text, ink) a line; with the line of the statement and a caret, numbered
    as the editor numbers it.
    """
    words = _PLACE.sub("", message).strip()
    lines = [
        (line, "bad" if number == 0 else "text") for number, line in enumerate(words.split("\n"))
    ]
    if offset is None:
        return lines
    row, column = line_and_column(sql, offset)
    source = sql.split("\n")[row]
    left = max(0, column - 60)
    head = f"line {row + 1}, column {column + 1}  "
    shown = source[left : left + 120].replace("\t", " ")
    return [
        *lines,
        ("", "text"),
        (head + shown, "text"),
        (" " * (len(head) + column - left) + "^", "bad"),
    ]
