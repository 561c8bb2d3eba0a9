"""A log file that is turned over when it is full: etcd's ``--enable-log-rotation``.

The full file is renamed after the moment (``etcd-2026-11-22T23-53-00.123.log``), as etcd's library
does it, and a new one begins. Old ones are compressed if wanted, and removed by age and by number.
Trouble with an old file never costs a line of the new one.
"""

from __future__ import annotations

import contextlib
import gzip
import logging
import os
import re
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from kvorum.config_log import Rotation

_DAY_S = 86_400
_STAMP = re.compile(r"-(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3})(?:-\d+)?$")


class RotatingFile(logging.FileHandler):
    """Appends to a file until the next line would make it larger than it may be.

    Args:
        path: the file.
        rotation: how large, and what becomes of full ones.
        now: seconds since 1970.
    """

    def __init__(
        self, path: Path, rotation: Rotation, now: Callable[[], float] = time.time
    ) -> None:
        super().__init__(path, encoding="utf-8")
        self._path = path
        self._rotation = rotation
        self._now = now
        self._size = path.stat().st_size
        self._tidy()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line; first turn the file over if the line does not fit."""
        try:
            size = len(self.format(record).encode("utf-8", "replace")) + 1
            if self._size and self._size + size > self._rotation.max_bytes:
                self._turn_over()
            self._size += size
        except Exception:
            self.handleError(record)
            return
        super().emit(record)

    def _turn_over(self) -> None:
        self.close()
        os.replace(self._path, self._full_name())
        self.stream = self._open()
        self._size = 0
        self._tidy()

    def _full_name(self) -> Path:
        zone = None if self._rotation.local_time else UTC
        moment = datetime.fromtimestamp(self._now(), UTC).astimezone(zone)
        stamp = f"{moment:%Y-%m-%dT%H-%M-%S}.{moment.microsecond // 1000:03d}"
        path = self._path
        candidate = path.with_name(f"{path.stem}-{stamp}{path.suffix}")
        number = 1
        # Two full files in one millisecond.
        while candidate.exists() or Path(f"{candidate}.gz").exists():
            candidate = path.with_name(f"{path.stem}-{stamp}-{number}{path.suffix}")
            number += 1
        return candidate

    # --- old files --------------------------------------------------------------------------------

    def full(self) -> list[Path]:
        """Full files that are still there, the newest first."""
        names = {}
        for path in self._path.parent.iterdir():
            bare = path.name.removesuffix(".gz")
            stem = bare.removesuffix(self._path.suffix)
            stamp = _STAMP.search(stem)
            if stamp and stem[: stamp.start()] == self._path.stem:
                names[path] = (stamp.group(1), path.name)
        return sorted(names, key=lambda path: names[path], reverse=True)

    def _tidy(self) -> None:
        rotation, full = self._rotation, self.full()
        gone = full[rotation.max_backups :] if rotation.max_backups else []
        if rotation.max_age_days:
            oldest_s = self._now() - rotation.max_age_days * _DAY_S
            gone = [*gone, *(path for path in full if path.stat().st_mtime < oldest_s)]
        for path in full:
            # Somebody may have taken an old file away; then there is nothing to do.
            with contextlib.suppress(OSError):
                if path in gone:
                    path.unlink(missing_ok=True)
                elif rotation.compress and path.suffix != ".gz":
                    _compress(path)


def _compress(path: Path) -> None:
    packed = Path(f"{path}.gz")
    partial = Path(f"{packed}.part")
    with path.open("rb") as plain, gzip.open(partial, "wb") as out:
        shutil.copyfileobj(plain, out)
    os.utime(partial, (path.stat().st_atime, path.stat().st_mtime))
    partial.replace(packed)
    path.unlink()
