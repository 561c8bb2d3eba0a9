"""How long things take to start, beside the least that Python and Textual take:
``python tests/bench/start.py``.

Seconds of the processor (user and system) and of the clock until a command has ended, or until a
terminal has painted its first frame in a pseudo-terminal; the medians of rounds that take turns.
"""

from __future__ import annotations

import os
import pty
import resource
import select
import statistics
import subprocess
import sys
import time

ROUNDS = 7
PATIENCE_S = 30.0
NOBODY = "127.0.0.1:1"  # Refuses at once, so that only the start is measured.
BARE = """
from textual.app import App
from textual.widgets import Static
class Bare(App):
    def compose(self):
        yield Static("painted")
Bare().run()
"""

COMMANDS: dict[str, list[str]] = {
    "python, nothing else": ["-c", "pass"],
    "kvorum --version": ["-m", "kvorum", "--version"],
    "kvorum get, no member there": ["-m", "kvorum", "get", "k", "--endpoints", NOBODY],
}
TERMINALS: dict[str, tuple[list[str], bytes]] = {
    "Textual with one line": (["-c", BARE], b"painted"),
    "kvorum tui": (["-m", "kvorum", "tui", "--endpoints", NOBODY], b"Admin"),
}


def children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def command(arguments: list[str]) -> tuple[float, float]:
    """Processor and clock until it has ended."""
    before, began = children_s(), time.monotonic()
    subprocess.run([sys.executable, *arguments], capture_output=True, check=False)
    return children_s() - before, time.monotonic() - began


def terminal(arguments: list[str], painted: bytes) -> tuple[float, float]:
    """Processor and clock until ``painted`` was written to the terminal."""
    before, began = children_s(), time.monotonic()
    pid, screen = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm-256color"
        os.execv(sys.executable, [sys.executable, *arguments])
    seen = b""
    while painted not in seen:
        ready, _, _ = select.select([screen], [], [], PATIENCE_S)
        if not ready:
            raise SystemExit(f"{arguments} painted nothing: {seen[-400:]!r}")
        seen += os.read(screen, 65_536)
    clock = time.monotonic() - began
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    os.close(screen)
    return children_s() - before, clock


def main() -> None:
    """All, in turns."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in (*COMMANDS, *TERMINALS)}
    for _ in range(ROUNDS):
        for name, arguments in COMMANDS.items():
            taken[name].append(command(arguments))
        for name, (arguments, painted) in TERMINALS.items():
            taken[name].append(terminal(arguments, painted))
    print(f"{'':<30}{'processor s':>12}{'clock s':>10}")
    for name, rounds in taken.items():
        processor = statistics.median(each[0] for each in rounds)
        clock = statistics.median(each[1] for each in rounds)
        print(f"{name:<30}{processor:>12.3f}{clock:>10.3f}")


if __name__ == "__main__":
    main()
