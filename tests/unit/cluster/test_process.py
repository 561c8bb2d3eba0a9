"""Processes: an identity that is never a stranger's, endings in words, bounded logs."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from kvorum import limits
from kvorum.cluster.process import Identity, Process, boot_id, log_tail, rotate_log, start_time

SLEEPER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]


def start(tmp_path: Path, argv: list[str]) -> Process:
    return Process.start(argv, dict(os.environ), tmp_path / "node.log")


def test_an_identity_survives_its_file_and_knows_strangers(tmp_path: Path) -> None:
    process = start(tmp_path, SLEEPER)
    try:
        identity = Identity.loads(process.identity.dumps())
        assert identity == process.identity
        assert identity is not None and identity.alive()
        assert not replace(identity, started="1").alive()
        assert not replace(identity, boot="another boot").alive()
        assert not replace(identity, pid=os.getpid()).alive()
        assert Process.adopt(replace(identity, started="1")) is None
        adopted = Process.adopt(identity)
        assert adopted is not None and adopted.adopted and adopted.alive()
    finally:
        process.kill()
    assert not process.identity.alive()
    assert Process.adopt(process.identity) is None
    assert adopted.ending() == "ended (status unknown)"


@pytest.mark.parametrize("text", ["", "12", '{"pid": 1}', '{"pid": "x"', "[1, 2]"])
def test_a_torn_pid_file_is_no_identity(text: str) -> None:
    assert Identity.loads(text) is None


def test_endings_are_said_in_words(tmp_path: Path) -> None:
    process = start(tmp_path, [sys.executable, "-c", "raise SystemExit(3)"])
    assert process.wait(30.0)
    assert process.ending() == "exited with status 3"
    assert not process.send(signal.SIGTERM)

    process = start(tmp_path, SLEEPER)
    assert process.ending() == "is running"
    process.send(signal.SIGTERM)
    assert process.wait(30.0)
    assert process.ending() == "was ended by SIGTERM"


def test_pause_is_seen(tmp_path: Path) -> None:
    process = start(tmp_path, SLEEPER)
    try:
        process.send(signal.SIGSTOP)
        assert not process.wait(30.0, process.paused)
        assert process.paused() and process.alive()
        process.send(signal.SIGCONT)
        assert not process.wait(30.0, lambda: not process.paused())
        assert not process.paused()
    finally:
        process.kill()


def test_a_zombie_is_dead(tmp_path: Path) -> None:
    process = start(tmp_path, [sys.executable, "-c", ""])
    identity = process.identity
    os.waitid(os.P_PID, identity.pid, os.WEXITED | os.WNOWAIT)  # Ended, but not waited for yet.
    assert start_time(identity.pid) is None
    assert not identity.alive()
    assert process.wait(30.0)


def test_boot_is_stable() -> None:
    assert boot_id() == boot_id()


def test_logs_are_appended_to_and_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "node.log"
    for _ in range(2):
        assert start(tmp_path, [sys.executable, "-c", "print('once more')"]).wait(30.0)
    assert log_tail(log) == ["once more", "once more"]
    rotate_log(log)
    assert log.exists()
    monkeypatch.setattr(limits, "NODE_LOG_BYTES", 5)
    rotate_log(log)
    assert not log.exists()
    assert log_tail(tmp_path / "node.log.1") == ["once more", "once more"]
    assert log_tail(tmp_path / "nothing.log") == []
