"""SQL as text: its words, what may stand where, variables, places of errors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kvorum_tui.model.sql_complete import complete
from kvorum_tui.model.sql_text import (
    error_lines,
    error_place,
    fill,
    line_and_column,
    variables,
)
from kvorum_tui.model.sql_words import VIEWS, colours, tokens

PREFIXES = ["/app/", "/app/web/", "/it's/"]


def keys(start: str) -> list[str]:
    return [prefix for prefix in PREFIXES if prefix.startswith(start)]


def offered(text: str, forced: bool = False) -> list[str]:
    """What is offered where | stands."""
    found = complete(text.replace("|", ""), text.index("|"), keys, forced)
    return [candidate.text for candidate in found.candidates]


@pytest.mark.parametrize(
    "text,first",
    [
        ("SELECT rev|", ["revision"]),
        ("SELECT rev|, key FROM keys", ["create_revision", "mod_revision"]),
        ("SELECT * FROM |", ["events", "keys", "keys_at(1)"]),
        ("SELECT * FROM ev|", ["events"]),
        ("SELECT * FROM events JOIN le|", ["leases"]),
        ("SELECT e.ver| FROM events AS e", ["version"]),
        ("SELECT e.| FROM events e", ["revision", "sub", "type"]),
        ("SELECT l.| FROM events e, leases l", ["lease", "hex", "granted_s"]),
        ("SELECT k.mod| FROM keys_at((1 + 2)) AS k", ["mod_revision"]),
        ("SELECT x.| FROM nowhere x", []),
        ("SELECT a| FROM events", ['"at"', "avg(x)", "arg_max(x, y)"]),
        ("SELECT key FROM events WHERE key LIKE '/app|", ["/app/", "/app/web/"]),
        ("SELECT key FROM events WHERE key = '/it''|'", ["/it''s/"]),
        ("SELECT 'x', pre|", ["prev_revision", "prefix_of(key, depth)"]),
        ("SEL|", ["SELECT"]),
        ("SELECT |", []),
        ("-- from ev|", []),
        ("/* rev|", []),
        ("SELECT 12|", []),
        ("SELECT $rev|", []),
        ("SELECT SELECT|", []),
    ],
)
def test_what_is_offered(text: str, first: list[str]) -> None:
    found = offered(text)
    assert found[: len(first)] == first if first else found == []


def test_asked_for_everything_is_offered() -> None:
    assert offered("SELECT |", forced=True)[:2] == ["revision", "sub"]


@given(st.text(alphabet="SELECT efromvn.'\"$-/*();,\n09", max_size=60), st.integers(0, 60))
def test_completion_and_colours_bear_any_text(text: str, cursor: int) -> None:
    cursor = min(cursor, len(text))
    found = complete(text, cursor, keys, forced=True)
    assert 0 <= found.start <= cursor
    assert "".join(token.text for token in tokens(text)) == "".join(
        text[token.start : token.end] for token in tokens(text)
    )
    lines = text.split("\n")
    for line, spans in zip(lines, colours(text), strict=True):
        assert all(0 <= start < end <= len(line) for start, end, _ in spans)


def test_words_over_several_lines() -> None:
    found = colours("SELECT 'a\nb' -- x\nFROM events")
    assert found == [
        [(0, 6, "word"), (7, 9, "string")],
        [(0, 2, "string"), (3, 7, "punct")],
        [(0, 4, "word"), (5, 11, "key")],
    ]


def test_every_view_says_what_it_is_for() -> None:
    for view in VIEWS:
        assert view.about
        assert len({column.name for column in view.columns}) == len(view.columns)


@pytest.mark.parametrize(
    "sql,values,filled",
    [
        ("SELECT $n", {"n": "5"}, "SELECT 5"),
        ("SELECT $n", {"n": "it's"}, "SELECT 'it''s'"),
        ("LIKE '$p%' -- $p", {"p": "/a'"}, "LIKE '/a''%' -- $p"),
        ("$a$b", {"a": "1", "b": "2"}, "12"),
        ("SELECT $nothing, $1", {}, "SELECT $nothing, $1"),
        ("SELECT '5'", {"n": "5"}, "SELECT '5'"),
    ],
)
def test_variables(sql: str, values: dict[str, str], filled: str) -> None:
    assert fill(sql, values).sql == filled
    assert set(values) - {"n"} <= set(variables(sql)) | {"n"}


def test_places_come_back() -> None:
    done = fill("SELECT $long, $b, x", {"long": "1234567890", "b": "ab"})
    assert done.sql == "SELECT 1234567890, 'ab', x"
    assert done.back(done.sql.index("x")) == "SELECT $long, $b, x".index("x")
    assert done.back(done.sql.index("34")) == "SELECT $long".index("$")
    assert done.back(0) == 0
    assert fill("SELECT x", {}).back(7) == 7


ERRORS = [
    (
        "select foo from k\n where\n bar = 1",
        'Binder Error: Referenced column "bar" not found in FROM clause!\nCandidate bindings: "b"'
        "\n\nLINE 3:  bar = 1\n         ^^^",
        (2, 1),
    ),
    (
        "select a,\n a frm k wher 1",
        'Parser Error: syntax error at or near "k"\n\nLINE 2:  a frm k wher 1\n               ^',
        (1, 7),
    ),
    ("select 1", "Out of memory", None),
    ("select 1", "LINE 9: x\n        ^", None),
]


@pytest.mark.parametrize("sql,message,place", ERRORS)
def test_where_an_error_is(sql: str, message: str, place: tuple[int, int] | None) -> None:
    at = error_place(message, sql)
    assert (None if at is None else line_and_column(sql, at)) == place
    lines = error_lines(message, sql, at)
    if place is not None:
        assert lines[-1][0].index("^") == lines[-2][0].index(sql.split("\n")[place[0]]) + place[1]
        assert lines[-2][0].startswith(f"line {place[0] + 1}, column {place[1] + 1}")
        assert "LINE" not in "".join(text for text, _ in lines)


def test_an_error_in_a_long_line() -> None:
    sql = "SELECT " + ", ".join(f"column_{n}" for n in range(40)) + ", oops FROM events"
    at = sql.index("oops")
    shown = sql[at - 20 : at + 12]
    message = f"Binder Error: no\n\nLINE 1: ...{shown}...\n{' ' * (8 + 3 + 20)}^"
    assert error_place(message, sql) == at
    lines = error_lines(message, sql, at)
    assert lines[-2][0][lines[-1][0].index("^") :].startswith("oops")
