"""Writing a bbolt file front to back, in bounded memory, with its size known beforehand.

No general engine: a *bulk load*. Buckets come with their pairs in order of keys, so every tree is
built from the left: a leaf page is written as soon as it is full, a branch page as soon as enough
children are known. In memory are one open page a level and one leaf. The meta pages stand at the
front and name what comes last (the root and the number of pages), so the pairs are gone through
twice: :func:`measure` lays the pages out without making them, :func:`write` makes them and holds
the second pass to the first.

The file: meta pages, an empty freelist, the buckets' trees one after another, the root bucket's
tree. Pages are filled; a pair that is larger than a page gets a run of pages for itself; buckets of
up to a quarter of a page lie inline in the root's leaf, as bbolt keeps them. No branch page but a
root has fewer than two children: bbolt relies on it when it merges pages.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from kvorum.storage.bolt_page import (
    BRANCH,
    BRANCH_ELEMENT,
    BUCKET,
    BUCKET_VALUE,
    ELEMENT_BYTES,
    FIRST_PAGE,
    FREELIST,
    KEY_BYTES_MAX,
    LEAF,
    LEAF_ELEMENT,
    PAGE,
    PAGE_BYTES,
    VALUE_BYTES_MAX,
    Meta,
    encode_meta,
)

Pairs = Callable[[], Iterable[tuple[bytes, bytes]]]
_Pages = Generator[bytes, None, int]

_CHILDREN_MIN: Final = 2
# bbolt picks the meta page with the higher number and writes the next transaction into the other.
_TRANSACTION: Final = 2


class Bucket(NamedTuple):
    """A bucket to write. ``pairs()`` gives its keys and values, keys strictly ascending, the same
    ones at every call.
    """

    name: bytes
    pairs: Pairs
    sequence: int = 0


class Plan(NamedTuple):
    """Where everything will be: the outcome of :func:`measure`."""

    meta: Meta

    @property
    def size_bytes(self) -> int:
        """Bytes of the file."""
        return self.meta.pages * self.meta.page_bytes


class BoltWriteError(ValueError):
    """What was handed in cannot be written: keys out of order or too long, or other pairs in the
    second pass than in the first.
    """


def measure(buckets: Sequence[Bucket], page_bytes: int = PAGE_BYTES) -> Plan:
    """The layout of a file with these buckets. Goes through all pairs once.

    Raises :class:`BoltWriteError`.
    """
    layout = _Layout(page_bytes, rendering=False)
    steps = layout.file(buckets)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            root: int = end.value
            break
    return Plan(Meta(page_bytes, root, 0, FIRST_PAGE, layout.next_page, _TRANSACTION))


def write(buckets: Sequence[Bucket], plan: Plan) -> Iterator[bytes]:
    """The file's bytes, a page or a run of pages at a time, ``plan.size_bytes`` in all.

    Raises :class:`BoltWriteError`, also when the pairs need other pages than those measured.
    """
    meta = plan.meta
    yield encode_meta(meta, 0)
    yield encode_meta(meta._replace(transaction=meta.transaction - 1), 1)
    layout = _Layout(meta.page_bytes, rendering=True)
    root = 0
    steps = layout.file(buckets)
    while True:
        try:
            page = next(steps)
        except StopIteration as end:
            root = end.value
            break
        if layout.next_page > meta.pages:
            raise BoltWriteError(f"more pairs than measured: page {meta.pages} is one too many")
        yield page
    if (root, layout.next_page) != (meta.root, meta.pages):
        raise BoltWriteError(
            f"not the pairs that were measured: {layout.next_page} pages instead of {meta.pages}"
        )


class _Level:
    """Children of a branch page that is not written yet: (first key, page) each."""

    __slots__ = ("children", "passed_up", "size")

    def __init__(self) -> None:
        self.children: list[tuple[bytes, int]] = []
        self.size = PAGE.size
        self.passed_up = False

    def add(self, key: bytes, page: int) -> None:
        self.children.append((key, page))
        self.size += ELEMENT_BYTES + len(key)

    def take(self, number: int) -> list[tuple[bytes, int]]:
        taken = self.children[:number]
        del self.children[:number]
        self.size -= sum(ELEMENT_BYTES + len(key) for key, _ in taken)
        self.passed_up = True
        return taken


class _Layout:
    """Hands out page numbers in the order of writing; makes pages' bytes only when ``rendering``.

    Generators yield pages and return the page number of the root of what they wrote.
    """

    def __init__(self, page_bytes: int, rendering: bool) -> None:
        self.next_page = FIRST_PAGE
        self._page_bytes = page_bytes
        self._rendering = rendering

    def file(self, buckets: Sequence[Bucket]) -> _Pages:
        """Everything after the meta pages."""
        page, _ = self._allot(PAGE.size)
        yield PAGE.pack(page, FREELIST, 0, 0).ljust(self._page_bytes, b"\0")
        entries: list[tuple[bytes, bytes]] = []
        for bucket in sorted(buckets, key=lambda bucket: bucket.name):
            value = yield from self._bucket(bucket)
            entries.append((bucket.name, value))
        return (yield from self._tree(_ordered(entries, b"the root"), BUCKET_VALUE))

    def _bucket(self, bucket: Bucket) -> Generator[bytes, None, bytes]:
        """The bucket's pages, if it needs any; returns its value in the root bucket."""
        pairs = _ordered(bucket.pairs(), bucket.name)
        first: list[tuple[bytes, bytes]] = []
        size = PAGE.size
        for pair in pairs:
            first.append(pair)
            size += ELEMENT_BYTES + len(pair[0]) + len(pair[1])
            if size > self._page_bytes // 4:
                break
        else:
            return BUCKET.pack(0, bucket.sequence) + _leaf(0, first, 0, 0)
        root = yield from self._tree(_chain(first, pairs), 0)
        return BUCKET.pack(root, bucket.sequence)

    def _tree(self, pairs: Iterator[tuple[bytes, bytes]], flags: int) -> _Pages:
        levels = [_Level()]
        page_bytes = self._page_bytes
        leaf: list[tuple[bytes, bytes]] = []
        size = PAGE.size
        for pair in pairs:
            more = ELEMENT_BYTES + len(pair[0]) + len(pair[1])
            if leaf and size + more > page_bytes:
                yield from self._leaf_page(leaf, size, flags, levels)
                leaf = []
                size = PAGE.size
            leaf.append(pair)
            size += more
        if leaf or not levels[0].children:
            yield from self._leaf_page(leaf, size, flags, levels)
        return (yield from self._close(levels))

    def _leaf_page(
        self, leaf: list[tuple[bytes, bytes]], size: int, flags: int, levels: list[_Level]
    ) -> Iterator[bytes]:
        page, overflow = self._allot(size)
        yield self._padded(_leaf(page, leaf, flags, overflow)) if self._rendering else b""
        levels[0].add(leaf[0][0] if leaf else b"", page)
        yield from self._full_branches(levels)

    def _full_branches(self, levels: list[_Level]) -> Iterator[bytes]:
        """Write branch pages that are full and leave enough children for one more."""
        at = 0
        while at < len(levels):
            level = levels[at]
            if level.size > self._page_bytes:
                fitting = self._fitting(level)
                if len(level.children) - fitting >= _CHILDREN_MIN:
                    yield from self._branch_page(levels, at, fitting)
            at += 1

    def _close(self, levels: list[_Level]) -> _Pages:
        """Write what is still open, level by level; the last page written is the root."""
        at = 0
        while levels[at].passed_up or len(levels[at].children) > 1:
            level = levels[at]
            total = len(level.children)
            if level.size > self._page_bytes and total >= 2 * _CHILDREN_MIN:
                yield from self._branch_page(levels, at, total - _CHILDREN_MIN)
            yield from self._branch_page(levels, at, len(level.children))
            at += 1
        return levels[at].children[0][1]

    def _branch_page(self, levels: list[_Level], at: int, number: int) -> Iterator[bytes]:
        children = levels[at].take(number)
        size = PAGE.size + sum(ELEMENT_BYTES + len(key) for key, _ in children)
        page, overflow = self._allot(size)
        yield self._padded(_branch(page, children, overflow)) if self._rendering else b""
        if at + 1 == len(levels):
            levels.append(_Level())
        levels[at + 1].add(children[0][0], page)

    def _fitting(self, level: _Level) -> int:
        """How many of the first children fit in one page; at least two, keys may be long."""
        room = self._page_bytes - PAGE.size
        for number, (key, _) in enumerate(level.children):
            room -= ELEMENT_BYTES + len(key)
            if room < 0:
                return max(number, _CHILDREN_MIN)
        return len(level.children)

    def _allot(self, size: int) -> tuple[int, int]:
        """The next page for ``size`` bytes, and how many it overflows into."""
        page = self.next_page
        pages = -(-size // self._page_bytes)
        self.next_page += pages
        return page, pages - 1

    def _padded(self, data: bytes) -> bytes:
        return data + bytes(-len(data) % self._page_bytes)


def _ordered(pairs: Iterable[tuple[bytes, bytes]], bucket: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The pairs, held to what bbolt can keep."""
    before = b""
    for pair in pairs:
        key, value = pair
        if key <= before:
            what = "is empty" if not key else f"comes after {before[:64]!r}"
            raise BoltWriteError(f"bucket {bucket!r}: key {key[:64]!r} {what}")
        if len(key) > KEY_BYTES_MAX or len(value) > VALUE_BYTES_MAX:
            sizes = f"a key of {len(key)} bytes with a value of {len(value)}"
            raise BoltWriteError(f"bucket {bucket!r}: {sizes}")
        yield pair
        before = key


def _chain(
    first: list[tuple[bytes, bytes]], rest: Iterator[tuple[bytes, bytes]]
) -> Iterator[tuple[bytes, bytes]]:
    yield from first
    first.clear()
    yield from rest


def _leaf(page: int, pairs: list[tuple[bytes, bytes]], flags: int, overflow: int) -> bytes:
    parts = [PAGE.pack(page, LEAF, len(pairs), overflow)]
    position = ELEMENT_BYTES * len(pairs)
    for key, value in pairs:
        parts.append(LEAF_ELEMENT.pack(flags, position, len(key), len(value)))
        position += len(key) + len(value) - ELEMENT_BYTES
    for pair in pairs:
        parts += pair
    return b"".join(parts)


def _branch(page: int, children: list[tuple[bytes, int]], overflow: int) -> bytes:
    parts = [PAGE.pack(page, BRANCH, len(children), overflow)]
    position = ELEMENT_BYTES * len(children)
    for key, child in children:
        parts.append(BRANCH_ELEMENT.pack(position, len(key), child))
        position += len(key) - ELEMENT_BYTES
    parts += [key for key, _ in children]
    return b"".join(parts)
