"""What the figures were measured on, in words."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

_SYNCS = 200


def described(directory: Path) -> dict[str, str]:
    """Processor, memory, disk, programs."""
    found = {
        "processor": f"{len(os.sched_getaffinity(0))} x {_processor()}",
        "memory": f"{_memory_gb():.0f} GB",
        "system": f"{platform.system()} {platform.release()}",
        "disk": f"fdatasync of 4 KiB: {fdatasync_us(directory):,.0f} us (median of {_SYNCS})",
        "etcd": _said(["etcd", "--version"], r"etcd Version: (\S+)"),
        "client": "h2load, " + _said(["h2load", "--version"], r"(nghttp2/\S+)"),
        "python": platform.python_version(),
    }
    for name in ("grpclib", "h2", "uvloop", "duckdb"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def load() -> str:
    """How busy the machine is, from others too."""
    return f"{os.getloadavg()[0]:.1f}"


def fdatasync_us(directory: Path) -> float:
    """What a small write to the disk takes here."""
    path = directory / f"fdatasync-{os.getpid()}"
    took = []
    with path.open("wb") as out:
        out.write(bytes(4_096 * (_SYNCS + 1)))
        out.flush()
        os.fsync(out.fileno())
        for number in range(_SYNCS):
            os.pwrite(out.fileno(), b"x" * 4_096, 4_096 * number)
            began = time.perf_counter()
            os.fdatasync(out.fileno())
            took.append((time.perf_counter() - began) * 1e6)
    path.unlink()
    return median(took)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def _said(command: list[str], pattern: str) -> str:
    try:
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "not installed"
    found = re.search(pattern, out)
    return found[1] if found else out.strip()[:40]
