"""A simulated disk with the manners of a bad one, for the simulator and for tests.

It keeps two pictures: what a process sees and what the platter holds. ``sync`` copies a file's
bytes to the platter, ``sync_directory`` its names. At ``crash`` the process's picture is forgotten
but for what a real disk may have written early: a random part of the unsynced bytes (a prefix, or
scattered sectors with zeros between) and a random prefix of the unsynced changes of names. ``kill``
ends only the process: the system's cache survives.

The log and the snapshot store run over it as they are, which makes ``Wal(MemoryDisk)`` the memory
twin of the real store.
"""

from __future__ import annotations

import errno
from random import Random

from kvorum.storage.interface import File

SECTOR_BYTES = 512


class _Inode:
    """A file's bytes: as seen, and as on the platter."""

    __slots__ = ("data", "durable")

    def __init__(self) -> None:
        self.data = bytearray()
        self.durable = bytearray()

    def sync(self) -> None:
        self.durable += self.data[len(self.durable) :]

    def truncate(self, size: int) -> None:
        """Cut both pictures: a cut is synced at once."""
        del self.data[size:]
        self.durable = bytearray(self.data)

    def crash(self, random: Random) -> None:
        """Keep the platter's bytes and whatever part of the rest happened to be written."""
        kept = bytearray(self.durable)
        if len(self.data) > len(kept):
            kept += _early_bytes(bytes(self.data[len(kept) :]), len(kept), random)
        self.data = kept
        self.durable = bytearray(kept)


def _early_bytes(unsynced: bytes, start: int, random: Random) -> bytes:
    """What a crash leaves of unsynced bytes: nothing, a prefix, or some sectors with zeros in place
    of the others.
    """
    fate = random.randrange(3)
    if fate == 0:
        return b""
    if fate == 1:
        return unsynced[: random.randrange(len(unsynced) + 1)]
    left = bytearray(unsynced[: random.randrange(len(unsynced) + 1)])
    at = 0
    while at < len(left):
        end = min(len(left), at + SECTOR_BYTES - (start + at) % SECTOR_BYTES)
        if random.random() < 0.5:
            left[at:end] = bytes(end - at)
        at = end
    return bytes(left)


class MemoryFile:
    """A file open for appending on a simulated disk; dead once the disk crashed."""

    def __init__(self, disk: MemoryDisk, name: str, inode: _Inode) -> None:
        self._disk = disk
        self._name = name
        self._inode = inode
        self._life = disk.life

    @property
    def size(self) -> int:
        return len(self._inode.data)

    def append(self, data: bytes) -> None:
        self._check()
        if self._disk.admit_write(self._name, len(data)) < len(data):
            # Whatever part of it found room goes again, as on a real disk.
            raise OSError(errno.ENOSPC, "simulated disk is full", self._name)
        self._inode.data += data

    def sync(self) -> None:
        self._check()
        self._disk.admit_sync(self._name)
        self._inode.sync()

    def close(self) -> None:
        """Nothing is reserved ahead here; a handle may be dropped at any time."""

    def _check(self) -> None:
        if self._life != self._disk.life:
            raise OSError(errno.EBADF, "the process that opened this file is gone", self._name)


class MemoryDisk:
    """One simulated directory; see ``interface.Disk``.

    ``capacity_bytes`` bounds the sum of all files (ENOSPC for a write that would go beyond it).
    ``fail_syncs`` counts down: when it reaches 0 a sync raises EIO (-1: never). ``fail_writes``
    likewise for writes.
    """

    def __init__(self, random: Random, capacity_bytes: int | None = None) -> None:
        self._random = random
        self._seen: dict[str, _Inode] = {}
        self._durable: dict[str, _Inode] = {}
        # Changes of names since the last sync_directory: (name gone or "", name new or "", inode).
        # A rename is one change.
        self._pending: list[tuple[str, str, _Inode]] = []
        self.capacity_bytes = capacity_bytes
        self.fail_syncs = -1
        self.fail_writes = -1
        self.life = 0
        self.syncs = 0

    # --- Disk -------------------------------------------------------------------------------------

    def names(self) -> list[str]:
        return sorted(self._seen)

    def size(self, name: str) -> int:
        return len(self._inode(name).data)

    def create(self, name: str, ahead_bytes: int = 0) -> File:
        if name in self._seen:
            raise FileExistsError(errno.EEXIST, "file exists", name)
        self.admit_write(name, 0)
        inode = _Inode()
        self._seen[name] = inode
        self._pending.append(("", name, inode))
        return MemoryFile(self, name, inode)

    def open(self, name: str, ahead_bytes: int = 0) -> File:
        return MemoryFile(self, name, self._inode(name))

    def read(self, name: str, offset: int, size: int) -> bytes:
        return bytes(self._inode(name).data[offset : offset + size])

    def truncate(self, name: str, size: int) -> None:
        self.admit_sync(name)
        self._inode(name).truncate(size)

    def rename(self, old: str, new: str) -> None:
        inode = self._inode(old)
        del self._seen[old]
        self._seen[new] = inode
        self._pending.append((old, new, inode))

    def remove(self, name: str) -> None:
        inode = self._inode(name)
        del self._seen[name]
        self._pending.append((name, "", inode))

    def sync_directory(self) -> None:
        self.admit_sync("")
        self._durable = dict(self._seen)
        self._pending.clear()

    def free_bytes(self) -> int:
        if self.capacity_bytes is None:
            return 2**40
        return max(0, self.capacity_bytes - sum(len(inode.data) for inode in self._seen.values()))

    # --- faults -----------------------------------------------------------------------------------

    def admit_write(self, name: str, size: int) -> int:
        """Count a write of ``size`` bytes; how many fit. OSError when this one is to fail."""
        if self.fail_writes == 0:
            raise OSError(errno.EIO, "simulated write error", name)
        self.fail_writes = max(-1, self.fail_writes - 1)
        return min(size, self.free_bytes()) if self.capacity_bytes is not None else size

    def admit_sync(self, name: str) -> None:
        """Count a sync; OSError when this one is to fail."""
        if self.fail_syncs == 0:
            raise OSError(errno.EIO, "simulated sync error", name)
        self.fail_syncs = max(-1, self.fail_syncs - 1)
        self.syncs += 1

    def crash(self) -> None:
        """Power goes: only what reached the platter is left, open files are dead."""
        self.life += 1
        names = dict(self._durable)
        for old, new, inode in self._pending[: self._random.randrange(len(self._pending) + 1)]:
            if old:
                names.pop(old, None)
            if new:
                names[new] = inode
        for inode in {id(inode): inode for inode in names.values()}.values():
            inode.crash(self._random)
        self._seen = dict(names)
        self._durable = names
        self._pending.clear()
        self.fail_syncs = self.fail_writes = -1

    def kill(self) -> None:
        """The process ends, the machine does not: every written byte is still there, open files are
        dead.
        """
        self.life += 1

    def flip_bit(self, name: str, offset: int, bit: int = 0) -> None:
        """Damage a file, on the platter and in sight."""
        inode = self._inode(name)
        inode.data[offset] ^= 1 << bit
        if offset < len(inode.durable):
            inode.durable[offset] ^= 1 << bit

    def _inode(self, name: str) -> _Inode:
        inode = self._seen.get(name)
        if inode is None:
            raise FileNotFoundError(errno.ENOENT, "no such file", name)
        return inode
