"""``kvorum demo`` in a real pseudo-terminal, from the first look to the end: browse, edit, watch,
a lease that runs out, the leader handed over, cut off, replaced and healed.

Nothing is looked at but the screen, and nothing waited for but what it shows. Keys that mean
different things are pressed one after the other has shown its effect: Textual may let a letter
overtake a cursor key that arrived with it.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from kvorum.cluster.process import start_time
from kvorum_tui.model.log_strip import term_letter
from tui.pseudo import Terminal, terminal

ENTER, ESCAPE, DOWN, RIGHT = b"\r", b"\x1b", b"\x1b[B", b"\x1b[C"
CTRL_Q, CTRL_S, BACKSPACE = b"\x11", b"\x13", b"\x7f"
EDITED = "/flags/cart/cross-sell"
LEASED = "/flags/a-lease"
LOST_WRITES = 3


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Terminal]:
    """A demo whose files are all under ``tmp_path``, ready to be used."""
    keymap = {"KVORUM_KEYMAP": str(tmp_path / "none.toml")}
    try:
        with terminal("demo", columns=120, rows=40, TMPDIR=str(tmp_path), **keymap) as shown:
            shown.find(r"3/3 up +leader n\d")
            shown.find(r"catalog/ +200")
            yield shown
    finally:
        for pid, started in nodes(tmp_path):
            if start_time(pid) == started:
                os.kill(pid, signal.SIGKILL)


def nodes(directory: Path) -> list[tuple[int, int]]:
    """Process ids of a demo's nodes, with when they started."""
    entries = [json.loads(p.read_text()) for p in directory.glob("kvorum-demo-*/*/pid.json")]
    return [(entry["pid"], entry["started"]) for entry in entries]


def chosen(shown: Terminal) -> str:
    """What the right half of the Keys tab is about."""
    return shown.screen.display[3].split("│")[-2].strip()


def walk_to(shown: Terminal, path: str) -> None:
    """Cursor down until a row is reached."""
    for _ in range(40):
        before = chosen(shown)
        if before == path:
            return
        shown.press(DOWN)
        shown.read(lambda _, before=before: chosen(shown) != before)
    raise AssertionError(f"{path} is not below")


def endpoints(shown: Terminal) -> dict[str, str]:
    """Every member's address, as its details say."""
    shown.press(b"3")
    shown.find("Raft logs, aligned by index")
    found = {}
    for number in range(1, 4):
        shown.press(b"m")
        found[f"n{number}"] = shown.find(rf"─ n{number} ─[\s\S]*endpoint +(http://[\d.:]+)")[1]
        shown.press(ESCAPE)
        shown.gone("esc closes")
        shown.press(DOWN)
    return found


def log_of(shown: Terminal, name: str) -> str:
    """The letters of one member's raft log, up to the last entry it has."""
    text = "\n".join(shown.screen.display)
    match = re.search(rf"^│[L ] {name} +([A-Za-z·]+)", text, re.MULTILINE)
    return match[1].rstrip("·") if match else ""


def put(shown: Terminal, *arguments: str) -> None:
    """``kvorum put`` beside the terminal."""
    writer = subprocess.Popen([sys.executable, "-m", "kvorum", "put", *arguments])
    shown.read(lambda _: writer.poll() is not None)
    assert writer.returncode == 0


