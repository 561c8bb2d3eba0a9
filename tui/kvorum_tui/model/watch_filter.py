"""What a watch pane shows: words that must all match an event."""

from __future__ import annotations

import re
from collections.abc import Callable

from kvorum_tui.model.decode import key_from_text
from kvorum_tui.model.records import KeyEvent

HELP = "put delete create update lease[:id] size>1k key:a value:b text !word ~regex; all must match"

Test = Callable[[KeyEvent], bool]

_UNITS = {"": 1, "k": 1024, "m": 1024**2}
_SIZE = re.compile(r"size([<>])(\d+)([km]?)b?", re.IGNORECASE)


class Filter:
    """Words, all of which must match; :data:`HELP` lists them, ``!`` before a word turns it round.

    Text may hold escapes as keys do (``\\x00``). ``error`` says what is wrong with a word; such a
    word is left out.
    """

    def __init__(self, text: str = "") -> None:
        self.text = text.strip()
        self.error = ""
        self._tests: list[tuple[bool, Test]] = []
        for word in self.text.split():
            wanted = not word.startswith("!")
            word = word.removeprefix("!")
            if not word:
                continue
            try:
                self._tests.append((wanted, _test_of(word)))
            except ValueError as error:
                self.error = f"{word}: {error}"

    def __bool__(self) -> bool:
        return bool(self._tests)

    def shows(self, event: KeyEvent) -> bool:
        """Whether an event passes."""
        return all(test(event) is wanted for wanted, test in self._tests)


def _test_of(word: str) -> Test:
    """One word without its ``!``. Raises ValueError with what is wrong."""
    kinds: dict[str, Test] = {
        "put": lambda e: e.kind == "put",
        "delete": lambda e: e.kind == "delete",
        "create": lambda e: e.kind == "put" and e.version == 1,
        "update": lambda e: e.kind == "put" and e.version != 1,
        "lease": lambda e: e.lease != 0,
    }
    if word in kinds:
        return kinds[word]
    if word.startswith("~"):
        try:
            pattern = re.compile(word[1:].encode())
        except re.error as error:
            raise ValueError(str(error)) from error
        return lambda e: bool(pattern.search(e.key) or pattern.search(e.value))
    sized = _SIZE.fullmatch(word)
    if sized is not None:
        bound = int(sized[2]) * _UNITS[sized[3].lower()]
        if sized[1] == ">":
            return lambda e: len(e.value) > bound
        return lambda e: len(e.value) < bound
    if word.startswith("lease:"):
        try:
            lease = int(word.removeprefix("lease:"), 16)
        except ValueError as error:
            raise ValueError("a lease's id is a hexadecimal number") from error
        return lambda e: e.lease == lease
    name, colon, rest = word.partition(":")
    if colon and name in ("key", "value"):
        part = key_from_text(rest)
        if name == "key":
            return lambda e: part in e.key
        return lambda e: part in e.value
    text = key_from_text(word)
    return lambda e: text in e.key or text in e.value
