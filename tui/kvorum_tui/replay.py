"""The terminal on a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kvorum_tui.app import KvorumApp
from kvorum_tui.recording.opening import Opened, open_file
from kvorum_tui.recording.session import RecordingSession
from kvorum_tui.screens.recording import title_of


def app_on(opened: Opened, first_tab: str = "keys") -> KvorumApp:
    """An app on a file that was opened."""
    return KvorumApp(RecordingSession(opened), title_of(opened.shown), first_tab=first_tab)


def run(path: Path, first_tab: str, told: Callable[[str], None]) -> None:
    """Open a recording or a snapshot and return when the user leaves it.

    Raises :class:`kvorum_tui.recording.opening.FileFault`.
    """
    opened = open_file(path, told)
    told("")
    app_on(opened, first_tab).run()
