"""Writes blocks of headers (RFC 7541, sections 5 and 6)."""

from __future__ import annotations

from collections.abc import Iterable

from kvorum.http2.engine import huffman
from kvorum.http2.engine.table import STATIC, STATIC_ENTRIES, DynamicTable, Header, entry_bytes
from kvorum.limits import (
    HTTP2_CACHED_BLOCK_BYTES,
    HTTP2_CACHED_BLOCKS,
    HTTP2_HEADER_TABLE_BYTES,
)

# The headers that every call or answer repeats, with few values: worth an entry in the table.
_REPEATED = frozenset(
    {
        ":authority",
        ":path",
        "content-type",
        "grpc-accept-encoding",
        "grpc-status",
        "te",
        "user-agent",
    }
)
# Nobody on the way may keep these in a table.
_SECRET = frozenset({"authorization", "token"})
_LARGEST_REPEATED_BYTES = 512

_EXACT = {header: index for index, header in reversed([*enumerate(STATIC, 1)])}
_NAMES = {header[0]: index for index, header in reversed([*enumerate(STATIC, 1)])}


class Encoder:
    """The writing side of one connection's header compression.

    Only headers that come again and again enter the table, so that it soon changes no more; from
    then on the block of a list of headers is the same bytes, and is remembered.

    Args:
        max_table_bytes: largest dynamic table, whatever the other side offers.
    """

    __slots__ = ("_cache", "_least", "_max_table_bytes", "_resized", "table")

    def __init__(self, max_table_bytes: int = HTTP2_HEADER_TABLE_BYTES) -> None:
        self._max_table_bytes = max_table_bytes
        self.table = DynamicTable(min(max_table_bytes, HTTP2_HEADER_TABLE_BYTES))
        self._cache: dict[tuple[Header, ...], bytes] = {}
        self._resized = False
        self._least = 0

    def offer(self, max_bytes: int) -> None:
        """The other side keeps a table of at most so many bytes."""
        size = min(max_bytes, self._max_table_bytes)
        if size == self.table.max_bytes and not self._resized:
            return
        self._least = min(self._least, size) if self._resized else min(self.table.max_bytes, size)
        self._resized = True
        self.table.resize(size)
        self._cache.clear()

    def encode(self, headers: Iterable[Header]) -> bytes:
        """A block. Texts are sent as UTF-8, as h2 sends them."""
        key = tuple(headers)
        known = self._cache.get(key)
        if known is not None:
            return known
        out = bytearray()
        changed = self._resized
        if changed:
            self._tell_size(out)
        for name, value in key:
            changed |= self._write(out, name, value)
        block = bytes(out)
        if changed:
            self._cache.clear()
        elif len(block) <= HTTP2_CACHED_BLOCK_BYTES:
            if len(self._cache) >= HTTP2_CACHED_BLOCKS:
                self._cache.clear()
            self._cache[key] = block
        return block

    def _tell_size(self, out: bytearray) -> None:
        if self._least < self.table.max_bytes:
            _put_integer(out, self._least, 0x1F, 0x20)
        _put_integer(out, self.table.max_bytes, 0x1F, 0x20)
        self._resized = False

    def _write(self, out: bytearray, name: str, value: str) -> bool:
        """One header; whether the table is another one now."""
        header = (name, value)
        index = _EXACT.get(header)
        if index is None and name in _REPEATED:
            index = self._indexed(header)
        if index is not None:
            _put_integer(out, index, 0x7F, 0x80)
            return False
        size = entry_bytes(name, value)
        most = min(_LARGEST_REPEATED_BYTES, self.table.max_bytes)
        enters = name in _REPEATED and size <= most and value.isascii()
        if enters:
            mask, pattern = 0x3F, 0x40
        else:
            mask, pattern = 0x0F, 0x10 if name in _SECRET else 0x00
        known_name = _NAMES.get(name, 0)
        _put_integer(out, known_name, mask, pattern)
        if not known_name:
            _put_text(out, name)
        _put_text(out, value)
        if enters:
            self.table.add(header)
        return enters

    def _indexed(self, header: Header) -> int | None:
        try:
            return self.table.entries.index(header) + STATIC_ENTRIES + 1
        except ValueError:
            return None


def _put_integer(out: bytearray, value: int, mask: int, pattern: int) -> None:
    if value < mask:
        out.append(pattern | value)
        return
    out.append(pattern | mask)
    value -= mask
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def _put_text(out: bytearray, text: str) -> None:
    plain = text.encode()
    packed = huffman.encode(plain)
    if len(packed) < len(plain):
        _put_integer(out, len(packed), 0x7F, 0x80)
        out += packed
    else:
        _put_integer(out, len(plain), 0x7F, 0x00)
        out += plain
