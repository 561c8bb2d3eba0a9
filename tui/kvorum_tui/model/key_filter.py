"""What the filter line means: ``text`` contains it, ``~regex``, ``-f letters`` in this order, the
best match first, ``!`` before any of them turns it round.

Text in small letters finds capitals too; one capital makes it exact. Keys are bytes: what is no
ASCII is compared as UTF-8, ``\\xNN`` stands for a byte.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from kvorum_tui.model.fuzzy import Fuzzy
from kvorum_tui.model.text import key_from_text

HELP = "text · ~regex · -f fuzzy · ! turns it round"


@dataclass(frozen=True, slots=True)
class KeyFilter:
    """``match`` is true for what is to be seen; ``words`` goes on after "keys that", ``none`` says
    that there is no such key; ``lit`` finds what matched in a name, to paint it; ``rank`` puts
    matches in order, the best first, where some are better than others.
    """

    text: str
    kind: str
    turned: bool
    match: Callable[[bytes], object]
    words: str
    none: str
    lit: re.Pattern[str] | None = None
    rank: Callable[[bytes], int] | None = None

    def narrows(self, other: KeyFilter) -> bool:
        """Whether every match of this filter is one of ``other``, so that one may search there."""
        plain = self.kind == other.kind == "contains" and not (self.turned or other.turned)
        return plain and other.text.lower() in self.text and other.text.islower()


def _ignoring(text: str) -> int:
    return re.IGNORECASE if text == text.lower() else 0


def parse(text: str) -> KeyFilter:
    """The filter that a text means. Raises ValueError with the reason when it is wrong."""
    turned = text.startswith("!")
    rest = text.removeprefix("!")
    flags = _ignoring(rest)
    if rest.startswith("~"):
        return _filter(text, "regex", turned, rest[1:], rest[1:].encode(), flags)
    if rest.startswith("-f"):
        return _fuzzy(text, turned, rest[2:].strip())
    found = _filter(text, "contains", turned, rest, re.escape(key_from_text(rest)), flags)
    if flags and any(c.isalpha() for c in rest):
        return found
    needle = key_from_text(rest)
    match = (lambda key: needle not in key) if turned else (lambda key: needle in key)
    return KeyFilter(text, "contains", turned, match, found.words, found.none, found.lit)


def _fuzzy(text: str, turned: bool, letters: str) -> KeyFilter:
    fuzzy = Fuzzy(letters)
    match = (lambda key: not fuzzy.match(key)) if turned else fuzzy.match
    words, none = _said("fuzzy", turned, letters)
    return KeyFilter(
        text,
        "fuzzy",
        turned,
        match,
        words,
        none,
        rank=None if turned or not letters else fuzzy.rank,
    )


_VERBS = {
    ("contains", False): "contain",
    ("contains", True): "do not contain",
    ("regex", False): "match",
    ("regex", True): "do not match",
    ("fuzzy", False): "have the letters",
    ("fuzzy", True): "lack the letters",
}
_SINGULAR = {"contains": "contains", "regex": "matches", "fuzzy": "has the letters"}


def _said(kind: str, turned: bool, said: str) -> tuple[str, str]:
    none = f"{'every' if turned else 'no'} key {_SINGULAR[kind]} {said}"
    return f"{_VERBS[kind, turned]} {said}", none


def _filter(text: str, kind: str, turned: bool, said: str, pattern: bytes, flags: int) -> KeyFilter:
    try:
        compiled = re.compile(pattern, flags | re.DOTALL)
    except re.error as error:
        raise ValueError(f"no regular expression: {error}") from error
    search = compiled.search
    match: Callable[[bytes], object] = (lambda key: search(key) is None) if turned else search
    words, none = _said(kind, turned, said)
    lit = None
    if not turned and said:
        try:
            lit = re.compile(said if kind == "regex" else re.escape(said), flags)
        except re.error:
            lit = None  # Only bytes know this expression: nothing is painted.
    return KeyFilter(text, kind, turned, match, words, none, lit)
