"""Reading a bbolt file that somebody else wrote, as a stream, believing nothing.

Every reference is held against the number of pages, every page against what it must be, every
element against its page, every key against the one before and against what the branches above
promise. A page may be reached once: a bit per page remembers it, so that cycles end and two trees
that share a page are found. Whatever is wrong raises the :class:`BoltFault` that names it, never
anything else, and nothing runs longer than the file is long; only an OSError of the disk passes
through.

In memory: one page a level, at most ``limits.BOLT_RUN_BYTES_MAX`` for a page with its overflow,
and the bits. bbolt has no checksums but those of the meta pages, so a flipped bit within a key or
value shows only where a seal over the whole file is kept (``etcd_db``).

A file whose two meta pages are not both sound is refused. bbolt itself would go on with the older
one; but that is a state some writes ago, and nobody who restores would be told.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from kvorum.limits import BOLT_DEPTH_MAX, BOLT_RUN_BYTES_MAX
from kvorum.storage.bolt_page import (
    BRANCH,
    BRANCH_ELEMENT,
    BUCKET,
    BUCKET_VALUE,
    ELEMENT_BYTES,
    FIRST_PAGE,
    FREE_ID,
    FREELIST,
    KEY_BYTES_MAX,
    LEAF,
    LEAF_ELEMENT,
    NO_FREELIST,
    PAGE,
    PAGE_BYTES,
    BadFreelist,
    BadPageSize,
    BoltFault,
    ElementOutOfBounds,
    KeysOutOfOrder,
    Meta,
    PageLost,
    PageOutOfBounds,
    PageReachedTwice,
    RunTooLong,
    TooDeep,
    Truncated,
    WrongElementKind,
    check_header,
    decode_meta,
)

_COUNT_ELSEWHERE: Final = 0xFFFF

_Pair = tuple[bytes, bytes]


class BucketRef(NamedTuple):
    """Where a bucket is: its root page, or the inline page that its value holds."""

    name: bytes
    root: int
    sequence: int
    inline: bytes


class _Range(NamedTuple):
    """Keys a page may hold: from ``low`` on, below ``high`` (None: no end)."""

    low: bytes
    high: bytes | None


class Claims:
    """Which pages were reached. A page is claimed once."""

    def __init__(self, pages: int) -> None:
        self._bits = bytearray(pages // 8 + 1)

    def claim(self, first: int, number: int) -> None:
        """Claim a page and its overflow. Raises :class:`PageReachedTwice`."""
        for page in range(first, first + number):
            at, bit = page >> 3, 1 << (page & 7)
            if self._bits[at] & bit:
                raise PageReachedTwice("a cycle, or two references to it", page)
            self._bits[at] |= bit

    def has(self, page: int) -> bool:
        """Whether the page was reached."""
        return bool(self._bits[page >> 3] & 1 << (page & 7))


class BoltFile:
    """A bbolt file open for reading; a context manager. ``size_bytes`` leaves out a seal that
    follows the pages.

    Raises :class:`BoltFault`, and OSError when the disk fails.
    """

    def __init__(self, path: Path, size_bytes: int | None = None) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._size = os.fstat(self._fd).st_size if size_bytes is None else size_bytes
            self.meta = self._read_meta()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> BoltFile:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def claims(self) -> Claims:
        """A fresh record of reached pages; the meta pages and the freelist's are taken."""
        claims = Claims(self.meta.pages)
        claims.claim(0, FIRST_PAGE)
        if self.meta.freelist != NO_FREELIST:
            self._page(self.meta.freelist, claims, FREELIST)
        return claims

    def buckets(self, claims: Claims | None = None) -> dict[bytes, BucketRef]:
        """The buckets by name, in order."""
        found = {}
        root = BucketRef(b"", self.meta.root, self.meta.sequence, b"")
        for name, value in self._walk(root, claims or self.claims(), BUCKET_VALUE):
            if len(value) < BUCKET.size:
                reason = f"bucket {name[:64]!r} in {len(value)} bytes"
                raise ElementOutOfBounds(reason, self.meta.root)
            page, sequence = BUCKET.unpack_from(value)
            found[name] = BucketRef(name, page, sequence, b"" if page else value[BUCKET.size :])
        return found

    def pairs(self, bucket: BucketRef, claims: Claims | None = None) -> Iterator[_Pair]:
        """The keys and values of a bucket, in order, read while they are asked for."""
        return self._walk(bucket, claims or self.claims(), 0)

    def check_pages(self, claims: Claims) -> None:
        """After everything was read with ``claims``: every page is in use or free, none both.

        Only a file with a freelist can tell; etcd's have none.
        """
        if self.meta.freelist == NO_FREELIST:
            return
        free = Claims(self.meta.pages)
        page = self.meta.freelist
        before = 1
        for freed in self._freelist():
            if not before < freed < self.meta.pages or claims.has(freed):
                raise BadFreelist(f"it names page {freed} after {before}", page)
            free.claim(freed, 1)
            before = freed
        for each in range(FIRST_PAGE, self.meta.pages):
            if not claims.has(each) and not free.has(each):
                raise PageLost("neither in use nor free", each)

    def _freelist(self) -> Iterator[int]:
        page = self.meta.freelist
        data, _, count = self._page(page, Claims(self.meta.pages), FREELIST)
        at = PAGE.size
        if count == _COUNT_ELSEWHERE:
            (count,) = FREE_ID.unpack_from(data, at)
            at += FREE_ID.size
        if at + count * FREE_ID.size > len(data):
            raise BadFreelist(f"{count} pages in {len(data)} bytes", page)
        for (freed,) in FREE_ID.iter_unpack(data[at : at + count * FREE_ID.size]):
            yield freed

    def _read_meta(self) -> Meta:
        if self._size < 2 * PAGE_BYTES:
            raise Truncated(f"{self._size} bytes cannot hold two pages")
        first = decode_meta(self._read(0, PAGE_BYTES), 0)
        if self._size < 2 * first.page_bytes:
            raise Truncated(f"{self._size} bytes cannot hold two pages of {first.page_bytes}")
        second = decode_meta(self._read(first.page_bytes, PAGE_BYTES), 1)
        if first.page_bytes != second.page_bytes:
            raise BadPageSize(f"{second.page_bytes} bytes, page 0 says {first.page_bytes}", 1)
        meta = max(first, second, key=lambda each: each.transaction)
        if meta.pages * meta.page_bytes > self._size:
            needed = meta.pages * meta.page_bytes
            raise Truncated(f"{self._size} bytes of {needed}, {meta.pages} pages")
        return meta

    def _read(self, offset: int, size: int) -> bytes:
        data = os.pread(self._fd, size, offset)
        while len(data) < size:
            more = os.pread(self._fd, size - len(data), offset + len(data))
            if not more:
                raise Truncated(f"nothing at byte {offset + len(data)}")
            data += more
        return data

    def _page(self, page: int, claims: Claims, *kinds: int) -> tuple[bytes, int, int]:
        """The bytes of a page with its overflow, its flags and its count."""
        size = self.meta.page_bytes
        if not FIRST_PAGE <= page < self.meta.pages:
            raise PageOutOfBounds(f"there are {self.meta.pages} pages", page)
        claims.claim(page, 1)
        data = self._read(page * size, size)
        flags, count, overflow = check_header(data, page, *kinds)
        if overflow:
            if page + overflow >= self.meta.pages:
                reason = f"it runs on for {overflow} pages; there are {self.meta.pages}"
                raise PageOutOfBounds(reason, page)
            if (overflow + 1) * size > BOLT_RUN_BYTES_MAX:
                raise RunTooLong(f"{(overflow + 1) * size} bytes", page)
            claims.claim(page + 1, overflow)
            data += self._read((page + 1) * size, overflow * size)
        return data, flags, count

    def _walk(self, bucket: BucketRef, claims: Claims, flags: int) -> Iterator[_Pair]:
        """All pairs below a bucket's root; ``flags`` is what their elements must have."""
        if bucket.inline:
            yield from _inline(bucket, flags)
            return
        if not bucket.root:
            raise ElementOutOfBounds(f"bucket {bucket.name[:64]!r} has neither page nor pairs")
        stack = [iter([(bucket.root, _Range(b"", None))])]
        while stack:
            step = next(stack[-1], None)
            if step is None:
                stack.pop()
                continue
            page, keys = step
            data, kind, count = self._page(page, claims, BRANCH, LEAF)
            if kind == LEAF:
                if not count and len(stack) > 1:
                    raise ElementOutOfBounds("a leaf without elements below a branch", page)
                yield from _leaf(data, page, count, keys, flags)
            elif len(stack) > BOLT_DEPTH_MAX:
                raise TooDeep(f"more than {BOLT_DEPTH_MAX} levels", page)
            else:
                stack.append(iter(_branch(data, page, count, keys)))


