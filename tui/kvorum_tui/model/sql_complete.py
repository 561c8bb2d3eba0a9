"""What may stand where the cursor is, in a statement that is still being written."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kvorum_tui.model.sql_words import BY_NAME, FUNCTIONS, KEYWORDS, VIEWS, Column, Token, tokens

MAX = 60
_BEHIND_FROM = frozenset({"from", "join"})
_WORD = re.compile(r"\w*\Z")


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something to insert in place of the text from ``start`` to the cursor."""

    text: str
    kind: str  # view, column, function, keyword, key, variable
    about: str = ""


@dataclass(frozen=True, slots=True)
class Completion:
    """The candidates, best first, and where what they replace begins."""

    start: int
    candidates: tuple[Candidate, ...] = ()


def complete(
    sql: str,
    cursor: int,
    prefixes: Callable[[str], Sequence[str]] = lambda start: (),
    forced: bool = False,
) -> Completion:
    """Candidates at an offset. ``prefixes`` finds keys and branches that begin with a text, for
    within quotes. Nothing is offered for an empty word, unless ``forced`` or behind FROM or a dot.
    """
    before = list(tokens(sql[:cursor]))
    last = before[-1] if before else None
    if last is not None and last.end == cursor and _open(last):
        if last.kind == "comment":
            return Completion(cursor)
        start = last.start + 1
        found = prefixes(sql[start:cursor].replace("''", "'"))
        return Completion(
            start, tuple(Candidate(text.replace("'", "''"), "key") for text in found[:MAX])
        )
    match = _WORD.search(sql[:cursor])
    start = match.start() if match else cursor
    word = sql[start:cursor].lower()
    words = [token for token in before if token.end <= start and token.kind != "comment"]
    if word[:1].isdigit() or sql[:start].endswith("$"):
        return Completion(start)
    if words and words[-1].text == "." and words[-1].end == start and len(words) > 1:
        columns = _columns_of(sql, words[-2].text)
        return Completion(start, _matching(word, _as_candidates(columns)))
    if words and words[-1].text.lower() in _BEHIND_FROM:
        views = [Candidate(view.written, "view", view.about) for view in VIEWS]
        return Completion(start, _matching(word, views))
    if not word and not forced:
        return Completion(start)
    everything = [
        *_as_candidates(_columns_of(sql, "")),
        *(Candidate(text, "function", about) for text, about in FUNCTIONS),
        *(Candidate(view.written, "view", view.about) for view in VIEWS),
        *(Candidate(keyword.upper(), "keyword") for keyword in sorted(KEYWORDS)),
    ]
    candidates = _matching(word, everything)
    if [candidate.text.lower() for candidate in candidates] == [word]:
        return Completion(start)  # It stands there already.
    return Completion(start, candidates)


def _open(token: Token) -> bool:
    """Whether a token goes on at the cursor."""
    if token.kind == "comment":
        return token.text.startswith("--") or not token.text.endswith("*/")
    return token.kind == "string" and (len(token.text) == 1 or token.text.count("'") % 2 == 1)


def _matching(word: str, candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Those that begin with the word, then those with a part that does."""
    first = [c for c in candidates if c.text.lower().lstrip('"').startswith(word)]
    rest = [c for c in candidates if len(word) > 1 and f"_{word}" in c.text.lower()]
    seen: dict[str, Candidate] = {}
    for candidate in [*first, *rest]:
        seen.setdefault(candidate.text.lower(), candidate)
    return tuple(seen.values())[:MAX]


def _as_candidates(columns: Sequence[tuple[str, Column]]) -> list[Candidate]:
    return [
        Candidate(
            f'"{column.name}"' if column.name == "at" else column.name,
            "column",
            " · ".join(part for part in (view, column.type, column.about) if part),
        )
        for view, column in columns
    ]


def _columns_of(sql: str, alias: str) -> list[tuple[str, Column]]:
    """The columns of an alias or view; without one, those of the views that the statement names,
    or of ``events``.
    """
    named = _named(sql)
    if alias:
        view = BY_NAME.get(named.get(alias.lower(), alias.lower()))
        return [("", column) for column in view.columns] if view else []
    views = dict.fromkeys(named.values()) or {"events": None}
    return [(name, column) for name in views for column in BY_NAME[name].columns]


def _named(sql: str) -> dict[str, str]:
    """Aliases and names of the views in a statement -> the view."""
    found: dict[str, str] = {}
    pieces = [token for token in tokens(sql) if token.kind != "comment"]
    for number, token in enumerate(pieces):
        if token.kind != "view":
            continue
        before = pieces[number - 1].text.lower() if number else ""
        if before not in (*_BEHIND_FROM, ","):
            continue  # A column of the same name.
        view = token.text.lower()
        found[view] = view
        at = _behind_call(pieces, number + 1)
        if at < len(pieces) and pieces[at].text.lower() == "as":
            at += 1
        if at < len(pieces) and pieces[at].kind in ("name", "function"):
            found[pieces[at].text.lower()] = view
    return found


def _behind_call(pieces: list[Token], at: int) -> int:
    """The place behind a pair of brackets, if one opens here."""
    if at >= len(pieces) or pieces[at].text != "(":
        return at
    depth = 0
    for place in range(at, len(pieces)):
        depth += {"(": 1, ")": -1}.get(pieces[place].text, 0)
        if depth == 0:
            return place + 1
    return len(pieces)
