"""What the SQL tab knows of the language: views and their columns, functions, keywords, and what
each word of a statement is, for colours and for completion.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple


class Column(NamedTuple):
    """A column of a view."""

    name: str
    type: str
    about: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """A view that people ask. ``call``: how it is written behind FROM, where that is more than its
    name.
    """

    name: str
    about: str
    columns: tuple[Column, ...]
    call: str = ""

    @property
    def written(self) -> str:
        """As it is written behind FROM."""
        return self.call or self.name


_STATE = (
    Column("key", "text", "\\xNN where it is no UTF-8"),
    Column("value", "text"),
    Column("version", "number", "puts since it was created"),
    Column("create_revision", "number"),
    Column("mod_revision", "number", "revision of the last change"),
    Column("lease", "number", "0: none"),
    Column("at", "time", 'a word of the grammar: write "at", or time'),
    Column("time", "time", "when it was written, where that is known"),
    Column("key_bytes", "bytes"),
    Column("value_bytes", "bytes"),
)
_WRITES = (
    Column("minute", "time", "NULL where the time is not known"),
    Column("prefix", "text"),
    Column("puts", "number"),
    Column("deletes", "number"),
    Column("keys", "number", "different keys"),
    Column("bytes", "number", "of values"),
    Column("first_revision", "number"),
    Column("last_revision", "number"),
)
VIEWS: tuple[View, ...] = (
    View(
        "events",
        "every kept change of every key",
        (
            Column("revision", "number"),
            Column("sub", "number", "place within the revision"),
            Column("type", "text", "put or delete"),
            *_STATE[:3],
            Column("create_revision", "number", "0 for a delete"),
            Column("prev_revision", "number", "of what it replaced"),
            Column("lease", "number", "0: none"),
            *_STATE[6:8],
            Column("member", "number", "who proposed it; 0: not known"),
            Column("user_name", "text", "on whose behalf"),
            *_STATE[8:],
        ),
    ),
    View("keys", "the keys that there are, now or at the revision travelled to", _STATE),
    View("keys_at", "the keys as they were at a revision", _STATE, "keys_at(1)"),
    View(
        "leases",
        "leases with the seconds they have left",
        (
            Column("lease", "number", "as in events"),
            Column("hex", "text", "as etcdctl writes it"),
            Column("granted_s", "number"),
            Column("remaining_s", "number", "NULL: not asked"),
        ),
    ),
    View(
        "members",
        "the member table",
        (
            Column("member", "number", "as in events"),
            Column("hex", "text"),
            Column("name", "text"),
            Column("client_urls", "list"),
            Column("peer_urls", "list"),
            Column("is_learner", "yes/no"),
        ),
    ),
    View("writes", "writes by first part of the key, by the minute", _WRITES),
    View(
        "writes_by",
        "the same by as many parts and as long a time as asked for",
        _WRITES,
        "writes_by(2, INTERVAL 1 HOUR)",
    ),
)
BY_NAME: dict[str, View] = {view.name: view for view in VIEWS}

FUNCTIONS: tuple[tuple[str, str], ...] = (
    ("prefix_of(key, depth)", "the first parts of a key, up to their slash"),
    ("starts_with(text, start)", "whether a text begins so"),
    ("count(*)", "rows"),
    ("count(DISTINCT x)", "different values"),
    ("min(x)", "the smallest"),
    ("max(x)", "the largest"),
    ("sum(x)", "the sum"),
    ("avg(x)", "the mean"),
    ("arg_max(x, y)", "x where y is largest"),
    ("arg_min(x, y)", "x where y is smallest"),
    ("string_agg(x, ', ')", "texts put together"),
    ("list(x)", "values as a list"),
    ("length(text)", "characters"),
    ("octet_length(bytes)", "bytes"),
    ("lower(text)", "small letters"),
    ("replace(text, old, new)", "text with other words"),
    ("string_split(text, '/')", "parts of a text"),
    ("regexp_matches(text, 'x')", "whether a pattern is found"),
    ("regexp_extract(text, '(x)', 1)", "what a pattern finds"),
    ("json_extract_string(value, '$.x')", "a field of a JSON value"),
    ("json_valid(value)", "whether a value is JSON"),
    ("time_bucket(INTERVAL 1 MINUTE, time)", "the stretch a time falls in"),
    ("date_trunc('hour', time)", "a time cut off"),
    ("age(time)", "how long ago"),
    ("now()::TIMESTAMP", "this moment, in UTC"),
    ("epoch_ms(time)", "milliseconds since 1970"),
    ("coalesce(x, y)", "the first that is not NULL"),
    ("nullif(x, y)", "NULL where both are equal"),
    ("hex(bytes)", "bytes as hexadecimal text"),
    ("md5(text)", "a short name for a long value"),
    ("row_number() OVER (ORDER BY x)", "number of the row"),
    ("lag(x) OVER (ORDER BY y)", "the row before"),
    ("quantile_cont(x, 0.99)", "a quantile"),
    ("histogram(x)", "how often each value comes"),
)
_KEYWORDS = (
    "all and any as asc at between by case cast cross desc describe distinct else end except "
    "exclude exists explain false filter following from full group having ilike in inner "
    "intersect interval into is join lateral left like limit not null nulls offset on or order "
    "over partition pivot preceding qualify range recursive replace right row rows sample select "
    "summarize table then true union unnest unpivot using values when where window with"
)
KEYWORDS = frozenset(_KEYWORDS.split())
_TOKEN = re.compile(
    r"(?P<comment>--[^\n]*|/\*.*?(?:\*/|\Z))"
    r"|(?P<string>'(?:[^']|'')*(?:'|\Z))"
    r'|(?P<quoted>"(?:[^"]|"")*(?:"|\Z))'
    r"|(?P<variable>\$[A-Za-z_]\w*)"
    r"|(?P<number>\b\d[\d_]*(?:\.\d+)?(?:[eE][+-]?\d+)?\b)"
    r"|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<punct>[^\s\w])",
    re.DOTALL,
)


class Token(NamedTuple):
    """A piece of a statement. ``kind``: comment, string, quoted, variable, number, keyword,
    function, view, name, punct.
    """

    start: int
    end: int
    kind: str
    text: str


def tokens(sql: str) -> Iterator[Token]:
    """The pieces of a statement, blanks left out; one that is not closed goes to the end."""
    for match in _TOKEN.finditer(sql):
        kind = match.lastgroup or "punct"
        text = match.group()
        if kind == "name":
            if text.lower() in BY_NAME:
                kind = "view"
            elif text.lower() in KEYWORDS:
                kind = "keyword"
            elif sql[match.end() : match.end() + 1] == "(":
                kind = "function"
        yield Token(match.start(), match.end(), kind, text)


_STYLES = {
    "comment": "punct",
    "string": "string",
    "quoted": "string",
    "variable": "number",
    "number": "number",
    "keyword": "word",
    "function": "key",
    "view": "key",
}


def colours(sql: str) -> list[list[tuple[int, int, str]]]:
    """For each line, what to colour: (start, end, style), in characters."""
    starts = [0]
    starts += [match.end() for match in re.finditer("\n", sql)]
    out: list[list[tuple[int, int, str]]] = [[] for _ in starts]
    line = 0
    for token in tokens(sql):
        style = _STYLES.get(token.kind)
        if style is None:
            continue
        while line + 1 < len(starts) and starts[line + 1] <= token.start:
            line += 1
        at = line
        begin = token.start
        for part in token.text.split("\n"):
            if part:
                out[at].append((begin - starts[at], begin - starts[at] + len(part), style))
            begin += len(part) + 1
            at += 1
    return out
