"""One process: started with its own log, known by pid *and* start time, stopped in bounded time.

A pid alone is no identity: after a supervisor was killed, the number in its pid file may belong
to somebody else. With the start time (and, on Linux, the boot) beside it the pair is unique, so
a signal never hits a stranger.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from kvorum import limits
from kvorum.cluster.leash import Leash

# What a node has to say when it ends fits in here, also etcd's farewell to each of its peers.
LOG_END_BYTES = 65_536
# Between two looks at a condition: well below what a person notices, cheap enough for nine nodes.
POLL_S = 0.02


@dataclass(frozen=True)
class Identity:
    """A process that cannot be confused with another: its pid, when it started, and in which
    boot.
    """

    pid: int
    started: str
    boot: str
    argv: tuple[str, ...]

    def dumps(self) -> str:
        """As the text of a pid file."""
        return json.dumps(asdict(self)) + "\n"

    @classmethod
    def loads(cls, text: str) -> Identity | None:
        """From the text of a pid file; None when it is not one (torn by a crash, or foreign)."""
        try:
            fields = json.loads(text)
            return cls(
                int(fields["pid"]),
                str(fields["started"]),
                str(fields["boot"]),
                tuple(str(a) for a in fields["argv"]),
            )
        except (ValueError, TypeError, KeyError):
            return None

    def alive(self) -> bool:
        """Whether exactly this process still runs (a zombie does not)."""
        return self.boot == boot_id() and start_time(self.pid) == self.started


def boot_id() -> str:
    """A name of this boot of the machine, or an empty string where the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def start_time(pid: int) -> str | None:
    """When process ``pid`` started, in the system's own terms; None when there is none (or only
    a zombie).
    """
    fields = _proc_stat(pid)
    if fields is not None:
        return None if fields[0] in ("Z", "X") else fields[19]
    if Path("/proc/self/stat").exists():
        return None
    done = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    state, _, started = done.stdout.strip().partition(" ")
    return started.strip() if started and not state.startswith("Z") else None


def is_stopped(pid: int) -> bool:
    """Whether process ``pid`` is stopped by a signal (SIGSTOP)."""
    fields = _proc_stat(pid)
    if fields is not None:
        return fields[0] in ("T", "t")
    done = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return done.stdout.strip().startswith("T")


def _proc_stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat behind the program's name (which may hold spaces and
    brackets).
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()


class Process:
    """A running (or dead) process that this supervisor started, or one that an earlier one left
    behind.
    """

    def __init__(self, identity: Identity, child: subprocess.Popen[bytes] | None) -> None:
        self.identity = identity
        self._child = child

    @classmethod
    def start(
        cls,
        argv: Sequence[str],
        env: Mapping[str, str],
        log: Path,
        leash: Leash | None = None,
    ) -> Process:
        """Start ``argv`` with its output appended to ``log``, in a session of its own; on a leash
        it ends with this process at the latest.

        The session keeps a Ctrl-C in the supervisor's terminal away from the nodes: the
        supervisor stops them in order. Raises OSError when the program cannot be started.
        """
        with log.open("ab") as output:
            child = subprocess.Popen(
                list(argv) if leash is None else leash.argv(argv),
                pass_fds=() if leash is None else (leash.fd,),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(env),
                start_new_session=True,
            )
        return cls(
            Identity(child.pid, start_time(child.pid) or "gone", boot_id(), tuple(argv)), child
        )

    @classmethod
    def adopt(cls, identity: Identity) -> Process | None:
        """The process of a pid file, if exactly it still runs."""
        return cls(identity, None) if identity.alive() else None

    @property
    def pid(self) -> int:
        """The process id."""
        return self.identity.pid

    @property
    def adopted(self) -> bool:
        """Whether an earlier supervisor started it (then its exit status cannot be known)."""
        return self._child is None

    def alive(self) -> bool:
        """Whether it runs (a paused process does)."""
        if self._child is not None:
            return self._child.poll() is None
        return self.identity.alive()

    def paused(self) -> bool:
        """Whether it is stopped by SIGSTOP."""
        return self.alive() and is_stopped(self.pid)

    def ending(self) -> str:
        """How it ended, in words."""
        code = None if self._child is None else self._child.poll()
        if code is None:
            return "is running" if self.alive() else "ended (status unknown)"
        if code < 0:
            return f"was ended by {signal.Signals(-code).name}"
        return f"exited with status {code}"

    def send(self, number: signal.Signals) -> bool:
        """Send a signal; False when the process is no more."""
        if not self.alive():
            return False
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        return True

    def wait(self, timeout_s: float, cut_short: Callable[[], bool] = lambda: False) -> bool:
        """Wait until it is gone; False when ``timeout_s`` passed or ``cut_short`` said so first."""
        deadline = time.monotonic() + timeout_s
        while self.alive():
            if time.monotonic() >= deadline or cut_short():
                return False
            time.sleep(POLL_S)
        return True

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone (the kernel may need a moment to take its memory
        back).
        """
        self.send(signal.SIGKILL)
        self.wait(limits.NODE_KILL_WAIT_S)


def rotate_log(log: Path) -> None:
    """Before a start: move a log that has grown past its bound aside, replacing the one set
    aside earlier.
    """
    if log.exists() and log.stat().st_size > limits.NODE_LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))


def log_says(log: Path, words: str, since: int) -> bool:
    """Whether these words stand in a log behind an offset; only its end is looked at."""
    try:
        with log.open("rb") as source:
            end = source.seek(0, os.SEEK_END)
            source.seek(max(since if since <= end else 0, end - LOG_END_BYTES))
            return words.encode() in source.read()
    except OSError:
        return False


def log_tail(log: Path, lines: int = 12) -> list[str]:
    """The last lines of a log, for a message about a node that did not start."""
    try:
        with log.open("rb") as source:
            source.seek(0, os.SEEK_END)
            source.seek(max(0, source.tell() - 16_384))
            text = source.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    return text.splitlines()[-lines:]
