"""A member's snapshot as a file: under its name it stands only when it is whole and right."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections.abc import AsyncIterable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from kvorum.client.maintenance import Maintenance, SnapshotPiece

SEAL_BYTES = 32  # The SHA-256 of all before it, at the end.
ALIGNMENT = 512  # The database itself is a multiple of this.


class SnapshotDamaged(Exception):
    """What came is not what was sent, or not all of it."""


@dataclass(frozen=True, slots=True)
class SavedSnapshot:
    """A file with a snapshot; ``sha256`` in hex is that of the database in it."""

    bytes: int
    sha256: str


async def save_snapshot(
    maintenance: Maintenance, file: Path, *, told: Callable[[int, int], None] | None = None
) -> SavedSnapshot:
    """Write the answering member's state to ``file``.

    It is written to ``FILE.part``, checked against its own checksum and renamed; a file of that
    name is replaced. When this is cancelled or fails, nothing is left. ``told`` is called with the
    bytes written and the bytes in all. Raises :class:`SnapshotDamaged`, ``OSError`` or a
    :class:`kvorum.client.errors.ClientError`.
    """
    part = file.with_name(file.name + ".part")
    try:
        with part.open("wb") as target:
            async with aclosing(maintenance.snapshot_pieces()) as pieces:
                saved = await _write(target, pieces, told)
            target.flush()
            await asyncio.to_thread(os.fsync, target.fileno())
        os.replace(part, file)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            part.unlink()
        raise
    return saved


async def _write(
    target: BinaryIO,
    pieces: AsyncIterable[SnapshotPiece],
    told: Callable[[int, int], None] | None,
) -> SavedSnapshot:
    """The pieces, checked against the checksum at their end."""
    found, held, written = hashlib.sha256(), b"", 0
    async for piece in pieces:
        target.write(piece.data)
        written += len(piece.data)
        if told is not None:
            told(written, written + piece.remaining_bytes)
        held += piece.data
        found.update(held[:-SEAL_BYTES])
        held = held[-SEAL_BYTES:]
    if written % ALIGNMENT != SEAL_BYTES:
        raise SnapshotDamaged(f"the snapshot ended early, after {written} bytes")
    if found.digest() != held:
        raise SnapshotDamaged("the snapshot was damaged on its way: SHA-256 mismatch")
    return SavedSnapshot(written, found.hexdigest())
