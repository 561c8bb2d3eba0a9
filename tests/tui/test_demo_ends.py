"""A demo's nodes end with it, however it ends: the window is closed, or the system kills it."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kvorum.cluster.process import start_time
from tui.pseudo import PATIENCE_S, Terminal, terminal

CTRL_Q = b"\x11"


def nodes(directory: Path) -> list[tuple[int, str]]:
    """The nodes' process ids, with when they started."""
    found = [json.loads(p.read_text()) for p in directory.glob("kvorum-demo-*/*/pid.json")]
    return [(entry["pid"], entry["started"]) for entry in found]


def living(known: list[tuple[int, str]]) -> list[int]:
    return [pid for pid, started in known if start_time(pid) == started]


def wait_until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "in vain"
        time.sleep(0.02)


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Terminal]:
    """A demo of one node whose files are under ``tmp_path``; nothing of it is left behind."""
    keymap = {"KVORUM_KEYMAP": str(tmp_path / "none.toml")}
    try:
        with terminal("demo", "--nodes", "1", TMPDIR=str(tmp_path), **keymap) as shown:
            wait_until(lambda: nodes(tmp_path))
            yield shown
    finally:
        for pid in living(nodes(tmp_path)):
            os.kill(pid, signal.SIGKILL)


def close_window(shown: Terminal) -> None:
    """As a terminal emulator does it; nobody reads or is written to any more."""
    os.close(shown.master)
    shown.master = os.open(os.devnull, os.O_RDWR)


def ended(shown: Terminal) -> Callable[[], bool]:
    return lambda: os.waitpid(shown.pid, os.WNOHANG) != (0, 0)


@pytest.mark.parametrize("leaving_already", [False, True])
def test_closing_the_window_stops_the_nodes(
    demo: Terminal, tmp_path: Path, leaving_already: bool
) -> None:
    demo.find(r"1/1 up +leader n1")
    known = nodes(tmp_path)
    assert living(known)
    if leaving_already:
        demo.press(CTRL_Q)
        demo.find("stopping the nodes")
    close_window(demo)
    wait_until(ended(demo))
    # A node that had to be killed may be told so and not gone yet.
    wait_until(lambda: not living(known))
    assert list(tmp_path.glob("kvorum-demo-*")) == []


def test_kill_9_stops_the_nodes(demo: Terminal, tmp_path: Path) -> None:
    known = nodes(tmp_path)
    os.kill(demo.pid, signal.SIGKILL)
    wait_until(ended(demo))
    wait_until(lambda: not living(known))
