"""Three versions made one: lines, JSON by path, and what is a conflict."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kvorum_tui.model.merge import (
    BETWEEN,
    MINE,
    THEIRS,
    has_marks,
    merge_json,
    merge_text,
    merge_values,
)

texts = st.lists(st.sampled_from("abcd"), max_size=8).map("\n".join)
leaves = st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["x", "y"])
documents = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=8,
)


@given(texts, texts)
def test_what_one_alone_changed_is_taken(base: str, other: str) -> None:
    assert merge_text(base, other, base).text == other
    assert merge_text(base, base, other).text == other
    assert merge_text(base, other, other).text == other


@given(texts, texts, texts)
def test_nothing_is_lost_silently(base: str, mine: str, theirs: str) -> None:
    merged = merge_text(base, mine, theirs)
    turned = merge_text(base, theirs, mine)
    assert merged.conflicts == turned.conflicts
    assert has_marks(merged.text) == bool(merged.conflicts)
    added = [line for line in mine.split("\n") if line not in base.split("\n")]
    added += [line for line in theirs.split("\n") if line not in base.split("\n")]
    assert set(added) <= set(merged.text.split("\n"))


def test_lines_far_apart_do_not_collide() -> None:
    base = "\n".join("abcdefgh")
    mine, theirs = base.replace("a", "A"), base.replace("h", "H\ni")
    assert merge_text(base, mine, theirs).text == "\n".join("Abcdefg") + "\nH\ni"


def test_a_conflict_stands_between_marks() -> None:
    merged = merge_text("1\nx\n2", "1\nmine\n2", "1\ntheirs\n2")
    assert merged.conflicts == 1
    assert merged.text.split("\n") == ["1", MINE, "mine", BETWEEN, "theirs", THEIRS, "2"]


def loaded(base: Any, mine: Any, theirs: Any) -> tuple[Any, int]:
    merged = merge_json(*(json.dumps(each) for each in (base, mine, theirs)))
    assert merged is not None
    return (None if merged.conflicts else json.loads(merged.text)), merged.conflicts


@given(documents, documents)
def test_json_that_one_alone_changed_is_taken(base: Any, other: Any) -> None:
    for case in ((base, other, base), (base, base, other), (base, other, other)):
        found, conflicts = loaded(*case)
        assert conflicts == 0
        assert json.dumps(found, sort_keys=True) == json.dumps(other, sort_keys=True)


@given(documents, documents, documents)
def test_json_conflicts_are_the_same_from_both_sides(base: Any, mine: Any, theirs: Any) -> None:
    assert bool(loaded(base, mine, theirs)[1]) == bool(loaded(base, theirs, mine)[1])


@pytest.mark.parametrize(
    ("base", "mine", "theirs", "merged"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, {"a": 1, "c": 3}, {"a": 1, "b": 2, "c": 3}),
        ({"a": 1, "b": 1}, {"b": 1}, {"a": 1, "b": 2}, {"b": 2}),
        (
            {"x": {"a": 1, "b": 1}},
            {"x": {"a": 2, "b": 1}},
            {"x": {"a": 1, "b": 2}},
            {"x": {"a": 2, "b": 2}},
        ),
        ([1, 2, 3], [9, 2, 3], [1, 2, 8], [9, 2, 8]),
        ([1, 2, 3, 4], [0, 1, 2, 3, 4], [1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5]),
        ({"a": 1}, {"a": True}, {"a": 1}, {"a": True}),
    ],
)
def test_json_is_merged_by_path(base: Any, mine: Any, theirs: Any, merged: Any) -> None:
    found, conflicts = loaded(base, mine, theirs)
    assert (json.dumps(found), conflicts) == (json.dumps(merged), 0)


def test_one_member_changed_by_both() -> None:
    merged = merge_values('{"a": 1, "b": 1}', '{"a": 2, "b": 1}', '{"a": 3, "b": 4}', True)
    lines = merged.text.split("\n")
    assert merged.conflicts == 1
    assert lines == ["{", MINE, '  "a": 2,', BETWEEN, '  "a": 3,', THEIRS, '  "b": 4', "}"]
    assert merge_values('{"a": 1}', "no json", '{"a": 2}', True).conflicts == 1


def test_deleted_by_one_and_changed_by_the_other_is_a_conflict() -> None:
    assert loaded({"a": 1, "b": 1}, {"b": 1}, {"a": 2, "b": 1})[1] == 1
