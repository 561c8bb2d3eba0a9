"""Reading bbolt files: every way in which one can be wrong is refused by its name."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from kvorum.storage import bolt_page as page_format
from kvorum.storage import bolt_read
from kvorum.storage.bolt_page import (
    BRANCH,
    CHECKSUM,
    LEAF,
    META_BODY,
    PAGE,
    BoltFault,
    fnv64a,
)
from kvorum.storage.bolt_read import BoltFile
from kvorum.storage.bolt_write import Bucket, measure, write

SIZE = 4096
META_FIELDS = (
    "magic",
    "version",
    "page_bytes",
    "flags",
    "root",
    "sequence",
    "freelist",
    "pages",
    "transaction",
)


def read_all(path: Path) -> int:
    """Read everything there is; the number of pairs."""
    with BoltFile(path) as file:
        claims = file.claims()
        total = 0
        for ref in file.buckets(claims).values():
            total += sum(1 for _ in file.pairs(ref, claims))
        file.check_pages(claims)
        return total


class Sample:
    """A file in memory to be damaged: page 2 is the freelist, 3 to 5 leaves of bucket ``big``,
    6 its branch, 7 the root, which holds ``small`` inline.
    """

    def __init__(self) -> None:
        big = [(b"%04d" % i, b"v" * 1_000) for i in range(9)]
        small = [(b"a", b"1"), (b"b", b"2")]
        buckets = [Bucket(b"big", lambda: big), Bucket(b"small", lambda: small)]
        self.data = bytearray(b"".join(write(buckets, measure(buckets))))
        kinds = [PAGE.unpack_from(self.data, page * SIZE)[1] for page in range(8)]
        assert kinds == [4, 4, 0x10, LEAF, LEAF, LEAF, BRANCH, LEAF]

    def put(self, page: int, offset: int, layout: str, *values: int) -> None:
        """Overwrite numbers in a page."""
        struct.pack_into("<" + layout, self.data, page * SIZE + offset, *values)

    def text(self, page: int, offset: int, text: bytes) -> None:
        """Overwrite bytes in a page."""
        self.data[page * SIZE + offset : page * SIZE + offset + len(text)] = text

    def meta(self, page: int, **fields: int) -> None:
        """Change fields of a meta page and make its checksum right."""
        at = page * SIZE + PAGE.size
        values = dict(zip(META_FIELDS, META_BODY.unpack_from(self.data, at), strict=True))
        body = META_BODY.pack(*{**values, **fields}.values())
        self.data[at : at + len(body) + CHECKSUM.size] = body + CHECKSUM.pack(fnv64a(body))

    def metas(self, **fields: int) -> None:
        """Change fields of both meta pages."""
        for page in (0, 1):
            self.meta(page, **fields)

    def key_at(self, page: int, element: int) -> int:
        """Where the key of a branch's or leaf's element is, from the page's start."""
        at = PAGE.size + 16 * element
        leaf = PAGE.unpack_from(self.data, page * SIZE)[1] == LEAF
        position: int = struct.unpack_from("<I", self.data, page * SIZE + at + 4 * leaf)[0]
        return at + position

    def child(self, element: int, page: int) -> None:
        """Let a child of the branch be another page."""
        self.put(6, PAGE.size + 16 * element + 8, "Q", page)


@pytest.fixture
def sample() -> Sample:
    return Sample()


def refused(tmp_path: Path, data: bytes | bytearray) -> BoltFault:
    """The fault with which a file is refused."""
    path = tmp_path / "db"
    path.write_bytes(data)
    with pytest.raises(BoltFault) as caught:
        read_all(path)
    assert type(caught.value) is not BoltFault
    assert str(caught.value).startswith(caught.value.fault + ": ")
    return caught.value


def test_the_sample_is_sound(tmp_path: Path, sample: Sample) -> None:
    path = tmp_path / "db"
    path.write_bytes(sample.data)
    assert read_all(path) == 11


Damage = Callable[[Sample], None]

