"""The parts that the codec's formats are made of: bounded reading, and a few ways to write.

Split from ``codec`` so that what may be wrong with bytes is said in one place.
"""

from __future__ import annotations

from struct import Struct
from typing import Any

from kvorum.machine.operations import CommandError

U32 = Struct("<I")
U64 = Struct("<Q")
I64 = Struct("<q")


class Reader:
    """A cursor over ``data`` that never reads past the end."""

    __slots__ = ("at", "data")

    def __init__(self, data: bytes, at: int) -> None:
        self.data = data
        self.at = at

    def fields(self, layout: Struct) -> tuple[Any, ...]:
        """The next fixed-width fields."""
        at = self.at
        self.at = at + layout.size
        return layout.unpack_from(self.data, at)

    def count(self) -> int:
        """A number of items, each of which takes at least one byte."""
        (n,) = self.fields(U32)
        if n > len(self.data) - self.at:
            raise CommandError(f"count {n} at byte {self.at - 4} is beyond the end")
        return int(n)

    def signed(self) -> int:
        """An int64."""
        return int(self.fields(I64)[0])

    def unsigned(self) -> int:
        """A uint64."""
        return int(self.fields(U64)[0])

    def take(self, length: int) -> bytes:
        """That many bytes."""
        at = self.at
        end = at + length
        if end > len(self.data):
            raise CommandError(f"{length} bytes wanted at byte {at}, {len(self.data) - at} left")
        self.at = end
        return self.data[at:end]

    def blob(self) -> bytes:
        """Bytes behind their length."""
        return self.take(self.count())

    def text(self) -> str:
        """A string; raises UnicodeDecodeError for bytes that are none."""
        return self.blob().decode()

    def texts(self) -> tuple[str, ...]:
        """A counted tuple of strings."""
        return tuple([self.text() for _ in range(self.count())])

    def flag(self) -> bool:
        """One byte, 0 or 1."""
        value = self.take(1)[0]
        if value > 1:
            raise CommandError(f"flag {value} at byte {self.at - 1}")
        return value == 1


def known_flags(value: int, known: int) -> int:
    """``value``, unless it has a bit that ``known`` has not."""
    if value & ~known:
        raise CommandError(f"unknown flags {value:#x}")
    return value


def write_blob(data: bytes, out: list[bytes]) -> None:
    """Bytes behind their length."""
    out.append(U32.pack(len(data)))
    out.append(data)


def write_texts(texts: tuple[str, ...], out: list[bytes]) -> None:
    """A counted tuple of strings."""
    out.append(U32.pack(len(texts)))
    for text in texts:
        write_blob(text.encode(), out)
