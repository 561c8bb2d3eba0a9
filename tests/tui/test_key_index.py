"""The key index against a plain model that walks everything, on random operations."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable

import pytest
from kvorum_tui.model.key_index import KeyIndex, Row


def plain_rows(
    keys: set[bytes], opened: set[bytes], separator: bytes
) -> list[tuple[bytes, int, bool]]:
    """What the tree must show, found the slow way."""

    def level(prefix: bytes, depth: int) -> list[tuple[bytes, int, bool]]:
        children: set[tuple[bytes, bool]] = set()
        for key in keys:
            if not key.startswith(prefix) or prefix_of(key, len(prefix)) != prefix:
                continue
            at = key.find(separator, len(prefix))
            children.add((key[: at + len(separator)], True) if at >= 0 else (key, False))
        out = []
        for path, branch in sorted(children):
            out.append((path, depth, branch))
            if branch and path in opened:
                out += level(path, depth + 1)
        return out

    def prefix_of(key: bytes, length: int) -> bytes:
        at = 0
        while at < length:
            found = key.find(separator, at)
            if found < 0 or found + len(separator) > length:
                return key[:at]
            at = found + len(separator)
        return key[:length]

    return level(b"", 0)


def shape(rows: list[Row]) -> list[tuple[bytes, int, bool]]:
    return [(row.path, row.depth, row.branch) for row in rows]


@pytest.mark.parametrize("separator", [b"/", b":", b"aa", b"\x00"])
@pytest.mark.parametrize("seed", range(12))
def test_rows_equal_the_plain_model(separator: bytes, seed: int) -> None:
    rng = random.Random(seed)
    alphabet = [separator, separator, b"a", b"b", b"\xff", b"z"]
    index = KeyIndex(separator)
    keys: set[bytes] = set()
    opened: set[bytes] = set()
    for _ in range(300):
        key = b"".join(rng.choice(alphabet) for _ in range(rng.randrange(1, 7)))
        doing = rng.random()
        if doing < 0.5:
            assert index.insert(key) == (key not in keys)
            keys.add(key)
        elif doing < 0.7 and keys:
            key = rng.choice(sorted(keys))
            assert index.delete(key)
            keys.discard(key)
        else:
            branches = sorted(
                {row.path for row in index.rows(0, 10_000) if row.branch}
                | {path for path in opened if index.is_branch(path)}
            )
            if branches:
                path = rng.choice(branches)
                index.set_open(path, not index.is_open(path))
        opened = {
            path for path in opened | set(_branches_of(keys, separator)) if index.is_open(path)
        }
        expected = plain_rows(keys, opened, separator)
        assert index.row_count == len(expected)
        assert shape(index.rows(0, len(expected) + 5)) == expected
        first = rng.randrange(len(expected) + 1)
        assert shape(index.rows(first, 3)) == expected[first : first + 3]
        for number, (path, _, branch) in enumerate(expected):
            assert index.row_of(path, branch) == number


def _branches_of(keys: set[bytes], separator: bytes) -> list[bytes]:
    index = KeyIndex(separator)
    return [prefix for key in keys for prefix in index.branches_of(key)]


def test_counts_and_search_and_reveal() -> None:
    index = KeyIndex()
    index.extend([b"/a/1", b"/a/2", b"/b/c/d", b"loose"])
    assert index.count_below(b"/") == 3
    assert index.count_below(b"/a/") == 2
    assert index.row_of(b"/b/c/d") is None
    index.reveal(b"/b/c/d")
    row = index.row_of(b"/b/c/d")
    assert row is not None
    assert index.rows(row, 1)[0].label == b"d"
    assert index.search(b"c", 10) == ([b"/b/c/d"], -1)
    assert index.under(b"/a/", 1) == [b"/a/1"]


def test_key_equal_to_a_branch_stands_inside_it() -> None:
    index = KeyIndex()
    index.extend([b"/app/", b"/app/x", b"/app"])
    index.reveal(b"/app/x")
    assert [(row.label, row.branch) for row in index.rows(0, 9)] == [
        (b"/", True),
        (b"app", False),
        (b"app/", True),
        (b"", False),
        (b"x", False),
    ]
    assert index.delete(b"/app/")
    assert index.delete(b"/app/x")
    assert not index.is_branch(b"/app/")


def test_a_page_opens_the_only_top_branch_once() -> None:
    index = KeyIndex()
    index.extend([b"/x/1"])
    assert index.is_open(b"/")
    index.set_open(b"/", False)
    index.extend([b"/x/2"])
    assert not index.is_open(b"/")


def test_flat_rows_and_nearest() -> None:
    index = KeyIndex()
    index.extend([b"b", b"a/1", b"c"])
    index.flat = True
    assert [row.path for row in index.rows(0, 9)] == [b"a/1", b"b", b"c"]
    index.delete(b"b")
    assert index.nearest_row(b"b") == 1
    index.flat = False
    assert index.nearest_row(b"a/1") == 0


def test_nearest_row_when_a_branch_is_gone() -> None:
    index = KeyIndex()
    index.extend([b"/a/1", b"/b/1", b"/c/1"])
    index.delete(b"/b/1")
    assert index.rows(index.nearest_row(b"/b/1"), 1)[0].path == b"/c/"


def test_many_children_move_to_the_sorted_list() -> None:
    index = KeyIndex()
    names = [b"/p/%06d" % n for n in range(3_000)]
    random.Random(1).shuffle(names)
    index.extend(names)
    index.reveal(names[0])
    assert index.row_count == 2 + 3_000
    assert index.rows(2 + 1_500, 1)[0].path == b"/p/001500"
    for name in names[:2_990]:
        assert index.delete(name)
    assert index.row_count == 2 + 10


def test_an_empty_separator_is_refused() -> None:
    with pytest.raises(ValueError, match="separator"):
        KeyIndex(b"")


def work(deed: Callable[[], object]) -> int:
    """How many Python functions a deed calls, built-in ones too: a cost that no clock disturbs."""
    calls = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        deed()
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize("flat", [False, True])
def test_the_cost_does_not_grow_with_the_number_of_keys(flat: bool) -> None:
    costs = []
    for size in (2_000, 200_000):
        index = KeyIndex()
        index.flat = flat
        index.extend(b"/r/%05d/%03d" % (n // 100, n % 100) for n in range(size))
        for path in (b"/r/", b"/r/00003/", b"/r/00012/"):
            index.set_open(path, True)
        middle = b"/r/00012/050+"

        def deed(index: KeyIndex = index, middle: bytes = middle) -> None:
            index.insert(middle)
            row = index.row_of(middle)
            assert row is not None
            index.rows(row, 40)
            index.set_open(b"/r/00003/", False)
            index.set_open(b"/r/00003/", True)
            index.delete(middle)

        costs.append(work(deed))
    assert costs[1] <= costs[0] * 1.5, costs
