"""A first start killed at every step of making its files: the next one makes them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from disk.boot_child import FIRST
from kvorum.config import NodeConfig
from kvorum.failpoints import DISK_NAMES
from kvorum.server import boot
from kvorum.server.crash import FatalError

HERE = Path(__file__).parent
POINTS = [name for name in DISK_NAMES if "remove" not in name]


def start_until(directory: Path, point: str) -> None:
    """A first start that dies at a failpoint."""
    child = subprocess.run(
        [sys.executable, str(HERE / "boot_child.py"), str(directory), point],
        env={**os.environ, "PYTHONPATH": str(HERE.parent)},
        check=False,
        timeout=60,
    )
    assert child.returncode == -9, "the failpoint did not bite"


@pytest.mark.parametrize("point", POINTS)
def test_killed_while_it_makes_its_first_files(tmp_path: Path, point: str) -> None:
    start_until(tmp_path, point)
    places = boot.DataDir(NodeConfig(data_dir=tmp_path))
    found = boot.find(places, FIRST)
    assert found.metadata == FIRST.metadata
    assert (found.boot.snapshot.index, found.boot.snapshot.conf.voters) == (0, (2,))
    assert not found.boot.entries
    found.wal.close()
    found.database.close()
    places.lock.release()
    places = boot.DataDir(NodeConfig(data_dir=tmp_path))
    assert not places.is_new


def test_an_empty_log_of_a_member_that_ran_is_no_first_start(tmp_path: Path) -> None:
    """Cut to its head it looks like one; the history beside it says that it is none."""
    places = boot.DataDir(NodeConfig(data_dir=tmp_path))
    found = boot.find(places, FIRST)
    found.wal.close()
    found.database.close()
    (segment,) = (tmp_path / "member" / "wal").glob("*.wal")
    segment.write_bytes(segment.read_bytes()[:96])
    assert not places.is_new
    with pytest.raises(FatalError, match="holds a log that was never finished being made"):
        boot.find(places, FIRST)
