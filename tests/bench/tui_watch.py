"""20,000 events a second into four watch panes: how long does a key press take, and is every event
accounted for? Beside it Textual's own RichLog, fed the same way.

    python tests/bench/tui_watch.py              20,000 events/s for 5 s
    python tests/bench/tui_watch.py 5000 10      another rate, another time

A key press is measured from the moment it is put into the app's queue to the moment its action
ran, while events come; "idle" is the same without events, on the same machine. The events come from
a session in memory in the app's own event loop, so that what is measured is more than the terminal
alone has to bear.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import ClassVar

from kvorum_tui.app import KvorumApp
from kvorum_tui.model.records import KeyEvent, WatchBatch
from kvorum_tui.screens.watch import WatchPane
from kvorum_tui.screens.watch_box import WatchBox
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Grid
from textual.events import Key
from textual.widgets import RichLog

sys.path[0] = str(Path(__file__).resolve().parents[1])  # The cluster in memory is the tests'.
from tui.fake_session import FakeSession  # noqa: E402

PANES = 4
BATCH_S = 0.01
PRESS_S = 0.05


class Storm(FakeSession):
    """A cluster of which every watch brings ``rate`` events a second while ``blowing``."""

    def __init__(self, rate: int) -> None:
        super().__init__()
        self.rate = rate
        self.blowing = False
        self.sent = 0

    async def watch(
        self,
        key: bytes,
        prefix: bool,
        start_revision: int = 0,
        previous: bool = True,
        member: str = "",
    ) -> AsyncIterator[WatchBatch]:
        if key != b"/storm/":
            async for batch in super().watch(key, prefix, start_revision, previous, member):
                yield batch
            return
        yield WatchBatch(1)
        revision, owed, last = 1, 0.0, time.perf_counter()
        while True:
            await asyncio.sleep(BATCH_S)
            now = time.perf_counter()
            owed += (now - last) * self.rate * self.blowing
            last = now
            count = int(owed)
            owed -= count
            if count:
                events = tuple(event(revision + n) for n in range(1, count + 1))
                revision += count
                self.sent += count
                yield WatchBatch(revision, events)


def event(revision: int) -> KeyEvent:
    """One change as a busy store has them."""
    value = b'{"spec": {"replicas": %d, "image": "web:1.%d"}}'
    key = b"/storm/pod-%03d" % (revision % 500)
    old = value % (revision % 7, revision - 500)
    return KeyEvent("put", key, value % (revision % 9, revision), revision, 1, 5, 0, old)


async def presses(app: App[None], seconds: float, ran: list[float]) -> list[float]:
    """Press a key again and again; how long each took until its action ran, in ms."""
    times = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        await asyncio.sleep(PRESS_S)
        seen = len(ran)
        began = time.perf_counter()
        app.post_message(Key("f", "f"))
        while len(ran) == seen:
            await asyncio.sleep(0.0005)
        times.append((ran[-1] - began) * 1e3)
    return times


def row(name: str, times: list[float]) -> str:
    """A line of the table."""
    ordered = sorted(times)
    p99 = ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
    return f"{name:<44}{statistics.median(ordered):>9.1f}{p99:>9.1f}{ordered[-1]:>9.1f}"


async def panes(rate: int, seconds: float) -> list[str]:
    """Four panes of the terminal, each with a quarter of the events."""
    storm = Storm(rate // PANES)
    app = KvorumApp(storm, "bench", first_tab="watch")
    ran: list[float] = []
    async with app.run_test(size=(120, 40)) as pilot:
        pane = app.pane_of(WatchPane)
        for _ in range(PANES):
            app.watch_key(b"/storm/", True)
            await pilot.pause(0.1)
        original = pane.do_watch_follow

        def followed() -> None:
            ran.append(time.perf_counter())
            original()
            original()

        pane.do_watch_follow = followed  # type: ignore[method-assign]  # to see when it runs
        idle = await presses(app, 2.0, ran)
        storm.blowing = True
        began, cpu = time.perf_counter(), time.process_time()
        busy = await presses(app, seconds, ran)
        storm.blowing = False
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
        buffers = [box.buffer for box in pane.boxes if isinstance(box, WatchBox)]
        while sum(buffer.total for buffer in buffers) < storm.sent:
            await pilot.pause(0.05)
        total = sum(buffer.total for buffer in buffers)
        kept = sum(buffer.kept() for buffer in buffers)
        coalesced = sum(buffer.coalesced for buffer in buffers)
        dropped = sum(buffer.dropped for buffer in buffers)
    lost = storm.sent - kept - coalesced - dropped
    return [
        row("four panes, idle", idle),
        row("four panes in the storm", busy),
        f"  {total / took:,.0f} events/s taken in, {cpu / total * 1e6:.1f} us of processor",
        f"  kept {kept:,}, coalesced {coalesced:,}, "
        f"dropped by the bound {dropped:,}, unaccounted for {lost}",
    ]


class Stock(App[None]):
    """Textual's own widget, four times."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("f", "seen", "seen")]
    CSS = "Grid { grid-size: 2; }"

    def __init__(self) -> None:
        super().__init__()
        self.ran: list[float] = []
        self.logs = [RichLog(max_lines=5_000) for _ in range(PANES)]

    def compose(self) -> ComposeResult:
        """Four logs."""
        with Grid():
            yield from self.logs

    def action_seen(self) -> None:
        """The key's action."""
        self.ran.append(time.perf_counter())


async def stock(rate: int, seconds: float) -> list[str]:
    """The same events, a line each, into four RichLogs."""
    app = Stock()
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(0.2)
        idle = await presses(app, 1.0, app.ran)
        written = 0

        async def storm(log: RichLog) -> None:
            nonlocal written
            revision, owed, last = 1, 0.0, time.perf_counter()
            while True:
                await asyncio.sleep(BATCH_S)
                now = time.perf_counter()
                owed += (now - last) * rate / PANES
                last = now
                # Whatever it cannot keep up with is not owed to it: else it would never answer.
                count = min(int(owed), 200)
                owed = 0.0 if owed > 200 else owed - count
                for _ in range(count):
                    revision += 1
                    e = event(revision)
                    log.write(f"{e.revision} + {e.key!r} {e.prev_value!r} -> {e.value!r}")
                written += count

        tasks = [asyncio.create_task(storm(log)) for log in app.logs]
        began, cpu = time.perf_counter(), time.process_time()
        busy = await presses(app, seconds, app.ran)
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
        for task in tasks:
            task.cancel()
    return [
        row("four RichLogs, idle", idle),
        row("four RichLogs in the storm", busy),
        f"  {written / took:,.0f} events/s taken in, {cpu / written * 1e6:.1f} us of processor",
    ]


def main(rate: int = 20_000, seconds: float = 5.0) -> None:
    """Print both, one after the other."""
    print(f"{'a key press, ms':<44}{'median':>9}{'p99':>9}{'worst':>9}   at {rate:,} events/s")
    for line in asyncio.run(panes(rate, seconds)) + asyncio.run(stock(rate, seconds)):
        print(line)


if __name__ == "__main__":
    main(*(int(text) for text in sys.argv[1:]))
