"""Log files that are turned over."""

from __future__ import annotations

import gzip
import json
import logging
import os
from pathlib import Path
from typing import Any

from kvorum.config_log import LogConfig, Rotation
from kvorum.server import logs
from kvorum.server.logfiles import RotatingFile

START_S = 1_795_392_000.123
LINE = "x" * 99


class Clock:
    def __init__(self) -> None:
        self.now_s = START_S

    def __call__(self) -> float:
        return self.now_s


def rotating(path: Path, clock: Clock, **settings: Any) -> RotatingFile:
    handler = RotatingFile(path, Rotation(max_bytes=1000, **settings), clock)
    handler.setFormatter(logging.Formatter("%(message)s"))
    return handler


def say(handler: RotatingFile, lines: int, text: str = LINE) -> None:
    for _ in range(lines):
        handler.emit(logging.makeLogRecord({"msg": text}))


def test_a_full_file_is_put_aside_under_its_moment(tmp_path: Path) -> None:
    path, clock = tmp_path / "etcd.log", Clock()
    handler = rotating(path, clock)
    say(handler, 10)
    assert [each.name for each in tmp_path.iterdir()] == ["etcd.log"]
    say(handler, 1)
    assert path.read_text() == LINE + "\n"
    aside = tmp_path / "etcd-2026-11-23T00-00-00.123.log"
    assert aside.read_text() == (LINE + "\n") * 10
    # A second one within the same millisecond loses nothing.
    say(handler, 10)
    assert (tmp_path / "etcd-2026-11-23T00-00-00.123-1.log").stat().st_size == 1000
    assert len(handler.full()) == 2
    handler.close()


def test_a_line_larger_than_a_file_has_one_to_itself(tmp_path: Path) -> None:
    path = tmp_path / "etcd.log"
    handler = rotating(path, Clock())
    say(handler, 1, "y" * 5000)
    assert handler.full() == []
    say(handler, 1)
    assert [each.stat().st_size for each in handler.full()] == [5001]
    handler.close()


def test_what_was_there_counts(tmp_path: Path) -> None:
    path = tmp_path / "etcd.log"
    path.write_text("z" * 950)
    handler = rotating(path, Clock())
    say(handler, 1)
    assert [each.read_text() for each in handler.full()] == ["z" * 950]
    handler.close()


def test_only_so_many_old_files_stay(tmp_path: Path) -> None:
    clock = Clock()
    handler = rotating(tmp_path / "etcd.log", clock, max_backups=2)
    (tmp_path / "etcd-old.log").write_text("another's")
    for _ in range(5):
        clock.now_s += 1
        say(handler, 10)
    assert sorted(each.name for each in handler.full()) == [
        "etcd-2026-11-23T00-00-04.123.log",
        "etcd-2026-11-23T00-00-05.123.log",
    ]
    assert (tmp_path / "etcd-old.log").exists()
    handler.close()


def test_old_files_go_by_age(tmp_path: Path) -> None:
    clock = Clock()
    handler = rotating(tmp_path / "etcd.log", clock, max_age_days=1)
    say(handler, 11)
    (first,) = handler.full()
    os.utime(first, (START_S, START_S))
    clock.now_s += 86_500
    say(handler, 10)
    (second,) = handler.full()
    assert second != first
    handler.close()


def test_old_files_are_compressed(tmp_path: Path) -> None:
    handler = rotating(tmp_path / "etcd.log", Clock(), compress=True)
    say(handler, 11)
    (packed,) = handler.full()
    assert packed.name == "etcd-2026-11-23T00-00-00.123.log.gz"
    assert gzip.decompress(packed.read_bytes()).decode() == (LINE + "\n") * 10
    assert sorted(each.name for each in tmp_path.iterdir()) == [packed.name, "etcd.log"]
    handler.close()


def test_outputs_are_opened_as_told(tmp_path: Path) -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    plain, turned = tmp_path / "plain.log", tmp_path / "turned.log"
    try:
        logs.set_up(LogConfig("debug", "json", (str(plain), "stderr"), None))
        logging.getLogger("kvorum.test").warning("heard", extra={"n": 1})
        logs.set_up(LogConfig("info", "console", (str(turned),), Rotation()))
        assert [type(each) for each in root.handlers] == [RotatingFile]
        logging.getLogger("kvorum.test").info("again", extra={"n": 2})
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    line = json.loads(plain.read_text())
    assert (line["level"], line["msg"], line["n"]) == ("warn", "heard", 1)
    assert line["caller"].startswith("server/test_logfiles.py:")
    assert turned.read_text().endswith(" info  again n=2\n")
