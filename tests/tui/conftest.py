"""What the terminal remembers from one time to the next is each test's own."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state file and a mirror for this test alone."""
    monkeypatch.setenv("KVORUM_STATE", str(tmp_path / "terminal.json"))
    monkeypatch.setenv("KVORUM_MIRROR", str(tmp_path / "mirrors"))
    monkeypatch.setenv("KVORUM_SETTINGS", str(tmp_path / "settings.toml"))
