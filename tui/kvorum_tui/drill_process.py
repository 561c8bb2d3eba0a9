"""The drill that runs beside the terminal: its process, what it tells, and its end.

The process is a session of its own and stops by itself when its input ends, so a terminal that is
killed leaves neither a fault nor a cluster behind.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

LINE_BYTES_MAX = 1 << 24  # A verdict tells violations in full; a timeline's line is 200 bytes.
STOP_S = 40.0  # Lifting faults, and three members that each take their ten seconds to end.
COMPLAINTS_KEPT = 12  # Lines: enough for the end of a traceback.

Take = Callable[[Mapping[str, Any]], None]


class Process(Protocol):
    """A drill that runs. Tests have one that only repeats what it is told."""

    async def run(self) -> None:
        """Until the drill has ended; everything it tells was handed on by then."""

    def stop(self) -> None:
        """Ask it to lift everything and end."""

    async def end(self) -> None:
        """Stop it and wait."""


class DrillProcess:
    """A :class:`Process`: ``kvorum_tui.drill_worker`` with a request. ``take`` gets each line."""

    def __init__(self, request: Mapping[str, Any], take: Take) -> None:
        self._request = request
        self._take = take
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False
        self._over = asyncio.Event()

    async def run(self) -> None:
        """Start, hand on line by line, and see to it that there is a last word."""
        try:
            self._process = process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "kvorum_tui.drill_worker",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
                limit=LINE_BYTES_MAX,
            )
            assert process.stdin is not None
            process.stdin.write(json.dumps(self._request).encode() + b"\n")
            if self._stopping:
                process.stdin.write_eof()
            complaints: deque[str] = deque(maxlen=COMPLAINTS_KEPT)
            last, _ = await asyncio.gather(self._listen(process), _keep(process, complaints))
            status = await process.wait()
            if last not in ("verdict", "stopped", "error"):
                said = "\n".join(complaints) or f"exit status {status}"
                self._take({"t": "error", "text": f"the drill's process ended: {said}"})
        finally:
            self._over.set()

    async def _listen(self, process: asyncio.subprocess.Process) -> str:
        assert process.stdout is not None
        last = ""
        async for line in process.stdout:
            told = json.loads(line)
            last = told["t"]
            self._take(told)
        return last

    def stop(self) -> None:
        """The end of its input is the word to stop."""
        self._stopping = True
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    async def end(self) -> None:
        """Stop it and wait; a process that hangs is told by a signal, and ended at last."""
        self.stop()
        process = self._process
        if process is None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                async with asyncio.timeout(STOP_S):
                    await process.wait()
                return
            except TimeoutError:
                process.send_signal(number)
        await process.wait()


async def _keep(process: asyncio.subprocess.Process, complaints: deque[str]) -> None:
    assert process.stderr is not None
    async for line in process.stderr:
        complaints.append(line.decode("utf-8", "replace").rstrip())