def _inline(bucket: BucketRef, flags: int) -> Iterator[_Pair]:
    """The pairs of a bucket that lies in its parent's leaf; it has no page to be named by."""
    data = bucket.inline
    try:
        if len(data) < PAGE.size:
            raise ElementOutOfBounds(f"{len(data)} bytes")
        _, count, _ = check_header(data, 0, LEAF)
        yield from _leaf(data, 0, count, _Range(b"", None), flags)
    except BoltFault as fault:
        raise type(fault)(f"inline bucket {bucket.name[:64]!r}: {fault.reason}") from fault


def _branch(data: bytes, page: int, count: int, keys: _Range) -> list[tuple[int, _Range]]:
    """The children of a branch, each with the keys it may hold."""
    table = _table(data, page, count)
    if not count:
        raise ElementOutOfBounds("a branch without children", page)
    firsts: list[bytes] = []
    children: list[int] = []
    at = PAGE.size
    for position, size, child in BRANCH_ELEMENT.iter_unpack(table):
        start = at + position
        if start < PAGE.size + len(table) or start + size > len(data) or size > KEY_BYTES_MAX:
            reason = f"element {len(children)}: {size} bytes at {start} of {len(data)}"
            raise ElementOutOfBounds(reason, page)
        key = data[start : start + size]
        _check_key(key, firsts[-1] if firsts else None, keys, page)
        firsts.append(key)
        children.append(child)
        at += ELEMENT_BYTES
    ends = (*firsts[1:], keys.high)
    return [
        (child, _Range(low, high)) for child, low, high in zip(children, firsts, ends, strict=True)
    ]