class HeldWrite:
    """A ``kvorum put`` that has started and waits for its value at a named pipe."""

    def __init__(self, shown: Terminal, pipe: Path, key: str, endpoint: str) -> None:
        os.mkfifo(pipe)
        command = [sys.executable, "-m", "kvorum", "put", key, "--file", str(pipe)]
        command += ["--endpoints", endpoint, "--command-timeout", "4s"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
        self._pipe = -1

        def waits(_: str) -> bool:
            try:
                self._pipe = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:
                return False  # Nobody reads yet.
            return True

        shown.read(waits)

    def release(self) -> None:
        """Let it write."""
        os.write(self._pipe, b"never to be seen")
        os.close(self._pipe)


def browse_edit_and_watch(shown: Terminal) -> None:
    """A key found by keys, its watch, an edit with its difference, and what the watch saw."""
    shown.read(lambda _: chosen(shown) == "/catalog/")
    walk_to(shown, "/flags/")
    shown.press(RIGHT)
    shown.find("▾ flags/")
    walk_to(shown, "/flags/cart/")
    shown.press(RIGHT)
    shown.find("▾ cart/")
    walk_to(shown, EDITED)
    shown.find(r"version 2 · 2 B · text")
    shown.press(b"w")
    shown.find("nothing changed since revision")
    shown.press(b"1")
    shown.find(r"\[1 Keys\]")
    shown.press(b"e")
    shown.find(rf"{EDITED} · revision \d+ · text")
    shown.read(lambda text: re.search(r"│1 +on ", text) is not None)
    shown.press(b"not ")
    shown.find("not on")
    shown.press(CTRL_S)
    shown.find(rf"Save {EDITED}\?")
    shown.read(lambda text: "− on" in text and "+ not on" in text)
    shown.press(ENTER)
    shown.find(r"saved at revision \d+")
    shown.press(b"2")
    shown.find("on → not on")


def bar(text: str, lease: str) -> int:
    """How long a lease's bar is."""
    found = re.search(rf"^│ {lease} +(█*)\S? +0:\d\d", text, re.MULTILINE)
    assert found, f"{lease} is gone"
    return len(found[1])


def a_lease_runs_out(shown: Terminal, endpoint: str) -> None:
    """Granted and held here, attached by the command line, let go: the bar runs down, the key
    goes.
    """
    shown.press(b"7")
    shown.find(r"Leases · \d+")
    shown.press(b"g")
    shown.find("Grant a lease")
    shown.find("│  60 ")
    shown.press(BACKSPACE)
    shown.find("│  6  ")
    shown.press(BACKSPACE)
    shown.gone("│  6  ")
    shown.press(b"12")
    shown.find("│  12 ")
    shown.press(ENTER)
    lease = shown.find(r"granted lease ([0-9a-f]+) for 12 s")[1]
    # What ends first stands at the top, as soon as its time is told.
    row = re.compile(rf"^│[H ]{lease} .* 0:\d\d", re.MULTILINE)
    shown.read(lambda text: row.search(text) or shown.press(b"\x1b[H"))
    shown.press(b"\x1b[H")
    shown.press(b"K")
    shown.find(rf"^│[H ]{lease} .*HELD")
    put(shown, LEASED, "short", "--lease", lease, "--endpoints", endpoint)
    shown.find(rf"^│[H ]{lease} .* 1 .*HELD.*{LEASED[:6]}")
    shown.press(b"1")
    shown.find(rf"^│ +{LEASED.rpartition('/')[2]}")
    shown.press(b"7")
    full = len(shown.find(rf"^│[H ]{lease} +(█+)\S? +0:\d\d")[1])
    shown.press(b"K")
    shown.find("no longer kept alive")
    shown.read(lambda text: bar(text, lease) < full)
    shown.gone(f"│ {lease}")
    shown.press(b"1")
    shown.find(r"\[1 Keys\]")
    shown.gone(LEASED.rpartition("/")[2])


def hand_over(shown: Terminal) -> str:
    """Leadership to another member; its name."""
    shown.press(b"4")
    shown.find(r"\[4 Drills\]")
    shown.press(b"+")
    shown.find("a fault lasts 60 s")
    leader = shown.find(r"leader (n\d)")[1]
    heir = "n2" if leader != "n2" else "n3"
    shown.press(DOWN * (int(heir[1]) - 1))
    shown.find(rf"── {heir}(?: → n\d)? ─╯╰")
    shown.press(b"t")
    shown.find(rf"Hand leadership to {heir}\?")
    shown.press(ENTER)
    shown.find(rf"leader {heir} t\d+ ")
    shown.find(rf"{heir} leads term \d+, [\d,]+ ms after {leader} was asked to hand over")
    return heir


def cut_off(shown: Terminal, old: str, writes: list[HeldWrite]) -> tuple[int, str, int]:
    """Isolate the leader and write to it; its term, the new leader, and the new term."""
    term = int(shown.find(rf"leader {old} t(\d+) ")[1])
    shown.press(b"i")
    shown.find(rf"Isolate {old}\?[\s\S]*writes wait for an election")
    shown.press(ENTER)
    shown.find(rf"{old}: link cut to and from all peers")
    for write in writes:
        write.release()
    match = shown.find(rf"(n\d) leads term (\d+), [\d,]+ ms after {old} was lost")
    shown.find(rf"leader {match[1]} t{match[2]} ")
    shown.find("✗ [0-9]+ s")
    assert match[1] != old
    return term, match[1], int(match[2])


@pytest.mark.slow
def test_the_whole_story(demo: Terminal, tmp_path: Path) -> None:
    pids = [pid for pid, _ in nodes(tmp_path)]
    assert len(pids) == 3
    browse_edit_and_watch(demo)
    addresses = endpoints(demo)
    a_lease_runs_out(demo, addresses["n1"])
    old = hand_over(demo)
    with ExitStack() as stack:
        writes = []
        for number in range(LOST_WRITES):
            pipe = tmp_path / f"value{number}"
            writes.append(HeldWrite(demo, pipe, f"/flags/lost-{number}", addresses[old]))
            stack.callback(writes[-1].process.kill)
        term, new, new_term = cut_off(demo, old, writes)

        # The old leader's log ends in entries of its own term that only it has.
        demo.press(b"3")
        lost = term_letter(term).lower()
        demo.read(lambda _: re.search(rf"{lost}+$", log_of(demo, old)) is not None)
        demo.read(lambda _: log_of(demo, new).endswith(term_letter(new_term)))
        assert log_of(demo, new).isupper()
        for write in writes:
            demo.read(lambda _, write=write: write.process.poll() is not None)
            assert write.process.returncode != 0, "a leader without a quorum acknowledged a write"

    demo.press(b"4")
    demo.find(r"\[4 Drills\]")
    demo.press(b"X")
    demo.find("healed all: 1 fault lifted")
    demo.press(b"3")
    demo.find(rf"{old}: entr(y|ies) \d+(-\d+)? of term {term} replaced")
    demo.read(lambda _: log_of(demo, old) == log_of(demo, new) != "")
    assert log_of(demo, old).endswith(term_letter(new_term)) and log_of(demo, old).isupper()
    demo.press(b"1")
    demo.find(r"\[1 Keys\]")
    demo.gone("lost-0")

    demo.press(CTRL_Q)
    assert demo.status() == 0
    assert all(start_time(pid) is None for pid in pids)
    assert list(tmp_path.glob("kvorum-demo-*")) == []
