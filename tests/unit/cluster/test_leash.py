"""Processes on a leash end with whoever started them, and nobody else does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from kvorum.cluster.leash import Leash
from kvorum.cluster.process import Identity, Process, is_stopped
from support.clusters import wait_until

SLEEPER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
DEAF = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True)"
OWNER = """
import os, sys, time
from pathlib import Path
from kvorum.cluster.leash import Leash
from kvorum.cluster.process import Process
leash, words = Leash(), {words!r}
process = Process.start(words, dict(os.environ), Path({log!r}), leash)
print(process.identity.dumps(), flush=True)
time.sleep(600)
"""


def start(tmp_path: Path, argv: list[str], leash: Leash) -> Process:
    return Process.start(argv, dict(os.environ), tmp_path / "node.log", leash)


def is_up(tmp_path: Path) -> bool:
    return "up" in (tmp_path / "node.log").read_text()


def guards_of(pid: int) -> list[int]:
    """The children of a process."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(entry.parent.name))
    return found


@pytest.mark.parametrize("stopped", [False, True])
def test_a_killed_owner_takes_its_process_along(tmp_path: Path, stopped: bool) -> None:
    script = OWNER.format(words=SLEEPER, log=str(tmp_path / "node.log"))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        identity = Identity.loads(owner.stdout.readline().decode())
        assert identity is not None
        assert identity.argv == tuple(SLEEPER)
        wait_until(lambda: is_up(tmp_path), "it runs")
        if stopped:
            os.kill(identity.pid, signal.SIGSTOP)
            wait_until(lambda: is_stopped(identity.pid), "it stands still")
        assert identity.alive()
        owner.kill()
    wait_until(lambda: not identity.alive(), "it ends with its owner")


def test_an_owner_that_is_killed_at_once(tmp_path: Path) -> None:
    leash = Leash()
    process = start(tmp_path, SLEEPER, leash)
    leash.close()  # Before its interpreter has even started.
    assert process.wait(30.0)
    assert process.ending() == "was ended by SIGTERM"


def test_who_is_deaf_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patched = tmp_path / "leash.py"
    import kvorum.cluster.leash as module

    patched.write_text(Path(module.__file__).read_text().replace("_ORDER_S = 8.0", "_ORDER_S = 0"))
    monkeypatch.setattr(module, "__file__", str(patched))
    leash = Leash()
    process = start(tmp_path, [sys.executable, "-c", DEAF + "\ntime.sleep(600)"], leash)
    wait_until(lambda: is_up(tmp_path), "it runs")
    leash.close()
    assert process.wait(30.0)
    assert process.ending() == "was ended by SIGKILL"


def test_it_is_the_process_that_was_asked_for(tmp_path: Path) -> None:
    leash = Leash()
    process = start(tmp_path, SLEEPER, leash)
    try:
        wait_until(lambda: is_up(tmp_path), "it runs")
        words = Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")[:-1]
        assert [word.decode() for word in words] == SLEEPER
        (guard,) = guards_of(process.pid)
        assert process.send(signal.SIGKILL) and process.wait(30.0)
        wait_until(lambda: not Path(f"/proc/{guard}").exists(), "no guard without a node")
    finally:
        process.kill()
        leash.close()


def test_a_program_that_is_not_there_says_so_in_the_log(tmp_path: Path) -> None:
    leash = Leash()
    process = start(tmp_path, ["/no/such/program"], leash)
    assert process.wait(30.0)
    assert process.ending() == "exited with status 127"
    assert (
        "/no/such/program: cannot be started: No such file" in (tmp_path / "node.log").read_text()
    )
    leash.close()
    leash.close()
