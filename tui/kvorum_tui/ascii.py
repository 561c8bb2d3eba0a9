"""For terminals and fonts that know ASCII only: every glyph becomes a character of the same width.

It is the last thing done to a line, so no widget knows of it. A letter of somebody's data that
ASCII does not have becomes ``?``: the data itself is not touched.
"""

from __future__ import annotations

import locale
import os
from functools import lru_cache

from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

_GROUPS = {
    "-": "─━−—–‐┄┈╌",
    "|": "│┃▏▎▍▌▐▕┊┆",
    "+": "┌┏┐┓└┗┘┛╭╮╯╰├┤┬┴┼▖▗▘▙▛▜▝▟▞▚",
    "#": "█▉▊▋▇▆▅▓■",
    "=": "▄▃▀▒▤",
    "_": "▁▂▔",
    ":": "░",
    ".": "·…‥",
    "*": "●•★✱◆",
    "o": "○◦◇□",
    "v": "✓✔▾▼↓",
    "x": "✗✕✖×",
    ">": "▸▶→≥›»",
    "<": "◂◀←≤‹«",
    "^": "▲△▴↑⇧",
    "!": "‼⚠",
    "'": "‘’",
    '"': "“”",
    " ": "\u00a0",
}
TABLE = {ord(glyph): plain for plain, glyphs in _GROUPS.items() for glyph in glyphs}
BRAILLE = range(0x2800, 0x2900)


def wanted() -> bool:
    """Whether to begin with ASCII: ``$KVORUM_ASCII`` says so, or the locale cannot do more."""
    given = os.environ.get("KVORUM_ASCII", "")
    if given:
        return given.lower() not in ("0", "false", "no")
    return "utf" not in locale.getpreferredencoding(False).lower()


@lru_cache(maxsize=4096)
def plain(text: str) -> str:
    """The text in ASCII, as wide as it was."""
    if text.isascii():
        return text
    return "".join(_plain(each) for each in text.translate(TABLE))


def _plain(character: str) -> str:
    if character.isascii():
        return character
    if ord(character) in BRAILLE:
        dots = (ord(character) - BRAILLE.start).bit_count()
        return " " if not dots else "." if dots < 3 else ":" if dots < 6 else "#"
    return "?" * cell_len(character)


class Ascii(LineFilter):
    """The filter."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """Every segment in ASCII."""
        return [
            segment
            if segment.control or segment.text.isascii()
            else Segment(plain(segment.text), segment.style)
            for segment in segments
        ]
