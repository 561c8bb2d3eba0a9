"""Writing bbolt files: what is written reads back, and the pages are laid out as bbolt wants."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kvorum.storage.bolt_page import (
    BRANCH,
    FREELIST,
    LEAF,
    META,
    PAGE,
    PAGE_BYTES_ALL,
    Meta,
    decode_meta,
    fnv64a,
)
from kvorum.storage.bolt_read import BoltFile
from kvorum.storage.bolt_write import BoltWriteError, Bucket, measure, write

Pair = tuple[bytes, bytes]


def bucket(name: bytes, pairs: list[Pair], sequence: int = 0) -> Bucket:
    return Bucket(name, lambda: pairs, sequence)


def file_of(path: Path, buckets: list[Bucket], page_bytes: int = 4096) -> Path:
    plan = measure(buckets, page_bytes)
    data = b"".join(write(buckets, plan))
    assert len(data) == plan.size_bytes
    path.write_bytes(data)
    return path


def contents(path: Path) -> dict[bytes, list[Pair]]:
    with BoltFile(path) as file:
        claims = file.claims()
        buckets = file.buckets(claims)
        found = {name: list(file.pairs(ref, claims)) for name, ref in buckets.items()}
        file.check_pages(claims)
        return found


def headers(path: Path, page_bytes: int = 4096) -> Iterator[tuple[int, int, int, int]]:
    """Id, flags, count and overflow of every page that starts one."""
    data = path.read_bytes()
    page = 0
    while page * page_bytes < len(data):
        header = PAGE.unpack_from(data, page * page_bytes)
        yield header
        page += 1 + header[3]


def numbered(count: int, value: bytes = b"v" * 100) -> list[Pair]:
    return [(b"%08d" % number, value) for number in range(count)]


def test_fnv64a_vectors() -> None:
    assert fnv64a(b"") == 0xCBF29CE484222325
    assert fnv64a(b"a") == 0xAF63DC4C8601EC8C
    assert fnv64a(b"foobar") == 0x85944171F73967E8


SHAPES: dict[str, list[Pair]] = {
    "nothing": [],
    "one pair": [(b"a", b"")],
    "inline to the last byte": [(b"k", b"v" * (1024 - 16 - 16 - 1))],
    "one byte too many for inline": [(b"k", b"v" * (1024 - 16 - 16))],
    "a page to the last byte": [(b"k", b"v" * (4096 - 16 - 16 - 1))],
    "one byte into the next page": [(b"k", b"v" * (4096 - 16 - 16))],
    "a large value between small ones": [(b"a", b"1"), (b"b", b"x" * 50_000), (b"c", b"2")],
    "two levels": numbered(2_000),
    "three levels": numbered(6_000),
    "one page more than a branch holds": numbered(164 * 33),
    "keys as long as allowed": [(bytes((65 + i,)) * 32_768, b"v") for i in range(9)],
    "deep, by long keys": [(b"%04d" % i + b"k" * 1_500, b"") for i in range(400)],
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_bucket_reads_back(tmp_path: Path, shape: str) -> None:
    pairs = SHAPES[shape]
    path = file_of(tmp_path / "db", [bucket(b"b", pairs)])
    assert contents(path) == {b"b": pairs}


@pytest.mark.parametrize("page_bytes", PAGE_BYTES_ALL)
def test_every_page_size(tmp_path: Path, page_bytes: int) -> None:
    pairs = numbered(5_000)
    path = file_of(tmp_path / "db", [bucket(b"b", pairs)], page_bytes)
    assert contents(path) == {b"b": pairs}
    assert path.stat().st_size % page_bytes == 0


def test_many_buckets_in_order_of_their_names(tmp_path: Path) -> None:
    """More inline buckets than one page holds: the root is a tree of its own."""
    buckets = [bucket(b"%03d" % i, numbered(i % 7, b"v" * 30), i) for i in range(60)]
    path = file_of(tmp_path / "db", buckets[::-1])
    assert contents(path) == {each.name: list(each.pairs()) for each in buckets}
    with BoltFile(path) as file:
        assert [ref.sequence for ref in file.buckets().values()] == list(range(60))


def test_pages_say_what_they_are(tmp_path: Path) -> None:
    path = file_of(tmp_path / "db", [bucket(b"b", numbered(6_000))])
    found = list(headers(path))
    page = 0
    for number, _, _, overflow in found:
        assert number == page
        page += 1 + overflow
    kinds = [flags for _, flags, _, _ in found]
    assert kinds[:3] == [META, META, FREELIST]
    assert set(kinds[3:]) == {BRANCH, LEAF}
    data = path.read_bytes()
    first, second = decode_meta(data, 0), decode_meta(data[4096:], 1)
    assert first == Meta(4096, page - 1, 0, 2, page, 2)
    assert second == first._replace(transaction=1)


@pytest.mark.parametrize("leaves", [*range(1, 5), *range(160, 172), 330, 331])
def test_no_branch_has_a_single_child(tmp_path: Path, leaves: int) -> None:
    path = file_of(tmp_path / "db", [bucket(b"b", numbered(leaves, b"v" * 4_000))])
    assert all(count >= 2 for _, flags, count, _ in headers(path) if flags == BRANCH)
    assert len(contents(path)[b"b"]) == leaves


PAIRS = st.dictionaries(
    st.binary(min_size=1, max_size=600), st.binary(max_size=20) | st.just(b"x" * 5_000), max_size=80
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.dictionaries(st.binary(min_size=1, max_size=20), PAIRS, max_size=5))
def test_anything_reads_back(tmp_path: Path, tree: dict[bytes, dict[bytes, bytes]]) -> None:
    wanted = {name: sorted(tree[name].items()) for name in sorted(tree)}
    path = file_of(tmp_path / "db", [bucket(name, pairs) for name, pairs in wanted.items()])
    assert contents(path) == wanted


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ([(b"b", b""), (b"a", b"")], "comes after"),
        ([(b"a", b""), (b"a", b"")], "comes after"),
        ([(b"", b"")], "is empty"),
        ([(b"k" * 32_769, b"")], "32769 bytes"),
    ],
)
def test_what_bbolt_cannot_keep_is_refused(pairs: list[Pair], words: str) -> None:
    with pytest.raises(BoltWriteError, match=words):
        measure([bucket(b"b", pairs)])


def test_two_buckets_of_one_name_are_refused() -> None:
    with pytest.raises(BoltWriteError, match="comes after"):
        measure([bucket(b"b", []), bucket(b"b", [])])


@pytest.mark.parametrize("change", [-1_000, -40, 40, 100_000])
def test_other_pairs_than_measured_are_noticed(change: int) -> None:
    plan = measure([bucket(b"b", numbered(2_000))])
    with pytest.raises(BoltWriteError, match="measured"):
        for _ in write([bucket(b"b", numbered(2_000 + change))], plan):
            pass


def test_memory_does_not_grow_with_the_file() -> None:
    def peak(count: int) -> int:
        buckets = [Bucket(b"b", lambda: ((b"%08d" % i, b"v" * 200) for i in range(count)))]
        plan = measure(buckets)
        tracemalloc.start()
        size = sum(len(page) for page in write(buckets, plan))
        assert size == plan.size_bytes
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    assert peak(30_000) < peak(3_000) + 100_000