DAMAGES: dict[str, tuple[str, int | None, Damage]] = {
    "foreign magic": ("ForeignMagic", 0, lambda s: s.put(0, 16, "I", 0x06101831)),
    "another format": ("UnknownVersion", 0, lambda s: s.metas(version=3)),
    "a checksum": ("BadChecksum", 0, lambda s: s.put(0, 72, "Q", 1)),
    "the checksum of the other meta page": ("BadChecksum", 1, lambda s: s.put(1, 72, "Q", 1)),
    "an odd page size": ("BadPageSize", 0, lambda s: s.metas(page_bytes=1_000)),
    "a page size of zero": ("BadPageSize", 0, lambda s: s.metas(page_bytes=0)),
    "two page sizes": ("BadPageSize", 1, lambda s: s.meta(1, page_bytes=8_192)),
    "a page size that is not the file's": ("ForeignMagic", 1, lambda s: s.metas(page_bytes=8_192)),
    "a page size beyond the file": ("Truncated", None, lambda s: s.metas(page_bytes=65_536)),
    "a meta page of another kind": ("WrongPageKind", 0, lambda s: s.put(0, 8, "H", LEAF)),
    "a meta page with another id": ("WrongPageId", 1, lambda s: s.put(1, 0, "Q", 0)),
    "more pages than the file has": ("Truncated", None, lambda s: s.metas(pages=9)),
    "a root beyond the pages": ("PageOutOfBounds", 0, lambda s: s.metas(root=8)),
    "a root among the meta pages": ("PageOutOfBounds", 0, lambda s: s.metas(root=1)),
    "a freelist beyond the pages": ("PageOutOfBounds", 0, lambda s: s.metas(freelist=99)),
    "a root that is a freelist": (
        "WrongPageKind",
        2,
        lambda s: s.metas(root=2, freelist=2**64 - 1),
    ),
    "a root that is the freelist": ("PageReachedTwice", 2, lambda s: s.metas(root=2)),
    "a root that is a bucket's branch": ("WrongElementKind", 3, lambda s: s.metas(root=6)),
    "a leaf without kind": ("WrongPageKind", 4, lambda s: s.put(4, 8, "H", 0)),
    "a leaf of two kinds": ("WrongPageKind", 4, lambda s: s.put(4, 8, "H", LEAF | BRANCH)),
    "a leaf with another id": ("WrongPageId", 4, lambda s: s.put(4, 0, "Q", 5)),
    "a branch that is its own child": ("PageReachedTwice", 6, lambda s: s.child(1, 6)),
    "a branch below which is the root": ("PageReachedTwice", 7, lambda s: s.child(2, 7)),
    "a leaf with two parents": ("PageReachedTwice", 3, lambda s: s.child(1, 3)),
    "a child that is a meta page": ("PageOutOfBounds", 1, lambda s: s.child(1, 1)),
    "a child beyond the pages": ("PageOutOfBounds", 8, lambda s: s.child(1, 8)),
    "a child far beyond the pages": ("PageOutOfBounds", 2**64 - 1, lambda s: s.child(1, 2**64 - 1)),
    "a leaf that runs into the next": ("PageReachedTwice", 4, lambda s: s.put(3, 12, "I", 1)),
    "a leaf that runs out of the file": ("PageOutOfBounds", 5, lambda s: s.put(5, 12, "I", 3)),
    "a leaf of four billion pages": ("PageOutOfBounds", 5, lambda s: s.put(5, 12, "I", 2**32 - 1)),
    "too many elements in a leaf": ("ElementOutOfBounds", 3, lambda s: s.put(3, 10, "H", 256)),
    "too many elements in a branch": ("ElementOutOfBounds", 6, lambda s: s.put(6, 10, "H", 256)),
    "a branch without children": ("ElementOutOfBounds", 6, lambda s: s.put(6, 10, "H", 0)),
    "an empty leaf below a branch": ("ElementOutOfBounds", 4, lambda s: s.put(4, 10, "H", 0)),
    "a key inside the table": ("ElementOutOfBounds", 3, lambda s: s.put(3, 20, "I", 0)),
    "a key beyond the leaf": ("ElementOutOfBounds", 3, lambda s: s.put(3, 20, "I", 2**32 - 1)),
    "a key longer than the leaf": ("ElementOutOfBounds", 3, lambda s: s.put(3, 24, "I", 5_000)),
    "a key without bytes": ("ElementOutOfBounds", 3, lambda s: s.put(3, 24, "I", 0)),
    "a value beyond the leaf": ("ElementOutOfBounds", 3, lambda s: s.put(3, 28, "I", 2**31)),
    "a branch's key beyond it": ("ElementOutOfBounds", 6, lambda s: s.put(6, 16, "I", 4_080)),
    "a branch's key in its table": ("ElementOutOfBounds", 6, lambda s: s.put(6, 16, "I", 4)),
    "a leaf out of order": ("KeysOutOfOrder", 3, lambda s: s.text(3, s.key_at(3, 1), b"0000")),
    "a branch out of order": ("KeysOutOfOrder", 6, lambda s: s.text(6, s.key_at(6, 2), b"0000")),
    "a leaf below its branch": ("KeysOutOfOrder", 4, lambda s: s.text(4, s.key_at(4, 0), b"0002")),
    "a leaf above its branch": ("KeysOutOfOrder", 4, lambda s: s.text(4, s.key_at(4, 2), b"0007")),
    "a bucket among values": ("WrongElementKind", 3, lambda s: s.put(3, 16, "I", 1)),
    "a value among buckets": ("WrongElementKind", 7, lambda s: s.put(7, 16, "I", 0)),
    "an inline page of another kind": (
        "WrongPageKind",
        None,
        lambda s: s.put(7, s.key_at(7, 1) + 5 + 16 + 8, "H", BRANCH),
    ),
    "an inline element beyond its page": (
        "ElementOutOfBounds",
        None,
        lambda s: s.put(7, s.key_at(7, 1) + 5 + 16 + 16 + 12, "I", 9),
    ),
    "a bucket of a few bytes": ("ElementOutOfBounds", 7, lambda s: s.put(7, 28, "I", 15)),
    "a bucket without anything": (
        "ElementOutOfBounds",
        None,
        lambda s: s.put(7, s.key_at(7, 0) + 3, "Q", 0),
    ),
    "a freelist with a used page": (
        "BadFreelist",
        2,
        lambda s: (s.put(2, 10, "H", 1), s.put(2, 16, "Q", 4))[0],
    ),
    "a freelist with a page beyond": (
        "BadFreelist",
        2,
        lambda s: (s.put(2, 10, "H", 1), s.put(2, 16, "Q", 8))[0],
    ),
    "a freelist longer than its page": ("BadFreelist", 2, lambda s: s.put(2, 10, "H", 511)),
    "a freelist much longer than its page": (
        "BadFreelist",
        2,
        lambda s: (s.put(2, 10, "H", 0xFFFF), s.put(2, 16, "Q", 2**64 - 1))[0],
    ),
    "a freelist of another kind": ("WrongPageKind", 2, lambda s: s.put(2, 8, "H", LEAF)),
    "a page that nobody mentions": (
        "PageLost",
        8,
        lambda s: (s.metas(pages=9), s.data.extend(bytes(SIZE)))[0],
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_refused_by_its_name(tmp_path: Path, sample: Sample, name: str) -> None:
    kind, page, damage = DAMAGES[name]
    damage(sample)
    fault = refused(tmp_path, sample.data)
    assert (type(fault).__name__, fault.page) == (kind, page), fault


def test_every_fault_of_pages_has_its_damage() -> None:
    faults = {each.__name__ for each in BoltFault.__subclasses__()}
    of_pages = {name for name in faults if hasattr(page_format, name)}
    bounded_elsewhere = {"RunTooLong", "TooDeep"}
    assert of_pages - bounded_elsewhere == {kind for kind, _, _ in DAMAGES.values()}


def test_a_page_with_more_overflow_than_one_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    buckets = [Bucket(b"b", lambda: [(b"k", bytes(9_000))])]
    data = b"".join(write(buckets, measure(buckets)))
    monkeypatch.setattr(bolt_read, "BOLT_RUN_BYTES_MAX", 8_192)
    assert type(refused(tmp_path, data)).__name__ == "RunTooLong"


def test_a_tree_deeper_than_any_needs_to_be(tmp_path: Path) -> None:
    """A chain of branches with one child each, which no bbolt writes and nothing forbids."""
    depth = 40
    sample = Sample()
    first = len(sample.data) // SIZE
    for page in range(first, first + depth):
        sample.data += PAGE.pack(page, BRANCH, 1, 0).ljust(SIZE, b"\0")
        sample.put(page, 16, "IIQ", 16, 4, page + 1)
        sample.text(page, 32, b"0000")
    sample.child(0, first)
    sample.metas(pages=first + depth)
    fault = refused(tmp_path, sample.data)
    assert type(fault).__name__ == "TooDeep"


def test_a_freelist_is_read(tmp_path: Path, sample: Sample) -> None:
    """Free pages in both forms of the count, with a file that is longer than its pages."""
    sample.metas(pages=10)
    sample.data += bytes(4 * SIZE)
    path = tmp_path / "db"
    sample.put(2, 10, "H", 2)
    sample.put(2, 16, "QQ", 8, 9)
    path.write_bytes(sample.data)
    assert read_all(path) == 11
    sample.put(2, 10, "H", 0xFFFF)
    sample.put(2, 16, "QQQ", 2, 8, 9)
    path.write_bytes(sample.data)
    assert read_all(path) == 11
    sample.put(2, 16, "QQQ", 2, 9, 8)
    assert type(refused(tmp_path, sample.data)).__name__ == "BadFreelist"


def test_the_newer_meta_page_counts(tmp_path: Path, sample: Sample) -> None:
    sample.meta(1, transaction=9, root=6)
    assert type(refused(tmp_path, sample.data)).__name__ == "WrongElementKind"


@pytest.mark.parametrize("step", [1, 97, 512, 4_095, 4_096])
def test_a_file_cut_anywhere_is_truncated(tmp_path: Path, sample: Sample, step: int) -> None:
    whole = len(sample.data)
    for size in range(0, whole, step) if step > 1 else (*range(90), *range(whole - 90, whole)):
        assert type(refused(tmp_path, sample.data[:size])).__name__ == "Truncated", size


def test_a_file_that_shrinks_while_it_is_read(tmp_path: Path, sample: Sample) -> None:
    path = tmp_path / "db"
    path.write_bytes(sample.data)
    with BoltFile(path) as file:
        path.write_bytes(sample.data[: 3 * SIZE])
        with pytest.raises(page_format.Truncated):
            file.buckets()


def test_flipped_bits_anywhere_never_raise_anything_else(tmp_path: Path, sample: Sample) -> None:
    """Pages have no checksums: a flip within a value stays unseen, any other is a fault."""
    path = tmp_path / "db"
    source = random.Random(11)
    # All of the headers, tables and small pages; a few places within the values.
    places = [page * SIZE + at for page in range(8) for at in range(96)]
    places += [source.randrange(len(sample.data)) for _ in range(400)]
    seen: set[str] = set()
    for place in places:
        damaged = bytearray(sample.data)
        damaged[place] ^= 1 << source.randrange(8)
        path.write_bytes(damaged)
        try:
            read_all(path)
        except BoltFault as fault:
            seen.add(type(fault).__name__)
    assert len(seen) >= 8


def test_noise_is_never_anything_but_a_fault(tmp_path: Path, sample: Sample) -> None:
    path = tmp_path / "db"
    source = random.Random(12)
    for _ in range(300):
        damaged = bytearray(sample.data)
        page = source.randrange(2, 8)
        start = page * SIZE + source.choice((0, 8, 16, 32))
        damaged[start : start + 64] = source.randbytes(64)
        path.write_bytes(damaged)
        try:
            read_all(path)
        except BoltFault:
            continue
        # Unread bytes of a page: the freelist's, or what lies behind the elements.
        assert page == 2 or start % SIZE >= 16
