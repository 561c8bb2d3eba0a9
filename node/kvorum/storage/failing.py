"""A disk with failpoints: every step that changes files has a place before and one after it.

Names are the disk's own, then what is done, then when: ``wal_sync_before``. See
``kvorum.failpoints``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from kvorum.failpoints import Failpoint
from kvorum.storage.interface import Disk, File

_T = TypeVar("_T")


class FailingDisk:
    """``disk``, with failpoints named after ``prefix``; see ``interface.Disk``."""

    def __init__(self, disk: Disk, prefix: str, failpoint: Failpoint) -> None:
        self._disk = disk
        self._prefix = prefix
        self._failpoint = failpoint

    def around(self, step: str, deed: Callable[[], _T]) -> _T:
        """Do it, with a place to fail on either side."""
        self._failpoint(f"{self._prefix}_{step}_before")
        done = deed()
        self._failpoint(f"{self._prefix}_{step}_after")
        return done

    def names(self) -> list[str]:
        return self._disk.names()

    def size(self, name: str) -> int:
        return self._disk.size(name)

    def create(self, name: str, ahead_bytes: int = 0) -> File:
        return self.around(
            "create", lambda: _FailingFile(self, self._disk.create(name, ahead_bytes))
        )

    def open(self, name: str, ahead_bytes: int = 0) -> File:
        return _FailingFile(self, self._disk.open(name, ahead_bytes))

    def read(self, name: str, offset: int, size: int) -> bytes:
        return self._disk.read(name, offset, size)

    def truncate(self, name: str, size: int) -> None:
        self._disk.truncate(name, size)

    def rename(self, old: str, new: str) -> None:
        self.around("rename", lambda: self._disk.rename(old, new))

    def remove(self, name: str) -> None:
        self.around("remove", lambda: self._disk.remove(name))

    def sync_directory(self) -> None:
        self.around("names", self._disk.sync_directory)

    def free_bytes(self) -> int:
        return self._disk.free_bytes()


class _FailingFile:
    """A file of a failing disk."""

    def __init__(self, disk: FailingDisk, file: File) -> None:
        self._disk = disk
        self._file = file

    @property
    def size(self) -> int:
        return self._file.size

    def append(self, data: bytes) -> None:
        self._disk.around("write", lambda: self._file.append(data))

    def sync(self) -> None:
        self._disk.around("sync", self._file.sync)

    def close(self) -> None:
        self._file.close()
