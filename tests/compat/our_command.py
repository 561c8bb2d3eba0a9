"""The kvorum command as a process, and files for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from kvorum.storage.etcd_db import write_etcd_db
from support.etcd_source import Source

TIMEOUT_S = 60


def kvorum(*words: object) -> str:
    """Run our command, which must succeed; what it said on standard output."""
    done = subprocess.run(
        [sys.executable, "-m", "kvorum", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def written(path: Path, source: Source) -> Path:
    """An etcd database with what the source holds."""
    path.write_bytes(b"".join(write_etcd_db(source)))
    return path
