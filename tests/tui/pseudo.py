"""A program in a real pseudo-terminal, its screen kept by pyte."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pyte

# Machines of CI may have worse minutes than ours.
PATIENCE_S = 60.0 if os.environ.get("KVORUM_CI") == "1" else 30.0
TAKE_BYTES = 1 << 20
BEGIN_PICTURE, END_PICTURE = b"\x1b[?2026h", b"\x1b[?2026l"
ASKS_SYNCHRONIZED, HAS_SYNCHRONIZED = b"\x1b[?2026$p", b"\x1b[?2026;2$y"


class Terminal:
    """A program in a pseudo-terminal, and what its screen shows."""

    def __init__(self, columns: int, rows: int, master: int, pid: int) -> None:
        self.screen = pyte.Screen(columns, rows)
        self.stream = pyte.ByteStream(self.screen)
        self.master = master
        self.pid = pid
        self._tail = b""
        self._painting = False

    def read(self, until: Callable[[str], bool]) -> str:
        """Feed the screen until its text is as wanted."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            if not self._take():
                break
            if self._painting:
                continue
            text = "\n".join(self.screen.display)
            if until(text):
                return text
        raise AssertionError("never came:\n" + "\n".join(self.screen.display))

    def _take(self) -> bool:
        """Take all that the program has written, so that what is looked at is the newest; False
        once it has left.

        Asked for synchronized output, say that there is such a thing: then a picture is never
        looked at while it is painted.
        """
        data, wait_s = b"", 0.1
        while len(data) < TAKE_BYTES and select.select([self.master], [], [], wait_s)[0]:
            try:
                data += os.read(self.master, 65_536)
            except OSError:
                if not data:
                    return False
                break  # It has left; what it wrote before counts.
            wait_s = 0.0
        self.stream.feed(data)
        if ASKS_SYNCHRONIZED in data:
            self.press(HAS_SYNCHRONIZED)
        recent = self._tail + data
        begun, done = (recent.rfind(mark) for mark in (BEGIN_PICTURE, END_PICTURE))
        if max(begun, done) >= 0:
            self._painting = begun > done
        self._tail = recent[-len(BEGIN_PICTURE) + 1 :]
        return True

    def find(self, pattern: str) -> re.Match[str]:
        """Wait until a pattern is on the screen; ``^`` and ``$`` are the ends of a row."""
        found: list[re.Match[str]] = []

        def look(text: str) -> bool:
            match = re.search(pattern, text, re.MULTILINE)
            if match:
                found.append(match)
            return bool(match)

        try:
            self.read(look)
        except AssertionError as error:
            raise AssertionError(f"{pattern!r} {error}") from None
        return found[0]

    def gone(self, text: str) -> None:
        """Wait until a text is no longer on the screen."""
        self.read(lambda shown: text not in shown)

    def press(self, keys: bytes) -> None:
        """Type."""
        os.write(self.master, keys)

    def status(self) -> int:
        """Wait for the end; the exit status."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            if select.select([self.master], [], [], 0.05)[0]:
                try:
                    os.read(self.master, 65_536)
                except OSError:
                    pass  # Nobody writes any more.
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
        raise AssertionError("it does not end")


@contextmanager
def terminal(
    *arguments: str, columns: int = 100, rows: int = 30, **environment: str
) -> Iterator[Terminal]:
    """Run ``kvorum`` with these arguments in a terminal of this size."""
    size = struct.pack("HHHH", rows, columns, 0, 0)
    pid, master = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, size)
        given = os.environ | {"TERM": "xterm-256color", "LANG": "C.UTF-8", **environment}
        # As os.environ knows it: readline, once imported, puts sizes of its own into the real one.
        for name in ("COLUMNS", "LINES"):
            given.pop(name, None)
        os.execve(sys.executable, [sys.executable, "-m", "kvorum", *arguments], given)
    opened = Terminal(columns, rows, master, pid)
    try:
        yield opened
    finally:
        try:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass  # It has left by itself, as it should.
        os.close(master)
