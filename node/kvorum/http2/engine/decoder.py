"""Reads blocks of headers (RFC 7541, sections 3 and 6)."""

from __future__ import annotations

from kvorum.http2.engine import huffman
from kvorum.http2.engine.table import (
    ENTRY_OVERHEAD_BYTES,
    STATIC,
    STATIC_ENTRIES,
    DynamicTable,
    Header,
)
from kvorum.limits import (
    HTTP2_CACHED_BLOCK_BYTES,
    HTTP2_CACHED_BLOCKS,
    HTTP2_HEADER_LIST_BYTES,
    HTTP2_HEADER_TABLE_BYTES,
)

# Six bytes hold more than any length or index that could be meant.
_INTEGER_BYTES_MAX = 6
# A table's size may change twice before a block: down as far as it went in between, and up again.
_RESIZES_MAX = 2

Headers = tuple[Header, ...]


class HpackError(ValueError):
    """A block that is none: the connection's compression state is lost (COMPRESSION_ERROR)."""


class HeaderListError(HpackError):
    """More headers than this side takes (ENHANCE_YOUR_CALM)."""


class Decoder:
    """The reading side of one connection's header compression.

    A block that refers to tables and changes none of them means the same whenever it comes again,
    until the table changes; such blocks are remembered.

    Args:
        max_table_bytes: largest dynamic table the other side may use.
        max_list_bytes: largest list of headers, counted as HTTP/2's setting of that name.
    """

    __slots__ = ("_cache", "_max_list_bytes", "_max_table_bytes", "table")

    def __init__(
        self,
        max_table_bytes: int = HTTP2_HEADER_TABLE_BYTES,
        max_list_bytes: int = HTTP2_HEADER_LIST_BYTES,
    ) -> None:
        self._max_table_bytes = max_table_bytes
        self._max_list_bytes = max_list_bytes
        self.table = DynamicTable(max_table_bytes)
        self._cache: dict[bytes, Headers] = {}

    def decode(self, block: bytes) -> Headers:
        """The headers of a whole block. HpackError, HeaderListError."""
        known = self._cache.get(block)
        if known is not None:
            return known
        try:
            headers, changed = self._read(block)
        except IndexError:
            raise HpackError("a block that ends too early") from None
        except huffman.HuffmanError as error:
            raise HpackError(str(error)) from None
        if changed:
            self._cache.clear()
        elif len(block) <= HTTP2_CACHED_BLOCK_BYTES:
            if len(self._cache) >= HTTP2_CACHED_BLOCKS:
                self._cache.clear()
            self._cache[block] = headers
        return headers

    def _read(self, block: bytes) -> tuple[Headers, bool]:
        """The headers, and whether the table is another one now."""
        headers: list[Header] = []
        most = self._max_list_bytes
        at, size, end = self._resized(block), 0, len(block)
        changed = at > 0
        while at < end:
            byte = block[at]
            if byte & 0x80:
                if byte == 0xFF:
                    index, at = _integer(block, at, 0x7F)
                else:
                    index, at = byte & 0x7F, at + 1
                header = self._entry(index)
            else:
                if byte & 0x40:
                    mask = 0x3F
                elif byte & 0x20:
                    raise HpackError("a table's size changes within a block")
                else:
                    mask = 0x0F
                index, at = _integer(block, at, mask)
                if index:
                    name = self._entry(index)[0]
                else:
                    name, at = _string(block, at, end)
                value, at = _string(block, at, end)
                header = (name, value)
                if mask == 0x3F:
                    self.table.add(header)
                    changed = True
            size += len(header[0]) + len(header[1]) + ENTRY_OVERHEAD_BYTES
            if size > most:
                raise HeaderListError("more headers than are taken")
            headers.append(header)
        return tuple(headers), changed

    def _resized(self, block: bytes) -> int:
        """Where the headers begin, behind changes of the table's size."""
        at = count = 0
        while at < len(block) and block[at] & 0xE0 == 0x20:
            size, at = _integer(block, at, 0x1F)
            count += 1
            if size > self._max_table_bytes or count > _RESIZES_MAX:
                raise HpackError("a table larger than it may be, or resized without end")
            self.table.resize(size)
        return at

    def _entry(self, index: int) -> Header:
        if index <= STATIC_ENTRIES:
            if not index:
                raise HpackError("index 0")
            return STATIC[index - 1]
        try:
            return self.table.entries[index - STATIC_ENTRIES - 1]
        except IndexError:
            raise HpackError("an index beyond the table") from None


def _integer(block: bytes, at: int, mask: int) -> tuple[int, int]:
    """An integer whose first bits are under the mask (section 5.1), and where it ends."""
    value = block[at] & mask
    at += 1
    if value < mask:
        return value, at
    shift = 0
    for _ in range(_INTEGER_BYTES_MAX - 1):
        byte = block[at]
        at += 1
        value += (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise HpackError("an integer without end")


def _string(block: bytes, at: int, end: int) -> tuple[str, int]:
    """A text (section 5.2), and where it ends."""
    first = block[at]
    length, at = _integer(block, at, 0x7F)
    stop = at + length
    if stop > end:
        raise HpackError("a text that ends too early")
    data = block[at:stop]
    if first & 0x80:
        data = huffman.decode(data)
    return data.decode("latin-1"), stop
