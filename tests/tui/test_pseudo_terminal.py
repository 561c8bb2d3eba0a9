"""``kvorum tui`` in a real pseudo-terminal: it starts, paints, takes keys and leaves cleanly."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pyte
import pytest
from support.clusters import ClusterHandle

PATIENCE_S = 30.0


class Terminal:
    """A program in a pseudo-terminal, and what its screen shows."""

    def __init__(self, columns: int, rows: int, master: int, pid: int) -> None:
        self.screen = pyte.Screen(columns, rows)
        self.stream = pyte.ByteStream(self.screen)
        self.master = master
        self.pid = pid
        self.raw = b""

    def read(self, until: Callable[[str], bool]) -> str:
        """Feed the screen until its text is as wanted."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            if select.select([self.master], [], [], 0.1)[0]:
                try:
                    data = os.read(self.master, 65_536)
                except OSError:
                    break  # The program has left.
                self.raw += data
                self.stream.feed(data)
            text = "\n".join(self.screen.display)
            if until(text):
                return text
        raise AssertionError("never came:\n" + "\n".join(self.screen.display))

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
    pid, master = pty.fork()
    if pid == 0:
        os.environ.update({"TERM": "xterm-256color", "LANG": "C.UTF-8", **environment})
        os.execv(sys.executable, [sys.executable, "-m", "kvorum", *arguments])
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
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


@pytest.mark.slow
def test_it_starts_works_and_leaves(kvorum_cluster: Callable[..., ClusterHandle]) -> None:
    cluster = kvorum_cluster(1)
    with terminal("tui", "--endpoints", ",".join(cluster.endpoints), "--title", "pty") as shown:
        shown.read(lambda text: "kvorum pty" in text and "1/1 up" in text)
        shown.read(lambda text: "the store holds no key" in text)
        shown.press(b"3")
        shown.read(lambda text: "[3 Cluster]" in text and "L leader" in text)
        shown.press(b"?")
        shown.read(lambda text: "In Cluster" in text)
        shown.press(b"\x1b")
        shown.read(lambda text: "In Cluster" not in text and "Raft logs" in text)
        shown.press(b"\x11")
        assert shown.status() == 0


@pytest.mark.slow
def test_no_color_is_obeyed() -> None:
    with terminal("tui", "--endpoints", "http://127.0.0.1:1", NO_COLOR="1") as shown:
        shown.read(lambda text: "NO QUORUM" in text)
        colours = {cell.fg for line in shown.screen.buffer.values() for cell in line.values()} - {
            "default"
        }
        assert all(is_grey(colour) for colour in colours), colours


def is_grey(colour: str) -> bool:
    """Whether a colour as pyte names it has no hue."""
    if colour in ("black", "white", "brightblack", "brightwhite"):
        return True
    return len(colour) == 6 and len({colour[0:2], colour[2:4], colour[4:6]}) == 1


@pytest.mark.slow
def test_plain_kvorum_offers_a_demo_or_a_connection() -> None:
    with terminal(columns=80, rows=24, KVORUM_ENDPOINTS="http://127.0.0.1:1") as shown:
        shown.read(
            lambda text: (
                "Demo: three nodes" in text
                and "Or connect to a cluster" in text
                and "nothing answers at 127.0.0.1:1 now" in text
            )
        )
        shown.press(b"\x1b")
        assert shown.status() == 0
