"""``kvorum demo`` in a real terminal (tmux): up, a look around, a killed leader, and nothing
left afterwards.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kvorum.cluster.keys import read_keys
from kvorum.cluster.places import samples_dir
from kvorum.cluster.process import start_time
from support.clusters import wait_until
from support.programs import need_program


class Terminal:
    """A tmux server of its own with one window, which runs one command."""

    def __init__(self, command: list[str], directory: Path) -> None:
        # A socket's path may have a hundred characters, which pytest's directories use up.
        self._tmux = [need_program("tmux"), "-L", f"kvorum-{os.getpid()}", "-f", "/dev/null"]
        shell = " ".join(command) + "; echo ended with $?; cat"
        env = os.environ | {"TMPDIR": str(directory)}
        del_tmux = {name: value for name, value in env.items() if name != "TMUX"}
        subprocess.run(
            [*self._tmux, "new-session", "-d", "-x", "120", "-y", "34", shell],
            env=del_tmux,
            check=True,
        )

    def screen(self) -> str:
        """What the window shows."""
        done = subprocess.run(
            [*self._tmux, "capture-pane", "-p"], capture_output=True, text=True, check=True
        )
        return done.stdout

    def press(self, *keys: str) -> None:
        """Keys by tmux's names."""
        subprocess.run([*self._tmux, "send-keys", *keys], check=True)

    def wait_for(self, pattern: str, timeout_s: float = 60.0) -> re.Match[str]:
        """Wait until a pattern is on the screen."""
        found: list[re.Match[str]] = []

        def look() -> bool:
            match = re.search(pattern, self.screen())
            if match:
                found.append(match)
            return bool(match)

        try:
            wait_until(look, f"{pattern!r} on the screen", timeout_s)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.screen()}") from None
        return found[0]

    def close(self) -> None:
        """End the server, and whatever runs in it."""
        subprocess.run([*self._tmux, "kill-server"], check=False, capture_output=True)


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Terminal]:
    terminal = Terminal([sys.executable, "-m", "kvorum", "demo"], tmp_path)
    try:
        yield terminal
    finally:
        terminal.close()
        for path in tmp_path.glob("kvorum-demo-*/*/pid.json"):
            entry = json.loads(path.read_text(encoding="utf-8"))
            if start_time(entry["pid"]) == entry["started"]:
                os.kill(entry["pid"], signal.SIGKILL)


def node_pids(directory: Path) -> dict[str, int]:
    return {
        path.parent.name: json.loads(path.read_text(encoding="utf-8"))["pid"]
        for path in directory.glob("kvorum-demo-*/*/pid.json")
    }


def test_a_demo_from_start_to_end(demo: Terminal, tmp_path: Path) -> None:
    samples = read_keys(samples_dir() / "three" / "keys.jsonl")
    kept = sum(1 for sample in samples if not sample.deleted)
    demo.wait_for(rf"3/3 up.*keys {kept}\b")
    demo.wait_for(r"catalog/ +200")
    pids = node_pids(tmp_path)
    assert sorted(pids) == ["n1", "n2", "n3"]

    leader = demo.wait_for(r"leader (n\d)")[1]
    os.kill(pids[leader], signal.SIGKILL)
    demo.wait_for(rf"2/3 up +leader (?!{leader})n\d")
    (log,) = tmp_path.glob("kvorum-demo-*/supervisor.log")
    told = f"{leader}: pid {pids[leader]} was ended by SIGKILL"
    wait_until(lambda: told in log.read_text(encoding="utf-8"), "the death is in the log")

    demo.press("C-q")
    demo.wait_for(r"ended with 0")
    assert all(start_time(pid) is None for pid in pids.values())
    assert list(tmp_path.glob("kvorum-demo-*")) == []
