"""Damage to the files of a member that does not run."""

from __future__ import annotations

from pathlib import Path

from kvorum.drill.stage import StageError

_TAIL_BYTES = 1 << 20  # Looked at a piece at a time for the end of what was written.


def flip_a_bit(directory: Path) -> str:
    """Flip one bit in the middle of what the newest log file in ``directory`` holds; says which.

    Raises StageError when there is none. Both kvorum and etcd name the files of their logs in
    order, and fill them with zeros ahead of what is written.
    """
    files = sorted(path for path in directory.glob("*.wal") if path.stat().st_size)
    if not files:
        raise StageError(f"{directory} holds no log to damage")
    path = files[-1]
    end = _written(path)
    if end == 0:
        raise StageError(f"{path} holds nothing but zeros")
    with path.open("r+b") as file:
        place = end // 2
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 0x10]))
    return f"bit 4 of byte {place} of {path.name} flipped ({end} bytes are written)"


def _written(path: Path) -> int:
    """Bytes up to the last that is not zero."""
    with path.open("rb") as file:
        end = path.stat().st_size
        while end:
            begin = max(0, end - _TAIL_BYTES)
            file.seek(begin)
            kept = file.read(end - begin).rstrip(b"\0")
            if kept:
                return begin + len(kept)
            end = begin
    return 0
