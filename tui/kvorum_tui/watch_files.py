"""What watch panes keep in files: layouts by cluster, and events as JSON Lines, at once or as they
come, in a file that is rotated.

Layouts are in ``watch`` below the user's state folder, a file a cluster.
"""

from __future__ import annotations

import hashlib
import os
import queue
import re
import threading
from collections.abc import Sequence
from pathlib import Path

import platformdirs
from kvorum.files import replace_file

from kvorum_tui.model.watch_buffer import Entry, Gap
from kvorum_tui.model.watch_layout import Layout, layout_of, layout_text
from kvorum_tui.model.watch_lines import event_line

ROTATE_BYTES = 64 * 1024 * 1024  # A file being written to is moved aside at this length, ...
ROTATE_FILES = 4  # ... and so many of them are kept.
QUEUE_SLICES = 2_000  # Slices of up to 500 events that wait for the disk.
_PLAIN = re.compile(r"[\w.-]{1,60}")


def layout_path(cluster: str) -> Path:
    """The file of a cluster's layout; ``cluster`` is its id or title."""
    name = cluster if _PLAIN.fullmatch(cluster) else hashlib.sha256(cluster.encode()).hexdigest()
    return platformdirs.user_state_path("kvorum") / "watch" / f"{name[:60]}.json"


def load_layout(cluster: str) -> Layout | None:
    """A cluster's layout, if one is kept. Raises ValueError and OSError."""
    path = layout_path(cluster)
    if not path.exists():
        return None
    return layout_of(path.read_text("utf-8"))


def save_layout(cluster: str, layout: Layout) -> Path:
    """Keep a layout. Raises OSError."""
    path = layout_path(cluster)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, layout_text(layout))
    return path


def write_events(path: Path, entries: Sequence[Entry]) -> int:
    """Write rows to a file that must not be there yet; returns how many bytes. Raises OSError."""
    size = 0
    with open(path, "x", encoding="utf-8", newline="\n") as file:
        for entry in entries:
            size += file.write(event_line(entry) + "\n")
    return size


class EventFile:
    """Writes events as they come, from a thread of its own. When the disk is slower than the
    events, what finds no room in the queue is counted and stands in the file as a gap.

    The file is moved to ``NAME.1`` (an older one to ``NAME.2``, ...) when it reaches its bound.
    Raises OSError when it cannot be opened.
    """

    def __init__(
        self, path: Path, rotate_bytes: int = ROTATE_BYTES, rotate_files: int = ROTATE_FILES
    ) -> None:
        self.path = path
        self.rotate_bytes = rotate_bytes
        self.rotate_files = rotate_files
        self.events = 0
        self.bytes = 0
        self.unsaved = 0
        self.error = ""
        self._lost = 0
        self._queue: queue.Queue[Sequence[Entry] | None] = queue.Queue(QUEUE_SLICES)
        self._file = open(path, "a", encoding="utf-8", newline="\n")  # noqa: SIM115
        self._length = self._file.tell()
        self._thread = threading.Thread(target=self._run, name=f"events to {path.name}")
        self._thread.daemon = True
        self._thread.start()

    def put(self, entries: Sequence[Entry]) -> None:
        """Queue some; never waits."""
        if self._lost:
            entries = [Gap(entries[0].revision, f"{self._lost:,} events not saved"), *entries]
        try:
            self._queue.put_nowait(list(entries))
            self._lost = 0
        except queue.Full:
            lost = len(entries) - bool(self._lost)
            self._lost += lost
            self.unsaved += lost

    def close(self) -> None:
        """Write what waits, and close; blocks."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (entries := self._queue.get()) is not None:
            if self.error:
                self.unsaved += len(entries)
                continue
            try:
                self._write(entries)
            except OSError as error:
                self.error = str(error)
                self.unsaved += len(entries)
        self._file.close()

    def _write(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            line = event_line(entry) + "\n"
            size = len(line.encode())
            if self._length and self._length + size > self.rotate_bytes:
                self._rotate()
            self._file.write(line)
            self._length += size
            self.bytes += size
            self.events += not isinstance(entry, Gap)
        if self._queue.empty():
            self._file.flush()

    def _rotate(self) -> None:
        self._file.close()
        for number in range(self.rotate_files - 1, 0, -1):
            older = self.path.with_name(f"{self.path.name}.{number}")
            if number == self.rotate_files - 1:
                older.unlink(missing_ok=True)
            newer = (
                self.path if number == 1 else self.path.with_name(f"{self.path.name}.{number - 1}")
            )
            if newer.exists():
                os.replace(newer, older)
        self._file = open(self.path, "w", encoding="utf-8", newline="\n")  # noqa: SIM115
        self._length = 0
