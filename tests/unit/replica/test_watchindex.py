"""The index of watchers against looking at each of them."""

from __future__ import annotations

import random

import pytest
from kvorum.machine.window import contains
from kvorum.replica.requests import WatchSpec
from kvorum.replica.watchers import Stream, Watcher
from kvorum.replica.watchindex import WatchIndex, prefix_of

ALPHABET = [b"\x00", b"a", b"b", b"\xfe", b"\xff"]


def word(rng: random.Random, longest: int) -> bytes:
    return b"".join(rng.choice(ALPHABET) for _ in range(rng.randrange(1, longest + 1)))


def test_against_a_naive_search() -> None:
    rng = random.Random(3)
    stream = Stream(1)
    index = WatchIndex()
    here: dict[Watcher, None] = {}
    for step in range(3_000):
        if here and rng.random() < 0.45:
            gone = rng.choice(list(here))
            del here[gone]
            index.remove(gone)
        else:
            key = word(rng, 3)
            end = rng.choice([b"", b"\0", word(rng, 3), key[:-1] + bytes([key[-1] + 1 & 255])])
            watcher = Watcher(stream, step, WatchSpec(key, end), 1)
            here[watcher] = None
            index.add(watcher)
        wanted = word(rng, 4)
        found = [watcher for group in index.matching(wanted) for watcher in group]
        assert len(found) == len(set(found))
        expected = {w for w in here if contains(w.key, w.range_end, wanted)}
        assert set(found) == expected, wanted
    for watcher in here:
        index.remove(watcher)
    assert not (index._keys or index._prefixes or index._ranges or index._lengths)


def test_a_watcher_that_is_not_there_is_passed_over() -> None:
    index = WatchIndex()
    for end in (b"", b"b", b"zz"):
        index.remove(Watcher(Stream(1), 0, WatchSpec(b"a", end), 1))
    assert index.matching(b"a") == []


@pytest.mark.parametrize(
    ("key", "end", "prefix"),
    [
        (b"a", b"b", b"a"),
        (b"a/", b"a0", b"a/"),
        (b"\0", b"\0", b""),
        (b"a", b"\0", None),
        (b"a", b"c", None),
        (b"a", b"bb", None),
        (b"a\xff", b"b", b"a\xff"),
        (b"a\xffb", b"b", None),
        (b"\xff", b"\0", None),
        (b"ab", b"ac", b"ab"),
        (b"ab", b"bc", None),
    ],
)
def test_which_ranges_are_prefixes(key: bytes, end: bytes, prefix: bytes | None) -> None:
    assert prefix_of(key, end) == prefix
