"""Damage to a log file: one bit, in the middle of what is written."""

from __future__ import annotations

from pathlib import Path

import pytest
from kvorum.drill.damage import flip_a_bit
from kvorum.drill.stage import StageError


def test_one_bit_in_the_middle_of_the_newest_file(tmp_path: Path) -> None:
    old, new = tmp_path / "0001.wal", tmp_path / "0002.wal"
    old.write_bytes(b"\x01" * 10)
    new.write_bytes(b"\x01" * 10 + bytes(3_000_000))
    assert "byte 5 of 0002.wal" in flip_a_bit(tmp_path)
    assert old.read_bytes() == b"\x01" * 10
    assert new.read_bytes() == b"\x01" * 5 + b"\x11" + b"\x01" * 4 + bytes(3_000_000)


def test_without_anything_written_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="holds no log to damage"):
        flip_a_bit(tmp_path)
    (tmp_path / "0001.wal").write_bytes(bytes(100))
    with pytest.raises(StageError, match="holds nothing but zeros"):
        flip_a_bit(tmp_path)
