"""In which form a value is edited, where a text is wrong, and what differs between two."""

from __future__ import annotations

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kvorum_tui.model.diff import diff_texts
from kvorum_tui.model.edit_form import fault_in, form_to_edit, survives
from kvorum_tui.model.merge import MINE
from kvorum_tui.model.syntax import KINDS, fault_of, kind_of_name, tokens


@given(st.binary(max_size=200) | st.text(max_size=80).map(str.encode))
def test_what_is_not_edited_stays_byte_for_byte(value: bytes) -> None:
    form = form_to_edit(b"k", value)
    assert form.bytes_of(form.text) == value
    assert survives(form.text)
    assert fault_in(form, form.kind, form.text) is None


@given(st.binary(min_size=1, max_size=60), st.binary(max_size=60))
def test_an_edited_text_reads_the_same_afterwards(value: bytes, other: bytes) -> None:
    form = form_to_edit(b"k", value)
    try:
        text = form.text_of(other)
    except ValueError:
        return
    assert form.text_of(form.bytes_of(text)) == text


@pytest.mark.parametrize(
    ("key", "value", "kind", "name"),
    [
        (b"a", b'{"a":1}', "json", "json"),
        (b"a", b"a: 1\nb: 2\n", "yaml", "yaml"),
        (b"a", b"a = 1\n", "toml", "toml"),
        (b"q.sql", b"select 1", "sql", "sql"),
        (b"a", b"\x00\xff", "hex", "hex"),
        (b"a", b"a\x0bb\nc", "hex", "hex"),  # An editor would make a line's end of it.
        (b"new.yaml", b"", "yaml", "yaml"),
        (b"a", gzip.compress(b'{"a": 1}', mtime=0), "json", "gzip as json"),
    ],
)
def test_the_form_that_fits(key: bytes, value: bytes, kind: str, name: str) -> None:
    form = form_to_edit(key, value)
    assert (form.kind, form.name) == (kind, name)


def test_json_keeps_its_layout_on_one_line() -> None:
    form = form_to_edit(b"k", b'{"a": 1, "b": [1.0, 2]}')
    assert form.text.count("\n") > 3
    assert form.bytes_of(form.text.replace("2", "3")) == b'{"a": 1, "b": [1.0, 3]}'


def test_packed_json_is_edited_as_json() -> None:
    form = form_to_edit(b"k", gzip.compress(b'{"a": 1}', mtime=0))
    assert json.loads(gzip.decompress(form.bytes_of('{"a": 2}'))) == {"a": 2}


@pytest.mark.parametrize(
    ("kind", "text", "line", "column"),
    [
        ("json", '{"a": 1,\n "b": }', 2, 7),
        ("json", "{", 1, 2),
        ("yaml", "a: 1\nb: [1\n", 3, 1),
        ("yaml", "a: \x07", 1, 4),
        ("toml", "a = 1\nb = =\n", 2, 5),
        ("toml", "a = [1,", 1, 8),
        ("sql", "select (1", 1, 8),
        ("sql", "select 1)", 1, 9),
        ("sql", "select\n'x", 2, 1),
        ("sql", "select 1 /* x", 1, 10),
    ],
)
def test_where_a_text_is_wrong(kind: str, text: str, line: int, column: int) -> None:
    fault = fault_of(kind, text)
    assert fault is not None
    assert (fault.line, fault.column) == (line, column), fault.text
    assert fault.text


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("json", "[1]"),
        ("yaml", "a: 1\n---\nb: 2"),
        ("toml", "a = 1"),
        ("sql", "select '(', \"a)\" -- (\nfrom (values (1)) /* ( */"),
        ("text", "{"),
    ],
)
def test_what_is_right(kind: str, text: str) -> None:
    assert fault_of(kind, text) is None


@given(st.sampled_from(KINDS), st.text(max_size=60))
def test_colours_lie_within_the_line_and_checks_never_fail(kind: str, text: str) -> None:
    fault_of(kind, text)
    for line in text.split("\n"):
        at = 0
        for start, end, _ in tokens(kind, line):
            assert at <= start <= end <= len(line)
            at = end


def test_marks_of_a_merge_cannot_be_saved() -> None:
    form = form_to_edit(b"k", b"text")
    fault = fault_in(form, "text", f"a\n{MINE}\nb")
    assert fault is not None
    assert fault.line == 2


def test_names_tell_what_is_inside() -> None:
    assert kind_of_name(b"/a/b.YML") == "yaml"
    assert kind_of_name(b"/a.sql/b") == "text"


@given(st.lists(st.sampled_from("ab"), max_size=30), st.lists(st.sampled_from("ab"), max_size=30))
def test_a_difference_tells_everything(old: list[str], new: list[str]) -> None:
    lines = diff_texts("\n".join(old), "\n".join(new))
    plus = [line.text for line in lines if line.sign == "+"]
    minus = [line.text for line in lines if line.sign == "-"]
    assert bool(plus or minus) == (old != new)
    assert len(old) - len(minus) == len(new) - len(plus)
    left_out = sum(int(line.text.split()[0]) for line in lines if line.sign == "@")
    same = sum(1 for line in lines if line.sign == " ")
    assert not lines or left_out + same + len(minus) == len(old)


def test_large_texts_are_compared_where_they_differ() -> None:
    old = "\n".join(map(str, range(50_000)))
    lines = diff_texts(old, old.replace("\n30000\n", "\nx\n"))
    assert [line.text for line in lines if line.sign in "+-"] == ["30000", "x"]
