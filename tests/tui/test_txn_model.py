"""Transactions by hand: form and text in step, would it succeed, what a server would refuse."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kvorum.client.ops import Compare, Delete, Get, Op, Put, Txn
from kvorum.client.txn_text import parse
from kvorum_tui.model.records import KeyRecord
from kvorum_tui.model.shelf import TRANSACTIONS
from kvorum_tui.model.txn_check import MAX_OPS, problems, writes
from kvorum_tui.model.txn_form import (
    Place,
    blanks,
    changed,
    filled,
    moved,
    problem,
    put_in,
    read_text,
    rows_of,
    text_of,
    without,
    words,
)
from kvorum_tui.model.txn_light import judge, ranges_of
from kvorum_tui.model.txn_template import TemplateError, fill, keys_read, variables
from kvorum_tui.session.txns import Looked, Spot

KEYS = st.binary(min_size=1, max_size=4)
NUMBERS = st.integers(0, 2**40)
COMPARES = st.one_of(
    st.builds(
        Compare,
        st.sampled_from(["version", "create", "mod", "lease"]),
        KEYS,
        st.sampled_from(["=", "!=", "<", ">"]),
        NUMBERS,
    ),
    st.builds(Compare, st.just("value"), KEYS, st.sampled_from(["=", "!=", "<", ">"]), st.binary()),
)
OPS = st.one_of(
    st.builds(Put, KEYS, st.binary(max_size=5), NUMBERS, st.booleans()),
    st.builds(Get, KEYS, prefix=st.booleans(), limit=st.integers(0, 9)),
    st.builds(Delete, KEYS, prefix=st.booleans(), prev_kv=st.booleans()),
    st.builds(Delete, KEYS, from_key=st.just(True)),
)
TXNS = st.builds(
    Txn,
    st.lists(COMPARES, max_size=3).map(tuple),
    st.lists(OPS, max_size=3).map(tuple),
    st.lists(OPS, max_size=3).map(tuple),
)


@given(TXNS)
@settings(max_examples=60)
def test_form_and_text_say_the_same(txn: Txn) -> None:
    text, why = text_of(txn)
    assert not why
    assert read_text(text) == (txn, "")
    rows = rows_of(txn)
    for row in rows:
        if row.place is None:
            continue
        items = {"if": txn.compares, "then": txn.then, "else": txn.else_}[row.place.section]
        item = items[row.place.index]
        assert row.text == words(item)
        assert not isinstance(item, Txn)
        values = {blank.name: blank.value for blank in blanks(item)}
        assert all(not blank.check(blank.value) for blank in blanks(item))
        assert problem(item, values) == ""
        again = filled(item, values)
        assert again.message() == item.message(), "what the fields say is what was there"


def test_rows_are_added_changed_moved_and_removed() -> None:
    txn = put_in(Txn(), Place("then", 0), Put("a", "1"))
    txn = put_in(txn, Place("then", 1), Delete("b"))
    txn = put_in(txn, Place("if", 0), Compare("mod", b"a", "=", 3))
    assert [row.kind for row in rows_of(txn)] == [
        *("head", "compare", "head", "op", "op", "head", "empty")
    ]
    txn, place = moved(txn, Place("then", 0), 1)
    assert (txn.then, place) == ((Delete("b"), Put("a", "1")), Place("then", 1))
    txn, place = moved(txn, place, 1)
    assert (txn.then, txn.else_, place) == ((Delete("b"),), (Put("a", "1"),), Place("else", 0))
    txn, place = moved(txn, place, -1)
    assert (txn.then, place) == ((Delete("b"), Put("a", "1")), Place("then", 1))
    assert moved(txn, Place("if", 0), 1)[0] == txn
    txn = changed(txn, Place("then", 0), Get("c"))
    assert without(txn, Place("then", 1)).then == (Get("c"),)


def test_what_text_cannot_say_is_shown_in_the_form() -> None:
    inner = Txn((Compare("mod", b"x", ">", 1),), (Put("y", "z"),), (Txn((), (Get("q"),)),))
    txn = Txn((), (inner,))
    text, why = text_of(txn)
    assert text == "" and "no text form" in why
    rows = rows_of(txn)
    assert [(row.depth, row.text) for row in rows if row.kind == "nested"] == [
        (1, "if all of: mod revision of x > 1"),
        (1, 'then: put y = "z"'),
        (1, "else: a transaction: 0 conditions, 1 then, 0 else"),
        (2, "then: get q"),
    ]
    assert text_of(Txn((Compare("mod", b"a", "=", 1, b"b"),)))[1]
    assert read_text('put a "b"')[1].startswith("line 1")
    assert read_text(" \n") == (Txn(), "")


@pytest.mark.parametrize(
    "item,values,wrong",
    [
        (Compare("mod", b"a", "=", 1), {"operand": "x"}, "no whole number"),
        (Compare("lease", b"a", "=", 1), {"operand": "xyz"}, "no hexadecimal number"),
        (Compare("mod", b"a", "=", 1), {"target": "size"}, "none of"),
        (Compare("mod", b"b", "=", 1), {"scope": "a"}, "behind its first key"),
        (Put("a", "b"), {"lease": "zz"}, "hexadecimal"),
        (Get("a"), {"limit": "many"}, "whole number"),
    ],
)
def test_fields_that_say_nothing(item: Any, values: dict[str, str], wrong: str) -> None:
    full = {blank.name: blank.value for blank in blanks(item)} | values
    assert wrong in problem(item, full)


def test_fields_of_ranges_and_leases() -> None:
    compare = Compare("version", b"a", "=", 1)
    values = {blank.name: blank.value for blank in blanks(compare)}
    assert filled(compare, values | {"scope": "prefix"}) == Compare("version", b"a", "=", 1, b"b")
    assert filled(compare, values | {"scope": "\\xff"}) == Compare("version", b"a", "=", 1, b"\xff")
    put = Put("a", "b", 10)
    values = {blank.name: blank.value for blank in blanks(put)}
    assert values["lease"] == "a"
    assert filled(put, values | {"lease": "keep"}) == Put(b"a", b"b", ignore_lease=True)


# --- would it succeed -----------------------------------------------------------------------------

A = KeyRecord(b"a", b"one", 3, 5, 2, 10)
B = KeyRecord(b"ab", b"two", 4, 9, 1)


def light(compare: Compare, *records: KeyRecord, count: int = 0) -> tuple[bool, str, bool]:
    (found,) = judge([compare], Looked(9, (Spot(records, count or len(records)),)))
    return found.holds, found.actual, found.sure


@pytest.mark.parametrize(
    "compare,records,holds,actual",
    [
        (Compare("mod", b"a", "=", 5), (A,), True, "5"),
        (Compare("mod", b"a", "=", 4), (A,), False, "5"),
        (Compare("create", b"a", "<", 4), (A,), True, "3"),
        (Compare("version", b"a", ">", 2), (A,), False, "2"),
        (Compare("lease", b"a", "!=", 10), (A,), False, "a"),
        (Compare("value", b"a", "=", b"one"), (A,), True, '"one"'),
        (Compare("value", b"a", ">", b"on"), (A,), True, '"one"'),
        (Compare("create", b"x", "=", 0), (), True, "there is no such key"),
        (Compare("mod", b"x", ">", 0), (), False, "there is no such key"),
        (Compare("value", b"x", "!=", b"one"), (), False, "there is no such key"),
        (Compare("mod", b"a", ">", 5, b"b"), (A, B), False, "a: 5"),
        (Compare("mod", b"a", ">", 1, b"b"), (A, B), True, "2 keys"),
    ],
)
def test_conditions(
    compare: Compare, records: tuple[KeyRecord, ...], holds: bool, actual: str
) -> None:
    assert light(compare, *records) == (holds, actual, True)


def test_a_range_that_was_not_looked_at_whole_is_not_sure() -> None:
    assert light(Compare("mod", b"a", ">", 1, b"b"), A, B, count=9) == (True, "9 keys", False)
    same = [Compare("mod", b"a", "=", 5), Compare("version", b"a", "=", 2)]
    assert ranges_of(same) == [(b"a", b"")]
    assert [v.holds for v in judge(same, Looked(9, (Spot((A,), 1),)))] == [True, True]


# --- what a server refuses ------------------------------------------------------------------------

MANY: tuple[Op, ...] = tuple(Get(f"k{n}") for n in range(MAX_OPS))


@pytest.mark.parametrize(
    "txn,found",
    [
        (Txn((), (Put("a"), Put("b"))), []),
        (Txn((), (Put("a"), Put("a"))), ["a is written twice in one branch"]),
        (Txn((), (Put("a"),), (Put("a"),)), []),
        (Txn((), (Put("ab"), Delete("a", prefix=True))), ["ab is written twice in one branch"]),
        (Txn((), (Delete("a"), Delete("a"))), []),
        (Txn((), (Put("b"), Delete("a", from_key=True))), ["b is written twice in one branch"]),
        (Txn((), (Put("a"), Txn((), (Put("a"),)))), ["a is written twice in one branch"]),
        (Txn((), (Txn((), (Put("a"),), (Put("a"),)),)), []),
        (Txn((), (Get(""),)), ["an operation has no key"]),
        (Txn((), (Get("", prefix=True),)), []),
        (Txn((Compare("mod", b"", "=", 1),), (Get("a"),)), ["a condition has no key"]),
        (Txn((), MANY), []),
        (Txn((), (*MANY, Get("x"))), ["Then: 129 are more than the 128 that a server takes"]),
        (Txn((), (), (*MANY[1:], Txn((), (Get("x"),)))), ["Then: 1 are more than the 0"]),
        (Txn(), ["it does nothing"]),
        (Txn((), (Put("a", "b", ignore_value=True),)), ["a: keeps its value and has one"]),
    ],
)
def test_what_a_server_would_refuse(txn: Txn, found: list[str]) -> None:
    told = problems(txn)
    assert len(told) == len(found)
    assert all(a.startswith(b) for a, b in zip(told, found, strict=True))


def test_what_writes() -> None:
    assert writes(Txn((), (), (Txn((), (Put("a"),)),)))
    assert not writes(Txn((Compare("mod", b"a", "=", 1),), (Get("a"),)))


# --- templates ------------------------------------------------------------------------------------

VALUES = {"key": 'a"b', "value": "\\xff$x", "lock": "l", "owner": "me", "lease": "1f"}
VALUES |= {"one": "a", "two": "ab", "from": "a", "to": "new"}


def test_shipped_templates_are_transactions() -> None:
    templates, wrong = TRANSACTIONS.load()
    assert not wrong
    found = {}
    for template in templates:
        names = variables(template.text)
        assert set(names) <= set(VALUES) and set(template.defaults) <= set(names)
        records = {
            name: {"one": A, "two": B, "from": A}.get(name) for name in keys_read(template.text)
        }
        txn = parse(fill(template.text, VALUES, records))
        assert problems(txn) == [], template.name
        found[template.name] = txn
    assert found["create if absent"].then == (Put(b'a"b', b"\xff$x"),)
    assert found["swap two keys"].then == (
        Put(b"a", b"two", ignore_lease=True),
        Put(b"ab", b"one", ignore_lease=True),
    )
    assert found["move key"].then == (Put(b"new", b"one", 10), Delete(b"a"))
    assert found["lock take"].then[0] == Put(b"l", b"me", 0x1F)
    assert found["compare and swap"].compares == (Compare("mod", b'a"b', "=", 0),)


def test_templates_that_cannot_be_filled() -> None:
    with pytest.raises(TemplateError, match="no value"):
        fill("$x", {}, {})
    with pytest.raises(TemplateError, match="there is no key q"):
        fill("$x.value", {"x": "q"}, {"x": None})
    assert fill("$x.mod $x.lease $xy", {"x": "q", "xy": "z"}, {"x": None}) == "0 0 z"
    assert keys_read("$a $b.mod $b.lease $a.size") == ["b"]
