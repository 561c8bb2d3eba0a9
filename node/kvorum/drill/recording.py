"""Reads the recording of a run, whole or as far as a killed runner came.

A last line without an end may be torn: it is left out, and that is said. Requests that were under
way when the runner was killed are added as operations of unknown fate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from kvorum.check import records as r
from kvorum.check.lines import LineError, decode_line, read_history

HISTORY_FILE, CALLS_FILE = "history.ndjson", "calls.ndjson"
_STRIDE = 512

Progress = Callable[[int, int], None]


def _silent(done: int, total: int) -> None:
    """Progress that nobody looks at."""


def read_recording(path: Path, notes: list[str], progress: Progress = _silent) -> r.History:
    """The recording in a run folder, or in a history file.

    Args:
        notes: gets a sentence for each thing that is missing. progress: told bytes read, and all.

    Raises:
        LineError, UnicodeDecodeError: a line is wrong. OSError.
    """
    file = path / HISTORY_FILE if path.is_dir() else path
    history = read_history(_lines(file, notes, progress))
    calls = file.with_name(CALLS_FILE)
    if calls.exists():
        known = {operation.id for operation in history.operations}
        under_way = [call for call in _calls(calls) if call.id not in known]
        history.operations += under_way
        notes.append(
            f"the run was broken off: judged is what was recorded until then, and"
            f" {len(under_way)} requests that were under way count as unknown"
        )
    return history


def _lines(path: Path, notes: list[str], progress: Progress) -> Iterator[str]:
    total, done = max(path.stat().st_size, 1), 0
    with path.open("rb") as file:
        for number, line in enumerate(file):
            done += len(line)
            if not number % _STRIDE:
                progress(done, total)
            if number and not line.endswith(b"\n") and _is_torn(line, number + 1):
                notes.append(f"cut off: {len(line)} bytes of line {number + 1} are left out")
                return
            yield line.decode()


def _is_torn(line: bytes, number: int) -> bool:
    """Whether a last line without an end is not whole. Writers end every line; people may not."""
    try:
        decode_line(line.decode(), number)
    except (LineError, UnicodeDecodeError):
        return True
    return False


def _calls(path: Path) -> Iterator[r.Operation]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.endswith(b"\n"):
                made = decode_line(line.decode(), number)
                if isinstance(made, r.Operation):
                    yield made
