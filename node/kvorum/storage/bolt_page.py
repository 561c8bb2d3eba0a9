"""The pages of a bbolt file, the format of etcd's own database: layouts, bounds, and the faults
that a file can have.

All numbers are little-endian. A file is a row of pages of one size; a page that needs more room
runs on into the ones after it (overflow). Page 0 and 1 are meta pages, of which the one with the
higher transaction id counts; it names the root bucket's page, the freelist's, and the number of
pages in use::

    page     id u64, flags u16, count u16, overflow u32                             16 bytes
    meta     magic u32, version u32, page size u32, flags u32, root (bucket), freelist u64,
             pages u64, transaction u64, checksum u64 (FNV-1a of the 56 bytes before)
    bucket   root page u64, sequence u64; root page 0: a whole leaf page follows (inline)
    leaf     per element: flags u32 (1: the value is a bucket), position u32, key size u32,
             value size u32; then keys and values. A position counts from its own element
    branch   per element: position u32, key size u32, child page u64; then keys
    freelist page ids u64, ascending; a count of 65,535 says that the first one is the count

A bucket is a B+ tree: branches hold the first key of every child, leaves the pairs, all in order
of bytes. Pure: no files here. Written from the format's public description; what is read and
accepted was compared with bbolt inside etcd 3.4.23 and 3.5.1.
"""

from __future__ import annotations

from struct import Struct
from typing import ClassVar, Final, NamedTuple

PAGE_BYTES: Final = 4096
PAGE_BYTES_ALL: Final = (4096, 8192, 16384, 32768, 65536)
"""Page sizes of the systems that etcd runs on; bbolt takes its system's own."""

MAGIC: Final = 0xED0CDAED
VERSION: Final = 2
BRANCH: Final = 0x01
LEAF: Final = 0x02
META: Final = 0x04
FREELIST: Final = 0x10
KINDS: Final = {BRANCH: "branch", LEAF: "leaf", META: "meta", FREELIST: "freelist"}
BUCKET_VALUE: Final = 0x01
NO_FREELIST: Final = 2**64 - 1
"""In place of the freelist's page: none is kept (etcd's way), unreferenced pages are free."""

FIRST_PAGE: Final = 2
"""The first page after the meta pages."""

KEY_BYTES_MAX: Final = 32768
VALUE_BYTES_MAX: Final = 2**31 - 2

PAGE = Struct("<QHHI")
META_BODY = Struct("<IIIIQQQQQ")
CHECKSUM = Struct("<Q")
BUCKET = Struct("<QQ")
LEAF_ELEMENT = Struct("<IIII")
BRANCH_ELEMENT = Struct("<IIQ")
FREE_ID = Struct("<Q")
ELEMENT_BYTES: Final = 16

_FNV_OFFSET = 0xCBF29CE484222325
_FNV_PRIME = 0x100000001B3


class BoltFault(ValueError):
    """A file that cannot be trusted. Every way of being wrong is a subclass with a ``fault``, the
    name that people are told; ``page`` is where, None when it concerns the file.
    """

    fault: ClassVar[str] = "damaged"

    def __init__(self, reason: str, page: int | None = None) -> None:
        where = "" if page is None else f"page {page}: "
        super().__init__(f"{self.fault}: {where}{reason}")
        self.reason = reason
        self.page = page


class Truncated(BoltFault):
    """The file ends before its pages do."""

    fault = "truncated"


class ForeignMagic(BoltFault):
    """Not a bbolt file at all."""

    fault = "foreign magic"


class UnknownVersion(BoltFault):
    """A format of bbolt that is not known here."""

    fault = "unknown format version"


class BadChecksum(BoltFault):
    """A meta page whose checksum differs."""

    fault = "checksum mismatch"


class BadPageSize(BoltFault):
    """A page size that no system has, or two in one file."""

    fault = "bad page size"


class WrongPageKind(BoltFault):
    """A page that is not what the reference to it needs."""

    fault = "wrong page kind"


class WrongPageId(BoltFault):
    """A page that says it is another."""

    fault = "wrong page id"


class PageOutOfBounds(BoltFault):
    """A reference to a page beyond the file, or to a meta page."""

    fault = "page out of bounds"


