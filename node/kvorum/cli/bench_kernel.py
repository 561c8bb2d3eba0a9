"""What processes have used, as the kernel counts it: processor, memory, bytes sent to the disk.

For ``kvorum bench`` and the benches of the repository. Linux only: everything is read from
``/proc`` and from the clocks that POSIX gives each process.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

_CHILD_TICK_NS = 10_000_000  # Ended children are counted in ticks of 10 ms.
_SECTOR_BYTES = 512  # The kernel's, whatever the disk's are.


class Memory(NamedTuple):
    """Of one process, in MB (10^6 bytes): all that is resident, and its two parts."""

    resident_mb: float
    own_mb: float
    files_mb: float


def _after_name(pid: int) -> list[str]:
    """The fields of /proc/PID/stat behind the name, which may hold anything: state, parent, ..."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def family(pid: int) -> list[int]:
    """A process and all that it has started and that still run."""
    parents: dict[int, int] = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                parents[int(path.name)] = int(_after_name(int(path.name))[1])
            except OSError:
                continue  # It has just ended.
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def cpu_ns(pids: Iterable[int]) -> int:
    """Processor time, user and system, that processes have used so far: all threads, ended ones
    too, and all children.
    """
    total = 0
    for pid in pids:
        for one in family(pid):
            # A process's own clock: its number, inverted, above the bits that say "of the
            # scheduler". Exact to the nanosecond, unlike the ticks of /proc/PID/stat.
            total += time.clock_gettime_ns((~one << 3) | 2)
        words = _after_name(pid)
        total += (int(words[13]) + int(words[14])) * _CHILD_TICK_NS
    return total


def memory(pid: int) -> Memory:
    """Of one process, without children."""
    found: dict[str, float] = {}
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in ("VmRSS", "RssAnon", "RssFile"):
            found[name] = int(value.split()[0]) * 1024 / 1e6
    return Memory(found["VmRSS"], found["RssAnon"], found["RssFile"])


def written_bytes(place: Path) -> int:
    """Bytes that the disk below a directory has been sent since the system's start, by whomever; 0
    where the system does not say.

    What ``/proc/PID/io`` says of a process is no measure: it counts each time a whole block of the
    cache becomes dirty, which is a megabyte at a time for a file that was written ahead, however
    little of it then goes to the disk.
    """
    device = place.stat().st_dev
    try:
        words = (
            Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat").read_text().split()
        )
    except OSError:
        return 0
    return int(words[6]) * _SECTOR_BYTES
