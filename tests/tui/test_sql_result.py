"""Answers: cells, widths, order, differences."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kvorum_tui.model.sql_result import (
    SORT_STRETCH,
    WIDTH_MAX,
    SqlResult,
    cell_of,
    ink_of,
    is_right,
    whole,
)

COLUMNS = (("key", "VARCHAR"), ("n", "BIGINT"))


def result(*rows: tuple[Any, ...], columns: Any = COLUMNS) -> SqlResult:
    made = SqlResult()
    made.extend(columns, rows)
    return made


@pytest.mark.parametrize(
    "value,type_,text,kind",
    [
        (None, "BIGINT", "NULL", "null"),
        ("NULL", "VARCHAR", "NULL", "text"),
        ("", "VARCHAR", "''", "empty"),
        (True, "BOOLEAN", "yes", "yes/no"),
        (5, "BIGINT", "5", "number"),
        ("1.25", "DECIMAL(4,2)", "1.25", "number"),
        (b"a\xff", "BLOB", 'b"a\\xff"', "bytes"),
        (b"", "BLOB", 'b""', "bytes"),
        ("2026-01-02T03:04:05", "TIMESTAMP", "2026-01-02 03:04:05", "time"),
        ("x\ny\x1b[0m", "VARCHAR", "x↵y\\x1b[0m", "text"),
        ([1, {"a": b"\xff"}], "X[]", '[1, {"a": "\\\\xff"}]', "nested"),
        ("x" * 500, "VARCHAR", "x" * 400 + "…", "text"),
    ],
)
def test_cells(value: Any, type_: str, text: str, kind: str) -> None:
    assert cell_of(value, type_) == (text, kind)


def test_kinds_are_told_apart() -> None:
    assert ink_of("null") != ink_of("text") != ink_of("bytes")
    assert is_right("number") and not is_right("text")
    assert [whole(v) for v in (None, b"a\xff", [1], 5)] == ["", "a\\xff", "[1]", "5"]


def test_rows_come_in_batches_and_widths_are_learnt() -> None:
    made = result(("/a", 1), ("/a/long/one", 2))
    assert made.widths == [11, 4]
    made.extend(COLUMNS, [("x" * 100, None)], truncated=True)
    assert made.widths == [WIDTH_MAX, 4]
    assert (made.count, made.truncated) == (3, True)
    assert made.row(1) == ("/a/long/one", 2)
    assert made.copy_row(2) == "x" * 100 + "\t"
    assert made.column("key_bytes", "key") == 0
    assert made.column("nothing") is None
    assert next(made.rows()) == ("/a", 1)
    assert list(SqlResult().rows()) == []


VALUES = st.one_of(
    st.lists(st.none() | st.integers() | st.floats(allow_nan=False)),
    st.lists(st.none() | st.text()),
    st.lists(st.none() | st.binary()),
    st.lists(st.none() | st.integers() | st.text() | st.lists(st.integers())),
)


@given(VALUES, st.booleans())
def test_any_column_can_be_sorted(values: list[Any], descending: bool) -> None:
    made = result(*((value,) for value in values), columns=(("v", ""),))
    order = made.order_by(0, descending)
    assert sorted(order) == list(range(len(values)))
    assert made.sort(0, descending, order)
    shown = [value for (value,) in made.rows()]
    there = [value for value in shown if value is not None]
    assert shown == there + [None] * (len(values) - len(there))
    kinds = {type(value) for value in there}
    if kinds <= {int, float} or (len(kinds) == 1 and list not in kinds):
        assert there == sorted(there, reverse=descending)


def test_sorting_is_stable_over_stretches() -> None:
    rows = [(str(n % 3), n) for n in range(SORT_STRETCH * 2 + 5)]
    made = result(*rows)
    for descending in (False, True):
        made.sort(0, descending, made.order_by(0, descending))
        shown = list(made.rows())
        assert shown == sorted(rows, key=lambda row: row[0], reverse=descending)
    assert made.sorted_by == (0, True)
    made.extend(COLUMNS, [("new", 1)])
    assert made.sorted_by is None, "what came later is not in the order"
    assert not made.sort(0, True, [0])
    made.unsort()
    assert made.row(0) == rows[0]


def test_what_differs_from_the_answer_before() -> None:
    before = result(("/a", 1), ("/b", 2), ("/b2", 5), ("/twin", 1), ("/twin", 2))
    now = result(("/a", 1), ("/b", 3), ("/new", 4), ("/twin", 1), ("/twin", 9))
    now.compare(before)
    assert now.fresh == {1: {1}, 2: frozenset(), 4: frozenset()}
    assert now.gone == 2
    assert now.differs
    same = result(*before.rows())
    same.compare(before)
    assert not same.differs
    other = result(("x",), columns=(("other", "VARCHAR"),))
    other.compare(before)
    assert not other.differs, "another question"
    nested = result(([1], {"a": b"x"}))
    nested.compare(result(([1], {"a": b"y"})))
    assert nested.fresh == {0: {1}}
