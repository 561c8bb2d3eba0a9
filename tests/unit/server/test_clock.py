"""Ticks from a monotonic clock: late ones are made up for, faults change their rate."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from kvorum.limits import MAX_LATE_TICKS
from kvorum.server.clock import Ticker, WallClock


class Timer:
    def __init__(self, due: float, callback: Callable[[], None]) -> None:
        self.due = due
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Time:
    """A loop whose clock moves when told to; only what a ticker uses."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.timers: list[Timer] = []

    def call_later(self, delay: float, callback: Callable[[], None]) -> Any:
        self.timers.append(Timer(self.now + delay, callback))
        return self.timers[-1]

    def pass_(self, seconds: float, stall: bool = False) -> None:
        """Time goes by; a stalled loop runs nothing until its end."""
        end = self.now + seconds
        if stall:
            self.now = end
        while True:
            due = [t for t in self.timers if not t.cancelled and t.due <= end + 1e-9]
            if not due:
                break
            first = min(due, key=lambda t: t.due)
            self.timers.remove(first)
            self.now = max(self.now, first.due)
            first.callback()
        self.now = max(self.now, end)


class Ticking:
    def __init__(self) -> None:
        self.time = Time()
        self.ticks: list[int] = []
        self.late: list[float] = []
        loop: Any = self.time
        self.ticker = Ticker(
            loop, 0.1, self.ticks.append, self.late.append, now=lambda: self.time.now
        )
        self.ticker.start()


def test_one_tick_an_interval() -> None:
    t = Ticking()
    t.time.pass_(1.05)
    assert t.ticks == [1] * 10


def test_a_stall_is_made_up_for_at_once() -> None:
    t = Ticking()
    t.time.pass_(3.45, stall=True)
    assert t.ticks == [34]
    assert t.late[0] == pytest.approx(3.35)
    # The remainder of an interval is not lost: the next tick comes after what is left of it.
    t.time.pass_(0.06)
    assert t.ticks == [34, 1]


def test_a_very_long_stall_is_bounded() -> None:
    t = Ticking()
    t.time.pass_(3600, stall=True)
    assert t.ticks == [MAX_LATE_TICKS]
    t.time.pass_(0.1)
    assert sum(t.ticks) <= MAX_LATE_TICKS + 1


def test_rate_faults_change_the_ticks() -> None:
    t = Ticking()
    t.ticker.set_rate(1_000_000)
    t.time.pass_(1.0)
    assert sum(t.ticks) == pytest.approx(20, abs=1)
    t.ticker.set_rate(-500_000)
    before = sum(t.ticks)
    t.time.pass_(2.0)
    assert sum(t.ticks) - before == pytest.approx(10, abs=1)
    t.ticker.set_rate(0)
    before = sum(t.ticks)
    t.time.pass_(1.0)
    assert sum(t.ticks) - before == pytest.approx(10, abs=1)


def test_no_ticks_while_held_and_all_of_them_after() -> None:
    t = Ticking()
    t.ticker.hold()
    t.time.pass_(2.0)
    assert t.ticks == []
    t.ticker.release()
    assert t.ticks == [20]
    t.time.pass_(0.1)
    assert t.ticks == [20, 1]
    # A release without a hold is nothing.
    t.ticker.release()
    assert t.ticks == [20, 1]


def test_a_stopped_ticker_is_silent() -> None:
    t = Ticking()
    t.ticker.stop()
    t.time.pass_(1.0)
    assert t.ticks == []


def test_wall_clock_jumps() -> None:
    clock = WallClock()
    before = clock.now_ms()
    clock.jump_ms = -3_600_000
    assert before - 3_600_000 <= clock.now_ms() < before


def test_on_a_real_loop() -> None:
    async def run() -> int:
        ticked = 0
        enough = asyncio.Event()

        def on_ticks(count: int) -> None:
            nonlocal ticked
            ticked += count
            if ticked >= 5:
                enough.set()

        ticker = Ticker(asyncio.get_running_loop(), 0.01, on_ticks, lambda late_s: None)
        ticker.start()
        async with asyncio.timeout(30):
            await enough.wait()
        ticker.stop()
        return ticked

    assert asyncio.run(run()) >= 5
