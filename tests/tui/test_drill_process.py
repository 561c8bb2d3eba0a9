"""The drill's own process: its last word, the end of its input, and its end on a real screen."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from kvorum_tui.drill_process import DrillProcess
from kvorum_tui.drill_worker import work
from tui.drill_parts import shipped
from tui.pseudo import terminal

QUICK = "leader-partitioned"


def request(tmp_path: Path, **more: object) -> dict[str, Any]:
    """A simulated drill of ten minutes."""
    path = tmp_path / "long.toml"
    path.write_text(shipped(QUICK).text.replace("length_s = 12", "length_s = 600"))
    parent = str(tmp_path / "runs")
    return {"scenario": str(path), "stage": "sim", "seed": 1, "parent": parent, **more}


def followed(wanted: dict[str, Any], stop_at: str = "") -> list[Mapping[str, Any]]:
    """All that a drill's process tells; it is stopped once it tells ``stop_at``."""
    told: list[Mapping[str, Any]] = []

    async def run() -> None:
        def take(line: Mapping[str, Any]) -> None:
            told.append(line)
            if line["t"] == stop_at:
                process.stop()

        process = DrillProcess(wanted, take)
        await process.run()

    asyncio.run(run())
    return told


def test_the_end_of_its_input_stops_it(tmp_path: Path) -> None:
    told = followed(request(tmp_path), stop_at="fault")
    assert [line["t"] for line in told[:2]] == ["opening", "ready"]
    assert told[-1]["t"] == "stopped"
    assert told[-2]["at_s"] < 600
    assert (Path(told[0]["folder"]) / "history.ndjson").is_file()


def test_a_process_that_ends_without_a_word_is_told_of(tmp_path: Path) -> None:
    told = followed(request(tmp_path, seed="no number"))
    assert told[-1]["t"] == "error"
    assert "invalid literal for int()" in told[-1]["text"]


def test_what_cannot_be_run_leaves_no_folder(tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []

    def tell(t: str, **fields: Any) -> None:
        told.append({"t": t, **fields})

    asked = request(tmp_path, endpoints=["http://127.0.0.1:1"])
    work(asked, tell, threading.Event())
    assert [line["t"] for line in told] == ["error"]
    assert "endpoints" in told[0]["text"]
    assert list((tmp_path / "runs").iterdir()) == []


@pytest.mark.slow
def test_a_drill_in_a_real_terminal(tmp_path: Path) -> None:
    places = {"XDG_DATA_HOME": str(tmp_path), "KVORUM_KEYMAP": str(tmp_path / "none.toml")}
    given = ("tui", "--endpoints", "http://127.0.0.1:1", "--tab", "drills")
    with terminal(*given, columns=80, rows=24, **places) as shown:
        shown.find(r"\[4 Drills\]")
        shown.press(b"d")
        shown.find(r"─ all-killed ─")
        shown.press(b"/")
        shown.find("words of name")
        shown.press(b"skew\r")
        shown.find(r"─ clock-skew ─[\s\S]*● sim")
        shown.press(b"\r")
        shown.find(r"clock-skew · simulated · seed \d+ · (PASSED|FAILED)")
        shown.find(r"✓ digests +equal")
        shown.press(b"\x11")
        assert shown.status() == 0
