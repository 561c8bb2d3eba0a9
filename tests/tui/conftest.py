"""What the terminal remembers from one time to the next is each test's own; and keys that come when
everything before them is done, however busy the machine is.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import textual.app
from kvorum_tui.app import KvorumApp
from kvorum_tui.model.cluster_model import STALE_AFTER_S
from textual._wait import wait_for_idle
from textual.pilot import Pilot
from tui.fake_session import FakeSession
from tui.frames import PATIENCE_S, settled

NOTE_S = 12.0  # Longer than a busy machine looks away; what a note covers is waited for so long.


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


@pytest.fixture(autouse=True)
def time_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a cluster in memory members fall silent when a test says so, and notes stay until somebody
    looks: never the other way because this process had to wait for a processor.
    """
    run_test, notify = KvorumApp.run_test, KvorumApp.notify

    def stays(self: KvorumApp, *words: Any, **options: Any) -> None:
        if isinstance(self.session, FakeSession):
            options["timeout"] = NOTE_S
        notify(self, *words, **options)

    def patient(self: KvorumApp, **options: Any) -> Any:
        if isinstance(self.session, FakeSession):
            for kind in STALE_AFTER_S:
                monkeypatch.setitem(STALE_AFTER_S, kind, PATIENCE_S)
        return run_test(self, **options)

    monkeypatch.setattr(KvorumApp, "run_test", patient)
    monkeypatch.setattr(KvorumApp, "notify", stays)
