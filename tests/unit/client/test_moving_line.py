"""What a verb shows of its progress: one line that is drawn over on a terminal; elsewhere nothing,
or a line now and then.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable

import pytest
from kvorum.cli.progress import MovingLine, Progress

Wait = Callable[[float], None]


class Errors(io.StringIO):
    """Standard error that is a terminal, or is not."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> Wait:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def later(by_s: float) -> None:
        now[0] += by_s

    return later


def errors(monkeypatch: pytest.MonkeyPatch, *, terminal: bool) -> Errors:
    made = Errors(terminal)
    monkeypatch.setattr("sys.stderr", made)
    return made


def test_a_line_is_drawn_over_and_goes(monkeypatch: pytest.MonkeyPatch, wait: Wait) -> None:
    shown = errors(monkeypatch, terminal=True)
    line = MovingLine()
    line.tell("reading 10 %")
    line.tell("reading 11 %")
    wait(0.3)
    line.tell("judging")
    line.clear()
    line.clear()
    assert shown.getvalue() == f"\rreading 10 %\rjudging     \r{'':<12}\r"


def test_what_is_soon_over_shows_nothing(monkeypatch: pytest.MonkeyPatch, wait: Wait) -> None:
    shown = errors(monkeypatch, terminal=True)
    line = MovingLine(after_s=0.2)
    line.tell("reading")
    line.clear()
    assert shown.getvalue() == ""
    wait(0.3)
    line.tell("reading")
    assert shown.getvalue() == "\rreading"


def test_elsewhere_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch, wait: Wait) -> None:
    shown = errors(monkeypatch, terminal=False)
    silent, line = MovingLine(), MovingLine(elsewhere_s=5.0)
    for second in range(11):
        silent.tell("never")
        line.tell(f"{second} s")
        wait(1.0)
    line.clear()
    silent.leave("neither this")
    assert shown.getvalue() == "5 s\n10 s\n"


@pytest.mark.parametrize("terminal", [True, False])
def test_a_count_stays(monkeypatch: pytest.MonkeyPatch, wait: Wait, terminal: bool) -> None:
    shown = errors(monkeypatch, terminal=terminal)
    nothing, progress = Progress("keys read"), Progress("keys written")
    progress.add(1_000)
    progress.add(5)
    progress.end()
    nothing.end()
    assert shown.getvalue() == ("\r1,000 keys written\r1,005 keys written\n" if terminal else "")
