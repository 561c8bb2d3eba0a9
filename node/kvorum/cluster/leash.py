"""Processes that end with whoever started them, however that one ends.

A supervisor that is killed cannot stop its nodes. What runs for good (``kvorum up``) is adopted by
the next start; what belongs to one command alone, as a drill's cluster does, must not outlive it.
So each of its processes gets a guard, and all guards hold the reading end of one pipe whose writing
end only the supervisor holds. The system closes that end whatever became of the supervisor, kill -9
included; the guards read the end of the file and end their processes: SIGCONT and SIGTERM, and
SIGKILL for what is left after a while.

Nothing here depends on who is faster. A node's process begins as this file, run as a script: it
makes the guard its child, and only then becomes the node (``exec``), under the same pid. A guard
knows that its node is no more when it is the child of another process; so it never signals a
stranger that got the same number. Works wherever there are pipes and signals, and needs nothing but
the standard library: scripts start without site-packages, in some hundredths of a second.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Sequence

# Between two looks whether the node has ended: a guard without a node is of no use to anybody.
_LOOK_S = 0.5
# For a node to end in order once its supervisor is gone; real etcd as a leader takes seven seconds.
_ORDER_S = 8.0


class Leash:
    """The pipe of one supervisor. Closing it, or the end of this process, ends everything on it."""

    def __init__(self) -> None:
        self._held, self._let_go = os.pipe()

    @property
    def fd(self) -> int:
        """What a process on the leash must inherit."""
        return self._held

    def argv(self, argv: Sequence[str]) -> list[str]:
        """The command line that becomes ``argv`` on the leash."""
        return [sys.executable, "-I", "-S", __file__, "start", str(self._held), *argv]

    def close(self) -> None:
        """Let go: whatever is still on the leash ends. Safe to call twice."""
        for fd in (self._held, self._let_go):
            if fd >= 0:
                os.close(fd)
        self._held = self._let_go = -1


def start(fd: int, argv: Sequence[str]) -> None:
    """In the new process: leave a guard behind as a child, and become ``argv``. Raises OSError."""
    node = os.getpid()
    if os.fork() == 0:
        os.execv(
            sys.executable, [sys.executable, "-I", "-S", __file__, "guard", str(fd), str(node)]
        )
    os.close(fd)
    # What Python ignores, a program that is started expects at its default.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    os.execvp(argv[0], list(argv))


def guard(fd: int, node: int) -> None:
    """Wait until the other end of the pipe is closed or the node has ended; then see to it that the
    node has.
    """
    # The node's log is not the guard's to keep open.
    silence = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(silence, number)
    poller = select.poll()
    poller.register(fd, select.POLLIN | select.POLLHUP)
    while os.getppid() == node:
        if poller.poll(int(_LOOK_S * 1000)):
            _end(node)
            return


def _end(node: int) -> None:
    """End the node while it is still this process's parent."""
    deadline = time.monotonic() + _ORDER_S
    numbers = [signal.SIGTERM, signal.SIGCONT]
    while os.getppid() == node:
        try:
            for number in numbers:
                os.kill(node, number)
        except ProcessLookupError:
            return
        # A stopped process takes its signals when it goes on: it may be stopped again meanwhile.
        numbers = [signal.SIGCONT] if time.monotonic() < deadline else [signal.SIGKILL]
        time.sleep(_LOOK_S / 10)


def main(words: Sequence[str]) -> None:
    """``start FD ARGV...`` or ``guard FD PID``."""
    if words[0] == "start":
        try:
            start(int(words[1]), words[2:])
        except OSError as error:
            print(f"{words[2]}: cannot be started: {error.strerror}", flush=True)
            os._exit(127)
    guard(int(words[1]), int(words[2]))


if __name__ == "__main__":
    main(sys.argv[1:])