def _leaf(data: bytes, page: int, count: int, keys: _Range, flags: int) -> Iterator[_Pair]:
    """The pairs of a leaf."""
    table = _table(data, page, count)
    first = PAGE.size + len(table)
    before: bytes | None = None
    at = PAGE.size
    for kind, position, key_size, value_size in LEAF_ELEMENT.iter_unpack(table):
        start = at + position
        middle = start + key_size
        end = middle + value_size
        if start < first or end > len(data) or not 0 < key_size <= KEY_BYTES_MAX:
            reason = f"{key_size} + {value_size} bytes at {start} of {len(data)}"
            raise ElementOutOfBounds(reason, page)
        key = data[start:middle]
        _check_key(key, before, keys, page)
        if kind != flags:
            wanted = "a bucket" if flags else "a value"
            raise WrongElementKind(f"key {key[:64]!r} has flags {kind:#x}, not {wanted}", page)
        yield key, data[middle:end]
        before = key
        at += ELEMENT_BYTES


def _table(data: bytes, page: int, count: int) -> bytes:
    size = count * ELEMENT_BYTES
    if PAGE.size + size > len(data):
        raise ElementOutOfBounds(f"{count} elements in {len(data)} bytes", page)
    return data[PAGE.size : PAGE.size + size]


def _check_key(key: bytes, before: bytes | None, keys: _Range, page: int) -> None:
    """A key follows the one before it and lies in the range its branch gives."""
    if before is not None and key <= before:
        raise KeysOutOfOrder(f"{key[:64]!r} after {before[:64]!r}", page)
    if key < keys.low or (keys.high is not None and key >= keys.high):
        raise KeysOutOfOrder(f"{key[:64]!r} is not where its branch says", page)
