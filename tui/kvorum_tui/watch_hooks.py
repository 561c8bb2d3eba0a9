"""What a watch pane does when an event passes its filter: the bell, a note, a command.

A command is a list of words, run without a shell, with the event as one line of JSON on its
standard input. At most :data:`AT_ONCE` run at a time and :data:`WAITING` wait; the rate is
bounded; what comes beyond is counted, never run late in a heap. What a command prints and how it
ends is told to whoever asked for it.
"""

from __future__ import annotations

import asyncio
import shlex
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kvorum_tui.model.records import KeyEvent
from kvorum_tui.model.watch_buffer import Entry, event_of
from kvorum_tui.model.watch_lines import event_line

AT_ONCE = 4  # Commands running, of all panes of a cluster.
WAITING = 100  # Events waiting for one to end.
PER_SECOND = 10
TIMEOUT_S = 30.0
OUTPUT_BYTES = 2_000  # Of what a command prints, this much is kept.
NOTE_EVERY_S = 1.0  # Bell and note: not more often than this.

# What a command is told of what came of it: its words, and what it printed or how it failed.
Told = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Hook:
    """What to do. ``command`` empty: none."""

    bell: bool = False
    toast: bool = False
    command: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self.bell or self.toast or bool(self.command)

    @property
    def words(self) -> str:
        """In words, for the pane's frame."""
        parts = ["bell"] * self.bell + ["note"] * self.toast
        if self.command:
            parts.append(f"runs {self.command[0]}")
        return "+".join(parts)


def command_words(text: str) -> tuple[str, ...]:
    """A command line as words. Raises ValueError for an open quote."""
    return tuple(shlex.split(text))


class Commands:
    """Runs the commands of a cluster's hooks, as long as ``allowed`` says so (a cluster that is
    looked at read-only runs none).
    """

    def __init__(
        self,
        told: Told,
        allowed: Callable[[], bool],
        per_second: int = PER_SECOND,
        at_once: int = AT_ONCE,
    ) -> None:
        self.told = told
        self.allowed = allowed
        self.per_second = per_second
        self.at_once = at_once
        self.ran = 0
        self.skipped = 0
        self.failed = 0
        self._waiting: deque[tuple[tuple[str, ...], bytes]] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._second = -1
        self._in_second = 0

    @property
    def running(self) -> int:
        """Commands that run now."""
        return len(self._running)

    def add(self, command: tuple[str, ...], event: KeyEvent) -> bool:
        """Run a command for an event soon; False when a bound forbids it."""
        if not self.allowed():
            self.skipped += 1
            return False
        second = int(asyncio.get_running_loop().time())
        if second != self._second:
            self._second, self._in_second = second, 0
        if self._in_second >= self.per_second or len(self._waiting) >= WAITING:
            self.skipped += 1
            return False
        self._in_second += 1
        self._waiting.append((command, event_line(event).encode() + b"\n"))
        self._fill()
        return True

    def _fill(self) -> None:
        while self._waiting and len(self._running) < self.at_once:
            task = asyncio.create_task(self._run(*self._waiting.popleft()))
            self._running.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._fill()

    async def _run(self, command: tuple[str, ...], line: bytes) -> None:
        name = shlex.join(command)
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
        except OSError as error:
            self.failed += 1
            self.told(name, f"did not start: {error}")
            return
        try:
            async with asyncio.timeout(TIMEOUT_S):
                out, _ = await process.communicate(line)
        except TimeoutError:
            self.failed += 1
            self.told(name, f"ran longer than {TIMEOUT_S:.0f} s and was ended")
            return
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        self.ran += 1
        text = out[:OUTPUT_BYTES].decode(errors="backslashreplace").strip()
        if process.returncode:
            self.failed += 1
            self.told(name, f"exit code {process.returncode}" + (f": {text}" if text else ""))
        elif text:
            self.told(name, text)

    async def close(self) -> None:
        """End what runs; nothing waits any more."""
        self._waiting.clear()
        tasks = list(self._running)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class HookRunner:
    """One pane's hook: hears events, and acts on those that pass its filter."""

    def __init__(
        self,
        commands: Commands,
        bell: Callable[[], object],
        note: Callable[[str], object],
        clock: Callable[[], float],
    ) -> None:
        self.hook = Hook()
        self.matched = 0
        self._commands = commands
        self._bell = bell
        self._note = note
        self._clock = clock
        self._noted_at = -NOTE_EVERY_S
        self._unnoted = 0

    def hear(self, entries: Sequence[Entry], shows: Callable[[KeyEvent], bool]) -> None:
        """Some events came."""
        if not self.hook:
            return
        for entry in entries:
            event = event_of(entry)
            if event is None or not shows(event):
                continue
            self.matched += 1
            self._unnoted += 1
            if self.hook.command:
                self._commands.add(self.hook.command, event)
            now = self._clock()
            if now - self._noted_at >= NOTE_EVERY_S:
                self._noted_at = now
                if self.hook.bell:
                    self._bell()
                if self.hook.toast:
                    self._note(note_text(event, self._unnoted))
                self._unnoted = 0


def note_text(event: KeyEvent, count: int) -> str:
    """A note about an event, and how many came with it."""
    from kvorum_tui.model.decode import one_line

    what = "deleted" if event.kind == "delete" else one_line(event.value, 60)
    more = f" (and {count - 1:,} more)" if count > 1 else ""
    return f"{one_line(event.key, 60)}: {what}{more}"
