"""The text form of transactions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kvorum.client import Compare, Delete, Get, Key, Put, Txn
from kvorum.client.txn_text import (
    TxnTextError,
    parse,
    parse_compare,
    parse_op,
    quote,
    render,
    unquote,
    words,
)


def test_the_form_of_etcdctl() -> None:
    text = 'mod("k") > "0"\n\nput k "changed"\n\nput k "created"\nput other "b c"\n'
    assert parse(text) == Txn(
        (Compare("mod", b"k", ">", 0),),
        (Put(b"k", b"changed"),),
        (Put(b"k", b"created"), Put(b"other", b"b c")),
    )


def test_blocks_may_be_empty() -> None:
    assert parse("") == Txn()
    assert parse("\nget a\n\n\n") == Txn(then=(Get(b"a"),))
    assert parse('ver("a") = "1"\n\n\nget b') == Txn(
        (Compare("version", b"a", "=", 1),), (), (Get(b"b"),)
    )


@pytest.mark.parametrize(
    ("line", "compare"),
    [
        ('ver("a") = "2"', Key("a").version == 2),
        ('create("a") != "2"', Key("a").create_revision != 2),
        ('c("a") < "2"', Key("a").create_revision < 2),
        ('m("a")>"2"', Key("a").mod_revision > 2),
        ('val("a") = "x y"', Key("a").value == "x y"),
        ("value('a') < 'x'", Key("a").value < "x"),
        ("val(a) = x", Key("a").value == "x"),
        ('lease("a") = "ff"', Key("a").lease == 255),
        (r'val("\x00\"") = "\n\101\u00e9"', Key(b'\x00"').value == b"\nA\xc3\xa9"),
    ],
)
def test_conditions(line: str, compare: Compare) -> None:
    assert parse_compare(line) == compare


@pytest.mark.parametrize(
    ("line", "op"),
    [
        ("get a", Get(b"a")),
        ("get a --prefix --limit=3 --rev 4", Get(b"a", prefix=True, limit=3, revision=4)),
        ("get --keys-only=true a b", Get(b"a", b"b", keys_only=True)),
        ("get a --sort-by=MODIFY", Get(b"a", sort_by="mod", sort_order="ascend")),
        (
            "get a --order DESCEND --consistency s",
            Get(b"a", sort_order="descend", serializable=True),
        ),
        ("put a", Put(b"a", b"")),
        ("put -- --a '--b'", Put(b"--a", b"--b")),
        ("put a b --lease=ff --prev-kv", Put(b"a", b"b", lease=255, prev_kv=True)),
        ("del a --from-key", Delete(b"a", from_key=True)),
        ("del a b --prev-kv=false", Delete(b"a", b"b")),
    ],
)
def test_operations(line: str, op: Get | Put | Delete) -> None:
    assert parse_op(line) == op


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("mod(a > 0", "no condition"),
        ('size("a") = "1"', "cannot be compared"),
        ('mod("a") = "x"', "not a number"),
        ('lease("a") = "xyz"', "hexadecimal"),
        ("\nmove a b", "line 2: .* get, put, del"),
        ("\nget", "key is missing"),
        ("\nput a b c", "too many words"),
        ("\nget a --shiny", "no flag --shiny"),
        ("\nget a --sort-by colour", "cannot sort"),
        ('\nput a "b', "unclosed quote"),
        (r'val("\q") = "1"', "unknown escape"),
        ("\n\n\nget a", "a fourth"),
        ("\nget a --limit x", "not a number"),
    ],
)
def test_mistakes_are_explained(text: str, complaint: str) -> None:
    with pytest.raises(TxnTextError, match=complaint):
        parse(text)


@pytest.mark.parametrize(
    "txn",
    [
        Txn(then=(Txn(),)),
        Txn((Key("a", prefix=True).version == 1,)),
        Txn(then=(Get("a", min_mod_revision=3),)),
        Txn(then=(Get("a", max_create_revision=3),)),
    ],
)
def test_what_has_no_text_form_is_refused(txn: Txn) -> None:
    with pytest.raises(TxnTextError):
        render(txn)


@given(st.binary())
def test_quoting_is_undone(data: bytes) -> None:
    quoted = quote(data)
    assert "\n" not in quoted
    assert unquote(quoted[1:-1]) == data
    assert words(f"a {quoted} 'b'") == [b"a", data, b"b"]


keys = st.binary(min_size=1, max_size=8)
numbers = st.integers(0, 2**63 - 1)
relations = st.sampled_from(["=", "!=", "<", ">"])
compares = st.one_of(
    st.builds(Compare, st.sampled_from(["version", "create", "mod"]), keys, relations, numbers),
    st.builds(Compare, st.just("lease"), keys, relations, numbers),
    st.builds(Compare, st.just("value"), keys, relations, st.binary(max_size=8)),
)
puts = st.builds(Put, keys, st.binary(max_size=8), numbers, *[st.booleans()] * 3)
gets = st.builds(
    Get,
    keys,
    st.none() | keys,
    st.booleans(),
    st.booleans(),
    revision=numbers,
    limit=numbers,
    sort_by=st.sampled_from(["key", "version", "create", "mod", "value"]),
    sort_order=st.sampled_from(["none", "ascend", "descend"]),
    serializable=st.booleans(),
    keys_only=st.booleans(),
    count_only=st.booleans(),
)
deletes = st.builds(Delete, keys, st.none() | keys, *[st.booleans()] * 3)
branches = st.lists(st.one_of(puts, gets, deletes), max_size=3).map(tuple)


@given(st.builds(Txn, st.lists(compares, max_size=3).map(tuple), branches, branches))
def test_what_is_rendered_is_read_back(txn: Txn) -> None:
    assert parse(render(txn)) == txn
