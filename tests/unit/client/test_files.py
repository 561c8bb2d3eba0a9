"""Small files are whole at every moment, whoever else writes them, and readable by whom they are to
be.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from kvorum.files import replace_file

WRITERS, TIMES = 4, 25


@pytest.mark.parametrize("private", [False, True])
def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path: Path, private: bool) -> None:
    file = tmp_path / "kept.toml"
    file.write_text("old")
    file.chmod(0o644)
    replace_file(file, "grüße\n", private=private, durable=private)
    assert file.read_text("utf-8") == "grüße\n"
    replace_file(file, b"\xff\x00", private=private)
    assert file.read_bytes() == b"\xff\x00"
    mask = os.umask(0)
    os.umask(mask)
    assert file.stat().st_mode & 0o777 == (0o600 if private else 0o666 & ~mask)
    assert list(tmp_path.iterdir()) == [file]


def test_what_cannot_be_put_in_its_place_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "taken"
    (folder / "by").mkdir(parents=True)
    with pytest.raises(OSError):
        replace_file(folder, "text")
    assert list(tmp_path.iterdir()) == [folder]
    with pytest.raises(FileNotFoundError):
        replace_file(tmp_path / "missing" / "file", "text")


def test_writers_at_once_never_mix(tmp_path: Path) -> None:
    file = tmp_path / "shared"
    contents = [bytes([65 + n]) * (1 << (10 + 2 * n)) for n in range(WRITERS)]
    replace_file(file, contents[0])

    def write(content: bytes) -> None:
        for _ in range(TIMES):
            replace_file(file, content)

    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert file.read_bytes() in contents
    assert file.read_bytes() in contents
    assert list(tmp_path.iterdir()) == [file]
