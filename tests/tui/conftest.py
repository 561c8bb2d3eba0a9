"""What the terminal remembers from one time to the next is each test's own; and keys that come when
everything before them is done, however busy the machine is.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import textual.app
from textual._wait import wait_for_idle
from textual.pilot import Pilot
from tui.frames import settled


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state file and a mirror for this test alone."""
    monkeypatch.setenv("KVORUM_STATE", str(tmp_path / "terminal.json"))
    monkeypatch.setenv("KVORUM_MIRROR", str(tmp_path / "mirrors"))
    monkeypatch.setenv("KVORUM_SETTINGS", str(tmp_path / "settings.toml"))


async def _yield(min_sleep: float = 0, max_sleep: float = 0) -> None:
    for _ in range(4):
        await asyncio.sleep(0)


async def _press(self: Pilot[Any], *keys: str) -> None:
    for key in keys:
        await settled(self.app)
        await self.app._press_keys([key])
        await settled(self.app)
        await wait_for_idle(0)
    if keys:
        await self._wait_for_screen()


@pytest.fixture(autouse=True)
def steady_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Textual's pilot takes 20 ms without work for a sign that a key has been dealt with; on a
    machine with other things to do they are none. Here each key waits for the messages before it,
    so that it meets the dialog that the last one opened.
    """
    monkeypatch.setattr(textual.app, "wait_for_idle", _yield)
    monkeypatch.setattr(Pilot, "press", _press)