class PageReachedTwice(BoltFault):
    """A cycle of branches, or two references to one page."""

    fault = "page reached twice"


class PageLost(BoltFault):
    """A page that is neither used nor free although the file keeps a freelist."""

    fault = "page lost"


class TooDeep(BoltFault):
    """More levels of branches than any tree can need."""

    fault = "tree too deep"


class RunTooLong(BoltFault):
    """A page with more overflow than a reader will hold."""

    fault = "page too large"


class ElementOutOfBounds(BoltFault):
    """A key or value that lies outside its page, or sizes that are not allowed."""

    fault = "element out of bounds"


class KeysOutOfOrder(BoltFault):
    """Keys that do not ascend, or lie outside what their branch says."""

    fault = "keys out of order"


class WrongElementKind(BoltFault):
    """A bucket where a value must be, or a value where a bucket must be."""

    fault = "wrong element kind"


class BadFreelist(BoltFault):
    """A freelist that is out of order or names pages that are in use."""

    fault = "bad freelist"


class Meta(NamedTuple):
    """What a meta page says; ``pages`` is the number of pages in use, the two meta pages too."""

    page_bytes: int
    root: int
    sequence: int
    freelist: int
    pages: int
    transaction: int


def fnv64a(data: bytes) -> int:
    """The 64-bit FNV-1a hash."""
    hashed = _FNV_OFFSET
    for byte in data:
        hashed = (hashed ^ byte) * _FNV_PRIME & 0xFFFF_FFFF_FFFF_FFFF
    return hashed


def encode_meta(meta: Meta, page: int) -> bytes:
    """The whole meta page with this id (0 or 1)."""
    body = META_BODY.pack(
        MAGIC,
        VERSION,
        meta.page_bytes,
        0,
        meta.root,
        meta.sequence,
        meta.freelist,
        meta.pages,
        meta.transaction,
    )
    head = PAGE.pack(page, META, 0, 0)
    return (head + body + CHECKSUM.pack(fnv64a(body))).ljust(meta.page_bytes, b"\0")


def decode_meta(data: bytes, page: int) -> Meta:
    """What the meta page at the start of ``data`` says. Raises the :class:`BoltFault` in question:
    every field is checked for itself, references to pages against the number of pages.
    """
    if len(data) < PAGE.size + META_BODY.size + CHECKSUM.size:
        raise Truncated(f"{len(data)} bytes are no meta page", page)
    body = data[PAGE.size : PAGE.size + META_BODY.size]
    magic, version, size, _, root, sequence, freelist, pages, transaction = META_BODY.unpack(body)
    if magic != MAGIC:
        raise ForeignMagic(f"{magic:#010x} instead of {MAGIC:#010x}", page)
    if version != VERSION:
        raise UnknownVersion(f"{version} instead of {VERSION}", page)
    (checksum,) = CHECKSUM.unpack_from(data, PAGE.size + META_BODY.size)
    if checksum != fnv64a(body):
        raise BadChecksum(f"{checksum:016x} instead of {fnv64a(body):016x}", page)
    if size not in PAGE_BYTES_ALL:
        raise BadPageSize(f"{size} bytes", page)
    check_header(data, page, META)
    for name, wanted in (("root", root), ("freelist", freelist)):
        if not FIRST_PAGE <= wanted < pages and (name, wanted) != ("freelist", NO_FREELIST):
            raise PageOutOfBounds(f"its {name} is page {wanted} of {pages}", page)
    return Meta(size, root, sequence, freelist, pages, transaction)


def check_header(data: bytes, page: int, *kinds: int) -> tuple[int, int, int]:
    """Flags, count and overflow of a page, which must be ``page`` and of one of ``kinds``."""
    found, flags, count, overflow = PAGE.unpack_from(data)
    if flags not in kinds:
        wanted = " or ".join(KINDS[kind] for kind in kinds)
        raise WrongPageKind(f"{KINDS.get(flags, hex(flags))} instead of {wanted}", page)
    if found != page:
        raise WrongPageId(f"it says it is page {found}", page)
    return flags, count, overflow
